"""What pull and push sessions have in common, sans-IO; `session.py` says how they are driven."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

from adapters.base import Credential, RtspTarget, Transport
from adapters.errors import (
    AdapterError,
    LocalProtocolError,
    PeerClosed,
    PeerTimeout,
    RemoteProtocolError,
    RequestRefused,
)
from adapters.media.sdp import Media
from adapters.rtsp.events import Closed, Event, KeepaliveAnswered, Track
from adapters.rtsp.exchange import Exchange, SessionOptions
from adapters.rtsp.message import Request, Response
from adapters.rtsp.quirks import Leniency, Quirk
from adapters.rtsp.states import State, Trigger
from adapters.rtsp.transport import (
    DEFAULT_SESSION_TIMEOUT,
    parse_session,
    parse_transport,
    request_transport,
    request_url,
)

KEEPALIVE_FRACTION: Final = 0.4
"""A keepalive at this part of the session timeout: one may be lost and the next is still in time."""
MAX_KEEPALIVE_INTERVAL: Final = 25.0
"""Seconds; shorter than the 30 s after which common firewalls forget an idle UDP flow."""
TEARDOWN_TIMEOUT: Final = 2.0
"""Seconds that a peer has to answer TEARDOWN."""


class Session(ABC):
    """What pull and push have in common.

    Attributes:
        state: where the session stands.
        leniency: the deviations that are accepted, and which have been met.
        keepalives_unanswered: keepalives in a row without answer.
    """

    transitions: ClassVar[Mapping[tuple[State, Trigger], State]]
    is_record: ClassVar[bool]
    "Whether we send the media."

    def __init__(self, target: RtspTarget, credential: Credential | None, options: SessionOptions) -> None:
        self.state = State.NEW
        self.target = target
        self.options = options
        self.leniency = Leniency(peer=target.peer)
        self.keepalives_unanswered = 0
        self._exchange = Exchange(target, credential, options, self.leniency)
        self._public: frozenset[str] = frozenset()
        self._transport = options.transport
        self._may_change_transport = True
        self._aggregate_url = request_url(target)
        self._waiting: list[tuple[Media | None, str]] = []
        self._tracks: list[Track] = []
        self._session_timeout = DEFAULT_SESSION_TIMEOUT
        self._answer_by: float | None = None
        self._keepalive_at: float | None = None
        self._events: list[Event] = []

    @property
    def peer(self) -> str:
        """Return `host:port` for logs."""
        return self.target.peer

    @property
    def refusals(self) -> int:
        """Return how often the peer has refused our credential on this connection."""
        return self._exchange.refusals

    @property
    def challenged(self) -> bool:
        """Return whether the peer has asked for a credential on this connection."""
        return self._exchange.challenged

    @property
    def tracks(self) -> tuple[Track, ...]:
        """Return the tracks set up so far; cameras send media even before they answer PLAY."""
        return tuple(self._tracks)

    @property
    def keepalive_interval(self) -> float:
        """Return the seconds between two keepalives."""
        return min(max(self._session_timeout * KEEPALIVE_FRACTION, 1.0), MAX_KEEPALIVE_INTERVAL)

    def bytes_to_send(self) -> bytes:
        """Return what shall be written now, and forget it."""
        return self._exchange.bytes_to_send()

    def events(self) -> list[Event]:
        """Return what happened since the last call, oldest first."""
        events, self._events = self._events, []
        return events

    def deadline(self) -> float | None:
        """Return when `handle_timer` shall be called, monotonic seconds, or None."""
        times = [at for at in (self._answer_by, self._keepalive_at) if at is not None]
        return min(times, default=None)

    def receive(self, message: Request | Response, now: float) -> None:
        """Take in one message of the peer.

        Raises:
            AdapterError: any remote kind of `adapters.errors`; the session is closed then.
        """
        if self.state is State.CLOSED:
            return
        try:
            if isinstance(message, Request):
                self._receive_request(message)
                return
            method = self._exchange.pending_method
            answer = self._exchange.receive(message)
            if answer is not None and method is not None:
                self._answer_by = None
                self._receive_answer(answer, now)
            elif self._exchange.pending_method is not None and message.status in (100, 401):
                self._answer_by = now + self.options.answer_timeout
        except AdapterError:
            was_closing = self.state is State.TEARDOWN
            self._close()
            if not was_closing:
                raise
            self._events.append(Closed())

    def handle_timer(self, now: float) -> None:
        """Do what is due at `now`: a keepalive, or the end of waiting.

        Raises:
            PeerTimeout: an answer did not come in time; the session is closed then.
        """
        try:
            if self._answer_by is not None and now >= self._answer_by:
                self._answer_by = None
                self._miss_answer(now)
            if self._keepalive_at is not None and now >= self._keepalive_at:
                self._send_keepalive(now)
        except AdapterError:
            self._close()
            raise

    def close(self, now: float) -> None:
        """End the session: TEARDOWN where one was set up, `Closed` when that is answered or late.

        A session that an error has closed already reports `Closed` at once.
        """
        self._move(Trigger.CLOSE, now)

    # -- moving ------------------------------------------------------------------------------------

    def _move(self, trigger: Trigger, now: float) -> None:
        """Change the state by the table and enter the new one."""
        before = self.state
        after = self.transitions.get((before, trigger))
        if after is None:
            raise LocalProtocolError(f"no way from {before} by {trigger}", peer=self.peer)
        if after is State.TEARDOWN and self._exchange.session_id is None:
            after = State.CLOSED
        self.state = after
        if after is not before or after in (State.SETUP, State.DESCRIBE, State.CLOSED):
            self._enter(after, now)

    def _enter(self, state: State, now: float) -> None:
        match state:
            case State.OPTIONS:
                self._request("OPTIONS", request_url(self.target), now)
            case State.SETUP:
                self._request_setup(now)
            case State.PLAY:
                self._request("PLAY", self._aggregate_url, now, (("Range", "npt=0.000-"),))
            case State.RECORD:
                self._request("RECORD", self._aggregate_url, now, (("Range", "npt=0.000-"),))
            case State.STREAMING:
                self._keepalive_at = now + self.keepalive_interval
            case State.TEARDOWN:
                self._keepalive_at = None
                self._request("TEARDOWN", self._aggregate_url, now)
                self._answer_by = now + TEARDOWN_TIMEOUT
            case State.CLOSED:
                self._close()
                self._events.append(Closed())
            case _:
                self._enter_own(state, now)

    @abstractmethod
    def _enter_own(self, state: State, now: float) -> None:
        """Enter a state that only this kind of session has."""

    @abstractmethod
    def _answered(self, response: Response, now: float) -> None:
        """Take in a good answer in a state that only this kind of session has."""

    def _close(self) -> None:
        self.state = State.CLOSED
        self._answer_by = self._keepalive_at = None
        self._exchange.abandon()

    # -- requests ----------------------------------------------------------------------------------

    def _request(
        self, method: str, url: str, now: float, headers: Sequence[tuple[str, str]] = (), body: bytes = b""
    ) -> None:
        self._exchange.send(method, url, headers, body)
        self._answer_by = now + self.options.answer_timeout

    def _request_setup(self, now: float) -> None:
        _, url = self._waiting[0]
        value = request_transport(self._transport, self._first_address(), record=self.is_record)
        self._request("SETUP", url, now, (("Transport", value),))

    def _first_address(self) -> int:
        """Return the interleaved channel or our port of the track that is set up next."""
        index = len(self._tracks)
        if self._transport is Transport.TCP:
            return 2 * index
        if index >= len(self.options.udp_ports):
            raise LocalProtocolError("UDP without a port for every track", peer=self.peer)
        return self.options.udp_ports[index]

    def _send_keepalive(self, now: float) -> None:
        self._keepalive_at = now + self.keepalive_interval
        if self._exchange.pending_method is not None:
            return
        method = "OPTIONS"
        if "GET_PARAMETER" in self._public and Quirk.KEEPALIVE_REFUSED not in self.leniency.met:
            method = "GET_PARAMETER"
        self._request(method, self._aggregate_url, now)
        if (State.STREAMING, Trigger.TIMEOUT) in self.transitions:
            # Where silence is borne, the next keepalive is not held up by this one.
            self._answer_by = min(now + self.options.answer_timeout, self._keepalive_at)

    # -- answers -----------------------------------------------------------------------------------

    def _receive_request(self, request: Request) -> None:
        self._exchange.reply(request)
        if request.method == "TEARDOWN":
            raise PeerClosed("the peer sent TEARDOWN", peer=self.peer)

    def _receive_answer(self, response: Response, now: float) -> None:
        if response.status >= 300:
            self._receive_refusal(response, now)
            return
        match self.state:
            case State.OPTIONS:
                names = ",".join(response.headers.get_all("Public")).split(",")
                self._public = frozenset(name.strip().upper() for name in names)
                self._move(Trigger.ANSWERED, now)
            case State.SETUP:
                self._answered_setup(response, now)
            case State.STREAMING:
                self._keepalive_answered(now)
                self._move(Trigger.ANSWERED, now)
            case State.TEARDOWN:
                self._move(Trigger.ANSWERED, now)
            case _:
                self._answered(response, now)

    def _answered_setup(self, response: Response, now: float) -> None:
        header = response.headers.get("Transport")
        if header is None:
            raise RemoteProtocolError("SETUP answered without Transport", peer=self.peer)
        first = self._first_address()
        answer = parse_transport(header, (first, first + 1), self.leniency)
        if answer.transport is not self._transport:
            raise RemoteProtocolError(
                f"asked for {self._transport}, was given {answer.transport}", peer=self.peer
            )
        session = response.headers.get("Session")
        if session is None and self._exchange.session_id is None:
            raise RemoteProtocolError("SETUP answered without Session", peer=self.peer)
        if session is not None:
            self._exchange.session_id, self._session_timeout = parse_session(session, self.leniency)
        media, url = self._waiting.pop(0)
        rtp, rtcp = answer.channels or (None, None)
        used = {c for track in self._tracks for c in (track.rtp_channel, track.rtcp_channel)} - {None}
        if used & {rtp, rtcp}:
            raise RemoteProtocolError("two tracks on one interleaved channel", peer=self.peer)
        local = first if answer.transport is Transport.UDP else None
        self._tracks.append(
            Track(media, url, answer.transport, rtp, rtcp, local, answer.server_ports, answer.ssrc)
        )
        self._may_change_transport = False
        self._move(Trigger.MORE_TRACKS if self._waiting else Trigger.ANSWERED, now)

    def _receive_refusal(self, response: Response, now: float) -> None:
        """Go on after a refusal where the table knows a way, else raise it."""
        refused = RequestRefused(
            f"{self.state} was answered {response.status} {self._exchange.quoted(response.reason)}".rstrip(),
            peer=self.peer,
            status=response.status,
        )
        if self.state is State.STREAMING:
            if response.status == 454:
                raise refused
            self.leniency.meet(Quirk.KEEPALIVE_REFUSED)
            self._keepalive_answered(now)
        if self.state is State.SETUP and response.status == 461 and self._change_transport():
            self._move(Trigger.OTHER_TRANSPORT, now)
        elif self.state is State.DESCRIBE and self._follow(response):
            self._move(Trigger.MOVED, now)
        elif (self.state, Trigger.REFUSED) in self.transitions:
            self._move(Trigger.REFUSED, now)
        else:
            raise refused

    def _change_transport(self) -> bool:
        """Take the other transport, once, before any track stands, and to UDP only with a port each."""
        other = Transport.UDP if self._transport is Transport.TCP else Transport.TCP
        has_ports = other is Transport.TCP or len(self.options.udp_ports) >= len(self._waiting)
        if not self._may_change_transport or not has_ports:
            return False
        self._may_change_transport = False
        self._transport = other
        return True

    @abstractmethod
    def _follow(self, response: Response) -> bool:
        """Follow a redirect within the same host; return whether that was possible."""

    def _keepalive_answered(self, now: float) -> None:
        self.keepalives_unanswered = 0
        self._events.append(KeepaliveAnswered(now))

    def _miss_answer(self, now: float) -> None:
        if (self.state, Trigger.TIMEOUT) not in self.transitions:
            raise PeerTimeout(
                f"{self._exchange.pending_method} was not answered within {self.options.answer_timeout:g} s",
                peer=self.peer,
            )
        if self.state is State.STREAMING:
            self.leniency.meet(Quirk.KEEPALIVE_UNANSWERED)
            self.keepalives_unanswered += 1
        self._exchange.abandon()
        self._move(Trigger.TIMEOUT, now)
