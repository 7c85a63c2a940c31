"""Hears what other gateways see of our sources: one that any of them sees is online (4.7, E14).

Only of sources that did not answer us: all others need no witness.
"""

import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import Final, Protocol

from catalog.database import Database
from catalog.errors import CatalogError
from catalog.second_sight import seen_elsewhere
from gateway.clock import Clock

logger = logging.getLogger(__name__)

SEEN_ELSEWHERE: Final = "seen_elsewhere"
"""Why a source counts as alive that did not answer us."""

LOOK_EVERY: Final = 5.0
"""Seconds between two looks."""


class DoubtfulStatus(Protocol):
    """What of the status this asks and tells; `gateway.status.StatusService` is one."""

    def doubtful(self) -> Sequence[int]:
        """Return the connected sources that did not answer us last."""
        ...

    def alive(self, source_id: int, *, at: float, cause: str | None = None) -> None:
        """Take in a sign of life."""
        ...


class Witnesses:
    """Asks what others see, for as long as `run` runs."""

    def __init__(
        self,
        database: Database,
        status: DoubtfulStatus,
        clock: Clock,
        *,
        stale_after: timedelta,
        gone_after: timedelta,
    ) -> None:
        """Prepare; `gone_after` is the silence after which a gateway counts a source as gone."""
        self._database = database
        self._status = status
        self._clock = clock
        self._stale_after = stale_after
        self._gone_after = gone_after

    async def run(self) -> None:
        """Look every few seconds; runs until cancelled."""
        while True:
            try:
                await self.look()
            except CatalogError as error:
                logger.warning("what others see is not known: %s", error, extra={"action": "witnesses_wait"})
            await self._clock.sleep(LOOK_EVERY)

    async def look(self) -> None:
        """Take what other gateways see now as signs of life.

        Raises:
            DatabaseAway: no answer.
        """
        doubtful = self._status.doubtful()
        if not doubtful:
            return
        seen = await seen_elsewhere(
            self._database,
            doubtful,
            now=self._clock.now(),
            stale_after=self._stale_after,
            gone_after=self._gone_after,
        )
        at = self._clock.monotonic()
        for source_id in seen:
            self._status.alive(source_id, at=at, cause=SEEN_ELSEWHERE)
