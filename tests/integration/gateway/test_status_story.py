"""Random stories told to the status service: what is stored follows from the stored facts alone (status model T-4)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from random import Random

import asyncpg
import pytest

from catalog.check import check
from catalog.database import Database
from catalog.model.connectivity import Connectivity, DegradeReason, Evidence, EvidenceKind, State
from catalog.observations import Observations
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

FACTS = (
    "SELECT source_id, kind, reason, at, last_positive_at FROM evidence WHERE kind = ANY ($1) ORDER BY seq"
)
BORN = "SELECT source_id, min(started_at) AS at FROM connectivity_interval GROUP BY source_id"
DOUBLED = """
SELECT count(*) FROM overlay_interval a JOIN overlay_interval b USING (source_id, kind)
 WHERE a.overlay_id < b.overlay_id AND a.started_at < b.ended_at AND b.started_at < a.ended_at
"""


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


def retold(facts: Sequence[asyncpg.Record], begun: datetime) -> Connectivity:
    """The state that the facts of one source come to, told one after the other."""
    state = Connectivity(State.NEVER_CONNECTED, begun)
    for fact in facts:
        kind = EvidenceKind(fact["kind"])
        is_quality = kind in (EvidenceKind.IMPAIRED, EvidenceKind.RESTORED)
        reason = DegradeReason(fact["reason"]) if is_quality else None
        state = state.after(Evidence(kind, fact["at"], reason, fact["last_positive_at"]))
    return state


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
        facts = await connection.fetch(FACTS, [kind.value for kind in EvidenceKind])
        born = {row["source_id"]: row["at"] for row in await connection.fetch(BORN)}
        doubled = await connection.fetchval(DOUBLED)
    stored = {each.source_id: each.connectivity for each in await Observations(database, GATEWAY).load()}
    told = {
        source: retold([fact for fact in facts if fact["source_id"] == source], born.get(source, state.since))
        for source, state in stored.items()
    }
    live = {view.source_id: view for view in story.service.views}
    unconfirmed = "nothing is connected without a confirmed address"  # the seeded endpoints are not
    findings = [finding for finding in await check(database) if finding.invariant != unconfirmed]

    assert {source: essence(state) for source, state in told.items()} == {
        source: essence(state) for source, state in stored.items()
    }
    assert {source: essence(view) for source, view in live.items()} == {
        source: essence(state) for source, state in stored.items()
    }
    assert findings == []
    assert doubled == 0
