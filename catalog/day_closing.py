"""Closes local days: tells the account of every site from the history, once, so that rates are sums of few rows.

Everything here follows from the history and can be told again from it (status model 4.5); what is learned or decided
later about a day that is over marks its site stale (triggers in `sql/schema.sql`), and `mend` tells the site anew.
Most sources of a day have nothing but a measured state: these are summed up in SQL. The others are told one by one.
"""

import asyncio
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Final

import asyncpg

from catalog.database import ROWS_AT_ONCE, Database, Transaction
from catalog.histories import AT_ONCE, SourceHistory, whole_histories
from catalog.model.closed_day import ClosedDay, Lived, Standing, Told, close
from catalog.model.display import SuspendedReason, UnknownReason
from catalog.model.period import Period
from catalog.model.rates import NOT_DUE, Account, CountingRules, Duty, binding_on, bound_by
from catalog.reading import LOCAL, local_midnight
from catalog.reports import View

WITHIN: Final = 120.0
"""Seconds for one statement: of a million sources it takes some."""

MARKS_AT_ONCE: Final = 200
"""Marks that are looked at in one turn of mending."""

DAY: Final = timedelta(days=1)
_MICROSECOND: Final = timedelta(microseconds=1)
_EVER: Final = Period(datetime(1970, 1, 2, tzinfo=LOCAL), datetime(9999, 12, 30, tzinfo=LOCAL))

_END: Final = ("sources", "connected", "hidden", "online", "intact")
_TIMES: Final = ("bound", "counted", "running", "whole", "offline", "never", "retroactive", "over_cap")
REASONS: Final = (
    NOT_DUE,
    *(reason.value for reason in SuspendedReason),
    *(each.value for each in UnknownReason),
)
"""Columns of the time that does not count."""

_COLUMNS: Final = (
    *("district", "day", "site_id", *_END, *(f"left_{name}" for name in _END)),
    *("outages", "carried", "days", "raw_days", *_TIMES, *REASONS),
)


_RETURN_COLUMNS: Final = ("site_id", "day", "back_on", "district", "outages", *_END)


@dataclass(frozen=True)
class Closing:
    """A day that was closed."""

    day: date
    until: datetime
    sources: int
    "That a duty bound."
    told_singly: int
    "Sources of which more than a measured state had to be looked at."


@dataclass(frozen=True)
class KeptDay:
    """A day that is kept."""

    day: date
    until: datetime
    is_over: bool
    maintenance_cap: timedelta | None
    sources: int
    closed_at: datetime


async def kept_days(database: Database) -> tuple[KeptDay, ...]:
    """Return the days that are closed, the newest first.

    Raises:
        DatabaseAway: no answer.
    """
    return tuple(KeptDay(**row) for row in await database.fetch("closed_days"))


async def first_day(database: Database) -> date | None:
    """Return the first day of which there is anything to close; None without a source.

    Raises:
        DatabaseAway: no answer.
    """
    day: date | None = await database.fetchval("day_first")
    return day


@dataclass(frozen=True)
class _Site:
    """Where a site stands, and what binds it."""

    district: str
    duties: tuple[Duty, ...]


