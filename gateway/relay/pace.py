"""How often a connection is read: at once, or on a tick where its peer sends every packet by itself.

A camera that writes each RTP packet on its own costs one wake-up, one read and one write a packet, 400 a second and
stream, and that is three quarters of the CPU. Read on a tick, four packets come in one piece, as from a camera that
writes whole pictures. The price is the tick's length in delay, so only those are read so who need it.
"""

import asyncio
import select
from collections.abc import Callable
from typing import Final

TICK: Final = 0.01
"""Seconds between two rounds of reading: far cheaper than a wake-up per packet, and little delay."""
SAMPLE: Final = 64
"""Reads that are looked at before it is decided."""
SMALL: Final = 3000
"""Bytes of a read, in the mean of a sample, below which the peer sends packets singly: two Ethernet frames."""
FAST: Final = 1.0
"""Seconds in which a sample must come in: what sends little costs little, and waits for nothing."""
TRUSTED: Final = 60.0
"""Seconds after which it is looked anew whether the tick is still needed."""


class ReadTick:
    """Ask the kernel once per tick which of the worker's sockets that are read on it have something."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._poll = select.epoll()
        self._readers: dict[int, Callable[[], None]] = {}
        self._again: set[int] = set()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, fd: int, read: Callable[[], None]) -> None:
        """Call `read` in each round in which `fd` has something to read."""
        self._poll.register(fd, select.EPOLLIN)
        self._readers[fd] = read
        if self._timer is None:
            self._timer = self._loop.call_later(TICK, self._round)

    def again(self, fd: int) -> None:
        """Call the `read` of `fd` in the next round, even if it has nothing."""
        self._again.add(fd)

    def remove(self, fd: int) -> None:
        """Forget `fd`, before it is closed."""
        self._again.discard(fd)
        if self._readers.pop(fd, None) is not None:
            self._poll.unregister(fd)

    def close(self) -> None:
        """Stop ticking."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._readers.clear()
        self._poll.close()

    def _round(self) -> None:
        self._timer = self._loop.call_later(TICK, self._round) if self._readers else None
        ready = {fd for fd, _ in self._poll.poll(0)} | self._again
        self._again.clear()
        for fd in ready:
            read = self._readers.get(fd)
            if read is not None:
                # In a callback of its own: a bug in one session's reading leaves the others their round.
                self._loop.call_soon(read)


class Pace:
    """Decide for one connection, by what it brings, whether it is read on the tick. Sans-IO."""

    def __init__(self) -> None:
        self._reads = 0
        self._bytes = 0
        self._since = 0.0
        self.is_ticked = False
        "Whether it is to be read on the tick now."

    def read(self, size: int, now: float) -> bool:
        """Take in that `size` bytes were read at monotonic `now`; return whether `is_ticked` has changed."""
        if self.is_ticked:
            if now - self._since < TRUSTED:
                return False
            self.is_ticked, self._reads = False, 0
            return True
        if not self._reads:
            self._since, self._bytes = now, 0
        self._reads += 1
        self._bytes += size
        if self._reads < SAMPLE:
            return False
        self.is_ticked = self._bytes < SAMPLE * SMALL and now - self._since < FAST
        self._since, self._reads = now, 0
        return self.is_ticked
