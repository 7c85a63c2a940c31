"""Many sources in churn: cameras, superior and workers go and come back, and no picture changes its id.

Every packet tells its source, and the sinks check each one.
"""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Final

from adapters.base import RtspTarget, SourceKey, Transport
from gateway.relay.protocol import RelayEnded, WorkerLost
from gateway.relay.spec import RelayBounds, RelaySpec, SinkSpec
from tests.fakes.camera import quiet_ports
from tests.faults.relay_scene import BACK, LIGHT, Outcome, Scene, told
from tests.waiting import eventually

BOUNDS: Final = RelayBounds(
    connect=3.0, handshake=6.0, teardown=0.5, reconnect_first=0.2, reconnect_longest=2.0
)
STEP: Final = 0.1
"""Seconds from one act of the churn to the next."""
STEPS_AWAY: Final = 10
"""Steps for which a camera is away."""
STEPS_A_WORKER: Final = 40
"""Steps from one worker's death to the next."""

Act = Callable[[], Awaitable[str]]


class Crowd:
    """Sources 1 to `count`, every second of them by UDP, each with a port that stays free while it is away."""

    def __init__(self, scene: Scene, count: int) -> None:
        self.scene = scene
        self.numbers = range(1, count + 1)
        self.ports = dict(zip(self.numbers, quiet_ports(count), strict=True))
        self.transports = {n: Transport.UDP if n % 2 else Transport.TCP for n in self.numbers}
        self.away: dict[int, int] = {}
        "Cameras that are off, and the steps until they come back."

    async def begin(self) -> None:
        """Switch all on and wait until all flow."""
        for number in self.numbers:
            await self.switch_on(number)
            self.relay(number)
        await self.all_flow()

    async def switch_on(self, number: int) -> None:
        """Let the camera serve at its port."""
        await self.scene.cameras.ask("on", number, self.ports[number], LIGHT)

    def relay(self, number: int) -> None:
        """Have the source relayed as it is now."""
        pull = RtspTarget("127.0.0.1", self.ports[number], f"/{number}")
        push = SinkSpec(RtspTarget("127.0.0.1", self.scene.sink_port, f"/{number}"))
        transport = self.transports[number]
        spec = RelaySpec(
            SourceKey(number), f"source-{number}", pull, transport=transport, sink=push, bounds=BOUNDS
        )
        self.scene.relays.start(spec)

    def kill_worker(self, index: int) -> int | None:
        """Kill a worker; return its process id, None if there was none at that moment."""
        pid = self.scene.relays.workers()[index][0]
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return pid

    async def all_flow(self) -> None:
        """Wait until new pictures have arrived of every source."""
        before = {n: self.scene.report.get(n, {}).get("pictures", 0) for n in self.numbers}

        def is_flowing(number: int) -> bool:
            return self.scene.report.get(number, {}).get("pictures", 0) >= before[number] + 10

        await eventually(
            lambda: all(is_flowing(number) for number in self.numbers), within=BACK, what="every stream"
        )

    def total(self, name: str) -> int:
        """Return a count of the sinks, over all sources."""
        return sum(each.get(name, 0) for each in self.scene.report.values())

    def assert_isolated(self) -> None:
        """Assert that nothing ever arrived under another id, and that nothing hit a bug."""
        assert (self.total("foreign"), self.total("unframed")) == (0, 0)
        assert "bug" not in self.causes()

    def causes(self) -> set[str]:
        """Return why pulls ended."""
        return {event.cause for event in self.scene.facts.events if isinstance(event, RelayEnded)}


