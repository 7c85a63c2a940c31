"""A TCP proxy on 127.0.0.1 between two programs, with faults that are switched while it runs.

It owns its sockets and tasks. What waits in it is bounded: `MOST_WAITING` chunks each way, then the
sender's window closes. All chance comes from one seed.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from random import Random
from typing import Final

from tests.fakes.fault_switches import Counts, Cut, Door, Route, Way

CHUNK: Final = 16 * 1024
"""Most bytes of one read."""
MOST_WAITING: Final = 32
"""Chunks that wait in one direction of one connection."""
KERNEL_BUFFER: Final = 64 * 1024
"""SO_RCVBUF of every socket: what lies in the kernel is no longer to be held back."""
CONNECT: Final = 5.0
"""Seconds for the connection to the server behind."""
_RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER of no seconds: closing sends RST."""


class _Ended(Exception):
    """Raised inside a link to end it."""

    def __init__(self, by: Cut) -> None:
        self.by = by


_Chunk = tuple[float, bytes | Cut]
"""When it may go on, and what it is; an end counts as a chunk."""


class _Direction:
    """One direction of one connection."""

    def __init__(
        self, source: socket.socket, sink: socket.socket, way: Way, change: Callable[[bytes], bytes] | None
    ) -> None:
        self.sink = sink
        self.way = way
        self.is_shut = False
        self._source = source
        self._change = change
        self._waiting: asyncio.Queue[_Chunk] = asyncio.Queue(MOST_WAITING)

    @property
    def waiting(self) -> int:
        return self._waiting.qsize()

    async def read(self, chance: Random) -> None:
        loop = asyncio.get_running_loop()
        while True:
            what: bytes | Cut
            try:
                what = await loop.sock_recv(self._source, CHUNK) or Cut.CLOSE
            except OSError:
                what = Cut.RESET
            if self._change is not None and isinstance(what, bytes):
                what = self._change(what)
            await self._waiting.put((self.way.due(loop.time(), chance), what))
            if isinstance(what, Cut):
                return

    async def write(self, counts: Counts) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due, what = await self._waiting.get()
            await asyncio.sleep(due - loop.time())
            await self.way.flows()
            if self.way.is_lost or self.is_shut:
                counts.bytes_lost += len(what) if isinstance(what, bytes) else 0
            elif what is Cut.RESET:
                raise _Ended(Cut.RESET)
            elif isinstance(what, bytes):
                await self._pass(what, counts)
            else:
                self.sink.shutdown(socket.SHUT_WR)
            if isinstance(what, Cut):
                return

    async def _pass(self, data: bytes, counts: Counts) -> None:
        cut = self.way.take_cut(data)
        for piece in self._pieces(data if cut is None else data[: cut[0]]):
            await asyncio.get_running_loop().sock_sendall(self.sink, piece)
            counts.bytes_passed += len(piece)
            if self.way.rate > 0:
                await asyncio.sleep(self.way.pause(len(piece), asyncio.get_running_loop().time()))
                await self.way.flows()
        if cut is not None:
            raise _Ended(cut[1])

    def _pieces(self, data: bytes) -> list[bytes]:
        size = max(64, int(self.way.rate / 20)) if self.way.rate > 0 else CHUNK
        return [data[at : at + size] for at in range(0, len(data), size)]


class Link:
    """One connection through the proxy."""

    def __init__(self, client: socket.socket, server: socket.socket, proxy: "FaultProxy") -> None:
        self._proxy = proxy
        self._sockets = (client, server)
        self._route = proxy.route() if proxy.route is not None else None
        route = self._route
        self._to_client = _Direction(server, client, proxy.to_client, route.to_client if route else None)
        self._to_server = _Direction(client, server, proxy.to_server, route.to_server if route else None)
        self._task: asyncio.Task[None] | None = None
        self._by = Cut.CLOSE

    async def run(self) -> None:
        """Carry until both sides have ended, or one was reset."""
        self._task = asyncio.current_task()
        counts, chance = self._proxy.counts, self._proxy.chance
        try:
            async with asyncio.TaskGroup() as group:
                for way in (self._to_client, self._to_server):
                    group.create_task(way.read(chance), name="read")
                    group.create_task(way.write(counts), name="write")
        except* _Ended as ends:
            self._by = next(end.by for end in ends.exceptions if isinstance(end, _Ended))
        except* OSError:
            self._by = Cut.RESET
        finally:
            self._close()

    @property
    def waiting(self) -> int:
        """Return how many chunks wait in the fuller direction."""
        return max(self._to_client.waiting, self._to_server.waiting)

    def end(self, by: Cut) -> None:
        """End the connection towards both sides, now."""
        self._by = by
        if self._task is not None:
            self._task.cancel()

    def half_close(self, way: Way) -> None:
        """Send FIN along `way`; what comes that way later is thrown away, the other way goes on."""
        direction = self._to_client if way is self._to_client.way else self._to_server
        direction.is_shut = True
        direction.sink.shutdown(socket.SHUT_WR)
        self._proxy.counts.half_closes += 1

    def _close(self) -> None:
        if self._by is Cut.RESET:
            self._proxy.counts.resets += 1
        for sock in self._sockets:
            if self._by is Cut.RESET:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            sock.close()
        if self._route is not None:
            self._route.close()


