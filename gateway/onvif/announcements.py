"""Cameras that announce themselves: heard, asked back, and handed to the catalog.

    datagram -> intake (authorised? too many?) -> read -> Hello: sighting, and its sender is asked with a Probe
                                                       -> match of ours: sighting, and contact
                                                       -> Bye: a dated fact

A Hello shows nothing but that somebody sent a datagram, so it is no contact: the sender is asked back with a random
id, and only the answer counts. Whatever is heard, no credential is sent from here.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final, TypeVar

from adapters.errors import AdapterError, LocalResourcesExhausted
from adapters.onvif.discovery import Discoverer
from adapters.onvif.wsdiscovery import PORT, Announcement, Kind, read_announcements
from catalog.database import Database
from catalog.errors import CatalogError
from catalog.model.network import AuthorisedNetworks
from catalog.model.sighting import Sighting
from catalog.networks import load_authorised
from catalog.onvif_devices import (
    DeviceEvent,
    DeviceEventKind,
    add_fresh_events,
    adopt_matched,
    hasten,
    sources_at,
)
from catalog.sightings import BATCH, Recorded, record_sightings
from gateway.clock import Clock
from gateway.discovery_plan import Pace
from gateway.discovery_sweep import Contacts
from gateway.onvif.hearsay import Names, sighting_of
from gateway.onvif.intake import Fate, Heard, Intake

logger = logging.getLogger(__name__)

LOOK_EVERY: Final = 0.25
"""Seconds between two looks at what arrived: a burst becomes one batch."""

SLICE: Final = 64
"""Datagrams read in one go, some 6 ms; then others get their turn."""

SLICES: Final = 16
"""In one look, 4,096 datagrams a second: a flood that never ends takes a third of a core and no more."""

MAX_PENDING: Final = 4_096
"""Sightings and questions that wait; of more, the oldest are dropped and counted."""

ASKERS: Final = 32
"""Questions under way at once."""

PATIENCE: Final = 3.0
"""Seconds until a device that was asked back is taken for silent; devices wait up to 0.5 s before they answer."""

NETWORKS_EVERY: Final = 5.0
"""Seconds between two looks at the authorisations and at our own addresses."""

DATABASE_REST: Final = 2.0

HASTE_REST: Final = timedelta(seconds=30)
"""A device that was interrogated a moment ago is not asked again because it announces itself."""


@dataclass(frozen=True)
class AnnouncementRules:
    """How is listened and asked."""

    interfaces: tuple[str, ...]
    "Our own addresses; empty = each that is authorised."
    probe_interval: float
    unicast_rate: float
    port: int = PORT
    "UDP port of WS-Discovery; another one only where several networks are rehearsed on one machine."


@dataclass(frozen=True)
class Surroundings:
    """Whom the listener works with."""

    database: Database
    clock: Clock
    contacts: Contacts
    own_addresses: Callable[[], list[str]]
    adopted: Callable[[], None]
    "Called when there is a device more to interrogate, or one sooner."


_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class _Seen:
    sighting: Sighting
    at: float
    is_answer: bool
    has_announced: bool
    "Whether it said Hello since the last look was stored."


class Announcements:
    """Listens for as long as `run` runs."""

    def __init__(self, around: Surroundings, rules: AnnouncementRules) -> None:
        self._around = around
        self._rules = rules
        self._networks = AuthorisedNetworks()
        self._intake = Intake(self._is_authorised)
        self._names = Names()
        self._pace = Pace(rules.unicast_rate)
        self._seen: OrderedDict[tuple[str, int], _Seen] = OrderedDict()
        self._byes: OrderedDict[str, float] = OrderedDict()
        self._to_ask: OrderedDict[str, None] = OrderedDict()
        self._has_questions = asyncio.Event()
        self._looks_again = asyncio.Event()
        self._joined_warned: set[str] = set()
        self.dropped = 0
        "Sightings and questions that found no room."

    @property
    def fates(self) -> dict[Fate, int]:
        """Return what became of the datagrams so far."""
        return dict(self._intake.fates)

    def wake(self) -> None:
        """Look at the authorisations now: they may have changed."""
        self._looks_again.set()

    async def run(self) -> None:
        """Listen, ask back and store; runs until cancelled.

        Raises:
            LocalResourcesExhausted: the port cannot be had.
        """
        clock = self._around.clock
        try:
            async with (
                Discoverer(self._take, port=self._rules.port) as discoverer,
                asyncio.TaskGroup() as group,
            ):
                group.create_task(self._probe(discoverer), name="onvif-probe")
                group.create_task(self._follow_networks(discoverer), name="onvif-networks")
                group.create_task(self._store(), name="onvif-store")
                for index in range(ASKERS):
                    group.create_task(self._ask_back(discoverer), name=f"onvif-ask-{index}")
                while True:
                    await clock.sleep(LOOK_EVERY)
                    await self._read(discoverer)
        except OSError as error:
            raise LocalResourcesExhausted(
                f"cannot listen for WS-Discovery: {error.strerror}", peer="UDP port 3702"
            ) from error

    def _take(self, data: bytes, sender: str) -> None:
        self._intake.take(data, sender, self._around.clock.monotonic())

    def _is_authorised(self, host: str) -> bool:
        return self._networks.covers(host, self._around.clock.now()) is not None

    async def _read(self, discoverer: Discoverer) -> None:
        for _ in range(SLICES):
            for datagram in self._intake.drain(SLICE):
                self._read_one(datagram, discoverer)
            await asyncio.sleep(0)

    def _read_one(self, heard: Heard, discoverer: Discoverer) -> None:
        try:
            announcements = read_announcements(heard.data, peer=heard.sender)
        except AdapterError as error:
            logger.debug("unreadable announcement: %s", error, extra={"action": "onvif_unreadable"})
            return
        for each in announcements:
            if each.is_onvif:
                self._understand(each, heard, is_answer=discoverer.answers_us(each))

    def _understand(self, announcement: Announcement, heard: Heard, *, is_answer: bool) -> None:
        match announcement.kind:
            case Kind.BYE:
                self._keep(self._byes, heard.sender, heard.at)
            case Kind.HELLO:
                self._note(announcement, heard.sender, heard.at, is_answer=False)
                self._keep(self._to_ask, heard.sender, None)
                self._has_questions.set()
            case Kind.MATCH if is_answer:
                self._note(announcement, heard.sender, heard.at, is_answer=True)
            case Kind.MATCH:
                # The answer to somebody else's question, or to none: anybody could have sent it.
                pass

    def _note(self, announcement: Announcement, sender: str, at: float, *, is_answer: bool) -> None:
        sighting = sighting_of(announcement, sender, self._around.clock.now(), self._names)
        if sighting is None:
            return
        key = (sighting.host, sighting.port)
        known = self._seen.get(key)
        has_announced = not is_answer or (known is not None and known.has_announced)
        if known is not None and known.is_answer and not is_answer:
            # What it answered to our question is worth more than what it says unasked.
            self._keep(self._seen, key, replace(known, has_announced=True))
            return
        self._keep(self._seen, key, _Seen(sighting, at, is_answer, has_announced))

    def _keep(self, waiting: OrderedDict[_Key, _Value], key: _Key, value: _Value) -> None:
        waiting[key] = value
        if len(waiting) > MAX_PENDING:
            waiting.popitem(last=False)
            self.dropped += 1

    async def _ask_back(self, discoverer: Discoverer) -> None:
        clock = self._around.clock
        while True:
            await self._has_questions.wait()
            if not self._to_ask:
                self._has_questions.clear()
                continue
            host, _ = self._to_ask.popitem(last=False)
            await clock.sleep(self._pace.reserve(clock.monotonic()))
            if not self._is_authorised(host):
                continue
            try:
                answers = await discoverer.ask(host, patience=PATIENCE)
            except AdapterError as error:
                logger.debug("asked back in vain: %s", error, extra={"action": "onvif_silent"})
                continue
            for answer in answers:
                if answer.is_onvif:
                    self._note(answer, host, clock.monotonic(), is_answer=True)

    async def _probe(self, discoverer: Discoverer) -> None:
        while True:
            if discoverer.interfaces:
                discoverer.probe_group()
                wait = self._rules.probe_interval
            else:
                wait = 1.0
            await self._around.clock.sleep(wait)

    async def _follow_networks(self, discoverer: Discoverer) -> None:
        while True:
            try:
                self._networks = await load_authorised(self._around.database)
            except CatalogError as error:
                # We could not know whether we still may.
                self._networks = AuthorisedNetworks()
                logger.warning("ONVIF discovery waits: %s", error, extra={"action": "onvif_waits"})
            self._intake.networks_changed()
            await self._follow_interfaces(discoverer)
            with suppress(TimeoutError):
                async with asyncio.timeout(NETWORKS_EVERY):
                    await self._looks_again.wait()
            self._looks_again.clear()

    async def _follow_interfaces(self, discoverer: Discoverer) -> None:
        own = self._around.own_addresses()
        chosen = self._rules.interfaces or tuple(own)
        # Asking the group reaches everybody on the link, so the link itself must be authorised.
        wanted = {address for address in chosen if self._is_authorised(address)}
        for address in discoverer.interfaces - wanted:
            discoverer.leave(address)
        for address in sorted(wanted - discoverer.interfaces):
            try:
                await discoverer.join(address)
            except AdapterError as error:
                if address not in self._joined_warned:
                    logger.warning("no WS-Discovery there: %s", error, extra={"action": "onvif_not_joined"})
                self._joined_warned.add(address)
            else:
                self._joined_warned.discard(address)
                logger.info("listening for ONVIF cameras on %s", address, extra={"action": "onvif_joined"})

    async def _store(self) -> None:
        while True:
            await self._around.clock.sleep(LOOK_EVERY)
            try:
                await self._store_byes()
                while self._seen:
                    await self._store_batch()
            except CatalogError as error:
                logger.warning("announcements wait: %s", error, extra={"action": "onvif_waits"})
                await self._around.clock.sleep(DATABASE_REST)

    async def _store_batch(self) -> None:
        at = self._around.clock.now()
        batch = dict(list(self._seen.items())[:BATCH])
        by_network: dict[int, list[_Seen]] = {}
        for seen in batch.values():
            authorisation = self._networks.covers(seen.sighting.host, at)
            if authorisation is not None:
                by_network.setdefault(authorisation.network_id, []).append(seen)
        for network_id, seen_there in by_network.items():
            recorded = await record_sightings(
                self._around.database, [seen.sighting for seen in seen_there], network_id=network_id
            )
            await self._tell(recorded, {(s.sighting.host, s.sighting.port): s for s in seen_there})
        # Only now: had it failed, the same would be stored again, which is harmless.
        for key, seen in batch.items():
            if self._seen.get(key) is seen:
                del self._seen[key]

    async def _tell(self, recorded: list[Recorded], seen: dict[tuple[str, int], _Seen]) -> None:
        database, at = self._around.database, self._around.clock.now()
        started: list[DeviceEvent] = []
        for one in recorded:
            look = seen[one.sighting.host, one.sighting.port]
            for source_id in one.contacts:
                if look.is_answer:
                    self._around.contacts.seen(source_id, at=look.at)
                if look.has_announced:
                    started.append(DeviceEvent(source_id, one.sighting.seen_at, DeviceEventKind.ANNOUNCED))
        answered = [one for one in recorded if seen[one.sighting.host, one.sighting.port].is_answer]
        adopted = await adopt_matched(database, answered, at=at)
        await add_fresh_events(database, started)
        if started:
            await hasten(database, _hosts(recorded), at=at, rest=HASTE_REST)
        if adopted or started:
            self._around.adopted()

    async def _store_byes(self) -> None:
        byes = dict(list(self._byes.items())[:BATCH])
        if not byes:
            return
        clock = self._around.clock
        at, now = clock.now(), clock.monotonic()
        sources = await sources_at(self._around.database, list(byes))
        await add_fresh_events(
            self._around.database,
            [
                DeviceEvent(source_id, at - timedelta(seconds=now - byes[host]), DeviceEventKind.SAID_GOODBYE)
                for host, source_id in sources
            ],
        )
        for host in byes:
            with suppress(KeyError):
                del self._byes[host]


def _hosts(recorded: Iterable[Recorded]) -> list[str]:
    return sorted({one.sighting.host for one in recorded if one.contacts})
