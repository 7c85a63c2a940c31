"""How long a source was online, by every formula in use side by side (status model 4.5).

All of it is whole seconds and counts; a ratio is made last, and of an empty denominator there is none. Nothing is
excluded silently: every second of a period that does not count stands under the reason for which it does not.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta, timezone
from decimal import ROUND_HALF_UP, Decimal
from types import MappingProxyType
from typing import Final
from uuid import UUID

from catalog.model.connectivity import State
from catalog.model.display import SuspendedReason, UnknownReason
from catalog.model.history import Span, state_at
from catalog.model.period import Period, Periods, common, merged, total, without

COVERAGE: Final = Decimal("0.95")
"""Share of the time that counts in which we must have been able to see; below it a rate is no number."""

NOT_DUE: Final = "not_due"
"""Never connected, and the day by which it must be has not passed."""

_ORDER: Final[Sequence[UnknownReason | SuspendedReason]] = (*SuspendedReason, *UnknownReason)
_PLACES: Final = Decimal("0.0001")
_NOTHING: Final = timedelta()
_RUNNING: Final = frozenset({State.ONLINE, State.DEGRADED})
_CONNECTED: Final = _RUNNING | {State.OFFLINE}


@dataclass(frozen=True)
class CountingRules:
    """What is a choice in counting."""

    zone: timezone
    "In which days and months begin."
    maintenance_cap: timedelta | None = None
    "How much planned maintenance of a source and month is excluded; None for any amount."


@dataclass(frozen=True)
class Duty:
    """For how long a source must be connected."""

    effective_from: date
    due_on: date
    "The last day in time: what never connected counts from the day after (the due day itself is in time)."
    withdrawn_on: date | None = None
    "The first day on which it binds no more."
    basis: str = ""
    "Requirement id, such as `WX-21.2`."
    entry_id: UUID | None = None
    "Of the public catalog; None where nobody asks which edition lists it."


@dataclass(frozen=True)
class Laid:
    """A while in which no second counts."""

    reason: UnknownReason | SuspendedReason
    period: Period
    is_retroactive: bool = False
    "A suspension that was asked for after it had begun."


@dataclass(frozen=True)
class Account:
    """The seconds of one source, or of many together, in one period. All fields add up; `+` adds accounts."""

    sources: int = 0
    "Sources that were bound at any time of the period."
    connected: int = 0
    "Of them those that had connected at its end, or when they were bound last."
    hidden: int = 0
    "Of `sources` those that were suspended or unknown at its end: none of them is in `online`."
    online: int = 0
    "Of them those online or degraded at its end."
    intact: int = 0
    "Of them those online without any degrade reason at its end."
    bound: timedelta = _NOTHING
    "In which a duty bound them."
    counted: timedelta = _NOTHING
    "What of `bound` counts: neither suspended nor unknown nor not yet due."
    running: timedelta = _NOTHING
    "What of `counted` was online or degraded."
    whole: timedelta = _NOTHING
    "What of `counted` was online without any degrade reason."
    offline: timedelta = _NOTHING
    outages: int = 0
    "Times of being offline, each with a part that counts."
    never: timedelta = _NOTHING
    "What of `counted` a source had never connected in."
    excluded: Mapping[str, timedelta] = field(default_factory=lambda: MappingProxyType({}))
    "What of `bound` does not count, by reason; a second stands under one reason alone."
    unknown: timedelta = _NOTHING
    "What of `excluded` we could not see."
    retroactive: timedelta = _NOTHING
    "What of `excluded` was asked for after it had begun."
    over_cap: timedelta = _NOTHING
    "Planned maintenance beyond the cap of a source and month: it counts, and is told."
    days: int = 0
    "Days of sources, each at least in part bound."
    raw_days: Decimal = Decimal(0)
    "The sum over those days of the share that was online or degraded and seen, nothing excluded."

    def __add__(self, other: "Account") -> "Account":
        reasons = {*self.excluded, *other.excluded}
        return Account(
            sources=self.sources + other.sources,
            connected=self.connected + other.connected,
            hidden=self.hidden + other.hidden,
            online=self.online + other.online,
            intact=self.intact + other.intact,
            bound=self.bound + other.bound,
            counted=self.counted + other.counted,
            running=self.running + other.running,
            whole=self.whole + other.whole,
            offline=self.offline + other.offline,
            outages=self.outages + other.outages,
            never=self.never + other.never,
            excluded={
                reason: self.excluded.get(reason, _NOTHING) + other.excluded.get(reason, _NOTHING)
                for reason in sorted(reasons)
            },
            unknown=self.unknown + other.unknown,
            retroactive=self.retroactive + other.retroactive,
            over_cap=self.over_cap + other.over_cap,
            days=self.days + other.days,
            raw_days=self.raw_days + other.raw_days,
        )

    @property
    def coverage(self) -> Decimal | None:
        """Return the share of the time that would count in which we could see."""
        return ratio(self.counted, self.counted + self.unknown)

    @property
    def suffices(self) -> bool:
        """Tell whether we saw enough for a rate; without any time that would count there is nothing to suffice."""
        return self.counted >= (self.counted + self.unknown) * float(COVERAGE)

    @property
    def online_rate(self) -> Decimal | None:
        """Return the adjusted rate, pooled: Σ online / Σ counted, what never connected among it."""
        return ratio(self.running, self.counted) if self.suffices else None

    @property
    def online_rate_of_connected(self) -> Decimal | None:
        """Return the same without the time in which a source had never connected: the operator's own figure."""
        return ratio(self.running, self.counted - self.never) if self.suffices else None

    @property
    def intact_rate(self) -> Decimal | None:
        """Return the share of the counted time without any degrade reason."""
        return ratio(self.whole, self.counted) if self.suffices else None

    @property
    def raw_rate(self) -> Decimal | None:
        """Return the 24-hour rate: the mean over the days of online seconds by the day's, nothing excluded."""
        return _rounded(self.raw_days / self.days) if self.days else None

    @property
    def access_rate(self) -> Decimal | None:
        """Return connected / required, at the end of the period."""
        return ratio(self.connected, self.sources)

    @property
    def online_rate_by_count(self) -> Decimal | None:
        """Return online / connected, at the end of the period."""
        return ratio(self.online, self.connected)

    @property
    def online_of_required(self) -> Decimal | None:
        """Return online / required, at the end of the period: the chain alone hides what never connected."""
        return ratio(self.online, self.sources)


