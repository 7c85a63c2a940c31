"""The virtual cameras before judges that nobody here wrote: ffmpeg pulls, decodes and counts."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from adapters.base import Credential, OnvifTarget, RtspTarget
from adapters.errors import AuthenticationFailed, PeerTimeout, PeerUnreachable
from adapters.media.nal import is_key_frame_start
from adapters.media.rtp import RtpHeader
from adapters.onvif.client import OnvifClients, OnvifDevice
from adapters.onvif.report import PanTilt
from adapters.rtsp.exchange import SessionOptions
from adapters.simulator.camera import Asks, Fault, VirtualCamera
from adapters.simulator.fleet import Fleet
from adapters.simulator.platform import VirtualPlatform
from catalog.model.secret import Secret
from gateway.clock import SystemClock
from tests.fakes.ws_device import free_udp_port
from tests.gateway_process import free_port
from tests.rtsp_streams import Packet, open_pull
from tests.waiting import eventually

pytestmark = pytest.mark.interop

HOST = "127.0.40.1"
PASSWORD = Secret("canary-virtual-7")


def camera(asks: Asks = Asks.MESSAGE, codec: str = "H264", *, has_media2: bool = True) -> VirtualCamera:
    return VirtualCamera(
        "gate",
        HOST,
        free_port(),
        free_port(),
        password=PASSWORD,
        asks=asks,
        codec=codec,
        serial="V000777",
        has_media2=has_media2,
    )


def fleet_of(one: VirtualCamera) -> Fleet:
    return Fleet([one], discovery_port=free_udp_port())


def device(clients: OnvifClients, of: VirtualCamera, password: Secret = PASSWORD) -> OnvifDevice:
    target = OnvifTarget(of.host, of.http_port)
    return clients.device(target, Credential(of.username, password), may_reach=lambda _: True)


async def ffmpeg(*arguments: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        "ffmpeg", "-v", "error", *arguments, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(60):
        _, complaints = await process.communicate()
    return process.returncode, complaints.decode()


@pytest.mark.parametrize("codec", ["H264", "H265"])
async def test_ffmpeg_pulls_and_decodes_each_codec(codec: str) -> None:
    one = camera(Asks.MD5, codec)
    url = f"rtsp://{one.username}:{PASSWORD.reveal()}@{one.host}:{one.rtsp_port}/main"
    async with fleet_of(one) as fleet:
        await fleet.switch_on()
        code, complaints = await ffmpeg(
            "-rtsp_transport", "tcp", "-i", url, "-frames:v", "30", "-f", "null", "-"
        )
    assert (code, complaints) == (0, "")


@pytest.mark.parametrize("has_media2", [True, False])
@pytest.mark.parametrize("asks", list(Asks))
async def test_each_way_of_asking_and_both_media_services(asks: Asks, has_media2: bool) -> None:
    one = camera(asks, has_media2=has_media2)
    async with fleet_of(one) as fleet, OnvifClients(SystemClock()) as clients:
        await fleet.switch_on()
        report = await device(clients, one).interrogate()
        assert report.identity.serial_number == "V000777"
        assert report.profiles[0].stream_uri == one.stream_uri
        assert report.deviations == ()
        if asks is not Asks.NOTHING:
            with pytest.raises(AuthenticationFailed):
                await device(clients, one, Secret("wrong")).interrogate()


async def test_each_fault_is_what_it_says() -> None:
    one = camera()
    async with fleet_of(one) as fleet, OnvifClients(SystemClock(), timeout=1.0) as clients:
        await fleet.switch_on()
        condition = fleet.condition("gate")
        condition.clock_offset = -3600.0
        condition.faults = frozenset({Fault.BROKEN_XML, Fault.FOREIGN_XADDR})
        report = await device(clients, one).interrogate()
        assert report.clock_offset is not None
        assert -3605 < report.clock_offset < -3595
        assert any("undeclared prefixes" in sentence for sentence in report.deviations)
        assert any(address.startswith("192.0.2.250") for address in report.rewritten_xaddrs)
        condition.faults = frozenset({Fault.SILENT})
        with pytest.raises(PeerTimeout):
            await device(clients, one).interrogate()
        await fleet.switch_off("gate")
        with pytest.raises(PeerUnreachable):
            await device(clients, one).interrogate()
        await fleet.switch_on("gate")
        condition.faults = frozenset()
        await device(clients, one).interrogate()


async def test_it_turns_and_remembers() -> None:
    one = camera()
    async with fleet_of(one) as fleet, OnvifClients(SystemClock()) as clients:
        await fleet.switch_on()
        turning = device(clients, one)
        await turning.absolute_move("main", PanTilt(0.5, -0.25, 0.1))
        await turning.relative_move("main", PanTilt(0.25, 0.25))
        position = (await turning.ptz_status("main")).position
        assert (position.pan, position.tilt, position.zoom) == (0.75, 0.0, 0.1)
        token = await turning.set_preset("main", "gate")
        assert [each.token for each in await turning.presets("main")] == [token]
        await turning.continuous_move("main", PanTilt(pan=0.1), stop_after=1.0)
        assert fleet.condition("gate").is_moving
        await turning.stop("main")
        assert not fleet.condition("gate").is_moving


async def test_the_virtual_platform_takes_what_ffmpeg_records() -> None:
    async with VirtualPlatform("127.0.0.1", 0, free_port()) as platform:
        code, complaints = await ffmpeg(
            *("-re", "-f", "lavfi", "-i", "testsrc=size=320x240:rate=10:duration=2"),
            *("-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "10"),
            *("-f", "rtsp", "-rtsp_transport", "tcp", f"rtsp://127.0.0.1:{platform.rtsp_port}/muster/one"),
        )
        assert (code, complaints) == (0, "")
        arrival = platform.arrivals["/muster/one"]
        await eventually(lambda: not arrival.is_live, what="the stream has ended")
        assert (arrival.codec, arrival.pictures) == ("H264", 20)


async def pictures_to_a_key(packets: AsyncIterator[Packet]) -> int:
    """Return how many whole pictures come before the next key picture begins."""
    count = 0
    async for packet in packets:
        if packet.is_rtcp:
            continue
        header = RtpHeader.parse(packet.payload)
        if is_key_frame_start("H264", packet.payload[header.payload_start :]):
            return count
        count += header.marker
    raise AssertionError("the stream ended")


async def test_a_client_gets_a_key_picture_when_one_is_asked_for() -> None:
    one = replace(camera(Asks.NOTHING), key_every=10)
    async with fleet_of(one) as fleet, OnvifClients(SystemClock()) as clients:
        await fleet.switch_on()
        target = RtspTarget(one.host, one.rtsp_port, "/main")
        async with open_pull(target, None, SessionOptions()) as pull, asyncio.timeout(20):
            packets = pull.packets()
            await pictures_to_a_key(packets)
            await device(clients, one).set_synchronization_point("main")
            assert await pictures_to_a_key(packets) < one.gov_length / 2
        assert fleet.condition("gate").key_frames_asked == 1
