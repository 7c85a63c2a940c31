"""The store of GB/T 28181 devices: who may register, what is known of them, and who was refused.

A device has an account with a password of its own before it can register. Its channels become ways to sources of the
roll by their codes alone; whatever else it tells is kept beside them, visible, and never becomes a source.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from catalog.credentials import Vault, put_credential, set_credential
from catalog.database import Database
from catalog.errors import CatalogError
from catalog.model.codes import GbId
from catalog.model.plan import MediaWay, StoredCredential, StreamKind
from catalog.model.secret import Secret

if TYPE_CHECKING:
    import asyncpg

logger = logging.getLogger(__name__)

CREDENTIAL_PREFIX: Final = "gb28181:"
"""Before a device's code: the ref of its password."""

STRANGERS_KEPT: Final = 10_000
"""Codes in quarantine; a flood of invented ones fills no disk."""

EVENTS_SHOWN: Final = 50

SHORTEST_PASSWORD: Final = 8
"""Characters: a registration is the only proof of who a device is."""


class DeviceRefused(CatalogError):
    """Raised when what a person asks for a device cannot be done: says why and what would help."""

    cause = "device_refused"


class DeviceUnknown(DeviceRefused):
    """Raised when there is no such device at this gateway, or nobody of that code in quarantine."""

    cause = "device_unknown"


class DeviceExists(DeviceRefused):
    """Raised when a device has an account already."""

    cause = "device_exists"


class GbEventKind(StrEnum):
    """A dated fact that a device told or showed."""

    REGISTERED = "registered"
    MOVED = "moved"
    "It registered from another address."
    UNREGISTERED = "unregistered"
    EXPIRED = "expired"
    CHANNEL_ON = "channel_on"
    CHANNEL_OFF = "channel_off"
    VIDEO_LOST = "video_lost"
    DEFECT = "defect"
    CHANNEL_ADDED = "channel_added"
    CHANNEL_GONE = "channel_gone"
    FAULTY = "faulty"
    "Its keepalive says that it is not well."
    WELL = "well"
    ALARM = "alarm"
    POSITION = "position"
    CLOCK = "clock"
    "Its clock is wrong, or right again."
    CLAIMED_TWICE = "claimed_twice"
    "It tells a channel whose source comes over another device."


@dataclass(frozen=True, slots=True)
class GbDevice:
    """One account with its last registration."""

    device_id: str
    name: str
    media: MediaWay
    stream: StreamKind
    added_at: datetime
    added_by: str
    credential: StoredCredential
    transport: str | None
    host: str | None
    port: int | None
    link: int | None
    registered_at: datetime | None
    expires_at: datetime | None
    version: str
    user_agent: str
    left_at: datetime | None
    left_why: str | None
    told: Mapping[str, Any]
    clock_offset: float | None
    catalog_at: datetime | None
    catalog_whole: bool | None
    channels: int
    "Channels that may deliver video."
    matched: int
    "Channels that are the way to a source."

    def is_registered(self, now: datetime) -> bool:
        """Return whether its last registration holds at `now`, as far as is stored."""
        return self.left_at is None and self.expires_at is not None and self.expires_at > now


@dataclass(frozen=True, slots=True)
class GbRegistration:
    """A registration to be stored."""

    device_id: str
    transport: str
    host: str
    port: int
    link: int
    at: datetime
    expires_at: datetime
    version: str
    user_agent: str


@dataclass(frozen=True, slots=True)
class GbChannel:
    """A channel to be stored."""

    channel_id: str
    name: str
    manufacturer: str
    model: str
    parent_id: str
    is_video: bool
    is_on: bool | None
    detail: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ListedChannel:
    """A channel as stored."""

    channel_id: str
    name: str
    manufacturer: str
    model: str
    parent_id: str
    is_video: bool
    is_on: bool | None
    detail: Mapping[str, Any]
    first_seen_at: datetime
    last_seen_at: datetime
    missing_since: datetime | None
    source_id: int | None
    "The source that it is the way to; None: not on the roll, or another device's."
    is_shared: bool
    "Whether another device tells the same code."


@dataclass(frozen=True, slots=True)
class GbWay:
    """A source that comes over a device."""

    source_id: int
    device_id: str
    channel_id: str
    is_on: bool | None


