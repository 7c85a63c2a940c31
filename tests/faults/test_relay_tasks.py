"""A worker in the test's own loop, where its tasks can be counted: however sessions end, none is left."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import pytest

from adapters.base import RtspTarget, SourceKey, Transport
from gateway.clock import SystemClock
from gateway.relay.handover import make_pair
from gateway.relay.link import EventLink
from gateway.relay.protocol import Command, Event, RelayEnded, Shutdown, SinkState, SinkStateChanged
from gateway.relay.protocol import StartRelay as Start
from gateway.relay.protocol import StopRelay as Stop
from gateway.relay.spec import RelayBounds, RelaySpec, SinkSpec
from gateway.relay.wire import MAX_LINE, decode_event, encode
from gateway.relay.worker import Worker
from tests.fakes.fault_proxy import FaultProxy, fault_proxy
from tests.fakes.fault_switches import Cut, Door
from tests.fakes.marked_ends import end_process
from tests.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

ONE: Final = SourceKey(1)
BOUNDS: Final = RelayBounds(
    connect=2.0, handshake=5.0, teardown=0.3, reconnect_first=0.05, reconnect_longest=0.1
)
ROUNDS: Final = 5


class Told:
    """The control plane's end of a worker."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.events: list[Event] = []
        self._reader = reader
        self._writer = writer

    def tell(self, command: Command) -> None:
        self._writer.write(encode(command))

    async def listen(self) -> None:
        while line := await self._reader.readline():
            self.events.append(decode_event(line))

    def count(self, wanted: Callable[[Event], bool]) -> int:
        return sum(wanted(event) for event in self.events)

    def close(self) -> None:
        self._writer.transport.abort()


@asynccontextmanager
async def worker_here() -> AsyncIterator[Told]:
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_unix_connection(sock=theirs, limit=MAX_LINE)
    told = Told(*await asyncio.open_unix_connection(sock=ours, limit=MAX_LINE))
    our_way, their_way = make_pair()
    async with asyncio.TaskGroup() as tasks:
        listening = tasks.create_task(told.listen(), name="listen")
        worker = Worker(EventLink(writer), SystemClock(), None)
        tasks.create_task(worker.run(reader, their_way), name="worker")
        try:
            await eventually(lambda: bool(told.events), what="a worker that is ready")
            yield told
        finally:
            told.tell(Shutdown())
            listening.cancel()
    told.close()
    our_way.close()
    writer.transport.abort()


def is_recording(event: Event) -> bool:
    return isinstance(event, SinkStateChanged) and event.state is SinkState.RECORDING


def is_end(event: Event) -> bool:
    return isinstance(event, RelayEnded)


async def one_more(told: Told, wanted: Callable[[Event], bool], fault: Callable[[], None]) -> None:
    """Do `fault` and wait for one more event that is `wanted`."""
    before = told.count(wanted)
    fault()
    await eventually(lambda: told.count(wanted) > before, within=20, what="what follows the fault")


async def all_faults(told: Told, spec: RelaySpec, camera: FaultProxy, superior: FaultProxy) -> None:
    """End sessions of one source in every way, each time to where it records again."""
    await one_more(told, is_recording, lambda: told.tell(Start(spec)))
    await one_more(told, is_recording, lambda: camera.end_all(Cut.RESET))
    await one_more(told, is_recording, lambda: camera.end_all(Cut.CLOSE))
    await one_more(told, is_recording, superior.to_server.reset_in_frame)
    await one_more(told, is_recording, lambda: superior.half_close_all(superior.to_client))
    await one_more(told, is_recording, lambda: told.tell(Start(spec)))
    camera.set_door(Door.SHUT)
    await one_more(told, is_end, lambda: camera.end_all(Cut.RESET))
    silenced = camera.counts.silenced
    camera.set_door(Door.SILENT)
    await eventually(lambda: camera.counts.silenced > silenced, what="a connection that is not answered")
    await one_more(told, is_end, lambda: told.tell(Stop(spec.source_id, "in the middle of the handshake")))
    camera.set_door(Door.OPEN)


@pytest.mark.parametrize("transport", [Transport.TCP, Transport.UDP])
async def test_however_sessions_end_no_task_of_theirs_is_left(transport: Transport) -> None:
    async with end_process("cameras") as cameras, end_process("sinks") as sinks:
        port = await cameras.ask("on", 1, 0, 400)
        async with (
            fault_proxy(port) as camera,
            fault_proxy(await sinks.ask("port")) as superior,
            worker_here() as told,
        ):
            pull = RtspTarget("127.0.0.1", camera.port, "/1")
            sink = SinkSpec(RtspTarget("127.0.0.1", superior.port, "/1"))
            spec = RelaySpec(ONE, "source-1", pull, transport=transport, sink=sink, bounds=BOUNDS)
            before = len(asyncio.all_tasks())
            for _ in range(ROUNDS):
                await all_faults(told, spec, camera, superior)
            await eventually(
                lambda: len(asyncio.all_tasks()) == before,
                what=f"{before} tasks, as before the first session",
            )
            assert told.count(is_end) >= ROUNDS * 5
