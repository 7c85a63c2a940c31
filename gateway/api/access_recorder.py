"""The access log's writer: rows are committed in batches before their calls are answered.

Starts no task: of the calls that wait, one commits for all. While the database is away the rows wait here, in
order and bounded; when there is no room left, calls are refused rather than answered without a record.
"""

import asyncio
import logging
from typing import Final

from catalog.access import AccessEntry, AccessLog, Role
from catalog.errors import CatalogError
from gateway.clock import Clock

logger = logging.getLogger(__name__)

ROOM: Final = 20_000
"""Rows that wait for the database at most."""

PUBLIC_ROOM: Final = ROOM // 2
"""Rows after which anonymous calls are refused, so that they cannot shut out the police."""

BATCH: Final = 1_000

RETRY: Final = 3.0
"""Seconds between two attempts while the database is away."""


class AccessLogFull(Exception):
    """Raised when a call cannot be recorded, so it must not be answered."""


class AccessRecorder:
    """Records calls."""

    def __init__(self, log: AccessLog, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._waiting: list[AccessEntry] = []
        self._committed = 0
        self._taken = 0
        self._writing = asyncio.Lock()
        self._retry_at = float("-inf")
        self._is_full = False

    @property
    def waiting(self) -> int:
        """Return how many rows wait for the database."""
        return len(self._waiting)

    def require_room(self, role: Role) -> None:
        """Refuse a call that could not be recorded; to be asked before its work begins.

        Raises:
            AccessLogFull: there is no room.
        """
        limit = PUBLIC_ROOM if role is Role.PUBLIC else ROOM
        if len(self._waiting) < limit:
            return
        if not self._is_full:
            self._is_full = True
            logger.error(
                "the access log holds %d rows that cannot be written: calls are refused until the database is back",
                len(self._waiting),
                extra={"action": "access_log_full"},
            )
        raise AccessLogFull

    async def record(self, entry: AccessEntry) -> None:
        """Return when the row is committed, or waits because the database is away."""
        self._waiting.append(entry)
        self._taken += 1
        number = self._taken
        if self._clock.monotonic() < self._retry_at:
            return
        async with self._writing:
            # Whoever held the lock before may have committed this row with its own.
            if self._committed < number and self._clock.monotonic() >= self._retry_at:
                await self._write()

    async def flush(self) -> None:
        """Write what waits; while the database is away it goes on waiting."""
        if self._waiting:
            async with self._writing:
                await self._write()

    async def _write(self) -> None:
        while self._waiting:
            batch = self._waiting[:BATCH]
            try:
                await self._log.append(batch)
            except CatalogError as error:
                # Not only an absent server: whatever keeps the rows from being written, they must wait.
                if self._retry_at < self._clock.monotonic() - 10 * RETRY:
                    logger.warning(
                        "the access log waits for the database: %s",
                        error,
                        extra={"action": "access_log_waits"},
                    )
                self._retry_at = self._clock.monotonic() + RETRY
                return
            del self._waiting[: len(batch)]
            self._committed += len(batch)
        self._is_full = False
