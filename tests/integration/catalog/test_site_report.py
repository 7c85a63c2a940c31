"""A report told by site from closed days tells what the histories of its sources tell."""

from collections import Counter, defaultdict
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from random import Random

import pytest

from catalog.database import Database
from catalog.day_closing import DAY
from catalog.model.display import NeverConnected as Substate
from catalog.model.period import Period
from catalog.model.rates import Account
from catalog.period_report import PeriodReport, period_report
from catalog.rate_report import By, local_period
from catalog.reading import Region, local_midnight
from catalog.reports import View
from catalog.site_report import DaysMissing, site_report
from tests.day_worlds import FIRST, RULES, STALE_AFTER, TODAY, close_all, mend_all, seed_world, suspend
from tests.seed import ELSEWHERE, HERE, NOW, Change, apply, seed_roll

pytestmark = pytest.mark.postgres

YESTERDAY = TODAY - DAY


async def both(
    database: Database, first: date, last: date, region: str = ""
) -> tuple[PeriodReport, PeriodReport]:
    """Tell some days by site, and by source."""
    view, period = View(NOW, Region(region), STALE_AFTER), local_period(first, last, NOW)
    return (
        await site_report(database, view, period, RULES),
        await period_report(database, view, period, RULES),
    )


def rounded(account: Account) -> Account:
    """An account whose sum of many quotients is rounded: its last digit depends on the order."""
    return replace(account, raw_days=account.raw_days.quantize(Decimal("1e-15")))


def rates_of(report: PeriodReport) -> dict[By, list[tuple[str, Account]]]:
    return {by: [(row.key, rounded(row.account)) for row in rows] for by, rows in report.rates.items()}


def never_of(report: PeriodReport) -> set[tuple[object, ...]]:
    return {
        (
            line.site_id,
            line.where.site,
            line.duty.due_on,
            line.days_overdue,
            line.site_required,
            line.site_never,
        )
        for line in report.never_connected
    }


def seen_of(report: PeriodReport) -> Counter[int]:
    """How many of each site's were in contact, told by site or by source."""
    seen: Counter[int] = Counter()
    for line in report.never_connected:
        seen[line.site_id] += line.site_seen + (line.substate is Substate.SEEN_NOT_CONNECTED)
    return +seen


def outages_of(report: PeriodReport) -> tuple[Counter[str], dict[str, timedelta]]:
    outages: Counter[str] = Counter()
    offline: defaultdict[str, timedelta] = defaultdict(timedelta)
    for line in report.offline:
        outages[line.where.site] += line.account.outages
        offline[line.where.site] += line.account.offline
    return outages, offline


@pytest.mark.parametrize("seed", range(20, 26))
async def test_sites_are_told_as_their_sources_are(database: Database, seed: int) -> None:
    random = Random(seed)
    await seed_world(database, random)
    await close_all(database)
    await mend_all(database)

    for region in ("", HERE, ELSEWHERE[:2]):
        first = FIRST + random.randint(0, 11) * DAY
        last = first + random.randint(0, (YESTERDAY - first).days) * DAY
        by_site, by_source = await both(database, first, last, region)
        assert rates_of(by_site) == rates_of(by_source)
        assert rounded(by_site.all) == rounded(by_source.all)
        assert never_of(by_site) == never_of(by_source)
        assert seen_of(by_site) == seen_of(by_source)
        assert outages_of(by_site) == outages_of(by_source)
        assert by_site.suspected_removals == by_source.suspected_removals
        assert by_site.not_seen == by_source.not_seen
        assert (by_site.incidents, by_site.watermark) == (by_source.incidents, by_source.watermark)


async def test_lines_are_sites_in_order_each_once(database: Database) -> None:
    seeded = await seed_roll(database, count=6)
    await seed_roll(database, count=2, district=ELSEWHERE)
    first, second = seeded.source_ids[0], seeded.source_ids[2]
    await apply(database, [Change(source, "online", local_midnight(FIRST)) for source in (first, second)])
    await apply(database, [Change(first, "offline", local_midnight(TODAY - 11 * DAY))])
    await close_all(database)
    await mend_all(database)

    report, _ = await both(database, FIRST, YESTERDAY)

    sites = [(line.where.district, line.site_id) for line in report.never_connected]
    assert sites == sorted(set(sites))
    assert {line.where.source_id for line in report.never_connected} == {None}
    [offline] = report.offline
    assert (offline.where.source_id, offline.account.outages) == (None, 1)
    [gone] = report.suspected_removals
    assert (gone.where.source_id, gone.days) == (first, 11)


async def test_of_nothing_there_is_an_empty_report(database: Database) -> None:
    await seed_roll(database, count=2)
    await close_all(database)
    report, _ = await both(database, FIRST, YESTERDAY, "99")

    assert (report.all, report.never_connected, report.offline) == (Account(), (), [])


async def test_a_day_that_goes_on_or_is_not_closed_is_refused(database: Database) -> None:
    await seed_roll(database, count=2)
    await close_all(database)
    view = View(NOW, stale_after=STALE_AFTER)

    with pytest.raises(DaysMissing, match="that are over"):
        await site_report(database, view, local_period(FIRST, TODAY, NOW), RULES)
    part = Period(local_midnight(FIRST) + timedelta(hours=1), local_midnight(TODAY))
    with pytest.raises(DaysMissing, match="whole local days"):
        await site_report(database, view, part, RULES)
    async with database.raw_connection() as connection:
        await connection.execute("DELETE FROM closed_day WHERE day = $1", FIRST + DAY)
    with pytest.raises(DaysMissing, match="`muster report days` shows"):
        await site_report(database, view, local_period(FIRST, YESTERDAY, NOW), RULES)


async def test_what_waits_to_be_told_anew_is_never_signed(database: Database) -> None:
    seeded = await seed_roll(database, count=2)
    await close_all(database)
    await suspend(database, Random(1), seeded.site_ids[0])
    view, period = View(NOW, stale_after=STALE_AFTER), local_period(FIRST, YESTERDAY, NOW)

    with pytest.raises(DaysMissing, match="1 sites are to be told anew"):
        await site_report(database, view, period, RULES)
    await mend_all(database)
    await site_report(database, view, period, RULES)
