"""The relay between marked cameras and sinks behind fault proxies, and what it said of each source.

Cameras, sinks and the relay's worker are processes of their own; the proxies live here. Both tiers of
the fault tests play on it.
"""

import asyncio
import os
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Final

from adapters.base import RtspTarget, SourceKey, Transport
from gateway.clock import SystemClock
from gateway.relay.manager import RelayManager
from gateway.relay.protocol import (
    Event,
    MediaGapClosed,
    MediaGapOpened,
    RelayEnded,
    RelayState,
    SinkState,
    SinkStateChanged,
)
from gateway.relay.spec import RelayBounds, RelaySpec, SinkSpec
from gateway.relay.view import RelaySnapshot
from tests.fakes.fault_proxy import FaultProxy, fault_proxy
from tests.fakes.marked_ends import End, end_process
from tests.fakes.udp_fault_proxy import DatagramWay, udp_fault_proxy
from tests.interop.relay_peers import Facts, facts_of
from tests.waiting import eventually

LIGHT: Final = 400
"""Bytes of an ordinary picture: about 80 kbit/s."""
HEAVY: Final = 30_000
"""The same of a stream that fills a sink's queue within seconds: about 5 Mbit/s."""
PATIENCE: Final = 180.0
"""Seconds within which a fault is noticed so many times as asked for, whatever the bounds."""
PUSHED_AGAIN: Final = ["idle", "connecting", "recording"]
"""What a push says when its pull ends and plays again."""
LOOK: Final = 0.2
"""Seconds between two looks at what has arrived."""
BACK: Final = 60.0
"""Seconds within which a relay is back after its fault is gone."""

SHORT: Final = RelayBounds(
    connect=3.0,
    handshake=6.0,
    first_media=8.0,
    media_gap=4.0,
    media_timeout=8.0,
    reconnect_first=0.3,
    reconnect_longest=2.0,
    teardown=0.5,
    queue_bytes=200_000,
    sink_stalled=6.0,
)
"""Bounds under which a fault and its end pass within seconds."""


@dataclass(frozen=True)
class Scale:
    """How long it goes on."""

    bounds: RelayBounds = SHORT
    pictures: int = 40
    "Pictures for which a fault is borne that ends nothing."
    tries: int = 2
    "Tries that must fail before a fault is taken away."