class DayClosing:
    """Closes days; of several that run at a time one works and the others are refused (`TransactionConflict`)."""

    def __init__(self, database: Database, rules: CountingRules, stale_after: timedelta) -> None:
        self._database = database
        self._rules = rules
        self._stale_after = stale_after

    async def close(self, day: date, *, now: datetime) -> Closing:
        """Close a local day; of one that goes on, tell the totals up to now.

        Raises:
            TransactionConflict: somebody else closes.
            DatabaseAway: no answer.
        """
        until = min(local_midnight(day + DAY), now)
        is_over = until == local_midnight(day + DAY)
        async with self._database.transaction() as transaction:
            await transaction.execute("day_closing_turn")
            places, closed, told_singly = await self._tell(day, until, now)
            await transaction.execute("day_closing_memory")
            await transaction.execute("day_forget", day, within=WITHIN)
            await transaction.execute("day_stage")
            await self._gather(transaction, day, places, closed)
            if is_over:
                await transaction.execute("day_keep", within=WITHIN)
            await transaction.execute("day_sum_up", within=WITHIN)
            sources = await asyncio.to_thread(_sources_in, closed)
            cap = self._rules.maintenance_cap
            await transaction.execute("day_note", day, until, is_over, cap, sources, now)
        return Closing(day, until, sources, told_singly)

    async def _tell(
        self, day: date, until: datetime, now: datetime
    ) -> tuple[Mapping[int, _Site], Mapping[int, ClosedDay], int]:
        """Return where the sites stand, each one's day, and how many sources were told singly."""
        start = local_midnight(day)
        async with self._database.snapshot() as snapshot:
            await snapshot.execute("day_closing_memory")
            sites = await _sites(snapshot)
            back = await asyncio.to_thread(_returning, sites, day)
            eventful = await snapshot.fetch(
                "day_eventful", start, until, start - DAY, now, self._stale_after, back, within=WITHIN
            )
            ids = [row["source_id"] for row in eventful]
            plain = await snapshot.gather("day_plain", start, until, ids, within=WITHIN)
            closed = await asyncio.to_thread(_plain_days, plain, sites, day, until - start)
            # Those that are offline for long first, and together: only they need a long history.
            for begin in range(0, len(ids), AT_ONCE):
                part = eventful[begin : begin + AT_ONCE]
                since = [row["offline_since"] for row in part if row["offline_since"] is not None]
                after = min([start - DAY, *since])
                if not {row["site_id"] for row in part}.isdisjoint(back):
                    after = _EVER.start
                histories = await whole_histories(
                    snapshot,
                    [row["source_id"] for row in part],
                    View(now, stale_after=self._stale_after),
                    after,
                )
                await asyncio.to_thread(_add_singly, histories, day, until, self._rules, closed)
        return sites, closed, len(ids)

    async def mend(self, *, now: datetime) -> int:
        """Tell some sites anew that were marked stale, from the day of the mark on; return how many marks are gone.

        Raises:
            TransactionConflict: somebody else closes.
            DatabaseAway: no answer.
        """
        async with self._database.transaction() as transaction:
            await transaction.execute("day_closing_turn")
            async with self._database.snapshot() as snapshot:
                marks = await snapshot.fetch("day_marks", MARKS_AT_ONCE)
                over = [row["day"] for row in await snapshot.fetch("closed_days") if row["is_over"]]
                # A mark of a day that is not closed yet is told when that day is.
                due = [row for row in marks if over and row["from_day"] <= over[0]]
                first = (
                    max([min((row["from_day"] for row in due), default=over[0]), over[-1]]) if over else None
                )
                sites = sorted({row["site_id"] for row in due})
                closed = await self._tell_anew(snapshot, sites, [day for day in over if day >= first], now)
                places = await _sites(snapshot, sites)
            if sites:
                await self._replace(transaction, sites, places, closed)
            await transaction.execute("day_forget_marks", [row["stale_id"] for row in marks], within=WITHIN)
        return len(marks)

    async def _tell_anew(
        self, snapshot: Transaction, sites: Sequence[int], days: Sequence[date], now: datetime
    ) -> dict[date, dict[int, ClosedDay]]:
        closed: dict[date, dict[int, ClosedDay]] = {day: {} for day in days}
        ids = [row["source_id"] for row in await snapshot.fetch("day_sources_of_sites", sites)]
        view = View(now, stale_after=self._stale_after)
        for begin in range(0, len(ids), AT_ONCE):
            histories = await whole_histories(snapshot, ids[begin : begin + AT_ONCE], view, _EVER.start)
            for day in days:
                until = local_midnight(day + DAY)
                await asyncio.to_thread(_add_singly, histories, day, until, self._rules, closed[day])
        return closed

    async def _replace(
        self,
        transaction: Transaction,
        sites: Sequence[int],
        places: Mapping[int, _Site],
        closed: Mapping[date, Mapping[int, ClosedDay]],
    ) -> None:
        first = min(closed)
        await transaction.execute("day_closing_memory")
        gone = await transaction.fetch("day_forget_sites", sites, first, within=WITHIN)
        districts = sorted({row["district"] for row in gone} | {each.district for each in places.values()})
        await transaction.execute("day_stage")
        for day, of_day in closed.items():
            await self._gather(transaction, day, places, of_day)
        await transaction.execute("day_keep", within=WITHIN)
        await transaction.execute("day_unstage", within=WITHIN)
        await transaction.execute("day_stage_kept", districts, first, within=WITHIN)
        await transaction.execute("day_forget_totals", districts, first, within=WITHIN)
        await transaction.execute("day_sum_up", within=WITHIN)

    async def _gather(
        self,
        transaction: Transaction,
        day: date,
        places: Mapping[int, _Site],
        closed: Mapping[int, ClosedDay],
    ) -> None:
        told = iter(closed.items())
        while part := list(itertools.islice(told, ROWS_AT_ONCE)):
            rows, returns = await asyncio.to_thread(_rows, day, places, part)
            await transaction.copy("day_stage", _COLUMNS, rows, within=WITHIN)
            if returns:
                await transaction.copy("day_return", _RETURN_COLUMNS, returns, within=WITHIN)


async def _sites(transaction: Transaction, sites: Sequence[int] | None = None) -> dict[int, _Site]:
    rows = await transaction.gather("day_duties", sites, within=WITHIN)
    return await asyncio.to_thread(_as_sites, rows)


def _as_sites(rows: Sequence[asyncpg.Record]) -> dict[int, _Site]:
    found: dict[int, _Site] = {}
    # Most sites have the same duties as the one before: one tuple of them all is kept.
    known: dict[tuple[Duty, ...], tuple[Duty, ...]] = {}
    for row in rows:
        duty = Duty(row["effective_from"], row["due_on"], row["withdrawn_on"])
        before = found.get(row["site_id"])
        duties = (*(before.duties if before is not None else ()), duty)
        found[row["site_id"]] = _Site(row["district"], known.setdefault(duties, duties))
    return found


