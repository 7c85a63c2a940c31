"""Discovery: sweeps authorised networks for RTSP and ONVIF, hands what answers to the catalog (E17, CN-23.3).

The gateway keeps `Discovery.run()` going and starts sweeps with `start`; the command line leads one itself with
`sweep`. Both count against the same limit and can stop each other's, for the catalog knows every run.
"""

import asyncio
import functools
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from adapters.onvif.discovery import Discoverer
from catalog.database import Database
from catalog.discovery_runs import (
    NewRun,
    Run,
    RunOutcome,
    RunsBusy,
    fail_abandoned,
    finish_run,
    hold_run,
    stop_run,
)
from catalog.errors import CatalogError, DatabaseAway
from catalog.networks import load_authorised
from catalog.sightings import forget_old
from gateway.clock import Clock
from gateway.config import DiscoveryConfig
from gateway.discovery_plan import Pace, SweepRefused, SweepRequest, plan_sweep
from gateway.discovery_sweep import (
    DATABASE_PATIENCE,
    REPORT_EVERY,
    Contacts,
    OptionsProbe,
    Progress,
    Sweep,
    SweepParts,
)
from gateway.supervisor import Backoff, keep_running

logger = logging.getLogger(__name__)

MAX_RUNS: Final = 2
"""Sweeps at a time, of all processes together."""

START_TIMEOUT: Final = 15.0
"""Seconds that `start` waits for the run to begin."""

HOUSEKEEPING_EVERY: Final = timedelta(days=1).total_seconds()
HOUSEKEEPING_RETRY: Final = 30.0

_Begun = asyncio.Future[int]


