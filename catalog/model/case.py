"""A case: who must connect and never did, from a candidate to its end (WX-21, WX-34; status model 4.6).

One table says which step leads from which state to which. A case is its steps, in order; its state follows from them
and from the day alone, so nothing has to run for a deadline to pass. The deadline is that of the police's order and is
never computed; an amount is never proposed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class CaseState(StrEnum):
    """Where a case stands."""

    CANDIDATE = "candidate"
    "Found by the system: evidence, and no person has looked at it."
    VERIFIED = "verified"
    "A person confirmed it and named whom it is addressed to."
    DISPUTED = "disputed"
    "The unit, or the operator for it, objected before anything was ordered; nothing goes on until that is answered."
    ORDERED = "ordered"
    "The police ordered the connection by a day."
    OVERDUE = "overdue"
    "That day has passed; the day itself is in time."
    APPEALED = "appealed"
    "An appeal freezes every onward step."
    RECTIFIED = "rectified"
    REFERRED = "referred_for_penalty"
    WITHDRAWN = "withdrawn"
    CLOSED = "closed"


class CaseStep(StrEnum):
    """What a person does to a case."""

    VERIFY = "verify"
    DISPUTE = "dispute"
    ANSWER = "answer"
    ORDER = "order"
    EXTEND = "extend"
    APPEAL = "appeal"
    RESUME = "resume"
    RECTIFY = "rectify"
    REFER = "refer"
    WITHDRAW = "withdraw"
    CLOSE = "close"


STEPS: Final[Mapping[tuple[CaseState, CaseStep], CaseState]] = MappingProxyType(
    {
        (CaseState.CANDIDATE, CaseStep.VERIFY): CaseState.VERIFIED,
        (CaseState.CANDIDATE, CaseStep.DISPUTE): CaseState.DISPUTED,
        (CaseState.CANDIDATE, CaseStep.WITHDRAW): CaseState.WITHDRAWN,
        (CaseState.VERIFIED, CaseStep.DISPUTE): CaseState.DISPUTED,
        (CaseState.VERIFIED, CaseStep.ORDER): CaseState.ORDERED,
        (CaseState.VERIFIED, CaseStep.WITHDRAW): CaseState.WITHDRAWN,
        # An answered dispute is looked at anew: nobody orders on the strength of what was doubted.
        (CaseState.DISPUTED, CaseStep.ANSWER): CaseState.CANDIDATE,
        (CaseState.DISPUTED, CaseStep.WITHDRAW): CaseState.WITHDRAWN,
        (CaseState.ORDERED, CaseStep.EXTEND): CaseState.ORDERED,
        (CaseState.ORDERED, CaseStep.APPEAL): CaseState.APPEALED,
        (CaseState.ORDERED, CaseStep.RECTIFY): CaseState.RECTIFIED,
        (CaseState.ORDERED, CaseStep.WITHDRAW): CaseState.WITHDRAWN,
        (CaseState.OVERDUE, CaseStep.EXTEND): CaseState.ORDERED,
        (CaseState.OVERDUE, CaseStep.APPEAL): CaseState.APPEALED,
        (CaseState.OVERDUE, CaseStep.RECTIFY): CaseState.RECTIFIED,
        (CaseState.OVERDUE, CaseStep.REFER): CaseState.REFERRED,
        (CaseState.OVERDUE, CaseStep.WITHDRAW): CaseState.WITHDRAWN,
        (CaseState.APPEALED, CaseStep.RESUME): CaseState.ORDERED,
        (CaseState.APPEALED, CaseStep.WITHDRAW): CaseState.WITHDRAWN,
        (CaseState.RECTIFIED, CaseStep.CLOSE): CaseState.CLOSED,
        (CaseState.REFERRED, CaseStep.CLOSE): CaseState.CLOSED,
    }
)

ENDED: Final = frozenset({CaseState.WITHDRAWN, CaseState.CLOSED})

NEEDED: Final[Mapping[CaseStep, tuple[str, ...]]] = MappingProxyType(
    {
        CaseStep.VERIFY: ("addressee",),
        CaseStep.DISPUTE: ("by", "text"),
        CaseStep.ANSWER: ("text",),
        CaseStep.ORDER: ("organ", "order_number", "served_on", "deadline", "items"),
        CaseStep.EXTEND: ("organ", "deadline", "document"),
        CaseStep.APPEAL: ("by", "text"),
        CaseStep.RESUME: ("organ", "text"),
        CaseStep.RECTIFY: ("organ",),
        CaseStep.REFER: ("organ", "document"),
        CaseStep.WITHDRAW: ("text",),
        CaseStep.CLOSE: ("text",),
    }
)
"""What each step must be given; what the police alone do names the organ whose act it is."""

LONGEST: Final = 2_000
"""Characters of one field."""


class StepRefused(ValueError):
    """Raised when a step does not lead on from where the case stands, or lacks something; the message says what."""


@dataclass(frozen=True)
class Taken:
    """One step of a case."""

    step: CaseStep
    at: datetime
    on: date
    "The local day of `at`: deadlines are local days."
    person: str
    "Who entered it."
    detail: Mapping[str, str] = field(default_factory=dict)
    "Fields of `NEEDED`; days as 2026-11-30."


@dataclass(frozen=True)
class Standing:
    """Where a case stands on a day."""

    state: CaseState
    deadline: date | None
    "The day by which the order must be fulfilled; None before an order."
    days_overdue: int
    "Whole days since the deadline; 0 on it and before it, and where nothing is overdue."
    addressee: str | None


def standing(steps: Sequence[Taken], today: date) -> Standing:
    """Return where a case stands on the local day `today`."""
    state, deadline, addressee = CaseState.CANDIDATE, None, None
    for taken in steps:
        # Whether a day had passed is judged by the day on which the step was taken.
        state = STEPS[_on(state, deadline, taken.on), taken.step]
        if taken.step in {CaseStep.ORDER, CaseStep.EXTEND}:
            deadline = date.fromisoformat(taken.detail["deadline"])
        if taken.step is CaseStep.VERIFY:
            addressee = taken.detail["addressee"]
    state = _on(state, deadline, today)
    overdue = (today - deadline).days if state is CaseState.OVERDUE and deadline is not None else 0
    return Standing(state, deadline, overdue, addressee)


def allowed(state: CaseState) -> list[CaseStep]:
    """Return the steps that lead on from a state."""
    return [step for (here, step) in STEPS if here is state]


def require(steps: Sequence[Taken], taken: Taken) -> None:
    """Check that a further step may be taken.

    Args:
        steps: those of the case so far.
        taken: the next one.

    Raises:
        StepRefused: it may not; the message names what is wrong and what could be done.
    """
    now = standing(steps, taken.on)
    if (now.state, taken.step) not in STEPS:
        ways = ", ".join(allowed(now.state)) or "nothing: it has ended"
        raise StepRefused(
            f"the case is {now.state}: {taken.step} does not lead on from there; possible: {ways}"
        )
    missing = [name for name in NEEDED[taken.step] if not taken.detail.get(name, "").strip()]
    if missing:
        raise StepRefused(f"{taken.step} needs {', '.join(missing)}")
    unknown = sorted(set(taken.detail) - set(NEEDED[taken.step]))
    if unknown:
        raise StepRefused(f"{taken.step} takes no {', '.join(unknown)}")
    too_long = [name for name, text in taken.detail.items() if len(text) > LONGEST]
    if too_long:
        raise StepRefused(f"{too_long[0]}: longer than {LONGEST} characters")
    days = {
        name: _read(name, text) for name, text in taken.detail.items() if name in {"served_on", "deadline"}
    }
    _require_days(days, now, taken)


def _require_days(days: Mapping[str, date], now: Standing, taken: Taken) -> None:
    served, deadline = days.get("served_on"), days.get("deadline")
    if served is not None and served > taken.on:
        raise StepRefused(f"served_on: {served} lies in the future; enter the order once it was served")
    if served is not None and deadline is not None and deadline < served:
        raise StepRefused(f"deadline: {deadline} lies before the order was served, {served}")
    if taken.step is CaseStep.EXTEND and deadline is not None and now.deadline is not None:
        if deadline <= now.deadline:
            raise StepRefused(f"deadline: {deadline} is no later than {now.deadline}")
        if deadline < taken.on:
            raise StepRefused(f"deadline: {deadline} has passed already")


def _on(state: CaseState, deadline: date | None, day: date) -> CaseState:
    is_past = deadline is not None and day > deadline
    return CaseState.OVERDUE if state is CaseState.ORDERED and is_past else state


def _read(name: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise StepRefused(f"{name}: {text!r} is no day, write 2026-11-30") from None
