"""Views and single pictures of GStreamer's cameras: who may look, what a browser gets, and what ends a view."""

import asyncio
import io
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import av
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpReceiver, RTCSessionDescription
from aiortc.mediastreams import MediaStreamTrack
from av.video.frame import VideoFrame

from adapters.base import RtspTarget, SourceKey
from catalog.database import Database
from gateway.clock import SystemClock
from gateway.interfaces import LinuxKernel
from gateway.relay.manager import RelayManager
from gateway.relay.spec import RelayBounds, RelaySpec
from gateway.serving.admission import Refused
from gateway.viewing.desk import look_of
from gateway.viewing.process import NotShown
from tests.interop.relay_peers import gst_peer
from tests.serving import Serving, serving
from tests.waiting import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.interop, pytest.mark.timeout(120)]

ONE = SourceKey(1)
CODE = "34020000001320000001"
OTHER = "34020000001320000002"


@asynccontextmanager
async def source(
    database: Database, *arguments: str, gop_bytes: int = 4_194_304
) -> AsyncIterator[tuple[Serving, RelayManager]]:
    """Relay a GStreamer camera, and serve it."""
    async with (
        gst_peer(*arguments) as camera,
        RelayManager(SystemClock(), workers=1) as relays,
        serving(database, relays, {CODE: ONE, OTHER: SourceKey(2)}) as server,
    ):
        relays.start(
            RelaySpec(
                ONE,
                CODE,
                RtspTarget("127.0.0.1", camera.port, "/stream"),
                bounds=RelayBounds(gop_bytes=gop_bytes),
            )
        )
        await eventually(lambda: relays.is_playing(ONE), what="the relay", within=20)
        yield server, relays


class Viewer:
    """A browser's part, played by aiortc."""

    def __init__(self, server: Serving, mime: str = "video/H264") -> None:
        self.server = server
        self.peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.handle = ""
        self._mime = mime
        self._track: asyncio.Future[MediaStreamTrack] = asyncio.get_running_loop().create_future()
        self.peer.add_listener("track", self._track.set_result)

    async def offer(self) -> str:
        transceiver = self.peer.addTransceiver("video", direction="recvonly")
        known = RTCRtpReceiver.getCapabilities("video")
        assert known is not None
        transceiver.setCodecPreferences([codec for codec in known.codecs if codec.mimeType == self._mime])
        await self.peer.setLocalDescription(await self.peer.createOffer())
        return str(self.peer.localDescription.sdp)

    async def look(self, look: str | None = None, code: str = CODE) -> None:
        """Ask for a view and accept the answer."""
        shown = await self.server.viewing.view(
            look or look_of(self.server.grant(ONE)).reveal(),
            code,
            await self.offer(),
            client="127.0.0.1",
            addresses=tuple(LinuxKernel().own_addresses()),
        )
        self.handle = shown.handle
        await self.peer.setRemoteDescription(RTCSessionDescription(shown.sdp, "answer"))

    async def frames(self, count: int) -> list[VideoFrame]:
        """Return the next decoded pictures."""
        async with asyncio.timeout(30):
            track = await self._track
            found = [await track.recv() for _ in range(count)]
        return [frame for frame in found if isinstance(frame, VideoFrame)]


@asynccontextmanager
async def viewer(server: Serving, mime: str = "video/H264") -> AsyncIterator[Viewer]:
    made = Viewer(server, mime)
    try:
        yield made
    finally:
        await made.peer.close()


async def test_a_view_is_live_decodable_and_on_record(database: Database) -> None:
    async with source(database, "--size", "640x360") as (server, relays), viewer(server) as browser:
        await browser.look()
        frames = await browser.frames(30)
        assert {(frame.width, frame.height) for frame in frames} == {(640, 360)}
        [look] = await server.looks()
        assert (look.scope, look.status, look.purpose) == ("source 1", 200, "incident 4711")
        assert relays.readers() == {ONE: 1}
        assert server.viewing.leave(browser.handle)
        assert not server.viewing.leave(browser.handle)
        await eventually(lambda: relays.readers() == {}, what="the reader has left")


