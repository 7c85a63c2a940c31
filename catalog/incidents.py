"""Incidents as they are read: what was decided, and what became of the sources that were lost by each."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import asyncpg

from catalog.database import Database
from catalog.model.incident import Basis, Fault, Incident
from catalog.model.period import Period
from catalog.reading import Page, Region, cursor_instant, decode_cursor, encode_cursor
from catalog.reports import View

_EVER: Final = Period(datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC))


@dataclass(frozen=True)
class IncidentRow:
    """An incident, as far as a region knows it."""

    gateway_id: str
    incident: Incident
    lost: int
    "Sources of the region that were lost by it."
    sites: int
    "At which these stand."
    back: int
    "Of `lost` those that came back."
    last_back: datetime | None
    "When the last of these did."
    districts: tuple[str, ...]


async def list_incidents(
    database: Database, view: View, *, cursor: str | None = None, limit: int = 100
) -> Page[IncidentRow]:
    """Return incidents of the gateways that look after the view's region, the newest first.

    Raises:
        CursorInvalid: the cursor is not of this list.
        DatabaseAway: no answer.
    """
    since, name = decode_cursor(cursor, (str, str)) if cursor else (None, None)
    before = cursor_instant(since) if since is not None else None
    region = view.region
    rows = await database.fetch(
        "incident_list",
        region.first,
        region.last,
        before,
        name,
        limit + 1,
        _EVER.start,
        _EVER.end,
        None,
        None,
    )
    shown = rows[:limit]
    more = None
    if len(rows) > limit:
        more = encode_cursor(shown[-1]["silent_from"].isoformat(), shown[-1]["name"])
    return Page(tuple(_row(row) for row in shown), more)


async def incidents_of(database: Database, view: View, period: Period) -> tuple[IncidentRow, ...]:
    """Return the incidents that began in a period, as its end tells of them, the oldest first.

    Where a class or a unit is selected, those by which sources there were lost.

    Raises:
        DatabaseAway: no answer.
    """
    region, chosen = view.region, (view.selection.place_class, view.selection.unit)
    rows = await database.fetch(
        "incident_list", region.first, region.last, None, None, None, period.start, period.end, *chosen
    )
    return tuple(_row(row) for row in reversed(rows) if row["lost"] or chosen == (None, None))


async def quarantined(database: Database, region: Region) -> tuple[int, int] | None:
    """Return how many devices wait for a person: seen ones, and ones that tried to register.

    They lie in no district: None for a part of the installation.

    Raises:
        DatabaseAway: no answer.
    """
    if region.prefix:
        return None
    [row] = await database.fetch("quarantined")
    return row["sightings"], row["registrations"]


def _row(row: asyncpg.Record) -> IncidentRow:
    return IncidentRow(
        gateway_id=row["gateway_id"],
        incident=Incident(
            name=row["name"],
            silent_from=row["silent_from"],
            suspected_at=row["suspected_at"],
            decided_at=row["decided_at"],
            fault=Fault(row["fault"]),
            basis=Basis(row["basis"]),
            silent=row["silent"],
        ),
        lost=row["lost"],
        sites=row["sites"],
        back=row["back"],
        last_back=row["last_back"],
        districts=tuple(row["districts"]),
    )
