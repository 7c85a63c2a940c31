"""Sweeps whose process is killed, or whose database goes away for a while."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

import pytest

from adapters.base import RtspTarget
from catalog.database import Database
from catalog.discovery_runs import RunOutcome, get_run, list_runs
from catalog.errors import DatabaseAway
from gateway.clock import SystemClock
from gateway.config import DiscoveryConfig
from gateway.discovery import Discovery
from gateway.discovery_plan import SweepRequest
from gateway.discovery_sweep import Progress
from tests.clock import HandClock
from tests.discovery import PERSON, authorise, holders, rows
from tests.waiting import eventually

pytestmark = pytest.mark.postgres

CONFIG = DiscoveryConfig(ports=(554,), rate=100, concurrency=4)

KILLED = """
import asyncio, os, sys
from catalog.database import Database
from gateway.clock import SystemClock
from gateway.config import DiscoveryConfig
from gateway.discovery import Discovery
from gateway.discovery_plan import SweepRequest

async def never(target, *, describe, timeout):
    await asyncio.Event().wait()

async def main():
    async with Database(os.environ["DATABASE_OF_TEST"]) as database:
        discovery = Discovery(database, DiscoveryConfig(), clock=SystemClock(), probe=never)
        await discovery.sweep(SweepRequest("10.9.1.0/24", "the process that dies"))

asyncio.run(main())
"""


@dataclass
class Answered:
    """A polite answer."""

    status: int = 200
    server: str | None = "Camera"


@dataclass
class Everybody:
    """A probe to which every address is a camera."""

    asked: list[str] = field(default_factory=list)

    async def __call__(self, target: RtspTarget, *, describe: bool, timeout: float) -> Answered:  # noqa: ASYNC109
        self.asked.append(target.host)
        return Answered()


async def test_a_sweep_killed_with_9_is_marked_failed_at_the_next_start(
    database: Database, database_url: str
) -> None:
    clock = SystemClock()
    await authorise(database, "10.9.0.0/16", clock.now())
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILLED, env={**os.environ, "DATABASE_OF_TEST": database_url}
    )
    try:

        async def is_running() -> bool:
            return [run.outcome for run in await list_runs(database)] == [RunOutcome.RUNNING]

        await eventually(is_running, within=20, what="the other process's sweep")
        discovery = Discovery(database, CONFIG, clock=clock, probe=Everybody())
        async with asyncio.TaskGroup() as group:
            # A start beside a living process takes nothing from it.
            task = group.create_task(discovery.run(), name="discovery")
            run_id = await discovery.start(SweepRequest("10.9.2.0/30", PERSON))

            async def is_over() -> bool:
                return (await get_run(database, run_id)).outcome is RunOutcome.FINISHED

            await eventually(is_over, what="our own sweep")
            task.cancel()
        assert [run.outcome for run in await list_runs(database)] == [RunOutcome.FINISHED, RunOutcome.RUNNING]
    finally:
        process.kill()
        await process.wait()

    async def is_released() -> bool:
        return await holders(database) == []

    await eventually(is_released, what="the end of the dead process's session")

    async def is_failed() -> bool:
        return (await list_runs(database))[-1].outcome is RunOutcome.FAILED

    async with asyncio.TaskGroup() as group:
        task = group.create_task(discovery.run(), name="discovery")
        await eventually(is_failed, what="the mark")
        task.cancel()
    killed = (await list_runs(database))[-1]
    assert killed.requested_by == "the process that dies"
    assert killed.finished_at is not None


class Cable:
    """A TCP way to the database that can be pulled out and put back."""

    def __init__(self, socket: str) -> None:
        self.port = 0
        self.refused = 0
        self._socket = socket
        self._writers: set[asyncio.StreamWriter] = set()
        self._is_in = True

    def pull(self) -> None:
        """Cut every connection and refuse new ones."""
        self._is_in = False
        for writer in tuple(self._writers):
            writer.transport.abort()

    def put_back(self) -> None:
        """Let new connections in again."""
        self._is_in = True

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection."""
        if not self._is_in:
            self.refused += 1
            writer.transport.abort()
            return
        up_reader, up_writer = await asyncio.open_unix_connection(self._socket)
        self._writers |= {writer, up_writer}
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._carry(reader, up_writer))
                group.create_task(self._carry(up_reader, writer))
        finally:
            self._writers -= {writer, up_writer}
            for each in (writer, up_writer):
                each.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        writer.transport.abort()


@asynccontextmanager
async def cable_to(url: str) -> AsyncIterator[tuple[Cable, str]]:
    """Give a cable to the database of `url`, and the URL that goes through it."""
    parts = urlsplit(url)
    folder = parse_qs(parts.query)["host"][0]
    cable = Cable(f"{folder}/.s.PGSQL.{parse_qs(parts.query).get('port', ['5432'])[0]}")
    server = await asyncio.start_server(cable.handle, "127.0.0.1", 0)
    cable.port = server.sockets[0].getsockname()[1]
    try:
        user = f"{parts.username}@" if parts.username else "postgres@"
        yield cable, f"postgresql://{user}127.0.0.1:{cable.port}{parts.path}?sslmode=disable"
    finally:
        server.close()
        cable.pull()
        await server.wait_closed()


