"""The store of ONVIF devices: where a source's device answers, what it told, and its dated history.

An ONVIF endpoint is confirmed by the roll, by a person, or by a rule that needs nobody (`match:<rule>`); only such a
device is ever sent a credential. What it tells about its streams becomes an endpoint marked `onvif:<endpoint>`.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from catalog.database import Database
from catalog.model.plan import StoredCredential
from catalog.model.sighting import DEVICE_SERVICE, Protocol, SightingState
from catalog.sightings import Recorded

if TYPE_CHECKING:
    import asyncpg

logger = logging.getLogger(__name__)

DUE_AT_ONCE: Final = 200
"""Devices handed out for interrogation at a time."""

EVENTS_SHOWN: Final = 30

SAME_NEWS: Final = timedelta(minutes=10)
"""A device that announces itself again sooner tells nothing new: some do every few seconds."""

_MAX_FAILURE: Final = 300


class DeviceEventKind(StrEnum):
    """A dated fact about a device that is evidence but no state."""

    ANNOUNCED = "announced"
    "It multicast a Hello: it started, or its network came back."
    SAID_GOODBYE = "said_goodbye"
    "It multicast a Bye; whoever can send a datagram could."
    INTERROGATED = "interrogated"
    "It told for the first time who it is."
    FIRMWARE_CHANGED = "firmware_changed"
    IDENTITY_CHANGED = "identity_changed"
    "Maker, model, serial number, hardware id or MAC address are others than before."
    IDENTITY_MISMATCH = "identity_mismatch"
    "It is not the device that the roll says."
    CLOCK_WRONG = "clock_wrong"
    CLOCK_RIGHT = "clock_right"
    STREAM_CHANGED = "stream_changed"
    "Its main stream has another address, encoding or size than before."
    DIRECTION_CHANGED = "direction_changed"
    "Somebody turned it (WX-30.7, SX-16.3)."


@dataclass(frozen=True)
class DeviceEvent:
    """One dated fact."""

    source_id: int
    at: datetime
    kind: DeviceEventKind
    detail: Mapping[str, object] = field(default_factory=dict)
    "JSON values; never a secret."
    person: str | None = None


@dataclass(frozen=True, slots=True)
class DueDevice:
    """A device that is to be interrogated."""

    endpoint_id: int
    source_id: int
    host: str
    port: int
    path: str
    tls_pin_sha256: str | None
    confirmed_by: str
    credential: StoredCredential | None
    roll_mac: str | None
    roll_serial: str | None
    asked_at: datetime | None
    failures: int
    "Failed interrogations in a row so far."
    clock_offset: float | None
    "Seconds, of the last interrogation that succeeded."
    report: Mapping[str, Any] | None
    "Of the last interrogation that succeeded."

    @property
    def version(self) -> int | None:
        """Return the version of the credential; None without one."""
        return None if self.credential is None else self.credential.version


@dataclass(frozen=True, slots=True)
class DeviceRecord:
    """What is shown of a source's ONVIF device."""

    endpoint_id: int
    host: str
    port: int
    path: str
    tls_pin_sha256: str | None
    confirmed_by: str
    asked_at: datetime | None
    answered_at: datetime | None
    next_at: datetime | None
    failures: int
    cause: str | None
    failure: str | None
    clock_offset: float | None
    report: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class StreamAddress:
    """A stream of a device, as it told it."""

    protocol: Protocol
    host: str
    port: int
    path: str


