"""An eye on another gateway's sources, on a real catalog: what is stored when something is not known any more."""

import pytest

from catalog.database import Database
from catalog.model.profile import LocationJudgement, judge_location
from catalog.profiles.load import effective_profile
from gateway.metrics import Metrics
from gateway.probing import ProbeLimits
from gateway.second_sight import service
from gateway.second_sight.service import SecondSight, SecondSightRules
from tests.clock import HandClock
from tests.seed import GATEWAY, NOW, seed_roll

pytestmark = pytest.mark.postgres

OTHER = "gateway-2"


def anything(_: object) -> LocationJudgement:
    return judge_location(effective_profile("wuxi-2019"), "entrance")


async def begin(database: Database) -> tuple[SecondSight, HandClock, tuple[int, ...]]:
    """The other gateway has an eye on four sources at confirmed addresses of an authorised network."""
    seeded = await seed_roll(database, count=4)
    async with database.raw_connection() as connection:
        await connection.execute("INSERT INTO gateway (gateway_id) VALUES ($1)", OTHER)
        await connection.execute(
            "UPDATE endpoint SET host = '10.9.0.1', confirmed_at = now(), confirmed_by = 'x'"
        )
        await connection.execute(
            "INSERT INTO network (cidr, document, approver, authorised_by, authorised_at, expires_at) "
            "VALUES ('10.9.0.0/24', 'd', 'a', 'b', $1::timestamptz - interval '1 d', $1::timestamptz + interval '9 d')",
            NOW,
        )
    clock = HandClock(NOW)
    rules = SecondSightRules((GATEWAY,), 60.0, 3, ProbeLimits())
    sight = SecondSight(database, OTHER, anything, clock, Metrics(), rules)
    await sight.load()
    return sight, clock, seeded.source_ids


async def times(database: Database) -> list[tuple[int, float, float | None]]:
    """The times of answers, in seconds from the beginning."""
    async with database.raw_connection() as connection:
        rows = await connection.fetch("SELECT * FROM second_sight ORDER BY source_id, seen_from")
    return [
        (
            row["source_id"],
            (row["seen_from"] - NOW).total_seconds(),
            None if row["seen_until"] is None else (row["seen_until"] - NOW).total_seconds(),
        )
        for row in rows
    ]


async def test_answers_are_stored_and_silence_ends_them(database: Database) -> None:
    sight, clock, (one, two, *_) = await begin(database)
    sight.alive(one, at=clock.monotonic())
    sight.alive(two, at=clock.monotonic())
    sight.alive(99_999, at=clock.monotonic())
    await sight.store()
    clock.advance(120)
    sight.alive(two, at=clock.monotonic())
    clock.advance(70)
    await sight.store()

    assert await times(database) == [(one, 0, 60), (two, 0, None)]


async def test_where_an_end_would_be_lost_nothing_goes_on(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    sight, clock, (one, two, three, _) = await begin(database)
    sight.alive(one, at=clock.monotonic())
    await sight.store()
    clock.advance(30)
    await sight.store()
    monkeypatch.setattr(service, "MOST_WAITING", 2)
    clock.advance(10)
    for source in (two, three):
        sight.alive(source, at=clock.monotonic())
    await sight.store()
    clock.advance(5)
    sight.alive(one, at=clock.monotonic())
    await sight.store()

    # It ended at our last word, and begins anew with the next answer.
    assert await times(database) == [(one, 0, 30), (one, 45, None)]
