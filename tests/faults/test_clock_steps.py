"""The machine's wall clock is stepped while the gateway runs (libfaketime)."""

import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest

from tests.fakes.camera import cameras
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

LIBRARY: Final = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(150),
    pytest.mark.skipif(not LIBRARY.exists(), reason="libfaketime is not installed"),
]

CODES: Final = [code_of(number) for number in range(1, 4)]


MISSES: Final = 3.0
"""Seconds after which a false offline would show."""


def steps_logged(muster: MusterProcess) -> int:
    return muster.log.count('"clock_step"')


async def test_steps_of_the_wall_clock_change_no_status_and_make_no_negative_time(tmp_path: Path) -> None:
    offset = tmp_path / "offset"
    offset.write_text("+0\n", encoding="ascii")
    faked = {
        "LD_PRELOAD": str(LIBRARY),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_NO_CACHE": "1",
    }
    async with cameras(3) as crowd, installation(tmp_path, **faked) as muster:
        await prepare(muster, lines(crowd))
        await muster.start()
        await wait_all(muster, "online")
        watched = NeverShown(muster)
        for number, text in enumerate(("+1h", "-1h", "+3d"), start=1):
            offset.write_text(f"{text}\n", encoding="ascii")
            await eventually(lambda: steps_logged(muster) >= number, within=20, what="clock_step")  # noqa: B023
            await watch(watched, MISSES + 1)
        assert {state for seen in watched.seen.values() for state in seen} == {("online", ())}

        killed_at = datetime.now(UTC) + timedelta(days=3)
        await crowd[0].switch_off()
        await muster.wait_shown(CODES[0], "offline")
        newest = (await history(muster, CODES[0]))[0]
        assert abs(instant(newest["last_positive_at"]) - killed_at) < timedelta(seconds=2)
        offset.write_text("-1h\n", encoding="ascii")
        await crowd[0].switch_on()
        await muster.wait_shown(CODES[0], "online", within=40)

        assert await states(muster, CODES[0]) == ["never_connected", "online", "offline", "online"]
        for code in CODES[1:]:
            assert await states(muster, code) == ["never_connected", "online"]
        for before, after in itertools.pairwise(reversed(await history(muster, CODES[0]))):
            assert instant(before["started_at"]) < instant(after["started_at"])
        await assert_exactly_once(muster, CODES)
        await assert_sound(muster)

        # A restart in the past must not begin before the history ends.
        await muster.kill()
        await muster.start()
        await wait_all(muster, "online")
        await assert_exactly_once(muster, CODES)
        await assert_sound(muster)
        assert await muster.stop() == 0
