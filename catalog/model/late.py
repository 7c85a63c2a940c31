"""Evidence that came late: what it changes of a history, and what it leaves (status model T-4).

The live state and what is stored of it stay as they were. Where evidence that came within `LATE_WINDOW` shows a source
running while it was counted as offline, the history is told with it: a revision, beside the stored intervals.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from catalog.model.connectivity import State
from catalog.model.history import Span
from catalog.model.period import Period, common, merged, without

LATE_WINDOW: Final = timedelta(hours=24)
"""How old what is shown may be when the evidence is entered."""


def is_in_time(shown: Period, entered_at: datetime) -> bool:
    """Tell whether evidence about a while came within the window, and about what has passed."""
    return shown.end <= entered_at and entered_at - shown.start <= LATE_WINDOW


def revised(states: Sequence[Span], late: Iterable[Period]) -> list[Span]:
    """Return a history as late evidence of running tells it.

    Args:
        states: adjoining, oldest first; the last one goes on and is never changed.
        late: when the source is shown to have been running.
    """
    running = merged(late)
    told: list[Span] = []
    for span in states:
        if span.what is not State.OFFLINE or span.end is None:
            told.append(span)
            continue
        whole = [Period(span.start, span.end)]
        off = without(whole, running)
        parts = [(each, State.OFFLINE) for each in off] + [
            (each, State.ONLINE) for each in common(whole, running)
        ]
        told += [Span(state, each.start, each.end) for each, state in sorted(parts, key=lambda of: of[0])]
    return told
