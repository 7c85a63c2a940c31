"""Asks the sources of other gateways whether they are there, and stores when they answered.

They are asked as our own are: OPTIONS, at confirmed addresses inside a live authorisation, never with a credential.
Nothing is pulled from them and nothing is decided about them.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from adapters.base import RtspTarget
from catalog.database import Database
from catalog.errors import CatalogError
from catalog.model.network import AuthorisedNetworks
from catalog.model.plan import EndpointPlan, SourcePlan
from catalog.model.profile import LocationJudgement
from catalog.networks import list_networks
from catalog.second_sight import SecondSightStore, Turn
from catalog.sources import stream_plans
from gateway.clock import Clock
from gateway.enrolment.admission import contactable
from gateway.enrolment.specs import target_of
from gateway.metrics import Metrics
from gateway.probing import ProbeLimits, Prober
from gateway.second_sight.watch import SecondWatch

logger = logging.getLogger(__name__)

RELOAD_EVERY: Final = 300.0
"""Seconds between two looks at what the others' sources and the authorisations are."""

STORE_EVERY: Final = 5.0
"""Seconds between two times of storing, at most the heartbeat's."""

MOST_WAITING: Final = 500_000
"""Turns that wait while the database is away; of 100,000 sources each began to answer and ceased to more than twice."""


@dataclass(frozen=True)
class SecondSightRules:
    """Whom this gateway has an eye on, and how it asks; durations in seconds."""

    of: Sequence[str]
    "Names of the other gateways."
    probe_interval: float
    probe_misses: int
    limits: ProbeLimits
    heartbeat: float = 15.0
    "So often at least this gateway says that it is there."


class SecondSight:
    """An eye on the sources of other gateways, for as long as `run` runs."""

    def __init__(
        self,
        database: Database,
        gateway_id: str,
        judge: Callable[[SourcePlan], LocationJudgement],
        clock: Clock,
        metrics: Metrics,
        rules: SecondSightRules,
    ) -> None:
        """Prepare; `judge` tells whether a source's location may be looked at, by its profile."""
        self._database = database
        self._store = SecondSightStore(database, gateway_id)
        self._judge = judge
        self._clock = clock
        self._rules = rules
        self._watch = SecondWatch(rules.probe_interval, rules.probe_misses)
        self._targets: dict[int, EndpointPlan] = {}
        self._turns: deque[Turn] = deque()
        "What waits to be stored."
        self._must_begin = True
        "Whether what is stored as going on must end at our last word: we do not know whether it did."
        self._prober = Prober(self._watch, self, self._target_of, clock, metrics, rules.limits)

    async def run(self) -> None:
        """Ask and store; runs until cancelled."""
        self._begin_anew()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow(), name="second sight: sources")
            group.create_task(self._prober.run(), name="second sight: probes")
            group.create_task(self._keep(), name="second sight: storing")

    async def load(self) -> None:
        """Read which sources the others have and which of them may be asked now.

        Raises:
            DatabaseAway: no answer; what is known goes on.
        """
        networks = AuthorisedNetworks(await list_networks(self._database))
        now = self._clock.now()
        targets: dict[int, EndpointPlan] = {}
        for gateway_id in self._rules.of:
            async with aclosing(stream_plans(self._database, gateway_id)) as chunks:
                async for plans in chunks:
                    for plan in plans:
                        endpoint = contactable(plan, self._judge(plan), networks, now)
                        if endpoint is not None:
                            targets[plan.source_id] = endpoint
                    # Probes get their turn between two chunks.
                    await asyncio.sleep(0)
        self._targets = targets
        self._note_ends(self._watch.follow(targets.keys(), self._clock.monotonic()))

    async def store(self) -> None:
        """Store what began and what ended, and that this gateway is there.

        Raises:
            DatabaseAway: no answer; it is stored with the next.
        """
        now = self._clock.now()
        self._note_ends(self._watch.expired(self._clock.monotonic()))
        if len(self._turns) >= MOST_WAITING:
            # One end that is lost would be a source that is seen for ever: rather nothing is known, and all begin anew.
            logger.warning(
                "%d turns of second sight wait: all are dropped",
                MOST_WAITING,
                extra={"action": "second_sight_lost"},
            )
            self._begin_anew()
        if self._must_begin:
            await self._store.begin()
            self._must_begin = False
        turns = list(self._turns)
        await self._store.write(turns, now)
        # What came in meanwhile stays for the next time.
        for turn in turns:
            if self._turns and self._turns[0] is turn:
                self._turns.popleft()

    # -- what the probes find ------------------------------------------------------------------------------------

    def alive(self, source_id: int, *, at: float) -> None:
        """Take in an answer."""
        if self._watch.answered(source_id, at):
            self._turns.append(Turn(source_id, answers=True, at=self._wall(at)))

    def missed(self, source_id: int, *, at: float, cause: str) -> None:
        """Take in that no answer came: silence is counted by the time, not by the questions."""

    def seen(self, source_id: int, *, at: float) -> None:
        """Take in contact: the gateway that looks after the source notes it."""

    def unseen(self, source_id: int, *, at: float) -> None:
        """Take in that we could not ask: then we have nothing to say, as after silence."""

    # ------------------------------------------------------------------------------------------------------------

    async def _follow(self) -> None:
        while True:
            try:
                await self.load()
            except CatalogError as error:
                logger.warning("others' sources not read: %s", error, extra={"action": "second_sight_unread"})
            await self._clock.sleep(RELOAD_EVERY)

    async def _keep(self) -> None:
        while True:
            await self._clock.sleep(min(STORE_EVERY, self._rules.heartbeat))
            try:
                await self.store()
            except CatalogError as error:
                logger.warning(
                    "second sight not stored: %s", error, extra={"action": "second_sight_unstored"}
                )

    def _begin_anew(self) -> None:
        self._turns.clear()
        self._watch.begin_anew()
        self._must_begin = True

    def _note_ends(self, ended: Mapping[int, float]) -> None:
        self._turns += [Turn(source_id, answers=False, at=self._wall(at)) for source_id, at in ended.items()]

    def _target_of(self, source_id: int) -> RtspTarget | None:
        endpoint = self._targets.get(source_id)
        return None if endpoint is None else target_of(endpoint)

    def _wall(self, at: float) -> datetime:
        return self._clock.now() - timedelta(seconds=self._clock.monotonic() - at)
