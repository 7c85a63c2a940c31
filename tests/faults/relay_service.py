"""The whole service under the relay's long faults: its status history must say what happened, and nothing else."""

import asyncio
import ctypes
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.fakes.camera import SwitchedCamera, cameras
from tests.fakes.fault_proxy import FaultProxy, fault_proxy
from tests.fakes.fault_switches import Cut, Door
from tests.fakes.marked_ends import end_process
from tests.faults.installed import (
    NeverShown,
    ask,
    assert_exactly_once,
    assert_sound,
    lines,
    prepare,
    states,
    wait_all,
    watch,
)
from tests.faults.relay_scene import BACK, Outcome, told
from tests.gateway_process import MusterProcess, code_of, installation
from tests.waiting import eventually

SETTINGS: Final = """
connect_timeout = 3
response_timeout = 5
media_timeout = 10

[log]
level = "warning"
"""
PUSHED_WITHIN: Final = 70.0
"""Seconds within which a push is back: the longest pause between two tries, and the try."""
RSS_GROWTH: Final = 100_000_000
"""Bytes that the service and its workers may have grown by, all together."""
JUDGED: Final = 40
"""Sources whose histories are read one by one."""
DISK: Final = 400
"""Megabytes of the disk that gets full."""


@dataclass
class Service:
    """A running installation, its cameras and its superior behind a proxy."""

    muster: MusterProcess
    crowd: Sequence[SwitchedCamera]
    superior: FaultProxy

    @property
    def codes(self) -> list[str]:
        return [code_of(number) for number in range(1, len(self.crowd) + 1)]

    async def relays(self) -> list[Any]:
        return list((await self.muster.get("/api/v1/relays"))["items"])

    async def all_relayed(self, *, within: float) -> float:
        """Wait until all are pulled and pushed; return the seconds it took."""

        async def are_up() -> bool:
            found = [(each["state"], each["sink_state"]) for each in await self.relays()]
            return len(found) == len(self.crowd) and set(found) == {("playing", "recording")}

        begin = asyncio.get_running_loop().time()
        await eventually(are_up, within=within, what="all relays up")
        return asyncio.get_running_loop().time() - begin

    def processes(self) -> list[int]:
        assert self.muster.process is not None
        return [self.muster.process.pid, *self.muster.workers()]

    def descriptors(self) -> int:
        return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in self.processes())

    def resident(self) -> int:
        pages = [
            Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1] for pid in self.processes()
        ]
        return sum(map(int, pages)) * os.sysconf("SC_PAGE_SIZE")

    async def assert_history(self, wanted: Sequence[str], codes: Sequence[str] | None = None) -> None:
        """Assert that the history of `codes` (of all) is exactly `wanted`, oldest first, each change once."""
        codes = (codes or self.codes)[:JUDGED]
        for code in codes:
            found = await states(self.muster, code)
            assert found == list(wanted), (code, found)
        await assert_exactly_once(self.muster, codes)
        await assert_sound(self.muster)
        assert "hit a bug" not in self.muster.log


@asynccontextmanager
async def service(folder: Path, count: int) -> AsyncIterator[Service]:
    """Run an installation of which all sources are online, pulled and pushed."""
    async with AsyncExitStack() as stack:
        crowd = await stack.enter_async_context(cameras(count))
        sinks = await stack.enter_async_context(end_process("sinks"))
        superior = await stack.enter_async_context(fault_proxy(await sinks.ask("port")))
        muster = await stack.enter_async_context(installation(folder, settings=SETTINGS))
        await prepare(muster, lines(crowd), sink_port=superior.port)
        await muster.start()
        await wait_all(muster, "online", within=120)
        running = Service(muster, crowd, superior)
        await running.all_relayed(within=BACK)
        yield running


async def judged(fault: str, folder: Path, count: int, play: Callable[[Service], Awaitable[str]]) -> Outcome:
    """Run `play` on a service with `count` sources; it returns what was seen."""
    try:
        async with service(folder, count) as running:
            return Outcome(fault, await play(running))
    except (AssertionError, TimeoutError, ExceptionGroup) as error:
        return Outcome(fault, "", told(error))


async def superior_away(folder: Path, *, count: int, seconds: float) -> Outcome:
    """The superior refuses, is behind a dead line, and answers nobody, a third of the time each."""

    async def play(running: Service) -> str:
        watched = NeverShown(running.muster)
        resident, descriptors = running.resident(), running.descriptors()
        took = []
        for begin in (refuse, lose, ignore):
            begin(running.superior)
            await watch(watched, seconds / 3)
            up = [each for each in await running.relays() if each["sink_state"] == "recording"]
            assert begin is lose or not up, up
            assert {each["state"] for each in await running.relays()} == {"playing"}
            running.superior.heal()
            running.superior.set_door(Door.OPEN)
            running.superior.end_all(Cut.RESET)
            took.append(await running.all_relayed(within=PUSHED_WITHIN))
        assert {state for seen in watched.seen.values() for state in seen} == {("online", ())}
        await running.assert_history(["never_connected", "online"])
        assert running.resident() - resident < RSS_GROWTH
        await eventually(
            lambda: running.descriptors() <= descriptors, within=20, what="descriptors as before"
        )
        back = ", ".join(f"{each:.0f}" for each in took)
        return f"all sources online throughout, all pulls playing; pushes back after {back} s"

    return await judged(f"superior away for {seconds:g} s", folder, count, play)


