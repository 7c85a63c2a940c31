# ruff: noqa: T201
"""Measures ONVIF: `python -m tests.bench.onvif [--devices 1000] [--only PART]`.

Interrogations of virtual devices in another process, beside onvif-zeep's own client on ten of them; Hellos in a storm;
Probes to every address of a /20 with 300 devices at the default rate. Times are CPU seconds of this process, the
devices' own left out.
"""

import argparse
import asyncio
import resource
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvloop

from adapters.base import Credential, OnvifTarget
from adapters.errors import AdapterError
from adapters.onvif.client import OnvifClients
from adapters.onvif.discovery import Discoverer
from adapters.onvif.wsdiscovery import GROUP, read_announcements
from adapters.simulator.announcing import Announcer
from adapters.simulator.camera import VirtualCamera
from catalog.model.secret import Secret
from gateway.clock import SystemClock
from gateway.descriptors import raise_file_limit
from gateway.discovery_plan import Pace
from gateway.discovery_sweep import MAX_GREETINGS
from gateway.onvif.intake import Fate, Intake
from tests.bench.onvif_fleet import HTTP_PORT, host_of
from tests.fakes.ws_device import free_udp_port

PASSWORD = "of the benchmark alone"
AT_ONCE = 32
PEER_DEVICES = 10
SWEPT = 4_096
SWEPT_DEVICES = 300
RATE = 100.0


@asynccontextmanager
async def fleet(count: int, port: int) -> AsyncIterator[None]:
    """Run `count` virtual devices in a process of their own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.bench.onvif_fleet", str(count), str(port), PASSWORD),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert await process.stdout.readline() == b"ready\n"
        yield
    finally:
        process.stdin.close()
        await process.wait()


def megabytes() -> float:
    """Return the most memory that this process had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def interrogations(count: int) -> float:
    """Interrogate every device once; return the CPU seconds of one."""
    async with fleet(count, free_udp_port()), OnvifClients(SystemClock(), concurrency=2 * AT_ONCE) as clients:
        slots = asyncio.Semaphore(AT_ONCE)
        failures: list[AdapterError] = []

        async def ask(number: int) -> None:
            async with slots:
                device = clients.device(
                    OnvifTarget(host_of(number), HTTP_PORT),
                    Credential("admin", Secret(PASSWORD)),
                    may_reach=lambda _: True,
                )
                try:
                    report = await device.interrogate()
                    assert report.identity.serial_number == f"V{number:06d}"
                except AdapterError as error:
                    failures.append(error)

        cpu, wall = time.process_time(), time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                group.create_task(ask(number))
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    print(
        f"interrogation of {count} devices: {1000 * cpu / count:.1f} ms CPU each, {wall:.1f} s in all, "
        f"{megabytes():.0f} MB, {len(failures)} failed"
    )
    return cpu / count


def peer(count: int) -> float:
    """Do the same with onvif-zeep's own client; return the CPU seconds of one."""
    from onvif import ONVIFCamera

    cpu = time.process_time()
    for number in range(count):
        camera = ONVIFCamera(host_of(number), HTTP_PORT, "admin", PASSWORD)
        assert camera.devicemgmt.GetDeviceInformation().SerialNumber == f"V{number:06d}"
        camera.devicemgmt.GetNetworkInterfaces()
        media = camera.create_media_service()
        for profile in media.GetProfiles():
            setup = {"Stream": "RTP-Unicast", "Transport": {"Protocol": "RTSP"}}
            media.GetStreamUri({"StreamSetup": setup, "ProfileToken": profile.token})
            media.GetSnapshotUri({"ProfileToken": profile.token})
    return (time.process_time() - cpu) / count


async def beside_onvif_zeep(ours: float) -> None:
    async with fleet(PEER_DEVICES, free_udp_port()):
        theirs = await asyncio.to_thread(peer, PEER_DEVICES)
    print(
        f"onvif-zeep's own client, {PEER_DEVICES} devices: {1000 * theirs:.0f} ms CPU each, "
        f"{theirs / ours:.0f} times ours"
    )


async def storm(rate: int, seconds: float) -> None:
    """Send Hellos of as many devices as fit, and read what the intake takes."""
    loop, port = asyncio.get_running_loop(), free_udp_port()
    intake = Intake(lambda _: True)
    camera = VirtualCamera("storm", "127.0.0.1")
    hello = Announcer(camera, port)._message("Hello", "Hello")
    read = 0

    def take(data: bytes, sender: str) -> None:
        intake.take(data, sender, loop.time())

    async with Discoverer(take, port=port) as discoverer:
        await discoverer.join("127.0.0.1")
        cpu = time.process_time()
        sender = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            _SENDER,
            *(str(port), str(rate), str(seconds)),
            stdin=asyncio.subprocess.PIPE,
        )
        assert sender.stdin is not None
        sender.stdin.write(hello)
        sender.stdin.close()
        ended = loop.create_task(sender.wait())
        while not ended.done() or len(intake):
            await asyncio.sleep(0.05)
            for heard in intake.drain(256):
                read += len(read_announcements(heard.data))
        cpu = time.process_time() - cpu
    fates = ", ".join(f"{fate} {count}" for fate, count in sorted(intake.fates.items()))
    sent = int(rate * seconds)
    taken = intake.fates[Fate.TAKEN]
    print(
        f"{sent} Hellos at {rate} a second: {fates}; {read} read, {1e6 * cpu / max(taken, 1):.0f} µs CPU each taken"
    )


_SENDER = f"""
import socket, sys, time
port, rate, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
hello = sys.stdin.buffer.read()
sockets = []
for number in range(min(rate, 2000)):
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
    one.bind((f"127.60.{{number // 250}}.{{number % 250 + 1}}", 0))
    sockets.append(one)
began = time.monotonic()
for number in range(int(rate * seconds)):
    sockets[number % len(sockets)].sendto(hello, ("{GROUP}", port))
    ahead = began + number / rate - time.monotonic()
    if ahead > 0.002:
        time.sleep(ahead)
"""


async def sweep() -> None:
    """Ask every address of a /20 at the default rate."""
    port, clock, pace = free_udp_port(), SystemClock(), Pace(RATE)
    async with fleet(SWEPT_DEVICES, port), Discoverer(lambda _, __: None, port=port) as discoverer:
        free, found = asyncio.Semaphore(MAX_GREETINGS), 0

        async def ask(number: int) -> None:
            nonlocal found
            async with free:
                await clock.sleep(pace.reserve(clock.monotonic()))
                try:
                    found += bool(await discoverer.ask(host_of(number), patience=3.0))
                except AdapterError:
                    return

        cpu, wall = time.process_time(), time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(SWEPT):
                group.create_task(ask(number))
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    print(
        f"a /20 with {SWEPT_DEVICES} devices at {RATE:g} a second: {found} found in {wall:.0f} s, {cpu:.1f} s CPU"
    )


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--only", choices=["interrogation", "storm", "sweep"])
    options = parser.parse_args()
    if options.only in (None, "interrogation"):
        await beside_onvif_zeep(await interrogations(options.devices))
    if options.only in (None, "storm"):
        for rate in (2_000, 10_000):
            await storm(rate, seconds=1.0)
    if options.only in (None, "sweep"):
        await sweep()


if __name__ == "__main__":
    raise_file_limit()
    uvloop.run(main())
