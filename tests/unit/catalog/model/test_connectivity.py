"""The table of transitions, against a small oracle written apart from it."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.model.connectivity import (
    TRANSITIONS,
    Connectivity,
    DegradeReason,
    Evidence,
    EvidenceKind,
    State,
)

START = datetime(2026, 11, 1, tzinfo=UTC)
QUALITY = (EvidenceKind.IMPAIRED, EvidenceKind.RESTORED)
SIGNS = tuple(kind for kind in EvidenceKind if kind not in QUALITY)


def at(seconds: int) -> datetime:
    return START + timedelta(seconds=seconds)


def never() -> Connectivity:
    return Connectivity(State.NEVER_CONNECTED, START)


def online() -> Connectivity:
    return never().after(Evidence(EvidenceKind.CONNECTED, at(1)))


def test_every_state_has_a_row_for_every_kind_of_evidence() -> None:
    assert set(TRANSITIONS) == set(product(State, EvidenceKind))


@pytest.mark.parametrize("kind", [kind for kind in SIGNS if kind is not EvidenceKind.CONNECTED])
def test_nothing_but_the_proven_first_connection_ends_never_connected(kind: EvidenceKind) -> None:
    after = never().after(Evidence(kind, at(60)))

    assert after.state is State.NEVER_CONNECTED
    assert after.first_connected_at is None
    assert after.since == START


def test_the_first_connection_is_written_once_and_never_cleared() -> None:
    source = (
        online().after(Evidence(EvidenceKind.LOST, at(100))).after(Evidence(EvidenceKind.CONNECTED, at(200)))
    )

    assert source.first_connected_at == at(1)
    assert source.state is State.ONLINE
    assert source.since == at(200)


def test_late_evidence_changes_nothing_live() -> None:
    source = online().after(Evidence(EvidenceKind.ALIVE, at(500)))

    assert source.after(Evidence(EvidenceKind.LOST, at(400))) is source


def test_repeated_evidence_moves_no_since() -> None:
    offline = online().after(Evidence(EvidenceKind.LOST, at(100)))

    assert offline.after(Evidence(EvidenceKind.LOST, at(160))).since == at(100)


def test_degraded_ends_when_the_last_reason_closes() -> None:
    source = online()
    for reason, seconds in ((DegradeReason.NO_MEDIA, 10), (DegradeReason.CLOCK_SKEW, 20)):
        source = source.after(Evidence(EvidenceKind.IMPAIRED, at(seconds), reason=reason))
    half = source.after(Evidence(EvidenceKind.RESTORED, at(30), reason=DegradeReason.NO_MEDIA))
    whole = half.after(Evidence(EvidenceKind.RESTORED, at(40), reason=DegradeReason.CLOCK_SKEW))

    assert (half.state, half.since, set(half.reasons)) == (State.DEGRADED, at(10), {DegradeReason.CLOCK_SKEW})
    assert (whole.state, whole.since, dict(whole.reasons)) == (State.ONLINE, at(40), {})


def test_a_degrade_reason_does_not_age_the_signs_of_life() -> None:
    source = online().after(Evidence(EvidenceKind.IMPAIRED, at(100), reason=DegradeReason.NO_MEDIA))

    assert source.after(Evidence(EvidenceKind.ALIVE, at(50))).last_positive_at == at(1)
    assert source.after(Evidence(EvidenceKind.ALIVE, at(101))).last_positive_at == at(101)


def test_losing_a_degraded_source_forgets_its_reasons() -> None:
    source = online().after(Evidence(EvidenceKind.IMPAIRED, at(100), reason=DegradeReason.NO_MEDIA))

    assert dict(source.after(Evidence(EvidenceKind.LOST, at(200))).reasons) == {}


def test_evidence_without_a_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="timezone-aware"):
        Evidence(EvidenceKind.ALIVE, datetime(2026, 11, 1))  # noqa: DTZ001


@pytest.mark.parametrize(
    ("kind", "reason"), [(EvidenceKind.ALIVE, DegradeReason.NO_MEDIA), (EvidenceKind.IMPAIRED, None)]
)
def test_a_reason_goes_with_quality_alone(kind: EvidenceKind, reason: DegradeReason | None) -> None:
    with pytest.raises(ValueError, match="do not go together"):
        Evidence(kind, START, reason=reason)


def test_contradicting_values_are_refused() -> None:
    with pytest.raises(ValueError, match="exclude each other"):
        Connectivity(State.ONLINE, START)
    with pytest.raises(ValueError, match="at least one reason"):
        Connectivity(State.DEGRADED, START, first_connected_at=START)


@dataclass
class Oracle:
    """What the decree's words say, step by step, without any table."""

    connected_ever: bool = False
    reachable: bool = False
    reasons: set[DegradeReason] = field(default_factory=set)
    changed: list[tuple[str, datetime]] = field(default_factory=lambda: [("never_connected", START)])
    newest: datetime = START

    def name(self) -> str:
        if not self.connected_ever:
            return "never_connected"
        if not self.reachable:
            return "offline"
        return "degraded" if self.reasons else "online"

    def take(self, evidence: Evidence) -> None:
        if evidence.kind in QUALITY:
            if evidence.at < self.changed[-1][1]:
                return
        elif evidence.at < max(self.newest, self.changed[-1][1]):
            return
        else:
            self.newest = evidence.at
        self.step(evidence)
        if not self.reachable:
            self.reasons.clear()
        if self.name() != self.changed[-1][0]:
            self.changed.append((self.name(), evidence.at))

    def step(self, evidence: Evidence) -> None:
        if evidence.kind is EvidenceKind.CONNECTED:
            self.connected_ever = self.reachable = True
        elif evidence.kind is EvidenceKind.ALIVE:
            self.reachable = self.connected_ever
        elif evidence.kind in (EvidenceKind.LOST, EvidenceKind.LEFT):
            self.reachable = False
        elif evidence.kind is EvidenceKind.IMPAIRED and evidence.reason and self.reachable:
            self.reasons.add(evidence.reason)
        elif evidence.kind is EvidenceKind.RESTORED and evidence.reason:
            self.reasons.discard(evidence.reason)


instants = st.integers(0, 500).map(at)
evidence = st.one_of(
    st.builds(Evidence, st.sampled_from(SIGNS), instants),
    st.builds(Evidence, st.sampled_from(QUALITY), instants, reason=st.sampled_from(DegradeReason)),
)


@given(st.lists(evidence, max_size=40))
def test_the_table_agrees_with_the_oracle_on_any_stream_of_late_and_repeated_evidence(
    stream: list[Evidence],
) -> None:
    source, oracle = never(), Oracle()
    history = [(source.state.value, source.since)]
    for fact in stream:
        source = source.after(fact)
        oracle.take(fact)
        if source.state.value != history[-1][0]:
            history.append((source.state.value, source.since))

    assert history == oracle.changed
    assert set(source.reasons) == oracle.reasons


@given(st.lists(evidence, max_size=40))
def test_intervals_never_run_backwards(stream: list[Evidence]) -> None:
    source = never()
    starts = [source.since]
    for fact in stream:
        source = source.after(fact)
        starts.append(source.since)

    assert all(earlier <= later for earlier, later in pairwise(starts))
