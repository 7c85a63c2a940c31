"""What the control plane knows of each relay, kept from the workers' events."""

from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Final

from adapters.base import SourceKey, Transport
from gateway.relay.protocol import (
    CodecChanged,
    FirstKeyFrame,
    MediaGapClosed,
    MediaGapOpened,
    PictureFormatSeen,
    Playing,
    RelayCounters,
    RelayEnded,
    RelayState,
    RelayStateChanged,
    SinkState,
    SinkStateChanged,
    SourceEvent,
    StreamFound,
    VerificationFinished,
)
from gateway.relay.spec import RelaySpec

_SUMMED: Final = frozenset(
    {
        "frames",
        "key_frames",
        "bytes_in",
        "frames_out",
        "bytes_out",
        "dropped_frames",
        "drops",
        "sessions",
        "damaged_frames",
        "skipped_frames",
        "lost",
        "late",
        "reordered",
        "duplicates",
        "foreign",
        "kernel_drops",
        "restarts",
        "lost_packets",
        "discontinuities",
    }
)


def no_counters(source_id: SourceKey) -> RelayCounters:
    """Return the counters of a relay that has not counted yet."""
    return RelayCounters(source_id, 0, 0, 0, 0, 0.0, 0, 0, 0, 0, 0, 0)


def add_counters(before: RelayCounters, now: RelayCounters) -> RelayCounters:
    """Return `now` with the totals of `before`, an earlier worker's, added."""
    sums = {f.name: getattr(before, f.name) + getattr(now, f.name) for f in fields(now) if f.name in _SUMMED}
    last_media_at = max(before.last_media_at, now.last_media_at)
    return replace(now, last_media_at=last_media_at, **sums)


@dataclass(frozen=True)
class RelaySnapshot:
    """One relay as the API and the page show it."""

    source_id: SourceKey
    source_code: str
    worker: int | None
    "Process id of its worker; None while that is being replaced."
    state: RelayState
    since: datetime
    cause: str
    "Why the last session ended; empty while none did."
    detail: str
    sink_state: SinkState
    sink_since: datetime
    sink_cause: str
    codec: str
    transport: Transport | None
    width: int
    "Pixels as decoded at verification or as the parameter sets say, the newest; 0 when not known."
    height: int
    in_gap: bool
    "Whether a gap in the media is open."
    on_demand: bool
    counters: RelayCounters
    readers: int = 0
    "Clients that pull it from us now."


@dataclass
class RelayView:
    """One relay, changed by its events alone."""

    spec: RelaySpec
    since: datetime
    sink_since: datetime
    state: RelayState = RelayState.CONNECTING
    cause: str = ""
    detail: str = ""
    sink_state: SinkState = SinkState.NONE
    sink_cause: str = ""
    codec: str = ""
    transport: Transport | None = None
    width: int = 0
    height: int = 0
    in_gap: bool = False
    readers: set[int] = field(default_factory=set)
    "Numbers of the clients that pull it from us."
    verified: bool = False
    "Whether a verification passed."
    placed_at: float = 0.0
    "Monotonic; when it came to its present worker."
    before: RelayCounters = field(init=False)
    "Totals of the workers that are gone."
    counters: RelayCounters = field(init=False)
    "Totals of the present worker."

    def __post_init__(self) -> None:
        self.before = self.counters = no_counters(self.spec.source_id)
        if self.spec.sink is not None:
            self.sink_state = SinkState.IDLE

    def take(self, event: SourceEvent) -> None:
        """Take in a fact about this relay."""
        match event:
            case RelayStateChanged():
                self.state, self.since = event.state, event.at_utc
            case Playing():
                self.codec, self.transport = event.codec, event.transport
                self.cause = self.detail = ""
            case RelayEnded():
                self.cause, self.detail, self.in_gap = event.cause, event.detail, False
            case SinkStateChanged():
                self.sink_state, self.sink_since = event.state, event.at_utc
                self.sink_cause = event.cause
            case MediaGapOpened() | MediaGapClosed():
                self.in_gap = isinstance(event, MediaGapOpened)
            case FirstKeyFrame() | PictureFormatSeen():
                # A session that decodes nothing leaves the size to the parameter sets.
                self.width, self.height = event.width or self.width, event.height or self.height
            case CodecChanged():
                self.codec = event.after
            case VerificationFinished():
                self.verified = self.verified or event.passed
            case StreamFound():
                pass

    def is_movable(self, now: float, settled: float) -> bool:
        """Tell whether it may go to another worker at monotonic `now`.

        It plays, is no verification, nobody looks (a login for one look is spent), and it has been where it is for
        `settled` seconds.
        """
        is_steady = self.state is RelayState.PLAYING and not self.in_gap and not self.readers
        return is_steady and (self.verified or not self.spec.verify) and now - self.placed_at >= settled

    def lose_worker(self) -> None:
        """Keep the totals of a worker that is gone."""
        self.before = self.total()
        self.counters = no_counters(self.spec.source_id)
        self.readers.clear()

    def total(self) -> RelayCounters:
        """Return the totals over all workers."""
        return add_counters(self.before, self.counters)

    def snapshot(self, worker: int | None) -> RelaySnapshot:
        """Return what can be shown of this relay."""
        return RelaySnapshot(
            source_id=self.spec.source_id,
            source_code=self.spec.source_code,
            worker=worker,
            state=self.state,
            since=self.since,
            cause=self.cause,
            detail=self.detail,
            sink_state=self.sink_state,
            sink_since=self.sink_since,
            sink_cause=self.sink_cause,
            codec=self.codec,
            transport=self.transport,
            width=self.width,
            height=self.height,
            in_gap=self.in_gap,
            on_demand=self.spec.on_demand,
            counters=self.total(),
            readers=len(self.readers),
        )