async def next_wait(caplog: pytest.LogCaptureFixture, number: int) -> None:
    """Return when the sweep has said `number` times that it waits; it does so about once a second."""

    def has_said_so() -> bool:
        said = [record for record in caplog.records if getattr(record, "action", "") == "discovery_waits"]
        return len(said) >= number

    await eventually(has_said_so, within=20, what="the sweep's waiting")


async def test_nobody_is_asked_while_the_database_is_away_and_nothing_found_is_lost(
    database: Database, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    clock = SystemClock()
    await authorise(database, "10.9.0.0/24", clock.now())
    ask = Everybody()
    async with (
        cable_to(database_url) as (cable, url),
        Database(url) as through,
        asyncio.timeout(40),
        asyncio.TaskGroup() as group,
    ):
        discovery = Discovery(through, CONFIG, clock=clock, probe=ask)
        task = group.create_task(discovery.sweep(SweepRequest("10.9.0.0/24", PERSON)), name="sweep")
        await eventually(lambda: len(ask.asked) >= 20, what="the first questions")
        cable.pull()

        await next_wait(caplog, 1)
        asked = len(ask.asked)
        await next_wait(caplog, 3)
        assert len(ask.asked) == asked < 256
        cable.put_back()
        run = await task
    assert len(ask.asked) == len(set(ask.asked)) == 256
    # With its connection the run lost its lock, but nobody took it for abandoned meanwhile.
    assert (run.outcome, run.probed, run.answered) == (RunOutcome.FINISHED, 256, 256)
    (count,) = await rows(database, "SELECT count(*) AS n FROM sighting")
    assert count["n"] == 256


async def test_an_outage_beyond_all_patience_fails_the_run_at_the_next_start(
    database: Database, database_url: str
) -> None:
    clock = HandClock()
    await authorise(database, "10.9.0.0/24", clock.now(), seconds=86_400)
    async with cable_to(database_url) as (cable, url), Database(url) as through:

        async def ask(target: RtspTarget, *, describe: bool, timeout: float) -> Answered:  # noqa: ASYNC109
            cable.pull()
            await asyncio.Event().wait()
            return Answered()

        with pytest.raises(DatabaseAway):
            await Discovery(through, CONFIG, clock=clock, probe=ask).sweep(
                SweepRequest("10.9.0.0/24", PERSON)
            )
    (run,) = await list_runs(database)
    assert run.outcome is RunOutcome.RUNNING

    async def is_released() -> bool:
        return await holders(database) == []

    await eventually(is_released, what="the end of the lost session")
    after = await Discovery(database, CONFIG, clock=clock, probe=Everybody()).sweep(
        SweepRequest("10.9.0.0/24", PERSON)
    )
    assert after.outcome is RunOutcome.FINISHED
    assert (await get_run(database, run.run_id)).outcome is RunOutcome.FAILED


async def test_the_end_of_a_sweep_waits_for_the_database(database: Database, database_url: str) -> None:
    clock = SystemClock()
    await authorise(database, "10.9.0.0/24", clock.now())
    async with cable_to(database_url) as (cable, url), Database(url) as through, asyncio.TaskGroup() as group:

        def at_the_end(progress: Progress) -> None:
            if progress.asked == progress.total:
                cable.pull()

        async def mend() -> None:
            await eventually(lambda: cable.refused > 0, what="a refused connection")
            cable.put_back()

        group.create_task(mend(), name="mend")
        discovery = Discovery(through, CONFIG, clock=clock, probe=Everybody())
        run = await discovery.sweep(SweepRequest("10.9.0.0/30", PERSON), notice=at_the_end)
    assert (run.outcome, run.probed) == (RunOutcome.FINISHED, 4)


async def test_housekeeping_waits_for_the_database(database: Database, database_url: str) -> None:
    clock = HandClock()
    async with database.raw_connection() as connection:
        await connection.execute(
            "INSERT INTO sighting (protocol, host, port, first_seen_at, last_seen_at) "
            "VALUES ('rtsp', '10.9.0.1', 554, $1, $1)",
            clock.now().replace(year=2025),
        )

    async def is_forgotten() -> bool:
        return await rows(database, "SELECT FROM sighting") == []

    async with cable_to(database_url) as (cable, url), Database(url) as through, asyncio.TaskGroup() as group:
        cable.pull()
        task = group.create_task(Discovery(through, CONFIG, clock=clock, probe=Everybody()).run(), name="run")
        await eventually(lambda: cable.refused > 1, what="two tries")
        cable.put_back()
        await eventually(is_forgotten, what="the housekeeping")
        task.cancel()
