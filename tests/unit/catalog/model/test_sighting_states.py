"""The table of what becomes of a sighting."""

from itertools import product

import pytest

from catalog.model.matching import Match, Rule
from catalog.model.profile import Bilingual
from catalog.model.sighting import SightingState as State
from catalog.model.sighting_states import TRANSITIONS, DecisionRefused, SightingEvent, after, seen_as

SEEN = [SightingEvent.SEEN_UNMATCHED, SightingEvent.SEEN_UNCERTAIN, SightingEvent.SEEN_MATCHED]
PAIRS: list[tuple[State | None, SightingEvent]] = list(product([None, *State], SightingEvent))


@pytest.mark.parametrize("state", [None, *State])
@pytest.mark.parametrize("event", SEEN)
def test_a_device_may_show_itself_in_every_state(state: State | None, event: SightingEvent) -> None:
    after(state, event)


@pytest.mark.parametrize("state", [State.ACCEPTED, State.REFUSED])
@pytest.mark.parametrize("event", SEEN)
def test_seeing_a_device_again_never_undoes_a_decision(state: State, event: SightingEvent) -> None:
    assert after(state, event) is state


@pytest.mark.parametrize("event", SEEN)
def test_seeing_alone_never_accepts(event: SightingEvent) -> None:
    reached = {
        after(state, event) for state in (None, State.QUARANTINED, State.AWAITING_CONFIRMATION, State.MATCHED)
    }
    assert not reached & {State.ACCEPTED, State.REFUSED}


def test_a_quarantined_device_cannot_be_confirmed_for_there_is_nothing_to_confirm() -> None:
    with pytest.raises(DecisionRefused, match="quarantined") as caught:
        after(State.QUARANTINED, SightingEvent.CONFIRM)
    assert caught.value.cause == "wrong_state"
    assert "隔离" in caught.value.reason.zh


def test_a_refused_device_can_be_accepted_on_second_thoughts_but_not_confirmed() -> None:
    assert after(State.REFUSED, SightingEvent.ACCEPT) is State.ACCEPTED
    with pytest.raises(DecisionRefused):
        after(State.REFUSED, SightingEvent.CONFIRM)


@pytest.mark.parametrize(("state", "event"), PAIRS)
def test_what_the_table_does_not_hold_is_refused(state: State | None, event: SightingEvent) -> None:
    if (state, event) in TRANSITIONS:
        assert after(state, event) is TRANSITIONS[state, event]
    else:
        with pytest.raises(DecisionRefused):
            after(state, event)


@pytest.mark.parametrize(
    ("found", "event"),
    [
        (None, SightingEvent.SEEN_UNMATCHED),
        (Match(1, Rule.HOST, Bilingual("", ""), True, (1,)), SightingEvent.SEEN_UNCERTAIN),
        (Match(1, Rule.MAC, Bilingual("", ""), False, (1,)), SightingEvent.SEEN_MATCHED),
    ],
)
def test_a_match_says_which_event_it_is(found: Match | None, event: SightingEvent) -> None:
    assert seen_as(found) is event
