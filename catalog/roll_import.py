"""Takes a roll into the catalog: all or nothing, by comparison, without ever deleting a source.

The file's rows are copied into a temporary table, matched to live sources (`catalog.roll_row` says how), compared
column by column and written by a handful of set-based statements in one transaction. A row that the file no
longer has retires its source; its history stays.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from asyncpg import Record

from catalog.database import Database, Transaction
from catalog.jurisdictions import Jurisdictions
from catalog.model.codes import CivilCode
from catalog.model.sighting import DEVICE_SERVICE
from catalog.reading import LOCAL
from catalog.roll_row import RollRow

logger = logging.getLogger(__name__)

TIMEOUT: Final = 120.0
"""Seconds for each of the import's statements."""

RTSPS_PORT: Final = 322
"""RTSP over TLS by its registered port (RFC 7826, section 4.2); the roll has no column for the scheme."""

RETIRED_SHARE: Final = 0.5
"""A file that would retire more than this share of the roll is refused unless that is said to be meant."""
FEW_SOURCES: Final = 20
"""So many may go without asking."""

MANY_SOURCES: Final = 1_000
"""From so many on the planner's statistics are brought up to date."""

_STAGE_COLUMNS: Final = (
    "row",
    "key",
    "alternative_key",
    "unit",
    "unit_kind",
    "system",
    "site",
    "class",
    "location_type",
    "district",
    "gb_id",
    "protocol",
    "host",
    "port",
    "path",
    "mac",
    "serial",
    "credential_ref",
    "due_on",
    "basis",
    "attested",
    "rejected_by",
)
_COMPARED: Final = (
    "unit",
    "unit_kind",
    "system",
    "site",
    "class",
    "location_type",
    "civil_code",
    "gb_id",
    "host",
    "port",
    "rtsp_path",
    "mac",
    "serial",
    "credential_ref",
    "connect_due_date",
    "basis",
    "address_attested",
    "lifecycle",
)


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One column of one row, before and after."""

    column: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class RollChange:
    """A known source that the file changes."""

    row: RollRow
    source_id: int
    fields: tuple[FieldChange, ...]


@dataclass(frozen=True, slots=True)
class RetiredSource:
    """A source that stands in the roll no more."""

    source_id: int
    unit: str
    system: str
    site: str
    gb_id: str | None


@dataclass(frozen=True, slots=True)
class RollDifference:
    """What an import does, or would do."""

    added: tuple[RollRow, ...]
    changed: tuple[RollChange, ...]
    retired: tuple[RetiredSource, ...]
    unchanged: int
    rejected: tuple[RollRow, ...]
    """Rows, also among the others, whose location the law forbids: kept, and never relayed."""
    live_before: int
    """Live sources of the roll in the file's jurisdictions before the import."""

    @property
    def is_empty(self) -> bool:
        """Whether the catalog already says what the file says."""
        return not (self.added or self.changed or self.retired)

    @property
    def retires_too_many(self) -> bool:
        """Whether so many sources would go that the file is more likely incomplete."""
        gone = len(self.retired)
        return gone > FEW_SOURCES and gone > RETIRED_SHARE * self.live_before


@dataclass(frozen=True, slots=True)
class ImportOrder:
    """Who imports, when, and for which gateway."""

    gateway_id: str
    """A gateway known to the catalog; it shall observe new sites."""
    imported_by: str
    """The person who attests the addresses that the file calls attested."""
    at: datetime
    """Now, aware."""
    allow_mass_retirement: bool = False
    """Whether a file that retires most of the roll is meant."""


class MassRetirement(ValueError):
    """Raised when an import would retire most of the roll and nobody said that this is meant."""

    cause = "mass_retirement"

    def __init__(self, difference: RollDifference) -> None:
        super().__init__(
            f"the file would retire {len(difference.retired)} of {difference.live_before} sources; "
            "if that is meant, say so"
        )
        self.difference = difference


async def plan_import(
    database: Database, rows: Sequence[RollRow], jurisdictions: Jurisdictions
) -> RollDifference:
    """Return what `apply_import` would do; changes nothing.

    Raises:
        CatalogError: as `Statements.fetch`.
    """
    async with database.transaction() as transaction:
        return await _compare(transaction, rows, jurisdictions)


