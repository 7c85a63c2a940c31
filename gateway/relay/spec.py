"""What a relay is asked to do: one source, one pull, at most one sink; immutable."""

import re
from dataclasses import dataclass, field
from typing import Final

from adapters.base import Credential, RtspTarget, SourceKey, Transport
from catalog.model.plan import MediaWay, StreamKind

_SOURCE_CODE: Final = re.compile(r"[A-Za-z0-9\-_.]{1,64}")


@dataclass(frozen=True)
class RelayBounds:
    """Times in seconds and sizes in bytes that no peer can stretch."""

    connect: float = 10.0
    "Seconds for one connection, TLS included."
    handshake: float = 20.0
    "Seconds from the connection to the answer to PLAY or RECORD."
    first_media: float = 10.0
    "Seconds from PLAY to the first video packet; then the pull is given up and begun anew."
    media_gap: float = 4.0
    "Seconds without a video packet after which a gap is reported."
    media_timeout: float = 20.0
    "Seconds without a video packet after which the pull is given up and begun anew."
    max_packets: int = 20_000
    "Packets a second, carried or not, above which a source is taken for broken and its pull ended."
    max_bitrate: int = 200_000_000
    "Bits a second, likewise: what one source may cost its neighbours in the same worker."
    reconnect_first: float = 1.0
    "Seconds before the second try of a pull or a push; doubled each time, spread by a quarter."
    reconnect_longest: float = 45.0
    "The longest such wait."
    teardown: float = 2.0
    "Seconds that the answer to TEARDOWN is waited for."
    queue_bytes: int = 4 * 1024 * 1024
    "Most bytes that wait for one sink."
    queue_seconds: float = 4.0
    "Oldest age of what waits for one sink."
    gop_bytes: int = 4 * 1024 * 1024
    "Most bytes of the group of pictures kept for new takers; 0 keeps none."
    sink_stalled: float = 20.0
    "Seconds in which a sink takes not one byte of what waits; then it is connected anew."


@dataclass(frozen=True)
class SinkSpec:
    """Where a source is pushed to by ANNOUNCE and RECORD, under which id."""

    target: RtspTarget
    credential: Credential | None = None
    allow_basic: bool = False
    "Whether this superior may be answered with Basic outside TLS."


@dataclass(frozen=True)
class Invitation:
    """How a source is asked for its media by SIP INVITE (GB/T 28181), which the control plane sends."""

    device_id: str
    channel_id: str
    media: MediaWay
    bind: str
    "Our address that the media come to, or go from where we connect."
    stream: StreamKind = StreamKind.MAIN


@dataclass(frozen=True)
class RelaySpec:
    """One relay. A change of anything in it is a new spec and a new session."""

    source_id: SourceKey
    source_code: str
    "The id under which the source goes out; the session name towards the superior."
    target: RtspTarget
    "Where it is pulled from; of an invited device where it registered from."
    credential: Credential | None = None
    transport: Transport = Transport.TCP
    "How media are asked for first; 461 to TCP is answered by asking for UDP."
    audio: bool = False
    "Whether audio is set up and carried; off until enabled for the source."
    allow_basic: bool = False
    "Whether the source may be answered with Basic outside TLS."
    sink: SinkSpec | None = None
    on_demand: bool = False
    "Whether it runs because somebody asked for it; shown, nothing follows from it here."
    verify: float = 0.0
    "Seconds of video a verification pull needs, 0 for none."
    invitation: Invitation | None = None
    "Set where it is no RTSP server but a device that is invited."
    bounds: RelayBounds = field(default_factory=RelayBounds)

    def __post_init__(self) -> None:
        if _SOURCE_CODE.fullmatch(self.source_code) is None:
            raise ValueError("source code must be 1 to 64 letters, digits, '-', '_' or '.'")
        if self.verify < 0:
            raise ValueError("verify must not be negative")

    @property
    def origin(self) -> str:
        """Return where it comes from, for logs; never with a credential."""
        if self.invitation is None:
            return self.target.url
        return f"gb28181:{self.invitation.device_id}/{self.invitation.channel_id} at {self.target.peer}"
