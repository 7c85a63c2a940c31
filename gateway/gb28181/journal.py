"""What of the devices waits to be stored: bounded, and patient with a database that is away."""

import logging
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Final, TypeVar

from adapters.gb28181.registration import Refusal, Refused
from catalog.database import Database
from catalog.errors import ConstraintViolated, DatabaseAway, QueryFailed
from catalog.gb_devices import (
    GbEvent,
    GbRegistration,
    Stranger,
    store_events,
    store_leaves,
    store_registrations,
    store_strangers,
    store_turns,
)

logger = logging.getLogger(__name__)

MAX_EVENTS: Final = 20_000
"""Events that wait; of more the oldest are dropped and counted."""
MAX_TURNS: Final = 20_000
"""Channels of which a change waits; of more the oldest are dropped and counted: the next catalog tells."""
MAX_STRANGERS: Final = 4_096
"""Codes refused between two writes; of more the oldest are dropped and counted."""
BATCH: Final = 2_000
A_MINUTE: Final = 60.0
EVENTS_A_MINUTE: Final = 120
"""Of one device; an alarm that never ends fills no disk."""

Key = TypeVar("Key", bound=Hashable)
Fact = TypeVar("Fact")


class DeviceJournal:
    """What happened, on its way to the catalog."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._registrations: dict[str, GbRegistration] = {}
        self._leaves: dict[str, tuple[str, datetime, str]] = {}
        self._turns: dict[tuple[str, str], tuple[str, str, bool]] = {}
        self._strangers: OrderedDict[str, Stranger] = OrderedDict()
        self._events: deque[GbEvent] = deque()
        self._minutes: dict[str, tuple[float, int]] = {}
        self._is_away = False
        self.dropped = 0
        "Events, turns and strangers that found no room, and events of a device that tells too many."

    def __len__(self) -> int:
        keyed = (self._registrations, self._leaves, self._turns, self._strangers)
        return sum(len(each) for each in keyed) + len(self._events)

    def registered(self, registration: GbRegistration) -> None:
        """Store a registration; the latest of a device counts."""
        self._registrations[registration.device_id] = registration
        self._leaves.pop(registration.device_id, None)

    def left(self, device_id: str, at: datetime, why: str) -> None:
        """Store that a device left."""
        self._leaves[device_id] = (device_id, at, why)

    def turned(self, device_id: str, channel_id: str, *, is_on: bool) -> None:
        """Store what was told of a channel."""
        self._turns[device_id, channel_id] = (device_id, channel_id, is_on)
        if len(self._turns) > MAX_TURNS:
            del self._turns[next(iter(self._turns))]
            self.dropped += 1

    def refused(self, refused: Refused) -> None:
        """Store that somebody was refused."""
        code = refused.device_id or "?"
        before = self._strangers.pop(code, None)
        times = 1 if before is None else before.times + 1
        # That it came too often says less than what was wrong with it before.
        is_throttled = refused.why in (Refusal.TOO_MANY_FAILURES, Refusal.BUSY)
        why = before.why if before is not None and is_throttled else refused.why.value
        way = refused.way
        self._strangers[code] = Stranger(
            code, way.transport, way.host, way.port, why, refused.user_agent, times
        )
        if len(self._strangers) > MAX_STRANGERS:
            self._strangers.popitem(last=False)
            self.dropped += 1

    def event(self, event: GbEvent, now: float) -> None:
        """Append a dated fact; `now` is monotonic."""
        began, count = self._minutes.get(event.device_id, (now, 0))
        if now - began >= A_MINUTE:
            began, count = now, 0
        self._minutes[event.device_id] = (began, count + 1)
        if count >= EVENTS_A_MINUTE:
            self.dropped += 1
            return
        self._events.append(event)
        if len(self._events) > MAX_EVENTS:
            self._events.popleft()
            self.dropped += 1

    async def flush(self, at: datetime) -> None:
        """Store what waits; with the database away it goes on waiting.

        Raises:
            CatalogError: something that waiting does not mend.
        """
        try:
            await self._store(at)
        except DatabaseAway as error:
            if not self._is_away:
                logger.warning("what devices tell waits: %s", error, extra={"action": "gb28181_waits"})
            self._is_away = True
        except (ConstraintViolated, QueryFailed):
            # One of these facts cannot be stored: the others must not wait for it for ever.
            self._drop_batch()
            raise
        else:
            self._is_away = False

    async def _store(self, at: datetime) -> None:
        await self._drain(self._registrations, store_registrations)
        await self._drain(self._leaves, store_leaves)
        await self._drain(self._turns, partial(store_turns, at=at))
        await self._store_strangers(at)
        while self._events:
            events = [self._events[index] for index in range(min(BATCH, len(self._events)))]
            await store_events(self._database, events)
            for _ in events:
                self._events.popleft()

    async def _store_strangers(self, at: datetime) -> None:
        """Store who was refused; the times that were counted meanwhile are not counted twice."""
        strangers, self._strangers = self._strangers, OrderedDict()
        try:
            await store_strangers(self._database, list(strangers.values()), at=at)
        except DatabaseAway:
            for code, stranger in strangers.items():
                newer = self._strangers.get(code)
                times = stranger.times + (newer.times if newer is not None else 0)
                self._strangers[code] = replace(newer or stranger, times=times)
            while len(self._strangers) > MAX_STRANGERS:
                self._strangers.popitem(last=False)
                self.dropped += 1
            raise

    async def _drain(
        self, waiting: dict[Key, Fact], store: Callable[[Database, Sequence[Fact]], Awaitable[None]]
    ) -> None:
        """Store all that waits; what was replaced meanwhile goes on waiting."""
        while waiting:
            batch = dict(list(waiting.items())[:BATCH])
            await store(self._database, list(batch.values()))
            for code, stored in batch.items():
                if waiting.get(code) is stored:
                    del waiting[code]

    def _drop_batch(self) -> None:
        self._registrations.clear()
        self._leaves.clear()
        self._turns.clear()
        for _ in range(min(BATCH, len(self._events))):
            self._events.popleft()