async def adopt_matched(database: Database, recorded: Sequence[Recorded], *, at: datetime) -> int:
    """Make ONVIF devices that a rule decided for the way to their source; return how many were new.

    What a person decided has its endpoint already. A source has one device: where a rule found it before is
    forgotten.
    """
    decided = {
        (one.match.source_id, one.sighting.host, one.sighting.port): one
        for one in recorded
        if one.sighting.protocol is Protocol.ONVIF
        and one.state is SightingState.MATCHED
        and one.match is not None
        and one.match.source_id is not None
    }
    if not decided:
        return 0
    columns = zip(*((*key, _path(one)) for key, one in decided.items()), strict=True)
    missing = await database.fetch("onvif_missing_endpoints", *(list(column) for column in columns))
    for row in missing:
        one = decided[row["source_id"], row["host"], row["port"]]
        rule = "" if one.match is None else one.match.rule.value
        async with database.transaction() as transaction:
            await transaction.execute(
                "sighting_confirm_endpoint",
                row["source_id"],
                Protocol.ONVIF.value,
                row["host"],
                row["port"],
                row["path"],
                at,
                f"match:{rule}",
            )
            await transaction.execute("onvif_keep_streams", row["source_id"], row["host"], row["port"])
            await transaction.execute("onvif_forget_former", row["source_id"], row["host"], row["port"])
        logger.info(
            "source %d has its ONVIF device at %s:%d (%s)",
            row["source_id"],
            row["host"],
            row["port"],
            rule,
            extra={"action": "onvif_adopted", "source_id": row["source_id"]},
        )
    return len(missing)


def _path(recorded: Recorded) -> str:
    path = recorded.sighting.detail.get("path")
    return path if isinstance(path, str) else DEVICE_SERVICE


async def due_devices(
    database: Database,
    gateway_id: str,
    *,
    at: datetime,
    limit: int = DUE_AT_ONCE,
    source_id: int | None = None,
) -> list[DueDevice]:
    """Return the devices that are due at `at`; with `source_id` those of one source, due or not."""
    return [_due(row) for row in await database.fetch("onvif_due", gateway_id, at, limit, source_id)]


async def note_answer(
    database: Database,
    device: DueDevice,
    *,
    at: datetime,
    next_at: datetime,
    clock_offset: float | None,
    report: Mapping[str, object],
) -> None:
    """Store what a device told."""
    await database.execute(
        "onvif_answered",
        device.endpoint_id,
        device.source_id,
        at,
        device.version,
        next_at,
        clock_offset,
        json.dumps(report, ensure_ascii=False),
    )


async def note_failure(
    database: Database, device: DueDevice, *, at: datetime, next_at: datetime, cause: str, failure: str
) -> None:
    """Store that a device could not be interrogated, in one word and one sentence."""
    await database.execute(
        "onvif_failed",
        device.endpoint_id,
        device.source_id,
        at,
        device.version,
        next_at,
        cause,
        failure[:_MAX_FAILURE],
    )


async def hasten(database: Database, hosts: Sequence[str], *, at: datetime, rest: timedelta) -> None:
    """Make the devices at `hosts` due now, except those asked within `rest` and those that refused the password."""
    await database.execute("onvif_hasten", list(hosts), at, at - rest)


async def sources_at(database: Database, hosts: Sequence[str]) -> list[tuple[str, int]]:
    """Return host and source of each confirmed ONVIF device at `hosts`."""
    return [(row["host"], row["source_id"]) for row in await database.fetch("onvif_sources_at", list(hosts))]


async def learn_stream(
    database: Database, device: DueDevice, streams: Sequence[StreamAddress], *, at: datetime
) -> bool:
    """Make the device's main stream a way to its source, unless a person gave one on this host.

    Args:
        database: the catalog.
        device: a device that is certainly the source's.
        streams: main stream first, all on the device's host.
        at: now, UTC.

    Returns:
        Whether the ways to the source changed.
    """
    told_by = f"onvif:{device.endpoint_id}"
    async with database.transaction() as transaction:
        rows = await transaction.fetch("onvif_stream_endpoints", device.source_id)
        given = [row for row in rows if row["is_confirmed"] and row["confirmed_by"] != told_by]
        wanted = [] if any(row["host"] == device.host for row in given) else list(streams[:1])
        learned = {
            (row["protocol"], row["host"], row["port"], row["path"]): row["endpoint_id"]
            for row in rows
            if row["confirmed_by"] == told_by
        }
        keys = [(each.protocol.value, each.host, each.port, each.path) for each in wanted]
        stays = [learned[key] for key in keys if key in learned]
        if len(stays) < len(learned):
            await transaction.execute("onvif_remove_streams", device.source_id, told_by, stays)
        missing = [key for key in keys if key not in learned]
        credential_id = None if device.credential is None else device.credential.credential_id
        for key in missing:
            await transaction.execute("onvif_add_stream", device.source_id, *key, credential_id, at, told_by)
    return bool(missing) or len(stays) < len(learned)


