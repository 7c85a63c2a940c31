"""Closed days on a real catalog: they tell what the histories tell, also after what was learned later."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from random import Random

import pytest

from catalog.database import Database
from catalog.day_closing import DAY
from catalog.errors import TransactionConflict
from catalog.model.display import UnknownReason
from catalog.model.rates import Account, CountingRules
from catalog.rate_report import By, HowMany, RateReport, local_period, rate_report
from catalog.reading import LOCAL, Region, local_midnight
from catalog.reports import View
from tests.day_worlds import (
    FIRST,
    RULES,
    STALE_AFTER,
    TODAY,
    blind_gateway,
    close_all,
    closing,
    mend_all,
    seed_world,
    show_running,
    suspend,
)
from tests.seed import ELSEWHERE, GATEWAY, HERE, NOW, Change, apply, seed_roll

pytestmark = pytest.mark.postgres

BYS = (By.DISTRICT, By.CLASS, By.UNIT, By.SITE)


async def report(
    database: Database, first: date, last: date, by: By, *, from_days: bool, region: str = ""
) -> RateReport:
    how_many = HowMany(told_singly=0 if from_days else 10**6)
    view = View(NOW, Region(region), STALE_AFTER)
    return await rate_report(
        database, view, local_period(first, last, NOW), by=by, rules=RULES, how_many=how_many
    )


def rounded(rows: RateReport) -> list[tuple[str, str, Account]]:
    """The rows, with the sum of many quotients rounded: its last digit depends on the order."""
    return [
        (row.key, row.name, replace(row.account, raw_days=row.account.raw_days.quantize(Decimal("1e-15"))))
        for row in rows.rows
    ]


async def assert_same(database: Database, random: Random) -> None:
    """Days and histories tell the same of some periods, by everything."""
    for _ in range(6):
        first = FIRST + random.randint(0, 12) * DAY
        last = first + random.randint(0, (TODAY - first).days) * DAY
        for by in BYS:
            # Of today there are totals of districts and classes alone.
            until = last if by in {By.DISTRICT, By.CLASS} else min(last, TODAY - DAY)
            if until < first:
                continue
            for region in ("", HERE, ELSEWHERE[:2]):
                told = await report(database, first, until, by, from_days=True, region=region)
                singly = await report(database, first, until, by, from_days=False, region=region)
                assert rounded(told) == rounded(singly), (first, until, by, region)
                assert told.period == singly.period


@pytest.mark.parametrize("seed", range(6))
async def test_closed_days_tell_what_the_histories_tell(database: Database, seed: int) -> None:
    random = Random(seed)
    await seed_world(database, random)
    await close_all(database)

    await assert_same(database, random)


@pytest.mark.parametrize("seed", range(6, 10))
async def test_what_is_learned_about_a_closed_day_is_told_anew(database: Database, seed: int) -> None:
    random = Random(seed)
    worlds = await seed_world(database, random)
    await close_all(database)
    site, other = worlds[0].site_ids

    await suspend(database, random, site)
    await blind_gateway(database, random)
    await show_running(database, random, worlds[0].source_ids[1])
    async with database.raw_connection() as connection:
        await connection.execute(
            "UPDATE duty SET withdrawn_on = $2 WHERE site_id = $1", other, FIRST + 9 * DAY
        )
        # A duty that turns out to bind from a later day on.
        await connection.execute(
            "UPDATE duty SET effective_from = '2027-01-01', due_on = '2027-01-01', withdrawn_on = NULL "
            "WHERE duty_id = (SELECT max(duty_id) FROM duty WHERE site_id = $1)",
            worlds[1].site_ids[1],
        )
        await connection.execute(
            "UPDATE source SET lifecycle = 'rejected' WHERE source_id = $1 AND lifecycle <> 'removed'",
            worlds[0].source_ids[0],
        )
        await connection.execute("UPDATE site SET class = 'WX8_05' WHERE site_id = $1", worlds[1].site_ids[0])
        stale = await connection.fetchval("SELECT count(DISTINCT site_id) FROM day_stale")
    told = await report(database, FIRST, TODAY - DAY, By.SITE, from_days=True)
    assert told.stale_sites == stale > 0

    await mend_all(database)

    await closing(database).close(TODAY, now=NOW)
    await assert_same(database, random)
    assert (await report(database, FIRST, TODAY, By.SITE, from_days=True)).stale_sites == 0


async def test_a_change_that_reaches_back_over_midnight_is_told_anew(database: Database) -> None:
    seeded = await seed_roll(database, count=2)
    source = seeded.source_ids[0]
    await apply(database, [Change(source, "online", local_midnight(FIRST))])
    await close_all(database)
    async with database.raw_connection() as connection:
        await connection.execute("DELETE FROM day_stale")

    await apply(database, [Change(source, "offline", local_midnight(TODAY) - timedelta(minutes=7))])

    assert await closing(database).mend(now=NOW) == 1
    [row] = (await report(database, FIRST, TODAY - DAY, By.DISTRICT, from_days=True)).rows
    assert (row.account.offline, row.account.outages) == (timedelta(minutes=7), 1)


async def test_an_outage_that_we_could_not_see_for_a_day_is_one_outage(database: Database) -> None:
    seeded = await seed_roll(database, count=2)
    source = seeded.source_ids[0]
    await apply(database, [Change(source, "online", local_midnight(FIRST))])
    await apply(database, [Change(source, "offline", local_midnight(FIRST + 2 * DAY))])
    blind = (local_midnight(FIRST + 4 * DAY), local_midnight(FIRST + 6 * DAY))
    await database.execute("add_gateway_unknown", GATEWAY, UnknownReason.GATEWAY_DOWN.value, *blind)
    await close_all(database)

    for first in (FIRST, FIRST + 5 * DAY, FIRST + 6 * DAY):
        [row] = (await report(database, first, TODAY, By.DISTRICT, from_days=True)).rows
        assert row.account.outages == 1


async def test_a_day_that_is_not_closed_is_told_from_the_histories(database: Database) -> None:
    await seed_roll(database, count=2)
    await close_all(database)
    async with database.raw_connection() as connection:
        await connection.execute("DELETE FROM closed_day WHERE day = $1", FIRST + 3 * DAY)
        await connection.execute("UPDATE day_total SET sources = 99")

    kept = await report(database, FIRST + 4 * DAY, TODAY - DAY, By.DISTRICT, from_days=True)
    told = await report(database, FIRST, TODAY - DAY, By.DISTRICT, from_days=True)

    assert (kept.all.sources, told.all.sources) == (99, 2)


async def test_days_before_the_roll_began_are_told_without_being_closed(database: Database) -> None:
    """A catalog that is five days old has a month's rates."""
    await seed_roll(database, count=2)
    async with database.raw_connection() as connection:
        await connection.execute("UPDATE source SET created_at = $1", local_midnight(FIRST + 8 * DAY))
        await connection.execute("UPDATE connectivity SET since = $1", local_midnight(FIRST + 8 * DAY))
    for number in range(8, 13):
        await closing(database).close(FIRST + number * DAY, now=NOW)
    async with database.raw_connection() as connection:
        # Told from here, and not from the histories.
        await connection.execute("UPDATE day_total SET sources = 99")

    month = await report(database, FIRST - 20 * DAY, TODAY, By.DISTRICT, from_days=True)
    before = await report(database, FIRST - 20 * DAY, FIRST + 7 * DAY, By.DISTRICT, from_days=True)

    assert (month.all.sources, month.period.start) == (99, local_midnight(FIRST - 20 * DAY))
    assert (before.rows, before.period.end) == ((), local_midnight(FIRST + 8 * DAY))


async def test_another_cap_of_maintenance_is_another_count(database: Database) -> None:
    await seed_roll(database, count=2)
    await close_all(database)
    async with database.raw_connection() as connection:
        await connection.execute("UPDATE day_total SET sources = 99")
    view, period = View(NOW, stale_after=STALE_AFTER), local_period(FIRST, TODAY - DAY, NOW)

    for cap, expected in ((timedelta(hours=24), 99), (timedelta(hours=12), 2), (None, 2)):
        found = await rate_report(
            database,
            view,
            period,
            by=By.DISTRICT,
            rules=CountingRules(LOCAL, cap),
            how_many=HowMany(told_singly=0),
        )
        assert found.all.sources == expected


async def test_one_closes_at_a_time(database: Database) -> None:
    await seed_roll(database, count=2)
    async with database.transaction() as other:
        await other.execute("day_closing_turn")
        with pytest.raises(TransactionConflict):
            await closing(database).close(TODAY, now=NOW)


async def test_a_day_may_be_closed_again(database: Database) -> None:
    random = Random(1)
    await seed_world(database, random)
    await close_all(database)
    await close_all(database)

    await assert_same(database, random)
