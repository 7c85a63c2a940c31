"""Keeps the relays equal to what the catalog's plans admit; the composition root starts `run` and calls `reload`.

Owns the tasks of enrolment; all its state is touched by one event loop and never across an await in between.
"""

import asyncio
import logging
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Final, Protocol

from adapters.base import RtspTarget
from catalog.database import Database
from catalog.errors import CatalogError
from catalog.model.network import Authorisation, AuthorisedNetworks
from catalog.model.plan import SourcePlan
from catalog.model.profile import LocationJudgement, Unattested, judge_location
from catalog.model.sighting import Protocol as Speech
from catalog.networks import list_networks
from catalog.profiles.load import ProfileError, effective_profile
from catalog.sinks import Sink, list_sinks
from catalog.sources import stream_plans
from gateway.clock import Clock
from gateway.enrolment.admission import contactable
from gateway.enrolment.events import PullEvents
from gateway.enrolment.ledger import AWAY_PAUSE, CatalogLedger
from gateway.enrolment.on_demand import OnDemand
from gateway.enrolment.ports import Conditions, Ports, PullRules, Relays, Status
from gateway.enrolment.pull import Phase
from gateway.enrolment.pulls import Pulls
from gateway.enrolment.specs import SpecBuilder, target_of
from gateway.own_paths import neighbourhood
from gateway.relay.budget import Usage
from gateway.relay.limits import Shortage
from gateway.relay.protocol import Event

logger = logging.getLogger(__name__)

PAUSE: Final = 0.25
"""Seconds between two looks at what is due."""

REASSERT: Final = 60.0
"""Seconds between two looks at every running pull: an authorisation that ended stops its relays within them."""

REASSERTED_AT_ONCE: Final = 200
"""Pulls looked at before others get their turn; 5 ms."""

DEBOUNCE: Final = 0.5
"""Seconds in which changes are gathered before the plans are read again."""

RELOAD_SHARE: Final = 4.0
"""A reload is followed by a rest of so many times its own length: at 100,000 sources it takes seconds."""


class RelayRunner(Relays, Protocol):
    """The relay manager: what the pulls need of it, and its events."""

    async def take(self) -> list[Event]:
        """Wait for events and return all there are, oldest first."""


class Paths(Protocol):
    """Knows which interfaces of ours that lead to sources are lost."""

    def is_lost(self, host: str) -> bool:
        """Tell whether the interface by which this address was reached is down or gone."""

    def lost(self) -> frozenset[str]:
        """Return the names of the lost interfaces."""


@dataclass(frozen=True)
class Outside:
    """What enrolment works with."""

    database: Database
    relays: RelayRunner
    status: Status
    clock: Clock
    paths: Paths | None = None
    "Our own paths to the sources; None where nobody watches them."