@dataclass(frozen=True, slots=True)
class Stranger:
    """Somebody who tried to register and was refused."""

    device_id: str
    transport: str
    host: str
    port: int
    why: str
    user_agent: str
    times: int


@dataclass(frozen=True, slots=True)
class ListedStranger(Stranger):
    """A stranger as stored."""

    first_at: datetime
    last_at: datetime
    refused_at: datetime | None
    refused_by: str | None


@dataclass(frozen=True, slots=True)
class GbEvent:
    """One dated fact."""

    device_id: str
    channel_id: str
    at: datetime
    kind: GbEventKind
    detail: Mapping[str, object] = field(default_factory=dict)


# -- accounts ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class NewDevice:
    """An account to be made."""

    device_id: str
    password: Secret
    name: str = ""
    media: MediaWay = MediaWay.TCP_PASSIVE
    stream: StreamKind = StreamKind.MAIN

    def __post_init__(self) -> None:
        _check_password(self.password)
        try:
            code = GbId(self.device_id)
        except ValueError as error:
            raise DeviceRefused(f"{self.device_id!r}: {error}") from error
        if code.kind.value not in ("front_end", "peripheral", "platform"):
            raise DeviceRefused(f"{self.device_id}: type {code.type} is neither a device nor a platform")
        if len(self.name) > 100:
            raise DeviceRefused("a name is at most 100 characters")


def _check_password(password: Secret) -> None:
    if len(password.reveal()) < SHORTEST_PASSWORD:
        raise DeviceRefused(f"the password of a device needs {SHORTEST_PASSWORD} characters or more")


async def add_device(
    database: Database, vault: Vault, gateway_id: str, new: NewDevice, *, by: str, at: datetime
) -> None:
    """Make the account of a device; what of it stands in quarantine is settled by that.

    Raises:
        DeviceExists: there is one already.
        DatabaseAway: not made, or not known to be made; making it again tells.
    """
    ref, login = CREDENTIAL_PREFIX + new.device_id, (new.device_id, new.password)
    # In one: an account that is there already keeps its password.
    async with database.transaction() as transaction:
        credential_id, _ = await put_credential(transaction, vault, ref=ref, login=login, by=by, at=at)
        made = await transaction.fetchval(
            "gb_device_add",
            *(new.device_id, gateway_id, new.name, credential_id, new.media.value, new.stream.value, at, by),
        )
        if made is None:
            raise DeviceExists(f"device {new.device_id} has an account already; its password can be changed")
        await transaction.execute("gb_stranger_accept", new.device_id)
    logger.info("device %s may register", new.device_id, extra={"action": "gb28181_added", "person": by})


async def set_device_password(
    database: Database, vault: Vault, gateway_id: str, login: tuple[str, Secret], *, by: str, at: datetime
) -> None:
    """Change the password of a device; its registration holds until it has to prove itself again.

    Args:
        database: the catalog.
        vault: encrypts the password.
        gateway_id: of this gateway.
        login: the device's code and its new password.
        by: the named person.
        at: when, UTC.

    Raises:
        DeviceRefused: there is no such account, or the password is too short.
        DatabaseAway: no answer.
    """
    device_id, password = login
    _check_password(password)
    await device(database, gateway_id, device_id)
    ref = CREDENTIAL_PREFIX + device_id
    await set_credential(database, vault, ref=ref, login=(device_id, password), by=by, at=at)
    logger.info("device %s has a new password", device_id, extra={"action": "gb28181_password", "person": by})


async def change_device(
    database: Database,
    gateway_id: str,
    device_id: str,
    *,
    name: str | None = None,
    media: MediaWay | None = None,
    stream: StreamKind | None = None,
) -> None:
    """Change name, way of the media or stream of a device; None leaves as it is.

    Raises:
        DeviceUnknown: there is no such account.
    """
    async with database.transaction() as transaction:
        changed = await transaction.fetchval(
            "gb_device_change", device_id, gateway_id, name, media and media.value, stream and stream.value
        )
        if changed is None:
            raise _unknown(device_id)
        await transaction.execute("gb_endpoints_by_media", device_id)


async def remove_device(database: Database, gateway_id: str, device_id: str, *, by: str) -> None:
    """Remove the account of a device, its password, and the ways over it; its sources stay on the roll.

    Raises:
        DeviceUnknown: there is no such account.
    """
    async with database.transaction() as transaction:
        credential_id = await transaction.fetchval("gb_device_remove", device_id, gateway_id)
        if credential_id is None:
            raise _unknown(device_id)
        await transaction.execute("gb_endpoints_forget", device_id)
        await transaction.execute("gb_credential_forget", credential_id)
    logger.info("device %s was removed", device_id, extra={"action": "gb28181_removed", "person": by})