@dataclass
class FaultProxy:
    """A listening proxy; its attributes are its switches. Run it by `fault_proxy`.

    Where the server behind refuses, the client is reset: it was accepted already.
    """

    server_port: int
    "Where the connections lead: a port of 127.0.0.1."
    seed: int = 0
    route: Callable[[], Route] | None = None
    "Makes what changes the bytes of one connection."
    port: int = 0
    "Where it listens on 127.0.0.1."
    counts: Counts = field(default_factory=Counts)
    to_client: Way = field(default_factory=Way)
    to_server: Way = field(default_factory=Way)

    def __post_init__(self) -> None:
        self.chance = Random(self.seed)
        self.door = Door.SHUT
        self._links: set[Link] = set()
        self._listening: socket.socket | None = None
        self._filling: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._group = asyncio.TaskGroup()

    @property
    def links(self) -> int:
        """Return how many connections there are now."""
        return len(self._links)

    @property
    def waiting(self) -> int:
        """Return how many chunks wait in the fullest direction of any connection."""
        return max((link.waiting for link in self._links), default=0)

    def end_all(self, by: Cut) -> None:
        """End every connection."""
        for link in tuple(self._links):
            link.end(by)

    def half_close_all(self, way: Way) -> None:
        """Send FIN along `way` of every connection."""
        for link in tuple(self._links):
            link.half_close(way)

    def stall(self) -> None:
        """Stall both ways."""
        self.to_client.stall()
        self.to_server.stall()

    def lose(self) -> None:
        """Throw away what comes either way, as a line that was cut somewhere in the middle."""
        self.to_client.is_lost = self.to_server.is_lost = True

    def heal(self) -> None:
        """Take back every fault of both ways; connections that were ended stay ended."""
        for way in (self.to_client, self.to_server):
            way.delay = way.jitter = way.rate = 0.0
            way.is_lost = False
            way.resume()

    def set_door(self, door: Door) -> None:
        """Treat whoever connects from now on as `door` says; standing connections stay."""
        if self._accepting is not None:
            self._accepting.cancel()
            self._accepting = None
            if self._listening is not None:
                # Before it is closed: the cancelled task does so only at its next turn.
                asyncio.get_running_loop().remove_reader(self._listening)
        for sock in (self._filling, self._listening if door is Door.SHUT else None):
            if sock is not None:
                sock.close()
        self._filling = None
        if door is Door.SHUT:
            self._listening = None
        elif self._listening is None:
            self._listen()
        self.door = door
        if self._listening is not None:
            if door is Door.DEAF:
                self._fill(self._listening)
            else:
                self._listening.listen(128)
                self._accepting = self._start(self._accept(self._listening), "accept")

    def _listen(self) -> None:
        self._listening = socket.socket()
        self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, KERNEL_BUFFER)
        self._listening.setblocking(False)
        self._listening.bind(("127.0.0.1", self.port))
        self._listening.listen(128)
        self.port = self._listening.getsockname()[1]

    def _fill(self, listening: socket.socket) -> None:
        """Take the one place that the kernel keeps for connections nobody accepts."""
        listening.listen(0)
        self._filling = socket.socket()
        self._filling.setblocking(False)
        self._filling.connect_ex(("127.0.0.1", self.port))

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            client, _ = await loop.sock_accept(listening)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.counts.accepted += 1
            work = self._silence(client) if self.door is Door.SILENT else self._carry(client)
            _ = self._start(work, "link")

    async def _silence(self, client: socket.socket) -> None:
        self.counts.silenced += 1
        with client, contextlib.suppress(OSError):
            while data := await asyncio.get_running_loop().sock_recv(client, CHUNK):
                self.counts.bytes_lost += len(data)

    async def _carry(self, client: socket.socket) -> None:
        server = socket.socket()
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, KERNEL_BUFFER)
        server.setblocking(False)
        try:
            async with asyncio.timeout(CONNECT):
                await asyncio.get_running_loop().sock_connect(server, ("127.0.0.1", self.server_port))
        except BaseException as error:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            client.close()
            server.close()
            if isinstance(error, OSError):
                return
            raise
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link = Link(client, server, self)
        self._links.add(link)
        try:
            await link.run()
        finally:
            self._links.discard(link)

    def _start(self, work: Coroutine[None, None, None], name: str) -> asyncio.Task[None]:
        task = self._group.create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncIterator["FaultProxy"]:
        """Listen for the length of the block; every connection ends with it."""
        async with self._group:
            self.set_door(Door.OPEN)
            try:
                yield self
            finally:
                self.set_door(Door.SHUT)
                for task in tuple(self._running):
                    task.cancel()


@contextlib.asynccontextmanager
async def fault_proxy(
    server_port: int, *, seed: int = 0, route: Callable[[], Route] | None = None
) -> AsyncIterator[FaultProxy]:
    """Run a proxy in front of a port of 127.0.0.1 for the length of the block."""
    async with FaultProxy(server_port, seed, route).run() as proxy:
        yield proxy
