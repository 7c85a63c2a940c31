"""The rounds among the devices: is it there, what channels has it, who is it. Owns no socket.

A device that said nothing for an interval is asked by OPTIONS, and whatever it answers shows that it is there; one that
is not registered cannot be asked and counts as missed. Catalogs are asked for after a registration, after doubtful
news, and now and then of everybody: many devices never tell changes by themselves.
"""

import asyncio
import heapq
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from types import MappingProxyType
from typing import Final, Protocol

from adapters.errors import AdapterError, RequestRefused
from adapters.gb28181.channels import Channel
from adapters.gb28181.manscdp import Fields, Item
from adapters.gb28181.superior import Superior, beijing_seconds
from catalog.database import Database
from catalog.errors import CatalogError
from catalog.gb_devices import GbChannel, GbEventKind, store_catalog, store_told, ways
from gateway.clock import Clock
from gateway.gb28181.standing import Standing
from gateway.supervisor import isolated

logger = logging.getLogger(__name__)

ASK_AGAIN: Final = 5.0
"""Seconds until a catalog that left doubts is asked for again."""
RETRY: Final = 60.0
"""Seconds until a device that did not answer a query is asked again, spread."""
ABOUT_ITSELF: Final[Mapping[str, Fields]] = MappingProxyType(
    {"DeviceInfo": (), "DeviceStatus": (), "ConfigDownload": (("ConfigType", "BasicParam"),)}
)
"""What a device is asked about itself, and with which fields."""
SLACK: Final = 1.2
"""Intervals of silence before a device is asked: a keepalive a minute is never late by a second."""
CHECKS: Final = 256
"""Silent devices asked at once."""
MAX_TOLD: Final = 40
"""Fields kept of what a device tells of itself."""


class Tell(Protocol):
    """Has a dated fact stored."""

    def __call__(
        self, device_id: str, kind: GbEventKind, detail: dict[str, str] | None = None, *, channel_id: str = ""
    ) -> None:
        """Take in one fact."""


@dataclass(frozen=True)
class Round:
    """Whom the rounds work with."""

    database: Database
    gateway_id: str
    clock: Clock
    is_lost: Callable[[str], bool]
    random: Random


@dataclass(frozen=True)
class RoundRules:
    """Times in seconds."""

    probe_interval: float
    "Silence after which a device is asked whether it is there."
    probe_timeout: float
    catalog_interval: float
    concurrency: int
    "Devices asked for their catalog at once."
    clock_tolerance: float


