"""Suspensions: asked for, approved by others, and read by whoever counts or shows (status model 4.3)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import asyncpg

from catalog.database import Database, Statements
from catalog.model.display import SuspendedReason
from catalog.model.operation import RestHours
from catalog.model.period import Period
from catalog.model.suspension import (
    Acted,
    SuspensionAct,
    SuspensionState,
    Window,
    check_window,
    require_act,
    suspension_state,
)

MOST: Final = 10_000

LOOK_BACK: Final = timedelta(days=1)
"""For how long after its end a window is still told to a gateway, which may have been away when it ended."""


class NoSuchSuspension(ValueError):
    """Raised when a number belongs to no suspension, site or source."""


@dataclass(frozen=True)
class Suspension:
    """A suspension and where it stands."""

    suspension_id: int
    site_id: int
    source_id: int | None
    unit: str
    site: str
    gb_id: str | None
    window: Window
    acts: tuple[Acted, ...]

    @property
    def state(self) -> SuspensionState:
        """Return where it stands."""
        return suspension_state(self.window, self.acts)


@dataclass(frozen=True)
class InForce:
    """A window of one source that a gateway shows."""

    source_id: int
    reason: SuspendedReason
    period: Period


async def request(
    database: Database, window: Window, *, site_id: int | None = None, source_id: int | None = None
) -> int:
    """Ask for a window of a whole site or of one source; return its number.

    Raises:
        ActRefused: too long, too long ago, without a document, or hours and reason do not fit.
        NoSuchSuspension: there is no such site or source.
        DatabaseAway: no answer.
    """
    check_window(window)
    number: int | None = await database.fetchval(
        "suspension_add",
        site_id,
        source_id,
        window.reason.value,
        window.period.start,
        window.period.end,
        window.document,
        window.requested_at,
        window.requested_by,
        window.hours.begins if window.hours is not None else None,
        window.hours.ends if window.hours is not None else None,
        sorted(window.hours.weekdays) if window.hours is not None else None,
    )
    if number is None:
        what = f"site {site_id}" if site_id is not None else f"source {source_id}"
        raise NoSuchSuspension(f"there is no {what}")
    return number


async def act(database: Database, number: int, acted: Acted) -> Suspension:
    """Do something to a suspension and return it as it stands then.

    Raises:
        NoSuchSuspension: there is none of this number.
        ActRefused: it may not be done.
        DatabaseAway: no answer.
    """
    async with database.transaction() as transaction:
        if await transaction.fetchval("suspension_lock", number) is None:
            raise NoSuchSuspension(f"there is no suspension {number}: `muster suspension list` shows them")
        [before] = await list_suspensions(transaction, number=number)
        require_act(before.window, before.acts, acted)
        await transaction.execute(
            "suspension_act_add",
            number,
            len(before.acts) + 1,
            acted.act.value,
            acted.at,
            acted.person,
            acted.text,
        )
        [after] = await list_suspensions(transaction, number=number)
    return after


async def list_suspensions(
    database: Statements, *, number: int | None = None, after: datetime | None = None
) -> list[Suspension]:
    """Return suspensions, the newest first: one by its number, or those that end after an instant.

    Raises:
        DatabaseAway: no answer.
    """
    rows = await database.fetch("suspension_list", number, after, MOST)
    acts: dict[int, list[Acted]] = {row["suspension_id"]: [] for row in rows}
    for row in await database.fetch("suspension_acts", list(acts)):
        acted = Acted(SuspensionAct(row["act"]), row["at"], row["person"], row["text"])
        acts[row["suspension_id"]].append(acted)
    return [_suspension(row, acts[row["suspension_id"]]) for row in rows]


async def in_force(database: Statements, gateway_id: str, *, at: datetime) -> list[InForce]:
    """Return the windows of a gateway's sources that go on at `at`, and those that ended within `LOOK_BACK` before.

    Raises:
        DatabaseAway: no answer.
    """
    rows = await database.fetch("suspensions_of_gateway", gateway_id, at, LOOK_BACK)
    return [
        InForce(row["source_id"], SuspendedReason(row["reason"]), Period(row["starts_at"], row["ends_at"]))
        for row in rows
    ]


def _suspension(row: asyncpg.Record, acts: Sequence[Acted]) -> Suspension:
    return Suspension(
        suspension_id=row["suspension_id"],
        site_id=row["site_id"],
        source_id=row["source_id"],
        unit=row["unit"],
        site=row["site"],
        gb_id=row["gb_id"],
        window=Window(
            SuspendedReason(row["reason"]),
            Period(row["starts_at"], row["ends_at"]),
            row["document"],
            row["requested_at"],
            row["requested_by"],
            None
            if row["rest_begins"] is None
            else RestHours(row["rest_begins"], row["rest_ends"], frozenset(row["rest_weekdays"])),
        ),
        acts=tuple(acts),
    )
