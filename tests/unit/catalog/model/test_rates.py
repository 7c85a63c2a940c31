"""Rates by every formula: the vectors of the status model, and sums that must always hold."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.model.connectivity import State
from catalog.model.display import SuspendedReason, UnknownReason
from catalog.model.history import Span
from catalog.model.period import Period
from catalog.model.rates import NOT_DUE, Account, CountingRules, Duty, Laid, account, ratio

LOCAL = timezone(timedelta(hours=8))
EVER = Period(datetime(2020, 1, 1, tzinfo=UTC), datetime.max.replace(tzinfo=UTC))
NOVEMBER = Period(datetime(2026, 11, 1, tzinfo=LOCAL), datetime(2026, 12, 1, tzinfo=LOCAL))
BOUND = Duty(date(2026, 1, 1), date(2026, 6, 30))
LONG_AGO = datetime(2025, 1, 1, tzinfo=LOCAL)


def day(number: int, hour: float = 0) -> datetime:
    return datetime(2026, 11, number, tzinfo=LOCAL) + timedelta(hours=hour)


def online_but(*off: tuple[datetime, datetime]) -> list[Span]:
    """Return a history of a source that was offline at these times alone."""
    spans, since = [], LONG_AGO
    for start, end in off:
        spans += [Span(State.ONLINE, since, start), Span(State.OFFLINE, start, end)]
        since = end
    return [*spans, Span(State.ONLINE, since, None)]


def of(
    states: list[Span], *laid: Laid, duty: Duty = BOUND, existed: Period = EVER, cap: timedelta | None = None
) -> Account:
    return account([duty], existed, states, laid, NOVEMBER, CountingRules(LOCAL, cap))


def test_the_vector_of_the_status_model() -> None:
    """In effect from the 11th; 4 h of maintenance, 6 h of gateway outage, 12 h off, 2 of them inside the outage."""
    found = of(
        online_but((day(20, 10), day(20, 22))),
        Laid(SuspendedReason.PLANNED_MAINTENANCE, Period(day(15, 1), day(15, 5))),
        Laid(UnknownReason.GATEWAY_DOWN, Period(day(20, 6), day(20, 12))),
        duty=Duty(date(2026, 11, 11), date(2026, 11, 11)),
    )
    assert found.bound == timedelta(seconds=1_728_000)
    assert found.counted == timedelta(seconds=1_692_000)
    assert found.running == timedelta(seconds=1_656_000)
    assert found.offline == timedelta(hours=10)
    assert found.online_rate == Decimal("0.9787")
    assert found.raw_rate == Decimal("0.9583")
    assert found.excluded == {"planned_maintenance": timedelta(hours=4), "gateway_down": timedelta(hours=6)}


def test_rates_are_pooled_and_no_mean_of_means() -> None:
    full = of(online_but())
    half = of(online_but((day(1), day(16))))
    short = of([Span(State.OFFLINE, LONG_AGO, None)], duty=Duty(date(2026, 11, 26), date(2026, 11, 26)))
    together = full + half + short
    assert together.online_rate == Decimal("0.6923")
    assert (full.online_rate, half.online_rate, short.online_rate) == (Decimal(1), Decimal("0.5"), Decimal(0))


def test_the_chain_shows_what_the_online_rate_alone_hides() -> None:
    """The worked example: required 200, connected 180, online 171, intact 162."""
    never = of([Span(State.NEVER_CONNECTED, LONG_AGO, None)])
    offline = of([Span(State.OFFLINE, LONG_AGO, None)])
    degraded = of([Span(State.DEGRADED, LONG_AGO, None)])
    whole = of(online_but())
    found = sum([never] * 20 + [offline] * 9 + [degraded] * 9 + [whole] * 162, Account())
    assert (found.sources, found.connected, found.online, found.intact) == (200, 180, 171, 162)
    assert found.access_rate == Decimal("0.9")
    assert found.online_rate_by_count == Decimal("0.95")
    assert found.online_of_required == Decimal("0.855")
    assert found.online_rate == Decimal("0.855")
    assert found.online_rate_of_connected == Decimal("0.95")
    assert found.intact_rate == Decimal("0.81")


def test_what_never_connected_counts_from_the_day_after_the_due_day() -> None:
    found = of([Span(State.NEVER_CONNECTED, LONG_AGO, None)], duty=Duty(date(2026, 1, 1), date(2026, 11, 10)))
    assert found.excluded == {NOT_DUE: timedelta(days=10)}
    assert (found.counted, found.never, found.online_rate) == (
        timedelta(days=20),
        timedelta(days=20),
        Decimal(0),
    )
    assert found.online_rate_of_connected is None


def test_the_due_day_is_that_of_the_duty_that_binds() -> None:
    """A duty that was withdrawn with its early day gave way to one with a later day."""
    first = Duty(date(2026, 1, 1), date(2026, 6, 30), withdrawn_on=date(2026, 11, 6))
    second = Duty(date(2026, 11, 6), date(2026, 11, 20))
    states = [Span(State.NEVER_CONNECTED, LONG_AGO, None)]
    found = account([first, second], EVER, states, [], NOVEMBER, CountingRules(LOCAL))
    assert (found.never, found.excluded) == (timedelta(days=15), {NOT_DUE: timedelta(days=15)})
    assert found.bound == timedelta(days=30)


def test_a_first_connection_before_the_due_day_counts_from_then_on() -> None:
    states = [Span(State.NEVER_CONNECTED, LONG_AGO, day(5)), Span(State.ONLINE, day(5), None)]
    found = of(states, duty=Duty(date(2026, 1, 1), date(2026, 11, 10)))
    assert (found.excluded, found.online_rate) == ({NOT_DUE: timedelta(days=4)}, Decimal(1))


def test_too_little_seen_is_no_number_and_nothing_due_is_none() -> None:
    blind = of(online_but(), Laid(UnknownReason.GATEWAY_DOWN, Period(day(1), day(3))))
    assert (blind.coverage, blind.online_rate, blind.suffices) == (Decimal("0.9333"), None, False)
    dark = of(online_but(), Laid(UnknownReason.GATEWAY_DOWN, NOVEMBER))
    assert (dark.counted, dark.coverage, dark.online_rate, dark.suffices) == (
        timedelta(),
        Decimal(0),
        None,
        False,
    )
    assert (dark.sources, dark.hidden, dark.online) == (1, 1, 0)
    nothing = of(online_but(), duty=Duty(date(2027, 1, 1), date(2027, 1, 1)))
    assert nothing == Account()
    assert (nothing.online_rate, nothing.access_rate, nothing.raw_rate, nothing.coverage) == (None,) * 4


def test_a_withdrawn_duty_a_retired_source_and_one_that_came_late_are_counted_for_their_time() -> None:
    withdrawn = of(online_but(), duty=Duty(date(2026, 1, 1), date(2026, 6, 30), date(2026, 11, 11)))
    assert withdrawn.bound == timedelta(days=10)
    retired = of(online_but(), existed=Period(LONG_AGO, day(6)))
    assert retired.bound == timedelta(days=5)
    late = of([Span(State.ONLINE, day(21), None)], existed=Period(day(21), EVER.end))
    assert (late.bound, late.online_rate, late.days) == (timedelta(days=10), Decimal(1), 10)


def test_maintenance_that_overruns_is_charged_for_what_it_overran() -> None:
    found = of(
        online_but((day(10, 0), day(10, 7))),
        Laid(SuspendedReason.PLANNED_MAINTENANCE, Period(day(10, 0), day(10, 4))),
    )
    assert (found.offline, found.excluded) == (
        timedelta(hours=3),
        {"planned_maintenance": timedelta(hours=4)},
    )


def test_ratios_round_halves_up_and_an_empty_whole_has_none() -> None:
    assert ratio(1, 0) is None
    assert ratio(timedelta(), timedelta()) is None
    assert ratio(1, 3) == Decimal("0.3333")
    assert ratio(20_001, 40_000) == Decimal("0.5000")
    assert ratio(20_002, 40_000) == Decimal("0.5001")


hours = st.integers(0, 29 * 24)


@st.composite
def histories(draw: st.DrawFn) -> list[Span]:
    edges = sorted(draw(st.sets(hours, max_size=8)))
    kinds = [State.NEVER_CONNECTED] if draw(st.booleans()) else []
    instants = [LONG_AGO, *(day(1, edge) for edge in edges)]
    kinds += draw(st.lists(st.sampled_from(list(State)[1:]), min_size=len(instants), max_size=len(instants)))
    ends = [*instants[1:], None]
    return [Span(state, start, end) for state, start, end in zip(kinds, instants, ends, strict=False)]


@st.composite
def laid_over(draw: st.DrawFn) -> Laid:
    start, length = draw(hours), draw(st.integers(1, 48))
    reason = draw(st.sampled_from([*UnknownReason, *SuspendedReason]))
    return Laid(reason, Period(day(1, start), day(1, start + length)))


@given(histories(), st.lists(laid_over(), max_size=5), st.integers(1, 30))
def test_every_second_that_binds_is_counted_once_or_excluded_once(
    states: list[Span], laid: list[Laid], due: int
) -> None:
    found = of(states, *laid, duty=Duty(date(2026, 1, 1), date(2026, 11, due)))
    assert found.bound == timedelta(days=30)
    assert found.counted + sum(found.excluded.values(), timedelta()) == found.bound
    assert found.running + found.offline + found.never == found.counted
    assert found.whole <= found.running
    assert found.days == 30
    assert 0 <= found.raw_days <= 30


@pytest.mark.parametrize("count", [1, 2, 7])
def test_an_account_and_itself_have_the_rates_of_one(count: int) -> None:
    one = of(online_but((day(3), day(4))), Laid(UnknownReason.NO_SAMPLES, Period(day(9), day(9, 5))))
    many = sum([one] * count, Account())
    assert (many.online_rate, many.raw_rate, many.coverage) == (one.online_rate, one.raw_rate, one.coverage)
    assert many.sources == count
