"""Players that nobody here wrote pull from Muster what a GStreamer camera sends."""

import asyncio
from pathlib import Path

import pytest

from adapters.base import SourceKey
from catalog.database import Database
from gateway.clock import SystemClock
from gateway.relay.manager import RelayManager
from gateway.relay.spec import RelaySpec
from tests.fakes.certificates import make_certificate
from tests.interop.relay_peers import ffmpeg, gst_peer, is_run_of, pictures_in, slices_of
from tests.serving import WANG, serving
from tests.waiting import eventually

pytestmark = [pytest.mark.interop, pytest.mark.postgres]

ONE = SourceKey(1)
CODE_ONE = "34020000001320000001"
CODES = {CODE_ONE: ONE}


@pytest.mark.parametrize(("scheme", "transport"), [("rtsp", "tcp"), ("rtsps", "tcp"), ("rtsp", "udp")])
async def test_ffmpeg_gets_the_pictures_that_the_camera_sent(
    database: Database, tmp_path: Path, scheme: str, transport: str
) -> None:
    certificate = make_certificate(tmp_path).file
    sent, got = tmp_path / "sent.h264", tmp_path / "got.h264"
    async with (
        gst_peer("--size", "320x240") as camera,
        RelayManager(SystemClock(), workers=1) as relays,
        serving(database, relays, CODES, certificate=certificate) as server,
    ):
        relays.start(RelaySpec(ONE, CODE_ONE, camera.target()))
        await eventually(lambda: relays.is_playing(ONE), what="the relay")
        async with asyncio.TaskGroup() as tasks:
            # An independent reader of the same camera, from before until after.
            tasks.create_task(
                ffmpeg(
                    *("-rtsp_transport", "tcp", "-i", camera.target().url, "-t", "8"),
                    *("-an", "-c", "copy", "-f", "h264", str(sent)),
                )
            )
            await eventually(sent.exists, what="the direct reader")
            await ffmpeg(
                *("-rtsp_transport", transport, "-i", server.url(CODE_ONE, server.grant(ONE), scheme)),
                *("-t", "3", "-an", "-c", "copy", "-f", "h264", str(got)),
            )
        await eventually(lambda: not relays.readers(), what="the end of the reader")
        looks = await server.looks()
    assert is_run_of(slices_of(got), slices_of(sent))
    assert len(slices_of(got)) > 50
    assert [(look.person, look.scope, look.status, look.purpose) for look in looks] == [
        (WANG.person, "source 1", 200, WANG.purpose)
    ]


@pytest.mark.parametrize(("codec", "audio"), [("H265", False), ("JPEG", True)])
async def test_other_codecs_can_be_decoded_and_audio_goes_along_only_where_it_is_carried(
    database: Database, codec: str, audio: bool
) -> None:
    async with (
        gst_peer("--codec", codec, "--size", "320x240", "--audio") as camera,
        RelayManager(SystemClock(), workers=1) as relays,
        serving(database, relays, CODES) as server,
    ):
        relays.start(RelaySpec(ONE, CODE_ONE, camera.target(), audio=audio))
        await eventually(lambda: relays.is_playing(ONE), what="the relay")
        lines = await ffmpeg(
            *("-rtsp_transport", "tcp", "-i", server.url(CODE_ONE, server.grant(ONE))),
            *("-map", "0", "-t", "1.5", "-f", "framemd5", "-"),
        )
    found = sorted(line.split()[-1] for line in lines.splitlines() if line.startswith("#media_type"))
    assert found == (["audio", "video"] if audio else ["video"])
    assert len(pictures_in(lines)) > 20
