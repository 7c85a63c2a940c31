# ruff: noqa: T201
"""What the relay's benchmark measured, in lines and ratios, and how noisy the machine was."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Final

from tests.bench.relay_cases import Case
from tests.bench.relay_processes import Talker, cpu_of, family, idle, resident_of
from tests.bench.relay_tally import Arrived

MOST_LATE: Final = 0.010
"""Seconds by which the sources' sends may be late at p99 before delays say nothing of the contender."""
MOST_BUSY: Final = 0.9
"""Part of a core that an end may use, likewise: each is one thread."""
LEAST_IDLE: Final = 0.02
"""Part of the machine that must be idle, likewise."""
_LOOPS: Final = 400_000


@dataclass(frozen=True)
class Window:
    """One contender in one window."""

    streams: int
    outgoing: int
    seconds: float
    cpu: float
    "CPU seconds of all its processes."
    resident: float
    "Megabytes."
    processes: int
    source_cpu: float
    taker_cpu: float
    late: float
    "Seconds by which the sources' sends were late, p99."
    lost_marks: int
    idle: float
    "Part of the whole machine."
    arrived: Arrived
    dropped: int | None

    @property
    def cost(self) -> float:
        """Return CPU milliseconds for a second of one stream (of one reader in a fan-out)."""
        return self._per_stream(self.cpu)

    @property
    def ends_cost(self) -> tuple[float, float]:
        """Return the same of the sources' and of the takers' process."""
        return self._per_stream(self.source_cpu), self._per_stream(self.taker_cpu)

    @property
    def void(self) -> str:
        """Return why the delays say nothing of the contender; empty when they do."""
        if self.source_cpu > MOST_BUSY * self.seconds or self.taker_cpu > MOST_BUSY * self.seconds:
            return "an end used its whole core"
        if self.late > MOST_LATE:
            return f"sources {1000 * self.late:.0f} ms late"
        return "no idle CPU" if self.idle < LEAST_IDLE else ""

    def _per_stream(self, cpu: float) -> float:
        return 1000 * cpu / (self.outgoing * self.seconds)


@dataclass(frozen=True)
class Sample:
    """Counters at one instant."""

    at: float
    cpu: float
    source_cpu: float
    taker_cpu: float
    idle: tuple[int, int]

    @classmethod
    def take(cls, pids: Sequence[int], source: Talker, taker: Talker) -> "Sample":
        """Return the counters now, of `pids` and all their children."""
        return cls(time.monotonic(), cpu_of(family(pids)), cpu_of([source.pid]), cpu_of([taker.pid]), idle())

    def window(self, after: "Sample", pids: Sequence[int], streams: int, outgoing: int) -> "Window":
        """Return what passed until `after`; arrivals are still to be filled in."""
        passed = after.idle[1] - self.idle[1]
        processes = family(pids)
        return Window(
            streams=streams,
            outgoing=outgoing,
            seconds=after.at - self.at,
            cpu=after.cpu - self.cpu,
            resident=resident_of(processes),
            processes=len(processes),
            source_cpu=after.source_cpu - self.source_cpu,
            taker_cpu=after.taker_cpu - self.taker_cpu,
            late=0.0,
            lost_marks=0,
            idle=(after.idle[0] - self.idle[0]) / passed if passed else 0.0,
            arrived=Arrived(),
            dropped=None,
        )


Results = dict[str, list[Window]]
"""Of one case: the windows of each contender, or none where it could not do it."""


def print_case(case: Case, results: Results) -> None:
    """Print a line, and one on its circumstances, for each contender of a case."""
    unit = "reader" if case.readers > 1 else "stream"
    print(f"\n{case}")
    for name, windows in results.items():
        if windows:
            _print_contender(name, windows, unit)
        else:
            print(f"  {name:10} not measured")


def _print_contender(name: str, windows: list[Window], unit: str) -> None:
    costs = [window.cost for window in windows]
    arrived = [window.arrived for window in windows]
    # Delays of windows in which the ends were short of CPU count only when there are no others.
    fair = [window.arrived for window in windows if not window.void] or arrived
    dropped = [window.dropped for window in windows if window.dropped is not None]
    resident = mean(window.resident / window.outgoing for window in windows)
    print(
        f"  {name:10} K={windows[0].streams:<4} {mean(costs):6.2f} ms CPU/{unit}-s"
        f" [{' '.join(f'{cost:.2f}' for cost in costs)}]"
        f" {resident:6.2f} MB/{unit}"
        f"  delay p50/p99 {_milliseconds([each.p50 for each in fair])}"
        f"/{_milliseconds([each.p99 for each in fair])} ms"
        f"  {sum(each.pictures for each in arrived)} checked,"
        f" {sum(each.missing for each in arrived)} missing,"
        f" {sum(dropped) if dropped else '-'} dropped, {sum(each.foreign for each in arrived)} foreign"
    )
    source, taker = (mean(window.ends_cost[i] for window in windows) for i in range(2))
    notes = [
        f"{windows[0].processes} processes",
        f"ends {source:.2f} + {taker:.2f} ms/{unit}-s",
        f"sources late p99 {_milliseconds([window.late for window in windows])} ms",
        f"idle {mean(window.idle for window in windows):.0%}",
    ]
    if lost := sum(window.lost_marks for window in windows):
        notes.append(f"{lost} marks lost on the way in")
    if slow := sum(each.slow_pictures for each in arrived):
        notes.append(f"slow sinks: {slow} pictures, {sum(each.slow_missing for each in arrived)} missing")
    if void := [window.void for window in windows if window.void]:
        text = "DELAY VOID" if len(void) == len(windows) else f"delay void in {len(void)} of {len(windows)}"
        notes.append(f"{text}: {', '.join(void)}")
    print(f"  {'':10} {'; '.join(notes)}")


def _milliseconds(seconds: list[float]) -> str:
    low, high = 1000 * min(seconds), 1000 * max(seconds)
    return f"{low:.1f}" if high - low < 0.1 else f"{low:.1f}-{high:.1f}"


def print_ratios(results: dict[str, Results]) -> None:
    """Print what each contender costs in each case, beside Muster."""
    names = list(dict.fromkeys(name for each in results.values() for name in each))
    others = [name for name in names if name not in ("muster", "direct")]
    print(f"\n{'CPU, times Muster':18}" + "".join(f"{name:>12}" for name in others) + f"{'spread':>10}")
    for case, each in results.items():
        ours = each.get("muster")
        if ours:
            cells = "".join(f"{_ratio(each.get(name), ours):>12}" for name in others)
            print(f"{case:18}{cells}{_spread(ours):>10.0%}")


def _ratio(theirs: list[Window] | None, ours: list[Window]) -> str:
    if not theirs:
        return "-"
    return f"{mean(window.cost for window in theirs) / mean(window.cost for window in ours):.1f}"


def _spread(windows: list[Window]) -> float:
    costs = [window.cost for window in windows]
    return (max(costs) - min(costs)) / mean(costs)


def calibrate() -> tuple[float, float]:
    """Return CPU and wall milliseconds of a fixed loop: how fast and how free a core is now."""
    began, cpu = time.perf_counter(), time.thread_time()
    total = 0
    for number in range(_LOOPS):
        total += number & 0xFF
    return 1000 * (time.thread_time() - cpu), 1000 * (time.perf_counter() - began)
