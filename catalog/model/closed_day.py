"""One local day of one source, closed: accounts of days that add up to the account of a period (status model 4.5).

Times add up over days as they stand. Counts do not: a source that is bound on thirty days is one source, and an outage
that lasts over midnight is one outage. So a day tells beside its account who left at its end, and what of it an earlier
day had told already; a period tells what its last day shows, with those who left before, and nothing twice.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from types import MappingProxyType
from typing import Final

from catalog.model.connectivity import State
from catalog.model.history import Span
from catalog.model.period import Period, Periods, common
from catalog.model.rates import Account, CountingRules, Duty, Laid, account, bound_by, midnight, seen

_DAY: Final = timedelta(days=1)
_TICK: Final = timedelta(microseconds=1)


@dataclass(frozen=True)
class Standing:
    """How some sources stood at the end of a day, or when they were bound last; `+` and `-` go field by field."""

    sources: int = 0
    connected: int = 0
    hidden: int = 0
    online: int = 0
    intact: int = 0

    @classmethod
    def of(cls, account: Account) -> "Standing":
        """Return what an account tells of its end."""
        return cls(account.sources, account.connected, account.hidden, account.online, account.intact)

    def __add__(self, other: "Standing") -> "Standing":
        return Standing(
            self.sources + other.sources,
            self.connected + other.connected,
            self.hidden + other.hidden,
            self.online + other.online,
            self.intact + other.intact,
        )

    def __sub__(self, other: "Standing") -> "Standing":
        return Standing(
            self.sources - other.sources,
            self.connected - other.connected,
            self.hidden - other.hidden,
            self.online - other.online,
            self.intact - other.intact,
        )


@dataclass(frozen=True)
class Told:
    """What of a day an earlier day has told already."""

    outages: int = 0
    "That counted last on the earlier day."
    standing: Standing = field(default_factory=Standing)
    "Of sources that were bound last on the earlier day, and not on those between."

    def __add__(self, other: "Told") -> "Told":
        return Told(self.outages + other.outages, self.standing + other.standing)


@dataclass(frozen=True)
class ClosedDay:
    """A day of one source, or of many together; `+` adds sources."""

    account: Account = field(default_factory=Account)
    left: Standing = field(default_factory=Standing)
    "Those whom no duty binds any more as the next day begins."
    told: Mapping[date, Told] = field(default_factory=lambda: MappingProxyType({}))
    "By the earlier day."

    def __add__(self, other: "ClosedDay") -> "ClosedDay":
        return ClosedDay(
            self.account + other.account,
            self.left + other.left,
            {
                day: self.told.get(day, Told()) + other.told.get(day, Told())
                for day in {*self.told, *other.told}
            },
        )


@dataclass(frozen=True)
class Lived:
    """A source's history, as far as a day's account follows from it."""

    duties: Sequence[Duty]
    existed: Period
    states: Sequence[Span]
    laid: Sequence[Laid]


def close(lived: Lived, day: date, until: datetime, rules: CountingRules) -> ClosedDay | None:
    """Return one day of a source; None where no duty bound it.

    Args:
        lived: the history, back to where a time of being offline that reaches into the day began.
        day: the local day.
        until: its end, or the instant up to which it is told.
        rules: how it is counted.
    """
    start, following = midnight(day, rules.zone), midnight(day + _DAY, rules.zone)
    period = Period(start, min(until, following))
    own = account(lived.duties, lived.existed, lived.states, lived.laid, period, rules)
    if not own.sources:
        return None
    bound = bound_by(lived.duties, lived.existed, rules.zone)
    told: dict[date, Told] = {}
    carried = next((span for span in lived.states if _reaches_into(span, start)), None)
    if carried is not None and _offline(lived, carried, period, rules):
        before = _offline(lived, carried, Period(carried.start, start), rules)
        if before:
            told[_last_day(before, rules)] = Told(outages=1)
    earlier = [each for each in bound if each.start < start]
    if earlier and earlier[-1].end < start:
        back_on = _last_day(earlier, rules)
        left = Period(midnight(back_on, rules.zone), midnight(back_on + _DAY, rules.zone))
        stood = Standing.of(account(lived.duties, lived.existed, lived.states, lived.laid, left, rules))
        told[back_on] = told.get(back_on, Told()) + Told(standing=stood)
    goes_on = any(each.start <= following < each.end for each in bound)
    return ClosedDay(own, Standing() if goes_on else Standing.of(own), told)


def over(days: Iterable[tuple[date, ClosedDay]], first: date, last: date) -> Account:
    """Return the account of the period from the first day to the last, both included; other days do not count."""
    whole, standing, outages = Account(), Standing(), 0
    for day, closed in days:
        if not first <= day <= last:
            continue
        whole += closed.account
        standing += Standing.of(closed.account) if day == last else closed.left
        for back_on, already in closed.told.items():
            if first <= back_on:
                standing -= already.standing
                outages += already.outages
    return replace(
        whole,
        sources=standing.sources,
        connected=standing.connected,
        hidden=standing.hidden,
        online=standing.online,
        intact=standing.intact,
        outages=whole.outages - outages,
    )


def _reaches_into(span: Span, start: datetime) -> bool:
    return span.what is State.OFFLINE and span.start < start and (span.end is None or span.end > start)


def _offline(lived: Lived, span: Span, period: Period, rules: CountingRules) -> list[Period]:
    """Return when a time of being offline counts in a period."""
    part = span.within(period)
    return (
        [] if part is None else common(seen(lived.duties, lived.existed, lived.laid, period, rules), [part])
    )


def _last_day(periods: Periods, rules: CountingRules) -> date:
    return (periods[-1].end - _TICK).astimezone(rules.zone).date()