class Enrolment:
    """Decides who is pulled, verified, and first connected.

    Args:
        outside: the catalog, the relay manager, the status service and the clock.
        gateway_id: the observer whose sources these are.
        specs: unlocks credentials and knows the bounds of a pull.
        rules: times and numbers.
    """

    def __init__(
        self, outside: Outside, gateway_id: str, specs: SpecBuilder, rules: PullRules | None = None
    ) -> None:
        self._database = outside.database
        self._relays = outside.relays
        self._clock = outside.clock
        self._gateway_id = gateway_id
        self._ledger = CatalogLedger(outside.database, outside.clock)
        self._paths = outside.paths
        ports = Ports(outside.relays, outside.status, self._ledger, specs, outside.clock)
        if outside.paths is not None:
            ports = replace(ports, is_lost=outside.paths.is_lost)
        self._pulls = Pulls(ports, rules or PullRules())
        self._on_demand = OnDemand(self._pulls)
        self._events = PullEvents(self._pulls)
        self._changed = asyncio.Event()
        self._judged: dict[tuple[str, str | None, str | None], LocationJudgement] = {}
        self._conditions: tuple[list[Authorisation], Sink | None] | None = None
        self._hosts: dict[str, str] = {}
        self.is_loaded = False
        "Whether the plans have been read once."

    # -- what others ask ------------------------------------------------------------------------------------------

    def reload(self) -> None:
        """Have the plans read again soon: the catalog changed. Calls in quick succession are one."""
        self._changed.set()

    def start_on_demand(self, source_id: int, idle_stop: float) -> str | Shortage | None:
        """Have a source on demand relayed for `idle_stop` seconds; each further call begins them anew.

        One that never connected is verified first; one that is always on runs anyway.

        Returns:
            None when it runs or begins as soon as it can, else the one word for what stands in the way, or the
            limit of ours that leaves no room.

        Raises:
            LookupError: this gateway has no such source on its roll.
        """
        return self._on_demand.want(source_id, idle_stop)

    def stop_on_demand(self, source_id: int) -> None:
        """End what `start_on_demand` began; nothing happens to one that is always on."""
        self._on_demand.release(source_id)

    def target_of(self, source_id: int) -> RtspTarget | None:
        """Return where a source may be asked now whether it is there (OPTIONS, never a credential), or None."""
        pull = self._pulls.get(source_id)
        if pull is None:
            return None
        now = self._clock.now()
        networks = self._pulls.conditions.networks
        if pull.session is not None and pull.session.endpoint.protocol is Speech.GB28181:
            # Its device is asked over its registration; that port speaks no RTSP, and its silence says nothing.
            return None
        if pull.session is not None and networks.covers(pull.session.endpoint.host, now) is not None:
            return target_of(pull.session.endpoint)
        endpoint = contactable(pull.plan, pull.judgement, networks, now)
        return None if endpoint is None else target_of(endpoint)

    def is_askable(self, source_id: int) -> bool:
        """Tell whether a source may be asked now at an address of its own, whatever device it comes over."""
        pull = self._pulls.get(source_id)
        if pull is None:
            return False
        networks = self._pulls.conditions.networks
        return contactable(pull.plan, pull.judgement, networks, self._clock.now()) is not None

    def hosts(self) -> list[str]:
        """Return one confirmed address of each neighbourhood (/24, /64): for looking at our own routes."""
        return list(self._hosts.values())

    def superiors(self) -> list[tuple[str, int]]:
        """Return host and port of the central platform, where one is enabled."""
        sink = self._pulls.conditions.sink
        return [] if sink is None else [(sink.host, sink.port)]

    def phase_of(self, source_id: int) -> str | None:
        """Return where the pull of a source stands (`idle`, `waiting`, `verifying`, `running`, `stopping`)."""
        pull = self._pulls.get(source_id)
        return None if pull is None else pull.phase.name.lower()

    def counts(self) -> dict[str, int]:
        """Return how many sources stand in each phase, for metrics."""
        counted = dict.fromkeys((phase.name.lower() for phase in Phase), 0)
        for pull in self._pulls:
            counted[pull.phase.name.lower()] += 1
        return counted

    def budget(self) -> Usage:
        """Return how much is pulled, against which limits, and how many wait for room."""
        return self._pulls.places.budget.usage()

    @property
    def gave_way(self) -> int:
        """Return how many pulls ended for another one or because of a limit."""
        return self._pulls.places.gave_way

    # -- running --------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Work until cancelled. The relays are the manager's: it ends them."""
        self._changed.set()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow_catalog(), name="enrolment: plans")
            group.create_task(self._hear_relays(), name="enrolment: relay events")
            group.create_task(self._keep_time(), name="enrolment: time")
            group.create_task(self._ledger.run(), name="enrolment: notes")

    async def _follow_catalog(self) -> None:
        while True:
            await self._changed.wait()
            await self._clock.sleep(DEBOUNCE)
            self._changed.clear()
            started = self._clock.monotonic()
            try:
                await self.load()
            except CatalogError as error:
                # What is known goes on; what changed meanwhile is read when the database is back.
                logger.warning("plans not read: %s", error, extra={"action": "plans_unread"})
                self._changed.set()
                await self._clock.sleep(AWAY_PAUSE)
            else:
                await self._clock.sleep(RELOAD_SHARE * (self._clock.monotonic() - started))

    async def load(self) -> None:
        """Read the plans and bring the pulls in line, a few hundred at a time.

        Raises:
            DatabaseAway: no answer; what was read up to there holds, nothing is stopped.
        """
        networks = await list_networks(self._database)
        sinks = [each for each in await list_sinks(self._database) if each.enabled]
        sink = sinks[0] if sinks else None
        anew = (networks, sink) != self._conditions
        if anew:
            if len(sinks) > 1:
                logger.warning(
                    "of %d enabled sinks only %s is pushed to",
                    len(sinks),
                    sinks[0].name,
                    extra={"action": "sinks"},
                )
            # Remembered only after the whole load: a load that broke off is made anew for all.
            self._conditions = None
            self._pulls.conditions = Conditions(AuthorisedNetworks(networks), sink)
        gone = self._pulls.ids()
        hosts: dict[str, str] = {}
        async with aclosing(stream_plans(self._database, self._gateway_id)) as chunks:
            async for plans in chunks:
                for plan in plans:
                    gone.discard(plan.source_id)
                    for endpoint in plan.endpoints:
                        if endpoint.is_confirmed:
                            hosts.setdefault(neighbourhood(endpoint.host), endpoint.host)
                    self._pulls.update(plan, self.judge(plan), anew=anew)
                # Calls, probes and events get their turn between two chunks.
                await asyncio.sleep(0)
        for source_id in gone:
            self._pulls.forget(source_id)
        self._conditions = (networks, sink)
        self._hosts = hosts
        self.is_loaded = True
        logger.debug("%d plans read", len(self._pulls), extra={"action": "plans_read"})

    def judge(self, plan: SourcePlan) -> LocationJudgement:
        """Return what the law of its district says of where a source looks."""
        key = (plan.profile, plan.base_profile, plan.location_type)
        if key not in self._judged:
            try:
                profile = effective_profile(plan.profile, plan.base_profile or None)
            except ProfileError:
                # Without the law nothing is permitted.
                logger.exception("district %s", plan.district, extra={"action": "profile_unusable"})
                self._judged[key] = Unattested(plan.location_type)
            else:
                self._judged[key] = judge_location(profile, plan.location_type)
        return self._judged[key]

    async def _hear_relays(self) -> None:
        while True:
            for event in await self._relays.take():
                self._events.take(event)

    async def _keep_time(self) -> None:
        reasserted, lost = self._clock.monotonic(), frozenset[str]()
        while True:
            await self._clock.sleep(PAUSE)
            self._on_demand.look()
            self._pulls.look()
            before, lost = lost, self._paths.lost() if self._paths is not None else lost
            if lost != before or self._clock.monotonic() - reasserted >= REASSERT:
                reasserted = self._clock.monotonic()
                for number, _ in enumerate(self._pulls.reassert(), start=1):
                    if number % REASSERTED_AT_ONCE == 0:
                        await asyncio.sleep(0)