def _sources_in(closed: Mapping[int, ClosedDay]) -> int:
    return sum(each.account.sources for each in closed.values())


def _returning(sites: Mapping[int, _Site], day: date) -> list[int]:
    known: dict[tuple[Duty, ...], bool] = {}
    for each in sites.values():
        if each.duties not in known:
            known[each.duties] = _is_back(each.duties, day)
    return [site for site, each in sites.items() if known[each.duties]]


def _is_back(duties: Sequence[Duty], day: date) -> bool:
    """Tell whether a duty binds again that did not the day before."""
    if binding_on(duties, day) is None or binding_on(duties, day - DAY) is not None:
        return False
    return any(each.start < local_midnight(day) for each in bound_by(duties, _EVER, LOCAL))


@dataclass(frozen=True)
class _Bound:
    """How a duty binds plain sources of a site on a day."""

    is_due: bool
    was_bound: bool
    "The day before."
    goes_on: bool
    "The day after."


def _bound_on(duties: Sequence[Duty], day: date) -> _Bound | None:
    if binding_on(duties, day) is None:
        return None
    is_due = any(
        duty.due_on < day
        and duty.effective_from <= day
        and (duty.withdrawn_on is None or day < duty.withdrawn_on)
        for duty in duties
    )
    return _Bound(
        is_due, binding_on(duties, day - DAY) is not None, binding_on(duties, day + DAY) is not None
    )


def _plain_days(
    rows: Sequence[asyncpg.Record], sites: Mapping[int, _Site], day: date, length: timedelta
) -> dict[int, ClosedDay]:
    """Return the days of the sites whose sources have nothing but measured states."""
    found: dict[int, ClosedDay] = {}
    known: dict[tuple[Duty, ...], _Bound | None] = {}
    for row in rows:
        site = sites.get(row["site_id"])
        if site is None:
            continue
        if site.duties not in known:
            known[site.duties] = _bound_on(site.duties, day)
        bound = known[site.duties]
        if bound is not None:
            found[row["site_id"]] = _plain_day(row, bound, day, length)
    return found


def _plain_day(row: asyncpg.Record, bound: _Bound, day: date, length: timedelta) -> ClosedDay:
    sources = row["sources"]
    never, online, impaired, offline = (
        timedelta(microseconds=round(1e6 * (row[name] or 0.0)))
        for name in ("never", "online", "impaired", "offline")
    )
    running = online + impaired
    own = Account(
        sources=sources,
        connected=sources - row["never_connected"],
        online=row["intact"] + row["degraded"],
        intact=row["intact"],
        bound=sources * length,
        counted=sources * length if bound.is_due else sources * length - never,
        running=running,
        whole=online,
        offline=offline,
        outages=row["outages"],
        never=never if bound.is_due else timedelta(),
        excluded={} if bound.is_due or not never else {NOT_DUE: never},
        days=sources,
        raw_days=Decimal(running // _MICROSECOND) / Decimal(length // _MICROSECOND),
    )
    carried = row["carried"] if bound.was_bound else 0
    return ClosedDay(
        own,
        Standing() if bound.goes_on else Standing.of(own),
        {day - DAY: Told(outages=carried)} if carried else _NOTHING_TOLD,
    )


_NOTHING_TOLD: Final[Mapping[date, Told]] = MappingProxyType({})


def _add_singly(
    histories: Sequence[SourceHistory],
    day: date,
    until: datetime,
    rules: CountingRules,
    closed: dict[int, ClosedDay],
) -> None:
    for history in histories:
        lived = Lived(history.duties, history.existed, history.states, history.laid(until))
        own = close(lived, day, until, rules)
        if own is not None:
            before = closed.get(history.site_id)
            closed[history.site_id] = own if before is None else before + own


def _rows(
    day: date, places: Mapping[int, _Site], sites: Sequence[tuple[int, ClosedDay]]
) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
    rows, returns = [], []
    for site, closed in sites:
        district = places[site].district
        before = closed.told.get(day - DAY, Told())
        account = closed.account
        rows.append(
            (
                *(district, day, site),
                *(getattr(account, name) or None for name in _END),
                *(getattr(closed.left, name) or None for name in _END),
                *(account.outages or None, before.outages or None, account.days or None, account.raw_days),
                *(getattr(account, name) // _MICROSECOND or None for name in _TIMES),
                *(
                    account.excluded[reason] // _MICROSECOND if reason in account.excluded else None
                    for reason in REASONS
                ),
            )
        )
        for back_on, told in closed.told.items():
            again = told.outages if back_on != day - DAY else 0
            if again or told.standing != Standing():
                stood = (getattr(told.standing, name) for name in _END)
                returns.append((site, day, back_on, district, again, *stood))
    return rows, returns
