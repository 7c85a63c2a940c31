"""PostgreSQL restarted, gone for a while, and behind a line that went dead: status, reads and writes go on truly."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest

from tests.fakes.camera import SwitchedCamera, cameras
from tests.faults.installed import (
    Answer,
    NeverShown,
    ask,
    assert_exactly_once,
    assert_sound,
    history,
    instant,
    lines,
    overlays,
    prepare,
    shown,
    states,
    wait_all,
)
from tests.faults.postgres_peer import StoppablePostgres, line, stoppable_postgres
from tests.gateway_process import MusterProcess, code_of, installation
from tests.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.postgres, pytest.mark.timeout(150)]

CODES: Final = [code_of(number) for number in range(1, 6)]
READS: Final = (
    "/api/v1/sources?limit=1000",
    "/api/v1/sites",
    "/api/v1/relays",
    "/api/v1/reports/offline",
    "/api/v1/reports/never-connected",
    "/public/catalog",
    "/",
    "/healthz",
)
AWAY: Final = 12.0
"""Seconds of an outage that counts: far more than a heartbeat and all misses together."""


LEAVE: Final = 18.0
"""Seconds that stopping may take without an answer from the database."""


@asynccontextmanager
async def five_online(
    folder: Path, url: str
) -> AsyncIterator[tuple[MusterProcess, Sequence[SwitchedCamera]]]:
    """Run a gateway on the database `url` with five cameras that are online."""
    async with cameras(5) as crowd, installation(folder, settings=f'\n[database]\nurl = "{url}"\n') as muster:
        await prepare(muster, lines(crowd))
        await muster.start()
        await wait_all(muster, "online")
        yield muster, crowd


async def is_stale(muster: MusterProcess) -> bool:
    answer = await ask(muster, "GET", READS[0])
    assert answer.status == 200, answer.body
    return bool(answer.body["stale"])


async def assert_answers(muster: MusterProcess) -> None:
    """Assert that reads are answered, stale where they are JSON lists, and writes put off; nothing is a 500."""
    for path in READS:
        answer = await ask(muster, "GET", path)
        assert answer.status == 200, (path, answer.status, answer.body)
    listed = await ask(muster, "GET", READS[0])
    assert listed.body["stale"] is True
    asked = await ask(muster, "POST", "/api/v1/status/query", {"codes": CODES, "purpose": "test"})
    assert asked.status == 200, asked.body
    assert {row["status"]["shown"] for row in asked.body["items"]} <= {"online", "unknown"}, asked.body
    ready = await ask(muster, "GET", "/readyz")
    assert ready.status == 503
    for write in (
        await ask(muster, "PATCH", "/api/v1/sources/1", {"audio_enabled": False}),
        await ask(muster, "POST", "/api/v1/networks", NETWORK),
        await ask(muster, "POST", "/api/v1/rolls", data=b"unit,system\n", content_type="text/csv"),
    ):
        assert_put_off(write)


NETWORK: Final = {
    "cidr": "127.0.0.9/32",
    "document": "test",
    "approver": "Test Person",
    "expires_at": "2999-01-01T00:00:00Z",
}


def assert_put_off(answer: Answer) -> None:
    if answer.status == 422:
        return  # refused before the database was asked
    assert answer.status == 503, answer.body
    assert answer.content_type == "application/problem+json"
    assert int(answer.headers["Retry-After"]) > 0


async def test_a_restart_of_postgresql_changes_no_status_and_is_no_error(tmp_path: Path) -> None:
    async with (
        stoppable_postgres(tmp_path / "pg") as postgres,
        five_online(tmp_path, postgres.url) as (muster, crowd),
    ):
        watched = NeverShown(muster)
        for _ in range(3):
            await postgres.stop_immediately()
            await postgres.start()
            await watched.look()
        await crowd[0].switch_off()
        await muster.wait_shown(CODES[0], "offline")
        await crowd[0].switch_on()
        await muster.wait_shown(CODES[0], "online", within=40)
        await watched.look()

        watched.assert_none("offline", CODES[1:])
        assert await states(muster, CODES[0]) == ["never_connected", "online", "offline", "online"]
        await assert_exactly_once(muster, CODES)
        await assert_sound(muster)
        assert await muster.stop() == 0
        assert "hit a bug" not in muster.log


async def outage(muster: MusterProcess, camera: SwitchedCamera, watched: NeverShown) -> datetime:
    """Look at everything while the database is away; return when the camera was killed meanwhile."""
    loop = asyncio.get_running_loop()
    began = loop.time()

    async def has_noticed() -> bool:
        return await is_stale(muster)

    await eventually(has_noticed, within=15, what="stale answers")
    killed_at = datetime.now(UTC)
    await camera.switch_off()
    await assert_answers(muster)

    async def has_lasted() -> bool:
        await watched.look()
        return loop.time() - began >= AWAY

    await eventually(has_lasted, within=AWAY + 10, what="the outage")
    await assert_answers(muster)
    return killed_at


async def assert_told_truly(muster: MusterProcess, killed_at: datetime, watched: NeverShown) -> None:
    """Assert what must be told after an outage in which the first camera was killed."""
    back_at = datetime.now(UTC)
    await muster.wait_shown(CODES[0], "offline", within=30)

    async def is_fresh() -> bool:
        return not await is_stale(muster)

    await eventually(is_fresh, within=10, what="fresh answers")
    newest = (await history(muster, CODES[0]))[0]
    assert abs(instant(newest["last_positive_at"]) - killed_at) < timedelta(seconds=1.5)
    assert instant(newest["started_at"]) - instant(newest["last_positive_at"]) == timedelta(seconds=1)
    await watched.look()
    watched.assert_none("offline", CODES[1:])
    assert await states(muster, CODES[0]) == ["never_connected", "online", "offline"]
    for code in CODES[1:]:
        assert await states(muster, code) == ["never_connected", "online"]
        away = [each for each in await overlays(muster, code) if each["reason"] == "database_away"]
        assert len(away) == 1, away
        assert instant(away[0]["ended_at"]) - instant(away[0]["started_at"]) >= timedelta(seconds=AWAY - 3)
        assert instant(away[0]["ended_at"]) <= back_at + timedelta(seconds=10)
    await assert_exactly_once(muster, CODES)


async def test_postgresql_gone_for_a_while_is_charged_to_nobody(tmp_path: Path) -> None:
    async with (
        stoppable_postgres(tmp_path / "pg") as postgres,
        five_online(tmp_path, postgres.url) as (muster, crowd),
    ):
        watched = NeverShown(muster)
        await postgres.stop_immediately()
        killed_at = await outage(muster, crowd[0], watched)
        await postgres.start()
        await assert_told_truly(muster, killed_at, watched)
        await crowd[0].switch_on()
        await muster.wait_shown(CODES[0], "online", within=40)
        await assert_sound(muster)
        assert await muster.stop() == 0
        assert "hit a bug" not in muster.log


async def test_a_line_to_postgresql_that_went_dead_is_an_outage_too(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        postgres: StoppablePostgres = await stack.enter_async_context(stoppable_postgres(tmp_path / "pg"))
        wire = await stack.enter_async_context(line(tmp_path / "wire", postgres.socket))
        muster, crowd = await stack.enter_async_context(five_online(tmp_path, wire.url))
        watched = NeverShown(muster)
        wire.go_dead()
        killed_at = await outage(muster, crowd[0], watched)
        wire.recover()
        await assert_told_truly(muster, killed_at, watched)
        assert (await shown(muster))[CODES[1]] == "online"
        await assert_sound(muster)
        # Nor does it keep the gateway from taking its leave.
        wire.go_dead()
        loop = asyncio.get_running_loop()
        told = loop.time()
        assert await muster.stop() == 0
        assert loop.time() - told < LEAVE
        assert "hit a bug" not in muster.log