async def apply_import(
    database: Database, rows: Sequence[RollRow], jurisdictions: Jurisdictions, order: ImportOrder
) -> RollDifference:
    """Bring the catalog up to the file, all or nothing, and return what was done. Repeating it does nothing.

    Args:
        database: the catalog.
        rows: the whole file, from `read_roll`.
        jurisdictions: the same that the file was read with.
        order: who imports, and when.

    Raises:
        MassRetirement: the file would retire more than `RETIRED_SHARE` of the roll; nothing was changed.
        CatalogError: as `Statements.fetch`; nothing was changed.
    """
    async with database.transaction() as transaction:
        difference = await _compare(transaction, rows, jurisdictions)
        if difference.retires_too_many and not order.allow_mass_retirement:
            raise MassRetirement(difference)
        if not difference.is_empty:
            await _write_jurisdictions(transaction, rows, jurisdictions)
            await _write_roll(transaction, difference, order)
            await _write_duties(transaction, _reach(rows, jurisdictions), order.at)
            await _write_counts(transaction, difference, order.at)
    logger.info(
        "roll of %s rows imported by %s: %s added, %s changed, %s retired",
        len(rows),
        order.imported_by,
        len(difference.added),
        len(difference.changed),
        len(difference.retired),
        extra={"action": "roll_imported"},
    )
    return difference


def _reach(rows: Sequence[RollRow], jurisdictions: Jurisdictions) -> list[str]:
    """Return LIKE patterns of the districts in which a row missing from the file means a withdrawn one."""
    widest = (jurisdictions.widest(district) for district in {row.district for row in rows})
    return sorted({f"{item.code.significant}%" for item in widest if item is not None})


async def _compare(
    transaction: Transaction, rows: Sequence[RollRow], jurisdictions: Jurisdictions
) -> RollDifference:
    await transaction.execute("roll_lock", within=TIMEOUT)
    await transaction.execute("roll_stage_create")
    await transaction.copy("roll_stage", _STAGE_COLUMNS, _staged(rows), within=TIMEOUT)
    reach = _reach(rows, jurisdictions)
    live_before = await transaction.fetchval("roll_live_count", reach, within=TIMEOUT)
    if live_before >= MANY_SOURCES:
        await transaction.execute("roll_analyze", within=TIMEOUT)
    for name in (
        "roll_stage_index",
        "roll_stage_analyze",
        "roll_match_key",
        "roll_match_gb_id",
        "roll_match_alternative",
        "roll_current_create",
    ):
        await transaction.execute(name, within=TIMEOUT)
    await transaction.execute("roll_wanted_create", _location_grounds(jurisdictions), within=TIMEOUT)
    by_number = {row.row: row for row in rows}
    added = [by_number[record["row"]] for record in await transaction.fetch("roll_added", within=TIMEOUT)]
    changed = [
        RollChange(by_number[record["row"]], record["source_id"], _field_changes(record))
        async for record in transaction.stream("roll_changes", within=TIMEOUT)
    ]
    retired = [
        RetiredSource(record["source_id"], record["unit"], record["system"], record["site"], record["gb_id"])
        for record in await transaction.fetch("roll_retired", reach, within=TIMEOUT)
    ]
    return RollDifference(
        added=tuple(added),
        changed=tuple(changed),
        retired=tuple(retired),
        unchanged=len(rows) - len(added) - len(changed),
        rejected=tuple(row for row in rows if row.rejected_by),
        live_before=live_before,
    )


def _location_grounds(jurisdictions: Jurisdictions) -> list[str]:
    """Return the requirement ids by which a source may have been rejected for its location."""
    return sorted(
        {
            requirement
            for jurisdiction in jurisdictions
            for location in jurisdiction.effective().forbidden_locations
            for requirement in location.named_by
        }
    )


