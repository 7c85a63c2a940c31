"""What the control plane and the viewing process say to each other: one packet each, a descriptor beside some."""

import json
from dataclasses import asdict, dataclass
from typing import Final

MAX_PACKET: Final = 128 * 1024
"""Bytes; an offer or answer of WebRTC has some 5 KB."""


@dataclass(frozen=True)
class View:
    """Show a source to a browser; the descriptor is a connection over which the source can be pulled by RTSP."""

    viewer_id: int
    code: str
    "Under which the source goes out."
    sdp: str
    "The browser's offer."
    addresses: tuple[str, ...]
    "Our own IP addresses that the browser may be told."


@dataclass(frozen=True)
class Snap:
    """Make a single picture of a source; the descriptor as in `View`."""

    viewer_id: int
    code: str


@dataclass(frozen=True)
class Leave:
    """End a view."""

    viewer_id: int


@dataclass(frozen=True)
class Answered:
    """The answer for the browser."""

    viewer_id: int
    sdp: str


@dataclass(frozen=True)
class Waiting:
    """The source plays, and no key picture came yet for a view or a picture to begin with."""

    viewer_id: int


@dataclass(frozen=True)
class Snapped:
    """A picture was made; the descriptor is a file that holds it as JPEG."""

    viewer_id: int
    width: int
    height: int


@dataclass(frozen=True)
class Left:
    """A view or a picture under way is over."""

    viewer_id: int
    cause: str
    "One word: `closed`, `timeout`, `no_h264`, `unsupported_media`, …"
    pictures: int
    size: int
    "Bytes of pictures."


Message = View | Snap | Leave | Answered | Waiting | Snapped | Left

_KINDS: Final[dict[str, type[Message]]] = {
    kind.__name__: kind for kind in (View, Snap, Leave, Answered, Waiting, Snapped, Left)
}


def encode(message: Message) -> bytes:
    """Return `message` as one packet."""
    return json.dumps({"kind": type(message).__name__, **asdict(message)}).encode()


def decode(packet: bytes) -> Message:
    """Return the message in a packet.

    Raises:
        ValueError: it holds none.
    """
    try:
        fields = json.loads(packet)
        kind = _KINDS[fields.pop("kind")]
        if "addresses" in fields:
            fields["addresses"] = tuple(fields["addresses"])
        return kind(**fields)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no message: {error}") from error
