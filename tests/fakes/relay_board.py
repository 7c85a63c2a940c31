"""A relay manager and a budget as the API sees them, with values that a test can look for."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from adapters.base import RtspTarget, SourceKey, Transport
from gateway.relay.budget import NetworkUse, Usage
from gateway.relay.limits import Limit, Limits
from gateway.relay.placement import WorkerLoad
from gateway.relay.protocol import RelayState, SinkState
from gateway.relay.spec import RelaySpec, SinkSpec
from gateway.relay.view import RelaySnapshot, RelayView, no_counters
from tests.seed import NOW

TARGET = RtspTarget("10.1.2.99", 554, "/secret-path")


def relay(source_id: int, code: str = "32029900001320000001") -> RelaySnapshot:
    """A relay of a slow sink."""
    key = SourceKey(source_id)
    view = RelayView(RelaySpec(key, code, TARGET, sink=SinkSpec(TARGET)), NOW, NOW)
    counters = replace(
        no_counters(key),
        frames=15_000,
        key_frames=300,
        bytes_in=300_000_000,
        bitrate=4_180_000,
        frames_out=14_620,
        bytes_out=292_000_000,
        dropped_frames=350,
        drops=14,
        sessions=2,
        queue_bytes=1_234_000,
        skipped_frames=29,
        damaged_frames=1,
        queue_seconds=2.36,
        delay=2.41,
    )
    return replace(
        view.snapshot(4711),
        state=RelayState.PLAYING,
        sink_state=SinkState.RECORDING,
        codec="H264",
        transport=Transport.TCP,
        width=1920,
        height=1080,
        detail="10.1.2.99:554: what the device said",
        counters=counters,
    )


@dataclass
class RelayBoard:
    """Relays in two workers."""

    rows: list[RelaySnapshot] = field(default_factory=list)

    def snapshot(self) -> Sequence[RelaySnapshot]:
        return self.rows

    def loads(self) -> Sequence[WorkerLoad]:
        return [
            WorkerLoad(0, 4711, 24, 1, 98_000_000, 0.1837),
            WorkerLoad(1, None, 0, 0, 0, 0.0),
        ]


@dataclass
class BudgetBoard:
    """A budget in which one network is full."""

    def budget(self) -> Usage:
        return Usage(
            Limits(64, 200_000_000, 100_000_000),
            25,
            102_000_000,
            {"10.1.2.0/24": NetworkUse(24, 98_000_000), "10.1.3.0/24": NetworkUse(1, 4_000_000)},
            {Limit.NETWORK_BANDWIDTH: 7},
        )
