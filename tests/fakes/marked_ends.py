# ruff: noqa: T201
"""Cameras and sinks of marked streams, each kind a process of its own: `cameras` or `sinks`.

Commands come as lines of JSON on the standard input, each is answered by one line. Cameras know
`on NUMBER PORT WEIGHT`, `off NUMBER` and `kill NUMBER`; sinks know `port`, `reset NUMBER` and `report`.
"""

import asyncio
import json
import os
import re
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, cast

import uvloop

from tests.fakes.marked_stream import Judge, MarkedStream, sdp

RATE: Final = 15
"""Pictures a second."""
LATE: Final = 2.0
"""Seconds that a camera goes on sending by UDP after its RTSP connection ended: it has not noticed yet."""
SAME_SSRC: Final = 0x0BADF00D
"""What every third camera uses, as devices with a constant in their firmware do."""
ANSWER: Final = 20.0
"""Seconds for an answer of a process."""

_CSEQ: Final = re.compile(rb"\r\nCSeq: *([0-9]+)", re.IGNORECASE)
_LENGTH: Final = re.compile(rb"\r\nContent-Length: *([0-9]+)", re.IGNORECASE)
_TRANSPORT: Final = re.compile(rb"\r\nTransport: *([^\r]+)", re.IGNORECASE)
_CLIENT_PORT: Final = re.compile(rb"client_port=([0-9]+)")
_PATH: Final = re.compile(rb"rtsp://[^/]+/([0-9]+)")
_PUBLIC: Final = b"Public: OPTIONS, DESCRIBE, SETUP, PLAY, ANNOUNCE, RECORD, TEARDOWN, GET_PARAMETER"


async def head_of(reader: asyncio.StreamReader) -> bytes:
    """Return the next request's head; the client's reports in between are passed over."""
    while (first := await reader.readexactly(1)) == b"$":
        _, high, low = await reader.readexactly(3)
        await reader.readexactly(high << 8 | low)
    return first + await reader.readuntil(b"\r\n\r\n")


def answer(head: bytes, lines: list[bytes], body: bytes = b"", status: bytes = b"200 OK") -> bytes:
    """Return the answer to the request with this head."""
    found = _CSEQ.search(head)
    start = [b"RTSP/1.0 " + status, b"CSeq: " + (found[1] if found else b"0"), b"Session: 1;timeout=4"]
    return b"\r\n".join((*start, *lines, b"Content-Length: %d" % len(body), b"", body))


class MarkedCamera:
    """One camera: serves its own number at `/<number>` and nothing else, by TCP or UDP as asked."""

    def __init__(self, number: int, weight: int, group: asyncio.TaskGroup) -> None:
        self._number = number
        self._weight = weight
        self._group = group
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def on(self, port: int) -> int:
        """Listen; return the port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port, backlog=256)
        return int(self._server.sockets[0].getsockname()[1])

    def off(self) -> None:
        """Refuse, and reset every connection."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.kill()

    def kill(self) -> None:
        """Reset every connection."""
        for writer in self._writers:
            reset(writer.transport)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                await self._answer_all(reader, writer)
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _answer_all(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        datagrams: Datagrams | None = None
        while True:
            head = await head_of(reader)
            method = head.split(b" ", 1)[0]
            path = _PATH.search(head)
            if path is None or int(path[1]) != self._number:
                writer.write(answer(head, [], status=b"404 Not Found"))
                continue
            lines: list[bytes] = [_PUBLIC]
            if method == b"SETUP" and (asked := _TRANSPORT.search(head)) is not None:
                if (port := _CLIENT_PORT.search(asked[1])) is not None:
                    haunt(int(port[1]), self._number)
                    datagrams = Datagrams(int(port[1]))
                lines = [b"Transport: " + asked[1] + (datagrams.server_port if datagrams else b"")]
            elif method == b"DESCRIBE":
                lines = [b"Content-Type: application/sdp"]
            writer.write(answer(head, lines, sdp() if method == b"DESCRIBE" else b""))
            if method == b"PLAY":
                stream = stream_of(self._number, self._weight)
                self._group.create_task(self._play(stream, writer, datagrams), name="media")
            if method == b"TEARDOWN":
                return

    async def _play(
        self, stream: MarkedStream, writer: asyncio.StreamWriter, datagrams: "Datagrams | None"
    ) -> None:
        loop = asyncio.get_running_loop()
        begin, end = loop.time(), None
        with suppress(OSError):
            while end is None or (datagrams is not None and loop.time() < end):
                packets = stream.next_picture()
                if datagrams is not None:
                    datagrams.send(packets)
                else:
                    writer.write(b"".join(b"$\0" + len(each).to_bytes(2, "big") + each for each in packets))
                    await writer.drain()
                await asyncio.sleep(max(0.0, begin + stream.number / RATE - loop.time()))
                if end is None and writer.transport.is_closing():
                    end = loop.time() + LATE
        if datagrams is not None:
            datagrams.close()


def stream_of(number: int, weight: int) -> MarkedStream:
    """Return what the camera with this number sends."""
    return MarkedStream(number, weight, ssrc=SAME_SSRC if number % 3 == 0 else None)


def haunt(client_port: int, number: int) -> None:
    """Send a picture of another camera: the port was its client's a moment ago, and it has not noticed."""
    late = Datagrams(client_port)
    late.send(stream_of(number + 3, weight=400).next_picture())
    late.close()


class Datagrams:
    """The ports that one session sends from."""

    def __init__(self, client_port: int) -> None:
        self._to = ("127.0.0.1", client_port)
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._sock.bind(("127.0.0.1", 0))
        port = self._sock.getsockname()[1]
        self.server_port = b";server_port=%d-%d" % (port, port + 1)

    def send(self, packets: list[bytes]) -> None:
        for packet in packets:
            # Nobody may listen there any more.
            with suppress(OSError):
                self._sock.sendto(packet, self._to)

    def close(self) -> None:
        self._sock.close()


def reset(transport: asyncio.BaseTransport) -> None:
    """End a connection by RST."""
    sock = transport.get_extra_info("socket")
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, (1).to_bytes(4, sys.byteorder) + bytes(4))
    cast(asyncio.Transport, transport).abort()


