"""The benchmark's sinks and readers, one process for all: `python -m tests.bench.relay_takers OPTIONS`.

A sink takes any RECORD at `/<number>`; a reader is told whom to pull by `pull`. Both check every
picture. Prints the port of the sinks; then obeys `pull`, `reset` and `report`.
"""

import asyncio
import dataclasses
import json
import socket
import ssl
import sys
import time
from dataclasses import dataclass
from typing import Any, Final, cast

import uvloop

from adapters.base import Credential, RtspTarget, TlsPolicy
from adapters.errors import AdapterError
from adapters.rtsp.client import open_transport
from adapters.rtsp.message import Demultiplexer, InterleavedFrame, MessageParser
from adapters.rtsp.session import Playing, PullSession, SessionOptions
from catalog.model.secret import Secret
from gateway.descriptors import raise_file_limit
from tests.bench.relay_dialogue import Dialogue, obey
from tests.bench.relay_stream import MARK_SIZE, RATE, STAMP_SIZE
from tests.bench.relay_tally import Tally, sum_up

READ_SIZE: Final = 256 * 1024
SLOW_EVERY: Final = 4
"""Every fourth stream is slow where slow ones are wanted."""
SLOW_BUFFER: Final = 32 * 1024
"""SO_RCVBUF of a slow one: what the kernel holds must not hide that nobody reads."""
CONNECT: Final = 20.0
"""Seconds for a reader to be connected and answered."""
AT_ONCE: Final = 16
"""Readers that connect at the same time."""


@dataclass(frozen=True)
class TakerOptions:
    """What the sinks and readers of one process are like."""

    certificate: str | None = None
    "PEM file of the sinks' certificate and key: RTSPS."
    slow_rate: float = 0.0
    "Bytes a second that every fourth stream is read at; 0 for none."

    def __str__(self) -> str:
        return json.dumps(dataclasses.asdict(self))


@dataclass(frozen=True)
class Pull:
    """Whom a reader shall pull."""

    source: int
    host: str
    port: int
    path: str
    username: str = ""
    password: str = ""
    pin: str = ""
    "SHA-256 of the certificate: RTSPS."

    @property
    def target(self) -> RtspTarget:
        tls = TlsPolicy(pin_sha256=self.pin) if self.pin else None
        return RtspTarget(self.host, self.port, self.path, tls)

    @property
    def credential(self) -> Credential | None:
        return Credential(self.username, Secret(self.password)) if self.username else None


class Takers:
    """All sinks and readers of this process."""

    def __init__(self, options: TakerOptions) -> None:
        self.options = options
        self.tallies: list[Tally] = []
        self.buffer = bytearray(READ_SIZE + MARK_SIZE + STAMP_SIZE)
        "For all connections: what is read is scanned before the next one's turn."
        self.view = memoryview(self.buffer)
        self.failures: list[str] = []

    def tally(self, source: int) -> Tally:
        is_slow = self.options.slow_rate > 0 and source % SLOW_EVERY == SLOW_EVERY - 1
        tally = Tally(source, is_slow=is_slow)
        self.tallies.append(tally)
        return tally

    def reset(self, _: object) -> object:
        for tally in self.tallies:
            tally.reset()
        return None

    def report(self, _: object) -> object:
        return {**dataclasses.asdict(sum_up(self.tallies)), "failures": self.failures[:3]}


