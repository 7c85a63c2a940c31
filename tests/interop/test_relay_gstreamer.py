"""The relay between a GStreamer camera and a GStreamer RECORD target; ffmpeg judges what arrives."""

import asyncio
import json
import socket
from pathlib import Path

import pytest

from adapters.base import Credential, RtspTarget, SourceKey, TlsPolicy, Transport
from catalog.model.secret import Secret
from gateway.clock import SystemClock
from gateway.relay.manager import RelayManager
from gateway.relay.protocol import (
    FirstKeyFrame,
    Playing,
    RelayEnded,
    SinkState,
    SinkStateChanged,
    StreamFound,
    VerificationFinished,
)
from gateway.relay.spec import RelaySpec, SinkSpec
from tests.fakes.certificates import make_certificate
from tests.interop.relay_peers import facts_of, ffmpeg, gst_peer, is_run_of, pictures_in, slices_of
from tests.waiting import eventually

pytestmark = pytest.mark.interop

ONE, TWO = SourceKey(1), SourceKey(2)
CODE_ONE, CODE_TWO = "34020000001320000001", "34020000001320000002"


def is_recording(event: object) -> bool:
    return isinstance(event, SinkStateChanged) and event.state is SinkState.RECORDING


@pytest.mark.parametrize("transport", list(Transport))
async def test_the_pictures_of_two_cameras_arrive_unchanged_and_each_under_its_own_id(
    tmp_path: Path, transport: Transport
) -> None:
    sent = {ONE: tmp_path / "sent1.h264", TWO: tmp_path / "sent2.h264"}
    files = {ONE: tmp_path / "one.h264", TWO: tmp_path / "two.h264"}
    async with (
        # The cameras keep what they send: a second reader whose transport is another one can bring
        # GStreamer's server down (it changes a running pipeline then).
        gst_peer("--size", "320x240", "--sent", str(sent[ONE])) as camera_one,
        gst_peer("--size", "176x144", "--sent", str(sent[TWO])) as camera_two,
        gst_peer("--record", "--output", str(files[ONE])) as target_one,
        gst_peer("--record", "--output", str(files[TWO])) as target_two,
        RelayManager(SystemClock(), workers=1) as relays,
        facts_of(relays) as facts,
    ):
        for key, code, camera, target in (
            (ONE, CODE_ONE, camera_one, target_one),
            (TWO, CODE_TWO, camera_two, target_two),
        ):
            relays.start(
                RelaySpec(
                    key,
                    code,
                    camera.target(),
                    transport=transport,
                    sink=SinkSpec(target.target()),
                    verify=2.0,
                )
            )
        for key in (ONE, TWO):
            passed = facts.has(key, lambda e: isinstance(e, VerificationFinished) and e.passed)
            await eventually(passed, within=30, what="verification")
            await eventually(facts.has(key, is_recording), within=30, what="RECORD")
        await eventually(lambda: relays.counters()[TWO].frames_out > 75, what="pictures")
        relays.stop(ONE, "test over")
        relays.stop(TWO, "test over")
        for key in (ONE, TWO):
            ended = facts.has(key, lambda e: isinstance(e, RelayEnded) and e.cause == "stopped")
            await eventually(ended, what="end")
        await target_one.terminate()
        await target_two.terminate()
        for key, width, height in ((ONE, 320, 240), (TWO, 176, 144)):
            assert {e.transport for e in facts.of(key) if isinstance(e, Playing)} == {transport}
            sizes = {(e.decoded, e.width, e.height) for e in facts.of(key) if isinstance(e, FirstKeyFrame)}
            assert sizes == {(True, width, height)}
            assert [e for e in facts.of(key) if isinstance(e, StreamFound)] == []
            # The end of the file may hold half a picture.
            arrived = slices_of(files[key])[:-1]
            assert len(arrived) > 50
            assert is_run_of(arrived, slices_of(sent[key]))
            decoded = pictures_in(
                await ffmpeg("-i", str(files[key]), "-vsync", "passthrough", "-f", "framemd5", "-")
            )
            assert {picture.split(",")[0] for picture in decoded} == {str(width * height * 3 // 2)}
            assert len(decoded) > 50


@pytest.mark.parametrize("transport", list(Transport))
async def test_gstreamer_reads_our_receiver_reports(transport: Transport) -> None:
    async with (
        gst_peer("--size", "320x240", "--reports") as camera,
        RelayManager(SystemClock(), workers=1) as relays,
    ):
        relays.start(RelaySpec(ONE, CODE_ONE, camera.target(), transport=transport))

        def reports() -> list[dict[str, int]]:
            lines = [line.removeprefix("report ") for line in camera.printed if line.startswith("report ")]
            return [json.loads(line) for line in lines]

        await eventually(lambda: len(reports()) > 1, within=25, what="two reports")
        first, second = reports()[:2]
        assert first["rb-ssrc"] == second["rb-ssrc"]
        assert first["rb-exthighestseq"] < second["rb-exthighestseq"]
        assert (second["rb-fractionlost"], second["rb-packetslost"]) == (0, 0)
        # It reckons the round trip from what we say of its own report; in 65,536ths of a second, and 0
        # where our clock's millisecond is longer than the way.
        assert second["rb-lsr"] > 0
        assert 0 <= second["rb-round-trip"] < 65536
        assert relays.counters()[ONE].lost == 0


@pytest.mark.parametrize(
    ("codec", "more"), [("H265", ()), ("JPEG", ()), ("H264", ("--onvif",)), ("H265", ("--onvif",))]
)
async def test_other_codecs_and_onvif_time_stamps_are_verified_by_decoding_and_arrive(
    codec: str, more: tuple[str, ...], tmp_path: Path
) -> None:
    file = tmp_path / "arrived"
    async with (
        gst_peer("--codec", codec, "--size", "320x240", *more) as camera,
        gst_peer("--codec", codec, "--record", "--output", str(file)) as target,
        RelayManager(SystemClock(), workers=1) as relays,
        facts_of(relays) as facts,
    ):
        relays.start(RelaySpec(ONE, CODE_ONE, camera.target(), sink=SinkSpec(target.target()), verify=1.0))
        await eventually(facts.has(ONE, lambda e: isinstance(e, VerificationFinished)), what="verification")
        await eventually(lambda: relays.counters()[ONE].frames_out > 30, what="pictures")
        relays.stop(ONE, "test over")
        ended = facts.has(ONE, lambda e: isinstance(e, RelayEnded) and e.cause == "stopped")
        await eventually(ended, what="end")
        await target.terminate()
        assert [e.passed for e in facts.of(ONE) if isinstance(e, VerificationFinished)] == [True]
        assert [
            (e.codec, e.decoded, e.width, e.height) for e in facts.of(ONE) if isinstance(e, FirstKeyFrame)
        ] == [(codec, True, 320, 240)]
        assert [e for e in facts.of(ONE) if isinstance(e, StreamFound)] == []
        form = {"H264": "h264", "H265": "hevc", "JPEG": "mjpeg"}[codec]
        arrived = pictures_in(await ffmpeg("-f", form, "-i", str(file), "-f", "framemd5", "-"))
        assert len(arrived) > 20


async def test_a_camera_that_comes_back_is_relayed_again_and_its_recording_begins_anew(
    tmp_path: Path,
) -> None:
    secret = {"GST_CAMERA_USER": "operator", "GST_CAMERA_PASSWORD": "correct horse"}
    credential = Credential("operator", Secret("correct horse"))
    async with (
        gst_peer("--record") as target,
        RelayManager(SystemClock(), workers=1) as relays,
        facts_of(relays) as facts,
    ):
        async with gst_peer("--audio", environment=secret) as camera:
            relays.start(
                RelaySpec(
                    ONE, CODE_ONE, camera.target(), credential=credential, sink=SinkSpec(target.target())
                )
            )
            await eventually(facts.has(ONE, is_recording), what="RECORD")
            await eventually(lambda: relays.counters()[ONE].frames_out > 10, what="pictures")
            await camera.kill()
        lost = facts.has(ONE, lambda e: isinstance(e, RelayEnded) and e.was_playing)
        await eventually(lost, what="the loss")
        idle = facts.has(ONE, lambda e: isinstance(e, SinkStateChanged) and e.state is SinkState.IDLE)
        await eventually(idle, what="the sink's end")
        facts.events.clear()
        before = relays.counters()[ONE].frames_out
        async with gst_peer("--port", str(camera.port), "--audio", environment=secret):
            await eventually(facts.has(ONE, is_recording), within=20, what="RECORD anew")
            await eventually(lambda: relays.counters()[ONE].frames_out > before + 10, what="pictures anew")
            playing = [e for e in facts.of(ONE) if isinstance(e, Playing)]
            assert [(e.authenticated, e.has_audio) for e in playing] == [(True, True)]
            relays.stop(ONE, "test over")


async def test_an_rtsps_camera_with_a_pinned_certificate_is_verified_and_relayed(tmp_path: Path) -> None:
    secret = {"GST_CAMERA_USER": "operator", "GST_CAMERA_PASSWORD": "correct horse"}
    certificate = make_certificate(tmp_path)
    async with (
        gst_peer("--certificate", str(certificate.file), environment=secret) as camera,
        gst_peer("--record") as target,
        RelayManager(SystemClock(), workers=1) as relays,
        facts_of(relays) as facts,
    ):
        relays.start(
            RelaySpec(
                ONE,
                CODE_ONE,
                camera.target(TlsPolicy(pin_sha256=certificate.pin_sha256)),
                credential=Credential("operator", Secret("correct horse")),
                sink=SinkSpec(target.target()),
                verify=1.0,
            )
        )
        passed = facts.has(ONE, lambda e: isinstance(e, VerificationFinished) and e.passed)
        await eventually(passed, what="verification")
        await eventually(lambda: relays.counters()[ONE].frames_out > 30, what="pictures")
        assert relays.counters()[ONE].dropped_frames == 0
        relays.start(
            RelaySpec(
                ONE,
                CODE_ONE,
                camera.target(TlsPolicy(pin_sha256="0" * 64)),
                credential=Credential("operator", Secret("correct horse")),
            )
        )
        mismatch = facts.has(ONE, lambda e: isinstance(e, RelayEnded) and e.cause == "tls_pin_mismatch")
        await eventually(mismatch, what="refusal of another certificate")


async def test_ffmpeg_as_the_superior_takes_and_decodes_what_is_pushed(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    async with (
        gst_peer("--size", "320x240") as camera,
        RelayManager(SystemClock(), workers=1) as relays,
        facts_of(relays) as facts,
    ):
        async with asyncio.TaskGroup() as tasks:
            listening = tasks.create_task(
                ffmpeg(
                    *("-rtsp_flags", "listen", "-i", f"rtsp://127.0.0.1:{port}/{CODE_ONE}"),
                    *("-frames:v", "50", "-vsync", "passthrough", "-f", "framemd5", "-"),
                )
            )
            superior = RtspTarget("127.0.0.1", port, f"/{CODE_ONE}")
            relays.start(RelaySpec(ONE, CODE_ONE, camera.target(), sink=SinkSpec(superior)))
            await eventually(facts.has(ONE, is_recording), within=20, what="RECORD")
        assert len(pictures_in(listening.result())) == 50