class Sinks:
    """Takes any number of RECORDs at `/<number>` and judges every packet of each."""

    def __init__(self) -> None:
        self.judges: dict[int, list[Judge]] = {}
        "Of each number: one for each RECORD that was answered."
        self.open: dict[int, set[SinkConnection]] = {}

    def reset(self, number: int) -> None:
        """Reset every connection of `number`."""
        for connection in tuple(self.open.get(number, ())):
            reset(connection.transport)

    def report(self) -> dict[int, dict[str, int]]:
        """Return what arrived under each number, over all its connections."""
        return {
            number: {
                **dict(sum((Counter(each.counts()) for each in judges), Counter())),
                "records": len(judges),
                "open": len(self.open[number]),
            }
            for number, judges in self.judges.items()
        }


class SinkConnection(asyncio.Protocol):
    """One push."""

    transport: asyncio.Transport

    def __init__(self, sinks: Sinks) -> None:
        self._sinks = sinks
        self._data = bytearray()
        self._number = -1
        self._judge: Judge | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._sinks.open.get(self._number, set()).discard(self)

    def data_received(self, data: bytes) -> None:
        self._data += data
        while self._data:
            used = self._frame() if self._data[0] == 0x24 else self._message()
            if used == 0:
                return
            del self._data[:used]

    def _frame(self) -> int:
        end = 4 + int.from_bytes(self._data[2:4], "big")
        if len(self._data) < max(4, end):
            return 0
        if self._data[1] == 0 and self._judge is not None:
            self._judge.take(bytes(self._data[4:end]))
        return end

    def _message(self) -> int:
        end = self._data.find(b"\r\n\r\n") + 4
        if end < 4:
            return 0
        head = bytes(self._data[:end])
        length = _LENGTH.search(head)
        end += int(length[1]) if length else 0
        if len(self._data) < end:
            return 0
        method = head.split(b" ", 1)[0]
        asked = _TRANSPORT.search(head)
        self.transport.write(answer(head, [b"Transport: " + asked[1]] if asked else [_PUBLIC]))
        path = _PATH.search(head)
        if method == b"RECORD" and path is not None:
            self._record(int(path[1]))
        return end

    def _record(self, number: int) -> None:
        self._number = number
        self._judge = Judge(number)
        self._sinks.judges.setdefault(number, []).append(self._judge)
        self._sinks.open.setdefault(number, set()).add(self)


async def commands() -> AsyncIterator[list[Any]]:
    """Yield the commands on the standard input."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while line := await reader.readline():
        yield json.loads(line)


async def cameras() -> None:
    """Serve cameras until the input ends."""
    known: dict[int, MarkedCamera] = {}
    async with asyncio.TaskGroup() as group:
        async for name, number, *arguments in commands():
            result = 0
            if name == "on":
                known[number] = MarkedCamera(number, arguments[1], group)
                result = await known[number].on(arguments[0])
            elif name == "off":
                known[number].off()
            else:
                known[number].kill()
            print(json.dumps(result), flush=True)
        # At once: asyncio's streams complain of every connection that is cut off in the middle.
        os._exit(0)


async def sinks() -> None:
    """Take streams until the input ends."""
    taking = Sinks()
    server = await asyncio.get_running_loop().create_server(
        lambda: SinkConnection(taking), "127.0.0.1", 0, backlog=1024
    )
    async for name, *arguments in commands():
        result: Any = 0
        if name == "port":
            result = server.sockets[0].getsockname()[1]
        elif name == "report":
            result = taking.report()
        else:
            taking.reset(*arguments)
        print(json.dumps(result), flush=True)
    os._exit(0)


class End:
    """A running process of cameras or of sinks."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._asking = asyncio.Lock()

    async def ask(self, *command: object) -> Any:
        """Give a command and return its answer."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        async with self._asking, asyncio.timeout(ANSWER):
            process.stdin.write(json.dumps(command).encode() + b"\n")
            return json.loads(await process.stdout.readline())

    async def report(self) -> dict[int, dict[str, int]]:
        """Return what arrived at the sinks, by number."""
        return {int(number): each for number, each in (await self.ask("report")).items()}


@asynccontextmanager
async def end_process(kind: str) -> AsyncIterator[End]:
    """Run a process of `cameras` or `sinks` for the length of the block."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", __name__, kind),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 20,
    )
    try:
        yield End(process)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


KINDS: Final[dict[str, Callable[[], Any]]] = {"cameras": cameras, "sinks": sinks}

if __name__ == "__main__":
    uvloop.run(KINDS[sys.argv[1]]())