class TakerConnection(asyncio.BufferedProtocol):
    """One connection that brings media; `_handshake` is given what comes before them."""

    def __init__(self, takers: Takers) -> None:
        self._takers = takers
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._tally: Tally | None = None
        self._begin = 0
        self._resumes_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        rest = self._tally.begin() if self._tally is not None else b""
        self._begin = len(rest)
        self._takers.buffer[: self._begin] = rest
        if self._tally is not None and self._tally.is_slow:
            return self._takers.view[self._begin : self._begin + SLOW_BUFFER]
        return self._takers.view[self._begin : self._begin + READ_SIZE]

    def buffer_updated(self, nbytes: int) -> None:
        if self._tally is None:
            self._handshake(bytes(self._takers.view[:nbytes]))
            return
        self._tally.scan(self._takers.buffer, self._begin + nbytes, time.monotonic())
        if self._tally.is_slow:
            self._rest(nbytes)

    def _handshake(self, data: bytes) -> None:
        raise NotImplementedError

    def _take(self, source: int, first: bytes) -> None:
        """Take the rest as media of `source`, beginning with `first`."""
        tally = self._tally = self._takers.tally(source)
        if tally.is_slow and self._transport is not None:
            sock = self._transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SLOW_BUFFER)
        tally.scan(first, len(first), time.monotonic())

    def _rest(self, nbytes: int) -> None:
        """Read no more until the slow rate allows it."""
        transport = self._transport
        assert transport is not None
        now = self._loop.time()
        self._resumes_at = max(self._resumes_at, now) + nbytes / self._takers.options.slow_rate
        if self._resumes_at - now > 1 / RATE:
            transport.pause_reading()
            self._loop.call_at(self._resumes_at, self._resume)

    def _resume(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()


class SinkConnection(TakerConnection):
    """A peer that pushes one stream by ANNOUNCE and RECORD."""

    def __init__(self, takers: Takers) -> None:
        super().__init__(takers)
        self._dialogue = Dialogue()

    def _handshake(self, data: bytes) -> None:
        assert self._transport is not None
        if out := self._dialogue.receive(data, until=b"RECORD"):
            self._transport.write(out)
        if self._dialogue.method == b"RECORD":
            self._take(self._dialogue.source, self._dialogue.rest)


class ReaderConnection(TakerConnection):
    """A reader of one stream: OPTIONS, DESCRIBE, SETUP, PLAY, Digest where asked for."""

    def __init__(self, takers: Takers, pull: Pull) -> None:
        super().__init__(takers)
        self._pull = pull
        self._parser = Demultiplexer(MessageParser(peer=pull.target.peer))
        self._session = PullSession(pull.target, pull.credential, SessionOptions(), now=self._loop.time())
        self.playing: asyncio.Future[None] = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end("closed the connection")

    def _handshake(self, data: bytes) -> None:
        try:
            for message in self._parser.feed(data):
                if not isinstance(message, InterleavedFrame):
                    self._session.receive(message, self._loop.time())
        except AdapterError as error:
            self._end(str(error))
            return
        self._flush()
        if any(isinstance(event, Playing) for event in self._session.events()):
            # The whole chunk: media may stand behind the answer, and no mark stands in an answer.
            self._take(self._pull.source, data)
            if not self.playing.done():
                self.playing.set_result(None)

    def _flush(self) -> None:
        assert self._transport is not None
        if out := self._session.bytes_to_send():
            self._transport.write(out)

    def _end(self, why: str) -> None:
        self._takers.failures.append(f"reader of {self._pull.target.url}: {why}")
        if not self.playing.done():
            self.playing.set_exception(ConnectionError(why))


class Readers:
    """Connect readers, a few at a time, in tasks of one group."""

    def __init__(self, takers: Takers, tasks: asyncio.TaskGroup) -> None:
        self._takers = takers
        self._tasks = tasks
        self._places = asyncio.Semaphore(AT_ONCE)

    def pull(self, pulls: object) -> object:
        for each in cast(list[dict[str, Any]], pulls):
            self._tasks.create_task(self._read(Pull(**each)), name="reader")
        return None

    async def _read(self, pull: Pull) -> None:
        async with self._places:
            try:
                async with asyncio.timeout(CONNECT):
                    _, connection = await open_transport(
                        pull.target, CONNECT, lambda: ReaderConnection(self._takers, pull)
                    )
                    await connection.playing
            except (AdapterError, OSError) as error:
                self._takers.failures.append(str(error) or type(error).__name__)


async def main() -> None:
    takers = Takers(TakerOptions(**json.loads(sys.argv[1])))
    context = None
    if takers.options.certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(takers.options.certificate)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SinkConnection(takers), "127.0.0.1", 0, ssl=context, backlog=1024
    )
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201 - the benchmark reads it
    async with asyncio.TaskGroup() as tasks:
        readers = Readers(takers, tasks)
        await obey({"pull": readers.pull, "reset": takers.reset, "report": takers.report})


if __name__ == "__main__":
    raise_file_limit()
    uvloop.run(main())
