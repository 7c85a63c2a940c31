"""What there is to tell a target: read from the evidence and the duties, so that nothing waits in a queue."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

import asyncpg

from catalog.cases import list_cases
from catalog.database import Database, Statements
from catalog.model.case import CaseState
from catalog.model.connectivity import State
from catalog.model.notice import Happening, Place
from catalog.notice_targets import Target
from catalog.reports import View

MOST_FACTS: Final = 5_000
"""Facts of one notice; what is beyond goes into the next."""

WITHIN: Final = 30.0
"""Seconds for one statement."""


@dataclass(frozen=True)
class Waiting:
    """That there is something to tell."""

    last_seq: int
    since: datetime
    is_full: bool
    "There is as much as a notice holds."


@dataclass(frozen=True)
class OverdueSite:
    """A site whose due day passed while required sources had never connected."""

    site: str
    unit: str
    place_class: str
    district: str
    due_on: date
    never: int


@dataclass(frozen=True)
class OverdueOrder:
    """A case whose order was not fulfilled by its deadline."""

    number: str
    site: str
    unit: str
    district: str
    deadline: date


async def waiting(database: Statements, target: Target) -> Waiting | None:
    """Return what waits to be told of connectivity; None when nothing does.

    Raises:
        DatabaseAway: no answer.
    """
    region = target.region
    row = await database.fetchrow(
        "notice_waiting", target.told_seq, region.first, region.last, MOST_FACTS, within=WITHIN
    )
    if row is None or not row["number"]:
        return None
    return Waiting(row["last_seq"], row["waiting_since"], row["number"] >= MOST_FACTS)


async def happenings(database: Statements, target: Target, until: int) -> list[Happening]:
    """Return the facts from where the target was told last up to `until`, in order.

    Raises:
        DatabaseAway: no answer.
    """
    region = target.region
    rows = await database.fetch(
        "notice_happenings", target.told_seq, until, region.first, region.last, within=WITHIN
    )
    return [_happening(row) for row in rows]


async def overdue_sites(database: Statements, target: Target, until: date) -> list[OverdueSite]:
    """Return the sites whose due day passed since the day the target was told of last, before `until`.

    The day after the due day is the first one that is overdue, so a due day `until` - 1 is among them.

    Raises:
        DatabaseAway: no answer.
    """
    region = target.region
    rows = await database.fetch(
        "notice_overdue", target.told_day, until, region.first, region.last, within=WITHIN
    )
    return [
        OverdueSite(
            site=row["site"],
            unit=row["unit"],
            place_class=row["class"],
            district=row["district"],
            due_on=row["due_on"],
            never=row["never"],
        )
        for row in rows
    ]


async def overdue_orders(database: Database, target: Target, until: date, view: View) -> list[OverdueOrder]:
    """Return the cases whose deadline passed in the same days, and that stand overdue now.

    Raises:
        DatabaseAway: no answer.
    """
    found = []
    for case in await list_cases(database, view, with_ended=False):
        deadline = case.standing.deadline
        is_overdue = case.standing.state is CaseState.OVERDUE and deadline is not None
        if is_overdue and deadline is not None and target.told_day <= deadline < until:
            found.append(OverdueOrder(case.number, case.site, case.unit, case.district, deadline))
    return found


def _happening(row: asyncpg.Record) -> Happening:
    return Happening(
        seq=row["seq"],
        place=Place(row["source_id"], row["site"], row["unit"], row["class"], row["district"]),
        at=row["at"],
        state_before=State(row["state_before"]) if row["state_before"] is not None else None,
        state_after=State(row["state_after"]),
        reason=row["reason"],
        incident=row["incident"],
        is_first=bool(row["is_first"]),
        is_suspended=row["is_suspended"],
    )
