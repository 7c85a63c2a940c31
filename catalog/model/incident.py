"""Many sources went silent together: whose fault it was, and who says so (status model 4.7, E3)."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Fault(StrEnum):
    """Whose fault it was."""

    OURS = "ours"
    """Our own network: its sources stayed unknown, and nobody is charged."""
    NOT_OURS = "not_ours"
    """Not ours: they were lost from where they went silent."""


class Basis(StrEnum):
    """Who says so."""

    SELF_TEST = "self_test"
    TIME_LIMIT = "time_limit"
    """The self-test did not answer in time."""


@dataclass(frozen=True)
class Incident:
    """What was decided about sources that went silent together."""

    name: str
    "Unique within its gateway; the evidence of each source that was lost by it names it."
    silent_from: datetime
    "Around this instant they went silent."
    suspected_at: datetime
    decided_at: datetime
    fault: Fault
    basis: Basis
    silent: int
    "Sources that were silent when it was decided."
