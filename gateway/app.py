"""The composition root of the service: what exists, who knows whom, and in which order it begins and ends.

Nothing is decided here. Beginning: catalog, status, relays, enrolment, probes, discovery, API. Ending: the other way
round, so that the last thing to happen is the last write of the status.
"""

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Final

import uvloop

from adapters.onvif.client import OnvifClients
from adapters.rtsp.client import probe
from catalog.access import AccessLog
from catalog.database import Database
from catalog.errors import CatalogError, DatabaseAway
from catalog.notifications import listen
from catalog.observations import Observations, WriterReplaced
from gateway.api.access_recorder import AccessRecorder
from gateway.api.app import build_api, serve_api
from gateway.api.services import ApiServices
from gateway.clock import Clock, SystemClock
from gateway.closed_days import ClosedDays
from gateway.config import Config, split_host_port
from gateway.descriptors import raise_file_limit
from gateway.desks import (
    CredentialTrials,
    LivePictures,
    OnDemandRelays,
    SourceCodes,
    Viewing,
)
from gateway.discovery import Discovery
from gateway.enrolment.ports import PullRules
from gateway.enrolment.service import Enrolment, Outside
from gateway.enrolment.specs import SpecBuilder
from gateway.gb28181 import service as gb_service
from gateway.gb28181.calls import Calls
from gateway.gb28181.service import DeviceService
from gateway.interfaces import LinuxKernel
from gateway.liveness import Liveness, LivenessRules
from gateway.metrics import Metrics
from gateway.notices.service import Notices
from gateway.onvif import service as onvif_service
from gateway.onvif.service import OnvifService
from gateway.opening import counting_rules, muster_version, open_for_service, open_vault
from gateway.own_paths import OwnPaths
from gateway.probing import ProbeLimits, Prober
from gateway.relay.limits import Limits
from gateway.relay.manager import RelayManager
from gateway.relay.spec import RelayBounds
from gateway.second_sight.service import SecondSight, SecondSightRules
from gateway.second_sight.witnesses import Witnesses
from gateway.selftest import OwnNetwork
from gateway.serving.admission import Admission, ReaderLimits, StandingAccounts
from gateway.serving.grants import Grants
from gateway.serving.server import RtspServer, keep_wanted, listening
from gateway.status import FlappingRule, StatusService
from gateway.supervisor import keep_running
from gateway.suspensions import Suspensions
from gateway.viewing.desk import ViewingDesk

logger = logging.getLogger(__name__)

TICK: Final = 1.0
"""Seconds between two judgements, each followed by a write of what changed."""

DAY: Final = 86_400.0

STOPPING: Final = 10.0
"""Seconds that the last write of the status may take at the end."""


def serve(config: Config) -> int:
    """Run the gateway until SIGTERM or SIGINT.

    Returns:
        0 when told to stop; 1 when it could not go on, and the log says why.

    Raises:
        CatalogError: the catalog could not be opened.
    """
    raise_file_limit()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(config))


async def _serve(config: Config) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_for_service(config))
        gateway = Gateway(config, database, SystemClock())
        await gateway.run(stop)
    logger.info("stopped", extra={"action": "stopped"})
    return 1 if gateway.has_failed else 0


