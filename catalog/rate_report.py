"""Rates of a region in a period, by district, class, unit, site or source (status model 4.5)."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from catalog.database import Database
from catalog.day_rates import DayRates, day_rates
from catalog.histories import Histories, SourceHistory
from catalog.model.display import Lifecycle
from catalog.model.period import Period
from catalog.model.rates import Account, CountingRules, account
from catalog.reading import local_day, local_midnight
from catalog.reports import View


class PeriodInvalid(ValueError):
    """Raised when a period is reversed or lies in the future; the message names the day."""


class TooManySources(ValueError):
    """Raised when a region has more sources than may be counted at once; the message says what to do."""


class By(StrEnum):
    """What a row stands for."""

    DISTRICT = "district"
    CLASS = "class"
    UNIT = "unit"
    SITE = "site"
    SOURCE = "source"


@dataclass(frozen=True)
class RateRow:
    """One row."""

    key: str
    name: str
    account: Account


@dataclass(frozen=True)
class RateReport:
    """The rates of a period, and from when they are."""

    period: Period
    "Up to `computed_at` at most: nothing is told of the future."
    by: By
    rows: tuple[RateRow, ...]
    all: Account
    computed_at: datetime
    watermark: datetime | None
    "Until when every gateway of the region had seen and stored; None without one, and where one never did."
    stale_sites: int = 0
    "Sites of which something was learned about a day that is closed: they are told anew soon (`day_rates`)."


KEYS: Final[Mapping[By, Callable[[SourceHistory], tuple[str, str]]]] = MappingProxyType(
    {
        By.DISTRICT: lambda of: (of.district, ""),
        By.CLASS: lambda of: (of.place_class, ""),
        By.UNIT: lambda of: (of.unit, ""),
        By.SITE: lambda of: (str(of.site_id), of.site),
        By.SOURCE: lambda of: (of.gb_id or str(of.source_id), of.site),
    }
)
"""Key and name of the row that a source belongs to."""


@dataclass(frozen=True)
class HowMany:
    """How a region is told, by its number of sources."""

    told_singly: int = 10_000
    "Up to so many from the histories, up to this moment: some 2 s. More of them from closed days."
    most: int | None = None
    "So many from the histories at most, where days are not closed; None for any number."


DAYS: Final = 30
"""Days of a report when none are named, today among them."""


def report_days(first: date | None, last: date | None, today: date) -> tuple[date, date]:
    """Return the days of a report: `last` is today and `first` `DAYS` before it where they are not named.

    Raises:
        PeriodInvalid: there is no such day.
    """
    until = last or today
    try:
        return first or until - timedelta(days=DAYS - 1), until
    except OverflowError:
        raise PeriodInvalid(f"there are no {DAYS} days before {until}") from None


def local_period(first: date, last: date, now: datetime) -> Period:
    """Return the period from the first day to the last, both whole and local, up to now.

    Raises:
        PeriodInvalid: reversed, or it has not begun.
    """
    if last < first:
        raise PeriodInvalid(f"the last day {last} lies before the first, {first}")
    start = local_midnight(first)
    if start >= now:
        raise PeriodInvalid(f"the first day {first} has not begun: there is nothing to report yet")
    try:
        end = local_midnight(last) + timedelta(days=1)
    except OverflowError:
        end = now
    return Period(start, min(end, now))


async def rate_report(
    database: Database,
    view: View,
    period: Period,
    *,
    by: By,
    rules: CountingRules,
    how_many: HowMany | None = None,
) -> RateReport:
    """Return the rates of what the view selects; sources that were rejected are in none.

    Of a part of a region they come from the histories.

    Args:
        database: the catalog.
        view: region and present instant.
        period: ended.
        by: what a row stands for.
        rules: how it is counted.
        how_many: how many sources are told how.

    Raises:
        TooManySources: it has more.
        DatabaseAway: no answer.
    """
    how_many = how_many or HowMany()
    days = whole_days(period, view.now)
    closed = None
    if (
        days is not None
        and by is not By.SOURCE
        and not view.selection
        and await is_larger(database, view, how_many.told_singly)
    ):
        closed = await day_rates(database, view, days, by=by.value, rules=rules)
    if closed is None:
        await require_size(database, view, how_many.most)
        closed = DayRates(period, await _from_histories(database, view, period, by, rules), 0)
    accounts = closed.accounts
    everything = await asyncio.to_thread(sum, accounts.values(), Account())
    watermark = await database.fetchval("history_watermark", view.region.first, view.region.last)
    rows = tuple(
        RateRow(*key, accounts[key])
        for key in sorted(accounts, key=lambda of: (int(of[0]) if by is By.SITE else 0, of))
    )
    return RateReport(closed.period, by, rows, everything, view.now, watermark, closed.stale_sites)


async def is_larger(database: Database, view: View, number: int) -> bool:
    """Tell whether the view's region has more sources, whatever is selected of it.

    Raises:
        DatabaseAway: no answer.
    """
    return bool(await database.fetchval("history_is_larger", view.region.first, view.region.last, number))


def whole_days(period: Period, now: datetime) -> tuple[date, date] | None:
    """Return the first and the last of the whole local days of a period, the last up to now; None of another one."""
    first, last = local_day(period.start), local_day(period.end - timedelta(microseconds=1))
    begins = period.start == local_midnight(first)
    ends = period.end == local_midnight(last + timedelta(days=1)) or (
        period.end == now and last == local_day(now)
    )
    return (first, last) if begins and ends else None


async def _from_histories(
    database: Database, view: View, period: Period, by: By, rules: CountingRules
) -> Mapping[tuple[str, str], Account]:
    accounts: dict[tuple[str, str], Account] = {}
    async for part in Histories(database, view).of_region(after=period.start):
        # In a thread: some hundredths of a second, which the event loop has not.
        for key, own in await asyncio.to_thread(_accounts, part, period, KEYS[by], rules):
            accounts[key] = accounts.get(key, Account()) + own
    return accounts


async def require_size(database: Database, view: View, most: int | None) -> None:
    """Refuse a region that has more than `most` sources; None for any number.

    Raises:
        TooManySources: it has more.
        DatabaseAway: no answer.
    """
    if most is None:
        return
    region, chosen = (view.region.first, view.region.last), (view.selection.place_class, view.selection.unit)
    if chosen == (None, None):
        number = await database.fetchval("history_size", *region)
    else:
        number = await database.fetchval("selection_size", *region, *chosen)
    if number > most:
        raise TooManySources(
            f"the region has {number} sources, {most} are counted at once: name a smaller one"
        )


def account_of(history: SourceHistory, period: Period, rules: CountingRules) -> Account:
    """Return the account of one source; an empty one where it was rejected or nothing bound it."""
    if history.lifecycle is Lifecycle.REJECTED:
        return Account()
    laid = history.laid(period.end)
    return account(history.duties, history.existed, history.states, laid, period, rules)


def _accounts(
    part: Sequence[SourceHistory],
    period: Period,
    key_of: Callable[[SourceHistory], tuple[str, str]],
    rules: CountingRules,
) -> list[tuple[tuple[str, str], Account]]:
    told = ((key_of(history), account_of(history, period, rules)) for history in part)
    return [(key, own) for key, own in told if own.sources]
