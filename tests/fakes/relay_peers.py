"""Cameras with real weight and superiors that stop reading, for the relay's tests."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from itertools import groupby, pairwise

from adapters.media.rtcp import Bye, SenderReport
from tests.fakes.rtsp_server import FakeRtspServer, Script, Seen, rtp_packets
from tests.media_captures import behind, timestamp

SSRC = 0x11223344
NTP = 0x1122334455667788
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


class UnevenCamera(FakeRtspServer):
    """Sends by UDP what a bad network makes of it, with sender reports; keeps the reports of the receiver.

    Of each 20 packets number 7 never comes, 11 comes behind 12 and 15 comes twice.
    """

    def __init__(self, script: Script) -> None:
        super().__init__(script)
        self.reports: list[bytes] = []
        "RTCP of the receiver."
        self._client_port = 0
        self._server_ports = (0, 0)

    def _response(self, request: Seen) -> bytes:
        answer = super()._response(request)
        if request.method != "SETUP":
            return answer
        found = re.search(r"client_port=(\d+)", request.headers["transport"])
        assert found is not None
        self._client_port = int(found[1])
        with _pair() as (rtp, rtcp):
            self._server_ports = (rtp.getsockname()[1], rtcp.getsockname()[1])
        ports = b";server_port=%d-%d\r\nSession" % self._server_ports
        return answer.replace(b"\r\nSession", ports)

    async def _send_media(self, writer: asyncio.StreamWriter) -> None:
        with _pair(*self._server_ports) as (rtp, rtcp):
            late = b""
            for index, packet in enumerate(rtp_packets(gop=self.script.gop)):
                place = index % 20
                if place == 11:
                    late = packet
                elif place != 7:
                    rtp.sendto(packet, ("127.0.0.1", self._client_port))
                if place == 12:
                    rtp.sendto(late, ("127.0.0.1", self._client_port))
                if place == 15:
                    rtp.sendto(packet, ("127.0.0.1", self._client_port))
                if index % 50 == 0:
                    report = bytes(SenderReport(SSRC, NTP, index * 3600, index, index * 60))
                    rtcp.sendto(report, ("127.0.0.1", self._client_port + 1))
                with suppress(BlockingIOError):
                    self.reports.append(rtcp.recv(2048))
                await asyncio.sleep(self.script.packet_interval)


class RestartingCamera(UnevenCamera):
    """Falls silent after 30 packets by UDP, and goes on under another SSRC."""

    async def _send_media(self, writer: asyncio.StreamWriter) -> None:
        with _pair(*self._server_ports) as (rtp, _):
            for index, packet in enumerate(rtp_packets(SSRC, self.script.gop)):
                if index == 30:
                    break
                rtp.sendto(packet, ("127.0.0.1", self._client_port))
                await asyncio.sleep(self.script.packet_interval)
            await asyncio.sleep(2.5)
            for packet in rtp_packets(SSRC + 1, self.script.gop):
                rtp.sendto(packet, ("127.0.0.1", self._client_port))
                await asyncio.sleep(self.script.packet_interval)


class LeavingCamera(FakeRtspServer):
    """Says BYE after each 30 packets, and goes on or falls silent."""

    def __init__(self, script: Script, *, goes_on: bool) -> None:
        super().__init__(script)
        self._goes_on = goes_on

    async def _send_media(self, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            for index, packet in enumerate(rtp_packets(gop=self.script.gop), 1):
                writer.write(b"$\x00" + len(packet).to_bytes(2, "big") + packet)
                if index % 30 == 0:
                    bye = bytes(Bye((SSRC,)))
                    writer.write(b"$\x01" + len(bye).to_bytes(2, "big") + bye)
                    if not self._goes_on:
                        return
                await writer.drain()
                await asyncio.sleep(self.script.packet_interval)


@contextmanager
def _pair(first: int = 0, second: int = 0) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Open sockets for RTP and RTCP on 127.0.0.1, on free ports unless told which."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as rtp,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as rtcp,
    ):
        for sock, port in ((rtp, first), (rtcp, second)):
            sock.setblocking(False)
            sock.bind(("127.0.0.1", port))
        yield rtp, rtcp


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
