# ruff: noqa: T201
"""The benchmark's two ends, each a process of its own: `source SECONDS BITRATE` and `sink`.

Both print the port they listen on. The sink prints what it saw, as JSON, when its input ends.
"""

import asyncio
import base64
import json
import os
import re
import sys
from contextlib import suppress
from typing import Final

import uvloop

from tests.bench.relay_stream import MARK, MARK_SIZE, RATE, Packetizer, encode, parameter_sets

_SOURCE: Final = re.compile(rb"rtsp://[^/]+/([0-9]+)")
_CSEQ: Final = re.compile(rb"\r\nCSeq: *([0-9]+)", re.IGNORECASE)
_LENGTH: Final = re.compile(rb"\r\nContent-Length: *([0-9]+)", re.IGNORECASE)
_TRANSPORT: Final = re.compile(rb"\r\nTransport: *([^\r]+)", re.IGNORECASE)


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sdp: bytes, last: bytes) -> int:
    """Answer requests until `last` is answered; return the source's number."""
    source = 0
    while True:
        head = await reader.readuntil(b"\r\n\r\n")
        method = head.split(b" ", 1)[0]
        if (length := _LENGTH.search(head)) is not None:
            await reader.readexactly(int(length[1]))
        if (found := _SOURCE.search(head)) is not None:
            source = int(found[1])
        cseq = _CSEQ.search(head)
        lines = [b"RTSP/1.0 200 OK", b"CSeq: " + (cseq[1] if cseq else b"0"), b"Session: 1;timeout=60"]
        body = b""
        if method == b"OPTIONS":
            lines.append(b"Public: OPTIONS, DESCRIBE, SETUP, PLAY, ANNOUNCE, RECORD, TEARDOWN")
        if method == b"DESCRIBE":
            body = sdp
            lines += [b"Content-Type: application/sdp", b"Content-Length: %d" % len(body)]
        if method == b"SETUP" and (transport := _TRANSPORT.search(head)) is not None:
            lines.append(b"Transport: " + transport[1])
        writer.write(b"\r\n".join(lines) + b"\r\n\r\n" + body)
        if method == last:
            return source


async def send(writer: asyncio.StreamWriter, packetizer: Packetizer) -> None:
    """Send a picture every 1/25 s, in one write: a frame-wise sender."""
    loop = asyncio.get_running_loop()
    begin = loop.time()
    while not writer.transport.is_closing():
        writer.write(packetizer.next_picture())
        await asyncio.sleep(max(0.0, begin + packetizer.number / RATE - loop.time()))


async def source(seconds: int, bitrate: int) -> None:
    """Serve any number of sources, `rtsp://127.0.0.1:PORT/<number>`."""
    pictures = await encode(seconds, bitrate)
    sets = ",".join(base64.b64encode(unit).decode() for unit in parameter_sets(pictures))
    sdp = (
        "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=bench\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n"
        "a=rtpmap:96 H264/90000\r\n"
        f"a=fmtp:96 packetization-mode=1;sprop-parameter-sets={sets}\r\na=control:track1\r\n"
    ).encode()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            number = await answer(reader, writer, sdp, b"PLAY")
            await send(writer, Packetizer(number, pictures))
        writer.transport.abort()

    await listen(serve)


class Seen:
    """What arrived under one source's number."""

    def __init__(self) -> None:
        self.frames = 0
        self.foreign = 0
        self.missing = 0
        self.last = -1

    def take(self, own: int, marked: int, number: int) -> None:
        if marked != own:
            self.foreign += 1
            return
        if self.last >= 0 and number != self.last + 1:
            self.missing += number - self.last - 1
        self.last = number
        self.frames += 1


async def sink() -> None:
    """Take any number of RECORDs and check every picture of each."""
    seen: dict[int, Seen] = {}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            number = await answer(reader, writer, b"", b"RECORD")
            mine = seen.setdefault(number, Seen())
            mine.last = -1
            rest = b""
            while data := await reader.read(262144):
                data = rest + data
                at = data.find(MARK)
                while 0 <= at <= len(data) - MARK_SIZE:
                    text = data[at + len(MARK) : at + MARK_SIZE]
                    mine.take(number, int(text[:6]), int(text[6:]))
                    at = data.find(MARK, at + MARK_SIZE)
                rest = data[at:] if at >= 0 else data[-len(MARK) + 1 :]
        writer.transport.abort()

    await listen(serve)
    print(json.dumps({number: [s.frames, s.foreign, s.missing] for number, s in seen.items()}), flush=True)
    # At once: asyncio's streams complain of every connection that is cut off in the middle.
    os._exit(0)


async def listen(serve: "asyncio.streams._ClientConnectedCallback") -> None:
    """Print the port and serve until the standard input ends."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1 << 20, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.close()


if __name__ == "__main__":
    if sys.argv[1] == "source":
        uvloop.run(source(int(sys.argv[2]), int(sys.argv[3])))
    else:
        uvloop.run(sink())