class Discovery:
    """Leads sweeps, a bounded number at a time."""

    def __init__(
        self,
        database: Database,
        config: DiscoveryConfig,
        *,
        clock: Clock,
        probe: OptionsProbe,
        contacts: Contacts | None = None,
        greeting_rate: float = 100.0,
    ) -> None:
        """Prepare; nothing is asked yet.

        Args:
            database: the catalog.
            config: rate, concurrency, ports, timeout, widest network, days in quarantine.
            clock: tells and waits.
            probe: asks one address OPTIONS, without credential.
            contacts: told which sources' devices answered; None where no status is kept (command line).
            greeting_rate: Probes of WS-Discovery a second.
        """
        self._database = database
        self._config = config
        self._clock = clock
        self._parts = SweepParts(
            database=database,
            clock=clock,
            probe=probe,
            pace=Pace(config.rate),
            slots=asyncio.Semaphore(config.concurrency),
            concurrency=config.concurrency,
            timeout=config.timeout,
            contacts=contacts,
            greeting=Pace(greeting_rate),
        )
        self._queue: asyncio.Queue[tuple[SweepRequest, _Begun]] = asyncio.Queue(MAX_RUNS)
        self._accepted = 0
        self._sweeps: dict[int, Sweep] = {}

    async def run(self) -> None:
        """Lead the sweeps that `start` asks for, and forget old sightings daily; runs until cancelled."""
        async with asyncio.TaskGroup() as group:
            for index in range(MAX_RUNS):
                name = f"discovery-{index}"
                group.create_task(
                    keep_running(name, self._serve, clock=self._clock, backoff=Backoff(first=0.1)), name=name
                )
            name = "discovery-housekeeping"
            group.create_task(keep_running(name, self._keep_house, clock=self._clock), name=name)

    async def start(self, request: SweepRequest) -> int:
        """Begin a sweep under `run()` and return its number at once.

        Raises:
            SweepRefused: not authorised, too wide, too many at a time; the reason says what to do.
            DatabaseAway: no answer.
        """
        if self._accepted >= MAX_RUNS:
            raise _busy(f"{MAX_RUNS} sweeps are under way")
        begun: _Begun = asyncio.get_running_loop().create_future()
        self._accepted += 1
        self._queue.put_nowait((request, begun))
        try:
            async with asyncio.timeout(START_TIMEOUT):
                return await begun
        except TimeoutError:
            raise SweepRefused(
                "not_started",
                "搜索未能及时开始，请查看运行列表后再试",
                "the sweep did not begin in time: look at the list of runs before you try again",
            ) from None

    async def stop(self, run_id: int, *, person: str) -> bool:
        """Stop a sweep, whichever process leads it; return whether it was running."""
        sweep = self._sweeps.get(run_id)
        if sweep is not None:
            sweep.stop(f"asked by {person}")
        return await stop_run(self._database, run_id, person=person, at=self._clock.now())

    async def sweep(self, request: SweepRequest, *, notice: Callable[[Progress], None] | None = None) -> Run:
        """Lead one sweep in the caller's task and return the finished run; cancelling it stops the sweep.

        Args:
            request: what to sweep, and who asks.
            notice: called about once a second.

        Raises:
            SweepRefused: as `start`.
            DatabaseAway: no answer at the start, or for a minute later; the run then counts as failed.
        """
        return await self._lead(request, lambda _: None, notice)

    async def _serve(self) -> None:
        while True:
            request, begun = await self._queue.get()
            try:
                if not begun.cancelled():
                    await self._lead(request, functools.partial(_tell, begun), None)
            except (SweepRefused, CatalogError) as error:
                if begun.done():
                    logger.warning(
                        "sweep of %s failed: %s", request.cidr, error, extra={"action": "discovery_failed"}
                    )
                else:
                    begun.set_exception(error)
            finally:
                self._accepted -= 1
                # A bug, or the end of the gateway: whoever waits must not wait for ever.
                begun.cancel()

    async def _lead(
        self,
        request: SweepRequest,
        begun: Callable[[int], None],
        notice: Callable[[Progress], None] | None,
    ) -> Run:
        now = self._clock.now()
        networks = await load_authorised(self._database)
        plan = plan_sweep(
            request,
            networks,
            at=now,
            default_ports=self._config.ports,
            max_prefix=self._config.max_prefix,
        )
        new = NewRun(plan.authorisation.network_id, plan.network, plan.ports, plan.requested_by)
        try:
            async with hold_run(self._database, new, limit=MAX_RUNS, at=now) as hold:
                logger.info(
                    "sweep %d of %s, ports %s, asked by %s under document %s",
                    hold.run_id,
                    plan.network,
                    ", ".join(map(str, plan.ports)),
                    plan.requested_by,
                    plan.authorisation.document,
                    extra={"action": "discovery_started", "run_id": hold.run_id},
                )
                async with Discoverer(_not_asked_for) as greeter:
                    sweep = Sweep(hold, plan, networks, self._parts, greeter, notice)
                    begun(hold.run_id)
                    return await self._bring_to_an_end(sweep)
        except RunsBusy as error:
            raise _busy(str(error)) from error

    async def _bring_to_an_end(self, sweep: Sweep) -> Run:
        outcome: RunOutcome | None = None
        is_stored = False
        self._sweeps[sweep.run_id] = sweep
        try:
            outcome = await sweep.run()
            run = await self._finish(sweep, outcome, patience=DATABASE_PATIENCE)
            is_stored = True
        except asyncio.CancelledError:
            outcome = outcome or RunOutcome.STOPPED
            raise
        finally:
            del self._sweeps[sweep.run_id]
            if not is_stored:
                await self._finish_shortly(sweep, outcome or RunOutcome.FAILED)
        return run

    async def _finish_shortly(self, sweep: Sweep, outcome: RunOutcome) -> None:
        """Write the end of a broken-off run if the database is there; else the next start writes it."""
        try:
            await self._finish(sweep, outcome, patience=0.0)
        except CatalogError as error:
            logger.warning(
                "the end of sweep %d is not stored: %s",
                sweep.run_id,
                error,
                extra={"action": "discovery_failed"},
            )

    async def _finish(self, sweep: Sweep, outcome: RunOutcome, *, patience: float) -> Run:
        give_up_at = self._clock.monotonic() + patience
        run: Run | None = None
        while run is None:
            try:
                run = await finish_run(
                    self._database,
                    sweep.run_id,
                    outcome,
                    probed=sweep.asked,
                    answered=sweep.answered,
                    at=self._clock.now(),
                )
            except DatabaseAway:
                if self._clock.monotonic() >= give_up_at:
                    raise
                await self._clock.sleep(REPORT_EVERY)
        logger.info(
            "sweep %d of %s %s: %d of %d asked, %d answered",
            run.run_id,
            run.network,
            run.outcome,
            run.probed,
            run.total,
            run.answered,
            extra={"action": "discovery_ended", "run_id": run.run_id, "outcome": run.outcome.value},
        )
        return run

    async def _keep_house(self) -> None:
        """Mark what a dead process left running, and forget what is old: at the start and daily."""
        while True:
            wait = HOUSEKEEPING_EVERY
            try:
                now = self._clock.now()
                await fail_abandoned(self._database, at=now)
                await forget_old(self._database, at=now, days=self._config.quarantine_days)
            except DatabaseAway as error:
                logger.warning("housekeeping waits: %s", error, extra={"action": "discovery_waits"})
                wait = HOUSEKEEPING_RETRY
            await self._clock.sleep(wait)


def _not_asked_for(_: bytes, __: str) -> None:
    """Pass over what a sweep did not ask for; the listener hears it too."""


def _tell(begun: _Begun, run_id: int) -> None:
    if not begun.done():
        begun.set_result(run_id)


def _busy(en: str) -> SweepRefused:
    return SweepRefused("busy", "已有搜索在进行，请稍后再试或先停止它", f"{en}: wait, or stop one first")
