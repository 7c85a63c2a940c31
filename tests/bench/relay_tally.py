"""What arrives at one sink or reader: every picture's mark is checked, every delay measured. Sans-IO."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from tests.bench.relay_stream import MARK, MARK_SIZE, STAMP_SIZE

WHOLE: Final = MARK_SIZE + STAMP_SIZE
_SOURCE: Final = slice(len(MARK), len(MARK) + 6)
_NUMBER: Final = slice(len(MARK) + 6, MARK_SIZE)
_STAMP: Final = slice(MARK_SIZE, WHOLE)


class Tally:
    """The pictures of one stream since the last `reset`.

    Args:
        source: whose pictures these must be.
        is_slow: whether this stream is read too slowly on purpose.
    """

    def __init__(self, source: int, *, is_slow: bool = False) -> None:
        self.source = source
        self.is_slow = is_slow
        self.pictures = 0
        self.missing = 0
        "Numbers passed over; a number that comes again or late counts as foreign."
        self.foreign = 0
        self.delays: list[float] = []
        "Seconds from a picture's first send to the arrival of its mark."
        self._last = -1
        self._rest = b""

    def reset(self) -> None:
        """Begin a window."""
        self.pictures = self.missing = self.foreign = 0
        self.delays.clear()

    def begin(self) -> bytes:
        """Return what must stand in front of the next chunk."""
        return self._rest

    def scan(self, data: bytes | bytearray, end: int, now: float) -> None:
        """Take in `data[:end]`, received at monotonic `now`, which begins with `begin()`."""
        at, found = 0, data.find(MARK, 0, end)
        while found >= 0 and found + WHOLE <= end:
            at = found + WHOLE
            self._take(bytes(data[found:at]), now)
            found = data.find(MARK, at, end)
        # A mark that has begun, or the bytes in which one may begin.
        begin = found if found >= 0 else max(at, end - len(MARK) + 1)
        self._rest = bytes(data[begin:end])

    def _take(self, text: bytes, now: float) -> None:
        number = int(text[_NUMBER])
        if int(text[_SOURCE]) != self.source or number <= self._last:
            self.foreign += 1
            return
        if self._last >= 0:
            self.missing += number - self._last - 1
        self._last = number
        self.pictures += 1
        self.delays.append(now - int(text[_STAMP]) / 1e6)


@dataclass(frozen=True)
class Arrived:
    """What arrived in a window, over all streams that were not slow on purpose."""

    streams: int = 0
    "With 10 pictures at least since they were connected, or in the window."
    pictures: int = 0
    missing: int = 0
    foreign: int = 0
    "Slow streams included: a foreign picture is wrong wherever it shows."
    p50: float = 0.0
    "Seconds."
    p99: float = 0.0
    slow_pictures: int = 0
    slow_missing: int = 0


def sum_up(tallies: Iterable[Tally]) -> Arrived:
    """Return what all of `tallies` hold."""
    every = list(tallies)
    fast = [tally for tally in every if not tally.is_slow]
    slow = [tally for tally in every if tally.is_slow]
    delays = sorted(delay for tally in fast for delay in tally.delays) or [0.0]
    return Arrived(
        streams=sum(tally.pictures >= 10 for tally in every),
        pictures=sum(tally.pictures for tally in fast),
        missing=sum(tally.missing for tally in fast),
        foreign=sum(tally.foreign for tally in every),
        p50=delays[len(delays) // 2],
        p99=delays[int(len(delays) * 0.99)],
        slow_pictures=sum(tally.pictures for tally in slow),
        slow_missing=sum(tally.missing for tally in slow),
    )
