"""Facts on their way into the catalog: refusals of credentials, and sources that the law refuses.

Taken in without waiting; written one after the other by one task. Bounded: beyond `MOST_NOTES` the oldest is dropped
and counted. What is dropped stays in effect in memory until a restart.
"""

import asyncio
import logging
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from catalog.database import Database
from catalog.errors import CatalogError
from catalog.sources import clear_refusals, record_refusal, reject_source
from gateway.clock import Clock

logger = logging.getLogger(__name__)

MOST_NOTES: Final = 10_000
AWAY_PAUSE: Final = 5.0
"""Seconds between two tries while the database is away."""


@dataclass(frozen=True)
class Refused:
    """A device refused a credential."""

    endpoint_id: int
    version: int
    count: int
    at: datetime


@dataclass(frozen=True)
class Accepted:
    """A device took a credential that it had refused."""

    endpoint_id: int


@dataclass(frozen=True)
class Forbidden:
    """A provision forbids a source."""

    source_id: int
    requirements: tuple[str, ...]


Note = Refused | Accepted | Forbidden


class CatalogLedger:
    """Writes the facts of the pulls to the catalog in its own time."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._notes: deque[Note] = deque()
        self._forbidden: set[Forbidden] = set()
        "Those that wait: each look at a forbidden source says so again."
        self._there = asyncio.Event()
        self.dropped = 0

    def refused(self, endpoint_id: int, version: int, count: int, at: datetime) -> None:
        """Note refusals of a credential."""
        self._put(Refused(endpoint_id, version, count, at))

    def accepted(self, endpoint_id: int) -> None:
        """Note that a refused credential is taken again."""
        self._put(Accepted(endpoint_id))

    def forbidden(self, source_id: int, requirements: tuple[str, ...]) -> None:
        """Note that the law refuses a source."""
        note = Forbidden(source_id, requirements)
        if note not in self._forbidden:
            self._forbidden.add(note)
            self._put(note)

    def _put(self, note: Note) -> None:
        if len(self._notes) >= MOST_NOTES:
            dropped = self._notes.popleft()
            self.dropped += 1
            if isinstance(dropped, Forbidden):
                self._forbidden.discard(dropped)
            logger.error("%d notes for the catalog dropped", self.dropped, extra={"action": "notes_dropped"})
        self._notes.append(note)
        self._there.set()

    async def run(self) -> None:
        """Write what comes, for ever; while the database is away it waits."""
        while True:
            if not self._notes:
                self._there.clear()
                await self._there.wait()
            note = self._notes.popleft()
            try:
                await self._write(note)
            except CatalogError as error:
                if error.retryable:
                    self._notes.appendleft(note)
                    await self._clock.sleep(AWAY_PAUSE)
                    continue
                logger.warning(
                    "%s was not written: %s", type(note).__name__, error, extra={"action": "note_failed"}
                )
            if isinstance(note, Forbidden):
                self._forbidden.discard(note)

    async def _write(self, note: Note) -> None:
        match note:
            case Refused():
                await record_refusal(
                    self._database, note.endpoint_id, note.version, at=note.at, count=note.count
                )
            case Accepted():
                await clear_refusals(self._database, note.endpoint_id)
            case Forbidden():
                cited = ",".join(note.requirements)
                await reject_source(self._database, note.source_id, requirement=cited)
