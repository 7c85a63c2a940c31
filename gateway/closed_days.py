"""Closes local days while the gateway runs: each night the day before, days that are missing, and the day that goes on.

Of several gateways on one catalog each may do it; one at a time does. Nothing depends on when: a day that is closed
late, or twice, tells the same.
"""

import logging
from collections.abc import Collection
from datetime import date, datetime, timedelta
from typing import Final

from catalog.database import Database
from catalog.day_closing import DAY, Closing, DayClosing, first_day, kept_days
from catalog.errors import CatalogError, TransactionConflict
from catalog.model.rates import CountingRules
from catalog.reading import local_day, local_midnight
from gateway.clock import Clock

logger = logging.getLogger(__name__)

LOOK_EVERY: Final = 15.0
"""Seconds between two looks."""

SETTLES_AFTER: Final = timedelta(hours=1)
"""What is found out about a day within this time after its end needs no second telling."""

TODAY_EVERY: Final = 60.0
"""Seconds at least between two tellings of the day that goes on."""

TODAY_REST: Final = 50.0
"""It rests for so many times as long as it took: 2 % of a core."""

REST: Final = 4.0
"""The same after a day that is over: 20 % of a core until none is missing."""


def missing(over: Collection[date], first: date | None, now: datetime) -> list[date]:
    """Return the days that are over, have settled and are not closed, the newest first.

    Args:
        over: those that are closed.
        first: the first day of which there is anything to close; None without one.
        now: present instant.
    """
    if first is None:
        return []
    last = local_day(now - SETTLES_AFTER) - DAY
    days = (last - number * DAY for number in range((last - first).days + 1))
    return [day for day in days if day not in over]


class ClosedDays:
    """Closes days for as long as `run` runs."""

    def __init__(
        self, database: Database, rules: CountingRules, stale_after: timedelta, clock: Clock
    ) -> None:
        self._database = database
        self._closing = DayClosing(database, rules, stale_after)
        self._rules = rules
        self._clock = clock
        self._today_from = clock.monotonic()
        "From when on the day that goes on is told again."
        self._first: date | None = None
        "The first day of which there is anything to close: no source is born before it, and to look takes long."

    async def run(self) -> None:
        """Look every few seconds; runs until cancelled."""
        while True:
            try:
                rest = await self.look()
            except TransactionConflict:
                rest = LOOK_EVERY
            except CatalogError as error:
                logger.warning("days are not closed: %s", error, extra={"action": "days_wait"})
                rest = LOOK_EVERY
            await self._clock.sleep(rest)

    async def look(self) -> float:
        """Do what is next, one thing at a time, and return for how many seconds to rest.

        Raises:
            TransactionConflict: another gateway closes.
            DatabaseAway: no answer.
        """
        began, now = self._clock.monotonic(), self._clock.now()
        if await self._closing.mend(now=now):
            return self._passed(began) * REST
        if self._first is None:
            self._first = await first_day(self._database)
        days = missing(await self._over(), self._first, now)
        if days:
            _log(await self._closing.close(days[0], now=now), self._passed(began))
            return self._passed(began) * REST
        today = local_day(now)
        if began >= self._today_from and now > local_midnight(today):
            await self._closing.close(today, now=now)
            self._today_from = began + max(TODAY_EVERY, TODAY_REST * self._passed(began))
        return LOOK_EVERY

    def _passed(self, since: float) -> float:
        return self._clock.monotonic() - since

    async def _over(self) -> set[date]:
        """Return the days that are over, closed, and counted by the present rules."""
        cap = self._rules.maintenance_cap
        kept = await kept_days(self._database)
        return {each.day for each in kept if each.is_over and each.maintenance_cap == cap}


def _log(closing: Closing, seconds: float) -> None:
    logger.info(
        "the day %s is closed: %d sources, %d told singly, in %.1f s",
        closing.day,
        closing.sources,
        closing.told_singly,
        seconds,
        extra={"action": "day_closed"},
    )
