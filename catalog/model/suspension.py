"""A suspension: a window in which a site is not charged, asked for by one person and approved by others (4.3).

Who asks does not approve. A window that is asked for after it began is retroactive: two people approve it, and it is
told apart in every report.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from catalog.model.display import SuspendedReason
from catalog.model.operation import RestHours
from catalog.model.period import Period

LONGEST: Final = timedelta(days=366)
"""Of one window: what lasts longer is asked for again."""

FURTHEST_BACK: Final = timedelta(days=92)
"""A window that began longer ago can no longer be asked for: its reports were handed over."""


class SuspensionAct(StrEnum):
    """What a person does to a suspension."""

    APPROVE = "approve"
    WITHDRAW = "withdraw"
    "It never counts, not even for the time that has passed."
    END = "end"
    "It counts up to now."


class SuspensionState(StrEnum):
    """Where a suspension stands."""

    REQUESTED = "requested"
    HALF_APPROVED = "waits_for_a_second_approval"
    APPROVED = "approved"
    ENDED = "ended"
    WITHDRAWN = "withdrawn"


class ActRefused(ValueError):
    """Raised when a request or an act may not be; the message says why."""


@dataclass(frozen=True)
class Window:
    """What is asked for."""

    reason: SuspendedReason
    period: Period
    document: str
    "Number of the document that it rests on."
    requested_at: datetime
    requested_by: str
    hours: RestHours | None = None
    "The hours of the day that are taken of it, where it is of a source that does not always operate; None for all."

    @property
    def is_retroactive(self) -> bool:
        """Tell whether it was asked for after it had begun."""
        return self.period.start < self.requested_at


@dataclass(frozen=True)
class Acted:
    """One act."""

    act: SuspensionAct
    at: datetime
    person: str
    text: str = ""


def check_window(window: Window) -> None:
    """Check what is asked for.

    Raises:
        ActRefused: too long, too long ago, without a document, or hours and reason do not fit.
    """
    if window.period.end - window.period.start > LONGEST:
        raise ActRefused(f"a window is at most {LONGEST.days} days long; ask for the rest when it comes")
    if window.requested_at - window.period.start > FURTHEST_BACK:
        raise ActRefused(
            f"a window that began more than {FURTHEST_BACK.days} days ago is not taken in any more"
        )
    if not window.document.strip():
        raise ActRefused("document: a suspension rests on one, name its number")
    if (window.hours is not None) != (window.reason is SuspendedReason.OUTSIDE_OPERATION):
        raise ActRefused(
            f"hours: they are given with the reason {SuspendedReason.OUTSIDE_OPERATION}, and with no other"
        )


def suspension_state(window: Window, acts: Sequence[Acted]) -> SuspensionState:
    """Return where a suspension stands after its acts."""
    kinds = {acted.act for acted in acts}
    if SuspensionAct.WITHDRAW in kinds:
        return SuspensionState.WITHDRAWN
    if SuspensionAct.END in kinds:
        return SuspensionState.ENDED
    approvers = {acted.person for acted in acts if acted.act is SuspensionAct.APPROVE}
    if not approvers:
        return SuspensionState.REQUESTED
    needed = 2 if window.is_retroactive else 1
    return SuspensionState.APPROVED if len(approvers) >= needed else SuspensionState.HALF_APPROVED


def require_act(window: Window, acts: Sequence[Acted], acted: Acted) -> None:
    """Check that an act may be done.

    Raises:
        ActRefused: it may not; the message says why.
    """
    state = suspension_state(window, acts)
    if acted.act is SuspensionAct.APPROVE:
        if state not in {SuspensionState.REQUESTED, SuspensionState.HALF_APPROVED}:
            raise ActRefused(f"it is {state} already")
        if acted.person == window.requested_by:
            raise ActRefused(f"{acted.person} asked for it: somebody else approves")
        if acted.person in {before.person for before in acts if before.act is SuspensionAct.APPROVE}:
            raise ActRefused(
                f"{acted.person} has approved it: a second person is needed, for it began before it was asked for"
            )
        return
    if state in {SuspensionState.WITHDRAWN, SuspensionState.ENDED}:
        raise ActRefused(f"it is {state} already")
    if not acted.text.strip():
        raise ActRefused("text: give the reason")
    if acted.act is SuspensionAct.END:
        if state is not SuspensionState.APPROVED:
            raise ActRefused(f"it is {state}: withdraw it instead")
        if not window.period.start < acted.at < window.period.end:
            raise ActRefused(
                "only a window that has begun and goes on can be ended; withdraw one that has not begun"
            )
