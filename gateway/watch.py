"""The parameters of the watch over the sources, and what it remembers of each of them."""

from dataclasses import dataclass

from catalog.model.display import UnknownReason


@dataclass(frozen=True)
class LivenessRules:
    """The parameters of the status model 4.3; durations in seconds."""

    probe_interval: float = 60.0
    probe_misses: int = 3
    restart_grace: float = 180.0
    common_cause_share: float = 0.30
    common_cause_min: int = 20
    common_cause_window: float = 120.0
    common_cause_limit: float = 300.0
    "A suspicion that no self-test decided within this time is dropped: unknown is never a refuge."


@dataclass(slots=True)
class Watch:
    """What is remembered of one source, in monotonic seconds."""

    due: float
    observable_from: float
    last_positive: float | None = None
    last_attempt: float | None = None
    misses: int = 0
    cause: str = ""
    connected: bool = False
    down: bool = False
    unknown: UnknownReason | None = None
    grace_until: float = 0.0

    @property
    def base(self) -> float:
        """Return the last instant at which the source was not missing as far as we could know."""
        if self.last_positive is None:
            return self.observable_from
        return max(self.last_positive, self.observable_from)
