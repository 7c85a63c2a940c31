"""The measured state of one source, and the one table by which it changes.

Everything that decides a source's state stands in this file. Who observes, who stores and what is laid over the
state (unknown, suspended) stands elsewhere. Definitions: the status model, sections 4.1 to 4.3.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType


class State(StrEnum):
    """Where a source stands on the measured axis."""

    NEVER_CONNECTED = "never_connected"
    ONLINE = "online"
    DEGRADED = "degraded"
    OFFLINE = "offline"


class EvidenceKind(StrEnum):
    """What a fact says about a source."""

    CONNECTED = "connected"
    "The first connection is proven: identity, match, a verified picture, and the superior's acceptance."
    ALIVE = "alive"
    "The source answered for itself: a probe, a keepalive, media."
    LOST = "lost"
    "The allowed number of consecutive answers stayed away while we were able to see."
    LEFT = "left"
    "The source said good-bye: unregister, channel OFF."
    IMPAIRED = "impaired"
    "A degrade reason opened."
    RESTORED = "restored"
    "A degrade reason closed."


class DegradeReason(StrEnum):
    """Why a source that answers is not as it should be."""

    NO_MEDIA = "no_media"
    VIDEO_LOST = "video_lost"
    DEVICE_FAULT = "device_fault"
    CLOCK_SKEW = "clock_skew"
    BITRATE_LOW = "bitrate_low"
    PARTIAL_RELAY = "partial_relay"
    AUTHENTICATION_FAILED = "authentication_failed"


TRANSITIONS: Mapping[tuple[State, EvidenceKind], State] = MappingProxyType(
    {
        # A source that never connected stays so whatever answers or fails to answer: only the proven first
        # connection ends it. This block is the difference between the two reports the product exists for.
        (State.NEVER_CONNECTED, EvidenceKind.CONNECTED): State.ONLINE,
        (State.NEVER_CONNECTED, EvidenceKind.ALIVE): State.NEVER_CONNECTED,
        (State.NEVER_CONNECTED, EvidenceKind.LOST): State.NEVER_CONNECTED,
        (State.NEVER_CONNECTED, EvidenceKind.LEFT): State.NEVER_CONNECTED,
        (State.NEVER_CONNECTED, EvidenceKind.IMPAIRED): State.NEVER_CONNECTED,
        (State.NEVER_CONNECTED, EvidenceKind.RESTORED): State.NEVER_CONNECTED,
        (State.ONLINE, EvidenceKind.CONNECTED): State.ONLINE,
        (State.ONLINE, EvidenceKind.ALIVE): State.ONLINE,
        (State.ONLINE, EvidenceKind.LOST): State.OFFLINE,
        (State.ONLINE, EvidenceKind.LEFT): State.OFFLINE,
        (State.ONLINE, EvidenceKind.IMPAIRED): State.DEGRADED,
        (State.ONLINE, EvidenceKind.RESTORED): State.ONLINE,
        (State.DEGRADED, EvidenceKind.CONNECTED): State.DEGRADED,
        (State.DEGRADED, EvidenceKind.ALIVE): State.DEGRADED,
        (State.DEGRADED, EvidenceKind.LOST): State.OFFLINE,
        (State.DEGRADED, EvidenceKind.LEFT): State.OFFLINE,
        (State.DEGRADED, EvidenceKind.IMPAIRED): State.DEGRADED,
        (State.DEGRADED, EvidenceKind.RESTORED): State.ONLINE,  # once the last reason closed, see `after`
        (State.OFFLINE, EvidenceKind.CONNECTED): State.ONLINE,
        (State.OFFLINE, EvidenceKind.ALIVE): State.ONLINE,
        (State.OFFLINE, EvidenceKind.LOST): State.OFFLINE,
        (State.OFFLINE, EvidenceKind.LEFT): State.OFFLINE,
        (State.OFFLINE, EvidenceKind.IMPAIRED): State.OFFLINE,
        (State.OFFLINE, EvidenceKind.RESTORED): State.OFFLINE,
    }
)


@dataclass(frozen=True)
class Evidence:
    """One dated fact about one source."""

    kind: EvidenceKind
    at: datetime
    "The instant the fact holds from, UTC. For `LOST`: last positive evidence plus one interval."
    reason: DegradeReason | None = None
    "Which degrade reason opened or closed; set for `IMPAIRED` and `RESTORED` only."
    last_positive_at: datetime | None = None
    "Last positive evidence before this fact, UTC."

    def __post_init__(self) -> None:
        if self.at.tzinfo is None:
            raise ValueError("evidence needs a timezone-aware instant")
        if (self.reason is not None) != (self.kind in (EvidenceKind.IMPAIRED, EvidenceKind.RESTORED)):
            raise ValueError(f"{self.kind} evidence and reason {self.reason} do not go together")


@dataclass(frozen=True)
class Connectivity:
    """The state of one source with what it rests on. Changes only through `after`."""

    state: State
    since: datetime
    "Start of the present state, UTC."
    reasons: Mapping[DegradeReason, datetime] = field(default_factory=dict)
    "Open degrade reasons and since when; empty unless degraded."
    first_connected_at: datetime | None = None
    "Written once, never cleared."
    last_positive_at: datetime | None = None
    newest_at: datetime | None = None
    "Instant of the newest sign of life, or of its absence, taken in."

    def __post_init__(self) -> None:
        if (self.state is State.NEVER_CONNECTED) != (self.first_connected_at is None):
            raise ValueError("never connected and a first connection exclude each other")
        if (self.state is State.DEGRADED) != bool(self.reasons):
            raise ValueError("degraded needs at least one reason, and no other state has any")

    def after(self, evidence: Evidence) -> "Connectivity":
        """Return the connectivity after `evidence`.

        Late evidence changes nothing live: a sign of life or its absence that is older than the newest one taken
        in, or a degrade reason older than the present state. So repeated or reordered reports are harmless.
        """
        is_quality = evidence.kind in (EvidenceKind.IMPAIRED, EvidenceKind.RESTORED)
        newest = self.since if is_quality else max(self.since, self.newest_at or self.since)
        if evidence.at < newest:
            return self
        reasons = self._reasons_after(evidence)
        state = TRANSITIONS[self.state, evidence.kind]
        if self.state is State.DEGRADED and evidence.kind is EvidenceKind.RESTORED and reasons:
            state = State.DEGRADED
        return Connectivity(
            state=state,
            since=self.since if state is self.state else evidence.at,
            reasons=reasons if state is State.DEGRADED else {},
            first_connected_at=self._first_connected_after(state, evidence),
            last_positive_at=self._last_positive_after(evidence),
            newest_at=self.newest_at if is_quality else evidence.at,
        )

    def _first_connected_after(self, state: State, evidence: Evidence) -> datetime | None:
        if self.first_connected_at is None and state is not State.NEVER_CONNECTED:
            return evidence.at
        return self.first_connected_at

    def _reasons_after(self, evidence: Evidence) -> dict[DegradeReason, datetime]:
        reasons = dict(self.reasons)
        if evidence.kind is EvidenceKind.IMPAIRED and evidence.reason is not None:
            reasons.setdefault(evidence.reason, evidence.at)
        elif evidence.kind is EvidenceKind.RESTORED and evidence.reason is not None:
            reasons.pop(evidence.reason, None)
        return reasons

    def _last_positive_after(self, evidence: Evidence) -> datetime | None:
        if evidence.kind in (EvidenceKind.CONNECTED, EvidenceKind.ALIVE):
            return evidence.at
        return evidence.last_positive_at or self.last_positive_at

    def same_state_as(self, other: "Connectivity") -> bool:
        """Tell whether nothing that is stored differs: state, start and the set of reasons."""
        return (self.state, self.since, set(self.reasons)) == (other.state, other.since, set(other.reasons))
