"""What Muster measures about itself, for Prometheus.

No label carries a source, a site or a peer: those belong to the catalog and its rights, and a million of them
would make the metrics useless.
"""

from collections import Counter as Counter_
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from catalog.model.connectivity import State
from catalog.model.display import Displayed, UnknownReason
from gateway.relay.budget import Usage
from gateway.relay.limits import Limit
from gateway.relay.protocol import RelayCounters
from gateway.relay.view import RelaySnapshot

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_DELAY_BUCKETS: Final = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_FLUSH_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """All metrics of one process, in a registry of their own; seconds and bytes throughout."""

    _onvif: Mapping[str, int] = MappingProxyType({})
    "What was counted of ONVIF at the last call."

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.sources = Gauge(
            "muster_sources", "Sources by displayed status", ["status"], registry=self.registry
        )
        "Set as a whole by `show_sources`."
        self.transitions = Counter(
            "muster_transitions", "Changes of connectivity", ["before", "after"], registry=self.registry
        )
        self.probes = Counter("muster_probes", "Probes by result", ["result"], registry=self.registry)
        self.relays = Gauge("muster_relays", "Relays by state", ["state"], registry=self.registry)
        self.relay_received = Counter(
            "muster_relay_received_bytes", "Bytes received from sources", registry=self.registry
        )
        self.relay_sent = Counter("muster_relay_sent_bytes", "Bytes sent to sinks", registry=self.registry)
        self.relay_dropped = Counter(
            "muster_relay_dropped_frames", "Frames that sinks were too slow for", registry=self.registry
        )
        self.relay_drops = Counter(
            "muster_relay_drops", "Times a full queue dropped to the next key frame", registry=self.registry
        )
        self.relay_sessions = Counter(
            "muster_relay_sessions",
            "Pull sessions begun, the first of each relay included",
            registry=self.registry,
        )
        self.relay_lost = Counter(
            "muster_relay_lost_packets", "Video packets that never came from sources", registry=self.registry
        )
        self.relay_discontinuities = Counter(
            "muster_relay_discontinuities",
            "Jumps, restarts and changes of streams under way",
            registry=self.registry,
        )
        self.relay_frames = Counter(
            "muster_relay_received_frames", "Frames received from sources", registry=self.registry
        )
        self.relay_frames_out = Counter(
            "muster_relay_sent_frames", "Frames handed to the connections of sinks", registry=self.registry
        )
        self.relay_damaged = Counter(
            "muster_relay_damaged_frames",
            "Frames of which the beginning went out and the end did not",
            registry=self.registry,
        )
        self.relay_skipped = Counter(
            "muster_relay_skipped_frames",
            "Frames before the first key frame of a connection to a sink",
            registry=self.registry,
        )
        self.relay_queue = Gauge(
            "muster_relay_queue_bytes", "Bytes that wait for sinks, all relays", registry=self.registry
        )
        self.relay_delay = Histogram(
            "muster_relay_delay_seconds",
            "Longest wait from receipt to hand-over of each relay with media, observed once a second",
            buckets=_DELAY_BUCKETS,
            registry=self.registry,
        )
        self.readers = Gauge("muster_readers", "Clients that pull from us", registry=self.registry)
        self.relay_moves = Counter(
            "muster_relay_moves", "Relays moved to a worker less busy", registry=self.registry
        )
        self.pulls = Gauge("muster_pulls", "Pulls that hold a place in the budget", registry=self.registry)
        self.reserved = Gauge(
            "muster_pulls_bits_per_second",
            "Bits a second measured, or expected, of these pulls",
            registry=self.registry,
        )
        self.waiting = Gauge(
            "muster_pulls_waiting",
            "Sources that wait for room, by the limit that stops them",
            ["limit"],
            registry=self.registry,
        )
        self.gave_way = Counter(
            "muster_pulls_gave_way", "Pulls ended for another one or by a limit", registry=self.registry
        )
        self.worker_cpu = Counter(
            "muster_worker_cpu_seconds",
            "CPU time of the relay workers, by their number",
            ["worker"],
            registry=self.registry,
        )
        self.worker_restarts = Counter(
            "muster_worker_restarts", "Relay worker processes replaced", registry=self.registry
        )
        self.evidence_flush = Histogram(
            "muster_evidence_flush_seconds",
            "Time to commit one batch of evidence",
            buckets=_FLUSH_BUCKETS,
            registry=self.registry,
        )
        self.evidence_queue = Gauge(
            "muster_evidence_queue", "Facts waiting for the database", registry=self.registry
        )
        self.loop_lag = Gauge(
            "muster_event_loop_lag_seconds",
            "How late the event loop woke its last timer",
            registry=self.registry,
        )
        self.database_up = Gauge(
            "muster_database_up", "1 while the database answers, else 0", registry=self.registry
        )
        self.unknown_sources = Gauge(
            "muster_unknown_sources", "Sources shown unknown, by reason", ["reason"], registry=self.registry
        )

        self._relayed: dict[int, RelayCounters] = {}
        self.onvif = Counter(
            "muster_onvif",
            "Datagrams of WS-Discovery by what became of them, and interrogations by result",
            ["event"],
            registry=self.registry,
        )
        self.views = Gauge("muster_views", "Browsers that look at a live picture", registry=self.registry)
        self.gb28181 = Gauge(
            "muster_gb28181",
            "What came of the devices that register, counted from the start; `registered` are those that are.",
            ["event"],
            registry=self.registry,
        )
        self._lost_workers = self._moves = self._gave_way = 0
        self._cpu: dict[int, float] = {}
        self._moved: Final = (
            (self.relay_received, "bytes_in"),
            (self.relay_sent, "bytes_out"),
            (self.relay_dropped, "dropped_frames"),
            (self.relay_drops, "drops"),
            (self.relay_sessions, "sessions"),
            (self.relay_lost, "lost_packets"),
            (self.relay_discontinuities, "discontinuities"),
            (self.relay_frames, "frames"),
            (self.relay_frames_out, "frames_out"),
            (self.relay_damaged, "damaged_frames"),
            (self.relay_skipped, "skipped_frames"),
        )

    def show_sources(self, by_status: Mapping[Displayed, int]) -> None:
        """Replace the counts of sources; a status that is missing is gone, not frozen."""
        self.sources.clear()
        for status, number in by_status.items():
            self.sources.labels(status=status).set(number)

    def show_unknown(self, by_reason: Mapping[UnknownReason, int]) -> None:
        """Replace the counts of unknown sources by reason."""
        self.unknown_sources.clear()
        for reason, number in by_reason.items():
            self.unknown_sources.labels(reason=reason).set(number)

    def show_transitions(self, since_last: Mapping[tuple[State, State], int]) -> None:
        """Add the changes of connectivity since the last call, by state before and after."""
        for (before, after), number in since_last.items():
            self.transitions.labels(before=before, after=after).inc(number)

    def show_relays(self, relays: Iterable[RelaySnapshot], *, lost_workers: int) -> None:
        """Replace the counts of relays by state, and add what they moved since the last call.

        Args:
            relays: every relay as it stands; one that is gone since the last call adds nothing more.
            lost_workers: workers lost since the start.
        """
        states: Counter_[str] = Counter_()
        now: dict[int, RelayCounters] = {}
        readers = 0
        for relay in relays:
            states[relay.state] += 1
            readers += relay.readers
            now[relay.source_id] = relay.counters
            before = self._relayed.get(relay.source_id)
            for metric, name in self._moved:
                total = getattr(relay.counters, name)
                earlier = getattr(before, name) if before is not None else 0
                # A relay that was begun anew counts from nothing.
                metric.inc(total - earlier if total >= earlier else total)
            if relay.counters.bitrate > 0:
                self.relay_delay.observe(relay.counters.delay)
        self._relayed = now
        self.readers.set(readers)
        self.relay_queue.set(sum(counters.queue_bytes for counters in now.values()))
        self.relays.clear()
        for state, number in states.items():
            self.relays.labels(state=state).set(number)
        self.worker_restarts.inc(lost_workers - self._lost_workers)
        self._lost_workers = lost_workers

    def show_workers(self, cpu: Iterable[float], *, moves: int) -> None:
        """Add what the workers used since the last call.

        Args:
            cpu: CPU seconds of each worker's present process, in order; one that was replaced counts from nothing.
            moves: relays moved since the start.
        """
        for index, seconds in enumerate(cpu):
            before = self._cpu.get(index, 0.0)
            self.worker_cpu.labels(worker=str(index)).inc(seconds - before if seconds >= before else seconds)
            self._cpu[index] = seconds
        self.relay_moves.inc(moves - self._moves)
        self._moves = moves

    def show_budget(self, usage: Usage, *, gave_way: int) -> None:
        """Replace what is pulled and who waits; add who gave way since the last call.

        Args:
            usage: how the budget stands.
            gave_way: pulls that gave way since the start.
        """
        self.pulls.set(usage.pulls)
        self.reserved.set(usage.bitrate)
        for limit in Limit:
            self.waiting.labels(limit=limit.value).set(usage.waiting.get(limit, 0))
        self.gave_way.inc(gave_way - self._gave_way)
        self._gave_way = gave_way

    def show_onvif(self, events: Mapping[str, int]) -> None:
        """Add what happened since the last call; `events` counts from the start."""
        for event, count in events.items():
            self.onvif.labels(event=event).inc(count - self._onvif.get(event, 0))
        self._onvif = dict(events)

    def show_gb28181(self, events: Mapping[str, int]) -> None:
        """Replace the counts of what came of the devices that register."""
        for event, count in events.items():
            self.gb28181.labels(event=event).set(count)

    def render(self) -> bytes:
        """Return the text that `/metrics` serves, of type `CONTENT_TYPE`."""
        return generate_latest(self.registry)
