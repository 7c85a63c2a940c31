"""What units object to of a source's status, and what is answered; on every evidence sheet that it concerns."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

import asyncpg

from catalog.database import Database
from catalog.model.late import LATE_WINDOW, is_in_time
from catalog.model.period import Period
from catalog.reading import Page, decode_cursor, encode_cursor, local_day
from catalog.reports import View

MOST: Final = 200
"""Objections on one sheet."""


class NoSuchDispute(ValueError):
    """Raised when a number belongs to no objection, or to no source, of the region."""


class DisputeRefused(ValueError):
    """Raised when an objection cannot be entered or answered; the message says why."""


@dataclass(frozen=True)
class Objection:
    """What a unit objects to."""

    first: date
    last: date
    raised_by: str
    text: str
    document: str = ""
    running: Period | None = None
    """When it shows the source to have been running. Upheld, that is late evidence: reports, rates and sheets tell the
    history with it; what is stored stays."""


@dataclass(frozen=True)
class Settled:
    """An answer."""

    is_upheld: bool
    text: str
    answered_at: datetime
    answered_by: str


@dataclass(frozen=True)
class Dispute:
    """An objection, and its answer."""

    dispute_id: int
    source_id: int
    gb_id: str | None
    site: str
    unit: str
    objection: Objection
    raised_at: datetime
    entered_by: str
    answer: Settled | None


@dataclass(frozen=True)
class Asked:
    """Which objections are wanted."""

    open_only: bool = False
    source_id: int | None = None
    dispute_id: int | None = None
    days: tuple[date, date] | None = None
    "Those that hold one of these days, the first and the last included."


async def list_disputes(
    database: Database, view: View, asked: Asked | None = None, *, cursor: str | None = None, limit: int = 100
) -> Page[Dispute]:
    """Return objections of the view's region, the newest first.

    Raises:
        CursorInvalid: the cursor is not of this list.
        DatabaseAway: no answer.
    """
    asked = asked or Asked()
    before = decode_cursor(cursor, (int,))[0] if cursor else None
    rows = await database.fetch(
        "dispute_list",
        view.region.first,
        view.region.last,
        before,
        limit + 1,
        asked.open_only,
        asked.source_id,
        asked.dispute_id,
        *(asked.days or (None, None)),
    )
    shown = rows[:limit]
    more = encode_cursor(shown[-1]["dispute_id"]) if len(rows) > limit else None
    return Page(tuple(_dispute(row) for row in shown), more)


async def raise_dispute(
    database: Database, view: View, source_id: int, objection: Objection, *, person: str
) -> Dispute:
    """Enter an objection about a source of the view's region.

    Raises:
        NoSuchDispute: there is no such source.
        DisputeRefused: the days are reversed or have not begun; the time of running lies outside them or is too old.
        DatabaseAway: no answer.
    """
    if objection.last < objection.first:
        raise DisputeRefused(f"the last day {objection.last} lies before the first, {objection.first}")
    if objection.first > local_day(view.now):
        raise DisputeRefused(f"the first day {objection.first} has not begun")
    _require_running(objection, view)
    district = await database.fetchval("dispute_district", source_id)
    if district is None or not view.region.holds(district):
        raise NoSuchDispute(f"there is no source {source_id}")
    number = await database.fetchval(
        "dispute_raise",
        source_id,
        objection.first,
        objection.last,
        objection.raised_by,
        objection.text,
        objection.document,
        objection.running.start if objection.running else None,
        objection.running.end if objection.running else None,
        view.now,
        person,
    )
    return (await list_disputes(database, view, Asked(dispute_id=number))).items[0]


def _require_running(objection: Objection, view: View) -> None:
    running = objection.running
    if running is None:
        return
    if not objection.first <= local_day(running.start) <= local_day(running.end) <= objection.last:
        raise DisputeRefused("when it was running lies outside the days")
    if not is_in_time(running, view.now):
        hours = LATE_WINDOW / timedelta(hours=1)
        raise DisputeRefused(f"evidence of running is entered within {hours:.0f} h, and after the fact")


async def answer_dispute(
    database: Database, view: View, dispute_id: int, *, is_upheld: bool, text: str, person: str
) -> Dispute:
    """Answer an objection of the view's region, once.

    Raises:
        NoSuchDispute: there is none of this number.
        DisputeRefused: it is answered already, or who entered it answers it.
        DatabaseAway: no answer.
    """
    found = (await list_disputes(database, view, Asked(dispute_id=dispute_id))).items
    if not found:
        raise NoSuchDispute(f"there is no dispute {dispute_id}")
    if found[0].entered_by == person:
        raise DisputeRefused("whoever entered it does not answer it")
    if not await database.execute("dispute_settle", dispute_id, is_upheld, text, view.now, person):
        raise DisputeRefused("it is answered already")
    return (await list_disputes(database, view, Asked(dispute_id=dispute_id))).items[0]


def _dispute(row: asyncpg.Record) -> Dispute:
    answer = None
    if row["answered_at"] is not None:
        answer = Settled(row["is_upheld"], row["answer"], row["answered_at"], row["answered_by"])
    return Dispute(
        dispute_id=row["dispute_id"],
        source_id=row["source_id"],
        gb_id=row["gb_id"],
        site=row["site"],
        unit=row["unit"],
        objection=Objection(
            row["first_day"],
            row["last_day"],
            row["raised_by"],
            row["text"],
            row["document"],
            Period(row["running_from"], row["running_until"]) if row["running_from"] is not None else None,
        ),
        raised_at=row["raised_at"],
        entered_by=row["entered_by"],
        answer=answer,
    )
