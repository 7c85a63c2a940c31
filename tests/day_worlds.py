"""Small catalogs in which everything happens that a day depends on, drawn at random, and their days closed."""

from datetime import datetime, time, timedelta
from random import Random

from catalog.database import Database
from catalog.day_closing import DAY, DayClosing
from catalog.model.display import SuspendedReason, UnknownReason
from catalog.model.operation import RestHours
from catalog.model.period import Period
from catalog.model.rates import CountingRules
from catalog.model.suspension import Acted, SuspensionAct, Window
from catalog.reading import LOCAL, local_day, local_midnight
from catalog.suspensions import act, request
from tests.seed import ELSEWHERE, GATEWAY, NOW, Change, Seeded, apply, seed_roll

RULES = CountingRules(LOCAL, timedelta(hours=24))
STALE_AFTER = timedelta(seconds=60)
TODAY = local_day(NOW)
FIRST = TODAY - 12 * DAY
"""The first day of the stories told here."""


def closing(database: Database) -> DayClosing:
    return DayClosing(database, RULES, STALE_AFTER)


async def close_all(database: Database) -> None:
    for number in range(13):
        await closing(database).close(FIRST + number * DAY, now=NOW)


async def mend_all(database: Database) -> None:
    while await closing(database).mend(now=NOW):
        pass


async def seed_world(database: Database, random: Random) -> list[Seeded]:
    """Two districts whose sources come and go, with outages of ours, windows and duties that change."""
    worlds = [await seed_roll(database, count=6), await seed_roll(database, count=4, district=ELSEWHERE)]
    start = local_midnight(FIRST)
    async with database.raw_connection() as connection:
        await connection.execute("SELECT ensure_partitions('2026-10-01', 3)")
        await connection.execute("UPDATE site SET class = 'WX8_03' WHERE site_id % 2 = 0")
    for source in [source for world in worlds for source in world.source_ids]:
        await be_born(database, random, source, start)
    for world in worlds:
        for source in world.source_ids:
            await tell_story(database, random, source, start)
        for site in world.site_ids:
            await change_duties(database, random, site)
            if random.random() < 0.6:
                await suspend(database, random, site)
    for _ in range(random.randint(0, 2)):
        await blind_gateway(database, random)
    for world in worlds:
        for source in world.source_ids:
            await see_otherwise(database, random, source)
    return worlds


async def be_born(database: Database, random: Random, source: int, start: datetime) -> None:
    """Let a source come to be within the days; some are retired, some rejected."""
    born = start + timedelta(hours=random.randint(-60, 100))
    async with database.raw_connection() as connection:
        await connection.execute("UPDATE source SET created_at = $2 WHERE source_id = $1", source, born)
        await connection.execute("UPDATE connectivity SET since = $2 WHERE source_id = $1", source, born)
        if random.random() < 0.4:
            # In contact long before it connects, if it ever does.
            await connection.execute(
                "UPDATE connectivity SET seen_at = $2 WHERE source_id = $1",
                source,
                born + timedelta(hours=random.randint(1, 200)),
            )
        if random.random() < 0.2:
            await connection.execute(
                "UPDATE source SET lifecycle = 'removed', retired_at = $2 WHERE source_id = $1",
                source,
                start + timedelta(hours=random.randint(101, 280)),
            )
        elif random.random() < 0.1:
            await connection.execute("UPDATE source SET lifecycle = 'rejected' WHERE source_id = $1", source)


async def tell_story(database: Database, random: Random, source: int, start: datetime) -> None:
    state, at = "never_connected", start + timedelta(hours=100)
    unknown: str | None = None
    while random.random() < 0.85:
        at += timedelta(minutes=random.randint(30, 3_000))
        if at >= NOW:
            break
        if random.random() < 0.3:
            unknown = None if unknown is not None else random.choice(["no_samples", "restart_grace"])
            since = await _since(database, source)
            await apply(database, [Change(source, state, since, _reasons(state), unknown, at)])
            continue
        state = random.choice([each for each in ("online", "offline", "degraded") if each != state])
        await apply(database, [Change(source, state, at, _reasons(state), unknown, at)])


