"""What RTSP sessions report."""

from dataclasses import dataclass

from adapters.base import StreamInfo, Transport
from adapters.media.sdp import Media, SessionDescription


@dataclass(frozen=True)
class Track:
    """One media of a session, as set up."""

    media: Media | None
    "Its part of the description; None in a push."
    url: str
    transport: Transport
    rtp_channel: int | None = None
    "Interleaved channel of RTP, TCP only."
    rtcp_channel: int | None = None
    local_port: int | None = None
    "Our RTP port, UDP only; RTCP is on the next."
    server_ports: tuple[int, int] | None = None
    "The peer's RTP and RTCP port, UDP only."
    ssrc: int | None = None
    "As announced; packets may say otherwise."


@dataclass(frozen=True)
class Described:
    """The description was read and holds a video that we carry."""

    stream: StreamInfo
    description: SessionDescription
    sdp: bytes
    "As received."


@dataclass(frozen=True)
class Playing:
    """PLAY was accepted: media come."""

    tracks: tuple[Track, ...]
    "Video first."
    rtp_info: str | None
    "The RTP-Info header, unread: many cameras send wrong ones."


@dataclass(frozen=True)
class Recording:
    """RECORD was accepted: media may be sent."""

    tracks: tuple[Track, ...]
    "In the order given."


@dataclass(frozen=True)
class KeepaliveAnswered:
    """The peer answered a keepalive, be it by a refusal."""

    at: float
    "Monotonic seconds."


@dataclass(frozen=True)
class Closed:
    """The session ended as we asked."""


Event = Described | Playing | Recording | KeepaliveAnswered | Closed
