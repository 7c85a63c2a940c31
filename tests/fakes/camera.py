"""Cameras whose pictures really decode, in numbers, that can be switched off and on at their own address."""

import asyncio
import base64
import random
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from fractions import Fraction
from functools import cache
from typing import Final

import av
from av.video.codeccontext import VideoCodecContext

from tests.fakes.rtsp_server import FakeRtspServer, Script
from tests.waiting import eventually

GOP: Final = 5
"""Pictures from key picture to key picture."""

PICTURE_INTERVAL: Final = 0.2
"""Seconds between two pictures: a crowd of cameras shares two cores with what is tested."""


@cache
def coded_pictures() -> tuple[tuple[bytes, ...], ...]:
    """Return the NAL units of one group of pictures, 64 x 64, as x264 writes them."""
    context = av.CodecContext.create("libx264", "w")
    assert isinstance(context, VideoCodecContext)
    context.width, context.height, context.pix_fmt = 64, 64, "yuv420p"
    context.framerate = Fraction(5)
    context.time_base = Fraction(1, 5)
    context.options = {
        "preset": "ultrafast",
        "tune": "zerolatency",
        "x264-params": f"keyint={GOP}:scenecut=0",
    }
    grey = av.VideoFrame(64, 64, "yuv420p")
    for plane in grey.planes:
        plane.update(bytes(128 for _ in range(plane.buffer_size)))
    pictures = []
    for number in range(GOP):
        grey.pts = number
        data = b"".join(bytes(packet) for packet in context.encode(grey))
        units = [unit.rstrip(b"\0") for unit in data.split(b"\0\0\1")]
        # Without the SEI message: 600 bytes of x264's name.
        pictures.append(tuple(unit for unit in units if unit and unit[0] & 0x1F != 6))
    return tuple(pictures)


def sdp() -> bytes:
    """Return the description of the pictures."""
    parameter_sets = ",".join(base64.b64encode(unit).decode() for unit in coded_pictures()[0][:2])
    return (
        "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=fake\r\nt=0 0\r\na=control:*\r\n"
        "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
        f"a=fmtp:96 packetization-mode=1;sprop-parameter-sets={parameter_sets}\r\na=control:track1\r\n"
    ).encode()


def packets(number: int, first_sequence: int) -> list[bytes]:
    """Return the RTP packets of the picture `number`, one NAL unit each."""
    units = coded_pictures()[number % GOP]
    made = []
    for index, unit in enumerate(units):
        marker = 0x80 if index == len(units) - 1 else 0
        head = bytes((0x80, marker | 96)) + ((first_sequence + index) % 65536).to_bytes(2, "big")
        made.append(head + (number * 18_000 % 2**32).to_bytes(4, "big") + b"\x0c\x0a\x0d\x0e" + unit)
    return made


class PictureCamera(FakeRtspServer):
    """A polite camera that sends real pictures."""

    async def _send_media(self, writer: asyncio.StreamWriter) -> None:
        number = sequence = 0
        with suppress(OSError):
            while True:
                made = packets(number, sequence)
                writer.write(b"".join(b"$\x00" + len(each).to_bytes(2, "big") + each for each in made))
                await writer.drain()
                number, sequence = number + 1, sequence + len(made)
                await asyncio.sleep(PICTURE_INTERVAL)


def quiet_ports(count: int) -> list[int]:
    """Return free ports below those that the kernel gives to outgoing connections.

    Only such a port stays free while its camera is away, and no connection can meet itself there.
    """
    found: list[int] = []
    for port in random.Random().sample(range(12_000, 32_000), 4_000):
        with socket.socket() as trying:
            try:
                trying.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise AssertionError(f"no {count} free ports")


class SwitchedCamera:
    """One camera with a switch; its port stays its own."""

    def __init__(self, port: int, peer: FakeRtspServer) -> None:
        self.port = port
        self.peer = peer
        self._server: asyncio.Server | None = None

    @property
    def is_on(self) -> bool:
        return self._server is not None

    async def switch_on(self) -> None:
        """Listen."""
        if self._server is None:
            self._server = await asyncio.start_server(self.peer.handle, "127.0.0.1", self.port, backlog=256)

    async def switch_off(self) -> None:
        """Refuse and reset every connection, as a machine whose service died does."""
        server, self._server = self._server, None
        if server is not None:
            # asyncio fails on a connection that it accepts in the very turn in which its server is closed.
            for listening in server.sockets:
                asyncio.get_running_loop().remove_reader(listening.fileno())
            await asyncio.sleep(0)
            server.close()
            self.peer.drop_connections()

    async def end(self) -> None:
        """Switch off for good."""
        await self.switch_off()
        await self.peer.end()


@asynccontextmanager
async def cameras(count: int, *, script: Script | None = None) -> AsyncIterator[Sequence[SwitchedCamera]]:
    """Run `count` cameras that are on.

    The loop does not watch itself meanwhile: where it notes the stack of every callback, a crowd on a busy machine
    answers so late that its cameras really are away.
    """
    script = script or Script(sdp=sdp())
    crowd = [SwitchedCamera(port, PictureCamera(script)) for port in quiet_ports(count)]
    loop = asyncio.get_running_loop()
    watched = loop.get_debug()
    loop.set_debug(False)
    try:
        for camera in crowd:
            await camera.switch_on()
        yield crowd
    finally:
        loop.set_debug(watched)
        for camera in crowd:
            await camera.end()


async def all_pulled(crowd: Sequence[SwitchedCamera], *, within: float = 30.0) -> None:
    """Wait until every camera has answered a PLAY."""
    await eventually(
        lambda: all("PLAY" in camera.peer.methods() for camera in crowd),
        within=within,
        what="PLAY everywhere",
    )
