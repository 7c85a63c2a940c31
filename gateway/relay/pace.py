"""How often a connection is read: at once, or on a tick where its peer sends every packet by itself.

A camera that writes each RTP packet on its own costs one wake-up, one read and one write a packet, 400 a second and
stream, and that is three quarters of the CPU. Read on a tick, ten packets come in one piece, as from a camera that
writes whole pictures. The price is the tick's length in delay, so only those are read so who need it.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

TICK: Final = 0.01
"""Seconds between two rounds."""
SAMPLE: Final = 64
"""Reads that are looked at before it is decided."""
SMALL: Final = 3000
"""Bytes of a read, in the mean of a sample, below which the peer sends packets singly: two Ethernet frames."""
FAST: Final = 1.0
"""Seconds in which a sample must come in: what sends little costs little, and waits for nothing."""
TRUSTED: Final = 60.0
"""Seconds after which it is looked anew whether the tick is still needed."""


class Pausable(Protocol):
    """A transport whose reading can rest."""

    def pause_reading(self) -> None:
        """Read no more."""
        ...

    def resume_reading(self) -> None:
        """Read again."""
        ...

    def is_closing(self) -> bool:
        """Return whether it is of no further use."""
        ...


class ReadTick:
    """The worker's tick: lets all connections that rest read again, together."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._resting: list[Pausable] = []
        self._timer: asyncio.TimerHandle | None = None

    def rest(self, transport: Pausable) -> None:
        """Let `transport` read nothing until the next round."""
        transport.pause_reading()
        self._resting.append(transport)
        if self._timer is None:
            self._timer = self._loop.call_later(TICK, self._round)

    def close(self) -> None:
        """Let everybody read, and tick no more."""
        if self._timer is not None:
            self._timer.cancel()
        self._round()

    def _round(self) -> None:
        self._timer = None
        resting, self._resting = self._resting, []
        for transport in resting:
            if not transport.is_closing():
                transport.resume_reading()


class Pace:
    """Decide for one connection, by what it brings, whether it rests between two reads. Sans-IO.

    Args:
        rest: lets the connection rest until the next tick.
    """

    def __init__(self, rest: Callable[[], None]) -> None:
        self._rest = rest
        self._reads = 0
        self._bytes = 0
        self._since = 0.0
        self.is_resting = False
        "Whether it is read on the tick now."

    def read(self, size: int, now: float) -> None:
        """Take in that `size` bytes were read at monotonic `now`."""
        if self.is_resting:
            if now - self._since < TRUSTED:
                self._rest()
                return
            self.is_resting, self._reads = False, 0
        if not self._reads:
            self._since, self._bytes = now, 0
        self._reads += 1
        self._bytes += size
        if self._reads == SAMPLE:
            self.is_resting = self._bytes < SAMPLE * SMALL and now - self._since < FAST
            self._since, self._reads = now, 0
