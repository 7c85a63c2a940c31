"""Many sources fell silent together: one cause is likelier than many, and it may be us (edge case E3). Sans-IO."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field

from gateway.watch import LivenessRules


@dataclass
class Suspicion:
    """Many sources went silent together; a self-test has to say whether that is our own fault."""

    incident: str
    opened: float
    base: float
    "Around this instant they went silent."
    members: set[int] = field(default_factory=set)


class CommonCause:
    """Finds common causes, and keeps one incident one however its sources come to light, one probe after the other."""

    def __init__(self, rules: LivenessRules) -> None:
        self._rules = rules
        self._incidents = 0
        self._last: Suspicion | None = None
        "The suspicion that was decided last."
        self.open: Suspicion | None = None

    def suspect(self, ripe: Iterable[float], missing: Iterable[float], up: int, now: float) -> None:
        """Open a suspicion if one of the sources about to be lost went silent together with many.

        Args:
            ripe: when each of those about to be lost was last not missing.
            missing: the same of all that miss answers, those about to be lost included.
            up: sources that are not offline, silent ones included.
            now: monotonic seconds.
        """
        rules, window = self._rules, self._rules.common_cause_window
        enough = max(rules.common_cause_min, rules.common_cause_share * up)
        silent = sorted(missing)
        if len(silent) < enough:
            return
        for base in sorted(set(ripe)):
            if bisect_right(silent, base + window) - bisect_left(silent, base - window) >= enough:
                self.open = Suspicion(self._incident_at(base, now), opened=now, base=base)
                return

    def incident_of(self, base: float, now: float) -> str | None:
        """Return the incident, decided not to be ours, that a source lost since `base` belongs to."""
        last = self._last
        if (
            last is None
            or now - last.opened > self._rules.common_cause_limit
            or not self.is_around(last, base)
        ):
            return None
        return last.incident

    def is_around(self, suspicion: Suspicion, base: float) -> bool:
        """Tell whether a source lost since `base` went silent together with those of `suspicion`."""
        return abs(base - suspicion.base) <= self._rules.common_cause_window

    def close(self) -> Suspicion | None:
        """Close the open suspicion and return it."""
        closed, self.open = self.open, None
        self._last = closed or self._last
        return closed

    def _incident_at(self, base: float, now: float) -> str:
        """Return the name of the incident around `base`: a suspicion may come up again while its probes fail."""
        known = self.incident_of(base, now)
        if known is None:
            self._incidents += 1
            known = f"incident-{self._incidents}"
        return known
