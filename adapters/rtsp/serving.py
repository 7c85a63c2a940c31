"""What a session that we serve asks of its owner and reports, and what it offers."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from adapters.base import Transport
from adapters.media.sdp import Media, render_describe, track_control


@dataclass(frozen=True)
class Offer:
    """The description that a client gets, and the tracks in it."""

    sdp: bytes
    controls: tuple[str, ...]
    "The `a=control` value of each track, video first: `trackID=0`, `trackID=1`."

    @classmethod
    def of(cls, name: str, media: Sequence[Media]) -> "Offer":
        """Return the offer of `media`, video first, under the session name `name`.

        Raises:
            ValueError: as `render_describe`.
        """
        return cls(render_describe(name, media), tuple(track_control(index) for index in range(len(media))))


@dataclass(frozen=True)
class Position:
    """Where a track's packets will begin, for RTP-Info (RFC 2326, 12.33)."""

    sequence: int
    "Sequence number of the first packet that the client will get."
    timestamp: int
    "RTP timestamp that stands for the beginning."


@dataclass(frozen=True)
class ServedTrack:
    """One track as set up by the client."""

    index: int
    "Into the offer's controls: 0 is the video."
    url: str
    "As the client wrote it, without a user name."
    transport: Transport
    channels: tuple[int, int] | None = None
    "Interleaved channels of RTP and RTCP, TCP only."
    client_ports: tuple[int, int] | None = None
    "The client's RTP and RTCP ports, UDP only; media go there, at the address of the connection."
    server_ports: tuple[int, int] | None = None
    "Ours, UDP only."


class Owner(Protocol):
    """What a session asks while it answers a request; answers at once and never raises."""

    def bind_ports(self, track: int) -> tuple[int, int] | None:
        """Return our RTP and RTCP port for a UDP track, bound; None where UDP is not served or none is free.

        After `Left` they are the owner's to close.
        """

    def position(self, track: int) -> Position | None:
        """Return where the packets of `track` will begin if PLAY is granted now, or None where unknown."""


@dataclass(frozen=True)
class Described:
    """The client got the description."""


@dataclass(frozen=True)
class SetUp:
    """A track was set up."""

    track: ServedTrack


@dataclass(frozen=True)
class PlayStarted:
    """PLAY was granted: behind the bytes to send, media may go out."""

    tracks: tuple[ServedTrack, ...]
    "Video first where it was set up."


@dataclass(frozen=True)
class Paused:
    """PAUSE was granted: no media until the next `PlayStarted`, which goes on live."""


class Departure(StrEnum):
    """Why a session ended; one stable word for logs and counters."""

    TEARDOWN = "teardown"
    LAPSED = "lapsed"
    "No sign of life for the announced time."
    FLOODED = "flooded"
    "More requests than anybody needs."
    CLOSED = "closed"
    "The client closed the connection, or it broke."
    PROTOCOL_ERROR = "protocol_error"
    "What the client sent was no RTSP."
    TOO_SLOW = "too_slow"
    "The client does not take what is sent to it."
    SOURCE_GONE = "source_gone"
    OURS = "ours"
    "We end it: a person or a rule decided so, or we stop."


@dataclass(frozen=True)
class Left:
    """The session is over; the connection is to be closed once `bytes_to_send` is written."""

    reason: Departure


ServerEvent = Described | SetUp | PlayStarted | Paused | Left
