"""The live feed of acknowledged status changes, for the API's event stream.

Bounded everywhere: a ring of the newest events for readers that were away, and one queue a listener. A listener that
does not keep up is cut and has to come back with its last event id; nobody else notices.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from catalog.model.connectivity import State
from catalog.model.display import Displayed
from catalog.observations import StatusChange

RING: Final = 10_000
"""Events kept for readers that come back."""

LISTENER_QUEUE: Final = 1_000
"""Events that may wait for one listener before it is cut."""


@dataclass(frozen=True)
class StatusEvent:
    """One acknowledged change of one source."""

    seq: int
    source_id: int
    gb_id: str | None
    district: str
    kind: str
    displayed: Displayed
    state: State
    since: datetime
    at: datetime
    reason: str | None

    @classmethod
    def of(cls, change: StatusChange, shown: Displayed, gb_id: str | None) -> "StatusEvent":
        """Build the event of a stored change."""
        return cls(
            seq=change.seq,
            source_id=change.source_id,
            gb_id=gb_id,
            district=change.district,
            kind=change.kind,
            displayed=shown,
            state=change.connectivity.state,
            since=change.connectivity.since,
            at=change.at,
            reason=change.reason,
        )


class Listener:
    """One reader's bounded queue."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[StatusEvent] = asyncio.Queue(LISTENER_QUEUE)
        self.is_cut = False
        "Set when the queue overflowed: the reader missed events and must come back."


class StatusFeed:
    """Publishes each event to all listeners."""

    def __init__(self) -> None:
        self._ring: deque[StatusEvent] = deque(maxlen=RING)
        self._listeners: set[Listener] = set()

    def publish(self, event: StatusEvent) -> None:
        """Hand the event to every listener; never waits."""
        self._ring.append(event)
        for listener in self._listeners:
            if not listener.is_cut:
                try:
                    listener.queue.put_nowait(event)
                except asyncio.QueueFull:
                    listener.is_cut = True

    @contextmanager
    def listen(self) -> Iterator[Listener]:
        """Lend a listener that gets every event from now on."""
        listener = Listener()
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    def after(self, seq: int) -> list[StatusEvent] | None:
        """Return the events after `seq`, or None when the ring does not reach back that far."""
        if not self._ring or self._ring[0].seq > seq + 1:
            return None
        return [event for event in self._ring if event.seq > seq]

    @property
    def listeners(self) -> int:
        """Return how many listen now."""
        return len(self._listeners)
