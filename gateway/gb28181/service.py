"""GB/T 28181 in the gateway, whole: listens for devices, tells their sources' status, asks them, stores what they tell.

Superior -> DeviceService (as its listener) -> Standing -> status
-> DeviceJournal -> catalog
rounds: silent devices are asked OPTIONS, new ones for their catalog and who they are, all of them now and then
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, timedelta
from random import Random, SystemRandom
from typing import Final

from adapters.errors import AdapterError
from adapters.gb28181.channels import ChannelEvent, ChannelNews
from adapters.gb28181.records import Recording
from adapters.gb28181.registration import Refused, RegistrationRules
from adapters.gb28181.superior import Alarm, Keepalive, Presence, Superior
from adapters.sip.endpoint import Listening
from adapters.sip.transaction import Way
from catalog.credentials import Vault
from catalog.database import Database
from catalog.errors import CatalogError
from catalog.gb_devices import (
    GbDevice,
    GbEvent,
    GbEventKind,
    GbRegistration,
    devices,
    forget_strangers,
    ways,
)
from gateway.clock import Clock
from gateway.config import Config
from gateway.gb28181.accounts import DeviceAccounts
from gateway.gb28181.calls import Calls
from gateway.gb28181.control import ControlledDevices
from gateway.gb28181.journal import DeviceJournal
from gateway.gb28181.rounds import MAX_TOLD, Round, RoundRules, Rounds
from gateway.gb28181.standing import Standing, Status
from gateway.onvif.devices import NoDevice

logger = logging.getLogger(__name__)

TICK: Final = 1.0
DAY: Final = 86_400.0
STRANGERS_KEPT: Final = timedelta(days=30)

_NEWS: Final = {
    ChannelEvent.ON: GbEventKind.CHANNEL_ON,
    ChannelEvent.OFF: GbEventKind.CHANNEL_OFF,
    ChannelEvent.VLOST: GbEventKind.VIDEO_LOST,
    ChannelEvent.DEFECT: GbEventKind.DEFECT,
    ChannelEvent.ADD: GbEventKind.CHANNEL_ADDED,
    ChannelEvent.DEL: GbEventKind.CHANNEL_GONE,
}


@dataclass(frozen=True)
class Surroundings:
    """Whom this part works with."""

    database: Database
    vault: Vault
    status: Status
    clock: Clock
    is_lost: Callable[[str], bool] = lambda _: False
    "Tells of an IP address whether our own path to it is lost."
    has_other_way: Callable[[int], bool] = lambda _: False
    "Tells of a source whether it may be asked without its device."


class DeviceService:
    """The server for devices and lower platforms; also the listener of its `Superior`."""

    def __init__(self, around: Surroundings, config: Config, random: Random | None = None) -> None:
        gb = config.gb28181
        self._around = around
        self._config = gb
        self._gateway_id = config.gateway.id
        self._random = random or SystemRandom()
        self._accounts = DeviceAccounts(around.vault)
        self._standing = Standing(around.status, around.has_other_way)
        self._journal = DeviceJournal(around.database)
        rules = RegistrationRules(
            realm=gb.domain,
            algorithms=gb.digest,
            qop=gb.digest_qop,
            longest_expiry=gb.longest_expiry,
            date=gb.send_date,
            rate=gb.register_rate,
        )
        self.superior = Superior(gb.id, self._accounts, rules, self, around.clock.now)
        self._rounds = Rounds(
            Round(around.database, config.gateway.id, around.clock, around.is_lost, self._random),
            self.superior,
            self._standing,
            self._event,
            RoundRules(
                config.status.probe_interval,
                config.status.probe_timeout,
                gb.catalog_interval,
                gb.concurrency,
                gb.clock_tolerance,
            ),
        )
        self.calls: Calls | None = None
        "Invites devices; set where relays run."
        self._changed = asyncio.Event()
        self._is_loaded = False

    # -- life ------------------------------------------------------------------------------------------------------

    def controlled(self) -> ControlledDevices:
        """Return the devices as they are turned."""
        return ControlledDevices(self.superior, self._standing.way_of)

    async def recordings(self, source_id: int, day: date) -> tuple[Sequence[Recording], bool]:
        """Ask the device of a source which recordings it holds of a local day.

        Raises:
            NoDevice: the source comes over no device that registers.
            AdapterError: the device did not tell.
        """
        way = self._standing.way_of(source_id)
        if way is None:
            raise NoDevice("no_device", f"source {source_id} comes over no device that registers")
        return await self.superior.records(*way, day)

    def works(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """Return what is to be kept running, by name."""
        works: dict[str, Callable[[], Awaitable[None]]] = {
            "gb28181": self.run,
            "gb28181 accounts": self._follow_accounts,
        }
        return works if self.calls is None else works | {"gb28181 calls": self.calls.run}

    def wake(self) -> None:
        """Look at accounts and ways anew: the catalog changed."""
        self._changed.set()

    @property
    def counts(self) -> dict[str, int]:
        """Return how often what happened since the start, for the metrics."""
        counted = dict(self.superior.counts)
        with suppress(AdapterError):
            counted |= {f"sip_{name}": count for name, count in self.superior.endpoint.counts.items()}
        if self.calls is not None:
            counted |= {f"call_{name}": count for name, count in self.calls.counts.items()}
        return counted | {
            "queries": self._rounds.asked,
            "queries_failed": self._rounds.failed,
            "dropped": self._journal.dropped,
            "registered": len(self.superior.present()),
        }

    async def run(self) -> None:
        """Listen and do the rounds; runs until cancelled.

        Raises:
            LocalResourcesExhausted: an address cannot be had.
        """
        # Not before the accounts are known: a device that registered before our restart is no stranger.
        await self._load()
        gb = self._config
        await self.superior.listen(
            Listening(
                ((gb.host, gb.udp_port),) if gb.udp_port else (),
                ((gb.host, gb.tcp_port),) if gb.tcp_port else (),
            )
        )
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._keep_time(group), name="gb28181-time")
                group.create_task(self._store(), name="gb28181-store")
                group.create_task(self._keep_house(), name="gb28181-house")
        finally:
            if self.calls is not None:
                self.calls.leave_all()
            await self.superior.close()

    async def _follow_accounts(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self._load()

    async def _load(self) -> None:
        """Read accounts and ways; take in registrations of before our start."""
        accounts = await devices(self._around.database, self._gateway_id)
        new, gone = self._accounts.take(accounts)
        self._standing.take_ways(await ways(self._around.database, self._gateway_id))
        for device_id in gone:
            self.superior.forget(device_id)
            self._rounds.forget(device_id)
        if not self._is_loaded:
            for each in new:
                self._restore(each)
            self._is_loaded = True

    def _restore(self, device: GbDevice) -> None:
        now, wall = self._around.clock.monotonic(), self._around.clock.now()
        if not device.is_registered(wall) or device.host is None or device.expires_at is None:
            return
        way = Way(device.transport or "udp", device.host, device.port or 5060, device.link or 0)
        left = (device.expires_at - wall).total_seconds()
        # Nothing was heard of it since: it is asked at once, and is unknown until it answers.
        presence = Presence(
            device.device_id, way, "", now, now + left, float("-inf"), device.version, device.user_agent
        )
        self.superior.restore(presence)
        self._rounds.ask_soon(device.device_id, self._random.uniform(5.0, 60.0))

    async def _keep_time(self, group: asyncio.TaskGroup) -> None:
        while True:
            now = self._around.clock.monotonic()
            self.superior.tick(now)
            self._rounds.look(now, group)
            await self._around.clock.sleep(TICK)

    async def _store(self) -> None:
        while True:
            await self._around.clock.sleep(TICK)
            try:
                await self._journal.flush(self._around.clock.now())
            except CatalogError:
                logger.exception("what devices told was not stored", extra={"action": "gb28181_unstored"})

    async def _keep_house(self) -> None:
        while True:
            before = self._around.clock.now() - STRANGERS_KEPT
            with suppress(CatalogError):
                await forget_strangers(self._around.database, before=before)
            await self._around.clock.sleep(DAY)

    # -- what the superior tells -------------------------------------------------------------------------------------

    def registered(self, presence: Presence, *, anew: bool) -> None:
        """Store a registration; a device that is there anew is asked who it is."""
        wall, device_id, way = self._around.clock.now(), presence.device_id, presence.way
        lasts = timedelta(seconds=presence.expires_at - presence.registered_at)
        self._journal.registered(
            GbRegistration(
                device_id,
                way.transport,
                way.host,
                way.port,
                way.link,
                wall,
                wall + lasts,
                presence.version,
                presence.user_agent,
            )
        )
        if anew:
            before = self._accounts.get(device_id)
            moved = before is not None and before.host not in (None, way.host)
            kind = GbEventKind.MOVED if moved else GbEventKind.REGISTERED
            self._event(device_id, kind, {"address": way.peer, "transport": way.transport})
            logger.info(
                "device %s registered from %s over %s", device_id, way.peer, way.transport,
                extra={"action": "gb28181_registered"},
            )  # fmt: skip
            self._rounds.forget(device_id)
            self._rounds.ask_soon(device_id, self._random.uniform(0.2, 2.0))

    def left(self, device_id: str, why: str) -> None:
        """Tell the sources of a device that it left."""
        now = self._around.clock.monotonic()
        self._standing.left(device_id, now)
        self._journal.left(device_id, self._around.clock.now(), why)
        self._event(device_id, GbEventKind(why))
        self._rounds.forget(device_id)
        logger.info("device %s left: %s", device_id, why, extra={"action": "gb28181_left"})

    def refused(self, refused: Refused) -> None:
        """Note who was refused, visible in quarantine."""
        self._journal.refused(refused)
        logger.debug(
            "refused %s from %s: %s", refused.device_id, refused.way.peer, refused.why,
            extra={"action": "gb28181_refused"},
        )  # fmt: skip

    def alive(self, presence: Presence) -> None:
        """Tell the sources of a device that it is there."""
        self._standing.alive(presence.device_id, self._around.clock.monotonic())

    def keepalive(self, presence: Presence, keepalive: Keepalive) -> None:
        """Tell which channels the device calls faulty."""
        now, device_id = self._around.clock.monotonic(), presence.device_id
        faulty, well = self._standing.faults(device_id, keepalive.faulty, now)
        for kind, codes in ((GbEventKind.FAULTY, faulty), (GbEventKind.WELL, well)):
            for channel_id in sorted(codes):
                self._event(device_id, kind, channel_id=channel_id[:20])

    def news(self, presence: Presence, news: Sequence[ChannelNews]) -> None:
        """Take in what a NOTIFY says of channels."""
        now, device_id = self._around.clock.monotonic(), presence.device_id
        asks = False
        for each in news:
            channel_id = each.channel.channel_id
            asks |= self._standing.told(device_id, channel_id, each.event, now)
            if each.event in (ChannelEvent.ON, ChannelEvent.OFF):
                self._journal.turned(device_id, channel_id, is_on=each.event is ChannelEvent.ON)
            if each.event in _NEWS:
                self._event(device_id, _NEWS[each.event], channel_id=channel_id)
        if asks:
            self._rounds.ask_soon(device_id, self._random.uniform(1.0, 3.0))

    def alarm(self, presence: Presence, alarm: Alarm) -> None:
        """Store an alarm as evidence."""
        kept = dict(list(alarm.fields.items())[:MAX_TOLD])
        self._event(presence.device_id, GbEventKind.ALARM, kept, channel_id=alarm.channel_id[:20])

    def position(self, presence: Presence, fields: dict[str, str]) -> None:
        """Store a position as evidence."""
        self._event(presence.device_id, GbEventKind.POSITION, dict(list(fields.items())[:MAX_TOLD]))

    def _event(
        self, device_id: str, kind: GbEventKind, detail: dict[str, str] | None = None, *, channel_id: str = ""
    ) -> None:
        event = GbEvent(device_id, channel_id, self._around.clock.now(), kind, detail or {})
        self._journal.event(event, self._around.clock.monotonic())
