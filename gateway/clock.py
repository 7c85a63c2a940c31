"""The clock that everything else is given: monotonic seconds, wall time and sleep."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Tell time and wait; tests move a hand-made one."""

    def monotonic(self) -> float:
        """Return seconds since an arbitrary point; never steps."""
        ...

    def now(self) -> datetime:
        """Return the wall time, timezone-aware UTC; may step with the system's clock."""
        ...

    async def sleep(self, duration: float) -> None:
        """Wait `duration` seconds of monotonic time."""
        ...


class SystemClock:
    """The machine's own clock."""

    def monotonic(self) -> float:
        """Return `time.monotonic()`, the same clock as the event loop's `time()`."""
        return time.monotonic()

    def now(self) -> datetime:
        """Return the wall time in UTC."""
        return datetime.now(UTC)

    async def sleep(self, duration: float) -> None:
        """Wait `duration` seconds."""
        await asyncio.sleep(duration)