async def withdraw_match(database: Database, device: DueDevice) -> None:
    """Take back an address that only a rule found; the streams that the device there told go with it.

    Where a person attested the address, the streams alone go.
    """
    async with database.transaction() as transaction:
        await transaction.execute("onvif_remove_streams", device.source_id, f"onvif:{device.endpoint_id}", [])
        await transaction.execute("onvif_withdraw_match", device.endpoint_id)


async def device_records(database: Database, source_id: int) -> list[DeviceRecord]:
    """Return the ONVIF devices of a source, the likeliest first."""
    return [_record(row) for row in await database.fetch("onvif_of_source", source_id)]


async def add_events(database: Database, events: Sequence[DeviceEvent]) -> None:
    """Append dated facts about devices; nothing ever changes them."""
    if events:
        rows = (
            (e.source_id, e.at, e.kind.value, e.person, json.dumps(dict(e.detail), ensure_ascii=False))
            for e in events
        )
        await database.execute("device_event_add", *(list(column) for column in zip(*rows, strict=True)))


async def add_fresh_events(database: Database, events: Sequence[DeviceEvent]) -> None:
    """Append facts of one kind, except of sources of which the same was noted within `SAME_NEWS`."""
    if not events:
        return
    ids = [event.source_id for event in events]
    since = max(event.at for event in events) - SAME_NEWS
    rows = await database.fetch("device_event_fresh", ids, events[0].kind.value, since)
    known = {row["source_id"] for row in rows}
    await add_events(database, [event for event in events if event.source_id not in known])


async def recent_events(
    database: Database, source_id: int, *, limit: int = EVENTS_SHOWN
) -> list[DeviceEvent]:
    """Return the newest facts about a source's device, newest first."""
    rows = await database.fetch("device_event_recent", source_id, limit)
    return [
        DeviceEvent(
            source_id, row["at"], DeviceEventKind(row["kind"]), json.loads(row["detail"]), row["person"]
        )
        for row in rows
    ]


def _due(row: "asyncpg.Record") -> DueDevice:
    credential = None
    if row["credential_id"] is not None:
        credential = StoredCredential(
            row["credential_id"], row["ref"], row["version"], row["username"], row["password_encrypted"]
        )
    return DueDevice(
        endpoint_id=row["endpoint_id"],
        source_id=row["source_id"],
        host=row["host"],
        port=row["port"],
        path=row["path"],
        tls_pin_sha256=row["tls_pin_sha256"],
        confirmed_by=row["confirmed_by"],
        credential=credential,
        roll_mac=row["mac"],
        roll_serial=row["serial"],
        asked_at=row["asked_at"],
        failures=row["failures"] or 0,
        clock_offset=row["clock_offset"],
        report=None if row["report"] is None else json.loads(row["report"]),
    )


def _record(row: "asyncpg.Record") -> DeviceRecord:
    return DeviceRecord(
        endpoint_id=row["endpoint_id"],
        host=row["host"],
        port=row["port"],
        path=row["path"],
        tls_pin_sha256=row["tls_pin_sha256"],
        confirmed_by=row["confirmed_by"],
        asked_at=row["asked_at"],
        answered_at=row["answered_at"],
        next_at=row["next_at"],
        failures=row["failures"] or 0,
        cause=row["cause"],
        failure=row["failure"],
        clock_offset=row["clock_offset"],
        report=None if row["report"] is None else json.loads(row["report"]),
    )
