"""One client that pulls from us, from its admitted DESCRIBE or SETUP to its leave (RFC 2326), sans-IO.

The owner holds the connection that the door admitted and the clock. It hands each message of the
client to `receive` and writes `bytes_to_send()` before any media that `events()` allow; it walks the
client's `$` frames itself and calls `heard` for RTCP over UDP. One connection has one session; who the
client is was decided at the door, for this one path, and its Authorization headers are not read again.

PAUSE is granted: ffplay, VLC and GStreamer send it when a person presses the key and take a 455 for
a failure. It stops the media; the next PLAY goes on live, whatever Range it asks for.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from adapters.base import Transport
from adapters.errors import RemoteProtocolError
from adapters.rtsp.message import Request, Response
from adapters.rtsp.quirks import Leniency
from adapters.rtsp.reply import PUBLIC, refusal, reply, reply_to_options
from adapters.rtsp.resource import Resource, without_user
from adapters.rtsp.serving import (
    Departure,
    Described,
    Left,
    Offer,
    Owner,
    Paused,
    PlayStarted,
    ServedTrack,
    ServerEvent,
    SetUp,
)
from adapters.rtsp.states import SERVER_TRANSITIONS, ServerState, ServerTrigger
from adapters.rtsp.transport import DEFAULT_SESSION_TIMEOUT, TransportOffer, offered_transports

SLACK: Final = 5.0
"""Seconds beyond the announced timeout: players count from the answer they saw, not from ours."""
MAX_REQUESTS: Final = 100
"""Requests within `WINDOW`; a player needs about 10 to begin and then one in 25 s."""
WINDOW: Final = 10.0
"""Seconds."""
MAX_CHANNEL: Final = 255


class ServerSession:
    """Serve one description to one client.

    Args:
        peer: `address:port` of the client.
        path: the stream that was admitted, as `Resource.path`; every other is not found.
        offer: what DESCRIBE answers with.
        owner: binds UDP ports and knows positions.
        now: monotonic seconds.
        random_bytes: source of the session identifier.
    """

    def __init__(
        self,
        peer: str,
        path: str,
        offer: Offer,
        owner: Owner,
        *,
        now: float,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self.peer = peer
        self.path = path
        self.state = ServerState.INIT
        self.leniency = Leniency(peer=peer)
        self._offer = offer
        self._owner = owner
        self._id = random_bytes(8).hex()
        self._tracks: dict[int, ServedTrack] = {}
        self._has_played = False
        self._heard_at = now
        self._window_began = now
        self._requests = 0
        self._out = bytearray()
        self._events: list[ServerEvent] = []
        self._methods: Mapping[str, Callable[[Request], None]] = {
            "OPTIONS": self._keepalive,
            "GET_PARAMETER": self._keepalive,
            "SET_PARAMETER": self._keepalive,
            "DESCRIBE": self._describe,
            "SETUP": self._setup,
            "PLAY": self._play,
            "PAUSE": self._pause,
            "TEARDOWN": self._teardown,
        }

    @property
    def tracks(self) -> tuple[ServedTrack, ...]:
        """Return the tracks set up so far, video first."""
        return tuple(self._tracks[index] for index in sorted(self._tracks))

    def bytes_to_send(self) -> bytes:
        """Return what shall be written now, and forget it."""
        out = bytes(self._out)
        self._out.clear()
        return out

    def events(self) -> list[ServerEvent]:
        """Return what happened since the last call, oldest first."""
        events, self._events = self._events, []
        return events

    def deadline(self) -> float | None:
        """Return when `handle_timer` shall be called, monotonic seconds, or None.

        Once media were let go by TCP alone the connection itself is the sign of life, paused or not.
        """
        is_tcp = all(track.transport is Transport.TCP for track in self._tracks.values())
        if self.state is ServerState.CLOSED or (self._has_played and is_tcp):
            return None
        return self._heard_at + DEFAULT_SESSION_TIMEOUT + SLACK

    def handle_timer(self, now: float) -> None:
        """End a session whose client has shown no life."""
        deadline = self.deadline()
        if deadline is not None and now >= deadline:
            self._move(ServerTrigger.LAPSE)
            self._events.append(Left(Departure.LAPSED))

    def heard(self, now: float) -> None:
        """Note a sign of life outside RTSP: RTCP of the client."""
        self._heard_at = now

    def close(self, now: float, reason: Departure) -> None:  # noqa: ARG002 - as the sessions that we lead
        """End the session; RTSP 1.0 has no request by which a server could say so."""
        if self.state is not ServerState.CLOSED:
            self._events.append(Left(reason))
        self._move(ServerTrigger.CLOSE)

    def receive(self, message: Request | Response, now: float) -> None:
        """Take in one message of the client; nothing that it sends raises."""
        if self.state is ServerState.CLOSED or isinstance(message, Response):
            return
        self._heard_at = now
        if self._is_flood(now):
            self.close(now, Departure.FLOODED)
            return
        refused = refusal(message) or self._wrong_session(message)
        if refused is not None:
            self._out += bytes(refused)
            return
        self._methods[message.method](message)

    def _is_flood(self, now: float) -> bool:
        if now - self._window_began >= WINDOW:
            self._window_began, self._requests = now, 0
        self._requests += 1
        return self._requests > MAX_REQUESTS

    def _wrong_session(self, request: Request) -> Response | None:
        """Return 454 where a request names another session than ours, or none where it must name it.

        Keepalives and DESCRIBE need none; the first SETUP has none.
        """
        given = request.headers.get("Session")
        if given is not None:
            is_ours = bool(self._tracks) and given.partition(";")[0].strip() == self._id
            return None if is_ours else reply(request, 454)
        needs = request.method in ("SETUP", "PLAY", "PAUSE", "TEARDOWN") and bool(self._tracks)
        return reply(request, 454) if needs else None

    # -- moving ------------------------------------------------------------------------------------

    def _may(self, trigger: ServerTrigger) -> bool:
        return (self.state, trigger) in SERVER_TRANSITIONS

    def _move(self, trigger: ServerTrigger) -> None:
        """Change the state by the table."""
        self.state = SERVER_TRANSITIONS[self.state, trigger]

    def _answer(
        self, request: Request, status: int, fields: Sequence[tuple[str, str]] = (), body: bytes = b""
    ) -> None:
        """Write an answer, with the Session where there is one."""
        if status == 200 and self._tracks:
            fields = [("Session", f"{self._id};timeout={DEFAULT_SESSION_TIMEOUT}"), *fields]
        self._out += bytes(reply(request, status, fields, body))

    def _answer_wrong_state(self, request: Request) -> None:
        """Answer 455 with what would be granted now (RFC 2326, 11.3.6)."""
        moving = set(ServerTrigger)
        granted = [m for m in PUBLIC if m not in moving or self._may(ServerTrigger(m))]
        self._answer(request, 455, [("Allow", ", ".join(granted))])

    def _resource(self, request: Request) -> Resource | None:
        """Return what `request` names, or None, answered, where that is not ours."""
        try:
            resource = Resource.parse(request.uri)
        except RemoteProtocolError:
            self._answer(request, 400)
            return None
        if resource.path != self.path or resource.control not in (None, *self._offer.controls):
            self._answer(request, 404)
            return None
        return resource

    # -- methods -----------------------------------------------------------------------------------

    def _keepalive(self, request: Request) -> None:
        if request.method == "OPTIONS":
            self._out += bytes(reply_to_options(request))
        else:
            # A body asks for parameters by name (RFC 2326, 10.8 and 10.9), and we have none.
            self._answer(request, 451 if request.body.strip() else 200)

    def _describe(self, request: Request) -> None:
        resource = self._resource(request)
        if resource is None:
            return
        if resource.control is not None:
            self._answer(request, 404)
            return
        accepted = ",".join(request.headers.get_all("Accept")).lower()
        if accepted and not any(kind in accepted for kind in ("application/sdp", "application/*", "*/*")):
            self._answer(request, 406)
            return
        base = without_user(request.uri)
        fields = [
            ("Content-Base", base if base.endswith("/") else f"{base}/"),
            ("Content-Type", "application/sdp"),
        ]
        self._answer(request, 200, fields, self._offer.sdp)
        self._events.append(Described())

    def _setup(self, request: Request) -> None:
        resource = self._resource(request)
        if resource is None:
            return
        if resource.control is None and len(self._offer.controls) > 1:
            self._answer(request, 459)
            return
        index = self._offer.controls.index(resource.control) if resource.control is not None else 0
        if not self._may(ServerTrigger.SETUP) or index in self._tracks:
            # A track's transport is not changed: nobody does, and its ports are bound.
            self._answer_wrong_state(request)
            return
        for offer in offered_transports(request.headers.get("Transport") or ""):
            track = self._grant(index, without_user(request.uri), offer)
            if track is not None:
                self._tracks[index] = track
                self._move(ServerTrigger.SETUP)
                self._answer(request, 200, [("Transport", _transport_of(track))])
                self._events.append(SetUp(track))
                return
        self._answer(request, 461)

    def _grant(self, index: int, url: str, offer: TransportOffer) -> ServedTrack | None:
        """Return the track as it will be carried, or None where this cannot be had."""
        if offer.transport is Transport.TCP:
            channels = self._channels(offer.pair)
            return ServedTrack(index, url, Transport.TCP, channels) if channels is not None else None
        ports = self._owner.bind_ports(index)
        return ServedTrack(index, url, Transport.UDP, None, offer.pair, ports) if ports is not None else None

    def _channels(self, wanted: tuple[int, int] | None) -> tuple[int, int] | None:
        """Return the client's channels, or the lowest free even pair where it names none or used ones."""
        used = {channel for track in self._tracks.values() for channel in track.channels or ()}
        if wanted is not None and not used & set(wanted):
            return wanted
        pairs = ((low, low + 1) for low in range(0, MAX_CHANNEL, 2))
        return next((pair for pair in pairs if not used & set(pair)), None)

    def _play(self, request: Request) -> None:
        resource = self._resource(request)
        if resource is None:
            return
        if not self._may(ServerTrigger.PLAY):
            self._answer_wrong_state(request)
            return
        if resource.control is not None and len(self._tracks) > 1:
            self._answer(request, 460)
            return
        if not (request.headers.get("Range") or "npt=").strip().lower().startswith("npt"):
            # Wall-clock and frame ranges ask for a recording.
            self._answer(request, 457)
            return
        was_playing = self.state is ServerState.PLAYING
        self._move(ServerTrigger.PLAY)
        self._has_played = True
        rtp_info = ",".join(self._rtp_info(track) for track in self.tracks)
        self._answer(request, 200, [("Range", "npt=now-"), ("RTP-Info", rtp_info)])
        if not was_playing:
            self._events.append(PlayStarted(self.tracks))

    def _rtp_info(self, track: ServedTrack) -> str:
        position = self._owner.position(track.index)
        if position is None:
            return f"url={track.url}"
        return f"url={track.url};seq={position.sequence};rtptime={position.timestamp}"

    def _pause(self, request: Request) -> None:
        if not self._may(ServerTrigger.PAUSE):
            self._answer_wrong_state(request)
            return
        was_playing = self.state is ServerState.PLAYING
        self._move(ServerTrigger.PAUSE)
        self._answer(request, 200)
        if was_playing:
            self._events.append(Paused())

    def _teardown(self, request: Request) -> None:
        if not self._may(ServerTrigger.TEARDOWN):
            self._answer_wrong_state(request)
            return
        self._answer(request, 200)
        self._move(ServerTrigger.TEARDOWN)
        self._events.append(Left(Departure.TEARDOWN))


def _transport_of(track: ServedTrack) -> str:
    if track.channels is not None:
        return "RTP/AVP/TCP;unicast;interleaved={}-{}".format(*track.channels)
    ours, theirs = track.server_ports or (0, 0), track.client_ports or (0, 0)
    return f"RTP/AVP;unicast;client_port={theirs[0]}-{theirs[1]};server_port={ours[0]}-{ours[1]}"
