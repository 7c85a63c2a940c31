# ruff: noqa: T201
"""Benchmarks the relay beside `ffmpeg -c copy` and media servers: `python -m tests.bench.relay --help`.

Sources, contenders and sinks or readers are processes of their own. Every picture carries its source,
number and send time; each one is checked where it arrives. Contenders take turns, window by window.
The cost is CPU milliseconds of all the contender's processes for a second of one stream that leaves it.
"""

import argparse
import asyncio
import dataclasses
import io
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from tests.bench.relay_cases import CASES, SHORT, Case
from tests.bench.relay_contenders import Contender, Direct, Ffmpeg, Muster, Running, Served, Work
from tests.bench.relay_peers import PEERS
from tests.bench.relay_processes import Talker, talking
from tests.bench.relay_report import (
    Results,
    Sample,
    Window,
    calibrate,
    print_case,
    print_ratios,
)
from tests.bench.relay_source import SourceOptions
from tests.bench.relay_stream import RATE, encode_raw
from tests.bench.relay_takers import TakerOptions
from tests.bench.relay_tally import Arrived
from tests.fakes.certificates import make_certificate

STREAM: Final = 4
"""Seconds of video that are sent over and over."""
FLOWING: Final = 30.0
"""Seconds in which every stream must have arrived, and a tenth of a second more for each."""


@dataclasses.dataclass(frozen=True)
class Windows:
    """How long and how often is measured."""

    seconds: float = 5.0
    rounds: int = 2


class NotFlowing(Exception):
    """Raised when a contender did not bring every stream to its end."""


async def run_case(case: Case, contenders: Sequence[Contender], windows: Windows, folder: Path) -> Results:
    """Let all contenders do `case` by turns; return their windows."""
    certificate = make_certificate(folder) if case.tls else None
    pem = None if certificate is None else str(certificate.file)
    able = [each for each in contenders if each.streams(case)]
    results: Results = {each.name: [] for each in able}
    options = SourceOptions(str(await stream_file(case, folder)), case.mode, case.loss, pem)
    slow_rate = case.bitrate / 8 / 2 if case.slow else 0.0
    async with started("relay_source", str(options)) as (source, source_port):
        for _ in range(windows.rounds):
            for contender in list(able):
                async with started("relay_takers", str(TakerOptions(pem, slow_rate))) as (taker, sink_port):
                    work = Work(case, contender.streams(case), source_port, sink_port, certificate, folder)
                    window = await run_window(contender, work, source, taker, windows.seconds)
                if window is None:
                    able.remove(contender)
                else:
                    results[contender.name].append(window)
    return results


@asynccontextmanager
async def started(module: str, options: str) -> AsyncIterator[tuple[Talker, int]]:
    """Run one of the two ends; its first word is its port."""
    async with talking(module, options) as end:
        yield end, int(await end.read())


async def stream_file(case: Case, folder: Path) -> Path:
    """Return the file with the case's stream, encoded once."""
    file = folder / f"{case.bitrate}.h264"
    if not file.exists():
        file.write_bytes(await encode_raw(STREAM, case.bitrate))
    return file


async def run_window(
    contender: Contender, work: Work, source: Talker, taker: Talker, seconds: float
) -> Window | None:
    """Start `contender`, wait until all flows, measure, stop it; None when it cannot do this work."""
    outgoing = work.case.outgoing(work.streams)
    async with contender.run(work) as running:
        if running is None:
            return None
        if running.pulls:
            await taker.ask("pull", [dataclasses.asdict(pull) for pull in running.pulls])
        try:
            await flowing(taker, outgoing)
        except NotFlowing as error:
            print(f"  {contender.name}: {work.case.name}: {error}")
            return None
        await asyncio.sleep(work.case.settle)
        return await measure(running, work.streams, outgoing, (source, taker), seconds)


async def flowing(taker: Talker, outgoing: int) -> None:
    """Wait until every stream has arrived.

    Raises:
        NotFlowing: one has not, in time.
    """
    report = {}
    deadline = asyncio.get_running_loop().time() + FLOWING + outgoing / 10
    while asyncio.get_running_loop().time() < deadline:
        report = await taker.ask("report")
        if report["streams"] >= outgoing:
            return
        await asyncio.sleep(0.25)
    raise NotFlowing(f"{report.get('streams')} of {outgoing} streams arrived; {report.get('failures')}")


async def measure(
    running: Running, streams: int, outgoing: int, ends: tuple[Talker, Talker], seconds: float
) -> Window:
    """Return one window."""
    dropped_before = await running.dropped() if running.dropped is not None else None
    source, taker = ends
    await source.ask("reset")
    await taker.ask("reset")
    before = Sample.take(running.pids, *ends)
    await asyncio.sleep(seconds)
    after = Sample.take(running.pids, *ends)
    report, sent = await taker.ask("report"), await source.ask("report")
    dropped = await running.dropped() if running.dropped is not None else None
    return dataclasses.replace(
        before.window(after, running.pids, streams, outgoing),
        arrived=Arrived(**{f.name: report[f.name] for f in dataclasses.fields(Arrived)}),
        late=sent["late_p99"],
        lost_marks=sent["lost_marks"],
        dropped=None if dropped is None or dropped_before is None else dropped - dropped_before,
    )


def check(results: Results) -> None:
    """End the benchmark if a picture arrived under another source's number."""
    for name, windows in results.items():
        if any(window.arrived.foreign for window in windows):
            raise SystemExit(f"{name}: a picture arrived under another source's number")


def arguments() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(description=__doc__, epilog="\n".join(map(str, CASES.values())))
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--case", nargs="+", choices=CASES, default=SHORT, metavar="NAME")
    parser.add_argument("--all", action="store_true", help="every case")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each window")
    parser.add_argument("--rounds", type=int, default=2, help="windows of each contender in each case")
    parser.add_argument("--workers", type=int, default=1, help="Muster's worker processes")
    parser.add_argument("--no-ffmpeg", action="store_true")
    parser.add_argument("--direct", action="store_true", help="also readers that pull the sources directly")
    for peer in PEERS:
        parser.add_argument(f"--{peer.name}", type=Path, metavar="PATH", help="its program")
    return parser.parse_args()


def chosen(options: argparse.Namespace) -> list[Contender]:
    """Return the contenders that the command line asks for."""
    contenders: list[Contender] = [Muster(options.workers)]
    if not options.no_ffmpeg:
        contenders.append(Ffmpeg())
    if options.direct:
        contenders.append(Direct())
    for peer in PEERS:
        if (program := getattr(options, peer.name)) is not None:
            contenders.append(Served(peer, program.resolve()))
    return contenders


def print_noise() -> None:
    """Print how fast and how free the machine is at this moment."""
    cpu, wall = calibrate()
    load = " ".join(f"{each:.1f}" for each in os.getloadavg())
    print(f"load average {load} on {os.cpu_count()} cores; a fixed loop took {cpu:.1f} ms CPU, {wall:.1f} ms")


async def main() -> None:
    options = arguments()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Each case is shown when it is done, also in a file.
        sys.stdout.reconfigure(line_buffering=True)
    windows = Windows(options.seconds, options.rounds)
    print(f"windows of {windows.seconds:g} s, {RATE} pictures a second")
    print_noise()
    every: dict[str, Results] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in CASES if options.all else options.case:
            every[name] = await run_case(CASES[name], chosen(options), windows, Path(folder))
            print_case(CASES[name], every[name])
            print_noise()
            check(every[name])
    print_ratios(every)


if __name__ == "__main__":
    asyncio.run(main())
