"""Shows approved windows while they last: brings the live status in line with what was approved.

What is counted never depends on this: reports read the approvals themselves.
"""

import logging
from datetime import datetime
from typing import Final, Protocol

from catalog.database import Database
from catalog.errors import CatalogError
from catalog.model.display import SuspendedReason
from catalog.suspensions import InForce, in_force
from gateway.clock import Clock

logger = logging.getLogger(__name__)

LOOK_EVERY: Final = 5.0
"""Seconds between two looks."""


class SuspendedStatus(Protocol):
    """What of the status this tells; `gateway.status.StatusService` is one."""

    def suspended(self, source_id: int, reason: SuspendedReason | None, *, at: datetime) -> None:
        """Take in that a window began or ended."""
        ...

    def suspensions(self) -> dict[int, SuspendedReason]:
        """Return which sources are suspended now, and why."""
        ...


class Suspensions:
    """Follows the windows of one gateway's sources for as long as `run` runs."""

    def __init__(self, database: Database, gateway_id: str, status: SuspendedStatus, clock: Clock) -> None:
        self._database = database
        self._gateway_id = gateway_id
        self._status = status
        self._clock = clock

    async def run(self) -> None:
        """Look every few seconds; runs until cancelled."""
        while True:
            try:
                await self.look()
            except CatalogError as error:
                logger.warning("suspensions wait: %s", error, extra={"action": "suspensions_wait"})
            await self._clock.sleep(LOOK_EVERY)

    async def look(self) -> None:
        """Bring the status in line with what is approved now.

        Raises:
            DatabaseAway: no answer.
        """
        now = self._clock.now()
        windows = await in_force(self._database, self._gateway_id, at=now)
        going_on: dict[int, InForce] = {}
        for window in windows:
            if window.period.end > now:
                # Of several the one that began first is shown.
                going_on.setdefault(window.source_id, window)
        for source_id in self._status.suspensions():
            if source_id not in going_on:
                self._status.suspended(source_id, None, at=_end(windows, source_id, now))
        for source_id, window in going_on.items():
            self._status.suspended(source_id, window.reason, at=window.period.start)


def _end(windows: list[InForce], source_id: int, now: datetime) -> datetime:
    """Return when the last window of a source ended; now, where it was withdrawn and there is none."""
    ends = [
        window.period.end for window in windows if window.source_id == source_id and window.period.end <= now
    ]
    return max(ends, default=now)
