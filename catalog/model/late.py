"""Evidence that came late: what it changes of a history, and what it leaves (status model T-4).

The live state and what is stored of it stay as they were. Where evidence that came within `LATE_WINDOW` shows a source
running while it was counted as offline, the history is told with it: a revision, beside the stored intervals.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from catalog.model.connectivity import State
from catalog.model.history import Span
from catalog.model.period import Period, common, merged, without

LATE_WINDOW: Final = timedelta(hours=24)
"""How old what is shown may be when the evidence is entered."""


def is_in_time(shown: Period, entered_at: datetime) -> bool:
    """Tell whether evidence about a while came within the window, and about what has passed."""
    return shown.end <= entered_at and entered_at - shown.start <= LATE_WINDOW


def revised(states: Sequence[Span], running: Iterable[Period], *, is_open_too: bool = False) -> list[Span]:
    """Return a history as other evidence of running tells it.

    Args:
        states: adjoining, oldest first.
        running: when the source is shown to have been running.
        is_open_too: whether the state that goes on is told with it as well: what another gateway sees meanwhile
            is, what people show late is about what is over.
    """
    shown = merged(running)
    told: list[Span] = []
    for span in states:
        if span.what is not State.OFFLINE or (span.end is None and not is_open_too):
            told.append(span)
            continue
        whole = [Period(span.start, span.end or _FOREVER)]
        off, on = without(whole, shown), common(whole, shown)
        parts = sorted([(each, State.OFFLINE) for each in off] + [(each, State.ONLINE) for each in on])
        told += [Span(state, each.start, each.end if each.end < _FOREVER else None) for each, state in parts]
    return told


def observable(states: Sequence[Span], seen: Iterable[Period]) -> list[Period]:
    """Return in which of the times that another gateway saw a source this one's blindness hides nothing (4.7, E14).

    Not those before its first connection: that is made with the gateway that looks after it alone, and nobody is
    charged for not having made it while that one was blind.
    """
    before = [
        Period(span.start, span.end or _FOREVER) for span in states if span.what is State.NEVER_CONNECTED
    ]
    return list(without(merged(seen), merged(before)))


_FOREVER: Final = datetime.max.replace(tzinfo=UTC)
