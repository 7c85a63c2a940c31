"""Which sources of another gateway are due to be asked, and which of them answer. Sans-IO: monotonic seconds go in.

There is no unknown here and no offline: a time of answers begins with one and ends when none came for so long that the
gateway that looks after the source would count it as lost, too.
"""

import heapq
from collections.abc import Collection


class SecondWatch:
    """The sources that are asked, and since when each answers."""

    def __init__(self, interval: float, misses: int) -> None:
        """Begin with none.

        Args:
            interval: seconds between two questions to a source.
            misses: so many intervals without an answer end its time.
        """
        self._interval = interval
        self._gone_after = interval * misses
        self._queue: list[tuple[float, int]] = []
        self._due: dict[int, float] = {}
        self._answered: dict[int, float] = {}
        "When each of those that answer did so last."

    def __len__(self) -> int:
        return len(self._answered)

    def follow(self, sources: Collection[int], now: float) -> dict[int, float]:
        """Ask these and no others; return those that are asked no more, each with when its time of answers ended."""
        wanted = set(sources)
        for source_id in [each for each in self._due if each not in wanted]:
            del self._due[source_id]
        for source_id in wanted - self._due.keys():
            # Spread over one interval: not all in the same second after a start.
            spread = (source_id * 2_654_435_761 % 4096) / 4096 * self._interval
            self._book(source_id, now + spread)
        return self._end([source_id for source_id in self._answered if source_id not in wanted], now)

    def begin_anew(self) -> None:
        """Know of no answers: the next one of each source begins a time."""
        self._answered.clear()

    def due(self, now: float, limit: int) -> list[int]:
        """Return at most `limit` sources to ask now, and book their next turn."""
        chosen: list[int] = []
        while self._queue and self._queue[0][0] <= now and len(chosen) < limit:
            due, source_id = heapq.heappop(self._queue)
            if self._due.get(source_id) != due:
                continue  # asked no more, or booked anew
            self._book(source_id, now + self._interval)
            chosen.append(source_id)
        return chosen

    def attempted(self, source_id: int, at: float) -> None:
        """Note that a question was sent: nothing follows from it here."""

    def answered(self, source_id: int, at: float) -> bool:
        """Take in an answer; tell whether a time of answers begins with it."""
        if source_id not in self._due:
            return False
        begins = source_id not in self._answered
        self._answered[source_id] = max(at, self._answered.get(source_id, at))
        return begins

    def expired(self, now: float) -> dict[int, float]:
        """Return the sources that answer no more, each with when its time ended: the last answer plus one interval."""
        silent = [source_id for source_id, at in self._answered.items() if now - at >= self._gone_after]
        return self._end(silent, now)

    def _end(self, sources: Collection[int], now: float) -> dict[int, float]:
        return {source_id: min(now, self._answered.pop(source_id) + self._interval) for source_id in sources}

    def _book(self, source_id: int, at: float) -> None:
        self._due[source_id] = at
        heapq.heappush(self._queue, (at, source_id))
