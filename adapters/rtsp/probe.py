"""Ask a peer whether it speaks RTSP and, where allowed, what it streams: OPTIONS and DESCRIBE, sans-IO."""

from dataclasses import dataclass, replace
from typing import Final

from adapters.base import Credential, RtspTarget, StreamInfo
from adapters.digest import parse_challenges
from adapters.errors import AdapterError, PeerTimeout
from adapters.rtsp.exchange import Exchange, SessionOptions
from adapters.rtsp.message import Request, Response
from adapters.rtsp.quirks import Leniency
from adapters.rtsp.session import read_description, stream_of
from adapters.rtsp.transport import request_url

MAX_SERVER: Final = 128
"""Characters that are kept of a Server header."""


@dataclass(frozen=True)
class ProbeResult:
    """What a peer that speaks RTSP tells of itself."""

    status: int
    "Status of the answer to OPTIONS."
    server: str | None = None
    "Printable part of its Server header, at most `MAX_SERVER` characters."
    public: frozenset[str] = frozenset()
    "Methods it lists, upper case."
    auth_demanded: bool = False
    schemes: tuple[str, ...] = ()
    "Authentication schemes it offered, e.g. `digest SHA-256`, `basic`, in its order."
    describe_status: int | None = None
    "Status of the final answer to DESCRIBE; None where it was not asked."
    stream: StreamInfo | None = None
    "The video that DESCRIBE offers; None where there is none that we carry."


class ProbeSession:
    """OPTIONS without credential, then DESCRIBE with it when `describe` is set.

    Without `describe` the credential is not even looked at: a 401 is an answer like any other. With
    it, a 401 is answered once; a missing credential ends the probe with `auth_demanded`.

    Attributes:
        result: None until the probe is done.
    """

    def __init__(
        self,
        target: RtspTarget,
        credential: Credential | None,
        *,
        describe: bool,
        options: SessionOptions,
        now: float,
    ) -> None:
        self.target = target
        self.result: ProbeResult | None = None
        self._describe = describe
        self._credential = credential if describe else None
        self._found = ProbeResult(status=0)
        self._leniency = Leniency(peer=target.peer)
        self._exchange = Exchange(target, self._credential, options, self._leniency)
        self._timeout = options.answer_timeout
        self._answer_by: float | None = None
        self._request("OPTIONS", (), now)

    @property
    def refusals(self) -> int:
        """Return how often the peer has refused our credential on this connection."""
        return self._exchange.refusals

    def bytes_to_send(self) -> bytes:
        """Return what shall be written now, and forget it."""
        return self._exchange.bytes_to_send()

    def deadline(self) -> float | None:
        """Return when `handle_timer` shall be called, monotonic seconds, or None."""
        return self._answer_by

    def handle_timer(self, now: float) -> None:
        """End a probe whose answer is late.

        Raises:
            PeerTimeout: no answer came in time.
        """
        if self._answer_by is not None and now >= self._answer_by:
            self._answer_by = None
            raise PeerTimeout(
                f"{self._exchange.pending_method} was not answered within {self._timeout:g} s",
                peer=self.target.peer,
            )

    def receive(self, message: Request | Response, now: float) -> None:
        """Take in one message of the peer.

        Raises:
            AdapterError: the answer breaks the protocol, or the credential is refused or too weak.
        """
        if self.result is not None:
            return
        if isinstance(message, Request):
            self._exchange.reply(message)
            return
        try:
            self._receive_response(message, now)
        except AdapterError:
            self._answer_by = None
            raise

    def _receive_response(self, response: Response, now: float) -> None:
        method = self._exchange.pending_method
        if response.status == 401:
            self._note_challenge(response)
            if self._credential is None:
                self._take(response, method, now)
                return
        answer = self._exchange.receive(response)
        if answer is not None:
            self._take(answer, method, now)
        else:
            self._answer_by = now + self._timeout

    def _note_challenge(self, response: Response) -> None:
        challenges = parse_challenges(response.headers.get_all("WWW-Authenticate"), peer=self.target.peer)
        schemes = tuple(f"{c.scheme} {c.algorithm}" if c.scheme == "digest" else c.scheme for c in challenges)
        self._found = replace(self._found, auth_demanded=True, schemes=schemes)

    def _take(self, response: Response, method: str | None, now: float) -> None:
        server = response.headers.get("Server")
        if server and self._found.server is None:
            printable = "".join(c for c in server if c.isprintable())[:MAX_SERVER]
            self._found = replace(self._found, server=printable)
        if method == "OPTIONS":
            names = ",".join(response.headers.get_all("Public")).upper().split(",")
            public = frozenset(name.strip() for name in names) - {""}
            self._found = replace(self._found, status=response.status, public=public)
            if self._describe:
                self._request("DESCRIBE", (("Accept", "application/sdp"),), now)
                return
        else:
            self._found = replace(self._found, describe_status=response.status)
            if response.status == 200:
                description = read_description(response, self._exchange, self.target.peer)
                if description.video is not None:
                    self._found = replace(self._found, stream=stream_of(description, description.video))
        self._answer_by = None
        self._exchange.abandon()
        self.result = self._found

    def _request(self, method: str, headers: tuple[tuple[str, str], ...], now: float) -> None:
        self._exchange.send(method, request_url(self.target), headers)
        self._answer_by = now + self._timeout