def ratio(part: timedelta | int, whole: timedelta | int) -> Decimal | None:
    """Return part / whole to 4 places, halves up; None of an empty whole."""
    if not whole:
        return None
    if isinstance(part, timedelta) and isinstance(whole, timedelta):
        return _rounded(Decimal(part // _TICK) / Decimal(whole // _TICK))
    return _rounded(Decimal(int(part)) / Decimal(int(whole)))  # type: ignore[arg-type]


_TICK: Final = timedelta(microseconds=1)


def _rounded(value: Decimal) -> Decimal:
    return value.quantize(_PLACES, ROUND_HALF_UP)


def account(
    duties: Sequence[Duty],
    existed: Period,
    states: Sequence[Span],
    laid: Sequence[Laid],
    period: Period,
    rules: CountingRules,
) -> Account:
    """Return the account of one source; an empty one where no duty bound it in the period.

    Args:
        duties: that bind it; of several that bind at a time the earliest due day counts.
        existed: from when it stood on the roll until it was retired: of other times nothing can be told.
        states: its history, adjoining, oldest first.
        laid: what was laid over it, of its own and of its gateway.
        period: already ended.
        rules: how it is counted.
    """
    zone = rules.zone
    bound = common(bound_by(duties, existed, zone), [period])
    if not bound:
        return Account()
    by_state = _by_state(states, period)
    early = without(bound, _due(duties, zone))
    laid, over_cap = _capped(laid, rules.maintenance_cap, zone)
    left, gone_by_reason = taken_out(bound, laid)
    excluded = {reason.value: total(gone) for reason, gone in gone_by_reason.items()}
    hidden = merged(period for gone in gone_by_reason.values() for period in gone)
    gone = common(common(left, by_state[State.NEVER_CONNECTED]), early)
    if gone:
        excluded[NOT_DUE] = total(gone)
        left = without(left, gone)
    running = merged([*by_state[State.ONLINE], *by_state[State.DEGRADED]])
    days, raw_days = _by_day(bound, without(bound, without(running, hidden)), zone)
    offline = common(left, by_state[State.OFFLINE])
    end = bound[-1].end - _TICK
    last, is_hidden = state_at(states, end), any(each.start <= end < each.end for each in hidden)
    return Account(
        sources=1,
        connected=int(last in _CONNECTED),
        hidden=int(is_hidden),
        online=int(last in _RUNNING and not is_hidden),
        intact=int(last is State.ONLINE and not is_hidden),
        bound=total(bound),
        counted=total(left),
        running=total(common(left, running)),
        whole=total(common(left, by_state[State.ONLINE])),
        offline=total(offline),
        outages=_met(by_state[State.OFFLINE], offline),
        never=total(common(left, by_state[State.NEVER_CONNECTED])),
        excluded=excluded,
        unknown=sum((excluded.get(reason.value, _NOTHING) for reason in UnknownReason), _NOTHING),
        retroactive=total(common(_suspended(gone_by_reason), merged(_retroactive(laid)))),
        over_cap=total(common(left, over_cap)),
        days=days,
        raw_days=raw_days,
    )


def binding_on(duties: Sequence[Duty], day: date) -> Duty | None:
    """Return the duty that binds on a day, the one due first of several."""
    binding = [
        duty
        for duty in duties
        if duty.effective_from <= day and (duty.withdrawn_on is None or day < duty.withdrawn_on)
    ]
    return min(binding, key=lambda duty: (duty.due_on, duty.effective_from), default=None)


def bound_by(duties: Sequence[Duty], existed: Period, zone: timezone) -> list[Period]:
    """Return when a source was bound, while it stood on the roll."""
    return common(merged(_binding(duties, zone)), [existed])


def seen(
    duties: Sequence[Duty], existed: Period, laid: Sequence[Laid], period: Period, rules: CountingRules
) -> Periods:
    """Return what of a period binds a source and is neither suspended nor unknown."""
    bound = common(bound_by(duties, existed, rules.zone), [period])
    return taken_out(bound, _capped(laid, rules.maintenance_cap, rules.zone)[0])[0]


def _met(whole: Periods, parts: Periods) -> int:
    """Return how many of the periods have one of the parts in them; both are in order."""
    starts = [each.start for each in whole]
    return len({bisect_right(starts, part.start) for part in parts})


def _suspended(taken: Mapping[UnknownReason | SuspendedReason, Periods]) -> list[Period]:
    return merged(
        each for reason, gone in taken.items() if isinstance(reason, SuspendedReason) for each in gone
    )


def _retroactive(laid: Sequence[Laid]) -> list[Period]:
    return [each.period for each in laid if each.is_retroactive]


def _capped(
    laid: Sequence[Laid], cap: timedelta | None, zone: timezone
) -> tuple[Sequence[Laid], Sequence[Period]]:
    """Return what is laid over, planned maintenance up to `cap` in each month, and what of it lies beyond.

    The first of each month's maintenance is what is allowed, whoever asked for which part of it.
    """
    if cap is None:
        return laid, ()
    planned = [each for each in laid if each.reason is SuspendedReason.PLANNED_MAINTENANCE]
    allowed: list[Period] = []
    used: dict[tuple[int, int], timedelta] = {}
    for whole in merged(each.period for each in planned):
        for part in _by_month(whole, zone):
            first = part.start.astimezone(zone)
            spent = used.get((first.year, first.month), _NOTHING)
            end = min(part.end, part.start + max(_NOTHING, cap - spent))
            used[first.year, first.month] = spent + (part.end - part.start)
            if end > part.start:
                allowed.append(Period(part.start, end))
    kept = [each for each in laid if each.reason is not SuspendedReason.PLANNED_MAINTENANCE]
    for each in planned:
        kept += [replace(each, period=part) for part in common([each.period], allowed)]
    return kept, without(merged(each.period for each in planned), allowed)


def _by_month(period: Period, zone: timezone) -> list[Period]:
    parts = []
    start = period.start
    while start < period.end:
        here = start.astimezone(zone)
        following = date(here.year + here.month // 12, here.month % 12 + 1, 1)
        end = min(period.end, midnight(following, zone))
        parts.append(Period(start, end))
        start = end
    return parts


def taken_out(
    bound: Periods, laid: Sequence[Laid]
) -> tuple[Periods, Mapping[UnknownReason | SuspendedReason, Periods]]:
    """Return what is left of `bound` under what is laid over it, and what was taken out by each reason.

    Every second is taken out once: suspensions come before unknowns, as they are displayed first (4.2).
    """
    left: Periods = bound
    taken: dict[UnknownReason | SuspendedReason, Periods] = {}
    reasons = {each.reason for each in laid}
    for reason in (each for each in _ORDER if each in reasons):
        gone = common(left, merged(each.period for each in laid if each.reason is reason))
        if gone:
            taken[reason] = gone
            left = without(left, gone)
    return left, taken


def _binding(duties: Sequence[Duty], zone: timezone) -> list[Period]:
    found = []
    for duty in duties:
        start = midnight(duty.effective_from, zone)
        end = datetime.max.replace(tzinfo=zone)
        if duty.withdrawn_on is not None:
            end = midnight(duty.withdrawn_on, zone)
        if start < end:
            found.append(Period(start, end))
    return found


def _due(duties: Sequence[Duty], zone: timezone) -> list[Period]:
    """Return when the due day of a duty that binds has passed; another's due day does not count."""
    found: list[Period] = []
    for duty in duties:
        passed = Period(midnight(duty.due_on + timedelta(days=1), zone), datetime.max.replace(tzinfo=zone))
        found += common(_binding([duty], zone), [passed])
    return merged(found)


def _by_state(states: Sequence[Span], period: Period) -> Mapping[State, list[Period]]:
    found: dict[State, list[Period]] = {state: [] for state in State}
    for span in states:
        part = span.within(period)
        if part is not None and isinstance(span.what, State):
            found[span.what].append(part)
    return found


def _by_day(bound: Periods, standing: Periods, zone: timezone) -> tuple[int, Decimal]:
    """Return the days of `bound`, and the sum over them of the share of each that was not `standing`.

    Of a day that is bound in part the share is that of its part. Only days with a standstill are looked at one by one.
    """
    days, shares = 0, Decimal(0)
    for part in bound:
        first, last = part.start.astimezone(zone).date(), (part.end - _TICK).astimezone(zone).date()
        count = (last - first).days + 1
        days += count
        shares += count
        for still in common([part], standing):
            start = still.start
            while start < still.end:
                day = start.astimezone(zone).date()
                following = midnight(day + timedelta(days=1), zone)
                begun, ended = max(part.start, midnight(day, zone)), min(part.end, following)
                end = min(still.end, ended)
                shares -= Decimal((end - start) // _TICK) / Decimal((ended - begun) // _TICK)
                start = end
    return days, shares


def midnight(day: date, zone: timezone) -> datetime:
    """Return when a local day begins."""
    return datetime.combine(day, time(), zone)
