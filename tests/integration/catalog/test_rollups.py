"""The counts that the one writer keeps equal a recount, whatever changes in whatever batches."""

from datetime import datetime, timedelta
from random import Random

import pytest

from catalog.database import Database
from tests.seed import NOW, Change, apply, seed_roll

pytestmark = pytest.mark.postgres

SITES = "SELECT * FROM site_rollup ORDER BY site_id"
DISTRICTS = "SELECT * FROM district_rollup ORDER BY district"


async def differing(database: Database) -> list[tuple[object, object]]:
    async with database.raw_connection() as connection:
        kept = [*await connection.fetch(SITES), *await connection.fetch(DISTRICTS)]
        await connection.execute("SELECT recount_rollups(array_agg(site_id)) FROM site")
        counted = [*await connection.fetch(SITES), *await connection.fetch(DISTRICTS)]
    return [pair for pair in zip(kept, counted, strict=True) if pair[0] != pair[1]]


async def offline_since(database: Database, site_id: int) -> datetime | None:
    async with database.raw_connection() as connection:
        since: datetime | None = await connection.fetchval(
            "SELECT offline_since FROM site_rollup WHERE site_id = $1", site_id
        )
    return since


class Story:
    """Random but lawful changes of a few sources, a second after each other."""

    def __init__(self, sources: tuple[int, ...], seed: int) -> None:
        self._random = Random(seed)
        self._states = dict.fromkeys(sources, ("never_connected", NOW - timedelta(days=30)))
        self._at = NOW

    def batch(self) -> list[Change]:
        self._at += timedelta(seconds=1)
        chosen = self._random.sample(sorted(self._states), self._random.randint(1, len(self._states)))
        return [self._change(source) for source in chosen]

    def _change(self, source: int) -> Change:
        state, since = self._states[source]
        if self._random.random() < 0.6:
            at = self._at - timedelta(milliseconds=self._random.randint(0, 900))
            following = self._random.choice(["online", "offline", "degraded"])
            state, since = (state, since) if following == state else (following, at)
        self._states[source] = (state, since)
        has_connected = state != "never_connected"
        unknown = self._random.choice([None, None, "restart_grace"]) if has_connected else None
        suspended = self._random.choice([None, None, None, "planned_maintenance"])
        return Change(
            source,
            state,
            since,
            reasons="no_media" if state == "degraded" else "",
            unknown=unknown,
            unknown_at=self._at,
            suspended=suspended,
            suspended_at=self._at,
        )


@pytest.mark.parametrize("seed", range(3))
async def test_the_kept_counts_equal_a_recount_after_any_batch(database: Database, seed: int) -> None:
    story = Story((await seed_roll(database, count=6)).source_ids, seed)
    for _ in range(25):
        await apply(database, story.batch())
        assert await differing(database) == []


async def test_a_restart_does_not_move_since_when_a_site_is_offline(database: Database) -> None:
    seeded = await seed_roll(database, count=4)
    early, late = seeded.source_ids[0], seeded.source_ids[2]
    times = [NOW - timedelta(hours=hours) for hours in (5, 2, 1)]
    await apply(database, [Change(source, "online", times[0]) for source in (early, late)])
    await apply(database, [Change(early, "offline", times[1])])
    await apply(database, [Change(late, "offline", times[2])])
    shown = [await offline_since(database, seeded.site_ids[0])]
    grace = [
        Change(source, "offline", since, unknown="restart_grace", unknown_at=NOW)
        for source, since in ((early, times[1]), (late, times[2]))
    ]
    await apply(database, grace)
    for source, since in ((late, times[2]), (early, times[1])):
        shown.append(await offline_since(database, seeded.site_ids[0]))
        await apply(database, [Change(source, "offline", since, unknown_at=NOW + timedelta(minutes=3))])
    shown.append(await offline_since(database, seeded.site_ids[0]))

    assert shown == [times[2], None, None, times[2]]
