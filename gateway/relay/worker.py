"""A relay worker: `python -m gateway.relay.worker FD FD`, one process that carries the media of its relays.

The control plane starts it with one end of a socket pair as first descriptor, sends commands and reads
events there; over the second it hands over the connections of clients that pull from us. The worker lives
as long as the first: when the control plane dies, however it dies, the worker takes leave of its peers and
is gone within `LAST_SECONDS`.
"""

import asyncio
import ctypes
import gc
import logging
import os
import resource
import select
import signal
import socket
import sys
import threading
from typing import Final

import uvloop

from adapters.base import SourceKey
from adapters.errors import LocalResourcesExhausted
from gateway.clock import Clock, SystemClock
from gateway.descriptors import raise_file_limit
from gateway.relay.facts import Reporter, Totals
from gateway.relay.fanout import Fanout
from gateway.relay.handover import Receiver
from gateway.relay.link import EventLink, LinkLogHandler
from gateway.relay.pace import ReadTick
from gateway.relay.protocol import (
    Counters,
    MediaAlive,
    OfferAnswered,
    OfferRefused,
    ReaderLeft,
    RelayState,
    ServeReader,
    Shutdown,
    StartRelay,
    StopRelay,
    WorkerReady,
)
from gateway.relay.pull import Shared
from gateway.relay.reader import SharedBuffer
from gateway.relay.served import NO_STREAM, ServedClient
from gateway.relay.session import RelaySession
from gateway.relay.spec import RelaySpec
from gateway.relay.udp import PortPool
from gateway.relay.verification import Decoder
from gateway.relay.wire import MAX_LINE, decode_command
from gateway.supervisor import Backoff, isolated, keep_running

logger = logging.getLogger("gateway.relay.worker")
# By name: run as a program, this module is `__main__`.

TICK: Final = 1.0
"""Seconds between two counts."""
LAST_SECONDS: Final = 5.0
"""Seconds that a worker may take for its leave once the control plane is gone."""
YOUNG_OBJECTS: Final = 20_000
"""Objects that are made before the collector looks at them."""
KEPT_FREE: Final = 32 * 1024 * 1024
"""Bytes of freed memory that a worker keeps for what comes next."""
_PR_SET_PDEATHSIG: Final = 1
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3


class Relay:
    """One source in this worker: session after session, for ever, until stopped or refused for good."""

    def __init__(self, spec: RelaySpec, shared: Shared, link: EventLink, clock: Clock) -> None:
        self.spec = spec
        self.totals = Totals(spec)
        self.fanout = Fanout(spec.bounds.gop_bytes)
        self.task: asyncio.Task[None] | None = None
        self._session: RelaySession | None = None
        self._shared = shared
        self._clock = clock
        self._reporter = Reporter(spec.source_id, clock, link.send)

    async def run(self, previous: asyncio.Task[None] | None) -> None:
        """Pull again and again; return when another try would not help.

        Args:
            previous: the relay of the same source before this one. It takes its leave first, for the
                camera may have no second place; bounded by `bounds.teardown` for source and sink.
        """
        if previous is not None:
            await asyncio.wait((previous,))
        try:
            await keep_running(
                f"relay of {self.spec.source_code} from {self.spec.origin}",
                self._run_once,
                clock=self._clock,
                backoff=Backoff.between(self.spec.bounds.reconnect_first, self.spec.bounds.reconnect_longest),
                healthy_after=30.0,
            )
        finally:
            self._reporter.enter(RelayState.ENDED)

    async def _run_once(self) -> None:
        session = RelaySession(self.spec, self._shared, self.totals, self.fanout, self._reporter)
        self._session = session
        try:
            await session.run()
        finally:
            self._session = None

    def answer(self, answer: OfferAnswered | OfferRefused) -> None:
        """Take in what became of the invitation that the present session waits for."""
        if self._session is not None:
            self._session.answer(answer)


