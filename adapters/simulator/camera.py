"""What one virtual camera is, and what is wrong with it."""

import uuid
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from enum import StrEnum

from catalog.model.secret import Secret


class Asks(StrEnum):
    """How a camera asks who asks."""

    NOTHING = "nothing"
    MESSAGE = "message"
    "WS-UsernameToken, as ONVIF prescribes."
    MD5 = "md5"
    "HTTP Digest."
    SHA256 = "sha256"
    BOTH = "both"
    "HTTP Digest MD5 and WS-UsernameToken together."


class Fault(StrEnum):
    """What a camera does wrong; each can be switched on and off while it runs."""

    AWAY = "away"
    "It is switched off: nothing answers at its address."
    SILENT = "silent"
    "It takes requests of ONVIF and never answers."
    FROZEN = "frozen"
    "It plays, and no picture comes."
    BROKEN_XML = "broken_xml"
    "Its answers use prefixes that they do not declare."
    FOREIGN_XADDR = "foreign_xaddr"
    "It names another host as its own in every address."
    BUSY = "busy"
    "It refuses every stream: 453."


@dataclass(frozen=True)
class VirtualCamera:
    """One camera; everything about it stays but its faults and its clock."""

    name: str
    host: str
    "An IPv4 address of this machine, its own alone."
    http_port: int = 80
    rtsp_port: int = 554
    username: str = "admin"
    password: Secret = field(default_factory=lambda: Secret(""))
    asks: Asks = Asks.MESSAGE
    manufacturer: str = "Virtual"
    model: str = "V-1"
    firmware: str = "1.0.0"
    serial: str = "V000001"
    mac: str = "02:00:00:00:00:01"
    has_media2: bool = True
    has_ptz: bool = True
    codec: str = "H264"
    "`H264` or `H265`."
    width: int = 640
    height: int = 360
    frame_rate: int = 10
    key_every: int = 2
    "Seconds between two key pictures, up to those of a clip."
    noise: int = 0
    "Rows of the picture that are noise: they make the bitrate of a busy street."

    @property
    def endpoint(self) -> str:
        """Return its name in WS-Discovery, the same at each start."""
        return f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'{self.serial} {self.mac}')}"

    @property
    def gov_length(self) -> int:
        """Return the pictures from key picture to key picture, as ONVIF's `GovLength`."""
        return self.key_every * self.frame_rate

    @property
    def base(self) -> str:
        """Return the address of its services."""
        return f"http://{self.host}:{self.http_port}"

    @property
    def stream_uri(self) -> str:
        """Return the address of its main stream."""
        return f"rtsp://{self.host}:{self.rtsp_port}/main"


@dataclass
class Condition:
    """How a camera is just now."""

    faults: AbstractSet[Fault] = frozenset()
    clock_offset: float = 0.0
    "Seconds that its clock is ahead."
    firmware: str = ""
    'Another firmware than it came with; "" for that.'
    pan: float = 0.0
    tilt: float = 0.0
    zoom: float = 0.0
    is_moving: bool = False
    key_frames_asked: int = 0
    "How often SetSynchronizationPoint was called; each time every client gets a key picture next."
    presets: dict[str, str] = field(default_factory=dict)
    "Name by token."

    def has(self, fault: Fault) -> bool:
        """Tell whether a fault is switched on."""
        return fault in self.faults
