"""A source's history as a pure function of its evidence (status model, T-4), and how two tellings of it differ.

What was stored live and what is computed here from the stored facts must be the same for every past instant: one
table of transitions (`connectivity.py`) makes both. A difference means that a stored interval was lost or changed, or
that a fact is missing, and is told in seconds.
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from catalog.model.connectivity import Connectivity, DegradeReason, Evidence, EvidenceKind, State
from catalog.model.display import UnknownReason
from catalog.model.period import Period

_ABOUT_THE_SOURCE = frozenset(EvidenceKind)
_QUALITY = frozenset({EvidenceKind.IMPAIRED, EvidenceKind.RESTORED})


@dataclass(frozen=True, slots=True)
class Fact:
    """One stored row of evidence, as far as the state follows from it."""

    seq: int
    kind: str
    "An `EvidenceKind`, or what was laid over: `unknown_opened`, `unknown_closed`; `flapping_changed`."
    at: datetime
    received_at: datetime
    last_positive_at: datetime | None = None
    reason: str | None = None
    unknown_after: UnknownReason | None = None
    gateway_id: str = ""
    "Which gateway took it in."
    incident: str | None = None
    "The incident of which it is a part: many sources lost together."

    def evidence(self) -> Evidence | None:
        """Return what it says of the source itself; None for what is laid over."""
        if self.kind not in _ABOUT_THE_SOURCE:
            return None
        kind = EvidenceKind(self.kind)
        reason = DegradeReason(self.reason) if kind in _QUALITY and self.reason is not None else None
        return Evidence(kind, self.at, reason, self.last_positive_at)


@dataclass(frozen=True, slots=True)
class Span:
    """A state, or an unknown, for a while."""

    what: State | UnknownReason
    start: datetime
    end: datetime | None
    "None: it goes on."

    def within(self, period: Period) -> Period | None:
        """Return the part of it inside `period`; what goes on fills it to its end."""
        start = max(self.start, period.start)
        end = period.end if self.end is None else min(self.end, period.end)
        return Period(start, end) if start < end else None


@dataclass(frozen=True, slots=True)
class Recomputed:
    """What follows from the evidence."""

    states: Sequence[Span]
    "Adjoining, oldest first; the last one goes on."
    unknowns: Sequence[Span]
    "Of the source itself; a gateway's own outages are laid over all its sources, and stand elsewhere."


def recompute(born_at: datetime, facts: Iterable[Fact]) -> Recomputed:
    """Return the history that the facts tell.

    Args:
        born_at: when the source came to be; it had never connected then.
        facts: all of the source's, in the order in which they were taken in (`seq`).
    """
    now = Connectivity(State.NEVER_CONNECTED, born_at)
    states: list[Span] = []
    unknowns: list[Span] = []
    unknown: UnknownReason | None = None
    unknown_since = born_at
    for fact in facts:
        evidence = fact.evidence()
        if evidence is not None:
            after = now.after(evidence)
            if after.state is not now.state:
                states.append(Span(now.state, now.since, after.since))
            now = after
        if fact.unknown_after is not unknown:
            if unknown is not None and fact.at > unknown_since:
                unknowns.append(Span(unknown, unknown_since, fact.at))
            unknown, unknown_since = fact.unknown_after, fact.at
    states.append(Span(now.state, now.since, None))
    if unknown is not None:
        unknowns.append(Span(unknown, unknown_since, None))
    return Recomputed(states, unknowns)


def state_at(states: Sequence[Span], instant: datetime) -> State | UnknownReason | None:
    """Return what held at an instant; None before the first and in a gap."""
    return _held(states, [instant])[0]


def _held(spans: Sequence[Span], instants: Sequence[datetime]) -> list[State | UnknownReason | None]:
    """Return what held at each of the instants, which are in order: one walk over both."""
    ordered = sorted(spans, key=lambda span: span.start)
    found: list[State | UnknownReason | None] = []
    at = 0
    for instant in instants:
        while at < len(ordered) and (end := ordered[at].end) is not None and end <= instant:
            at += 1
        is_held = at < len(ordered) and ordered[at].start <= instant
        found.append(ordered[at].what if is_held else None)
    return found


@dataclass(frozen=True, slots=True)
class Difference:
    """A while in which what is stored is not what the evidence tells."""

    period: Period
    stored: State | UnknownReason | None
    "None: nothing is stored, although the evidence tells something."
    told: State | UnknownReason | None
    "None: the evidence tells nothing."


def differences(stored: Sequence[Span], told: Sequence[Span], within: Period) -> list[Difference]:
    """Return where two tellings differ inside `within`, in order, each as long as it can be."""
    edges = {within.start, within.end}
    for span in (*stored, *told):
        edges.update(edge for edge in (span.start, span.end) if edge is not None)
    instants = sorted(edge for edge in edges if within.start <= edge <= within.end)
    found: list[Difference] = []
    pairs = zip(_held(stored, instants), _held(told, instants), strict=True)
    for (start, end), (here, there) in zip(itertools.pairwise(instants), pairs, strict=False):
        if here is there:
            continue
        if found and (found[-1].period.end, found[-1].stored, found[-1].told) == (start, here, there):
            found[-1] = Difference(Period(found[-1].period.start, end), here, there)
        else:
            found.append(Difference(Period(start, end), here, there))
    return found