def refuse(superior: FaultProxy) -> None:
    superior.set_door(Door.SHUT)
    superior.end_all(Cut.RESET)


def lose(superior: FaultProxy) -> None:
    superior.lose()


def ignore(superior: FaultProxy) -> None:
    superior.set_door(Door.SILENT)
    superior.end_all(Cut.RESET)


async def workers_killed(folder: Path, *, count: int, rounds: int, every: float) -> Outcome:
    """All workers are killed again and again: our fault, which changes no status."""

    async def play(running: Service) -> str:
        watched, killed = NeverShown(running.muster), 0
        for _ in range(rounds):
            for pid in running.muster.workers():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    killed += 1
            await watch(watched, every)
        took = await running.all_relayed(within=BACK)
        assert {state for seen in watched.seen.values() for state in seen} == {("online", ())}
        await running.assert_history(["never_connected", "online"])
        return f"{killed} workers killed, all sources online throughout; relays back after {took:.0f} s"

    return await judged(f"service: workers killed every {every:g} s", folder, count, play)


async def power_cut(folder: Path, *, count: int) -> Outcome:
    """All cameras go at once and come back at once."""

    async def play(running: Service) -> str:
        muster = running.muster
        resident, descriptors = running.resident(), running.descriptors()
        for camera in running.crowd:
            await camera.switch_off()
        await wait_all(muster, "offline", within=90)
        for camera in running.crowd:
            await camera.switch_on()
        took = await running.all_relayed(within=BACK)
        await wait_all(muster, "online", within=30)
        await running.assert_history(["never_connected", "online", "offline", "online"])
        grown = running.resident() - resident
        assert grown < RSS_GROWTH, grown
        await eventually(
            lambda: running.descriptors() <= descriptors, within=20, what="descriptors as before"
        )
        return f"all {count} pulled and pushed {took:.0f} s after power; {grown / 1e6:+.0f} MB"

    return await judged(f"{count} sources back at once after a power cut", folder, count, play)


async def disk_full(folder: Path, *, count: int, seconds: float) -> Outcome:
    """The disk of the embedded database is full for a while."""
    fault = f"disk full for {seconds:g} s"
    if os.geteuid() != 0:
        return Outcome(fault, "skipped: only root may mount a small disk")
    state = folder / "state"
    with small_disk(state) as is_mounted:
        if not is_mounted:
            return Outcome(fault, "skipped: nothing may be mounted here")

        async def play(running: Service) -> str:
            muster, [*steady, gone] = running.muster, running.codes
            filler = state / "filler"
            fill(filler)
            await running.crowd[-1].switch_off()
            for camera in running.crowd[:-1:2]:
                camera.peer.drop_connections()
            answers = await asked_for(muster, seconds, steady)
            assert "No space left on device" in muster.log
            filler.unlink()
            await muster.wait_shown(gone, "offline")
            await running.crowd[-1].switch_on()
            await running.all_relayed(within=BACK)
            await wait_all(muster, "online", within=BACK)
            await eventually(muster.is_ready, within=BACK, what="readiness")
            assert await states(muster, gone) == ["never_connected", "online", "offline", "online"]
            await running.assert_history(["never_connected", "online"], steady)
            return f"answers meanwhile {sorted(answers)}; one camera offline meanwhile and told so, no other change"

        return await judged(fault, folder, count, play)


async def asked_for(muster: MusterProcess, seconds: float, steady: Sequence[str]) -> set[int]:
    """Ask for the sources for some time; return the status codes. None of `steady` may ever be shown as lost."""
    answers: set[int] = set()
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds

    async def is_over() -> bool:
        answer = await ask(muster, "GET", "/api/v1/sources?limit=1000")
        answers.add(answer.status)
        if answer.status == 200:
            seen = {row["status"]["shown"] for row in answer.body["items"] if row["gb_id"] in steady}
            assert seen <= {"online", "unknown"}, seen
        return loop.time() >= end

    await eventually(is_over, within=seconds + 40, what="the time to ask")
    assert 500 not in answers
    return answers


def fill(file: Path) -> None:
    """Write until the disk is full."""
    with file.open("wb", buffering=0) as writing, suppress(OSError):
        while writing.write(bytes(65536)):
            pass


class small_disk:  # noqa: N801 - a context manager
    """Mount a disk of `DISK` megabytes at a folder for the length of the block; tell whether that worked."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._is_mounted = False

    def __enter__(self) -> bool:
        self._folder.mkdir(mode=0o700)
        options = f"size={DISK}m,mode=0700".encode()
        path = os.fsencode(self._folder)
        self._is_mounted = self._libc.mount(b"tmpfs", path, b"tmpfs", 0, options) == 0
        return self._is_mounted

    def __exit__(self, *error: object) -> None:
        if self._is_mounted:
            # Lazily: a process that is being killed may still hold a file.
            self._libc.umount2(os.fsencode(self._folder), 2)
