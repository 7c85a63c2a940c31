"""RTSP sessions as a client leads them: pull with PLAY, push with RECORD, sans-IO.

The caller owns the socket and the clock. It writes `bytes_to_send()`, hands each message of the peer
to `receive`, calls `handle_timer` at `deadline()` and takes `events()`. Any method that is given the
time may raise an `AdapterError`; the session is closed then and the connection of no further use.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar
from urllib.parse import urlsplit

from adapters.base import Credential, RtspTarget, StreamInfo
from adapters.errors import LocalProtocolError, RemoteProtocolError, UnsupportedMedia
from adapters.media.sdp import Media, SessionDescription
from adapters.rtsp.events import Closed, Described, Event, KeepaliveAnswered, Playing, Recording, Track
from adapters.rtsp.exchange import Exchange, SessionOptions
from adapters.rtsp.lifecycle import Session
from adapters.rtsp.message import Response
from adapters.rtsp.quirks import Quirk
from adapters.rtsp.states import PULL_TRANSITIONS, PUSH_TRANSITIONS, State, Trigger
from adapters.rtsp.transport import control_url, parse_session, request_url, rewrite_url

__all__ = [
    "Closed",
    "Described",
    "Event",
    "KeepaliveAnswered",
    "Playing",
    "PullSession",
    "PushSession",
    "Recording",
    "Session",
    "SessionOptions",
    "State",
    "Track",
    "read_description",
    "stream_of",
]


class PullSession(Session):
    """Pull one camera: OPTIONS, DESCRIBE, SETUP of video (and audio where asked), PLAY.

    Args:
        target: what to pull.
        credential: for exactly this device, or None.
        options: transport, audio and limits.
        now: monotonic seconds; OPTIONS is ready to be sent at once.
    """

    transitions = PULL_TRANSITIONS
    is_record: ClassVar = False

    def __init__(
        self, target: RtspTarget, credential: Credential | None, options: SessionOptions, *, now: float
    ) -> None:
        super().__init__(target, credential, options)
        self._redirected = False
        self._move(Trigger.START, now)

    def _enter_own(self, state: State, now: float) -> None:
        if state is not State.DESCRIBE:
            raise LocalProtocolError(f"a pull never enters {state}", peer=self.peer)
        self._request("DESCRIBE", request_url(self.target), now, (("Accept", "application/sdp"),))

    def _answered(self, response: Response, now: float) -> None:
        if self.state is State.DESCRIBE:
            self._answered_describe(response, now)
            return
        self._events.append(Playing(tuple(self._tracks), response.headers.get("RTP-Info")))
        self._move(Trigger.ANSWERED, now)

    def _answered_describe(self, response: Response, now: float) -> None:
        description = read_description(response, self._exchange, self.peer)
        video = description.video
        if video is None:
            raise UnsupportedMedia("no H264, H265 or JPEG video is offered", peer=self.peer)
        base = response.headers.get("Content-Base") or response.headers.get("Content-Location")
        base = rewrite_url(base, self.target, self.leniency) if base else request_url(self.target)
        self._aggregate_url = control_url(description.control or "*", base, self.target, self.leniency)
        wanted = [video]
        if self.options.audio and description.audio is not None:
            wanted.append(description.audio)
        self._waiting = [(media, self._media_url(media, base, description)) for media in wanted]
        self._events.append(Described(stream_of(description, video), description, response.body))
        self._move(Trigger.ANSWERED, now)

    def _media_url(self, media: Media, base: str, description: SessionDescription) -> str:
        if media.control is not None:
            return control_url(media.control, base, self.target, self.leniency)
        if len(description.media) > 1:
            raise RemoteProtocolError("several media, and one without control", peer=self.peer)
        self.leniency.meet(Quirk.MISSING_CONTROL)
        return self._aggregate_url

    def _follow(self, response: Response) -> bool:
        location = response.headers.get("Location")
        if location is None or self._redirected or response.status not in (301, 302):
            return False
        try:
            parts = urlsplit(location)
            port = parts.port or (322 if parts.scheme == "rtsps" else 554)
            is_here = (parts.hostname, port) == (self.target.host.lower(), self.target.port)
        except ValueError:
            return False
        if not is_here:
            return False
        url = rewrite_url(location, self.target, self.leniency)
        self.target = replace(
            self.target, path=url.removeprefix(self.target.url.removesuffix(self.target.path))
        )
        self._redirected = True
        return True


class PushSession(Session):
    """Push to a RECORD target: OPTIONS, ANNOUNCE, SETUP of each track, RECORD.

    Args:
        target: where to push.
        credential: for exactly this target, or None.
        sdp: the description to announce, e.g. of `adapters.media.sdp.render_announce`.
        controls: the `a=control` value of each track to set up, in order.
        options: transport and limits; audio is what the description says.
        now: monotonic seconds; OPTIONS is ready to be sent at once.
    """

    transitions = PUSH_TRANSITIONS
    is_record: ClassVar = True

    def __init__(
        self,
        target: RtspTarget,
        credential: Credential | None,
        sdp: bytes,
        controls: Sequence[str],
        options: SessionOptions,
        *,
        now: float,
    ) -> None:
        super().__init__(target, credential, options)
        if not controls:
            raise LocalProtocolError("a push of no track", peer=target.peer)
        self._sdp = sdp
        self._waiting = [(None, control_url(c, request_url(target), target, self.leniency)) for c in controls]
        self._move(Trigger.START, now)

    def _enter_own(self, state: State, now: float) -> None:
        if state is not State.ANNOUNCE:
            raise LocalProtocolError(f"a push never enters {state}", peer=self.peer)
        content_type = (("Content-Type", "application/sdp"),)
        self._request("ANNOUNCE", request_url(self.target), now, content_type, self._sdp)

    def _answered(self, response: Response, now: float) -> None:
        if self.state is State.ANNOUNCE and (session := response.headers.get("Session")) is not None:
            # Some servers open the session at ANNOUNCE and want it in SETUP.
            self._exchange.session_id, self._session_timeout = parse_session(session, self.leniency)
        if self.state is State.RECORD:
            self._events.append(Recording(tuple(self._tracks)))
        self._move(Trigger.ANSWERED, now)

    def _follow(self, response: Response) -> bool:
        raise LocalProtocolError(f"a push never follows a redirect ({response.status})", peer=self.peer)


def read_description(response: Response, exchange: Exchange, peer: str) -> SessionDescription:
    """Return the description in an answer to DESCRIBE.

    Args:
        response: the answer.
        exchange: whose request it answers.
        peer: `host:port` for errors.

    Raises:
        RemoteProtocolError: it cannot be read.
    """
    try:
        return SessionDescription.parse(response.body)
    except ValueError as error:
        text = f"bad description: {exchange.quoted(str(error))}"
        raise RemoteProtocolError(text, peer=peer, received=response.body) from None


def stream_of(description: SessionDescription, video: Media) -> StreamInfo:
    """Return what the description tells of `video`."""
    chosen = video.formats[0]
    return StreamInfo(
        codec=chosen.encoding,
        payload_type=chosen.payload_type,
        clock_rate=chosen.clock_rate,
        has_audio=description.audio is not None,
    )
