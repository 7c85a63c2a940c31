"""The history that evidence tells, against a small oracle that was written apart from it."""

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from catalog.model.connectivity import DegradeReason, EvidenceKind, State
from catalog.model.display import UnknownReason
from catalog.model.history import Difference, Fact, Span, differences, recompute, state_at
from catalog.model.period import Period

BORN = datetime(2026, 11, 1, tzinfo=UTC)
LENGTH = 60


def at(second: int) -> datetime:
    return BORN + timedelta(seconds=second)


def painted(facts: list[Fact]) -> list[str]:
    """Return the state of each second, told another way: every fact that counts paints the rest of the time.

    No table of transitions and no state is kept: what a fact does is read off the picture as it is at its second.
    """
    picture = [("never_connected", frozenset[str]())] * (LENGTH + 1)
    last_edge, last_life = 0, 0
    for fact in facts:
        second = int((fact.at - BORN).total_seconds())
        state, reasons = picture[-1]
        is_quality = fact.kind in ("impaired", "restored")
        if second < (last_edge if is_quality else max(last_edge, last_life)):
            continue
        if not is_quality:
            last_life = second
        match fact.kind:
            case "connected" | "alive" if state == "offline" or (
                state == "never_connected" and fact.kind[0] == "c"
            ):
                new = ("online", frozenset[str]())
            case "lost" | "left" if state in ("online", "degraded"):
                new = ("offline", frozenset())
            case "impaired" if state in ("online", "degraded"):
                new = ("degraded", reasons | {str(fact.reason)})
            case "restored" if state == "degraded":
                rest = reasons - {str(fact.reason)}
                new = ("degraded" if rest else "online", rest)
            case _:
                continue
        if new[0] != state:
            last_edge = second
        picture[second:] = [new] * (LENGTH + 1 - second)
    return [state for state, _ in picture[:LENGTH]]


@st.composite
def fact(draw: st.DrawFn) -> Fact:
    kind = draw(st.sampled_from(list(EvidenceKind)))
    is_quality = kind in (EvidenceKind.IMPAIRED, EvidenceKind.RESTORED)
    reason = draw(st.sampled_from(list(DegradeReason)[:3])).value if is_quality else None
    second = draw(st.integers(0, LENGTH - 1))
    return Fact(0, kind.value, at(second), at(second), reason=reason)


@st.composite
def streams(draw: st.DrawFn) -> list[Fact]:
    """Facts in the order in which they came: mostly by their instants, some late, some repeated."""
    facts = sorted(draw(st.lists(fact(), max_size=25)), key=lambda each: each.at)
    for _ in range(draw(st.integers(0, 6)) if facts else 0):
        moved = facts.pop(draw(st.integers(0, len(facts) - 1)))
        copies = draw(st.integers(1, 2))
        for _ in range(copies):
            facts.insert(draw(st.integers(0, len(facts))), moved)
    return [replace(each, seq=seq) for seq, each in enumerate(facts)]


@given(streams())
def test_every_second_is_as_the_oracle_paints_it(facts: list[Fact]) -> None:
    told = recompute(BORN, facts)
    assert [state_at(told.states, at(second)) for second in range(LENGTH)] == painted(facts)


@given(streams())
def test_the_spans_adjoin_from_birth_on_and_the_last_goes_on(facts: list[Fact]) -> None:
    spans = recompute(BORN, facts).states
    assert spans[0].start == BORN
    for before, after in itertools.pairwise(spans):
        assert before.end == after.start
        assert before.what is not after.what
    assert spans[-1].end is None


@given(streams(), st.integers(0, 25))
def test_what_came_later_changes_no_instant_before_it(facts: list[Fact], known: int) -> None:
    """A live answer and a recomputed one are the same: late facts are no reason to tell the past anew."""
    before, after = recompute(BORN, facts[:known]), recompute(BORN, facts)
    edge = before.states[-1].start
    for second in range(LENGTH):
        if at(second) < edge:
            assert state_at(before.states, at(second)) is state_at(after.states, at(second))


def test_unknown_times_are_told_apart_from_states() -> None:
    facts = [
        Fact(1, "connected", at(5), at(5)),
        Fact(2, "unknown_opened", at(10), at(10), unknown_after=UnknownReason.RESTART_GRACE),
        Fact(3, "alive", at(20), at(20), reason="restart_grace"),
        Fact(4, "unknown_opened", at(30), at(31), unknown_after=UnknownReason.COMMON_CAUSE_SUSPECTED),
        Fact(5, "unknown_opened", at(35), at(35), unknown_after=UnknownReason.OWN_NETWORK_DOWN),
    ]
    told = recompute(BORN, facts)
    assert told.states == [Span(State.NEVER_CONNECTED, BORN, at(5)), Span(State.ONLINE, at(5), None)]
    assert told.unknowns == [
        Span(UnknownReason.RESTART_GRACE, at(10), at(20)),
        Span(UnknownReason.COMMON_CAUSE_SUSPECTED, at(30), at(35)),
        Span(UnknownReason.OWN_NETWORK_DOWN, at(35), None),
    ]


def test_a_suspicion_that_ends_where_it_began_leaves_nothing() -> None:
    facts = [
        Fact(1, "connected", at(5), at(5)),
        Fact(2, "unknown_opened", at(10), at(12), unknown_after=UnknownReason.COMMON_CAUSE_SUSPECTED),
        Fact(3, "unknown_closed", at(10), at(15), reason="common_cause_suspected"),
        Fact(4, "lost", at(11), at(15), last_positive_at=at(10)),
    ]
    told = recompute(BORN, facts)
    assert told.unknowns == []
    assert told.states[-1] == Span(State.OFFLINE, at(11), None)


def test_differences_are_as_long_as_they_can_be_and_name_both_sides() -> None:
    told = [Span(State.NEVER_CONNECTED, BORN, at(10)), Span(State.ONLINE, at(10), None)]
    stored = [
        Span(State.NEVER_CONNECTED, BORN, at(8)),
        Span(State.OFFLINE, at(12), at(20)),
        Span(State.ONLINE, at(20), None),
    ]
    assert differences(told, told, Period(BORN, at(30))) == []
    assert differences(stored, told, Period(at(2), at(30))) == [
        Difference(Period(at(8), at(10)), None, State.NEVER_CONNECTED),
        Difference(Period(at(10), at(12)), None, State.ONLINE),
        Difference(Period(at(12), at(20)), State.OFFLINE, State.ONLINE),
    ]
