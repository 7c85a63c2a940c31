"""What the watch over the sources comes to, and what the self-test answers it."""

from dataclasses import dataclass
from enum import Enum

from catalog.model.display import UnknownReason
from catalog.model.incident import Basis, Fault


@dataclass(frozen=True)
class Lost:
    """The source's answers stayed away."""

    source_id: int
    from_: float
    "The instant it counts as offline from: last positive evidence plus one interval."
    last_positive: float | None
    cause: str
    incident: str | None = None
    "Names the common cause it was part of."


@dataclass(frozen=True)
class BecameUnknown:
    """We cannot see the source."""

    source_id: int
    reason: UnknownReason
    from_: float


@dataclass(frozen=True)
class BecameKnown:
    """We see the source again, or know that we could."""

    source_id: int
    at: float
    void: bool = False
    "The unknown interval never counted: the suspicion behind it was wrong."


Verdict = Lost | BecameUnknown | BecameKnown


@dataclass(frozen=True)
class Decided:
    """A suspicion that many sources share a cause, closed."""

    incident: str
    silent_from: float
    suspected: float
    decided: float
    fault: Fault
    basis: Basis
    silent: int


class SelfTest(Enum):
    """What the self-test says about our own side."""

    OURS = "ours"
    NOT_OURS = "not_ours"
