"""Which worker carries which relay: where a new one goes, and which one moves when the load is uneven; pure.

A move is a reconnect: the camera is left and pulled anew, some seconds of video are lost. So it happens only when
one worker is much busier than another for a while, for one relay at a time, and never to and fro.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from adapters.base import SourceKey

TIE: Final = 0.05
"""Share of a core within which two workers count as equally busy."""
RELAY_BUSY: Final = 0.002
"""Share of a core that is expected of a relay without media yet: 1.1 to 1.8 ms a stream-second at 4 Mbit/s."""
RELAY_BITRATE: Final = 4_000_000
"""Bits a second that are expected of it."""


@dataclass(frozen=True, slots=True)
class RebalancingRules:
    """When a relay is moved; shares of a core and seconds."""

    busy: float = 0.5
    "A worker below it needs no relief."
    uneven: float = 0.25
    "Difference of the shares of two workers that is too much, once it lasts."
    lasting: float = 60.0
    "How long it must last, and between two moves."
    settled: float = 600.0
    "How long a relay stays where it was placed, at least."


@dataclass(frozen=True, slots=True)
class WorkerLoad:
    """How busy one worker is."""

    index: int
    pid: int | None
    "None while the process is being replaced."
    relays: int
    fresh: int
    "Those of them that deliver no media now, or none yet."
    bitrate: int
    "Bits a second received."
    busy: float
    "CPU time a second, smoothed: 1.0 is a whole core."


@dataclass(frozen=True, slots=True)
class Candidate:
    """A relay that may be moved: it plays, is no verification, and was placed long enough ago."""

    source_id: SourceKey
    bitrate: int


@dataclass(frozen=True, slots=True)
class Move:
    """One relay that goes to another worker."""

    source_id: SourceKey
    origin: int
    target: int


def place(loads: Sequence[WorkerLoad]) -> int:
    """Return the index of the worker that a new relay goes to: of the least busy the one that receives least."""
    least = min(map(_expected, loads))
    near = [load for load in loads if _expected(load) <= least + TIE]
    return min(
        near, key=lambda each: (each.bitrate + each.fresh * RELAY_BITRATE, each.relays, each.index)
    ).index


def _expected(load: WorkerLoad) -> float:
    return load.busy + load.fresh * RELAY_BUSY


class Rebalancing:
    """Watches the loads and names a relay to move, at most one in `rules.lasting` seconds."""

    def __init__(self, rules: RebalancingRules | None = None) -> None:
        self.rules = rules or RebalancingRules()
        self._uneven: tuple[int, float] | None = None
        "The worker that is too busy, and since when."

    def look(
        self, loads: Iterable[WorkerLoad], candidates: Callable[[int], Iterable[Candidate]], now: float
    ) -> Move | None:
        """Return the move that is due at monotonic `now`, or None.

        Args:
            loads: of all workers.
            candidates: what may be moved away from the worker of an index.
            now: monotonic.
        """
        alive = [load for load in loads if load.pid is not None]
        busiest = max(alive, key=lambda each: each.busy, default=None)
        calmest = min(alive, key=lambda each: each.busy, default=None)
        if busiest is None or calmest is None:
            return None
        gap = busiest.busy - calmest.busy
        if busiest.busy < self.rules.busy or gap < self.rules.uneven:
            self._uneven = None
            return None
        if self._uneven is None or self._uneven[0] != busiest.index:
            self._uneven = (busiest.index, now)
        if now - self._uneven[1] < self.rules.lasting:
            return None
        self._uneven = (busiest.index, now)
        chosen = _heaviest_that_fits(busiest, gap, candidates(busiest.index))
        return None if chosen is None else Move(chosen.source_id, busiest.index, calmest.index)


def _heaviest_that_fits(origin: WorkerLoad, gap: float, candidates: Iterable[Candidate]) -> Candidate | None:
    """Return the candidate whose share of the load is the largest up to half the gap: more would turn it round."""
    if origin.bitrate <= 0:
        return None
    most = origin.bitrate * (gap / 2) / origin.busy
    fitting = [each for each in candidates if 0 < each.bitrate <= most]
    return max(fitting, key=lambda each: each.bitrate, default=None)