class Stand:
    """One source: its camera and its superior each behind a proxy, and what the relay says of it.

    Attributes:
        camera: the proxy of the pull's connections.
        media: the switches of the pull's datagrams.
        superior: the proxy of the push's connections.
    """

    def __init__(
        self,
        scene: "Scene",
        number: int,
        camera: FaultProxy,
        media: DatagramWay,
        superior: FaultProxy,
        scale: Scale,
    ) -> None:
        self.camera = camera
        self.media = media
        self.superior = superior
        self.scale = scale
        self.number = number
        self.key = SourceKey(number)
        self.scene = scene
        self._first = 0
        self._arrived_before: Counter[str] = Counter()
        self._accepted_before = 0

    def start(self, transport: Transport, bounds: RelayBounds) -> None:
        """Have it relayed."""
        pull = RtspTarget("127.0.0.1", self.camera.port, f"/{self.number}")
        push = SinkSpec(RtspTarget("127.0.0.1", self.superior.port, f"/{self.number}"))
        self.scene.relays.start(
            RelaySpec(self.key, f"source-{self.number}", pull, transport=transport, sink=push, bounds=bounds)
        )

    # -- what arrived ------------------------------------------------------------------------------

    @property
    def arrived(self) -> Counter[str]:
        """Return what the sink has counted since `mark`."""
        return Counter(self.scene.report.get(self.number, {})) - self._arrived_before

    async def more_pictures(self, count: int) -> None:
        """Wait until `count` more pictures have arrived."""
        wanted = self.arrived["pictures"] + count
        await eventually(
            lambda: self.arrived["pictures"] >= wanted,
            within=BACK,
            what=f"{count} more pictures of {self.number}",
        )

    async def back(self) -> None:
        """Wait until it is pulled, pushed and arriving again."""

        def is_up() -> bool:
            shot = self.snapshot
            return shot.state is RelayState.PLAYING and shot.sink_state is SinkState.RECORDING

        await eventually(is_up, within=BACK, what=f"source {self.number} relayed again")
        await self.more_pictures(10)

    # -- what the relay said -----------------------------------------------------------------------

    def mark(self) -> None:
        """Look at what is said and done from now on alone."""
        self._first = len(self.scene.facts.events)
        self._arrived_before += self.arrived
        self._accepted_before = self.camera.counts.accepted

    @property
    def pulls(self) -> int:
        """Return how many times the camera was connected to since `mark`."""
        return self.camera.counts.accepted - self._accepted_before

    @property
    def events(self) -> list[Event]:
        """Return what was said since `mark`."""
        said = self.scene.facts.events[self._first :]
        return [event for event in said if getattr(event, "source_id", None) == self.key]

    @property
    def snapshot(self) -> RelaySnapshot:
        """Return what the manager shows of it."""
        return next(shot for shot in self.scene.relays.snapshot() if shot.source_id == self.key)

    @property
    def ends(self) -> list[tuple[str, bool]]:
        """Return the cause of each end of a pull, and whether it was playing."""
        return [(event.cause, event.was_playing) for event in self.events if isinstance(event, RelayEnded)]

    @property
    def gaps(self) -> list[str]:
        """Return `opened` and `closed` in order."""
        kinds = {MediaGapOpened: "opened", MediaGapClosed: "closed"}
        return [kinds[type(event)] for event in self.events if type(event) in kinds]

    @property
    def pushes(self) -> list[str]:
        """Return the states of the push, a failed one with its cause."""
        return [
            f"{event.state} {event.cause}".strip()
            for event in self.events
            if isinstance(event, SinkStateChanged)
        ]

    async def ended(self, count: int = 1) -> None:
        """Wait until pulls have ended so many times."""
        await eventually(
            lambda: len(self.ends) >= count, within=PATIENCE, what=f"{count} ends of {self.number}"
        )

    async def failed(self, count: int = 1) -> None:
        """Wait until pushes have failed so many times."""
        await eventually(
            lambda: sum(state.startswith("failed") for state in self.pushes) >= count,
            within=PATIENCE,
            what=f"{count} failed pushes of {self.number}",
        )

    def seen(self) -> str:
        """Return one line of what was said since `mark`."""
        words = []
        for event in self.events:
            match event:
                case RelayEnded():
                    words.append(f"ended {event.cause}" + (" while playing" if event.was_playing else ""))
                case MediaGapOpened():
                    words.append("gap")
                case MediaGapClosed():
                    words.append("gap over")
                case SinkStateChanged(state=SinkState.RECORDING):
                    words.append("recording")
                case SinkStateChanged(state=SinkState.FAILED):
                    words.append(f"push failed {event.cause}")
                case _:
                    pass
        runs = [(word, len(list(run))) for word, run in groupby(words)]
        return (
            ", ".join(word if count == 1 else f"{word} x{count}" for word, count in runs) or "nothing ended"
        )


Scenario = Callable[[Stand], Awaitable[None]]
"""Does a fault to a source that flows, asserts what is said of it, and leaves it flowing."""


@dataclass(frozen=True)
class Outcome:
    """What came of one scenario."""

    fault: str
    seen: str
    failure: str = ""
    "Empty when all held."


