"""Cameras that break the protocol in every way seen in the field, each its own."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from tests.fakes.camera import PictureCamera, packets, sdp
from tests.fakes.rtsp_server import FakeRtspServer, Script, Seen

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
"""What a peer does with one connection."""


class RawPeer(FakeRtspServer):
    """Does what it is told with each connection; speaks no RTSP by itself."""

    def __init__(self, talk: Talk) -> None:
        super().__init__(Script())
        self._talk = talk

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._talk(reader, writer)


class TornCamera(PictureCamera):
    """Resets the connection in the middle of a frame, right after PLAY."""

    async def _send_media(self, writer: asyncio.StreamWriter) -> None:
        [first, *_] = packets(0, 0)
        writer.write(b"$\x00" + len(first).to_bytes(2, "big") + first[: len(first) // 2])
        await writer.drain()
        writer.transport.abort()


class RedirectingCamera(FakeRtspServer):
    """Answers every DESCRIBE by sending us back to itself."""

    def _response(self, request: Seen) -> bytes:
        if request.method != "DESCRIBE":
            return super()._response(request)
        head = f"RTSP/1.0 302 Moved Temporarily\r\nCSeq: {request.headers['cseq']}\r\n"
        return f"{head}Location: {request.uri}\r\nContent-Length: 0\r\n\r\n".encode()


async def silence(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """Read, and say nothing."""
    while await reader.read(65_536):
        pass


async def one_byte_a_second(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one byte a second."""
    await reader.readuntil(b"\r\n\r\n")
    for byte in b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nPublic: DESCRIBE, SETUP, PLAY\r\n\r\n":
        writer.write(bytes((byte,)))
        await writer.drain()
        await asyncio.sleep(1)


async def endless_header(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer with 10 MB of header."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n")
    for number in range(10_000):
        writer.write(b"X-%d: " % number + b"a" * 1000 + b"\r\n")
        await writer.drain()


async def half_an_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send half an answer and close."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"RTSP/1.0 200 OK\r\nCSe")
    await writer.drain()
    writer.close()


def answered(method: str, body: bytes, *, length: str | None = None) -> Script:
    """Return a polite script but for one answer."""
    shown = str(len(body)) if length is None else length
    head = f"RTSP/1.0 200 OK\r\nCSeq: {{cseq}}\r\nContent-Type: application/sdp\r\nContent-Length: {shown}\r\n\r\n"
    return Script(answers={method: head.encode() + body})


@dataclass(frozen=True)
class Nasty:
    """One kind of trouble and what must be told of it."""

    name: str
    make: Callable[[], FakeRtspServer]
    words: frozenset[str]
    "Any of these obstacles is a true one."


def _nasty(name: str, make: Callable[[], FakeRtspServer], *words: str) -> Nasty:
    return Nasty(name, make, frozenset(words))


NASTY: Final = (
    _nasty("accepts, then silence", lambda: RawPeer(silence), "timeout"),
    _nasty("one byte a second", lambda: RawPeer(one_byte_a_second), "timeout"),
    _nasty("reset within a frame", lambda: TornCamera(Script(sdp=sdp())), "unreachable", "no_media"),
    _nasty("no packet after PLAY", lambda: FakeRtspServer(Script(packet_interval=0)), "no_media", "timeout"),
    _nasty("endless redirect", lambda: RedirectingCamera(Script()), "refused", "protocol_error"),
    _nasty("10 MB of header", lambda: RawPeer(endless_header), "message_too_large"),
    _nasty(
        "Content-Length too long",
        lambda: FakeRtspServer(answered("DESCRIBE", sdp(), length="5000")),
        "timeout",
        "protocol_error",
    ),
    _nasty(
        "Content-Length too short",
        lambda: FakeRtspServer(answered("DESCRIBE", sdp(), length="20")),
        "protocol_error",
        "unsupported_media",
    ),
    _nasty(
        "Content-Length that is none",
        lambda: FakeRtspServer(answered("DESCRIBE", sdp(), length="-1")),
        "protocol_error",
    ),
    _nasty(
        "malformed SDP", lambda: FakeRtspServer(answered("DESCRIBE", b"\xff\x00 no sdp")), "protocol_error"
    ),
    _nasty(
        "no video in the SDP",
        lambda: FakeRtspServer(
            Script(sdp=b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=audio 0 RTP/AVP 8\r\n")
        ),
        "unsupported_media",
    ),
    _nasty("half an answer, then closed", lambda: RawPeer(half_an_answer), "unreachable", "protocol_error"),
)


def wrong_passwords() -> FakeRtspServer:
    """Return a camera that answers 401 to whatever comes."""
    return FakeRtspServer(Script(schemes=("MD5",), password="another one"))
