"""Half-open periods of time `[start, end)` and what is done with sets of them (status model, T-3)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

Periods = Sequence["Period"]
"""In order, and none touching the next, where a function here returned them."""


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """From `start` until before `end`, both aware."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.end <= self.start:
            raise ValueError(f"a period ends after its start: {self.start} to {self.end}")


def merged(periods: Iterable[Period]) -> list[Period]:
    """Return the union."""
    found: list[Period] = []
    for period in sorted(periods):
        if found and period.start <= found[-1].end:
            if period.end > found[-1].end:
                found[-1] = Period(found[-1].start, period.end)
        else:
            found.append(period)
    return found


def common(some: Periods, others: Periods) -> list[Period]:
    """Return the intersection of two unions."""
    found: list[Period] = []
    i = j = 0
    while i < len(some) and j < len(others):
        start, end = max(some[i].start, others[j].start), min(some[i].end, others[j].end)
        if start < end:
            found.append(Period(start, end))
        if some[i].end <= others[j].end:
            i += 1
        else:
            j += 1
    return found


def without(some: Periods, others: Periods) -> list[Period]:
    """Return what of the first union lies outside the second."""
    found: list[Period] = []
    j = 0
    for period in some:
        start = period.start
        while j < len(others) and others[j].end <= start:
            j += 1
        k = j
        while k < len(others) and others[k].start < period.end:
            if others[k].start > start:
                found.append(Period(start, others[k].start))
            start = max(start, others[k].end)
            k += 1
        if start < period.end:
            found.append(Period(start, period.end))
    return found


def total(periods: Iterable[Period]) -> timedelta:
    """Return the length of all of them together, which must not overlap."""
    return sum((period.end - period.start for period in periods), timedelta())
