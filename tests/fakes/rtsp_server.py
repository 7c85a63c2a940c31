"""A scriptable RTSP server on 127.0.0.1: camera and RECORD target in one, polite or not.

It shares no code with the client but the test's own constants: requests are read and digests checked
by hand, so that the two cannot make the same mistake.
"""

import asyncio
import hashlib
import itertools
import re
import ssl
from base64 import b64decode
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

SDP: Final = (
    b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=fake\r\nt=0 0\r\na=control:*\r\n"
    b"m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
    b"a=fmtp:96 packetization-mode=1;sprop-parameter-sets=Z0LAFdoFB+wFqDAwNSgAAAMACAAAAwGUeLF1,aM48gA==\r\n"
    b"a=control:track1\r\n"
    b"m=audio 0 RTP/AVP 8\r\na=control:track2\r\n"
)
REALM: Final = "fake, camera"
NONCE: Final = "4a5b6c7d"


@dataclass
class Script:
    """How the server behaves; the defaults are a polite H.264 camera without password."""

    schemes: tuple[str, ...] = ()
    "Challenges in order: `MD5`, `SHA-256`, `MD5-plain` (RFC 2069, no qop), `Basic`. Empty: no password."
    username: str = "operator"
    password: str = "correct horse"
    sdp: bytes = SDP
    timeout: str = "60"
    "Text behind `timeout=` in the Session header."
    server: str = "Fake camera"
    packet_interval: float = 0.01
    "Seconds between two RTP packets after PLAY; 0 sends none."
    gop: int = 10
    "Packets from key frame to key frame."
    delays: Mapping[str, float] = field(default_factory=dict)
    "Seconds before the answer to a method."
    silent: frozenset[str] = frozenset()
    "Methods that are never answered."
    half: frozenset[str] = frozenset()
    "Methods of which half the answer is sent, and then nothing more."
    drops: frozenset[str] = frozenset()
    "Methods at which the connection is reset."
    answers: Mapping[str, bytes] = field(default_factory=dict)
    "Raw answers by method; `{cseq}` in them is replaced."


@dataclass(frozen=True)
class Seen:
    """A request as the server read it."""

    method: str
    uri: str
    headers: Mapping[str, str]
    "Names in lower case."
    body: bytes


def rtp_packets(ssrc: int = 0x11223344, gop: int = 10) -> Iterator[bytes]:
    """Yield H.264 RTP packets without end, one picture each; every `gop`-th begins with a key frame."""
    for index in itertools.count():
        payload = b"\x65" + bytes(99) if index % gop == 0 else b"\x41" + bytes(49)
        if index % gop == 0:
            payload = b"\x78\x00\x04\x67\x42\xc0\x15\x00\x64" + payload  # STAP-A: SPS, IDR slice
        head = b"\x80\xe0" + (index % 65536).to_bytes(2, "big")
        yield head + (index * 3600 % 2**32).to_bytes(4, "big") + ssrc.to_bytes(4, "big") + payload


