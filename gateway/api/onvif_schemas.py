"""What the API tells and takes about ONVIF devices; an allow-list: what is not named here goes out nowhere."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from gateway.api.bodies import Text
from gateway.api.registry import Answer, Schema
from gateway.api.schemas import Dated, Instant

Fraction = Annotated[float, Field(ge=-1, le=1)]
Token = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f]+$")]


class OnvifIdentityAnswer(Answer):
    """What the device says it is."""

    manufacturer: str
    model: str
    firmware_version: str
    serial_number: str
    hardware_id: str


class OnvifInterfaceAnswer(Answer):
    """One network interface of the device."""

    name: str
    mac: str
    addresses: tuple[str, ...]


class OnvifServiceAnswer(Answer):
    """One service of the device, at the address under which it is reached."""

    namespace: str
    xaddr: str
    version: str


class OnvifProfileAnswer(Answer):
    """One media profile; the main stream stands first."""

    token: str
    name: str
    encoding: str
    width: int
    height: int
    frame_rate: float
    bitrate: int = Field(description="kbit/s; 0 when unknown.")
    gop: int = Field(description="Frames from key frame to key frame; 0 when unknown.")
    stream_uri: str = Field(description="Without user name and password.")
    snapshot_uri: str
    has_ptz: bool
    video_source: str


class OnvifReportAnswer(Answer):
    """What an interrogation told."""

    identity: OnvifIdentityAnswer
    services: tuple[OnvifServiceAnswer, ...]
    interfaces: tuple[OnvifInterfaceAnswer, ...]
    profiles: tuple[OnvifProfileAnswer, ...]
    clock_offset: float | None = Field(description="Seconds that the device's clock is ahead of ours.")
    rewritten_xaddrs: tuple[str, ...] = Field(
        description="Addresses of other hosts that the device named; not followed."
    )
    deviations: tuple[str, ...]


class OnvifDeviceAnswer(Answer):
    """One ONVIF device of a source."""

    endpoint_id: int
    host: str
    port: int
    path: str
    pinned: bool
    confirmed_by: str = Field(description="A person, `roll:` and who imported it, or `match:` and the rule.")
    asked_at: Instant | None
    answered_at: Instant | None
    next_at: Instant | None
    failures: int
    cause: str | None = Field(description="Why the last interrogation failed, in one word.")
    failure: str | None
    clock_offset: float | None
    report: OnvifReportAnswer | None


class DeviceEventAnswer(Answer):
    """One dated fact about the device."""

    at: Instant
    kind: str
    person: str | None
    detail: dict[str, object]


class OnvifAnswer(Dated):
    """The ONVIF devices of a source, and what happened to them, newest first."""

    devices: tuple[OnvifDeviceAnswer, ...]
    events: tuple[DeviceEventAnswer, ...]


class PtzBody(Schema):
    """A command to turn a camera; each is recorded with what it is for (WX-29.1, SX-16.6)."""

    purpose: Text
    command: Literal[
        "move",
        "move_to",
        "move_by",
        "stop",
        "go_to_preset",
        "set_preset",
        "remove_preset",
        "go_to_home",
        "set_home",
    ]
    pan: Fraction | None = None
    tilt: Fraction | None = None
    zoom: Fraction | None = None
    seconds: Annotated[float, Field(ge=0.1, le=10)] = 1.0
    "Of a continuous movement, unless another command comes."
    preset: Token | None = None
    name: Token | None = None

    @model_validator(mode="after")
    def _fields_fit(self) -> Self:
        if self.command in ("move", "move_to", "move_by") and (self.pan, self.tilt, self.zoom) == (
            None,
            None,
            None,
        ):
            raise ValueError("a movement needs pan, tilt or zoom")
        if self.command in ("go_to_preset", "remove_preset") and self.preset is None:
            raise ValueError("name the preset")
        if self.command == "set_preset" and self.name is None:
            raise ValueError("give the preset a name")
        return self


class PtzDoneAnswer(Answer):
    """A command that the device took."""

    preset: str | None = Field(default=None, description="Token of a position that was stored.")
    stops_in: float | None = Field(
        default=None,
        description="Seconds until a continuous movement is stopped, unless another command comes.",
    )


class PositionAnswer(Answer):
    """Where a camera looks, in the generic spaces."""

    pan: float | None
    tilt: float | None
    zoom: float | None


class PresetAnswer(Answer):
    """A stored position."""

    token: str
    name: str


class PtzAnswer(Dated):
    """What a camera's mechanism says."""

    position: PositionAnswer | None
    moving: bool | None
    presets: tuple[PresetAnswer, ...]
