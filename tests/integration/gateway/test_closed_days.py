"""The gateway closes days: the night's, missing ones, and the day that goes on."""

from datetime import date, datetime, timedelta

import pytest

from catalog.database import Database
from catalog.day_closing import DAY, kept_days
from catalog.model.rates import CountingRules
from catalog.reading import LOCAL, local_midnight
from gateway.closed_days import LOOK_EVERY, SETTLES_AFTER, TODAY_EVERY, ClosedDays, missing
from tests.clock import HandClock
from tests.seed import NOW, seed_roll

RULES = CountingRules(LOCAL, timedelta(hours=24))
BORN = date(2026, 10, 21)
"""The local day from which the seeded sources are."""


def at(day: date, hours: float = 0) -> datetime:
    return local_midnight(day) + timedelta(hours=hours)


def closed_days(
    database: Database, clock: HandClock, cap: timedelta | None = RULES.maintenance_cap
) -> ClosedDays:
    return ClosedDays(database, CountingRules(LOCAL, cap), timedelta(seconds=60), clock)


async def kept(database: Database) -> list[tuple[date, bool]]:
    return [(each.day, each.is_over) for each in await kept_days(database)]


def test_a_day_is_missing_once_it_has_settled() -> None:
    first, last, over = date(2026, 11, 1), date(2026, 11, 4), {date(2026, 11, 2)}
    settled = local_midnight(last + DAY) + SETTLES_AFTER
    assert missing(over, first, settled) == [last, date(2026, 11, 3), first]
    assert missing(over, first, settled - timedelta(seconds=1)) == [date(2026, 11, 3), first]
    assert missing(over, None, settled) == []
    assert missing(set(), last + DAY, settled) == []


@pytest.mark.postgres
async def test_missing_days_are_closed_the_newest_first_and_then_today_is_told_again_and_again(
    database: Database,
) -> None:
    await seed_roll(database, count=2)
    clock = HandClock(NOW)
    work = closed_days(database, clock)
    over = [date(2026, 11, 19) - number * DAY for number in range(30)]
    assert over[-1] == BORN

    for number in range(len(over)):
        await work.look()
        assert await kept(database) == [(day, True) for day in over[: number + 1]]
    assert await work.look() == LOOK_EVERY

    today = date(2026, 11, 20)
    assert (await kept(database))[0] == (today, False)
    [first] = [each for each in await kept_days(database) if each.day == today]
    clock.advance(TODAY_EVERY + 1)
    await work.look()
    [again] = [each for each in await kept_days(database) if each.day == today]
    assert again.until - first.until == timedelta(seconds=TODAY_EVERY + 1)

    clock.advance((at(today + DAY) + SETTLES_AFTER - clock.now()).total_seconds())
    await work.look()
    assert (await kept(database))[0] == (today, True)


@pytest.mark.postgres
async def test_what_was_learned_late_comes_first_and_another_cap_counts_anew(database: Database) -> None:
    seeded = await seed_roll(database, count=2)
    clock = HandClock(NOW)
    for _ in range(30):
        await closed_days(database, clock).look()
    async with database.raw_connection() as connection:
        await connection.execute(
            "UPDATE source SET lifecycle = 'rejected' WHERE source_id = $1", seeded.source_ids[0]
        )

    await closed_days(database, clock).look()

    async with database.raw_connection() as connection:
        sources = "SELECT sum(sources) FROM day_total WHERE class = '' AND day = '2026-11-01'"
        assert await connection.fetchval(sources) == 1
        assert await connection.fetchval("SELECT count(*) FROM day_stale") == 0
        await closed_days(database, clock, timedelta(hours=8)).look()
        caps = "SELECT day FROM closed_day WHERE maintenance_cap = '8 h'"
        assert [row["day"] for row in await connection.fetch(caps)] == [date(2026, 11, 19)]


@pytest.mark.postgres
async def test_an_empty_catalog_misses_no_day(database: Database) -> None:
    await closed_days(database, HandClock(NOW)).look()

    assert [is_over for _, is_over in await kept(database)] == [False]