def _unknown(device_id: str) -> DeviceUnknown:
    return DeviceUnknown(f"there is no device {device_id} at this gateway; `gb28181 list` shows them")


async def devices(database: Database, gateway_id: str) -> list[GbDevice]:
    """Return every account of a gateway, by code."""
    return [_device(row) for row in await database.fetch("gb_devices", gateway_id, None)]


async def device(database: Database, gateway_id: str, device_id: str) -> GbDevice:
    """Return one account.

    Raises:
        DeviceUnknown: there is none.
    """
    rows = await database.fetch("gb_devices", gateway_id, device_id)
    if not rows:
        raise _unknown(device_id)
    return _device(rows[0])


def _device(row: "asyncpg.Record") -> GbDevice:
    values = dict(row)
    credential = StoredCredential(
        values.pop("credential_id"),
        values.pop("ref"),
        values.pop("credential_version"),
        values.pop("username"),
        values.pop("password_encrypted"),
    )
    values["media"] = MediaWay(values["media"])
    values["stream"] = StreamKind(values["stream"])
    values["told"] = _json(values["told"])
    return GbDevice(credential=credential, **values)


def _json(value: object) -> Any:
    return json.loads(value) if isinstance(value, str) else value


# -- what is seen of them ----------------------------------------------------------------------------------------------


async def store_registrations(database: Database, registrations: Sequence[GbRegistration]) -> None:
    """Store registrations, a device once; the ways over a device follow its address."""
    if not registrations:
        return
    columns = [
        [getattr(each, name) for each in registrations]
        for name in (
            "device_id",
            "transport",
            "host",
            "port",
            "link",
            "at",
            "expires_at",
            "version",
            "user_agent",
        )
    ]
    async with database.transaction() as transaction:
        await transaction.execute("gb_registered", *columns)
        await transaction.execute("gb_endpoints_move", columns[0], columns[2])


async def store_leaves(database: Database, left: Sequence[tuple[str, datetime, str]]) -> None:
    """Store that devices left: code, when, `unregistered` or `expired`."""
    if left:
        await database.execute("gb_left", *(list(column) for column in zip(*left, strict=True)))


async def store_told(
    database: Database, device_id: str, fields: Mapping[str, object], *, clock_offset: float | None = None
) -> None:
    """Store what a device told of itself, field by field."""
    await database.execute("gb_told", device_id, json.dumps(fields), clock_offset)


@dataclass(frozen=True)
class CatalogTaken:
    """What storing a catalog led to."""

    added: tuple[GbWay, ...]
    "Sources that come over this device from now on."
    conflicts: tuple[tuple[int, str], ...]
    "Sources that it claims and that come over another device, with the channel."


async def store_catalog(
    database: Database,
    gateway_id: str,
    address: tuple[str, str],
    channels: Sequence[GbChannel],
    *,
    at: datetime,
    is_whole: bool,
) -> CatalogTaken:
    """Store the channels of a device, and make those of the roll the way to their sources.

    A source of the roll that bears the device's own code is its only video channel, or the device itself where it
    has none. A source that comes over another device stays there: two devices that claim one code are a fault that
    a person has to look at.

    Args:
        database: the catalog.
        gateway_id: of this gateway.
        address: code and host of the device.
        channels: as told.
        at: when, UTC.
        is_whole: whether nothing is missing, so that what is not among them is gone.
    """
    device_id, host = address
    async with database.transaction() as transaction:
        await transaction.execute("gb_catalog_took", device_id, at, is_whole)
        await transaction.execute("gb_channels_put", device_id, at, *_channel_columns(channels))
        if is_whole:
            await transaction.execute(
                "gb_channels_missing", device_id, at, [each.channel_id for each in channels]
            )
        codes = _codes(device_id, channels)
        rows = await transaction.fetch("gb_sources", gateway_id, list(codes))
        mine = f"gb28181:{device_id}"
        added = [row for row in rows if row["confirmed_by"] is None]
        taken = [row for row in rows if row["confirmed_by"] not in (None, mine)]
        await transaction.execute(
            "gb_endpoints_add",
            device_id,
            at,
            host,
            [row["source_id"] for row in added],
            [codes[row["gb_id"]] for row in added],
        )
    on = {each.channel_id: each.is_on for each in channels}
    return CatalogTaken(
        tuple(
            GbWay(row["source_id"], device_id, codes[row["gb_id"]], on.get(codes[row["gb_id"]]))
            for row in added
        ),
        tuple((row["source_id"], codes[row["gb_id"]]) for row in taken),
    )


