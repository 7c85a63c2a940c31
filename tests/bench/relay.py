# ruff: noqa: T201
"""CPU of the relay beside `ffmpeg -c copy`: `python -m tests.bench.relay [--streams K] [--seconds S]`.

Sources and sinks are processes of their own; every picture carries its source and number, and the
sink checks each one. Both contenders get the same work in the same run, one after the other. The
figure is CPU milliseconds of the relaying processes alone per second of one stream.
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from adapters.base import RtspTarget, SourceKey
from gateway.clock import SystemClock
from gateway.relay.manager import RelayManager
from gateway.relay.spec import RelaySpec, SinkSpec
from tests.waiting import eventually

TICKS: Final = os.sysconf("SC_CLK_TCK")
ENDS: Final = "tests.bench.relay_ends"


class End:
    """A source or sink process."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.port = port
        self._process = process

    async def finish(self) -> bytes:
        """End it and return the last it printed."""
        out, _ = await self._process.communicate(b"")
        return out


def kill(process: asyncio.subprocess.Process) -> None:
    """Kill a process that may have ended by itself."""
    with suppress(ProcessLookupError):
        process.kill()


@asynccontextmanager
async def end(*arguments: str) -> AsyncIterator[End]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", ENDS, *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        yield End(process, int(await process.stdout.readline()))
    finally:
        kill(process)
        await process.wait()


def cpu_of(pids: list[int]) -> float:
    """Return the CPU seconds that running processes have used."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def resident_of(pids: list[int]) -> float:
    """Return the resident megabytes of running processes."""
    pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids)
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


async def measure(name: str, pids: list[int], streams: int, seconds: float) -> float:
    """Print and return CPU milliseconds per stream-second over `seconds`."""
    loop = asyncio.get_running_loop()
    before, began = cpu_of(pids), loop.time()
    await asyncio.sleep(seconds)
    used, passed = cpu_of(pids) - before, loop.time() - began
    figure = 1000 * used / (streams * passed)
    print(
        f"{name:24} K={streams:<4} {figure:6.2f} ms CPU per stream-second,"
        f" {resident_of(pids) / streams:6.2f} MB resident per stream, {len(pids)} processes"
    )
    return figure


async def muster(source: End, streams: int, seconds: float, workers: int) -> float:
    async with end("sink") as sink:
        async with RelayManager(SystemClock(), workers=workers) as relays:
            for number in range(streams):
                relays.start(
                    RelaySpec(
                        SourceKey(number),
                        f"source-{number}",
                        RtspTarget("127.0.0.1", source.port, f"/{number}"),
                        sink=SinkSpec(RtspTarget("127.0.0.1", sink.port, f"/{number}")),
                    )
                )
            await eventually(
                lambda: all(each.frames_out > 25 for each in relays.counters().values()),
                within=20,
                what="every stream",
            )
            pids = [pid for pid, _, _ in relays.workers() if pid is not None]
            figure = await measure("muster", pids, streams, seconds)
            dropped = sum(each.dropped_frames for each in relays.counters().values())
        judge("muster", await sink.finish(), streams, dropped)
    return figure


async def ffmpeg(source: End, streams: int, seconds: float) -> float:
    async with end("sink") as sink, AsyncExitStack() as stack:
        processes: list[asyncio.subprocess.Process] = []
        for number in range(streams):
            process = await asyncio.create_subprocess_exec(
                *("ffmpeg", "-nostdin", "-loglevel", "quiet", "-rtsp_transport", "tcp"),
                *("-analyzeduration", "1000000", "-i", f"rtsp://127.0.0.1:{source.port}/{number}"),
                *("-c", "copy", "-f", "rtsp", "-rtsp_transport", "tcp"),
                f"rtsp://127.0.0.1:{sink.port}/{number}",
            )
            processes.append(process)
            stack.callback(kill, process)
        await asyncio.sleep(4.0)
        figure = await measure("ffmpeg -c copy", [p.pid for p in processes], streams, seconds)
        judge("ffmpeg -c copy", await sink.finish(), streams, 0)
    for process in processes:
        await process.wait()
    return figure


def judge(name: str, report: bytes, streams: int, dropped: int) -> None:
    """Print what the sink saw; foreign pictures are never right."""
    seen = json.loads(report)
    frames, foreign, missing = (sum(each[i] for each in seen.values()) for i in range(3))
    print(
        f"{name:24} {len(seen)} of {streams} arrived, {frames} pictures,"
        f" {missing} missing ({dropped} dropped by us), {foreign} of another source"
    )
    if foreign:
        raise SystemExit("a picture arrived under another source's id")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=40)
    parser.add_argument("--ffmpeg-streams", type=int, default=6, help="0 leaves ffmpeg out")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of each window")
    parser.add_argument("--bitrate", type=int, default=4_000_000)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    load = os.getloadavg()[0]
    print(f"load average {load:.1f} on {os.cpu_count()} cores; {options.bitrate / 1e6:g} Mbit/s a stream")
    async with end("source", "4", str(options.bitrate)) as source:
        ours = await muster(source, options.streams, options.seconds, options.workers)
        if options.ffmpeg_streams:
            theirs = await ffmpeg(source, options.ffmpeg_streams, options.seconds)
            print(f"ratio ffmpeg : muster      {theirs / ours:.1f} : 1")


if __name__ == "__main__":
    asyncio.run(main())
