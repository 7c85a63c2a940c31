"""Our RTSP client against Debian's GStreamer RTSP server, which nobody here wrote."""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from adapters.base import Credential, RtspTarget, TlsPolicy, Transport
from adapters.errors import AuthenticationFailed, RequestRefused, TlsPinMismatch
from adapters.media.nal import holds_key_picture, is_key_frame_start
from adapters.media.rtp import RtpHeader, SequenceTracker
from adapters.media.sdp import render_announce
from adapters.rtsp.client import probe
from adapters.rtsp.exchange import SessionOptions
from catalog.model.secret import Secret
from tests.fakes.certificates import make_certificate
from tests.rtsp_streams import Packet, Pull, open_pull, open_push

pytestmark = pytest.mark.interop

CAMERA = Path(__file__).with_name("gst_camera.py")
CREDENTIAL = Credential("operator", Secret("correct horse"))
WITH_PASSWORD = {"GST_CAMERA_USER": "operator", "GST_CAMERA_PASSWORD": "correct horse"}


class Camera:
    """A running `gst_camera.py`."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.port = port
        self._process = process

    def target(self, tls: TlsPolicy | None = None) -> RtspTarget:
        return RtspTarget("127.0.0.1", self.port, "/stream", tls)

    async def line(self, pattern: str) -> re.Match[str]:
        """Return the first line from now on that matches `pattern`."""
        assert self._process.stdout is not None
        async with asyncio.timeout(30):
            while True:
                line = await self._process.stdout.readline()
                assert line, "the GStreamer server ended"
                if (found := re.match(pattern, line.decode())) is not None:
                    return found


@asynccontextmanager
async def gst_camera(*arguments: str, environment: dict[str, str] | None = None) -> AsyncIterator[Camera]:
    process = await asyncio.create_subprocess_exec(
        "/usr/bin/python3",
        str(CAMERA),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **(environment or {})},
    )
    try:
        camera = Camera(process, 0)
        camera.port = int((await camera.line(r"listening on port (\d+)"))[1])
        yield camera
    finally:
        process.kill()
        await process.wait()


async def packets_of(pull: Pull, count: int) -> list[Packet]:
    found: list[Packet] = []
    async with asyncio.timeout(20):
        async for packet in pull.packets():
            found.append(packet)
            if len(found) >= count:
                break
    return found


def video_payloads(packets: list[Packet]) -> tuple[list[bytes], SequenceTracker]:
    tracker, payloads = SequenceTracker(), []
    for packet in packets:
        if packet.track == 0 and not packet.is_rtcp:
            header = RtpHeader.parse(packet.payload)
            tracker.receive(header.sequence, header.ssrc)
            payloads.append(packet.payload[header.payload_start : header.payload_end])
    return payloads, tracker


@pytest.mark.parametrize("codec", ["H264", "H265", "JPEG"])
async def test_a_plain_camera_is_pulled_without_a_gap(codec: str) -> None:
    async with (
        gst_camera("--codec", codec) as camera,
        open_pull(camera.target(), None, SessionOptions()) as pull,
    ):
        packets = await packets_of(pull, 120)
        # Beside the pull, not before it: this server shares one pipeline, and answers 503 while
        # it takes down the one that a DESCRIBE just left.
        result = await probe(camera.target(), describe=True)
    assert result.stream is not None
    assert (result.stream.codec, result.stream.clock_rate) == (codec, 90000)
    payloads, tracker = video_payloads(packets)
    assert (tracker.gaps, tracker.restarts) == (0, 0)
    assert any(is_key_frame_start(codec, payload) for payload in payloads)
    assert any(holds_key_picture(codec, payload) for payload in payloads)


async def test_the_onvif_server_stamps_each_packet_and_its_payload_is_found_behind_the_stamp() -> None:
    async with (
        gst_camera("--onvif") as camera,
        open_pull(camera.target(), None, SessionOptions()) as pull,
    ):
        packets = await packets_of(pull, 60)
    payloads, tracker = video_payloads(packets)
    # RFC 3550, 5.3.1, with the profile number of ONVIF's Streaming Specification, 6.3.
    stamps = {packet.payload[12:16] for packet in packets if packet.track == 0 and not packet.is_rtcp}
    assert stamps == {bytes.fromhex("abac0003")}
    assert (tracker.gaps, tracker.restarts) == (0, 0)
    assert any(holds_key_picture("H264", payload) for payload in payloads)


async def test_audio_comes_on_its_own_channels() -> None:
    options = SessionOptions(audio=True)
    async with gst_camera("--audio") as camera, open_pull(camera.target(), None, options) as pull:
        packets = await packets_of(pull, 100)
        tracks = pull.playing.tracks
    assert [track.rtp_channel for track in tracks] == [0, 2]
    assert {packet.track for packet in packets} == {0, 1}


async def test_a_digest_camera_takes_the_right_password_alone() -> None:
    async with gst_camera(environment=WITH_PASSWORD) as camera:
        with pytest.raises(AuthenticationFailed):
            await probe(camera.target(), credential=Credential("operator", Secret("x")), describe=True)
        asked = await probe(camera.target(), describe=True)
        async with open_pull(camera.target(), CREDENTIAL, SessionOptions()) as pull:
            packets = await packets_of(pull, 30)
    assert (asked.auth_demanded, asked.schemes) == (True, ("digest MD5",))
    assert len(packets) == 30


async def test_an_unknown_path_is_refused_by_name() -> None:
    async with gst_camera() as camera:
        with pytest.raises(RequestRefused) as caught:
            async with open_pull(RtspTarget("127.0.0.1", camera.port, "/nothing"), None, SessionOptions()):
                pass
    assert caught.value.status == 404


async def test_rtsps_with_a_pinned_certificate_and_digest(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    async with gst_camera("--certificate", str(certificate.file), environment=WITH_PASSWORD) as camera:
        with pytest.raises(TlsPinMismatch):
            await probe(camera.target(TlsPolicy(pin_sha256="0" * 64)))
        pinned = camera.target(TlsPolicy(pin_sha256=certificate.pin_sha256))
        async with open_pull(pinned, CREDENTIAL, SessionOptions()) as pull:
            packets = await packets_of(pull, 30)
    assert len(packets) == 30


async def test_udp_brings_the_media_beside_the_connection() -> None:
    options = SessionOptions(transport=Transport.UDP)
    async with gst_camera() as camera, open_pull(camera.target(), None, options) as pull:
        packets = await packets_of(pull, 60)
        track = pull.playing.tracks[0]
    assert track.transport is Transport.UDP
    assert track.server_ports is not None
    payloads, _tracker = video_payloads(packets)
    assert any(is_key_frame_start("H264", payload) for payload in payloads)


async def test_what_is_pushed_arrives_at_a_record_target_as_frames() -> None:
    async with (
        gst_camera() as camera,
        gst_camera("--record") as target,
        open_pull(camera.target(), None, SessionOptions()) as pull,
    ):
        video = pull.described.description.video
        assert video is not None
        sdp = render_announce("test-source", [video])
        async with open_push(target.target(), None, sdp, ("trackID=0",), SessionOptions()) as push:
            for packet in await packets_of(pull, 200):
                await push.send(packet)
            arrived = await target.line(r"frames ([1-9]\d+)")
    assert int(arrived[1]) >= 10