class Gateway:
    """One running gateway over an open catalog."""

    def __init__(self, config: Config, database: Database, clock: Clock) -> None:
        self.has_failed = False
        self._config = config
        self._database = database
        self._clock = clock
        self._metrics = Metrics()
        self._vault = open_vault(config)
        self._liveness = Liveness(_liveness_rules(config), started=clock.monotonic())
        self._observations = Observations(database, config.gateway.id)
        self._status = StatusService(
            self._observations,
            self._liveness,
            clock,
            flapping=FlappingRule(config.status.flapping_transitions, config.status.flapping_window),
            heartbeat=config.status.gateway_heartbeat,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set or another start of this gateway takes over."""
        await self._status.start()
        try:
            workers = self._config.relay.workers or None
            onvif = self._config.onvif
            async with (
                RelayManager(self._clock, workers=workers, ports=self._config.relay.ports) as relays,
                OnvifClients(
                    self._clock, concurrency=2 * onvif.concurrency, timeout=onvif.timeout
                ) as onvif_clients,
            ):
                await self._run_all(relays, onvif_clients, stop)
        finally:
            # Whatever was known is stored; an open outage ends this wait, and the next start says it was unknown.
            try:
                async with asyncio.timeout(STOPPING):
                    await self._status.flush()
            except (TimeoutError, CatalogError) as error:
                logger.warning(
                    "the last status was not stored: %s", error, extra={"action": "status_unstored"}
                )

    async def _run_all(self, relays: RelayManager, onvif_clients: OnvifClients, stop: asyncio.Event) -> None:
        config = self._config
        specs = SpecBuilder(self._vault, _bounds(config), config.status.verify_media, config.gb28181.host)
        paths = OwnPaths(self._clock, LinuxKernel())
        enrolment = Enrolment(
            Outside(self._database, relays, self._status, self._clock, paths),
            config.gateway.id,
            specs,
            _rules(config),
        )
        own_network = OwnNetwork(
            enrolment.hosts,
            references=[split_host_port(reference) for reference in config.status.references],
            superiors=enrolment.superiors,
        )
        limits = ProbeLimits(
            timeout=config.status.probe_timeout, is_lost=paths.is_lost, own_fault=own_network.fault_towards
        )
        prober = Prober(self._liveness, self._status, enrolment.target_of, self._clock, self._metrics, limits)
        discovery = Discovery(
            self._database,
            config.discovery,
            clock=self._clock,
            probe=probe,
            contacts=self._status,
            greeting_rate=config.onvif.unicast_rate,
        )
        gb_devices = DeviceService(
            gb_service.Surroundings(
                self._database, self._vault, self._status, self._clock, paths.is_lost, enrolment.is_askable
            ),
            config,
        )
        onvif = OnvifService(
            onvif_service.Outside(
                self._database,
                self._vault,
                self._status,
                self._clock,
                gb_devices.controlled() if config.gb28181.enabled else None,
            ),
            onvif_clients,
            config,
        )
        on_demand = OnDemandRelays(enrolment, config.relay.idle_stop)
        grants, codes = Grants(), SourceCodes(self._status)
        recorder = AccessRecorder(AccessLog(self._database), self._clock)
        admission = Admission(
            grants=grants,
            accounts=StandingAccounts(self._database, self._vault, config.rtsp_server.accounts, self._clock),
            sources=codes,
            relays=relays,
            on_demand=on_demand,
            recorder=recorder,
            clock=self._clock,
            limits=ReaderLimits(config.rtsp_server.max_readers, config.rtsp_server.max_readers_each),
        )
        server = RtspServer(admission, relays, self._clock)
        viewing = ViewingDesk(
            admission,
            relays,
            self._clock,
            most=config.viewing.max_views,
            want_key_frame=onvif.want_key_frame if config.onvif.enabled else lambda _: None,
        )
        services = ApiServices(
            database=self._database,
            clock=self._clock,
            config=config,
            metrics=self._metrics,
            status=self._status,
            vault=self._vault,
            recorder=recorder,
            relays=relays,
            on_demand=on_demand,
            budget=enrolment,
            sweeps=discovery,
            credential_desk=CredentialTrials(self._database, self._vault, config.gateway.id, self._clock),
            live_desk=(LivePictures(grants, codes, viewing, self._clock) if config.viewing.enabled else None),
            onvif_desk=onvif if config.onvif.enabled else None,
            recordings_desk=gb_devices if config.gb28181.enabled else None,
            view_desk=(
                Viewing(grants, codes, config.rtsp_server, self._clock) if config.rtsp_server.is_on else None
            ),
        )
        works: dict[str, Callable[[], Awaitable[None]]] = {
            "status": lambda: self._watch_status(
                stop, lambda: self._show_metrics(relays, enrolment, onvif, viewing, gb_devices)
            ),
            "own network": lambda: self._watch_own_network(
                own_network, lambda: paths.learn(enrolment.hosts())
            ),
            "probes": prober.run,
            "enrolment": enrolment.run,
            "discovery": discovery.run,
            "catalog changes": lambda: self._follow_changes(enrolment, onvif, gb_devices),
            "partitions": self._make_partitions,
            "suspensions": Suspensions(self._database, config.gateway.id, self._status, self._clock).run,
            "witnesses": Witnesses(
                self._database,
                self._status,
                self._clock,
                stale_after=config.status.stale_after,
                gone_after=timedelta(seconds=config.status.probe_interval * config.status.probe_misses),
            ).run,
            "closed days": ClosedDays(
                self._database, counting_rules(config), config.status.stale_after, self._clock
            ).run,
            "notices": Notices(self._database, self._vault, config, self._clock).run,
            "relays on demand": lambda: keep_wanted(
                relays, on_demand, self._clock, config.relay.idle_stop / 3
            ),
        }
        if config.gateway.second_sight_of:
            rules = SecondSightRules(
                config.gateway.second_sight_of,
                config.status.probe_interval,
                config.status.probe_misses,
                limits,
                config.status.gateway_heartbeat,
            )
            second_sight = SecondSight(
                self._database, config.gateway.id, enrolment.judge, self._clock, self._metrics, rules
            )
            works |= {"second sight": second_sight.run}
        if config.viewing.enabled:
            works |= {"live pictures": viewing.run}
        if config.onvif.enabled:
            works |= onvif.works()
        if config.gb28181.enabled:
            relays.caller = gb_devices.calls = Calls(
                gb_devices.superior, relays.answer, config.gb28181.media_host
            )
            works |= gb_devices.works()
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(keep_running(name, work, clock=self._clock, healthy_after=10.0), name=name)
                for name, work in works.items()
            ]
            tasks.append(group.create_task(self._serve_api(services, stop), name="api"))
            if config.rtsp_server.is_on:
                tasks.append(group.create_task(self._serve_rtsp(server, stop), name="rtsp server"))
            logger.info(
                "Muster %s serves %s on %s:%d",
                muster_version(),
                config.gateway.id,
                config.api.host,
                config.api.port,
                extra={"action": "serving"},
            )
            await stop.wait()
            for task in tasks:
                task.cancel()

    async def _serve_api(self, services: ApiServices, stop: asyncio.Event) -> None:
        """Serve calls; an address or a TLS file that cannot be used ends the gateway with the reason."""
        try:
            await serve_api(build_api(services))
        except OSError as error:
            logger.error(  # noqa: TRY400 - a person must act, the stack tells nothing
                "the API cannot listen on %s:%d: %s",
                self._config.api.host,
                self._config.api.port,
                error.strerror or error,
                extra={"action": "api_not_listening"},
            )
            self.has_failed = True
            stop.set()

    async def _serve_rtsp(self, server: RtspServer, stop: asyncio.Event) -> None:
        """Serve who pulls from us; an address or a TLS file that cannot be used ends the gateway with the reason."""
        try:
            with listening(self._config.rtsp_server) as listeners:
                await keep_running(
                    "rtsp server", lambda: server.run(listeners), clock=self._clock, healthy_after=10.0
                )
        except OSError as error:
            logger.error(  # noqa: TRY400 - a person must act, the stack tells nothing
                "the RTSP server cannot listen on %s:%d: %s",
                self._config.rtsp_server.host,
                self._config.rtsp_server.port or self._config.rtsp_server.tls_port,
                error.strerror or error,
                extra={"action": "rtsp_not_listening"},
            )
            self.has_failed = True
            stop.set()

    async def _watch_status(self, stop: asyncio.Event, show_metrics: Callable[[], None]) -> None:
        """Judge and store once a second, for ever."""
        while True:
            due = self._clock.monotonic() + TICK
            await self._clock.sleep(TICK)
            self._metrics.loop_lag.set(max(0.0, self._clock.monotonic() - due))
            self._status.judge()
            started = self._clock.monotonic()
            try:
                await self._status.flush()
            except WriterReplaced as error:
                logger.error("%s: stopping", error, extra={"action": "replaced"})  # noqa: TRY400 - no bug of ours
                self.has_failed = True
                stop.set()
                return
            self._metrics.evidence_flush.observe(self._clock.monotonic() - started)
            show_metrics()

    def _show_metrics(
        self,
        relays: RelayManager,
        enrolment: Enrolment,
        onvif: OnvifService,
        viewing: ViewingDesk,
        gb_devices: DeviceService,
    ) -> None:
        metrics = self._metrics
        metrics.evidence_queue.set(self._status.waiting)
        metrics.database_up.set(1 if self._status.is_stored else 0)
        metrics.show_sources(self._status.views.shown)
        metrics.show_unknown(self._status.views.unknown)
        metrics.show_transitions(self._status.take_transitions())
        metrics.show_relays(relays.snapshot(), lost_workers=relays.lost_workers)
        metrics.show_workers((cpu for _, _, cpu in relays.workers()), moves=relays.moves)
        metrics.show_budget(enrolment.budget(), gave_way=enrolment.gave_way)
        metrics.show_onvif(onvif.events())
        metrics.show_gb28181(gb_devices.counts)
        metrics.views.set(viewing.views)

    async def _watch_own_network(self, own_network: OwnNetwork, learn_paths: Callable[[], None]) -> None:
        """Keep asking whether it is us, and decide suspicions of a common cause."""
        pause = min(self._config.status.gateway_heartbeat, 5.0)
        while True:
            learn_paths()
            self._status.own_network(await own_network.is_up())
            if self._status.suspects_common_cause:
                self._status.conclude(await own_network.judge_suspicion())
            await self._clock.sleep(pause)

    async def _follow_changes(
        self, enrolment: Enrolment, onvif: OnvifService, gb_devices: DeviceService
    ) -> None:
        """Take in what people change in the catalog, by whatever program."""
        try:
            async with listen(self._database, "muster_changed") as changes:
                await self._status.reload()
                enrolment.reload()
                async for table in changes:
                    if table in ("source", "jurisdiction"):
                        await self._status.reload()
                    enrolment.reload()
                    onvif.wake()
                    gb_devices.wake()
        except DatabaseAway as error:
            logger.warning("changes are not heard: %s", error, extra={"action": "changes_unheard"})

    async def _make_partitions(self) -> None:
        """Make the history's partitions ahead of time, daily."""
        await self._observations.make_partitions(self._clock.now())
        await self._clock.sleep(DAY)


def _liveness_rules(config: Config) -> LivenessRules:
    status = config.status
    return LivenessRules(
        probe_interval=status.probe_interval,
        probe_misses=status.probe_misses,
        restart_grace=status.restart_grace,
        common_cause_share=status.common_cause_share,
        common_cause_min=status.common_cause_min,
        common_cause_window=status.common_cause_window,
        common_cause_limit=status.common_cause_limit,
    )


def _bounds(config: Config) -> RelayBounds:
    relay = config.relay
    return RelayBounds(
        connect=relay.connect_timeout,
        handshake=relay.response_timeout,
        media_timeout=relay.media_timeout,
        media_gap=min(RelayBounds.media_gap, relay.media_timeout / 2),
        queue_bytes=relay.queue_bytes,
        queue_seconds=relay.queue_seconds,
        gop_bytes=relay.gop_bytes,
        reconnect_first=relay.reconnect_first,
        reconnect_longest=relay.reconnect_longest,
    )


def _rules(config: Config) -> PullRules:
    relay = config.relay
    return PullRules(
        verify_at_once=relay.verify_at_once,
        reconnect_longest=relay.reconnect_longest,
        limits=Limits(relay.max_pulls, relay.max_bandwidth, relay.max_network_bandwidth),
        expected_bitrate=relay.expected_bitrate,
        low_bitrate=relay.low_bitrate,
    )
