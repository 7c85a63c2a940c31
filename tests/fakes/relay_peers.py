"""Cameras with real weight and superiors that stop reading, for the relay's tests."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import groupby, pairwise

from tests.fakes.rtsp_server import FakeRtspServer, Script, Seen, rtp_packets
from tests.media_captures import behind, timestamp

PACKETS_A_PICTURE = 30
PACKET_SIZE = 1300


def picture(index: int, *, is_key: bool) -> bytes:
    """Return the interleaved frames of one H.264 picture; its RTP timestamp tells its number."""
    frames = []
    for part in range(PACKETS_A_PICTURE):
        unit = 5 if is_key else 1
        bits = 0x80 if part == 0 else 0x40 if part == PACKETS_A_PICTURE - 1 else 0
        payload = bytes((0x7C, bits | unit)) + bytes(PACKET_SIZE)
        marker = 0x80 if part == PACKETS_A_PICTURE - 1 else 0
        sequence = (index * PACKETS_A_PICTURE + part) % 65536
        packet = bytes((0x80, marker | 96)) + sequence.to_bytes(2, "big")
        packet += (index * 3600 % 2**32).to_bytes(4, "big") + b"\x11\x22\x33\x44" + payload
        frames.append(b"$\x00" + len(packet).to_bytes(2, "big") + packet)
    return b"".join(frames)


class HeavyCamera(FakeRtspServer):
    """Sends 25 pictures of 39 kB a second: 8 Mbit/s."""

    async def _send_media(self, writer: asyncio.StreamWriter) -> None:
        index = 0
        with suppress(OSError):
            while True:
                writer.write(picture(index, is_key=index % 10 == 0))
                await writer.drain()
                index += 1
                await asyncio.sleep(0.04)


class UdpOnlyCamera(FakeRtspServer):
    """Refuses TCP by 461 and sends its packets by UDP."""

    def _response(self, request: Seen) -> bytes:
        answer = super()._response(request)
        if request.method != "SETUP":
            return answer
        transport = request.headers["transport"]
        if "TCP" in transport:
            return f"RTSP/1.0 461 Unsupported Transport\r\nCSeq: {request.headers['cseq']}\r\n\r\n".encode()
        found = re.search(r"client_port=(\d+)", transport)
        assert found is not None
        self.client_port = int(found[1])
        return answer

    async def _send_media(self, writer: asyncio.StreamWriter) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.bind(("127.0.0.1", 0))
            for packet in rtp_packets(gop=self.script.gop):
                sender.sendto(packet, ("127.0.0.1", self.client_port))
                await asyncio.sleep(self.script.packet_interval)


class DeafSuperior(FakeRtspServer):
    """Answers RECORD and then reads no more, until `released`."""

    def __init__(self, script: Script) -> None:
        super().__init__(script)
        self.released = asyncio.Event()

    async def _answer(self, request: Seen, writer: asyncio.StreamWriter) -> bool:
        goes_on = await super()._answer(request, writer)
        if request.method == "RECORD":
            transport = writer.transport
            assert isinstance(transport, asyncio.Transport)
            transport.pause_reading()
            # The reader must not ask for more either, for that resumes the transport.
            await self.released.wait()
        return goes_on


@asynccontextmanager
async def served(fake: FakeRtspServer) -> AsyncIterator[FakeRtspServer]:
    """Let `fake` listen on 127.0.0.1 for the length of the block."""
    async with asyncio.TaskGroup() as handling:

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            handling.create_task(fake.handle(reader, writer), name="peer")

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        fake.port = server.sockets[0].getsockname()[1]
        try:
            yield fake
        finally:
            server.close()
            if isinstance(fake, DeafSuperior):
                fake.released.set()
            fake.drop_connections()


def heavy_camera() -> HeavyCamera:
    """Return a camera that fills a slow sink's queue within seconds."""
    return HeavyCamera(Script())


def deaf_superior() -> DeafSuperior:
    """Return a superior that takes nothing once it records."""
    return DeafSuperior(Script(packet_interval=0))


class ReplayCamera(FakeRtspServer):
    """Sends a given stream to each PLAY: the first its first part, the rest once `released`; then it is silent.

    The stream of the last PLAY is sent to those that come later, too.
    """

    def __init__(self, script: Script, *streams: tuple[Sequence[bytes], Sequence[bytes]]) -> None:
        super().__init__(script)
        self.released = asyncio.Event()
        self._streams = list(streams)

    async def _send_media(self, writer: asyncio.StreamWriter) -> None:
        first, rest = self._streams.pop(0) if len(self._streams) > 1 else self._streams[0]
        with suppress(OSError):
            await self._send(writer, first)
            await self.released.wait()
            await self._send(writer, rest)

    async def _send(self, writer: asyncio.StreamWriter, frames: Sequence[bytes]) -> None:
        for frame in frames:
            writer.write(frame)
            await writer.drain()


class RecordingSuperior(FakeRtspServer):
    """Keeps apart what each RECORD brought."""

    def __init__(self) -> None:
        super().__init__(Script(packet_interval=0))
        self.descriptions: list[bytes] = []
        self._begins: list[int] = []

    async def _answer(self, request: Seen, writer: asyncio.StreamWriter) -> bool:
        if request.method == "ANNOUNCE":
            self.descriptions.append(request.body)
            self._begins.append(len(self.frames))
        return await super()._answer(request, writer)

    def recordings(self) -> list[list[bytes]]:
        """Return the RTP packets of each RECORD."""
        edges = [*self._begins, len(self.frames)]
        return [[packet for _, packet in self.frames[a:b]] for a, b in pairwise(edges)]


class LoopingCamera(FakeRtspServer):
    """Sends a captured stream of 12 pictures a second again and again, as one that goes on."""

    def __init__(self, script: Script, frames: Sequence[bytes]) -> None:
        super().__init__(script)
        self._frames = frames

    async def _send_media(self, writer: asyncio.StreamWriter) -> None:
        frames = self._frames
        with suppress(OSError):
            while True:
                for _, picture in groupby(frames, timestamp):
                    writer.write(b"".join(picture))
                    await writer.drain()
                    await asyncio.sleep(1 / 12)
                frames = behind(frames, self._frames, step=7500)
