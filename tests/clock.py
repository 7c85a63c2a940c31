"""A clock that moves by hand."""

import asyncio
from datetime import UTC, datetime, timedelta


class HandClock:
    """Monotonic and wall time under the test's control; sleeping moves them."""

    def __init__(
        self, now: datetime = datetime(2026, 11, 21, 12, tzinfo=UTC), monotonic: float = 1000.0
    ) -> None:
        self._now = now
        self._monotonic = monotonic

    def monotonic(self) -> float:
        return self._monotonic

    def now(self) -> datetime:
        return self._now

    async def sleep(self, duration: float) -> None:
        self.advance(duration)
        await asyncio.sleep(0)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._monotonic += seconds
        self._now += timedelta(seconds=seconds)

    def step(self, seconds: float) -> None:
        """Set the wall clock forward or back, as an administrator or NTP would."""
        self._now += timedelta(seconds=seconds)
