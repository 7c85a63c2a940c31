"""Hear what other programs change: LISTEN on a channel over a connection of its own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from catalog.database import Database, RawConnection
from catalog.database_errors import translated
from catalog.errors import DatabaseAway

QUIET: Final = 30.0
"""Seconds without a notification after which the server is asked whether it is still there."""

ANSWER_TIMEOUT: Final = 5.0

MOST_PENDING: Final = 1_000
"""Different payloads that may wait; with more the listener has lost track and must start over."""


class Notifications:
    """The payloads of one channel, in order; equal ones that wait are given once."""

    def __init__(self, connection: RawConnection, place: str, quiet: float) -> None:
        self._connection = connection
        self._place = place
        self._quiet = quiet
        self._pending: dict[str, None] = {}
        self._changed = asyncio.Event()
        self._failure: str | None = None

    def notified(self, *event: object) -> None:
        """Take a notification in; asyncpg calls it with connection, pid, channel and payload."""
        if len(self._pending) >= MOST_PENDING:
            self._failure = f"more than {MOST_PENDING} notifications wait"
        else:
            self._pending[str(event[3])] = None
        self._changed.set()

    def terminated(self, *_: object) -> None:
        """Take in that the connection is gone."""
        self._failure = "the listening connection was closed"
        self._changed.set()

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        """Return the next payload.

        Raises:
            DatabaseAway: the connection is gone or notifications were lost: listen anew, then read everything.
        """
        while not self._pending or self._failure is not None:
            if self._failure is not None:
                raise DatabaseAway(f"{self._place}: {self._failure}")
            self._changed.clear()
            try:
                async with asyncio.timeout(self._quiet):
                    await self._changed.wait()
            except TimeoutError:
                with translated(self._place):
                    await self._connection.fetchval("SELECT 1", timeout=ANSWER_TIMEOUT)
        payload = next(iter(self._pending))
        del self._pending[payload]
        return payload


@asynccontextmanager
async def listen(database: Database, channel: str, *, quiet: float = QUIET) -> AsyncIterator[Notifications]:
    """Listen on `channel`; what is notified after the block is entered is heard, so read the tables inside it.

    Raises:
        DatabaseAway: no connection.
    """
    async with database.raw_connection() as connection:
        notifications = Notifications(connection, database.place, quiet)
        connection.add_termination_listener(notifications.terminated)
        try:
            # The connection has no limit of its own, and a dead line would never answer.
            async with asyncio.timeout(ANSWER_TIMEOUT):
                await connection.add_listener(channel, notifications.notified)
            yield notifications
        finally:
            connection.remove_termination_listener(notifications.terminated)
