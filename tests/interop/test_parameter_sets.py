"""ffmpeg pulls from Muster what a camera describes or sends its parameter sets for, one, the other or neither first."""

import pytest

from adapters.base import RtspTarget, SourceKey
from catalog.database import Database
from gateway.clock import SystemClock
from gateway.relay.manager import RelayManager
from gateway.relay.spec import RelaySpec
from tests.fakes.relay_peers import LoopingCamera, served
from tests.fakes.rtsp_server import Script
from tests.interop.relay_peers import ffmpeg, pictures_in
from tests.media_captures import captured
from tests.serving import serving
from tests.waiting import eventually

pytestmark = [pytest.mark.interop, pytest.mark.postgres]

ONE = SourceKey(1)
CODE = "34020000001320000001"
SDP = (
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=fake\r\nt=0 0\r\na=control:*\r\nm=video 0 RTP/AVP 96\r\n"
    "a=rtpmap:96 {}/90000\r\na=fmtp:96 {}\r\na=control:track1\r\n"
)
H264 = SDP.format("H264", "packetization-mode=1")
DESCRIBED = SDP.format(
    "H264", "packetization-mode=1; sprop-parameter-sets=Z2QACqyyBQj8uAiAAAADAIAAAAwHiRMk,aOvA5LIs"
)
H265 = SDP.format("H265", "sprop-max-don-diff=0")


@pytest.mark.parametrize(
    ("name", "sdp"),
    [
        ("h264_described_only", DESCRIBED),
        ("h264_b_frames_slices", H264),
        ("h264_open_gop", H264),
        ("h264_intra_refresh", H264),
        ("h265_b_frames", H265),
    ],
)
async def test_a_player_decodes_whichever_way_the_parameter_sets_come(
    database: Database, name: str, sdp: str
) -> None:
    camera = LoopingCamera(Script(sdp=sdp.encode()), captured(name))
    async with (
        served(camera),
        RelayManager(SystemClock(), workers=1) as relays,
        serving(database, relays, {CODE: ONE}) as server,
    ):
        relays.start(RelaySpec(ONE, CODE, RtspTarget("127.0.0.1", camera.port, "/stream")))
        await eventually(lambda: relays.counters()[ONE].key_frames > 1, what="key pictures")
        url = server.url(CODE, server.grant(ONE))
        printed = await ffmpeg(
            "-rtsp_transport", "tcp", "-i", url, "-frames:v", "12", "-an", "-f", "framemd5", "-"
        )
        counters = relays.counters()[ONE]
    pictures = pictures_in(printed)
    assert len(pictures) == 12
    assert {picture.split(",")[0] for picture in pictures} == {str(160 * 120 * 3 // 2)}
    assert (counters.lost_packets, counters.discontinuities) == (0, 0)