def _codes(device_id: str, channels: Sequence[GbChannel]) -> dict[str, str]:
    """Return by which channel a source with a certain code would come."""
    video = [each.channel_id for each in channels if each.is_video]
    codes = {channel_id: channel_id for channel_id in video}
    if device_id not in codes and len(video) <= 1 and GbId(device_id).may_deliver_video:
        codes[device_id] = video[0] if video else device_id
    return codes


def _channel_columns(channels: Sequence[GbChannel]) -> list[list[object]]:
    names = ("channel_id", "name", "manufacturer", "model", "parent_id", "is_video", "is_on")
    columns: list[list[object]] = [[getattr(each, name) for each in channels] for name in names]
    columns.append([json.dumps(dict(each.detail), ensure_ascii=False) for each in channels])
    return columns


async def store_turns(database: Database, turns: Sequence[tuple[str, str, bool]], *, at: datetime) -> None:
    """Store what was told of single channels: device, channel, whether on."""
    if turns:
        columns = [list(column) for column in zip(*turns, strict=True)]
        await database.execute("gb_channels_turned", *columns, at)


async def channels(database: Database, device_id: str) -> list[ListedChannel]:
    """Return the channels of a device, by code."""
    return [
        ListedChannel(**{**dict(row), "detail": _json(row["detail"])})
        for row in await database.fetch("gb_channels", device_id)
    ]


async def ways(database: Database, gateway_id: str) -> list[GbWay]:
    """Return every source of a gateway that comes over a device."""
    return [GbWay(**dict(row)) for row in await database.fetch("gb_ways", gateway_id)]


# -- quarantine and events ---------------------------------------------------------------------------------------------


async def store_strangers(database: Database, strangers: Sequence[Stranger], *, at: datetime) -> None:
    """Note who was refused, a code once; beyond `STRANGERS_KEPT` those that were longest quiet are forgotten."""
    if not strangers:
        return
    names = ("device_id", "transport", "host", "port", "why", "user_agent", "times")
    columns = [[getattr(each, name) for each in strangers] for name in names]
    async with database.transaction() as transaction:
        await transaction.execute("gb_strangers_put", *columns, at)
        await transaction.execute("gb_strangers_bound", STRANGERS_KEPT)


async def strangers(database: Database, *, most: int = 500) -> list[ListedStranger]:
    """Return the quarantine: who waits for a decision first, the latest first."""
    return [ListedStranger(**dict(row)) for row in await database.fetch("gb_strangers", most)]


async def refuse_stranger(database: Database, device_id: str, *, by: str, at: datetime) -> None:
    """Decide that a stranger stays outside.

    Raises:
        DeviceUnknown: there is no such one in quarantine.
    """
    if await database.fetchval("gb_stranger_refuse", device_id, at, by) is None:
        raise DeviceUnknown(f"{device_id} is not in quarantine")
    logger.info("%s stays outside", device_id, extra={"action": "gb28181_refused", "person": by})


async def forget_strangers(database: Database, *, before: datetime) -> int:
    """Forget strangers whose last try was before an instant; return how many."""
    return await database.execute("gb_strangers_forget", before)


async def store_events(database: Database, events: Sequence[GbEvent]) -> None:
    """Append dated facts."""
    if events:
        await database.execute(
            "gb_events_add",
            [each.device_id for each in events],
            [each.channel_id for each in events],
            [each.at for each in events],
            [each.kind.value for each in events],
            [json.dumps(dict(each.detail), ensure_ascii=False) for each in events],
        )


async def events(database: Database, device_id: str) -> list[GbEvent]:
    """Return what a device told or showed, the latest first."""
    return [
        GbEvent(device_id, row["channel_id"], row["at"], GbEventKind(row["kind"]), _json(row["detail"]))
        for row in await database.fetch("gb_events", device_id, EVENTS_SHOWN)
    ]
