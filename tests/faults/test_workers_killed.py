"""Relay workers that die again and again."""

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from tests.fakes.camera import cameras
from tests.faults.installed import (
    NeverShown,
    assert_exactly_once,
    assert_sound,
    lines,
    prepare,
    states,
    wait_all,
)
from tests.gateway_process import installation
from tests.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


async def test_workers_that_are_killed_every_second_change_no_status_and_come_back(tmp_path: Path) -> None:
    async with cameras(6) as crowd, installation(tmp_path) as muster:
        roll = lines(crowd)
        codes = [row.code for row in roll]
        await prepare(muster, roll)
        await muster.start()
        await wait_all(muster, "online")
        watched = NeverShown(muster)
        for _ in range(8):
            for worker in muster.workers():
                with suppress(ProcessLookupError):
                    os.kill(worker, signal.SIGKILL)
            await watched.look()
            await asyncio.sleep(1)  # the fault itself: one death a second

        async def all_play() -> bool:
            await watched.look()
            items = (await muster.get("/api/v1/relays"))["items"]
            return len(items) == 6 and all(item["state"] == "playing" for item in items)

        await eventually(all_play, within=40, what="all relays playing again")
        assert {state for seen in watched.seen.values() for state in seen} == {("online", ())}
        for code in codes:
            assert await states(muster, code) == ["never_connected", "online"]
        await assert_exactly_once(muster, codes)
        await assert_sound(muster)
        assert await muster.stop() == 0