class FakeRtspServer:
    """One listening server; its attributes tell what it has met.

    Attributes:
        port: where it listens on 127.0.0.1.
        seen: every request, oldest first.
        refused: how many requests were answered 401 although they held an Authorization.
        announced: the body of the last ANNOUNCE.
        frames: interleaved frames received after RECORD: channel and payload (the last 10,000).
        connections: how many were ever accepted.
    """

    def __init__(self, script: Script) -> None:
        self.script = script
        self.port = 0
        self.seen: list[Seen] = []
        self.refused = 0
        self.announced = b""
        self.frames: list[tuple[int, bytes]] = []
        self.connections = 0
        self._open: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}
        self._is_ending = False
        self._idle = asyncio.Event()
        self._idle.set()

    def methods(self) -> list[str]:
        """Return the methods seen, oldest first."""
        return [request.method for request in self.seen]

    def drop_connections(self) -> None:
        """Reset every connection."""
        for writer in tuple(self._open):
            writer.transport.abort()

    async def end(self) -> None:
        """End every connection and wait for their tasks."""
        self._is_ending = True
        for task in tuple(self._open.values()):
            if task is not None:
                task.cancel()
        await self._idle.wait()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until it ends."""
        self.connections += 1
        task = asyncio.current_task()
        self._open[writer] = task
        self._idle.clear()
        try:
            await self._serve(reader, writer)
        except* (OSError, asyncio.IncompleteReadError):
            pass
        except* asyncio.CancelledError:
            # Python 3.11's streams ask a cancelled task for its exception, which raises.
            if not self._is_ending:
                raise
        finally:
            writer.transport.abort()
            del self._open[writer]
            if not self._open:
                self._idle.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.TaskGroup() as group:
            sender: asyncio.Task[None] | None = None
            while True:
                first = await reader.read(1)
                if not first:
                    break
                if first == b"$":
                    head = await reader.readexactly(3)
                    payload = await reader.readexactly(int.from_bytes(head[1:], "big"))
                    self.frames = [*self.frames[-9999:], (head[0], payload)]
                    continue
                request = await self._read_request(first, reader)
                self.seen.append(request)
                if not await self._answer(request, writer):
                    break
                if request.method == "PLAY" and self.script.packet_interval > 0 and sender is None:
                    sender = group.create_task(self._send_media(writer), name="media")
            if sender is not None:
                sender.cancel()

    async def _read_request(self, first: bytes, reader: asyncio.StreamReader) -> Seen:
        head = (first + await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        start, *lines = head.rstrip("\r\n").split("\r\n")
        method, uri, _version = start.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        return Seen(method, uri, headers, body)

    async def _answer(self, request: Seen, writer: asyncio.StreamWriter) -> bool:
        script, method = self.script, request.method
        await asyncio.sleep(script.delays.get(method, 0.0))
        if method in script.drops:
            return False
        if method in script.silent:
            return True
        data = self._response(request)
        writer.write(data[: len(data) // 2] if method in script.half else data)
        await writer.drain()
        return method != "TEARDOWN"

    def _response(self, request: Seen) -> bytes:
        cseq = request.headers.get("cseq", "0")
        if request.method in self.script.answers:
            return self.script.answers[request.method].replace(b"{cseq}", cseq.encode())
        if self.script.schemes and request.method != "OPTIONS" and not self._is_authorised(request):
            self.refused += "authorization" in request.headers
            challenges = "".join(f"WWW-Authenticate: {self._challenge(s)}\r\n" for s in self.script.schemes)
            return f"RTSP/1.0 401 Unauthorized\r\nCSeq: {cseq}\r\n{challenges}\r\n".encode()
        fields, body = self._content(request)
        if body:
            fields = f"{fields}Content-Length: {len(body)}\r\n"
        head = f"RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\nServer: {self.script.server}\r\n{fields}\r\n"
        return head.encode() + body

    def _content(self, request: Seen) -> tuple[str, bytes]:
        session = f"Session: 12345678;timeout={self.script.timeout}\r\n"
        match request.method:
            case "OPTIONS":
                names = "OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER, ANNOUNCE, RECORD"
                return f"Public: {names}\r\n", b""
            case "DESCRIBE":
                return f"Content-Base: {request.uri}/\r\nContent-Type: application/sdp\r\n", self.script.sdp
            case "ANNOUNCE":
                self.announced = request.body
                return "", b""
            case "SETUP":
                return f"Transport: {request.headers['transport']}\r\n{session}", b""
            case _:
                return session, b""

    async def _send_media(self, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            for packet in rtp_packets(gop=self.script.gop):
                writer.write(b"$\x00" + len(packet).to_bytes(2, "big") + packet)
                await writer.drain()
                await asyncio.sleep(self.script.packet_interval)

    def _challenge(self, scheme: str) -> str:
        if scheme == "Basic":
            return f'Basic realm="{REALM}"'
        qop = "" if scheme == "MD5-plain" else ', qop="auth"'
        algorithm = "" if scheme == "MD5-plain" else f", algorithm={scheme}"
        return f'Digest realm="{REALM}", nonce="{NONCE}"{algorithm}{qop}'

    def _is_authorised(self, request: Seen) -> bool:
        scheme, _, rest = request.headers.get("authorization", "").partition(" ")
        if scheme == "Basic" and "Basic" in self.script.schemes:
            return b64decode(rest).decode() == f"{self.script.username}:{self.script.password}"
        if scheme != "Digest":
            return False
        given = {name: quoted or plain for name, quoted, plain in _PARAMETERS.findall(rest)}
        algorithm = given.get("algorithm", "MD5-plain")
        if algorithm not in self.script.schemes or given.get("uri") != request.uri:
            return False
        return given.get("response") == self._expected(algorithm, given, request.method)

    def _expected(self, algorithm: str, given: Mapping[str, str], method: str) -> str:
        hash_name = "sha256" if algorithm == "SHA-256" else "md5"

        def hashed(text: str) -> str:
            return hashlib.new(hash_name, text.encode()).hexdigest()

        a1 = hashed(f"{self.script.username}:{REALM}:{self.script.password}")
        a2 = hashed(f"{method}:{given['uri']}")
        if algorithm == "MD5-plain":
            return hashed(f"{a1}:{NONCE}:{a2}")
        return hashed(f"{a1}:{NONCE}:{given.get('nc')}:{given.get('cnonce')}:auth:{a2}")


_PARAMETERS: Final = re.compile(r'(\w+)=(?:"([^"]*)"|([^\s,"]+))')


@asynccontextmanager
async def fake_rtsp_server(
    script: Script | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[FakeRtspServer]:
    """Run a server on a loopback address for the length of the block; `port` 0 takes a free one."""
    fake = FakeRtspServer(script if script is not None else Script())
    server = await asyncio.start_server(fake.handle, host, port, ssl=tls)
    fake.port = server.sockets[0].getsockname()[1]
    try:
        yield fake
    finally:
        server.close()
        await fake.end()
        await server.wait_closed()