class Churn:
    """One act after the other, all chosen by one seed."""

    def __init__(self, crowd: Crowd, seed: int) -> None:
        self.done: Counter[str] = Counter()
        self._crowd = crowd
        self._chance = Random(seed)
        self._acts: Sequence[Act] = (
            *(self._kill_connections, self._switch_off, self._exchange_ports),
            *(self._reset_sink, self._begin_anew, self._change_transport),
        )

    async def run(self, steps: int) -> None:
        """Do so many steps; then every camera is back on, wherever it was left."""
        for step in range(1, steps + 1):
            await self._return(1)
            if step % STEPS_A_WORKER == 0:
                workers = len(self._crowd.scene.relays.workers())
                self._crowd.kill_worker(self._chance.randrange(workers))
                self.done["worker killed"] += 1
            else:
                self.done[await self._chance.choice(self._acts)()] += 1
            await asyncio.sleep(STEP)  # the churn itself
        await self._return(STEPS_AWAY)

    async def _return(self, steps: int) -> None:
        crowd = self._crowd
        for number in list(crowd.away):
            crowd.away[number] -= steps
            if crowd.away[number] <= 0:
                del crowd.away[number]
                await crowd.switch_on(number)

    def _some(self, count: int = 1) -> list[int]:
        here = [number for number in self._crowd.numbers if number not in self._crowd.away]
        return self._chance.sample(here, count)

    async def _kill_connections(self) -> str:
        await self._crowd.scene.cameras.ask("kill", *self._some())
        return "connections reset"

    async def _switch_off(self) -> str:
        [number] = self._some()
        await self._crowd.scene.cameras.ask("off", number)
        self._crowd.away[number] = STEPS_AWAY
        return "camera away"

    async def _exchange_ports(self) -> str:
        """Let two cameras come back at each other's port, before or after Muster is told."""
        crowd = self._crowd
        pair = self._some(2)
        for number in pair:
            await crowd.scene.cameras.ask("off", number)
        crowd.ports[pair[0]], crowd.ports[pair[1]] = crowd.ports[pair[1]], crowd.ports[pair[0]]
        is_told_first = self._chance.random() < 0.5
        if is_told_first:
            self._tell(pair)
        for number in pair:
            await crowd.switch_on(number)
        if not is_told_first:
            self._tell(pair)
        return "ports exchanged"

    def _tell(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            self._crowd.relay(number)

    async def _reset_sink(self) -> str:
        await self._crowd.scene.sinks.ask("reset", *self._some())
        return "push reset"

    async def _begin_anew(self) -> str:
        [number] = self._some()
        self._crowd.scene.relays.stop(SourceKey(number), "churn")
        self._crowd.relay(number)
        return "relay begun anew"

    async def _change_transport(self) -> str:
        [number] = self._some()
        is_tcp = self._crowd.transports[number] is Transport.TCP
        self._crowd.transports[number] = Transport.UDP if is_tcp else Transport.TCP
        self._crowd.relay(number)
        return "transport changed"


async def isolation(scene: Scene, *, count: int, steps: int, seed: int) -> Outcome:
    """Churn: no packet ever arrives under another id, and every stream flows again."""
    crowd = Crowd(scene, count)
    churn = Churn(crowd, seed)
    failure = ""
    try:
        await crowd.begin()
        await churn.run(steps)
        await crowd.all_flow()
        crowd.assert_isolated()
    except (AssertionError, TimeoutError) as error:
        failure = told(error)
    acts = ", ".join(f"{number} {name}" for name, number in sorted(churn.done.items()))
    seen = f"seed {seed}: {acts}; {crowd.total('packets')} packets, {crowd.total('foreign')} foreign"
    return Outcome(f"isolation of {count} streams in churn", seen, failure)


async def workers_killed(scene: Scene, *, count: int, rounds: int, every: float) -> Outcome:
    """Kill all workers again and again under load: all streams flow again, and the fault shows as ours."""
    crowd = Crowd(scene, count)
    killed: set[int] = set()
    failure = ""
    try:
        await crowd.begin()
        descriptors = _own_descriptors()
        for _ in range(rounds):
            pids = [crowd.kill_worker(index) for index in range(len(scene.relays.workers()))]
            killed.update(pid for pid in pids if pid is not None)
            await asyncio.sleep(every)  # the fault itself
        await crowd.all_flow()
        crowd.assert_isolated()
        lost = {event.pid for event in scene.facts.events if isinstance(event, WorkerLost)}
        assert lost == killed, (lost, killed)
        assert crowd.causes() == {"worker_lost"}, crowd.causes()
        await eventually(lambda: _own_descriptors() <= descriptors, what=f"{descriptors} descriptors again")
    except (AssertionError, TimeoutError) as error:
        failure = told(error)
    seen = f"{len(killed)} workers killed, {crowd.total('packets')} packets, {crowd.total('foreign')} foreign"
    return Outcome(f"workers killed every {every:g} s, {count} streams", seen, failure)


def _own_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
