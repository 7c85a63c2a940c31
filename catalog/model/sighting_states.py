"""What becomes of a sighting: one table of states, and what is not in it is refused."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from catalog.model.matching import Match
from catalog.model.profile import Bilingual
from catalog.model.sighting import SightingState as State


class SightingEvent(StrEnum):
    """What happens to a sighting: the network shows it again, or a person decides."""

    SEEN_UNMATCHED = "seen_unmatched"
    SEEN_UNCERTAIN = "seen_uncertain"
    SEEN_MATCHED = "seen_matched"
    CONFIRM = "confirm"
    ACCEPT = "accept"
    REFUSE = "refuse"


class DecisionRefused(ValueError):
    """Raised when a decision about a sighting cannot be carried out; nothing was changed.

    Attributes:
        cause: one stable word: `wrong_state`, `ambiguous`, `source_rejected`, `address_taken`,
            `attested_elsewhere`, `path_invalid` or `reason_missing`.
        reason: why, for the operator.
    """

    def __init__(self, cause: str, zh: str, en: str) -> None:
        super().__init__(en)
        self.cause = cause
        self.reason = Bilingual(zh, en)


_SEEN: Final = {
    SightingEvent.SEEN_UNMATCHED: State.QUARANTINED,
    SightingEvent.SEEN_UNCERTAIN: State.AWAITING_CONFIRMATION,
    SightingEvent.SEEN_MATCHED: State.MATCHED,
}
_UNDECIDED: Final = (None, State.QUARANTINED, State.AWAITING_CONFIRMATION, State.MATCHED)
_DECIDED: Final = (State.ACCEPTED, State.REFUSED)

TRANSITIONS: Final[Mapping[tuple[State | None, SightingEvent], State]] = MappingProxyType(
    {
        # What no person decided follows the rules and the roll as they are today.
        **{(state, event): after for state in _UNDECIDED for event, after in _SEEN.items()},
        # What a person decided stays: seeing a refused device again only moves its last_seen_at.
        **{(state, event): state for state in _DECIDED for event in _SEEN},
        (State.AWAITING_CONFIRMATION, SightingEvent.CONFIRM): State.ACCEPTED,
        (State.MATCHED, SightingEvent.CONFIRM): State.ACCEPTED,
        (State.QUARANTINED, SightingEvent.ACCEPT): State.ACCEPTED,
        (State.AWAITING_CONFIRMATION, SightingEvent.ACCEPT): State.ACCEPTED,
        (State.MATCHED, SightingEvent.ACCEPT): State.ACCEPTED,
        (State.REFUSED, SightingEvent.ACCEPT): State.ACCEPTED,
        # A recorder shows once and holds many sources: each of its channels is accepted in turn.
        (State.ACCEPTED, SightingEvent.ACCEPT): State.ACCEPTED,
        (State.QUARANTINED, SightingEvent.REFUSE): State.REFUSED,
        (State.AWAITING_CONFIRMATION, SightingEvent.REFUSE): State.REFUSED,
        (State.MATCHED, SightingEvent.REFUSE): State.REFUSED,
        (State.ACCEPTED, SightingEvent.REFUSE): State.REFUSED,
    }
)
"""(state, event) to the next state; None is an address never seen before."""

_STATES_ZH: Final[Mapping[State, str]] = MappingProxyType(
    {
        State.QUARANTINED: "隔离",
        State.AWAITING_CONFIRMATION: "待确认",
        State.MATCHED: "已匹配",
        State.ACCEPTED: "已接受",
        State.REFUSED: "已拒绝",
    }
)
_DECISIONS_ZH: Final[Mapping[SightingEvent, str]] = MappingProxyType(
    {SightingEvent.CONFIRM: "确认", SightingEvent.ACCEPT: "接受", SightingEvent.REFUSE: "拒绝"}
)


def after(state: State | None, event: SightingEvent) -> State:
    """Return the state after `event`.

    Raises:
        DecisionRefused: the decision does not fit the state (`wrong_state`). Seeing fits every state.
    """
    following = TRANSITIONS.get((state, event))
    if following is None:
        shown = "-" if state is None else _STATES_ZH[state]
        raise DecisionRefused(
            "wrong_state",
            f"状态为「{shown}」，不能{_DECISIONS_ZH[event]}",
            f"a sighting that is {state or 'unseen'} cannot be decided by {event}",
        )
    return following


def seen_as(match: Match | None) -> SightingEvent:
    """Return the event that a new look at a device is."""
    if match is None:
        return SightingEvent.SEEN_UNMATCHED
    return SightingEvent.SEEN_UNCERTAIN if match.needs_confirmation else SightingEvent.SEEN_MATCHED
