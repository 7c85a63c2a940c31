"""Cases: every step from every state, deadlines that pass by the day alone, and what each step must be given."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.model.case import (
    ENDED,
    NEEDED,
    STEPS,
    CaseState,
    CaseStep,
    StepRefused,
    Taken,
    allowed,
    require,
    standing,
)

START = date(2026, 11, 1)
DEADLINE = date(2026, 11, 20)

FIELDS = {
    "addressee": "示范公园管理处",
    "by": "示范公园",
    "text": "the line was cut by works",
    "organ": "示范市公安局",
    "order_number": "2026-17",
    "served_on": "2026-11-01",
    "deadline": DEADLINE.isoformat(),
    "items": "connect both cameras",
    "document": "2026-18",
}


def take(step: CaseStep, on: date = START, /, **changed: str) -> Taken:
    detail = {name: FIELDS[name] for name in NEEDED[step]} | changed
    return Taken(step, datetime(on.year, on.month, on.day, 4, tzinfo=UTC), on, "Wang", detail)


V, ORDERED = take(CaseStep.VERIFY), take(CaseStep.ORDER)
WAYS: dict[CaseState, list[Taken]] = {
    CaseState.CANDIDATE: [],
    CaseState.VERIFIED: [V],
    CaseState.DISPUTED: [V, take(CaseStep.DISPUTE)],
    CaseState.ORDERED: [V, ORDERED],
    CaseState.OVERDUE: [V, ORDERED],
    CaseState.APPEALED: [V, ORDERED, take(CaseStep.APPEAL)],
    CaseState.RECTIFIED: [V, ORDERED, take(CaseStep.RECTIFY)],
    CaseState.REFERRED: [V, ORDERED, take(CaseStep.REFER, DEADLINE + timedelta(days=1))],
    CaseState.WITHDRAWN: [take(CaseStep.WITHDRAW)],
    CaseState.CLOSED: [V, ORDERED, take(CaseStep.RECTIFY), take(CaseStep.CLOSE)],
}
"""How each state is reached."""


def day_of(state: CaseState) -> date:
    late = {CaseState.OVERDUE, CaseState.REFERRED}
    return DEADLINE + timedelta(days=1) if state in late else START


@pytest.mark.parametrize("state", list(CaseState))
@pytest.mark.parametrize("step", list(CaseStep))
def test_each_step_leads_from_each_state_where_the_table_says_or_is_refused(
    state: CaseState, step: CaseStep
) -> None:
    today = day_of(state)
    assert standing(WAYS[state], today).state is state
    later = (DEADLINE + timedelta(days=30)).isoformat()
    changed = {"deadline": later} if "deadline" in NEEDED[step] else {}
    if "served_on" in NEEDED[step]:
        changed["served_on"] = today.isoformat()
    taken = take(step, today, **changed)
    if (state, step) in STEPS:
        require(WAYS[state], taken)
        assert standing([*WAYS[state], taken], today).state is STEPS[state, step]
        assert step in allowed(state)
    else:
        with pytest.raises(StepRefused, match=f"the case is {state}"):
            require(WAYS[state], taken)


def test_what_has_ended_leads_nowhere_and_everything_else_leads_on() -> None:
    assert {state for state in CaseState if not allowed(state)} == ENDED


def test_the_deadline_day_is_in_time_and_the_next_one_is_not() -> None:
    steps = [V, ORDERED]
    assert standing(steps, DEADLINE).state is CaseState.ORDERED
    late = standing(steps, DEADLINE + timedelta(days=3))
    assert (late.state, late.days_overdue, late.deadline) == (CaseState.OVERDUE, 3, DEADLINE)


def test_what_was_done_in_time_stays_done_in_time_for_ever() -> None:
    steps = [V, ORDERED, take(CaseStep.RECTIFY, DEADLINE)]
    assert standing(steps, DEADLINE + timedelta(days=400)).state is CaseState.RECTIFIED


def test_an_extension_counts_from_the_new_day_and_an_appeal_stops_the_clock() -> None:
    extended = [V, ORDERED, take(CaseStep.EXTEND, deadline="2026-12-31")]
    assert standing(extended, DEADLINE + timedelta(days=9)).state is CaseState.ORDERED
    assert standing(extended, date(2027, 1, 1)).days_overdue == 1
    appealed = [V, ORDERED, take(CaseStep.APPEAL)]
    assert standing(appealed, date(2027, 6, 1)).state is CaseState.APPEALED
    resumed = [*appealed, take(CaseStep.RESUME, date(2027, 6, 1))]
    assert standing(resumed, date(2027, 6, 1)).state is CaseState.OVERDUE


def test_an_answered_dispute_must_be_verified_anew_before_anything_is_ordered() -> None:
    steps = [V, take(CaseStep.DISPUTE), take(CaseStep.ANSWER)]
    assert standing(steps, START).state is CaseState.CANDIDATE
    with pytest.raises(StepRefused, match="possible: verify"):
        require(steps, take(CaseStep.ORDER))


@pytest.mark.parametrize(
    ("taken", "words"),
    [
        (take(CaseStep.VERIFY, addressee="  "), "needs addressee"),
        (take(CaseStep.VERIFY, amount="20000"), "takes no amount"),
        (take(CaseStep.VERIFY, addressee="x" * 2001), "longer than 2000"),
    ],
)
def test_a_verification_lacks_nothing_and_holds_nothing_else(taken: Taken, words: str) -> None:
    with pytest.raises(StepRefused, match=words):
        require([], taken)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"served_on": "2026-11-02"}, "lies in the future"),
        ({"deadline": "2026-10-31"}, "before the order was served"),
        ({"deadline": "20.11.2026"}, "write 2026-11-30"),
        ({"organ": ""}, "needs organ"),
        ({"order_number": ""}, "needs order_number"),
    ],
)
def test_an_order_names_whose_it_is_and_days_that_can_be(changed: dict[str, str], words: str) -> None:
    with pytest.raises(StepRefused, match=words):
        require([V], take(CaseStep.ORDER, **changed))


@pytest.mark.parametrize(
    ("on", "deadline", "words"),
    [
        (START, "2026-11-20", "no later"),
        (START, "2026-11-10", "no later"),
        (date(2026, 12, 1), "2026-11-25", "passed already"),
    ],
)
def test_an_extension_leads_to_a_later_day_that_is_still_to_come(on: date, deadline: str, words: str) -> None:
    with pytest.raises(StepRefused, match=words):
        require([V, ORDERED], take(CaseStep.EXTEND, on, deadline=deadline))


@given(st.lists(st.tuples(st.sampled_from(list(CaseStep)), st.integers(0, 9)), max_size=15))
def test_whatever_is_tried_a_case_stands_somewhere_and_what_ended_never_goes_on(
    tries: list[tuple[CaseStep, int]],
) -> None:
    steps: list[Taken] = []
    today = START
    for step, days in tries:
        today += timedelta(days=days)
        changed = {"served_on": today.isoformat()} if step is CaseStep.ORDER else {}
        if step in {CaseStep.ORDER, CaseStep.EXTEND}:
            changed["deadline"] = (today + timedelta(days=5)).isoformat()
        before, taken = standing(steps, today).state, take(step, today, **changed)
        try:
            require(steps, taken)
        except StepRefused:
            continue
        assert before not in ENDED
        steps.append(taken)
    assert standing(steps, today).state in CaseState
