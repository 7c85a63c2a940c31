"""The events of all workers on their way to the one who takes them: bounded, says what it dropped."""

import asyncio
from collections import deque
from typing import Final

from gateway.relay.protocol import Event, EventsLost, MediaAlive

MAX_EVENTS: Final = 20_000
"""Facts that wait: some minutes of the worst churn of a thousand sources."""


class EventInbox:
    """Keep events until they are taken, oldest first.

    When `most` wait, the newest is dropped and counted; `EventsLost` then leads the next batch. Signs
    of life are not queued: only the latest of each worker is kept, with all ids since the last `take`.
    """

    def __init__(self, most: int = MAX_EVENTS) -> None:
        self._most = most
        self._events: deque[Event] = deque()
        self._alive: dict[int, MediaAlive] = {}
        self._lost = 0
        self._there = asyncio.Event()

    def put(self, event: Event) -> None:
        """Add a fact."""
        if len(self._events) >= self._most:
            self._lost += 1
        else:
            self._events.append(event)
        self._there.set()

    def put_alive(self, worker: int, event: MediaAlive) -> None:
        """Add the signs of life of a worker."""
        waiting = self._alive.get(worker)
        if waiting is not None:
            newest = dict(zip(waiting.source_ids, waiting.last_at, strict=True))
            newest.update(zip(event.source_ids, event.last_at, strict=True))
            event = MediaAlive(event.at, event.at_utc, tuple(newest), tuple(newest.values()))
        self._alive[worker] = event
        self._there.set()

    async def take(self) -> list[Event]:
        """Wait for events and return all there are."""
        await self._there.wait()
        self._there.clear()
        batch: list[Event] = [EventsLost(self._lost)] if self._lost else []
        batch += self._events
        batch += self._alive.values()
        self._lost = 0
        self._events.clear()
        self._alive.clear()
        return batch
