"""Wall time that never runs backwards, whatever is done to the system's clock.

Intervals of the status history must never be negative nor count a second twice (status model T-3, E6), yet the
times in it are wall times. So a forward step is followed at once, and after a backward step this clock runs at half
speed until the system's clock has caught up.
"""

import logging
from datetime import datetime, timedelta
from typing import Final

from gateway.clock import Clock

logger = logging.getLogger(__name__)

STEP: Final = 2.0
"""Seconds of disagreement between wall and monotonic time that count as a step."""

SLEW: Final = 0.5
"""Speed while waiting for a clock that was set back."""


class SteadyTime:
    """Turn monotonic instants into wall time, UTC."""

    def __init__(self, clock: Clock, *, not_before: datetime | None = None) -> None:
        """Begin at the system's time, or at `not_before` where the catalog already holds a later instant."""
        self._clock = clock
        self._monotonic = clock.monotonic()
        self._wall = max(clock.now(), not_before) if not_before else clock.now()
        self._offset = self._real_offset()
        ahead = (self._wall - clock.now()).total_seconds()
        if ahead > STEP:
            logger.error(
                "the history holds instants %.0f s ahead of the system clock: one of them is wrong, and until the "
                "clock has caught up time is told at half speed",
                ahead,
                extra={"action": "clock_behind_history"},
            )

    def _real_offset(self) -> float:
        return self._clock.now().timestamp() - self._clock.monotonic()

    def now(self) -> datetime:
        """Return the present steady wall time."""
        monotonic, real = self._clock.monotonic(), self._clock.now()
        elapsed = max(0.0, monotonic - self._monotonic)
        offset = real.timestamp() - monotonic
        if abs(offset - self._offset) > STEP:
            logger.warning(
                "the system clock was stepped by %+.1f s; no status changes by it",
                offset - self._offset,
                extra={"action": "clock_step"},
            )
        self._offset = offset
        expected = self._wall + timedelta(seconds=elapsed)
        if real >= expected:
            self._wall = real
        else:
            self._wall = max(real, self._wall + timedelta(seconds=elapsed * SLEW))
        self._monotonic = monotonic
        return self._wall

    def at(self, monotonic: float) -> datetime:
        """Return the wall time of a past monotonic instant, counted back from now."""
        return self.now() - timedelta(seconds=max(0.0, self._monotonic - monotonic))
