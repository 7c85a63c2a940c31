"""The trial's child processes: each with a pid file, a log and a keeper; none outlives the trial.

A child ends with the trial however the trial ends: in order when it is stopped, by the kernel (PDEATHSIG) when it
is killed. A pid file also holds the process's start time, so that a later trial never ends a stranger that was
given the same number.
"""

import asyncio
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final, TextIO

READY_WITHIN: Final = 30.0
STOP_WITHIN: Final = 20.0
_LINE_LIMIT: Final = 1 << 20
_LAST_LINES: Final = 12


class ChildFailed(Exception):
    """A child of the trial ended with an error of its own or did not become ready."""


@dataclass(frozen=True)
class Child:
    """What to start and how to live with it."""

    name: str
    "File name of its pid file and log, e.g. `camera-1`."
    command: Sequence[str]
    folder: Path
    "The trial's folder."
    ready: str = ""
    "Text of the line that says it is ready; empty: ready when started."
    environ: Mapping[str, str] = field(default_factory=dict)
    on_line: Callable[[str], None] | None = None
    "Told every line of its output, after it was written to the log."
    returns_after: float = 2.0
    "Seconds after which it is started again when somebody ended it."

    @property
    def pid_file(self) -> Path:
        """Where its process id lies while it runs."""
        return self.folder / f"{self.name}.pid"

    @property
    def log(self) -> Path:
        """Where its output goes, over all its restarts."""
        return self.folder / f"{self.name}.log"


def environ_of_child(extra: Mapping[str, str] = MappingProxyType({})) -> dict[str, str]:
    """Return the environment for a child: settings of another Muster in this shell do not reach the trial's."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("MUSTER_")}
    return {**own, **extra}


async def keep_child(child: Child, *, started: Callable[[], None], ended: Callable[[str], None]) -> None:
    """Run a child until cancelled; start it again when somebody has ended it.

    Args:
        child: what to run.
        started: told each time it is ready.
        ended: told in words how it ended, before the wait.

    Raises:
        ChildFailed: it ended with an error of its own, or was not ready in `READY_WITHIN` seconds.
    """
    while True:
        code = await _run_once(child, started)
        if code > 0:
            raise ChildFailed(f"{child.name} ended with exit code {code}:\n{_last_lines(child.log)}")
        # A child that was asked to end (SIGTERM) says 0.
        ended(f"was ended by {signal.Signals(-code).name}" if code else "was ended")
        await asyncio.sleep(child.returns_after)


async def _run_once(child: Child, started: Callable[[], None]) -> int:
    """Run the child to its end and return its code, negative for a signal; stop it when cancelled."""
    process = await asyncio.create_subprocess_exec(
        # The kernel ends the child when this thread, the trial's main one, ends.
        *("setpriv", "--pdeathsig", "TERM", "--", *child.command),
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=STDOUT,
        env=environ_of_child(child.environ),
        limit=_LINE_LIMIT,
        # Ctrl-C goes to the trial alone, which stops its children in order.
        start_new_session=True,
    )
    try:
        _write_pid(child.pid_file, process.pid)
        with child.log.open("a", encoding="utf-8") as log:
            if child.ready:
                await _await_ready(process, child, log)
            started()
            await _pump(process, child, log)
        return await process.wait()
    finally:
        await _stop(process)
        child.pid_file.unlink(missing_ok=True)
        child.pid_file.with_suffix(".started").unlink(missing_ok=True)


async def _await_ready(process: Process, child: Child, log: TextIO) -> None:
    assert process.stdout is not None
    try:
        async with asyncio.timeout(READY_WITHIN):
            while line := await _line(process):
                _tell(child, log, line)
                if child.ready in line:
                    return
    except TimeoutError:
        raise ChildFailed(
            f"{child.name} was not ready in {READY_WITHIN:g} s:\n{_last_lines(child.log)}"
        ) from None


async def _pump(process: Process, child: Child, log: TextIO) -> None:
    while line := await _line(process):
        _tell(child, log, line)


async def _line(process: Process) -> str:
    """Return the next line with its end, or an empty text at the end of the output."""
    assert process.stdout is not None
    try:
        return (await process.stdout.readline()).decode("utf-8", "replace")
    except ValueError:
        # Longer than the buffer: the reader has dropped it and goes on behind.
        return "(a line too long to keep)\n"


def _tell(child: Child, log: TextIO, line: str) -> None:
    log.write(line if line.endswith("\n") else f"{line}\n")
    log.flush()
    if child.on_line is not None:
        child.on_line(line.rstrip())


async def _stop(process: Process) -> None:
    """End the process in order, and by force after `STOP_WITHIN` seconds."""
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(STOP_WITHIN):
            # Drains the output too: a child that cannot write would not end.
            await process.communicate()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def end_leftovers(folder: Path) -> list[str]:
    """End what an earlier trial in this folder has left running, and return their names."""
    names = []
    for name, pid, start_time in _read_pids(folder):
        if await _end_stranger(pid, start_time):
            names.append(name)
    return names


async def _end_stranger(pid: int, start_time: str) -> bool:
    """End a process that is no child of ours; False when it is gone or another has its number."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    gone = asyncio.Event()
    loop = asyncio.get_running_loop()
    try:
        if _start_time(pid) != start_time:
            return False
        loop.add_reader(handle, gone.set)
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError, TimeoutError):
                signal.pidfd_send_signal(handle, number)
                async with asyncio.timeout(STOP_WITHIN):
                    await gone.wait()
                break
    finally:
        loop.remove_reader(handle)
        os.close(handle)
    return True


def _write_pid(path: Path, pid: int) -> None:
    path.with_suffix(".started").write_text(_start_time(pid), "ascii")
    path.write_text(f"{pid}\n", "ascii")


def _read_pids(folder: Path) -> list[tuple[str, int, str]]:
    """Return name, process id and start time of every pid file, and remove the files."""
    found = []
    for path in sorted(folder.glob("*.pid")):
        start = path.with_suffix(".started")
        with suppress(OSError, ValueError):
            found.append((path.stem, int(path.read_text("ascii")), start.read_text("ascii")))
        path.unlink(missing_ok=True)
        start.unlink(missing_ok=True)
    return found


def _start_time(pid: int) -> str:
    """Return when a process started, in clock ticks since boot; empty when it is gone or dead."""
    try:
        # Fields after the command, which stands in parentheses and may hold anything: proc(5).
        state, *rest = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except (OSError, ValueError):
        return ""
    return "" if state == "Z" else rest[18]


def _last_lines(path: Path) -> str:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(f"    {line[:300]}" for line in lines[-_LAST_LINES:])
