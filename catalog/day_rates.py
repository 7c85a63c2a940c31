"""Rates from closed days: what `rate_report` tells from the histories, read from few rows (`day_closing.py`)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from catalog.database import Database, Transaction
from catalog.day_closing import DAY, REASONS
from catalog.model.display import UnknownReason
from catalog.model.period import Period
from catalog.model.rates import Account, CountingRules
from catalog.reading import Region, local_midnight
from catalog.reports import View

WITHIN: Final = 20.0
"""Seconds for one statement: a district of 20,000 sites has 600,000 of them in a month."""


@dataclass(frozen=True)
class DayRates:
    """What closed days tell of a period."""

    period: Period
    accounts: Mapping[tuple[str, str], Account]
    "By key and name of a row."
    stale_sites: int
    "Sites of which something was learned or decided since about a day that is over: they are told anew soon."


async def day_rates(
    database: Database, view: View, days: tuple[date, date], *, by: str, rules: CountingRules
) -> DayRates | None:
    """Return the rates of the view's region; None where a day is not closed, or was counted by other rules.

    Args:
        database: the catalog.
        view: region and present instant.
        days: the first and the last; of one that goes on there are totals of districts and classes alone, up to when it
            was told last, so that by unit or site the period ends with the day before.
        by: `district`, `class`, `unit` or `site`.
        rules: how it is counted.

    Raises:
        DatabaseAway: no answer.
    """
    async with database.snapshot() as snapshot:
        return await day_rates_of(snapshot, view.region, days, by=by, rules=rules)


async def day_rates_of(
    snapshot: Transaction, region: Region, days: tuple[date, date], *, by: str, rules: CountingRules
) -> DayRates | None:
    """Return the rates of a region from what is read already in one snapshot; see `day_rates`.

    Raises:
        DatabaseAway: no answer.
    """
    rows = [dict(row) for row in await snapshot.fetch("closed_days")]
    closed = {row["day"]: row for row in rows if row["maintenance_cap"] == rules.maintenance_cap}
    first, last = days
    if by in {"unit", "site"} and last in closed and not closed[last]["is_over"]:
        last -= DAY
    if last < first:
        return None
    missing = [day for day in _each(first, last) if not _tells(closed, day, last)]
    if missing:
        # Days before anything stood on the roll are never closed, and there is nothing to tell of them. Asked only now:
        # it takes a look at every source.
        begun: date | None = await snapshot.fetchval("day_first")
        if begun is None or last < begun:
            return DayRates(Period(local_midnight(first), local_midnight(last + DAY)), {}, 0)
        if missing[-1] >= begun:
            return None
    codes = (region.first, region.last)
    asked = (*codes, first, last, by)
    told = [dict(row) for row in await snapshot.fetch("day_rates", *asked, within=WITHIN)]
    again = [dict(row) for row in await snapshot.fetch("day_returns", *asked, within=WITHIN)]
    stale = await snapshot.fetchval("day_stale_sites", *codes, last)
    returns = {(row["key"], row["name"]): row for row in again}
    accounts = {
        (row["key"], row["name"]): _account(row, returns.get((row["key"], row["name"]), {})) for row in told
    }
    until: datetime = closed[last]["until"]
    return DayRates(Period(local_midnight(first), until), accounts, stale)


def _each(first: date, last: date) -> list[date]:
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def _tells(closed: Mapping[date, Mapping[str, Any]], day: date, last: date) -> bool:
    return day in closed and (closed[day]["is_over"] or day == last)


def _account(row: Mapping[str, Any], again: Mapping[str, Any]) -> Account:
    def count(name: str) -> int:
        return int(row[name]) - int(again.get(name, 0))

    def time(name: str) -> timedelta:
        return timedelta(microseconds=int(row[name]))

    excluded = {reason: time(reason) for reason in sorted(REASONS) if row[reason]}
    return Account(
        sources=count("sources"),
        connected=count("connected"),
        hidden=count("hidden"),
        online=count("online"),
        intact=count("intact"),
        bound=time("bound"),
        counted=time("counted"),
        running=time("running"),
        whole=time("whole"),
        offline=time("offline"),
        outages=count("outages"),
        never=time("never"),
        excluded=excluded,
        unknown=sum((excluded.get(reason.value, timedelta()) for reason in UnknownReason), timedelta()),
        retroactive=time("retroactive"),
        over_cap=time("over_cap"),
        days=int(row["days"]),
        raw_days=Decimal(row["raw_days"]),
    )
