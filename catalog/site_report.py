"""The report of a large region, told by site from closed days.

A million sources are too many to be told from their histories while somebody waits: 0.2 ms each. Rates and outages are
added up from closed days, who never connected follows from the roll and `first_connected_at`; only what is offline for
so long that it may be gone is told singly.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import asyncpg

from catalog.database import Database, Transaction
from catalog.day_closing import DAY
from catalog.day_rates import day_rates_of
from catalog.histories import AT_ONCE, whole_histories
from catalog.incidents import incidents_of
from catalog.model.display import UnknownReason, days_overdue
from catalog.model.period import Period
from catalog.model.rates import Account, CountingRules, Duty, Laid, binding_on
from catalog.period_report import (
    REMOVAL_SUSPECTED_AFTER,
    TICK,
    TOLD_BY,
    NeverConnected,
    NotSeen,
    PeriodReport,
    SuspectedRemoval,
    Telling,
    ToldBy,
    WasOffline,
    Where,
    blind_in,
)
from catalog.rate_report import By, RateRow, whole_days
from catalog.reading import Region, local_day, local_midnight
from catalog.reports import View

WITHIN: Final = 60.0
"""Seconds for one statement: of 100,000 sites it takes some."""


class DaysMissing(ValueError):
    """Raised when a day of the period is not closed, or must be told anew first; the message says what to do."""


@dataclass(frozen=True)
class _Site:
    """A site, and what stood there at the end of the period."""

    where: Where
    gateway_id: str
    required: int
    never: int
    seen: int


async def site_report(database: Database, view: View, period: Period, rules: CountingRules) -> PeriodReport:
    """Tell a period of the view's region by site.

    Args:
        database: the catalog.
        view: region and present instant.
        period: whole local days that are over.
        rules: how time is counted.

    Raises:
        DaysMissing: a day of the period is not over or not closed, or some sites must be told anew first.
        ValueError: an edition is selected: closed days do not tell which duty bound.
        DatabaseAway: no answer.
    """
    if view.selection.edition is not None:
        raise ValueError(
            "a report about one edition is told by source: name a smaller region, a class or a unit"
        )
    codes = (view.region.first, view.region.last)
    async with database.snapshot() as snapshot:
        chosen = (view.selection.place_class, view.selection.unit)
        at_end = (*codes, period.end - TICK, *chosen)
        # No row is kept beyond what it is turned into: a million sources are 100,000 of them.
        sites = await asyncio.to_thread(
            _sites, await snapshot.gather("report_site_rows", *at_end, within=WITHIN)
        )
        accounts = await _accounts(snapshot, view, period, rules, sites)
        never_connected = await asyncio.to_thread(
            _never_connected, sites, await snapshot.gather("report_duties", *codes, within=WITHIN), period
        )
        removals = await _suspected_removals(snapshot, view, period, rules, sites)
        not_seen = await _not_seen(snapshot, view, period, _looked_after(sites, accounts))
        watermark = await snapshot.fetchval("history_watermark", *codes)
    incidents = await incidents_of(database, view, period)
    rates = await asyncio.to_thread(_rates, sites, accounts)
    return PeriodReport(
        told_by=ToldBy.SITE,
        period=period,
        all=sum((row.account for row in rates[By.DISTRICT]), Account()),
        rates=rates,
        never_connected=never_connected,
        offline=[
            WasOffline(sites[site].where, accounts[site])
            for site in sorted(accounts, key=lambda each: (sites[each].where.district, each))
            if accounts[site].outages
        ],
        suspected_removals=removals,
        incidents=incidents,
        not_seen=not_seen,
        watermark=watermark,
    )


def _sites(rows: Sequence[asyncpg.Record]) -> dict[int, _Site]:
    return {
        row["site_id"]: _Site(
            Where(None, row["unit"], row["site"], row["class"], row["district"]),
            row["gateway_id"],
            row["required"],
            row["never"],
            row["seen"],
        )
        for row in rows
    }


async def _accounts(
    snapshot: Transaction, view: View, period: Period, rules: CountingRules, sites: Mapping[int, _Site]
) -> dict[int, Account]:
    """Return the account of every site that a duty bound, read a district at a time."""
    days = whole_days(period, view.now)
    if days is None or period.end != local_midnight(days[1] + DAY):
        raise DaysMissing("a report by site is of whole local days that are over: name an earlier last day")
    found: dict[int, Account] = {}
    stale = 0
    for district in sorted({site.where.district for site in sites.values()}):
        told = await day_rates_of(snapshot, Region(district), days, by=By.SITE.value, rules=rules)
        if told is None:
            raise DaysMissing(
                f"not every day from {days[0]} to {days[1]} is closed: `muster report days` shows which are; "
                "a day is closed an hour after midnight"
            )
        stale += told.stale_sites
        found |= {
            int(site): account
            for (site, _), account in told.accounts.items()
            if account.sources and int(site) in sites
        }
    if stale:
        raise DaysMissing(f"{stale} sites are to be told anew of these days: ask again in a minute")
    return found


def _looked_after(sites: Mapping[int, _Site], accounts: Mapping[int, Account]) -> Counter[str]:
    found: Counter[str] = Counter()
    for site, account in accounts.items():
        found[sites[site].gateway_id] += account.sources
    return found


def _rates(sites: Mapping[int, _Site], accounts: Mapping[int, Account]) -> dict[By, Sequence[RateRow]]:
    keys: dict[By, dict[str, Account]] = {by: {} for by in TOLD_BY}
    for site, account in accounts.items():
        where = sites[site].where
        for by, key in zip(TOLD_BY, (where.district, where.place_class, where.unit), strict=True):
            keys[by][key] = keys[by].get(key, Account()) + account
    return {by: tuple(RateRow(key, "", told[key]) for key in sorted(told)) for by, told in keys.items()}


def _never_connected(
    sites: Mapping[int, _Site], rows: Sequence[asyncpg.Record], period: Period
) -> tuple[NeverConnected, ...]:
    """Return the sites with sources that never connected, the longest due first."""
    last = local_day(period.end - TICK)
    duties: defaultdict[int, list[Duty]] = defaultdict(list)
    for row in rows:
        duties[row["site_id"]].append(
            Duty(row["effective_from"], row["due_on"], row["withdrawn_on"], row["basis"])
        )
    lines = []
    for site_id, site in sites.items():
        duty = binding_on(duties[site_id], last) if site.never else None
        if duty is not None:
            line = NeverConnected(
                where=site.where,
                site_id=site_id,
                duty=duty,
                days_overdue=days_overdue(today=last, due_on=duty.due_on),
                site_required=site.required,
                site_never=site.never,
                site_seen=site.seen,
            )
            lines.append(line)
    return tuple(sorted(lines, key=lambda line: (line.duty.due_on, line.where.district, line.site_id)))


async def _suspected_removals(
    snapshot: Transaction, view: View, period: Period, rules: CountingRules, sites: Mapping[int, _Site]
) -> tuple[SuspectedRemoval, ...]:
    rows = await snapshot.fetch(
        "report_long_offline",
        view.region.first,
        view.region.last,
        period.end - TICK,
        period.end - REMOVAL_SUSPECTED_AFTER,
        within=WITHIN,
    )
    telling = Telling(period, rules)
    ids = [row["source_id"] for row in rows]
    for begin in range(0, len(ids), AT_ONCE):
        part = await whole_histories(snapshot, ids[begin : begin + AT_ONCE], view, period.start)
        await asyncio.to_thread(telling.take, [each for each in part if each.site_id in sites])
    return telling.suspected_removals()


async def _not_seen(
    snapshot: Transaction, view: View, period: Period, looked_after: Mapping[str, int]
) -> tuple[NotSeen, ...]:
    rows = await snapshot.fetch(
        "history_gateway_overlays", sorted(looked_after), period.start, view.now, view.stale_after
    )
    blind: defaultdict[str, list[Laid]] = defaultdict(list)
    for row in rows:
        while_blind = Period(row["started_at"], row["ended_at"])
        blind[row["gateway_id"]].append(Laid(UnknownReason(row["reason"]), while_blind))
    return tuple(
        each
        for gateway in sorted(blind)
        for each in blind_in(period, blind[gateway], sources=looked_after[gateway])
    )
