"""Starts and ends ipycam, an ONVIF camera that nobody here wrote."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from adapters.base import OnvifTarget
from tests.gateway_process import free_port

PROGRAM = Path(__file__).with_name("onvif_ipycam.py")
USERNAME, PASSWORD = "admin", "canary-ipycam-41"


@dataclass(frozen=True)
class Ipycam:
    """Where a running ipycam is reached."""

    onvif_port: int
    rtsp_port: int

    @property
    def target(self) -> OnvifTarget:
        """Its device service."""
        return OnvifTarget("127.0.0.1", self.onvif_port)


@asynccontextmanager
async def ipycam(folder: Path, *, faketime: str | None = None) -> AsyncIterator[Ipycam]:
    """Run ipycam in `folder`, where it writes its presets; `faketime` (`+2h`) sets its clock."""
    onvif_port, rtsp_port = free_port(), free_port()
    before = () if faketime is None else ("faketime", "-f", faketime)
    arguments = (PROGRAM, onvif_port, rtsp_port, USERNAME, PASSWORD)
    process = await asyncio.create_subprocess_exec(
        *before,
        sys.executable,
        *map(str, arguments),
        cwd=folder,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            while (line := await process.stdout.readline()) != b"ready\n":
                assert line, "ipycam ended"
        yield Ipycam(onvif_port, rtsp_port)
    finally:
        process.stdin.close()
        try:
            async with asyncio.timeout(10):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
