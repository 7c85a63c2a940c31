"""Which of all that is known of a source is shown."""

from datetime import date

import pytest

from catalog.model.connectivity import State
from catalog.model.display import (
    Displayed,
    Lifecycle,
    NeverConnected,
    SuspendedReason,
    UnknownReason,
    days_overdue,
    displayed,
    never_connected_substate,
)

DUE = date(2026, 9, 30)


@pytest.mark.parametrize(
    ("expected", "lifecycle", "suspended", "unknown"),
    [
        (Displayed.REMOVED, Lifecycle.REMOVED, SuspendedReason.MUNICIPAL_WORKS, UnknownReason.GATEWAY_DOWN),
        (Displayed.REJECTED, Lifecycle.REJECTED, SuspendedReason.MUNICIPAL_WORKS, UnknownReason.GATEWAY_DOWN),
        (
            Displayed.SUSPENDED,
            Lifecycle.REQUIRED,
            SuspendedReason.MUNICIPAL_WORKS,
            UnknownReason.GATEWAY_DOWN,
        ),
        (Displayed.UNKNOWN, Lifecycle.REQUIRED, None, UnknownReason.GATEWAY_DOWN),
        (Displayed.OFFLINE, Lifecycle.REQUIRED, None, None),
    ],
)
def test_first_match_wins(
    expected: Displayed,
    lifecycle: Lifecycle,
    suspended: SuspendedReason | None,
    unknown: UnknownReason | None,
) -> None:
    assert displayed(lifecycle, suspended, unknown, State.OFFLINE) is expected


@pytest.mark.parametrize("state", list(State))
def test_the_measured_state_shows_when_nothing_is_laid_over_it(state: State) -> None:
    assert displayed(Lifecycle.REGISTERED, None, None, state).value == state.value


@pytest.mark.parametrize(
    ("today", "days"), [(DUE, 0), (date(2026, 9, 1), 0), (date(2026, 10, 1), 1), (date(2026, 11, 21), 52)]
)
def test_the_due_day_itself_is_in_time(today: date, days: int) -> None:
    assert days_overdue(today=today, due_on=DUE) == days


def test_without_a_due_day_nothing_is_overdue() -> None:
    assert days_overdue(today=DUE, due_on=None) == 0


@pytest.mark.parametrize(
    ("today", "seen", "expected"),
    [
        (DUE, False, NeverConnected.NOT_DUE),
        (date(2026, 10, 1), False, NeverConnected.DUE),
        (date(2026, 10, 1), True, NeverConnected.SEEN_NOT_CONNECTED),
    ],
)
def test_substates_of_never_connected(today: date, seen: bool, expected: NeverConnected) -> None:
    assert never_connected_substate(today=today, due_on=DUE, seen=seen) is expected
