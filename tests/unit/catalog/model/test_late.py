"""Late evidence: a revision of closed intervals, and nothing else."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from catalog.model.connectivity import State
from catalog.model.history import Span, state_at
from catalog.model.late import LATE_WINDOW, is_in_time, observable, revised
from catalog.model.period import Period

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def at(hour: float) -> datetime:
    return NOON + timedelta(hours=hour)


def test_a_closed_outage_is_told_with_what_was_running_in_it() -> None:
    states = [
        Span(State.ONLINE, at(-9), at(0)),
        Span(State.OFFLINE, at(0), at(4)),
        Span(State.ONLINE, at(4), None),
    ]

    told = revised(states, [Period(at(1), at(2)), Period(at(3), at(6))])

    assert told == [
        Span(State.ONLINE, at(-9), at(0)),
        Span(State.OFFLINE, at(0), at(1)),
        Span(State.ONLINE, at(1), at(2)),
        Span(State.OFFLINE, at(2), at(3)),
        Span(State.ONLINE, at(3), at(4)),
        Span(State.ONLINE, at(4), None),
    ]
    assert revised(states, []) == states


def test_the_live_state_and_what_never_connected_stay() -> None:
    never = [Span(State.NEVER_CONNECTED, at(-9), at(0)), Span(State.OFFLINE, at(0), None)]
    assert revised(never, [Period(at(-5), at(5))]) == never


def test_what_another_gateway_sees_is_told_of_the_state_that_goes_on_as_well() -> None:
    states = [Span(State.ONLINE, at(-9), at(0)), Span(State.OFFLINE, at(0), None)]

    assert revised(states, [Period(at(2), at(5))], is_open_too=True) == [
        Span(State.ONLINE, at(-9), at(0)),
        Span(State.OFFLINE, at(0), at(2)),
        Span(State.ONLINE, at(2), at(5)),
        Span(State.OFFLINE, at(5), None),
    ]


def test_before_the_first_connection_nothing_that_others_see_counts() -> None:
    states = [Span(State.NEVER_CONNECTED, at(-9), at(0)), Span(State.ONLINE, at(0), None)]
    assert observable(states, [Period(at(-5), at(1)), Period(at(3), at(4))]) == [
        Period(at(0), at(1)),
        Period(at(3), at(4)),
    ]


def test_evidence_is_in_time_for_a_day_and_not_about_the_future() -> None:
    shown = Period(at(0), at(1))
    assert is_in_time(shown, at(1))
    assert is_in_time(shown, at(0) + LATE_WINDOW)
    assert not is_in_time(shown, at(0) + LATE_WINDOW + timedelta(seconds=1))
    assert not is_in_time(shown, at(0.5))


hours = st.integers(0, 48)


@given(
    st.lists(st.sampled_from([State.ONLINE, State.OFFLINE, State.DEGRADED]), min_size=1, max_size=8),
    st.lists(st.tuples(hours, st.integers(1, 9)), max_size=4),
    st.integers(0, 480),
)
def test_an_instant_is_online_if_it_was_shown_to_be_and_else_what_it_was(
    kinds: list[State], late: list[tuple[int, int]], tenth: int
) -> None:
    ends = [at(6 * (number + 1)) for number in range(len(kinds) - 1)]
    starts = [at(0), *ends]
    states = [Span(kind, start, end) for kind, start, end in zip(kinds, starts, [*ends, None], strict=True)]
    shown = [Period(at(start), at(start + length)) for start, length in late]
    told, instant = revised(states, shown), at(tenth / 10)

    stored = state_at(states, instant)
    is_shown = any(each.start <= instant < each.end for each in shown)
    is_closed = instant < states[-1].start
    expected = State.ONLINE if stored is State.OFFLINE and is_shown and is_closed else stored
    assert state_at(told, instant) is expected
    assert [span.end for span in told[:-1]] == [span.start for span in told[1:]]