class Rounds:
    """Who is asked when; `look` is called once a second."""

    def __init__(
        self, around: Round, superior: Superior, standing: Standing, tell: Tell, rules: RoundRules
    ) -> None:
        self._around = around
        self._superior = superior
        self._standing = standing
        self._event = tell
        self._rules = rules
        self._due: list[tuple[float, str]] = []
        self._due_at: dict[str, float] = {}
        self._subscribed: dict[str, float] = {}
        "Until when a catalog subscription holds; infinite where the device has none."
        self._checked: dict[str, float] = {}
        self._checking: set[str] = set()
        self._asking: set[str] = set()
        self.asked = 0
        self.failed = 0
        "Queries to devices, and those that failed."

    def look(self, now: float, group: asyncio.TaskGroup) -> None:
        """Begin what is due at monotonic `now`, as tasks of `group`."""
        self._check_silent(now, group)
        self._ask_due(now, group)

    def forget(self, device_id: str) -> None:
        """Ask a device nothing that was due, and know of no subscription of it."""
        self._due_at.pop(device_id, None)
        self._subscribed.pop(device_id, None)

    # -- silent devices --------------------------------------------------------------------------------------

    def _check_silent(self, now: float, group: asyncio.TaskGroup) -> None:
        """Ask each device that said nothing for an interval; count a miss where that cannot even be asked."""
        for device_id in self._standing.devices():
            presence = self._superior.presence(device_id)
            if presence is not None and now - presence.last_seen < SLACK * self._rules.probe_interval:
                continue
            checked = self._checked.get(device_id, float("-inf"))
            if now - checked < self._rules.probe_interval or device_id in self._checking:
                continue
            if presence is None:
                self._checked[device_id] = now
                self._standing.missed(device_id, now, "not_registered")
            elif self._around.is_lost(presence.way.host):
                self._checked[device_id] = now
                self._standing.unseen(device_id, now)
            elif len(self._checking) < CHECKS:
                self._checked[device_id] = now
                self._checking.add(device_id)
                group.create_task(self._check(device_id), name=f"gb28181-check-{device_id}")

    async def _check(self, device_id: str) -> None:
        def ours() -> None:
            self._standing.unseen(device_id, self._around.clock.monotonic())

        try:
            await isolated(f"check of device {device_id}", lambda: self._ask_whether(device_id), ours)
        finally:
            self._checking.discard(device_id)

    async def _ask_whether(self, device_id: str) -> None:
        try:
            await self._superior.check(device_id, within=self._rules.probe_timeout)
        except AdapterError as error:
            self._standing.missed(device_id, self._around.clock.monotonic(), error.cause)
        else:
            self._standing.alive(device_id, self._around.clock.monotonic())

    # -- catalog and who they are ----------------------------------------------------------------------------

    def ask_soon(self, device_id: str, wait: float) -> None:
        """Ask a device for its catalog and who it is within `wait` seconds."""
        at = self._around.clock.monotonic() + wait
        before = self._due_at.get(device_id)
        if before is None or at < before:
            self._due_at[device_id] = at
            heapq.heappush(self._due, (at, device_id))

    def _ask_due(self, now: float, group: asyncio.TaskGroup) -> None:
        while self._due and self._due[0][0] <= now and len(self._asking) < self._rules.concurrency:
            at, device_id = heapq.heappop(self._due)
            if self._due_at.get(device_id) != at:
                continue
            del self._due_at[device_id]
            if device_id in self._asking:
                self.ask_soon(device_id, ASK_AGAIN)
            elif self._superior.presence(device_id) is not None:
                self._asking.add(device_id)
                group.create_task(self._ask(device_id), name=f"gb28181-ask-{device_id}")

    async def _ask(self, device_id: str) -> None:
        def again() -> float:
            return RETRY

        try:
            wait = await isolated(
                f"queries to device {device_id}", lambda: self._interrogate(device_id), again
            )
        finally:
            self._asking.discard(device_id)
        if self._superior.presence(device_id) is not None:
            self.ask_soon(device_id, wait * self._around.random.uniform(0.8, 1.2))

    async def _interrogate(self, device_id: str) -> float:
        """Ask for everything; return after how many seconds it is worth asking again."""
        try:
            doubtful = await self._ask_catalog(device_id)
        except AdapterError as error:
            self._note_failure(device_id, "Catalog", error)
            return RETRY
        except CatalogError as error:
            logger.warning("device %s: %s", device_id, error, extra={"action": "gb28181_unstored"})
            return RETRY
        if doubtful:
            return ASK_AGAIN
        await self._subscribe(device_id)
        for command in ABOUT_ITSELF:
            with suppress(CatalogError):
                await self._ask_about_itself(device_id, command)
        return self._rules.catalog_interval

    def _note_failure(self, device_id: str, what: str, error: AdapterError) -> None:
        self.failed += 1
        logger.info(
            "device %s: %s: %s",
            device_id,
            what,
            error,
            extra={"action": "gb28181_query_failed", "cause": error.cause},
        )

    async def _ask_catalog(self, device_id: str) -> bool:
        self.asked += 1
        channels, is_whole = await self._superior.catalog(device_id)
        presence = self._superior.presence(device_id)
        if presence is None:
            return False
        taken = await store_catalog(
            self._around.database,
            self._around.gateway_id,
            (device_id, presence.way.host),
            [_stored(channel) for channel in channels if channel.channel_id != device_id],
            at=self._around.clock.now(),
            is_whole=is_whole,
        )
        for source_id, channel_id in taken.conflicts:
            self._event(
                device_id, GbEventKind.CLAIMED_TWICE, {"source_id": str(source_id)}, channel_id=channel_id
            )
            logger.warning(
                "device %s tells channel %s, but source %d comes over another device",
                device_id, channel_id, source_id, extra={"action": "gb28181_claimed_twice", "source_id": source_id},
            )  # fmt: skip
        if taken.added:
            self._standing.take_ways(await ways(self._around.database, self._around.gateway_id))
        now = self._around.clock.monotonic()
        self._standing.alive(device_id, now)
        return self._standing.catalog(device_id, channels, now, is_whole=is_whole)

    async def _subscribe(self, device_id: str) -> None:
        now = self._around.clock.monotonic()
        # Renewed with each look at the catalog, which comes more often than it runs out.
        if self._subscribed.get(device_id, 0.0) > now + self._rules.catalog_interval:
            return
        try:
            lasts = await self._superior.subscribe_catalog(device_id)
        except RequestRefused:
            # Many devices have none: the catalog is asked for now and then all the same.
            self._subscribed[device_id] = float("inf")
        except AdapterError as error:
            self._note_failure(device_id, "SUBSCRIBE", error)
        else:
            self._subscribed[device_id] = now + lasts

    async def _ask_about_itself(self, device_id: str, command: str) -> None:
        self.asked += 1
        try:
            answer: Item = await self._superior.query(device_id, command, fields=ABOUT_ITSELF[command])
        except AdapterError as error:
            self._note_failure(device_id, command, error)
            return
        # Of a configuration what counts is one level deeper, under the name of its kind.
        answer = answer.child("BasicParam") or answer
        told = {
            name: text
            for name, text in list(answer.fields().items())[:MAX_TOLD]
            if name not in ("CmdType", "SN")
        }
        offset = None
        if command == "DeviceStatus" and (text := answer.text("DeviceTime")):
            offset = beijing_seconds(text, self._around.clock.now())
        await store_told(self._around.database, device_id, {command: told}, clock_offset=offset)
        if offset is not None:
            is_wrong = abs(offset) > self._rules.clock_tolerance
            self._standing.clock(device_id, is_wrong=is_wrong, at=self._around.clock.monotonic())


def _stored(channel: Channel) -> GbChannel:
    return GbChannel(
        channel.channel_id,
        channel.name,
        channel.manufacturer,
        channel.model,
        channel.parent_id,
        channel.may_deliver_video,
        channel.is_on,
        dict(channel.detail),
    )
