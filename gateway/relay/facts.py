"""What one relay has to tell: its events, its running totals, the gaps in its media."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from adapters.base import SourceKey
from gateway.clock import Clock
from gateway.relay.chunk import MediaChunk
from gateway.relay.protocol import (
    Event,
    MediaGapClosed,
    MediaGapOpened,
    RelayCounters,
    RelayState,
    RelayStateChanged,
    SinkState,
    SinkStateChanged,
)
from gateway.relay.queue import SinkQueue
from gateway.relay.reception import Reception
from gateway.relay.spec import RelaySpec


class Reporter:
    """Send the events of one source, each with both its times."""

    def __init__(self, source_id: SourceKey, clock: Clock, send: Callable[[Event], None]) -> None:
        self.source_id = source_id
        self.clock = clock
        self._send = send
        self._state: RelayState | None = None
        self._sink: tuple[SinkState, str] | None = None

    def times(self) -> tuple[SourceKey, float, datetime]:
        """Return the first three fields of every event about a source."""
        return self.source_id, self.clock.monotonic(), self.clock.now()

    def report(self, event: Event) -> None:
        """Send `event`."""
        self._send(event)

    def enter(self, state: RelayState) -> None:
        """Report that the pull is in `state`, unless it was."""
        if state is not self._state:
            self._state = state
            self._send(RelayStateChanged(*self.times(), state))

    def enter_sink(self, state: SinkState, cause: str = "", status: int = 0, detail: str = "") -> None:
        """Report that the push is in `state`, unless it was there for the same cause."""
        if (state, cause) != self._sink:
            self._sink = (state, cause)
            self._send(SinkStateChanged(*self.times(), state, cause, status, detail))


class Totals:
    """The running totals of one relay over all its sessions."""

    def __init__(self, spec: RelaySpec) -> None:
        self._source_id = spec.source_id
        self.queue = SinkQueue(spec.bounds.queue_bytes, spec.bounds.queue_seconds)
        self.reception = Reception()
        self.frames = 0
        self.key_frames = 0
        self.bytes_in = 0
        self.sessions = 0
        self.lost_packets = 0
        self.discontinuities = 0
        self.began_anew_at: float | None = None
        "Monotonic; when a session was last ended because its stream changed."
        self.last_media_at = 0.0
        self.codec = ""
        "Of the last session that was described; empty before."
        self.verified = False
        self._bytes_before = 0
        self._counted_at: float | None = None
        self._alive_before = 0.0

    def count(self, chunk: MediaChunk, video_packets: int) -> None:
        """Take in a run of media."""
        self.bytes_in += len(chunk.data)
        self.frames += len(chunk.pictures)
        self.key_frames += len(chunk.keys)
        if video_packets:
            self.last_media_at = chunk.at

    def counters(self, now: float) -> RelayCounters:
        """Return the totals, the bit rate since the last call and the loss of the last minute."""
        passed = now - self._counted_at if self._counted_at is not None else 0.0
        bitrate = round(8 * (self.bytes_in - self._bytes_before) / passed) if passed > 0 else 0
        self._bytes_before, self._counted_at = self.bytes_in, now
        queue, reception = self.queue, self.reception
        return RelayCounters(
            source_id=self._source_id,
            frames=self.frames,
            key_frames=self.key_frames,
            bytes_in=self.bytes_in,
            bitrate=bitrate,
            last_media_at=self.last_media_at,
            frames_out=queue.frames_out,
            bytes_out=queue.bytes_out,
            dropped_frames=queue.dropped_frames,
            drops=queue.drops,
            queue_bytes=queue.bytes,
            sessions=self.sessions,
            damaged_frames=queue.damaged_frames,
            skipped_frames=queue.skipped_frames,
            queue_seconds=queue.age(now),
            delay=queue.take_delay(now),
            lost=reception.lost,
            late=reception.late,
            reordered=reception.reordered,
            duplicates=reception.duplicates,
            foreign=reception.foreign,
            kernel_drops=reception.kernel_drops,
            restarts=reception.restarts,
            jitter=reception.jitter,
            loss=reception.loss(now),
            lost_packets=self.lost_packets,
            discontinuities=self.discontinuities,
        )

    def take_alive(self) -> float | None:
        """Return the monotonic instant of the newest video when it arrived since the last call, else None."""
        if self.last_media_at <= self._alive_before:
            return None
        self._alive_before = self.last_media_at
        return self.last_media_at


@dataclass
class GapWatch:
    """Tell gaps in the video of one session; sans-IO."""

    reporter: Reporter
    longest: float
    "Seconds without video that make a gap."
    playing_at: float
    "When PLAY was answered."
    last_at: float = 0.0
    "Of the last video packet, 0 when there was none."
    _open_since: float | None = None

    def media(self, at: float) -> None:
        """Note video received at `at`."""
        if self._open_since is not None:
            gap = at - self._open_since
            self._open_since = None
            self.reporter.report(MediaGapClosed(*self.reporter.times(), gap))
        self.last_at = at

    def silence(self, now: float) -> float:
        """Return the seconds without video up to `now`; report a gap that has become one."""
        since = self.last_at or self.playing_at
        if self._open_since is None and now - since >= self.longest:
            self._open_since = since
            self.reporter.report(MediaGapOpened(*self.reporter.times(), since))
        return now - since

    @property
    def is_open(self) -> bool:
        """Whether there is a gap now."""
        return self._open_since is not None
