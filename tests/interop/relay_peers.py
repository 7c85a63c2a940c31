"""GStreamer cameras and RECORD targets for the relay's tests, ffmpeg as the judge of what arrived."""

import asyncio
import os
import re
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from adapters.base import RtspTarget, SourceKey, TlsPolicy
from gateway.relay.manager import RelayManager
from gateway.relay.protocol import Event

PEER = Path(__file__).with_name("gst_camera.py")


class Peer:
    """A running `gst_camera.py`, camera or target."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.port = port
        self.printed: deque[str] = deque(maxlen=1000)
        "Its last lines."
        self._process = process

    def target(self, tls: TlsPolicy | None = None) -> RtspTarget:
        return RtspTarget("127.0.0.1", self.port, "/stream", tls)

    async def kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()

    async def terminate(self) -> None:
        """End it so that it flushes its files."""
        self._process.terminate()
        async with asyncio.timeout(10):
            await self._process.wait()


async def _collect(reading: asyncio.StreamReader, printed: deque[str]) -> None:
    while line := await reading.readline():
        printed.append(line.decode().rstrip())


@asynccontextmanager
async def gst_peer(*arguments: str, environment: dict[str, str] | None = None) -> AsyncIterator[Peer]:
    process = await asyncio.create_subprocess_exec(
        "/usr/bin/python3",
        str(PEER),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **(environment or {})},
    )
    assert process.stdout is not None
    reading = process.stdout
    try:
        async with asyncio.timeout(20):
            line = await reading.readline()
        found = re.match(r"listening on port (\d+)", line.decode())
        assert found is not None, line
        peer = Peer(process, int(found[1]))
        async with asyncio.TaskGroup() as tasks:
            # A target reports each second: somebody must read.
            draining = tasks.create_task(_collect(reading, peer.printed), name="drain")
            yield peer
            draining.cancel()
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def ffmpeg(*arguments: str, within: float = 40.0) -> str:
    """Run ffmpeg to its end and return what it printed; any decoding error fails."""
    process = await asyncio.create_subprocess_exec(
        "ffmpeg",
        "-nostdin",
        "-hide_banner",
        "-loglevel",
        "error",
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(within):
            out, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, errors.decode()
    return out.decode()


def pictures_in(framemd5: str) -> list[str]:
    """Return size and checksum of each decoded picture in ffmpeg's framemd5."""
    return [
        ",".join(field.strip() for field in line.split(",")[4:6])
        for line in framemd5.splitlines()
        if line and not line.startswith("#")
    ]


def slices_of(file: Path) -> list[bytes]:
    """Return the coded slices (H.264, NAL unit types 1 to 5) of an Annex B file."""
    units = (unit.rstrip(b"\0") for unit in file.read_bytes().split(b"\0\0\1"))
    return [unit for unit in units if unit and 1 <= unit[0] & 0x1F <= 5]


def is_run_of(part: list[bytes], whole: list[bytes]) -> bool:
    """Return whether `part` stands in `whole`, without a gap or a change of order."""
    return any(whole[begin : begin + len(part)] == part for begin in range(len(whole) - len(part) + 1))


class Facts:
    """All events of a manager, taken as they come."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def of(self, source_id: SourceKey) -> list[Event]:
        return [event for event in self.events if getattr(event, "source_id", None) == source_id]

    def has(self, source_id: SourceKey, wanted: Callable[[Event], bool]) -> Callable[[], bool]:
        """Return a condition: some event of the source is `wanted`."""
        return lambda: any(wanted(event) for event in self.of(source_id))

    async def collect(self, manager: RelayManager) -> None:
        while True:
            self.events += await manager.take()


@asynccontextmanager
async def facts_of(manager: RelayManager) -> AsyncIterator[Facts]:
    facts = Facts()
    async with asyncio.TaskGroup() as tasks:
        collecting = tasks.create_task(facts.collect(manager), name="facts")
        yield facts
        collecting.cancel()
