"""The manager and its worker processes between fake cameras and superiors on loopback."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from adapters.base import Credential, RtspTarget, SourceKey, Transport
from catalog.model.secret import Secret
from gateway.clock import SystemClock
from gateway.relay.manager import RelayManager
from gateway.relay.placement import Move, RebalancingRules
from gateway.relay.protocol import (
    Event,
    FirstKeyFrame,
    MediaGapClosed,
    MediaGapOpened,
    Playing,
    RelayEnded,
    RelayState,
    RelayStateChanged,
    SinkState,
    SinkStateChanged,
    WorkerLost,
)
from gateway.relay.spec import RelayBounds, RelaySpec, SinkSpec
from tests.fakes.relay_peers import UdpOnlyCamera, deaf_superior, heavy_camera, served
from tests.fakes.rtsp_server import FakeRtspServer, Script, fake_rtsp_server
from tests.interop.relay_peers import facts_of
from tests.waiting import eventually

ONE, TWO = SourceKey(1), SourceKey(2)
CODES = {ONE: "34020000001320000001", TWO: "34020000001320000002"}
SUPERIOR = Script(packet_interval=0)
PASSWORD = "correct horse"
ROOT = Path(__file__).resolve().parents[2]


def target(fake: FakeRtspServer) -> RtspTarget:
    return RtspTarget("127.0.0.1", fake.port, "/stream")


def spec(key: SourceKey, camera: FakeRtspServer, superior: FakeRtspServer | None = None) -> RelaySpec:
    sink = SinkSpec(target(superior)) if superior is not None else None
    return RelaySpec(key, CODES[key], target(camera), sink=sink)


def is_recording(event: Event) -> bool:
    return isinstance(event, SinkStateChanged) and event.state is SinkState.RECORDING


def ended(cause: str) -> Callable[[Event], bool]:
    return lambda event: isinstance(event, RelayEnded) and event.cause == cause


async def test_a_source_goes_out_from_a_key_frame_under_its_code_and_both_sides_get_a_teardown() -> None:
    async with (
        fake_rtsp_server() as camera,
        fake_rtsp_server(SUPERIOR) as superior,
        RelayManager(SystemClock(), workers=1) as relays,
        facts_of(relays) as facts,
    ):
        relays.start(spec(ONE, camera, superior))
        await eventually(lambda: len(superior.frames) > 20, what="frames")
        relays.stop(ONE, "test over")
        await eventually(facts.has(ONE, ended("stopped")), what="end")
        await eventually(lambda: "TEARDOWN" in superior.methods(), what="TEARDOWN")
        assert superior.methods() == ["OPTIONS", "ANNOUNCE", "SETUP", "RECORD", "TEARDOWN"]
        assert camera.methods()[-1] == "TEARDOWN"
        # STAP-A with a parameter set: how the fake's key frames begin.
        assert [channel for channel, _ in superior.frames[:1]] == [0]
        assert superior.frames[0][1][12] == 0x78
        sequence = [int.from_bytes(packet[2:4], "big") for _, packet in superior.frames]
        assert sequence == list(range(sequence[0], sequence[0] + len(sequence)))
        assert CODES[ONE].encode() in superior.announced
        assert b"m=audio" not in superior.announced
        assert b"fake" not in superior.announced
        kinds = [type(event) for event in facts.of(ONE)]
        assert kinds.index(Playing) < kinds.index(FirstKeyFrame) < kinds.index(RelayEnded)
        assert relays.snapshot() == []


async def test_after_kill_9_of_a_worker_only_its_streams_begin_again() -> None:
    async with (
        fake_rtsp_server() as camera_one,
        fake_rtsp_server() as camera_two,
        fake_rtsp_server(SUPERIOR) as superior,
        RelayManager(SystemClock(), workers=2) as relays,
        facts_of(relays) as facts,
    ):
        relays.start(spec(ONE, camera_one, superior))
        relays.start(spec(TWO, camera_two))
        await eventually(facts.has(ONE, is_recording), what="RECORD")
        await eventually(facts.has(TWO, lambda e: isinstance(e, FirstKeyFrame)), what="media")
        await eventually(lambda: relays.counters()[ONE].frames > 0, what="counters")
        before = relays.counters()[ONE]
        workers = {shot.source_id: shot.worker for shot in relays.snapshot()}
        assert len(set(workers.values())) == 2
        lost = workers[ONE]
        assert lost is not None
        facts.events.clear()
        os.kill(lost, signal.SIGKILL)
        await eventually(facts.has(ONE, is_recording), within=15, what="RECORD anew")
        assert [e.source_ids for e in facts.events if isinstance(e, WorkerLost)] == [(ONE,)]
        assert [e.cause for e in facts.of(ONE) if isinstance(e, RelayEnded)] == ["worker_lost"]
        assert facts.of(TWO) == []
        assert (camera_one.connections, camera_two.connections) == (2, 1)
        await eventually(lambda: relays.counters()[ONE].sessions == 2, what="counters")
        assert relays.counters()[ONE].frames >= before.frames
        assert {shot.source_id: shot.worker for shot in relays.snapshot()}[TWO] == workers[TWO]


async def test_a_refused_credential_is_tried_once_and_by_no_later_worker() -> None:
    async with (
        fake_rtsp_server(Script(schemes=("SHA-256",))) as camera,
        fake_rtsp_server() as other,
        RelayManager(SystemClock(), workers=1) as relays,
        facts_of(relays) as facts,
    ):
        wrong = Credential("operator", Secret("wrong"))
        relays.start(replace(spec(ONE, camera), credential=wrong))
        await eventually(facts.has(ONE, ended("authentication_failed")), what="refusal")
        end = next(e for e in facts.of(ONE) if isinstance(e, RelayEnded))
        assert (end.retryable, end.refusals, camera.refused) == (False, 1, 1)
        pid = relays.workers()[0][0]
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        relays.start(spec(TWO, other))
        await eventually(facts.has(TWO, lambda e: isinstance(e, FirstKeyFrame)), within=15, what="other")
        assert (camera.refused, camera.connections) == (1, 1)
        assert [shot.state for shot in relays.snapshot()] == [RelayState.ENDED, RelayState.PLAYING]
        relays.start(replace(spec(ONE, camera), credential=Credential("operator", Secret(PASSWORD))))
        authenticated = facts.has(ONE, lambda e: isinstance(e, Playing) and e.authenticated)
        await eventually(authenticated, what="the right credential")


@pytest.mark.parametrize(
    ("script", "cause"),
    [
        (Script(silent=frozenset({"DESCRIBE"})), "timeout"),
        (Script(half=frozenset({"SETUP"})), "timeout"),
        (Script(drops=frozenset({"PLAY"})), "closed"),
        (Script(packet_interval=0), "timeout"),
        (Script(answers={"DESCRIBE": b"RTSP/1.0 404 Not Found\r\nCSeq: {cseq}\r\n\r\n"}), "refused"),
        (Script(answers={"OPTIONS": b"\x00\x01 no RTSP at all"}), "protocol_error"),
        (Script(sdp=b"v=0\r\nm=video x\r\n"), "protocol_error"),
    ],
)
async def test_a_broken_camera_is_told_by_cause_and_leaves_its_neighbour_alone(
    script: Script, cause: str
) -> None:
    bounds = RelayBounds(handshake=2.0, first_media=2.0)
    async with (
        fake_rtsp_server(script) as broken,
        fake_rtsp_server() as camera,
        RelayManager(SystemClock(), workers=1) as relays,
        facts_of(relays) as facts,
    ):
        relays.start(spec(TWO, camera))
        relays.start(replace(spec(ONE, broken), bounds=bounds))
        await eventually(facts.has(ONE, ended(cause)), what=cause)
        # And it is tried again by itself.
        await eventually(lambda: broken.connections > 1, what="another try")
        before = relays.counters()[TWO].frames
        await eventually(lambda: relays.counters()[TWO].frames > before, what="the neighbour's frames")
        assert camera.connections == 1
        assert [type(e) for e in facts.of(TWO) if isinstance(e, RelayEnded)] == []


async def test_a_superior_that_stops_reading_costs_frames_and_neither_the_pull_nor_a_neighbour() -> None:
    bounds = RelayBounds(queue_bytes=300_000, sink_stalled=4.0)
    async with (
        served(heavy_camera()) as camera_one,
        served(heavy_camera()) as camera_two,
        served(deaf_superior()) as deaf,
        fake_rtsp_server(SUPERIOR) as superior,
        RelayManager(SystemClock(), workers=1) as relays,
        facts_of(relays) as facts,
    ):
        relays.start(replace(spec(ONE, camera_one, deaf), bounds=bounds))
        relays.start(replace(spec(TWO, camera_two, superior), bounds=bounds))
        await eventually(lambda: ONE in relays.strained(), within=20, what="media that waits")
        await eventually(lambda: relays.counters()[ONE].dropped_frames > 0, within=20, what="drops")
        assert relays.counters()[ONE].queue_bytes < 300_000 + 1024 * 1024
        stalled = facts.has(ONE, lambda e: isinstance(e, SinkStateChanged) and e.cause == "timeout")
        await eventually(stalled, within=20, what="the stalled sink's end")
        await eventually(lambda: deaf.connections > 1, what="the sink's next try")
        two = relays.counters()[TWO]
        assert (two.dropped_frames, two.drops) == (0, 0)
        assert two.frames_out > two.frames - 30
        assert (camera_one.connections, camera_two.connections) == (1, 1)


async def test_a_camera_that_refuses_tcp_is_asked_for_udp_and_relayed() -> None:
    async with (
        served(UdpOnlyCamera(Script())) as camera,
        fake_rtsp_server(SUPERIOR) as superior,
        RelayManager(SystemClock(), workers=1) as relays,
        facts_of(relays) as facts,
    ):
        relays.start(spec(ONE, camera, superior))
        await eventually(lambda: len(superior.frames) > 50, what="frames")
        assert [e.transport for e in facts.of(ONE) if isinstance(e, Playing)] == [Transport.UDP]
        sequence = [int.from_bytes(packet[2:4], "big") for _, packet in superior.frames]
        assert sequence == list(range(sequence[0], sequence[0] + len(sequence)))


async def test_a_camera_that_floods_its_worker_is_cut_off() -> None:
    async with (
        served(heavy_camera()) as flooding,
        fake_rtsp_server() as camera,
        RelayManager(SystemClock(), workers=1) as relays,
        facts_of(relays) as facts,
    ):
        relays.start(spec(TWO, camera))
        relays.start(replace(spec(ONE, flooding), bounds=RelayBounds(max_packets=200)))
        await eventually(facts.has(ONE, ended("protocol_error")), what="the flood's end")
        assert "packets" in relays.snapshot()[1].detail
        assert [e for e in facts.of(TWO) if isinstance(e, RelayEnded)] == []


async def test_a_gap_in_the_media_is_told_when_it_opens_and_when_it_closes() -> None:
    script = Script()
    async with (
        fake_rtsp_server(script) as camera,
        RelayManager(SystemClock(), workers=1) as relays,
        facts_of(relays) as facts,
    ):
        relays.start(replace(spec(ONE, camera), bounds=RelayBounds(media_gap=1.0)))
        await eventually(facts.has(ONE, lambda e: isinstance(e, FirstKeyFrame)), what="media")
        script.packet_interval = 3.5
        await eventually(facts.has(ONE, lambda e: isinstance(e, MediaGapOpened)), what="gap")
        assert relays.snapshot()[0].in_gap
        await eventually(facts.has(ONE, lambda e: isinstance(e, MediaGapClosed)), what="end of the gap")
        assert not relays.snapshot()[0].in_gap


async def test_a_changed_spec_replaces_the_session_and_the_same_one_does_not() -> None:
    async with (
        fake_rtsp_server() as camera,
        fake_rtsp_server(SUPERIOR) as superior,
        RelayManager(SystemClock(), workers=2) as relays,
        facts_of(relays) as facts,
    ):
        first = spec(ONE, camera, superior)
        relays.start(first)
        await eventually(facts.has(ONE, is_recording), what="RECORD")
        relays.start(first)
        facts.events.clear()
        relays.start(replace(first, source_code="34020000001320000009"))
        await eventually(facts.has(ONE, is_recording), what="RECORD under the new code")
        assert b"s=34020000001320000009" in superior.announced
        assert camera.connections == 2
        # The old session took its leave before the new one came.
        methods = camera.methods()
        assert methods.index("TEARDOWN") < len(methods) - 1 - methods[::-1].index("OPTIONS")


async def test_a_relay_that_moves_leaves_its_worker_first_and_keeps_its_totals() -> None:
    async with (
        fake_rtsp_server() as camera,
        fake_rtsp_server(SUPERIOR) as superior,
        RelayManager(SystemClock(), workers=2) as relays,
        facts_of(relays) as facts,
    ):
        relays.start(spec(ONE, camera, superior))
        await eventually(facts.has(ONE, is_recording), what="RECORD")
        await eventually(lambda: relays.counters()[ONE].frames > 0, what="counters")
        before = relays.counters()[ONE].frames
        facts.events.clear()
        relays.move(Move(ONE, 0, 1))
        await eventually(facts.has(ONE, is_recording), what="RECORD from the other worker")
        ends = [event for event in facts.of(ONE) if isinstance(event, RelayEnded)]
        assert [(end.cause, end.retryable) for end in ends] == [("moved", True)]
        states = [event.state for event in facts.of(ONE) if isinstance(event, RelayStateChanged)]
        assert states == [RelayState.WAITING, RelayState.CONNECTING, RelayState.PLAYING]
        assert [load.relays for load in relays.loads()] == [0, 1]
        assert relays.snapshot()[0].worker == relays.workers()[1][0]
        await eventually(lambda: relays.counters()[ONE].sessions == 2, what="counters of both")
        assert relays.counters()[ONE].frames >= before
        methods = camera.methods()
        assert methods.index("TEARDOWN") < len(methods) - 1 - methods[::-1].index("OPTIONS")
        assert (relays.moves, relays.lost_workers, camera.connections) == (1, 0, 2)


async def test_a_relay_that_is_stopped_while_it_moves_is_not_begun_again() -> None:
    async with (
        fake_rtsp_server() as camera,
        RelayManager(SystemClock(), workers=2) as relays,
        facts_of(relays) as facts,
    ):
        relays.start(spec(ONE, camera))
        await eventually(facts.has(ONE, lambda e: isinstance(e, FirstKeyFrame)), what="media")
        relays.move(Move(ONE, 0, 1))
        relays.stop(ONE, "test over")
        over = facts.has(ONE, lambda e: isinstance(e, RelayStateChanged) and e.state is RelayState.ENDED)
        await eventually(over, what="the last event")
        assert facts.has(ONE, ended("stopped"))()
        assert (relays.snapshot(), camera.connections) == ([], 1)


async def test_a_worker_that_dies_before_its_relay_could_move_is_replaced_with_it() -> None:
    async with (
        fake_rtsp_server() as camera,
        RelayManager(SystemClock(), workers=2) as relays,
        facts_of(relays) as facts,
    ):
        relays.start(spec(ONE, camera))
        await eventually(facts.has(ONE, lambda e: isinstance(e, FirstKeyFrame)), what="media")
        pid = relays.workers()[0][0]
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        facts.events.clear()
        relays.move(Move(ONE, 0, 1))
        os.kill(pid, signal.SIGKILL)
        await eventually(facts.has(ONE, lambda e: isinstance(e, FirstKeyFrame)), within=15, what="media anew")
        assert [event.cause for event in facts.of(ONE) if isinstance(event, RelayEnded)] == ["worker_lost"]
        assert [load.relays for load in relays.loads()] == [1, 0]


async def test_where_one_worker_does_everything_a_relay_moves_to_the_other_by_itself() -> None:
    impatient = RebalancingRules(busy=0.0, uneven=0.0, lasting=2.0, settled=0.0)
    keys = [SourceKey(number) for number in range(1, 7)]
    async with (
        served(heavy_camera()) as camera,
        RelayManager(SystemClock(), workers=2, rebalancing=impatient) as relays,
        facts_of(relays) as facts,
    ):
        for key in keys:
            relays.start(RelaySpec(key, CODES[ONE], target(camera)))
        assert [load.relays for load in relays.loads()] == [3, 3]
        for key in keys[1::2]:
            relays.stop(key, "test")
        await eventually(lambda: [load.relays for load in relays.loads()] == [2, 1], within=30, what="a move")

        def moved() -> set[SourceKey]:
            return {
                event.source_id
                for event in facts.events
                if isinstance(event, RelayEnded) and event.cause == "moved"
            }

        # The loads tell of the move before the facts, which wait to be taken.
        await eventually(lambda: len(moved()) == 1, what="the end in the old worker")
        assert relays.moves == 1


async def test_a_worker_tells_how_busy_it_is_and_what_it_receives() -> None:
    async with (
        served(heavy_camera()) as camera,
        RelayManager(SystemClock(), workers=1) as relays,
        facts_of(relays),
    ):
        relays.start(spec(ONE, camera))
        await eventually(lambda: relays.loads()[0].busy > 0, what="two counts")
        await eventually(lambda: relays.bitrates()[ONE] > 0, what="a bitrate")
        load = relays.loads()[0]
        assert (load.index, load.relays) == (0, 1)
        await eventually(lambda: relays.loads()[0].fresh == 0, what="media counted")


async def test_credentials_reach_the_worker_and_no_log_line_command_line_or_environment(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("MUSTER_CREDENTIAL_KEY", PASSWORD)
    script = Script(schemes=("MD5",), drops=frozenset({"PLAY"}))
    async with (
        fake_rtsp_server(script) as camera,
        RelayManager(SystemClock(), workers=1) as relays,
        facts_of(relays) as facts,
    ):
        credential = Credential("operator", Secret(PASSWORD))
        relays.start(replace(spec(ONE, camera), credential=credential))
        await eventually(facts.has(ONE, ended("closed")), what="the broken PLAY")
        assert camera.methods().count("SETUP") == 1
        pid = relays.workers()[0][0]
        assert PASSWORD.encode() not in shown_of(pid)
        assert PASSWORD not in repr(facts.events) + repr(relays.snapshot()) + caplog.text


def shown_of(pid: int | None) -> bytes:
    """Return what the system shows of a process."""
    return Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()


PARENT = """
import asyncio, sys
from gateway.clock import SystemClock
from gateway.relay.manager import RelayManager
async def main():
    async with RelayManager(SystemClock(), workers=1) as relays:
        await relays.take()
        print(relays.workers()[0][0], flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


async def test_no_worker_outlives_a_gateway_that_was_killed() -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PARENT,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    assert parent.stdout is not None
    worker = int(await parent.stdout.readline())
    parent.kill()
    await parent.wait()
    await eventually(lambda: not is_alive(worker), what="the worker's end")


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
