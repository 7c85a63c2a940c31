"""Programs that nobody here wrote pull from our RTSP server: FFmpeg, PyAV's FFmpeg, GStreamer's rtspsrc."""

import asyncio
import base64
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import av
import pytest

from adapters.base import Credential, RtspTarget, Transport
from adapters.errors import AuthenticationFailed
from adapters.rtsp.client import probe
from adapters.rtsp.door import EndReason
from adapters.rtsp.exchange import SessionOptions
from adapters.rtsp.serving import Departure, Paused, PlayStarted, SetUp
from catalog.model.secret import Secret
from tests.bench.relay_stream import encode, parameter_sets
from tests.fakes.pulled_server import PulledServer, Stream, pulled_server
from tests.interop.relay_peers import ffmpeg, pictures_in
from tests.rtsp_streams import open_pull
from tests.waiting import eventually

pytestmark = pytest.mark.interop

PLAYER = Path(__file__).with_name("gst_player.py")
PICTURES = 50
"""Pictures of the stream, one group of 2 s; it is repeated."""
TAKEN_LEAVE = ([Departure.TEARDOWN], [Departure.CLOSED])
"""Who closes over unread media resets the connection, and its TEARDOWN may be lost with it."""


@pytest.fixture(scope="module")
def pictures() -> list[list[bytes]]:
    return asyncio.run(encode(PICTURES // 25, 1_000_000))


@pytest.fixture
def stream(pictures: list[list[bytes]]) -> Stream:
    sets = ",".join(base64.b64encode(unit).decode() for unit in parameter_sets(pictures))
    return Stream(pictures, f"packetization-mode=1;sprop-parameter-sets={sets}")


@pytest.fixture
async def sent(pictures: list[list[bytes]], tmp_path: Path) -> list[str]:
    """Size and checksum of each picture that is served, decoded from the elementary stream."""
    file = tmp_path / "sent.h264"
    file.write_bytes(b"".join(b"\0\0\0\1" + unit for picture in pictures for unit in picture))
    return pictures_in(await ffmpeg("-i", str(file), "-f", "framemd5", "-"))


def url(server: PulledServer, *, password: str = "correct%20horse", path: str | None = None) -> str:
    return f"rtsp://viewer:{password}@127.0.0.1:{server.port}{path or server.stream.path}"


@asynccontextmanager
async def running(*command: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def ffprobe(*arguments: str) -> tuple[str, str]:
    """Return what ffprobe prints and what it complains of."""
    async with running("ffprobe", "-hide_banner", "-loglevel", "error", *arguments) as process:
        async with asyncio.timeout(40):
            out, errors = await process.communicate()
    return out.decode(), errors.decode()


async def gst_play(*arguments: str) -> str:
    """Return the last line of `gst_player.py`."""
    async with running("/usr/bin/python3", str(PLAYER), *arguments) as process:
        async with asyncio.timeout(50):
            out, errors = await process.communicate()
    return (out or errors).decode().strip()


def transports(server: PulledServer) -> list[Transport]:
    return [event.track.transport for event in server.events if isinstance(event, SetUp)]


@pytest.mark.parametrize("transport", ["tcp", "udp"])
async def test_ffprobe_finds_both_streams(stream: Stream, transport: str) -> None:
    stream.has_audio = True
    shown = ("-show_entries", "stream=codec_name,width,sample_rate", "-of", "csv=p=0")
    async with pulled_server(stream) as server:
        out, errors = await ffprobe("-rtsp_transport", transport, *shown, url(server))
        await eventually(lambda: bool(server.left()), what="the session's end")
    assert out.split() == ["h264,1920", "pcm_alaw,8000"]
    assert errors == "" or transport == "udp"  # a busy machine may lose datagrams
    assert transports(server) == [Transport(transport)] * 2
    assert server.left() in TAKEN_LEAVE
    assert (server.ended, server.met) == ([], set())


async def test_ffmpeg_decodes_over_tcp_every_picture_that_was_sent(stream: Stream, sent: list[str]) -> None:
    async with pulled_server(stream) as server:
        arguments = ("-rtsp_transport", "tcp", "-i", url(server), "-frames:v", str(PICTURES))
        pulled = pictures_in(await ffmpeg(*arguments, "-fps_mode", "passthrough", "-f", "framemd5", "-"))
    assert pulled == sent[:PICTURES]


async def test_ffmpeg_pulls_over_udp(stream: Stream, sent: list[str]) -> None:
    async with pulled_server(stream) as server:
        arguments = ("-rtsp_transport", "udp", "-i", url(server), "-frames:v", "25")
        pulled = pictures_in(await ffmpeg(*arguments, "-f", "framemd5", "-"))
        await eventually(lambda: bool(server.left()), what="the session's end")
    # A busy machine may lose datagrams, and FFmpeg then shows a damaged picture.
    assert set(pulled) & set(sent)
    assert transports(server) == [Transport.UDP]
    assert server.rtcp > 0


async def test_ffmpeg_goes_on_with_tcp_where_udp_is_not_served(stream: Stream, sent: list[str]) -> None:
    stream.has_udp = False
    async with pulled_server(stream) as server:
        arguments = ("-i", url(server), "-frames:v", "10", "-fps_mode", "passthrough")
        pulled = pictures_in(await ffmpeg(*arguments, "-f", "framemd5", "-"))
    assert pulled == sent[:10]
    assert transports(server) == [Transport.TCP]


async def test_pyav_pulls_as_opencv_does(stream: Stream) -> None:
    def decode(address: str) -> list[tuple[int, int]]:
        with av.open(address, options={"rtsp_transport": "tcp"}, timeout=20.0) as container:
            frames = container.decode(video=0)
            return [(frame.width, frame.height) for frame, _ in zip(frames, range(10), strict=False)]

    async with pulled_server(stream) as server:
        assert await asyncio.to_thread(decode, url(server)) == [(1920, 1080)] * 10


@pytest.mark.parametrize(
    ("password", "path", "said", "reason"),
    [
        ("wrong", None, "401 Unauthorized", None),
        ("correct%20horse", "/gb/32029900001320000002", "404 Not Found", EndReason.REFUSED),
    ],
)
async def test_ffprobe_is_told_why_it_gets_nothing(
    stream: Stream, password: str, path: str | None, said: str, reason: EndReason | None
) -> None:
    async with pulled_server(stream) as server:
        _, errors = await ffprobe("-rtsp_transport", "tcp", url(server, password=password, path=path))
        await eventually(lambda: bool(server.ended), what="the end at the door")
    assert said in errors
    assert server.ended == [reason or EndReason.LEFT]
    assert server.events == []


@pytest.mark.parametrize("protocols", ["tcp", "udp"])
async def test_gstreamer_plays_and_takes_leave(stream: Stream, protocols: str) -> None:
    async with pulled_server(stream) as server:
        said = await gst_play(url(server), "--protocols", protocols)
        await eventually(lambda: bool(server.left()), what="the session's end")
    assert said == "played"
    assert transports(server) == [Transport(protocols)]
    assert server.left() in TAKEN_LEAVE
    assert server.met == set()


async def test_gstreamer_goes_on_with_tcp_where_udp_is_not_served(stream: Stream) -> None:
    stream.has_udp = False
    async with pulled_server(stream) as server:
        assert await gst_play(url(server), "--protocols", "tcp+udp", "--units", "10") == "played"
    assert transports(server) == [Transport.TCP]


async def test_gstreamer_pauses_and_plays_on(stream: Stream) -> None:
    async with pulled_server(stream) as server:
        assert await gst_play(url(server), "--pause") == "played"
    states = [type(event) for event in server.events if isinstance(event, PlayStarted | Paused)]
    assert states[:3] == [PlayStarted, Paused, PlayStarted]


async def test_gstreamer_with_a_wrong_password_is_kept_out(stream: Stream) -> None:
    async with pulled_server(stream) as server:
        said = await gst_play(url(server, password="wrong"), "--units", "1")
    assert re.match(r"error .*(Unauthorized|Not authorized|401)", said, re.IGNORECASE)
    assert server.events == []


async def test_our_own_client_answers_sha_256_and_is_admitted(stream: Stream) -> None:
    credential = Credential("viewer", Secret("correct horse"))
    async with pulled_server(stream) as server:
        target = RtspTarget("127.0.0.1", server.port, stream.path)
        result = await probe(target)
        with pytest.raises(AuthenticationFailed):
            await probe(target, credential=Credential("viewer", Secret("x")), describe=True)
        nowhere = RtspTarget("127.0.0.1", server.port, "/nowhere")
        refused = await probe(nowhere, credential=credential, describe=True)
        async with asyncio.timeout(20), open_pull(target, credential, SessionOptions()) as pull:
            packet = await anext(pull.packets())
    assert (result.status, refused.describe_status) == (200, 404)
    assert packet.track == 0
    assert not packet.is_rtcp
