"""Cameras that become another stream under way, and what their superior gets of it: never a mixture."""

import re
from dataclasses import replace
from itertools import takewhile

from adapters.base import RtspTarget, SourceKey
from gateway.clock import SystemClock
from gateway.relay.continuity import Finding
from gateway.relay.manager import RelayManager
from gateway.relay.protocol import PictureFormatSeen, RelayEnded, StreamFound
from gateway.relay.spec import RelayBounds, RelaySpec, SinkSpec
from tests.fakes.relay_peers import RecordingSuperior, ReplayCamera, served
from tests.fakes.rtsp_server import FakeRtspServer, Script
from tests.interop.relay_peers import Facts, facts_of
from tests.media_captures import captured, moved, payload, sequence
from tests.waiting import eventually

ONE = SourceKey(1)
SDP = (
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=fake\r\nt=0 0\r\na=control:*\r\nm=video 0 RTP/AVP 96\r\n"
    "a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1{}\r\na=control:track1\r\n"
)
UNDESCRIBED = Script(sdp=SDP.format("").encode())
# One group of pictures: whoever joins late starts on its key picture and gets it whole.
SMALL = list(takewhile(lambda frame: sequence(frame) != 65518, captured("h264_b_frames_slices")))
WIDE = list(captured("h264_wide"))
REBOOTED = moved(WIDE, sequence=777, timestamp=123_456, ssrc=0xB007)


def spec(camera: FakeRtspServer, superior: FakeRtspServer) -> RelaySpec:
    sink = SinkSpec(RtspTarget("127.0.0.1", superior.port, "/stream"))
    source = RtspTarget("127.0.0.1", camera.port, "/stream")
    return RelaySpec(ONE, "one", source, sink=sink, bounds=RelayBounds(reconnect_first=0.1))


def ssrcs(packets: list[bytes]) -> set[bytes]:
    return {packet[8:12] for packet in packets}


def findings(facts: Facts) -> list[tuple[Finding, bool]]:
    return [(event.finding, event.ends) for event in facts.of(ONE) if isinstance(event, StreamFound)]


def ends(facts: Facts) -> list[str]:
    return [event.cause for event in facts.of(ONE) if isinstance(event, RelayEnded)]


async def test_an_encoder_that_restarts_under_way_is_pulled_anew_and_its_streams_are_kept_apart() -> None:
    camera = ReplayCamera(UNDESCRIBED, (SMALL, REBOOTED), (REBOOTED, []))
    superior = RecordingSuperior()
    async with (
        served(camera),
        served(superior),
        RelayManager(SystemClock(), workers=1) as relays,
        facts_of(relays) as facts,
    ):
        relays.start(spec(camera, superior))
        await eventually(lambda: len(superior.frames) == len(SMALL), what="the first stream")
        camera.released.set()
        await eventually(lambda: len(superior.frames) == len(SMALL) + len(WIDE), what="the second stream")
        first, second = superior.recordings()
        assert first == [frame[4:] for frame in SMALL]
        assert second == [frame[4:] for frame in REBOOTED]
        assert findings(facts) == [(Finding.SSRC_CHANGED, True)]
        assert ends(facts) == ["stream_changed"]
        # Its leave is taken politely: cameras have few sessions.
        assert camera.methods().count("TEARDOWN") == 1
        counters = relays.counters
        await eventually(lambda: counters()[ONE].discontinuities == 1, what="the counters")
        sizes = [(e.width, e.height) for e in facts.of(ONE) if isinstance(e, PictureFormatSeen)]
        assert sizes == [(160, 120), (320, 180)]
        shown = next(iter(relays.snapshot()))
        assert (shown.width, shown.height) == (320, 180)


async def test_a_camera_that_reboots_and_comes_back_with_another_picture_is_announced_anew() -> None:
    camera = ReplayCamera(UNDESCRIBED, (SMALL, []), (REBOOTED, []))
    superior = RecordingSuperior()
    async with (
        served(camera),
        served(superior),
        RelayManager(SystemClock(), workers=1) as relays,
        facts_of(relays) as facts,
    ):
        relays.start(spec(camera, superior))
        await eventually(lambda: len(superior.frames) == len(SMALL), what="the first stream")
        camera.drop_connections()
        await eventually(lambda: len(superior.frames) == len(SMALL) + len(WIDE), what="the second stream")
        first, second = superior.recordings()
        assert (len(ssrcs(first)), ssrcs(second)) == (1, {b"\0\0\xb0\x07"})
        assert superior.descriptions[0] != superior.descriptions[1]
        assert ends(facts) == ["closed"]
        assert findings(facts) == []


async def test_a_camera_that_falls_silent_and_reboots_is_announced_anew() -> None:
    camera = ReplayCamera(UNDESCRIBED, (SMALL, []), (REBOOTED, []))
    superior = RecordingSuperior()
    async with (
        served(camera),
        served(superior),
        RelayManager(SystemClock(), workers=1) as relays,
        facts_of(relays) as facts,
    ):
        asked = spec(camera, superior)
        bounds = replace(asked.bounds, media_gap=0.5, media_timeout=2.0)
        relays.start(replace(asked, bounds=bounds))
        await eventually(lambda: len(superior.frames) >= len(SMALL) + len(WIDE), what="the second stream")
        recordings = superior.recordings()
        assert [len(ssrcs(recording)) for recording in recordings[:2]] == [1, 1]
        assert ssrcs(recordings[0]) != ssrcs(recordings[1])
        assert ends(facts)[0] == "timeout"


async def test_the_superior_is_announced_the_parameter_sets_that_the_description_lacks() -> None:
    camera, superior = ReplayCamera(UNDESCRIBED, (SMALL, [])), RecordingSuperior()
    async with served(camera), served(superior), RelayManager(SystemClock(), workers=1) as relays:
        relays.start(spec(camera, superior))
        await eventually(lambda: len(superior.frames) == len(SMALL), what="the stream")
        (description,) = superior.descriptions
        assert re.search(rb"sprop-parameter-sets=[^,\r]+,[^,\r]+\r", description)
        # And it starts on the key picture, which came before it.
        assert superior.frames[0][1][12:] == payload(SMALL[0])
