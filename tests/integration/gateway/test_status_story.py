"""Random stories told to the status service: what is stored follows from the stored facts alone (status model T-4)."""

from dataclasses import dataclass, field
from datetime import timedelta
from random import Random

import pytest

from catalog.check import check
from catalog.database import Database
from catalog.model.connectivity import Connectivity, DegradeReason
from catalog.model.period import Period
from catalog.observations import Observations
from catalog.proof import Proof, prove
from catalog.reports import View
from gateway.liveness import Liveness, LivenessRules, SelfTest
from gateway.status import StatusService
from gateway.status_view import StatusView
from tests.clock import HandClock
from tests.seed import GATEWAY, NOW, seed_roll

pytestmark = pytest.mark.postgres

RULES = LivenessRules(common_cause_min=3)
REASONS = (DegradeReason.NO_MEDIA, DegradeReason.AUTHENTICATION_FAILED)
STEPS = (-3600, -40, -3, 3, 50)
"""Seconds by which somebody sets the clock."""

DOUBLED = """
SELECT count(*) FROM overlay_interval a JOIN overlay_interval b USING (source_id, kind)
 WHERE a.overlay_id < b.overlay_id AND a.started_at < b.ended_at AND b.started_at < a.ended_at
"""


EVER = Period(NOW - timedelta(days=31), NOW + timedelta(days=31))


@dataclass
class Story:
    """A gateway over a few sources, to which chance happens."""

    database: Database
    sources: tuple[int, ...]
    chance: Random
    clock: HandClock = field(default_factory=lambda: HandClock(NOW))
    network: bool = True

    async def begin(self) -> None:
        """Start the gateway, or kill it and start it again."""
        liveness = Liveness(RULES, started=self.clock.monotonic())
        self.service = StatusService(Observations(self.database, GATEWAY), liveness, self.clock)
        await self.service.start()

    async def happen(self) -> None:
        """Let one thing happen, time pass, and the service judge and sometimes store."""
        often, seldom = (self.answer, self.miss), (self.connect, self.impair, self.restore, self.leave)
        acts = (*often * 8, *seldom, self.lose_network, self.test_itself, self.step, self.begin, self.reload)
        act = self.chance.choice(acts)
        waiting = act()
        if waiting is not None:
            await waiting
        self.clock.advance(self.chance.choice([0.01, 1, 20, 61, 61, 200]))
        self.service.judge()
        if self.chance.random() < 0.6:
            await self.service.flush()

    def one(self) -> int:
        return self.chance.choice(self.sources)

    def answer(self) -> None:
        self.service.alive(self.one(), at=self.clock.monotonic() - self.chance.random())

    def miss(self) -> None:
        for source in self.chance.sample(self.sources, self.chance.randint(1, len(self.sources))):
            self.service.missed(source, at=self.clock.monotonic(), cause="timeout")

    def connect(self) -> None:
        self.service.connected(self.one(), at=self.clock.monotonic())

    def impair(self) -> None:
        self.service.impaired(self.one(), self.chance.choice(REASONS), at=self.clock.monotonic())

    def restore(self) -> None:
        self.service.restored(self.one(), self.chance.choice(REASONS), at=self.clock.monotonic())

    def leave(self) -> None:
        self.service.left(self.one(), at=self.clock.monotonic())

    def lose_network(self) -> None:
        self.network = not self.network
        self.service.own_network(self.network)

    def test_itself(self) -> None:
        self.service.conclude(self.chance.choice([SelfTest.OURS, SelfTest.NOT_OURS]))

    def step(self) -> None:
        self.clock.step(self.chance.choice(STEPS))

    async def reload(self) -> None:
        await self.service.reload()


def essence(state: Connectivity | StatusView) -> tuple[object, ...]:
    return state.state, state.since, sorted(state.reasons), state.first_connected_at


@pytest.mark.parametrize("seed", range(8))
async def test_the_stored_facts_tell_the_stored_state_and_every_invariant_holds(
    database: Database, seed: int
) -> None:
    story = Story(database, (await seed_roll(database, count=5)).source_ids, Random(seed))
    await story.begin()
    for _ in range(120):
        await story.happen()
    await story.service.flush()
    async with database.raw_connection() as connection:
        doubled = await connection.fetchval(DOUBLED)
    stored = {each.source_id: each.connectivity for each in await Observations(database, GATEWAY).load()}
    proof = await prove(database, View(story.clock.now()), EVER)
    live = {view.source_id: view for view in story.service.views}
    unconfirmed = "nothing is connected without a confirmed address"  # the seeded endpoints are not
    findings = [finding for finding in await check(database) if finding.invariant != unconfirmed]

    assert proof.holds, proof.found
    assert (proof.sources, proof.facts > 0) == (5, True)
    assert {source: essence(view) for source, view in live.items()} == {
        source: essence(state) for source, state in stored.items()
    }
    assert findings == []
    assert doubled == 0


async def damaged(database: Database, sources: tuple[int, ...], statement: str) -> Proof:
    """Return the proof of a history that somebody with the database's password changed."""
    async with database.raw_connection() as connection:
        for table in ("evidence", "connectivity_interval"):
            await connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER {table}_append_only")
        await connection.execute(statement, list(sources))
    return await prove(database, View(NOW), EVER)


@pytest.mark.parametrize(
    ("statement", "wrong", "missing"),
    [
        # The outage is made to look as if the source had been online.
        (
            "UPDATE connectivity_interval SET state = 'online' WHERE state = 'offline' AND source_id = ANY ($1)",
            180,
            0,
        ),
        ("DELETE FROM connectivity_interval WHERE state = 'offline' AND source_id = ANY ($1)", 0, 180),
        (
            "UPDATE connectivity SET since = since + interval '9 s' WHERE state = 'online' AND source_id = ANY ($1)",
            0,
            9,
        ),
        # Without the facts of the outage the stored outage is a claim that nothing carries.
        ("DELETE FROM evidence WHERE kind = 'lost' AND source_id = ANY ($1)", 180, 0),
    ],
)
async def test_a_history_that_was_tampered_with_is_found_and_told_in_seconds(
    database: Database, statement: str, wrong: float, missing: float
) -> None:
    sources = (await seed_roll(database, count=3)).source_ids
    story = Story(database, sources, Random(0))
    await story.begin()
    for source in sources:
        story.service.connected(source, at=story.clock.monotonic())
    for answers in (True, False, False, False, True):
        story.clock.advance(60)
        for source in sources:
            if answers or source != sources[0]:
                story.service.alive(source, at=story.clock.monotonic())
            else:
                story.service.missed(source, at=story.clock.monotonic(), cause="timeout")
        story.service.judge()
        await story.service.flush()
    sound = await prove(database, View(NOW), EVER)
    found = await damaged(database, sources[:1], statement)

    assert (sound.holds, sound.detection, sound.correction) == (True, [120.0], [0.0])
    assert (found.holds, found.differing) == (False, 1)
    assert (found.false_time.total_seconds(), found.missing_time.total_seconds()) == (wrong, missing)
    assert {each.source_id for each in found.found} == {sources[0]}
