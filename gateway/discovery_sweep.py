"""One sweep under way: asks each address, once a second stores what answered and whether it may go on.

Owns the tasks of one run. The sockets are the probe's. Asked is OPTIONS of RTSP, and on the port of WS-Discovery a
Probe; no credential is at hand. A Probe is one datagram, so many of them wait for their answer at a time.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Protocol

from adapters.base import RtspTarget
from adapters.errors import AdapterError, LocalResourcesExhausted
from adapters.onvif.wsdiscovery import PORT, Announcement
from catalog.database import Database
from catalog.discovery_runs import RunHold, RunOutcome, note_progress
from catalog.errors import CatalogError
from catalog.model.network import AuthorisedNetworks
from catalog.model.sighting import Protocol as SourceProtocol
from catalog.model.sighting import Sighting
from catalog.networks import load_authorised
from catalog.onvif_devices import adopt_matched
from catalog.sightings import BATCH, record_sightings
from gateway.clock import Clock
from gateway.discovery_plan import Pace, SweepPlan
from gateway.onvif.hearsay import Names, sighting_of

logger = logging.getLogger(__name__)

REPORT_EVERY: Final = 1.0
"""Seconds between two looks at the database: progress, sightings, authorisations, a wish to stop."""

DATABASE_PATIENCE: Final = 60.0
"""Seconds a sweep waits for a database that is away; it asks nobody meanwhile."""

MAX_GREETINGS: Final = 400
"""Probes under way at a time; at 100 a second each may wait for 4 s."""

MAX_WAITING: Final = 2_000
"""Answers held in memory; at this number the sweep waits until they are stored."""


class Answer(Protocol):
    """What the sweep needs to know of an answer."""

    @property
    def status(self) -> int:
        """Status of the answer to OPTIONS."""
        ...

    @property
    def server(self) -> str | None:
        """The Server header."""
        ...


class OptionsProbe(Protocol):
    """How an address is asked; `adapters.rtsp.client.probe` is one. It gets no credential, ever."""

    async def __call__(self, target: RtspTarget, *, describe: bool, timeout: float) -> Answer:  # noqa: ASYNC109 - the probe's own shape
        """Ask OPTIONS and raise an `AdapterError` when no RTSP answer comes within `timeout` seconds."""
        ...


class Greeter(Protocol):
    """How an address is asked for an ONVIF device; `adapters.onvif.discovery.Discoverer` is one."""

    async def ask(self, host: str, *, patience: float) -> Sequence[Announcement]:
        """Send a Probe and raise an `AdapterError` when nobody answers within `patience` seconds."""
        ...


class Contacts(Protocol):
    """Who wants to know that the device of a source answered; `gateway.status.StatusService` is one."""

    def seen(self, source_id: int, *, at: float) -> None:
        """Take in contact with the device that is no connection; `at` in monotonic seconds."""
        ...


@dataclass(frozen=True)
class Progress:
    """How far a sweep has come."""

    run_id: int
    total: int
    asked: int
    answered: int


@dataclass(frozen=True)
class SweepParts:
    """What every sweep of a process works with."""

    database: Database
    clock: Clock
    probe: OptionsProbe
    pace: Pace
    "Shared by all sweeps of the process."
    slots: asyncio.Semaphore
    "Questions under way at a time, shared as well."
    concurrency: int
    timeout: float
    "Seconds for one question."
    contacts: Contacts | None = None
    greeting: Pace = field(default_factory=lambda: Pace(100.0))
    "Of Probes, shared likewise."


class Sweep:
    """One run, from its first question to its last stored answer.

    Attributes:
        asked: questions that are over, answered or not.
        answered: answers, of any status.
    """

    def __init__(
        self,
        hold: RunHold,
        plan: SweepPlan,
        networks: AuthorisedNetworks,
        parts: SweepParts,
        greeter: Greeter,
        notice: Callable[[Progress], None] | None = None,
    ) -> None:
        self.run_id = hold.run_id
        self.asked = 0
        self.answered = 0
        self._hold = hold
        self._plan = plan
        self._networks = networks
        self._parts = parts
        self._greeter = greeter
        self._names = Names()
        self._notice = notice
        self._found: list[tuple[Sighting, float]] = []
        self._outcome = RunOutcome.FINISHED
        self._askers: list[asyncio.Task[None]] = []
        self._over = asyncio.Event()
        self._may_go_on = asyncio.Event()
        self._may_go_on.set()

    def stop(self, why: str) -> None:
        """End the sweep now; questions under way are broken off, answers so far are stored."""
        if self._outcome is RunOutcome.FINISHED and not self._over.is_set():
            self._outcome = RunOutcome.STOPPED
            logger.info(
                "sweep %d of %s stopped: %s",
                self.run_id,
                self._plan.network,
                why,
                extra={"action": "discovery_stopped", "run_id": self.run_id},
            )
            for task in self._askers:
                task.cancel()

    async def run(self) -> RunOutcome:
        """Ask everybody and return how it ended.

        Raises:
            CatalogError: answers could not be stored for `DATABASE_PATIENCE` seconds.
        """
        failure: Exception | None = None
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._report(), name=f"sweep-{self.run_id}-report")
                try:
                    await self._ask_everybody()
                finally:
                    self._over.set()
        except* CatalogError as failed:
            failure = failed.exceptions[0]
        if failure is not None:
            # Out here it leaves as it is; raised inside it would be wrapped in a group again.
            raise failure
        return self._outcome

    async def _ask_everybody(self) -> None:
        parts, plan = self._parts, self._plan
        connections = (target for target in plan.targets() if target[1] != PORT)
        greetings = (target for target in plan.targets() if target[1] == PORT)
        # A Probe holds no connection: its own bound keeps no camera of RTSP waiting.
        free = asyncio.Semaphore(MAX_GREETINGS)
        number = min(parts.concurrency, plan.total)
        greeters = min(MAX_GREETINGS, plan.network.num_addresses) if PORT in plan.ports else 0
        async with asyncio.TaskGroup() as group:
            self._askers = [
                group.create_task(
                    self._ask_next(connections, parts.slots, parts.pace), name=f"sweep-{self.run_id}-{index}"
                )
                for index in range(number)
            ]
            self._askers += [
                group.create_task(
                    self._ask_next(greetings, free, parts.greeting), name=f"sweep-{self.run_id}-onvif-{index}"
                )
                for index in range(greeters)
            ]

    async def _ask_next(
        self, targets: Iterator[tuple[str, int]], slots: asyncio.Semaphore, pace: Pace
    ) -> None:
        for host, port in targets:
            async with slots:
                await self._wait_for_turn(pace)
                # Now, not when the plan was made: the record may have ended while we waited for our turn.
                if self._networks.covers(host, self._parts.clock.now()) is None:
                    self.stop(f"no live authorisation record covers {host} any more")
                    return
                await (self._greet(host) if port == PORT else self._ask(host, port))
            self.asked += 1

    async def _wait_for_turn(self, pace: Pace) -> None:
        clock = self._parts.clock
        is_held = True
        while is_held:
            await self._may_go_on.wait()
            await clock.sleep(pace.reserve(clock.monotonic()))
            # Held back meanwhile: a new turn then, for all the others would go at the same instant.
            is_held = not self._may_go_on.is_set()

    async def _ask(self, host: str, port: int) -> None:
        parts = self._parts
        try:
            answer = await parts.probe(RtspTarget(host, port, "/"), describe=False, timeout=parts.timeout)
        except LocalResourcesExhausted as error:
            # An address that we could not ask must not pass for one where nothing is.
            self.stop(f"we cannot ask: {error}")
            return
        except AdapterError as error:
            logger.debug(
                "no RTSP there: %s", error, extra={"action": "discovery_silent", "cause": error.cause}
            )
            return
        self._note(
            Sighting(
                protocol=SourceProtocol.RTSP,
                host=host,
                port=port,
                seen_at=parts.clock.now(),
                server=answer.server,
            )
        )

    async def _greet(self, host: str) -> None:
        parts = self._parts
        try:
            answers = await self._greeter.ask(host, patience=parts.timeout)
        except LocalResourcesExhausted as error:
            self.stop(f"we cannot ask: {error}")
            return
        except AdapterError as error:
            logger.debug(
                "no ONVIF there: %s", error, extra={"action": "discovery_silent", "cause": error.cause}
            )
            return
        for answer in answers:
            sighting = sighting_of(answer, host, parts.clock.now(), self._names) if answer.is_onvif else None
            if sighting is not None:
                self._note(sighting)

    def _note(self, sighting: Sighting) -> None:
        self.answered += 1
        self._found.append((sighting, self._parts.clock.monotonic()))
        if len(self._found) >= MAX_WAITING:
            self._may_go_on.clear()

    async def _report(self) -> None:
        """Store until the sweep is over and everything is stored."""
        is_over = False
        while not is_over or self._found:
            if not is_over and len(self._found) < BATCH:
                with suppress(TimeoutError):
                    async with asyncio.timeout(REPORT_EVERY):
                        await self._over.wait()
            is_over = self._over.is_set()
            await self._store_patiently()

    async def _store_patiently(self) -> None:
        """Store once; while the database is away nobody is asked: we could not know whether we still may."""
        clock = self._parts.clock
        give_up_at = clock.monotonic() + DATABASE_PATIENCE
        while True:
            try:
                await self._store()
            except CatalogError as error:
                self._may_go_on.clear()
                if not error.retryable or clock.monotonic() >= give_up_at:
                    raise
                logger.warning(
                    "sweep %d waits: %s",
                    self.run_id,
                    error,
                    extra={"action": "discovery_waits", "cause": error.cause},
                )
                await clock.sleep(REPORT_EVERY)
            else:
                self._may_go_on.set()
                return

    async def _store(self) -> None:
        database = self._parts.database
        batch = self._found[:BATCH]
        recorded = await record_sightings(
            database, [sighting for sighting, _ in batch], network_id=self._plan.authorisation.network_id
        )
        await adopt_matched(database, recorded, at=self._parts.clock.now())
        # Only now: had it failed, the same batch would be stored again, which is harmless.
        del self._found[: len(batch)]
        if self._parts.contacts is not None:
            seen_at = {(sighting.host, sighting.port): at for sighting, at in batch}
            for one in recorded:
                for source_id in one.contacts:
                    self._parts.contacts.seen(source_id, at=seen_at[one.sighting.host, one.sighting.port])
        await self._hold.renew()
        if not await note_progress(database, self.run_id, probed=self.asked, answered=self.answered):
            self.stop("the catalog says that the run is over")
        self._networks = await load_authorised(database)
        if self._notice is not None:
            self._notice(Progress(self.run_id, self._plan.total, self.asked, self.answered))