def _staged(rows: Sequence[RollRow]) -> Iterator[tuple[object, ...]]:
    for row in rows:
        protocol, path = _way(row)
        yield (
            row.row,
            row.key,
            row.alternative_key,
            row.unit,
            row.unit_kind,
            row.system,
            row.site,
            row.place_class,
            row.location_type,
            row.district,
            row.gb_id.text if row.gb_id else None,
            protocol,
            row.host,
            row.port,
            path,
            row.mac,
            row.serial,
            row.credential_ref,
            row.due_on if row.is_bound else None,
            row.basis if row.is_bound else None,
            row.address_attested,
            row.rejected_by,
        )


def _way(row: RollRow) -> tuple[str | None, str | None]:
    """Return protocol and path of a row's address; an attested host without a path is an ONVIF device's."""
    if row.host is None:
        return None, None
    if row.address_attested and row.rtsp_path is None:
        return "onvif", DEVICE_SERVICE
    return "rtsps" if row.port == RTSPS_PORT else "rtsp", row.rtsp_path or "/"


def _field_changes(record: Record) -> tuple[FieldChange, ...]:
    return tuple(
        FieldChange(column, _shown(before), _shown(after))
        for column in _COMPARED
        if (before := record[f"b_{column}"]) != (after := record[f"a_{column}"])
    )


def _shown(value: object) -> str | None:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return None if value is None else str(value)


async def _write_jurisdictions(
    transaction: Transaction, rows: Sequence[RollRow], jurisdictions: Jurisdictions
) -> None:
    found = {district: jurisdictions.of(CivilCode(district)) for district in {row.district for row in rows}}
    new = [
        (district, item)
        for district, item in sorted(found.items())
        if item is not None and item.district != district
    ]
    await transaction.execute(
        "roll_write_jurisdictions",
        [district for district, _ in new],
        [f"{item.name} {district}" for district, item in new],
        [item.profile for _, item in new],
        [item.base_profile for _, item in new],
    )


async def _write_roll(transaction: Transaction, difference: RollDifference, order: ImportOrder) -> None:
    retired = [source.source_id for source in difference.retired]
    await transaction.execute("roll_touched_create")
    await transaction.execute(
        "roll_touch_before", retired + [change.source_id for change in difference.changed], within=TIMEOUT
    )
    await transaction.execute("roll_retire", retired, order.at, within=TIMEOUT)
    await transaction.execute("roll_write_units", within=TIMEOUT)
    await transaction.execute("roll_write_systems", within=TIMEOUT)
    await transaction.execute("roll_write_sites", order.gateway_id, within=TIMEOUT)
    await transaction.execute("roll_stage_sites", within=TIMEOUT)
    await transaction.execute("roll_write_credentials", within=TIMEOUT)
    await transaction.execute("roll_update_sources", within=TIMEOUT)
    await transaction.execute("roll_insert_sources", order.at, within=TIMEOUT)
    await transaction.execute("roll_stage_sources", within=TIMEOUT)
    await transaction.execute("roll_stage_analyze", within=TIMEOUT)
    if len(difference.added) >= MANY_SOURCES:
        await transaction.execute("roll_analyze_new", within=TIMEOUT)
    await transaction.execute("roll_delete_endpoints", within=TIMEOUT)
    await transaction.execute("roll_write_endpoints", order.at, f"roll:{order.imported_by}", within=TIMEOUT)


async def _write_duties(transaction: Transaction, reach: Sequence[str], at: datetime) -> None:
    today = at.astimezone(LOCAL).date()
    await transaction.execute("roll_withdraw_duties", reach, today, within=TIMEOUT)
    await transaction.execute("roll_write_duties", today, within=TIMEOUT)


async def _write_counts(transaction: Transaction, difference: RollDifference, at: datetime) -> None:
    """Let the counts follow; last, because from the lock on no status is written until the commit."""
    numbers = [row.row for row in difference.added] + [change.row.row for change in difference.changed]
    await transaction.execute("roll_touch_after", numbers, within=TIMEOUT)
    await transaction.execute("roll_lock_connectivity", within=TIMEOUT)
    await transaction.execute(
        "roll_write_connectivity",
        at,
        [source.source_id for source in difference.retired],
        within=TIMEOUT,
    )
    await transaction.execute("roll_move_rollups", within=TIMEOUT)
    await transaction.execute("roll_recount_sites", within=TIMEOUT)
    await transaction.execute("roll_recount_districts", within=TIMEOUT)