@dataclass
class Scene:
    """The processes, and the neighbour that shares the worker and must notice nothing."""

    relays: RelayManager
    facts: Facts
    cameras: End
    sinks: End
    sink_port: int
    report: dict[int, dict[str, int]] = field(default_factory=dict)
    "What has arrived under each number, as last asked."
    sources: int = 0
    "Numbers given out so far."

    @property
    def worker(self) -> int:
        """Return the process id of the one worker."""
        [(pid, _, _)] = self.relays.workers()
        assert pid is not None
        return pid

    @asynccontextmanager
    async def stand(
        self, scale: Scale, *, transport: Transport = Transport.TCP, weight: int = LIGHT
    ) -> AsyncIterator[Stand]:
        """Relay a source of its own for the length of the block; it flows when the block begins."""
        self.sources += 1
        number = self.sources
        port = await self.cameras.ask("on", number, 0, weight)
        async with AsyncExitStack() as stack:
            proxies = udp_fault_proxy if transport is Transport.UDP else _tcp_alone
            camera, media = await stack.enter_async_context(proxies(port, seed=number))
            superior = await stack.enter_async_context(fault_proxy(self.sink_port, seed=number))
            stand = Stand(self, number, camera, media, superior, scale)
            stand.start(transport, scale.bounds)
            try:
                await stand.back()
                stand.mark()
                yield stand
            finally:
                self.relays.stop(stand.key, "scenario over")
                await self.cameras.ask("off", number)

    async def watch(self) -> None:
        """Keep asking what has arrived."""
        while True:
            self.report = await self.sinks.report()
            await asyncio.sleep(LOOK)

    def descriptors(self) -> set[int]:
        """Return the files that the worker has open."""
        return {int(path.name) for path in Path(f"/proc/{self.worker}/fd").iterdir()}

    def resident(self) -> int:
        """Return the bytes of memory that the worker holds."""
        pages = int(Path(f"/proc/{self.worker}/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


@asynccontextmanager
async def _tcp_alone(port: int, *, seed: int) -> AsyncIterator[tuple[FaultProxy, DatagramWay]]:
    async with fault_proxy(port, seed=seed) as proxy:
        yield proxy, DatagramWay(proxy.chance)


@asynccontextmanager
async def relay_scene(*, workers: int = 1) -> AsyncIterator[Scene]:
    """Run cameras, sinks and relay without any source yet."""
    async with (
        end_process("cameras") as cameras,
        end_process("sinks") as sinks,
        RelayManager(SystemClock(), workers=workers) as relays,
        facts_of(relays) as facts,
    ):
        scene = Scene(relays, facts, cameras, sinks, await sinks.ask("port"))
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(scene.watch(), name="watch")
            try:
                yield scene
            finally:
                watching.cancel()


def assert_nothing_ended(stand: Stand) -> None:
    """Assert that neither pull nor push noticed, and no picture was lost."""
    found = (stand.ends, stand.gaps, stand.pushes)
    assert found == ([], [], []), found
    assert_whole(stand)


def assert_whole(stand: Stand) -> None:
    """Assert that whatever arrived by one connection is without a hole and its own."""
    wrong = {name: stand.arrived[name] for name in ("foreign", "unframed", "missing", "torn")}
    assert not any(wrong.values()), wrong


def assert_tries(stand: Stand, first: tuple[str, bool], later: set[tuple[str, bool]]) -> None:
    """Assert how the pull that played ended, and each try after it; the push only ever followed the pull."""
    assert stand.ends[0] == first, stand.ends
    assert set(stand.ends[1:]) <= later, stand.ends
    assert not any(state.startswith("failed") for state in stand.pushes), stand.pushes
    assert stand.pushes[-3:] == PUSHED_AGAIN, stand.pushes


def name_of(scenario: Scenario) -> str:
    """Return the name of a scenario as people read it."""
    return getattr(scenario, "__name__", "?").replace("_", " ")


def told(error: BaseException) -> str:
    """Return what an error, or each error of a group, says."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(told(each) for each in error.exceptions)
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {str(error) or where.line}"


def failures(outcomes: Sequence[Outcome]) -> list[str]:
    """Return what did not hold."""
    return [f"{outcome.fault}: {outcome.failure} ({outcome.seen})" for outcome in outcomes if outcome.failure]