async def test_a_look_is_for_one_view_of_one_source(database: Database) -> None:
    async with source(database) as (server, _):
        look = look_of(server.grant(ONE)).reveal()
        async with viewer(server) as browser:
            for wrong in (look + "x", "view-nobody.x", look.partition(".")[0], "."):
                with pytest.raises(Refused) as refused:
                    await browser.look(wrong)
                assert refused.value.status == 401
            with pytest.raises(Refused) as refused:
                await browser.look(look, OTHER)
            assert refused.value.status == 404
        async with viewer(server) as browser:
            await browser.look(look)
            await browser.frames(1)
        async with viewer(server) as browser:
            with pytest.raises(Refused) as refused:
                await browser.look(look)
            assert refused.value.status == 401


async def test_an_offer_that_cannot_be_met_is_refused_by_name(database: Database) -> None:
    async with source(database) as (server, relays):
        async with viewer(server, "video/VP8") as browser:
            with pytest.raises(NotShown) as refused:
                await browser.look()
            assert refused.value.cause == "no_h264"
        for offer in ("", "hello", "v=0\r\n", "v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n" * 50):
            with pytest.raises(NotShown):
                await server.viewing.view(
                    look_of(server.grant(ONE)).reveal(), CODE, offer, client="127.0.0.1", addresses=()
                )
        await eventually(lambda: relays.readers() == {}, what="nothing is left over")
        async with viewer(server) as browser:
            await browser.look()
            assert len(await browser.frames(3)) == 3


async def test_so_many_views_and_no_more(database: Database) -> None:
    async with (
        source(database) as (server, _),
        viewer(server) as one,
        viewer(server) as two,
        viewer(server) as three,
        viewer(server) as four,
    ):
        for browser in (one, two, three):
            await browser.look()
            await browser.frames(1)
        with pytest.raises(Refused) as refused:
            await four.look()
        assert refused.value.status == 453


@pytest.mark.parametrize("codec", ["H264", "H265", "JPEG"])
async def test_a_single_picture_of_each_codec(database: Database, codec: str) -> None:
    async with source(database, "--codec", codec, "--size", "640x360") as (server, relays):
        still = await server.viewing.still(look_of(server.grant(ONE)).reveal(), CODE, client="127.0.0.1")
        with av.open(io.BytesIO(still.jpeg), "r") as file:
            picture = next(iter(file.decode(video=0)))
        assert (picture.width, picture.height) == (still.width, still.height) == (640, 360)
        # The next one within two seconds is the same picture: no pull, but a look on record all the same.
        again = await server.viewing.still(look_of(server.grant(ONE)).reveal(), CODE, client="127.0.0.1")
        assert again is still
        assert len(await server.looks()) == 2
        await eventually(lambda: relays.readers() == {}, what="the reader has left")


async def test_a_view_ends_with_its_process_and_the_next_one_works(database: Database) -> None:
    async with source(database) as (server, relays):
        async with viewer(server) as browser:
            await browser.look()
            await browser.frames(1)
            os.kill(viewing_process(), signal.SIGKILL)
            await eventually(lambda: server.viewing.views == 0, what="the view is over")
            await eventually(lambda: relays.readers() == {}, what="the reader has left")
        async with viewer(server) as browser:
            await browser.look()
            assert len(await browser.frames(3)) == 3


def viewing_process() -> int:
    """Return the process id of the viewing process, a child of ours."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii").split()
    [found] = [
        int(pid) for pid in children if b"gateway.viewing.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    return found


async def test_what_a_browser_cannot_play_is_told_before_it_waits(database: Database) -> None:
    async with source(database, "--codec", "H265") as (server, relays), viewer(server) as browser:
        with pytest.raises(NotShown) as refused:
            await browser.look()
        assert refused.value.cause == "no_h264"
        assert relays.readers() == {}


async def test_who_waits_for_a_key_picture_has_one_wished_for_and_nobody_else_has(database: Database) -> None:
    async with source(database, "--gop", "50") as (server, _), viewer(server) as browser:
        await browser.look()
        await browser.frames(10)
        assert server.wanted_key_frames == []
    async with source(database, "--gop", "100", gop_bytes=0) as (server, relays):
        await eventually(lambda: relays.counters()[ONE].frames > 10, what="a key picture that has gone by")
        await server.viewing.still(look_of(server.grant(ONE)).reveal(), CODE, client="127.0.0.1")
        async with viewer(server) as browser:
            await browser.look()
            await browser.frames(1)
        assert server.wanted_key_frames == [ONE, ONE]
