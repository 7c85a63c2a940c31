"""Many sources at once: a power cut in a whole district, and too few descriptors for all of them."""

import asyncio
import os
import resource
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest

from catalog.database import Database
from catalog.embedded import running_url
from gateway.opening import EMBEDDED_FOLDER
from tests.fakes.camera import SwitchedCamera, cameras
from tests.faults.installed import (
    NeverShown,
    assert_exactly_once,
    assert_sound,
    history,
    instant,
    lines,
    prepare,
    states,
    wait_all,
    watch,
)
from tests.gateway_process import MusterProcess, code_of, installation
from tests.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

CROWD: Final = 150
DESCRIPTORS: Final = 128
HARDLY_ANY: Final = 37
"""Enough for the API to take the caller's connection, with luck; for nothing else."""

RELAYED: Final = 60
RSS_GROWTH: Final = 60_000_000
PATIENCE: Final = "3.0"
"""Seconds that a camera may take to answer a probe: all of them share one process, and it the cores with others."""

CALM: Final = """
media_timeout = 20

[log]
level = "warning"
"""


def _calm_installation(folder: Path) -> AbstractAsyncContextManager[MusterProcess]:
    return installation(folder, settings=CALM, MUSTER__STATUS__PROBE_TIMEOUT=PATIENCE)


async def switch_on(crowd: Sequence[SwitchedCamera]) -> None:
    for camera in crowd:
        await camera.switch_on()


async def cut_power(crowd: Sequence[SwitchedCamera]) -> None:
    """Switch all off in one moment."""
    async with asyncio.TaskGroup() as tasks:
        for camera in crowd:
            tasks.create_task(camera.switch_off())


async def incidents(muster: MusterProcess) -> dict[str | None, int]:
    """Return how many sources were lost as part of which incident."""
    url = running_url(muster.folder / "state" / EMBEDDED_FOLDER)
    async with Database(url) as database, database.raw_connection() as connection:
        rows = await connection.fetch(
            "SELECT detail ->> 'incident' AS incident, count(DISTINCT source_id) AS number "
            "FROM evidence WHERE kind = 'lost' GROUP BY 1"
        )
    return {row["incident"]: row["number"] for row in rows}


async def test_a_power_cut_is_one_incident_and_all_are_back_within_a_minute(tmp_path: Path) -> None:
    codes = [code_of(number) for number in range(1, CROWD + 1)]
    async with cameras(CROWD) as crowd, _calm_installation(tmp_path) as muster:
        await prepare(muster, lines(crowd))
        await muster.start()
        await wait_all(muster, "online", within=90)
        watched = NeverShown(muster)
        cut_at = datetime.now(UTC)
        await cut_power(crowd)

        async def all_offline() -> bool:
            await watched.look()
            return all(any(state == "offline" for state, _ in watched.seen.get(code, ())) for code in codes)

        await eventually(all_offline, within=40, what="all offline")
        suspected = {
            code for code, seen in watched.seen.items() if ("unknown", ("common_cause_suspected",)) in seen
        }
        assert len(suspected) >= CROWD // 2
        for code in codes:
            [newest, *_] = await history(muster, code)
            assert newest["state"] == "offline"
            last = instant(newest["last_positive_at"])
            assert instant(newest["started_at"]) - last == timedelta(seconds=1)
            assert abs(last - cut_at) < timedelta(seconds=4)
        assert await incidents(muster) == {"1-incident-1": CROWD}

        loop = asyncio.get_running_loop()
        back = loop.time()
        await switch_on(crowd)
        await wait_all(muster, "online", within=60)
        assert loop.time() - back < 60
        for code in codes[:30]:
            assert await states(muster, code) == ["never_connected", "online", "offline", "online"]
        await assert_exactly_once(muster, codes[:30])
        await assert_sound(muster)
        assert await muster.stop() == 0
        assert "hit a bug" not in muster.log


def limit_descriptors(muster: MusterProcess, number: int) -> None:
    """Take descriptors away from the running service and its workers."""
    assert muster.process is not None
    for pid in (muster.process.pid, *muster.workers()):
        _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (number, hard))


async def test_too_few_descriptors_make_nothing_offline_and_it_recovers(tmp_path: Path) -> None:
    codes = [code_of(number) for number in range(1, RELAYED + 1)]
    async with cameras(RELAYED) as crowd, _calm_installation(tmp_path) as muster:
        await prepare(muster, lines(crowd))
        await muster.start()
        limit_descriptors(muster, DESCRIPTORS)
        await wait_all(muster, "online", within=60)
        watched = NeverShown(muster)
        before = resident(muster)
        for _ in range(2):
            for camera in crowd:
                camera.peer.drop_connections()
            await watch(watched, 3)
        # So few that no stream may be opened again, and no probe sent.
        limit_descriptors(muster, HARDLY_ANY)
        for camera in crowd[:30]:
            camera.peer.drop_connections()
        await watch(watched, 8, may_be_refused=True)
        limit_descriptors(muster, DESCRIPTORS)
        await wait_all(muster, "online", within=60)

        watched.assert_none("offline", codes)
        for code in codes[:10]:
            assert await states(muster, code) == ["never_connected", "online"]
        assert "Too many open files" in muster.log
        assert resident(muster) - before < RSS_GROWTH
        await assert_exactly_once(muster, codes[:10])
        await assert_sound(muster)
        assert await muster.stop() == 0
        assert "hit a bug" not in muster.log


def resident(muster: MusterProcess) -> int:
    """Return the bytes that the service and its workers hold."""
    assert muster.process is not None
    pids = (muster.process.pid, *muster.workers())
    pages = sum(int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) for pid in pids)
    return pages * os.sysconf("SC_PAGE_SIZE")
