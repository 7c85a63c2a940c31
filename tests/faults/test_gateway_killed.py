"""The gateway itself ends: killed at any moment, or told to stop."""

import asyncio
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Final

import pytest

from tests.fakes.camera import SwitchedCamera, cameras
from tests.faults.installed import (
    NeverShown,
    assert_exactly_once,
    assert_sound,
    instant,
    lines,
    overlays,
    prepare,
    states,
    wait_all,
    watch,
)
from tests.gateway_process import code_of, installation
from tests.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

SEED: Final = 20_260_731
KILLS: Final = 8
STEADY: Final = [code_of(number) for number in range(1, 4)]
FLAPPING: Final = [code_of(number) for number in range(4, 7)]


def processes_of(folder: Path) -> dict[int, str]:
    """Return the processes that belong to an installation: its service, workers and database servers."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        try:
            line = entry.joinpath("cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            environment = entry.joinpath("environ").read_bytes().decode(errors="replace")
            state = (
                entry.joinpath("stat")
                .read_text(encoding="ascii", errors="replace")
                .rpartition(")")[2]
                .split()[0]
            )
        except OSError:
            continue
        if state != "Z" and (str(folder) in line or f"MUSTER_CONFIG={folder}" in environment):
            found[int(entry.name)] = line
    return found


async def flap(crowd: Sequence[SwitchedCamera], random: Random) -> None:
    """Switch cameras off and on, for ever."""
    while True:
        camera = random.choice(crowd)
        if camera.is_on:
            await camera.switch_off()
        else:
            await camera.switch_on()
        await asyncio.sleep(random.uniform(0.5, 4.0))


async def test_a_gateway_killed_at_random_moments_tells_nothing_false_and_nothing_twice(
    tmp_path: Path,
) -> None:
    random = Random(SEED)
    async with cameras(6) as crowd, installation(tmp_path) as muster:
        await prepare(muster, lines(crowd))
        await muster.start()
        await wait_all(muster, "online")
        watched = NeverShown(muster)
        async with asyncio.TaskGroup() as group:
            flapping = group.create_task(flap(crowd[3:], random), name="flapping cameras")
            for _ in range(KILLS):
                await watch(watched, random.uniform(0.0, 4.0))
                await muster.kill()
                await eventually(lambda: not processes_of(tmp_path), within=10, what="nothing left behind")
                await muster.start()
            flapping.cancel()
        for camera in crowd:
            await camera.switch_on()
        await wait_all(muster, "online", within=60)

        for code in STEADY:
            assert {state for state, _ in watched.seen[code]} <= {"online", "unknown"}
            assert {reasons for state, reasons in watched.seen[code] if state == "unknown"} <= {
                ("restart_grace",),
                ("gateway_down",),
            }
            assert await states(muster, code) == ["never_connected", "online"]
            down = [each for each in await overlays(muster, code) if each["reason"] == "gateway_down"]
            # Each kill, and the time before the very first start.
            assert len(down) == KILLS + 1
        for code in FLAPPING:
            assert (await states(muster, code))[:2] == ["never_connected", "online"]
        await assert_exactly_once(muster, STEADY + FLAPPING)
        await assert_sound(muster)
        assert await muster.stop() == 0
        assert "hit a bug" not in muster.log
    await eventually(lambda: not processes_of(tmp_path), within=10, what="nothing left behind")


async def test_a_gateway_told_to_stop_takes_its_leave_in_time(tmp_path: Path) -> None:
    async with cameras(3) as crowd, installation(tmp_path) as muster:
        await prepare(muster, lines(crowd))
        await muster.start()
        await wait_all(muster, "online")
        loop = asyncio.get_running_loop()
        told_at, told = datetime.now(UTC), loop.time()
        assert await muster.stop() == 0
        assert loop.time() - told < 10
        assert all("TEARDOWN" in camera.peer.methods() for camera in crowd)
        await eventually(lambda: not processes_of(tmp_path), within=10, what="nothing left behind")
        await muster.start()
        ready_at = datetime.now(UTC)
        await wait_all(muster, "online")
        for code in STEADY:
            assert await states(muster, code) == ["never_connected", "online"]
            found = [each for each in await overlays(muster, code) if each["reason"] == "gateway_down"]
            [down, before_the_first_start] = found
            assert instant(before_the_first_start["ended_at"]) < told_at
            assert instant(down["started_at"]) >= told_at - timedelta(seconds=1)
            assert instant(down["ended_at"]) <= ready_at
        await assert_sound(muster)
        assert await muster.stop() == 0