class Worker:
    """All relays of this process.

    Args:
        link: where events go.
        clock: tells the receipt times.
        ports: even ports for media, None for the kernel's choice.
    """

    def __init__(self, link: EventLink, clock: Clock, ports: range | None) -> None:
        self._link = link
        self._clock = clock
        self._relays: dict[SourceKey, Relay] = {}
        self._leaving: dict[SourceKey, asyncio.Task[None]] = {}
        self._shared = Shared(SharedBuffer(), SharedBuffer(), PortPool(ports), ReadTick(), Decoder())

    async def run(self, commands: asyncio.StreamReader, way: socket.socket) -> None:
        """Obey commands until `Shutdown` or the end of the connection; serve whoever comes over `way`."""
        try:
            async with asyncio.TaskGroup() as tasks:
                receiver = Receiver(way, lambda order, accepted: self._serve(order, accepted, tasks))
                counting = tasks.create_task(self._count(), name="count")
                self._link.send(WorkerReady(self._clock.monotonic(), self._clock.now(), os.getpid()))
                try:
                    await self._obey(commands, tasks)
                finally:
                    counting.cancel()
                    receiver.close()
                    for relay in self._relays.values():
                        if relay.task is not None:
                            relay.task.cancel()
        finally:
            self._shared.tick.close()
            self._shared.decoder.close()

    async def _obey(self, commands: asyncio.StreamReader, tasks: asyncio.TaskGroup) -> None:
        while line := await commands.readline():
            match decode_command(line):
                case StartRelay(spec):
                    previous = self._stop(spec.source_id)
                    relay = Relay(spec, self._shared, self._link, self._clock)
                    self._relays[spec.source_id] = relay
                    relay.task = tasks.create_task(relay.run(previous), name=f"relay {spec.source_code}")
                case StopRelay(source_id, reason):
                    logger.info("source %s: stopped: %s", source_id, reason, extra={"action": "relay_stop"})
                    self._stop(source_id)
                case OfferAnswered() | OfferRefused() as answer:
                    invited = self._relays.get(answer.source_id)
                    if invited is not None:
                        invited.answer(answer)
                case Shutdown():
                    return
                case ServeReader():
                    # Without its socket, which comes by the other way, it says nothing.
                    pass

    def _stop(self, source_id: SourceKey) -> asyncio.Task[None] | None:
        """Ask the source's relay to end; return what is still taking its leave."""
        relay = self._relays.pop(source_id, None)
        if relay is not None and relay.task is not None:
            relay.task.cancel()
            self._leaving[source_id] = relay.task
        self._leaving = {key: task for key, task in self._leaving.items() if not task.done()}
        return self._leaving.get(source_id)

    def _serve(self, order: ServeReader, accepted: socket.socket | None, tasks: asyncio.TaskGroup) -> None:
        """Let a client pull from its source's relay, which must be of this worker; say so where it cannot."""
        relay = self._relays.get(order.source_id)
        if relay is None or accepted is None:
            cause = NO_STREAM if accepted is not None else LocalResourcesExhausted.cause
            if accepted is not None:
                accepted.close()
            now, now_utc = self._clock.monotonic(), self._clock.now()
            self._link.send(ReaderLeft(order.source_id, order.reader_id, now, now_utc, cause, 0.0, 0, 0, 0))
            return
        client = ServedClient(order, relay.spec, relay.fanout, self._shared, self._link.send, self._clock)
        name = f"reader {order.reader_id} of {relay.spec.source_code} at {order.peer}"
        tasks.create_task(isolated(name, lambda: client.run(accepted), lambda: None), name=name)

    async def _count(self) -> None:
        while True:
            await self._clock.sleep(TICK)
            now, now_utc = self._clock.monotonic(), self._clock.now()
            alive: dict[SourceKey, float] = {}
            for source_id, relay in self._relays.items():
                last_at = relay.totals.take_alive()
                if last_at is not None:
                    alive[source_id] = last_at
            usage = resource.getrusage(resource.RUSAGE_SELF)
            counters = tuple(relay.totals.counters(now) for relay in self._relays.values())
            self._link.send(Counters(now, now_utc, usage.ru_utime + usage.ru_stime, counters))
            if alive:
                self._link.send(MediaAlive(now, now_utc, tuple(alive), tuple(alive.values())))


async def serve(control: socket.socket, way: socket.socket, ports: range | None) -> None:
    """Serve the control plane at the other end of `control` until it is gone.

    Args:
        control: commands and events.
        way: brings accepted connections.
        ports: even ports for media, None for the kernel's choice.
    """
    reader, writer = await asyncio.open_unix_connection(sock=control, limit=MAX_LINE)
    link = EventLink(writer)
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    handler = LinkLogHandler(link)
    root.addHandler(handler)
    task = asyncio.current_task()
    loop = asyncio.get_running_loop()
    if task is not None:
        loop.add_signal_handler(signal.SIGTERM, task.cancel)
    # Ctrl-C at a terminal reaches the whole group; it is the control plane that decides.
    loop.add_signal_handler(signal.SIGINT, lambda: None)
    try:
        await Worker(link, SystemClock(), ports).run(reader, way)
    except asyncio.CancelledError:
        # Asked to leave by signal: everything is cleaned up by now.
        logger.info("worker %d was asked to leave", os.getpid(), extra={"action": "worker_leaves"})
    finally:
        root.removeHandler(handler)
        writer.close()


def die_with_parent(control: socket.socket) -> None:
    """See to it that this process never outlives the control plane by more than `LAST_SECONDS`.

    The signal asks for a clean leave; the thread makes an end even if the event loop hangs.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)

    def watch() -> None:
        poll = select.poll()
        # Without POLLIN: only the end of the connection wakes this thread.
        poll.register(control.fileno(), select.POLLRDHUP)
        poll.poll()
        threading.Event().wait(LAST_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, name="watch", daemon=True).start()


def collect_seldom() -> None:
    """Have the garbage collector leave alone what is there for good, and look at the rest less often.

    The media make no cycles, but each chunk makes a handful of objects: with its defaults the collector would walk
    the whole worker several times a second.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 20)


def keep_memory() -> None:
    """Have the C library keep what is freed: groups of pictures come and go, a megabyte at a time.

    With its defaults it hands such memory back to the kernel and asks for it again, page by page, seconds later.
    Does nothing where the C library is not glibc (mallopt(3)).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_TRIM_THRESHOLD, KEPT_FREE)
        mallopt(_M_MMAP_THRESHOLD, KEPT_FREE)


def main() -> int:
    """Run the worker on the two descriptors, and with the first port and the one behind the last, of the arguments."""
    if len(sys.argv) != 5 or not all(text.isdecimal() for text in sys.argv[1:]):
        sys.stderr.write("this program is started by the gateway\n")
        return 2
    control, way = (socket.socket(fileno=int(text)) for text in sys.argv[1:3])
    ports = range(int(sys.argv[3]), int(sys.argv[4]), 2)
    way.setblocking(False)
    die_with_parent(control)
    raise_file_limit()
    keep_memory()
    collect_seldom()
    uvloop.run(serve(control, way, ports or None))
    return 0


if __name__ == "__main__":
    sys.exit(main())
