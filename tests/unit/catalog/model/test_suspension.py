"""Suspensions: who may approve what somebody else asked for, and when nothing can be done any more."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from catalog.model.display import SuspendedReason
from catalog.model.operation import read_hours
from catalog.model.period import Period
from catalog.model.suspension import (
    Acted,
    ActRefused,
    SuspensionAct,
    SuspensionState,
    Window,
    check_window,
    require_act,
    suspension_state,
)

NOON = datetime(2026, 11, 20, 4, tzinfo=UTC)
HOUR = timedelta(hours=1)


def window(start: datetime = NOON + HOUR, length: timedelta = 4 * HOUR, document: str = "D-1") -> Window:
    period = Period(start, start + length)
    return Window(SuspendedReason.PLANNED_MAINTENANCE, period, document, NOON, "Li")


AHEAD, LATE = window(), window(NOON - 2 * HOUR)


def test_hours_of_rest_go_with_their_reason_alone() -> None:
    night = read_hours("22:30-05:30")
    check_window(replace(AHEAD, reason=SuspendedReason.OUTSIDE_OPERATION, hours=night))
    for odd in (replace(AHEAD, hours=night), replace(AHEAD, reason=SuspendedReason.OUTSIDE_OPERATION)):
        with pytest.raises(ActRefused, match="hours: they are given with the reason outside_operation"):
            check_window(odd)


def acted(act: SuspensionAct, person: str = "Wang", at: datetime = NOON, text: str = "why") -> Acted:
    return Acted(act, at, person, text)


APPROVED = acted(SuspensionAct.APPROVE)
CONFIRMED = acted(SuspensionAct.APPROVE, "Zhao")


def test_one_other_person_approves_what_is_to_come_and_two_what_has_begun() -> None:
    assert suspension_state(AHEAD, []) is SuspensionState.REQUESTED
    assert suspension_state(AHEAD, [APPROVED]) is SuspensionState.APPROVED
    assert suspension_state(LATE, [APPROVED]) is SuspensionState.HALF_APPROVED
    assert suspension_state(LATE, [APPROVED, CONFIRMED]) is SuspensionState.APPROVED


@pytest.mark.parametrize(
    ("of", "before", "act", "words"),
    [
        (AHEAD, [], acted(SuspensionAct.APPROVE, "Li"), "somebody else approves"),
        (LATE, [APPROVED], acted(SuspensionAct.APPROVE), "a second person"),
        (LATE, [APPROVED], acted(SuspensionAct.APPROVE, "Li"), "somebody else approves"),
        (AHEAD, [APPROVED], CONFIRMED, "approved already"),
        (AHEAD, [acted(SuspensionAct.WITHDRAW)], APPROVED, "withdrawn already"),
        (AHEAD, [acted(SuspensionAct.WITHDRAW)], acted(SuspensionAct.WITHDRAW), "withdrawn already"),
        (AHEAD, [], acted(SuspensionAct.WITHDRAW, text=" "), "give the reason"),
        (AHEAD, [], acted(SuspensionAct.END), "withdraw it instead"),
        (AHEAD, [APPROVED], acted(SuspensionAct.END), "that has begun"),
        (AHEAD, [APPROVED], acted(SuspensionAct.END, at=NOON + 6 * HOUR), "that has begun"),
    ],
)
def test_what_may_not_be_done_is_refused_by_name(
    of: Window, before: list[Acted], act: Acted, words: str
) -> None:
    with pytest.raises(ActRefused, match=words):
        require_act(of, before, act)


def test_a_window_that_goes_on_is_ended_and_one_that_counts_can_be_taken_back() -> None:
    ending = acted(SuspensionAct.END, at=NOON + 2 * HOUR)
    require_act(AHEAD, [APPROVED], ending)
    assert suspension_state(AHEAD, [APPROVED, ending]) is SuspensionState.ENDED
    require_act(AHEAD, [APPROVED], acted(SuspensionAct.WITHDRAW))


@pytest.mark.parametrize(
    ("of", "words"),
    [
        (window(length=timedelta(days=367)), "366 days"),
        (window(NOON - timedelta(days=93)), "92 days"),
        (window(document=" "), "document"),
    ],
)
def test_what_is_asked_for_has_bounds(of: Window, words: str) -> None:
    with pytest.raises(ActRefused, match=words):
        check_window(of)
