"""What the API tells and takes about GB/T 28181 devices; an allow-list: what is not named here goes out nowhere."""

from datetime import date
from typing import Annotated

from pydantic import Field, SecretStr

from catalog.model.plan import MediaWay, StreamKind
from gateway.api.bodies import Text
from gateway.api.registry import Answer, Schema
from gateway.api.schemas import Dated, Instant

DeviceCode = Annotated[str, Field(pattern=r"^[0-9]{20}$")]
DevicePassword = Annotated[SecretStr, Field(min_length=8, max_length=255)]


class RecordingsQuery(Schema):
    """Which day to ask for."""

    day: date = Field(description="Local day; a device is asked for one day at a time.")


class RecordingAnswer(Answer):
    """One stretch of video that a device says it holds."""

    starts_at: Instant
    ends_at: Instant
    kind: str = Field(description="As the device calls it: time, alarm, manual.")
    size: int | None = Field(description="Octets, where it says so.")


class RecordingsAnswer(Dated):
    """What a device says it holds of one day: its word, and no look at any picture."""

    items: tuple[RecordingAnswer, ...]
    whole: bool = Field(description="Whether as many came as it announced.")
    covered: float = Field(description="Seconds of the day that these recordings cover.")


class GbDeviceBody(Schema):
    """A device or lower platform that may register, with a password of its own; nobody can read it again."""

    device_id: DeviceCode
    password: DevicePassword
    name: Annotated[str, Field(max_length=100)] = ""
    media: MediaWay = MediaWay.TCP_PASSIVE
    stream: StreamKind = StreamKind.MAIN


class GbDeviceChangeBody(Schema):
    """What changes of a device; what is left out stays."""

    name: Annotated[str, Field(max_length=100)] | None = None
    media: MediaWay | None = None
    stream: StreamKind | None = None
    password: DevicePassword | None = None


class GbDeviceAnswer(Answer):
    """A device that may register, with its last registration."""

    device_id: str
    name: str
    media: MediaWay
    stream: StreamKind
    added_at: Instant
    added_by: str
    registered: bool = Field(description="Whether its last registration holds.")
    transport: str | None
    host: str | None
    port: int | None
    registered_at: Instant | None
    expires_at: Instant | None
    version: str = Field(
        description="X-GB-ver: 2.0 is GB/T 28181-2016, 3.0 is 2022; empty where it gave none."
    )
    user_agent: str
    left_at: Instant | None
    left_why: str | None
    clock_offset: float | None = Field(description="Seconds that its clock was ahead of ours.")
    catalog_at: Instant | None
    catalog_whole: bool | None = Field(
        description="Whether its catalog held as many channels as it announced."
    )
    channels: int = Field(description="Channels that may deliver video.")
    matched: int = Field(description="Channels that are the way to a source of the roll.")


class GbDevicesAnswer(Dated):
    """Every device of the gateway, by code."""

    items: tuple[GbDeviceAnswer, ...]


class GbChannelAnswer(Answer):
    """What a device told of one channel."""

    channel_id: str
    name: str
    manufacturer: str
    model: str
    parent_id: str
    is_video: bool
    is_on: bool | None = Field(description="Its last word; null where it says nothing that we know.")
    detail: dict[str, object]
    first_seen_at: Instant
    last_seen_at: Instant
    missing_since: Instant | None
    source_id: int | None = Field(description="The source that it is the way to; null: not on the roll.")
    is_shared: bool = Field(description="Whether another device tells the same code.")


class GbEventAnswer(Answer):
    """One dated fact that a device told or showed."""

    at: Instant
    kind: str
    channel_id: str
    detail: dict[str, object]


class GbDeviceDetailAnswer(Dated):
    """A device with what it told of itself, its channels, and what happened, newest first."""

    device: GbDeviceAnswer
    told: dict[str, object] = Field(description="DeviceInfo and DeviceStatus, field by field.")
    channels: tuple[GbChannelAnswer, ...]
    events: tuple[GbEventAnswer, ...]


class GbStrangerAnswer(Answer):
    """Somebody who tried to register and was refused."""

    device_id: str = Field(description="As it gave it.")
    transport: str
    host: str
    port: int
    why: str
    user_agent: str
    times: int
    first_at: Instant
    last_at: Instant
    refused_at: Instant | None
    refused_by: str | None


class GbQuarantineAnswer(Dated):
    """Who was refused: those that wait for a decision first, the latest first."""

    items: tuple[GbStrangerAnswer, ...]


class GbRefuseBody(Schema):
    """Who stays outside."""

    device_id: Text
