"""How media arrive from cameras behind a bad network, and what the relay reports to them; on loopback."""

from collections.abc import Callable
from dataclasses import replace

from adapters.base import RtspTarget, SourceKey, Transport
from adapters.media.rtcp import ReceiverReport, SourceDescription, parse_compound
from gateway.clock import SystemClock
from gateway.relay.manager import RelayManager
from gateway.relay.protocol import Event, RelayEnded
from gateway.relay.spec import RelayBounds, RelaySpec, SinkSpec
from tests.fakes.relay_peers import NTP, SSRC, LeavingCamera, RestartingCamera, UnevenCamera, served
from tests.fakes.rtsp_server import FakeRtspServer, Script, fake_rtsp_server
from tests.interop.relay_peers import facts_of
from tests.waiting import eventually

ONE, TWO = SourceKey(1), SourceKey(2)
SUPERIOR = Script(packet_interval=0)


def spec(key: SourceKey, camera: FakeRtspServer, superior: FakeRtspServer | None = None) -> RelaySpec:
    sink = SinkSpec(target(superior)) if superior is not None else None
    return RelaySpec(key, f"source-{key}", target(camera), sink=sink)


def target(fake: FakeRtspServer) -> RtspTarget:
    return RtspTarget("127.0.0.1", fake.port, "/stream")


def ended(cause: str) -> Callable[[Event], bool]:
    return lambda event: isinstance(event, RelayEnded) and event.cause == cause


async def test_what_a_bad_network_disorders_goes_out_in_order_and_is_counted_and_reported() -> None:
    camera = UnevenCamera(Script())
    async with (
        served(camera),
        fake_rtsp_server(SUPERIOR) as superior,
        RelayManager(SystemClock(), workers=1) as relays,
    ):
        relays.start(replace(spec(ONE, camera, superior), transport=Transport.UDP))
        await eventually(
            lambda: len(superior.frames) > 100 and bool(camera.reports), what="frames and a report"
        )
        sequence = [int.from_bytes(p[2:4], "big") for channel, p in superior.frames if channel == 0]
        assert sequence == sorted(set(sequence))
        missing = set(range(sequence[0], sequence[-1])) - set(sequence)
        # 11 as well, where the camera was held up between 12 and 11 for longer than a packet is waited for.
        assert {number % 20 for number in missing} - {11} == {7}
        await eventually(lambda: relays.counters()[ONE].lost > 5, what="counters")
        counted = relays.counters()[ONE]
        assert counted.reordered > 0
        assert counted.duplicates > 0
        assert (counted.foreign, counted.restarts) == (0, 0)
        assert 0.03 < counted.loss < 0.08
        report, description = parse_compound(camera.reports[0])
        assert isinstance(report, ReceiverReport)
        assert isinstance(description, SourceDescription)
        (block,) = report.blocks
        assert (block.ssrc, block.lsr) == (SSRC, NTP >> 16 & 0xFFFFFFFF)
        assert block.highest > 50


async def test_a_camera_on_tcp_gets_reports_between_our_requests() -> None:
    async with (
        fake_rtsp_server(Script(timeout="2")) as camera,
        RelayManager(SystemClock(), workers=1) as relays,
    ):
        relays.start(spec(ONE, camera))
        await eventually(lambda: len(camera.frames) > 0, what="a report")
        channel, packet = camera.frames[0]
        assert channel == 1
        report = parse_compound(packet)[0]
        assert isinstance(report, ReceiverReport)
        assert [(block.ssrc, block.cumulative_lost) for block in report.blocks] == [(SSRC, 0)]
        await eventually(lambda: len(camera.methods()) > 5, what="keepalives")
        assert camera.connections == 1


async def test_a_camera_that_restarts_under_another_ssrc_is_pulled_anew() -> None:
    camera = RestartingCamera(Script())
    async with (
        served(camera),
        fake_rtsp_server(SUPERIOR) as superior,
        RelayManager(SystemClock(), workers=1) as relays,
        facts_of(relays) as facts,
    ):
        relays.start(replace(spec(ONE, camera, superior), transport=Transport.UDP))
        await eventually(facts.has(ONE, ended("closed")), what="the end")
        end = next(e for e in facts.of(ONE) if isinstance(e, RelayEnded))
        assert "another SSRC" in end.detail
        assert {packet[8:12] for channel, packet in superior.frames if channel == 0} == {
            SSRC.to_bytes(4, "big")
        }
        await eventually(lambda: camera.connections > 1, what="another pull")


async def test_a_bye_ends_a_session_only_when_the_video_ends_with_it() -> None:
    bounds = RelayBounds(media_gap=1.5)
    async with (
        served(LeavingCamera(Script(), goes_on=False)) as leaving,
        served(LeavingCamera(Script(), goes_on=True)) as strange,
        RelayManager(SystemClock(), workers=1) as relays,
        facts_of(relays) as facts,
    ):
        relays.start(replace(spec(ONE, leaving), bounds=bounds))
        relays.start(replace(spec(TWO, strange), bounds=bounds))
        await eventually(facts.has(ONE, ended("closed")), what="the end")
        end = next(e for e in facts.of(ONE) if isinstance(e, RelayEnded))
        assert "BYE" in end.detail
        assert end.retryable
        await eventually(lambda: relays.counters()[TWO].frames > 200, what="frames after BYEs")
        assert strange.connections == 1
