"""What other gateways see of our sources, heard by the status service on a real catalog (4.7, E14)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from catalog.database import Database
from catalog.model.display import Displayed
from catalog.second_sight import SecondSightStore, Turn
from gateway.second_sight.witnesses import Witnesses
from tests.integration.gateway.test_status import Bench, begin, facts
from tests.seed import seed_roll

pytestmark = pytest.mark.postgres

OTHER = "gateway-2"
GONE_AFTER = timedelta(seconds=180)


@asynccontextmanager
async def running(database: Database) -> AsyncIterator[tuple[Bench, int, SecondSightStore, Witnesses]]:
    """A gateway with one connected source, and another one that may see it."""
    [source] = (await seed_roll(database, count=1)).source_ids
    async with database.raw_connection() as connection:
        await connection.execute("INSERT INTO gateway (gateway_id) VALUES ($1)", OTHER)
    bench = await begin(database)
    await bench.connect(source)
    witnesses = Witnesses(
        database, bench.service, bench.clock, stale_after=timedelta(seconds=60), gone_after=GONE_AFTER
    )
    yield bench, source, SecondSightStore(database, OTHER), witnesses


async def test_a_source_that_another_gateway_sees_is_not_lost_to_us(database: Database) -> None:
    async with running(database) as (bench, source, other, witnesses):
        await other.write([Turn(source, answers=True, at=bench.clock.now())], bench.clock.now())
        for _ in range(6):
            await bench.probe(source, answers=False)
            await other.write([], bench.clock.now())
            await witnesses.look()
        seen = bench.shown(source)
        await other.write([Turn(source, answers=False, at=bench.clock.now())], bench.clock.now())
        for _ in range(4):
            await bench.probe(source, answers=False)
            await witnesses.look()

    assert (seen, bench.shown(source)) == (Displayed.ONLINE, Displayed.OFFLINE)
    assert [kind for kind, _, _ in await facts(database, source)] == ["connected", "lost"]


async def test_a_witness_that_fell_silent_itself_is_none(database: Database) -> None:
    async with running(database) as (bench, source, other, witnesses):
        await other.write([Turn(source, answers=True, at=bench.clock.now())], bench.clock.now())
        for _ in range(6):
            await bench.probe(source, answers=False)
            await witnesses.look()

    assert bench.shown(source) is Displayed.OFFLINE


async def test_after_a_good_bye_only_what_shows_an_answer_since_counts(database: Database) -> None:
    async with running(database) as (bench, source, other, witnesses):
        await other.write([Turn(source, answers=True, at=bench.clock.now())], bench.clock.now())
        bench.clock.advance(600)
        bench.service.left(source, at=bench.clock.monotonic(), cause="device_left")
        await bench.service.flush()
        shown = []
        for seconds in (5, 120, 60):
            bench.clock.advance(seconds)
            await other.write([], bench.clock.now())
            await witnesses.look()
            await bench.service.flush()
            shown.append(bench.shown(source))

    # Silence shows after three intervals: what still goes on by then was an answer.
    assert shown == [Displayed.OFFLINE, Displayed.OFFLINE, Displayed.ONLINE]


async def test_after_a_start_of_ours_a_witness_ends_what_we_do_not_know(database: Database) -> None:
    async with running(database) as (bench, source, other, _):
        await bench.service.flush()
        again = await begin(database, bench.clock)
        before = again.shown(source)
        await other.write([Turn(source, answers=True, at=bench.clock.now())], bench.clock.now())
        witnesses = Witnesses(
            database, again.service, bench.clock, stale_after=timedelta(seconds=60), gone_after=GONE_AFTER
        )
        bench.clock.advance(1)
        await witnesses.look()
        await again.service.flush()

        told = (await facts(database, source))[-1]

    assert (before, again.shown(source)) == (Displayed.UNKNOWN, Displayed.ONLINE)
    assert told == ("alive", "seen_elsewhere", "online")
