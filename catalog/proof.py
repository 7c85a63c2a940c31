"""Recomputation: is what was stored live what the evidence tells, and how well could we see?"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from catalog.database import Database
from catalog.histories import Histories, SourceHistory
from catalog.model.connectivity import EvidenceKind
from catalog.model.display import UnknownReason
from catalog.model.history import Difference, Fact, differences, recompute
from catalog.model.period import Period, common, total
from catalog.model.rates import taken_out
from catalog.reports import View

MOST_KEPT = 1_000
"""Differences that are told one by one; all are counted."""

_BACK = frozenset({EvidenceKind.ALIVE.value, EvidenceKind.CONNECTED.value})


@dataclass(frozen=True)
class Found:
    """One difference and whose it is."""

    source_id: int
    gb_id: str | None
    site: str
    difference: Difference


@dataclass
class Proof:
    """What a recomputation found in one period."""

    period: Period
    sources: int = 0
    facts: int = 0
    "Of all times: a history is told from the source's birth."
    differing: int = 0
    "Sources with a difference."
    false_time: timedelta = timedelta()
    "In which another state was stored than the evidence tells."
    missing_time: timedelta = timedelta()
    "In which nothing was stored, although the evidence tells a state."
    found: list[Found] = field(default_factory=list)
    device_time: timedelta = timedelta()
    "Of all sources together."
    unknown_time: dict[UnknownReason, timedelta] = field(default_factory=dict)
    "In which we could not see, by cause; a second stands under one cause alone."
    detection: list[float] = field(default_factory=list)
    "Seconds from the instant from which a source counts as offline to the one at which that was known."
    correction: list[float] = field(default_factory=list)
    "The same for sources that came back."

    @property
    def holds(self) -> bool:
        """Tell whether what was stored is what the evidence tells."""
        return not self.differing

    def unknown_per_device_hour(self) -> dict[UnknownReason, float]:
        """Return the seconds in which we could not see, of an hour of one device, by cause."""
        hours = self.device_time / timedelta(hours=1)
        if not hours:
            return {}
        return {reason: of.total_seconds() / hours for reason, of in sorted(self.unknown_time.items())}


async def prove(database: Database, view: View, period: Period, *, source_id: int | None = None) -> Proof:
    """Recompute the sources of the view's region and compare with what is stored in `period`.

    Raises:
        DatabaseAway: no answer.
    """
    proof = Proof(period)
    histories = Histories(database, view)
    async for part in histories.of_region(after=period.start, with_facts=True, source_id=source_id):
        for history in part:
            _compare(history, proof)
    return proof


def _compare(history: SourceHistory, proof: Proof) -> None:
    lived = common([history.existed], [proof.period])
    if not lived:
        return
    proof.sources += 1
    proof.facts += len(history.facts)
    proof.device_time += total(lived)
    told = recompute(history.existed.start, history.facts)
    found: list[Difference] = []
    for within in lived:
        # As stored: what came late is told beside it, and changes none of it.
        found += differences(history.stored, told.states, within)
        found += differences(history.unknowns, told.unknowns, within)
    if found:
        proof.differing += 1
    for difference in found:
        length = total([difference.period])
        if difference.stored is None:
            proof.missing_time += length
        else:
            proof.false_time += length
        if len(proof.found) < MOST_KEPT:
            proof.found.append(Found(history.source_id, history.gb_id, history.site, difference))
    _, hidden = taken_out(
        lived, [each for each in history.laid(proof.period.end) if each.reason in UnknownReason]
    )
    for reason, periods in hidden.items():
        if isinstance(reason, UnknownReason):
            proof.unknown_time[reason] = proof.unknown_time.get(reason, timedelta()) + total(periods)
    _measure(history.facts, proof)


def _measure(facts: Sequence[Fact], proof: Proof) -> None:
    """Take in how long it took to know; a fact that closed nothing but an unknown time measures nothing."""
    is_lost = False
    for fact in facts:
        delay = (fact.received_at - fact.at).total_seconds()
        counts = _inside(fact.at, proof.period)
        if fact.kind in {EvidenceKind.LOST.value, EvidenceKind.LEFT.value}:
            is_lost = True
            if counts:
                proof.detection.append(delay)
        elif is_lost and fact.kind in _BACK:
            is_lost = False
            if counts:
                proof.correction.append(delay)


def _inside(instant: datetime, period: Period) -> bool:
    return period.start <= instant < period.end
