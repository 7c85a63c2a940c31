# ruff: noqa: T201
"""Measures live pictures: `python -m tests.bench.viewers [--viewers 10] [--seconds 15] [--rate 25]`.

A virtual camera is relayed, and so many browsers, played by aiortc in a process of their own, look at it. Printed are
the CPU milliseconds of the viewing process for a viewer-second, and how long each waited for its first picture.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path

import uvloop
from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpReceiver, RTCSessionDescription
from aiortc.mediastreams import MediaStreamTrack

from adapters.base import RtspTarget, SourceKey
from adapters.simulator.camera import Asks, VirtualCamera
from adapters.simulator.fleet import Fleet
from catalog.access import Role
from gateway.clock import SystemClock
from gateway.interfaces import LinuxKernel
from gateway.relay.manager import RelayManager
from gateway.relay.spec import RelaySpec
from gateway.serving.admission import Admission
from gateway.serving.grants import Grants, Viewer
from gateway.viewing.desk import ViewingDesk, look_of
from tests.bench.relay_muster import Sources, Viewers, source_code
from tests.bench.relay_processes import cpu_of, family
from tests.fakes.ws_device import free_udp_port

ONE = SourceKey(1)


async def browsers(count: int) -> None:
    """Play `count` browsers: offers go out as lines of JSON, answers come in, first pictures are told."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    peers = [RTCPeerConnection(RTCConfiguration(iceServers=[])) for _ in range(count)]

    async def wait_for_picture(track: MediaStreamTrack, number: int) -> None:
        await track.recv()
        print(json.dumps({"first": number}), flush=True)
        while True:
            await track.recv()

    async with asyncio.TaskGroup() as group:
        for number, peer in enumerate(peers):
            peer.add_listener(
                "track",
                lambda track, number=number: group.create_task(wait_for_picture(track, number)),
            )
            transceiver = peer.addTransceiver("video", direction="recvonly")
            known = RTCRtpReceiver.getCapabilities("video")
            assert known is not None
            transceiver.setCodecPreferences([each for each in known.codecs if each.mimeType == "video/H264"])
            await peer.setLocalDescription(await peer.createOffer())
            print(json.dumps({"offer": peer.localDescription.sdp}), flush=True)
            answer = json.loads(await reader.readline())
            await peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))


async def measure(count: int, seconds: float, rate: int) -> None:
    clock, grants, viewers = SystemClock(), Grants(), Viewers()
    camera = VirtualCamera(
        "bench",
        "127.0.50.1",
        8000,
        8554,
        asks=Asks.NOTHING,
        width=1280,
        height=720,
        frame_rate=rate,
        noise=24,
    )
    async with AsyncExitStack() as stack:
        fleet = await stack.enter_async_context(Fleet([camera], discovery_port=free_udp_port()))
        await fleet.switch_on()
        relays = await stack.enter_async_context(RelayManager(clock, workers=1))
        relays.start(RelaySpec(ONE, source_code(1), RtspTarget(camera.host, 8554, "/main")))
        while not relays.is_playing(ONE) or relays.counters()[ONE].frames < 3 * rate:
            await clock.sleep(0.1)
        desk = ViewingDesk(
            Admission(grants, viewers, Sources(), relays, viewers, viewers, clock),
            relays,
            clock,
            most=count,
            want_key_frame=lambda _: None,
        )
        group = await stack.enter_async_context(asyncio.TaskGroup())
        running = group.create_task(desk.run())
        browsing, waits = await _look(desk, grants, count)
        viewing = [pid for pid in family([os.getpid()]) if _is_viewing(pid)]
        cpu, wall = cpu_of(viewing), time.perf_counter()
        await clock.sleep(seconds)
        cpu, wall = cpu_of(viewing) - cpu, time.perf_counter() - wall
        bitrate = relays.bitrates()[ONE]
        print(
            f"{count} viewers of {bitrate / 1e6:.2f} Mbit/s, {rate} pictures a second: "
            f"{1000 * cpu / wall / count:.1f} ms CPU for a viewer-second; first picture after "
            f"{1000 * statistics.median(waits):.0f} ms (median), {1000 * max(waits):.0f} ms (longest)"
        )
        running.cancel()
        browsing.kill()
        await browsing.wait()


def _is_viewing(pid: int) -> bool:
    return b"gateway.viewing.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()


async def _look(
    desk: ViewingDesk, grants: Grants, count: int
) -> tuple[asyncio.subprocess.Process, list[float]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.bench.viewers", "--browsers", str(count)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    asked: list[float] = []
    waits: list[float] = []
    while len(waits) < count:
        line = json.loads(await process.stdout.readline())
        if "offer" in line:
            asked.append(time.perf_counter())
            grant = grants.issue(ONE, Viewer("bench", Role.OPERATOR), SystemClock().monotonic())
            shown = await desk.view(
                look_of(grant).reveal(),
                source_code(1),
                line["offer"],
                client="127.0.0.1",
                addresses=tuple(LinuxKernel().own_addresses()),
            )
            process.stdin.write(json.dumps(shown.sdp).encode() + b"\n")
        else:
            waits.append(time.perf_counter() - asked[line["first"]])
    return process, waits


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--viewers", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--rate", type=int, default=25)
    parser.add_argument("--browsers", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.browsers:
        await browsers(options.browsers)
        return
    await measure(options.viewers, options.seconds, options.rate)


if __name__ == "__main__":
    uvloop.run(main())
