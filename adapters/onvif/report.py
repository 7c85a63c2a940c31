"""What an ONVIF device says of itself: pure values, the same whether Media or Media2 told them.

Names are ONVIF's (Core, Media, Media2 and PTZ Service Specifications) in snake_case. Every text is a device's own
word: bounded by the client, and never trusted to be true.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Identity:
    """`GetDeviceInformation`; "" where the device leaves a field empty."""

    manufacturer: str
    model: str
    firmware_version: str
    serial_number: str
    hardware_id: str


@dataclass(frozen=True, slots=True)
class NetworkInterface:
    """One entry of `GetNetworkInterfaces`."""

    name: str
    mac: str
    '`HwAddress` as twelve lower-case hex digits in pairs, `00:11:22:aa:bb:cc`; "" when it is none.'
    addresses: Sequence[str]
    "IPv4 and IPv6 addresses in text form."


@dataclass(frozen=True, slots=True)
class Service:
    """One entry of `GetServices`, its address already rewritten to the host that we reached."""

    namespace: str
    xaddr: str
    version: str
    "`major.minor`."


@dataclass(frozen=True, slots=True)
class MediaProfile:
    """One profile of Media or Media2 with its video encoder's settings."""

    token: str
    name: str
    encoding: str
    '`H264`, `H265`, `JPEG`, … in upper case; "" when the profile has no video encoder.'
    width: int
    "Pixels; 0 when unknown."
    height: int
    "Pixels; 0 when unknown."
    frame_rate: float
    "Frames per second; 0 when unknown."
    bitrate: int
    "kbit/s; 0 when unknown."
    gop: int
    "Frames from key frame to key frame (`GovLength`); 0 when unknown."
    stream_uri: str
    "RTSP address, rewritten to the host that we reached and without user name or password."
    snapshot_uri: str
    'HTTP address, rewritten likewise; "" when the device offers none.'
    has_ptz: bool
    video_source: str
    "Token of the video source: profiles that share one are main and sub stream of one lens."


@dataclass(frozen=True, slots=True)
class DeviceReport:
    """One interrogation."""

    identity: Identity
    services: Sequence[Service]
    interfaces: Sequence[NetworkInterface]
    profiles: Sequence[MediaProfile]
    "Main stream first: most pixels, then highest bitrate."
    clock_offset: float | None
    "Seconds that the device's clock is ahead of ours (UTC); None when it would not tell."
    rewritten_xaddrs: Sequence[str]
    "Addresses that named another host than the one reached, as the device wrote them."
    deviations: Sequence[str]
    "One sentence for each departure from the standard that was worked round."


@dataclass(frozen=True, slots=True)
class PanTilt:
    """A vector of the generic pan/tilt space: each from -1 to 1 (0 to 1 for zoom); None leaves that axis alone."""

    pan: float | None = None
    tilt: float | None = None
    zoom: float | None = None


@dataclass(frozen=True, slots=True)
class PtzStatus:
    """`GetStatus` of the PTZ service."""

    position: PanTilt
    moving: bool | None
    "None when the device does not tell."
    utc_time: datetime | None


@dataclass(frozen=True, slots=True)
class Preset:
    """One entry of `GetPresets`."""

    token: str
    name: str
