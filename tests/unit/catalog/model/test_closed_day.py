"""Days that add up: whatever happened, the days of a period tell what the period tells as a whole."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.model.closed_day import ClosedDay, Lived, Standing, Told, close, over
from catalog.model.connectivity import State
from catalog.model.display import SuspendedReason, UnknownReason
from catalog.model.history import Span
from catalog.model.period import Period
from catalog.model.rates import Account, CountingRules, Duty, Laid, account

LOCAL = timezone(timedelta(hours=8))
RULES = CountingRules(LOCAL, timedelta(hours=24))
EVER = Period(datetime(2020, 1, 1, tzinfo=UTC), datetime.max.replace(tzinfo=UTC))
LONG_AGO = datetime(2025, 1, 1, tzinfo=LOCAL)
BOUND = (Duty(date(2026, 1, 1), date(2026, 6, 30)),)


def at(day: int, hour: float = 0) -> datetime:
    return datetime(2026, 11, 1, tzinfo=LOCAL) + timedelta(days=day - 1, hours=hour)


def on(day: int) -> date:
    return date(2026, 11, 1) + timedelta(days=day - 1)


def days_of(lived: Lived, first: int, last: int) -> list[tuple[date, ClosedDay]]:
    closed = ((on(day), close(lived, on(day), at(day + 1), RULES)) for day in range(first, last + 1))
    return [(day, each) for day, each in closed if each is not None]


def whole(lived: Lived, first: int, last: int) -> Account:
    period = Period(at(first), at(last + 1))
    return account(lived.duties, lived.existed, lived.states, lived.laid, period, RULES)


def lived(*states: Span, laid: tuple[Laid, ...] = (), duties: tuple[Duty, ...] = BOUND) -> Lived:
    return Lived(duties, EVER, states, laid)


def test_an_outage_over_midnights_is_one_outage() -> None:
    it = lived(
        Span(State.ONLINE, LONG_AGO, at(3, 20)),
        Span(State.OFFLINE, at(3, 20), at(6, 4)),
        Span(State.ONLINE, at(6, 4), None),
    )
    days = days_of(it, 1, 10)
    assert sum(day.account.outages for _, day in days) == 4
    assert days[4][1].told == {on(4): Told(outages=1)}
    assert over(days, on(1), on(10)).outages == 1
    assert over(days, on(5), on(10)).outages == 1
    assert over(days, on(7), on(10)).outages == 0


def test_an_outage_hidden_for_days_is_told_by_the_day_on_which_it_counted_last() -> None:
    it = lived(
        Span(State.ONLINE, LONG_AGO, at(3)),
        Span(State.OFFLINE, at(3), None),
        laid=(Laid(UnknownReason.GATEWAY_DOWN, Period(at(4), at(8))),),
    )
    days = days_of(it, 1, 10)
    assert dict(days)[on(8)].told == {on(3): Told(outages=1)}
    assert over(days, on(1), on(10)).outages == 1
    assert over(days, on(5), on(10)).outages == 1


def test_who_left_is_counted_once_and_who_came_back_is_too() -> None:
    first = Duty(date(2026, 1, 1), date(2026, 6, 30), withdrawn_on=on(4))
    again = Duty(on(7), on(7))
    it = lived(Span(State.ONLINE, LONG_AGO, None), duties=(first, again))
    days = days_of(it, 1, 10)
    assert [day for day, _ in days] == [on(1), on(2), on(3), on(7), on(8), on(9), on(10)]
    assert dict(days)[on(3)].left == Standing(1, 1, 0, 1, 1)
    assert over(days, on(1), on(5)).sources == 1
    assert over(days, on(1), on(10)).sources == 1
    assert over(days, on(5), on(6)) == Account()


hours = st.integers(-48, 12 * 24)


@st.composite
def histories(draw: st.DrawFn) -> Lived:
    edges = sorted(draw(st.sets(hours, max_size=10)))
    instants = [LONG_AGO, *(at(1, edge) for edge in edges)]
    kinds = [State.NEVER_CONNECTED] if draw(st.booleans()) else []
    while len(kinds) < len(instants):
        last = kinds[-1] if kinds else None
        kinds.append(draw(st.sampled_from([state for state in list(State)[1:] if state is not last])))
    states = [
        Span(state, start, end)
        for state, start, end in zip(kinds, instants, [*instants[1:], None], strict=True)
    ]
    laid = []
    for _ in range(draw(st.integers(0, 4))):
        start, length = draw(hours), draw(st.integers(1, 96))
        reason = draw(st.sampled_from([*UnknownReason, *SuspendedReason]))
        laid.append(Laid(reason, Period(at(1, start), at(1, start + length)), draw(st.booleans())))
    duties = []
    for _ in range(draw(st.integers(1, 3))):
        begins, due, lasts = draw(st.integers(-3, 8)), draw(st.integers(0, 8)), draw(st.integers(1, 9))
        ends = on(begins + lasts) if draw(st.booleans()) else None
        duties.append(Duty(on(begins), on(begins + due), ends))
    born = draw(st.sampled_from([LONG_AGO, at(1, draw(hours))]))
    existed = Period(
        born, draw(st.sampled_from([EVER.end, born + timedelta(hours=draw(st.integers(1, 200)))]))
    )
    return Lived(duties, existed, states, laid)


@settings(max_examples=400)
@given(histories(), st.integers(1, 12), st.integers(0, 11))
def test_the_days_of_a_period_add_up_to_the_period(it: Lived, first: int, more: int) -> None:
    last = min(12, first + more)
    found, expected = over(days_of(it, 1, 12), on(first), on(last)), whole(it, first, last)
    assert abs(found.raw_days - expected.raw_days) < Decimal("1e-20")
    assert replace(found, raw_days=expected.raw_days) == expected
