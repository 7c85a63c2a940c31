"""Processes of the benchmark: started, spoken to by lines of JSON, measured from /proc, ended by pid."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
ANSWER: Final = 30.0
"""Seconds for an answer of one of our own processes; a full machine is slow."""


class Talker:
    """A program of ours that answers commands, line by line."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    async def read(self) -> Any:
        """Return the next line that it prints."""
        assert self._process.stdout is not None
        async with asyncio.timeout(ANSWER):
            line = await self._process.stdout.readline()
        assert line, f"process {self._process.pid} of the benchmark ended"
        return json.loads(line)

    async def ask(self, command: str, argument: object = None) -> Any:
        """Return the answer to `command`."""
        self.tell([command, argument])
        return await self.read()

    def tell(self, what: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what).encode() + b"\n")


@asynccontextmanager
async def talking(module: str, *arguments: str) -> AsyncIterator[Talker]:
    """Run one of the benchmark's own programs."""
    async with running(sys.executable, "-m", f"tests.bench.{module}", *arguments, talks=True) as process:
        yield Talker(process)


@asynccontextmanager
async def running(
    *command: str, talks: bool = False, folder: Path | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a program; in the end kill it and all that it started."""
    pipe, null = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=pipe if talks else null,
        stdout=pipe if talks else null,
        stderr=None if talks else null,
        cwd=folder,
    )
    try:
        yield process
    finally:
        for pid in family([process.pid]) if process.returncode is None else []:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if process.stdin is not None:
            process.stdin.close()
        await process.wait()


def family(roots: Iterable[int]) -> list[int]:
    """Return `roots` and all their descendants that run."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            # A process may end while we look.
            with suppress(OSError, IndexError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    found: list[int] = []
    waiting = list(roots)
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        waiting += children.get(pid, ())
    return found


def cpu_of(pids: Iterable[int]) -> float:
    """Return the CPU seconds of all threads of `pids`, to the nanosecond and not in ticks of 10 ms."""
    total = 0
    for pid in pids:
        with suppress(OSError):
            for task in Path(f"/proc/{pid}/task").iterdir():
                total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def resident_of(pids: Iterable[int]) -> float:
    """Return the resident megabytes of `pids`; what they share is counted in each."""
    pages = 0
    for pid in pids:
        with suppress(OSError):
            pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * _PAGE / 1e6


def idle() -> tuple[int, int]:
    """Return the machine's idle and its whole time, in ticks."""
    ticks = [int(each) for each in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return ticks[3] + ticks[4], sum(ticks)