def _reasons(state: str) -> str:
    return "no_media" if state == "degraded" else ""


async def _since(database: Database, source: int) -> datetime:
    async with database.raw_connection() as connection:
        since: datetime = await connection.fetchval(
            "SELECT since FROM connectivity WHERE source_id = $1", source
        )
    return since


async def change_duties(database: Database, random: Random, site: int) -> None:
    begins, gap = FIRST + random.randint(-5, 6) * DAY, random.randint(0, 3)
    ends = begins + random.randint(1, 6) * DAY
    async with database.raw_connection() as connection:
        await connection.execute(
            "UPDATE duty SET effective_from = $2, due_on = $3, withdrawn_on = $4 WHERE site_id = $1",
            site,
            begins,
            begins + random.randint(0, 8) * DAY,
            ends if random.random() < 0.6 else None,
        )
        if await connection.fetchval("SELECT withdrawn_on FROM duty WHERE site_id = $1", site) is not None:
            await connection.execute(
                "INSERT INTO duty (site_id, effective_from, due_on, basis) VALUES ($1, $2, $2, 'WX-21.2')",
                site,
                ends + gap * DAY,
            )


async def suspend(database: Database, random: Random, site: int) -> None:
    start = local_midnight(FIRST) + timedelta(hours=random.randint(0, 250))
    is_late = random.random() < 0.5
    reason = random.choice(list(SuspendedReason))
    is_rest = reason is SuspendedReason.OUTSIDE_OPERATION
    window = Window(
        reason,
        Period(start, start + timedelta(hours=random.randint(1, 60))),
        "D-1",
        start + timedelta(minutes=5) if is_late else start - timedelta(minutes=5),
        "Li",
        RestHours(time(random.randint(12, 23)), time(random.randint(0, 11))) if is_rest else None,
    )
    number = await request(database, window, site_id=site)
    for person in ("Wang", "Zhao") if is_late else ("Wang",):
        await act(database, number, Acted(SuspensionAct.APPROVE, NOW, person))


async def show_running(database: Database, random: Random, source: int) -> None:
    """Show late that a source was running for a while, and find that right."""
    start = local_midnight(FIRST) + timedelta(hours=random.randint(100, 270))
    end = start + timedelta(hours=random.randint(1, 40))
    async with database.raw_connection() as connection:
        number = await connection.fetchval(
            "INSERT INTO dispute (source_id, first_day, last_day, raised_by, text, document, running_from, "
            "running_until, raised_at, entered_by) VALUES ($1, $2, $2, 'u', 't', '', $3, $4, $4, 'Li') "
            "RETURNING dispute_id",
            source,
            FIRST,
            start,
            end,
        )
        await connection.execute("INSERT INTO dispute_answer VALUES ($1, true, 't', $2, 'Wang')", number, end)


async def see_otherwise(database: Database, random: Random, source: int) -> None:
    """Let something else than its own gateway tell that a source was running."""
    if random.random() < 0.5:
        await show_running(database, random, source)
    if random.random() < 0.5:
        await see_elsewhere(database, random, source)


async def see_elsewhere(database: Database, random: Random, source: int) -> None:
    """Let another gateway see a source for some whiles, the last of which may go on."""
    at = local_midnight(FIRST) + timedelta(hours=random.randint(0, 100))
    async with database.raw_connection() as connection:
        await connection.execute(
            "INSERT INTO gateway (gateway_id, second_sight_until) VALUES ('other', $1) ON CONFLICT DO NOTHING",
            NOW - timedelta(seconds=5),
        )
        while at < NOW:
            end = at + timedelta(hours=random.randint(1, 60))
            await connection.execute(
                "INSERT INTO second_sight VALUES ($1, 'other', $2, $3)",
                source,
                at,
                end if end < NOW else None,
            )
            at = end + timedelta(hours=random.randint(1, 60))


async def blind_gateway(database: Database, random: Random) -> None:
    start = local_midnight(FIRST) + timedelta(hours=random.randint(0, 200))
    end = start + timedelta(hours=random.randint(1, 70))
    await database.execute(
        "add_gateway_unknown", GATEWAY, UnknownReason.GATEWAY_DOWN.value, start, min(end, NOW)
    )
