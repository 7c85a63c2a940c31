"""The embedded PostgreSQL: starts anywhere, for one gateway at a time, and never outlives it."""

import asyncio
import os
import pwd
import signal
import stat
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import asyncpg
import pytest

from catalog.database import Database
from catalog.embedded import EmbeddedPostgres, embedded_postgresql
from catalog.embedded_cluster import Cluster
from catalog.embedded_launch import launcher_for
from catalog.errors import DatabaseInUse, EmbeddedPostgresError
from tests.waiting import eventually

pytestmark = pytest.mark.postgres

QUICK: Final[Mapping[str, str]] = {"fsync": "off"}
ROOT_ONLY: Final = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")

GATEWAY: Final = """
import asyncio, sys
from pathlib import Path
from catalog.embedded import embedded_postgresql

async def main() -> None:
    server = embedded_postgresql(Path(sys.argv[1]), settings={"fsync": "off"})
    async with server as url:
        print(server.pid, url, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def ask(url: str, sql: str) -> object:
    connection = await asyncpg.connect(url, timeout=10, command_timeout=10)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


def is_running(pid: int) -> bool:
    # A killed process that nobody collected yet has no command line any more.
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    except (FileNotFoundError, ProcessLookupError):
        return False


def exists(path: str) -> bool:
    return Path(path).exists()


def owner_of(pid: int) -> int:
    return Path(f"/proc/{pid}").stat().st_uid


def prefix_of(user: str, folder: Path) -> list[str]:
    """Return what to put before a command so that it runs as `user`: us, or another account when we are root."""
    return [] if user == "same" else list(launcher_for(folder).prefix)


@asynccontextmanager
async def gateway(
    folder: Path, prefix: list[str]
) -> AsyncIterator[tuple[asyncio.subprocess.Process, int, str]]:
    """Run a gateway in a process of its own; gives it, its server's pid and the URL."""
    process = await asyncio.create_subprocess_exec(
        *prefix,
        sys.executable,
        "-c",
        GATEWAY,
        str(folder),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            line = await process.stdout.readline()
        pid, url = line.decode().split()
        yield process, int(pid), url
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.fixture(params=["same", pytest.param("other", marks=ROOT_ONLY)])
def user(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def folder(tmp_path: Path, user: str) -> Path:
    """A folder that belongs to `user`, below folders that are closed to everybody else."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    folder = closed / "state"
    folder.mkdir(mode=0o750)
    if user == "other":
        account = launcher_for(folder).account
        os.chown(folder, account.uid, account.gid)
    return folder


async def test_what_is_stored_is_there_after_the_next_start(tmp_path: Path) -> None:
    async with embedded_postgresql(tmp_path) as url:
        assert str(await ask(url, "SELECT version()")).startswith("PostgreSQL 18")
        assert await ask(url, "SHOW fsync") == "on"
        await ask(url, "CREATE TABLE kept AS SELECT 42 AS answer")
    async with embedded_postgresql(tmp_path) as url:
        assert await ask(url, "SELECT answer FROM kept") == 42


async def test_there_is_no_port_and_the_role_is_no_superuser(tmp_path: Path) -> None:
    async with embedded_postgresql(tmp_path, settings=QUICK) as url:
        assert await ask(url, "SHOW listen_addresses") == ""
        assert await ask(url, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") is False
        assert await ask(url, "SELECT current_database()::text || ' ' || current_user") == "muster muster"
        assert await ask(url, "SELECT datcollate || datlocale FROM pg_database WHERE datname = 'muster'")
        assert stat.S_IMODE((tmp_path / "socket").stat().st_mode) == 0o700


@ROOT_ONLY
async def test_the_server_lets_in_nobody_but_the_gateways_own_user(tmp_path: Path) -> None:
    async with embedded_postgresql(tmp_path, settings=QUICK) as url:
        process = await asyncio.create_subprocess_exec(
            *launcher_for(tmp_path / "pg18").command("psql", "-c", "SELECT 1", url),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd="/",
        )
        output, _ = await process.communicate()
    assert process.returncode != 0
    assert b"Peer authentication failed" in output


async def test_the_second_gateway_on_a_folder_is_refused_by_name(tmp_path: Path) -> None:
    async with embedded_postgresql(tmp_path, settings=QUICK) as url:
        with pytest.raises(DatabaseInUse, match=rf"in use by another Muster \(process {os.getpid()}\)"):
            await embedded_postgresql(tmp_path, settings=QUICK).__aenter__()
        assert await ask(url, "SELECT 1") == 1


async def test_folders_that_are_not_ours_keep_mode_and_owner(folder: Path, user: str) -> None:
    above = [path for path in [folder, *folder.parents] if path != Path("/proc")]
    before = [(path.stat().st_mode, path.stat().st_uid, path.stat().st_gid) for path in above]
    async with gateway(folder, prefix_of(user, folder)):
        pass
    assert [(path.stat().st_mode, path.stat().st_uid, path.stat().st_gid) for path in above] == before


async def test_the_server_ends_by_itself_when_the_gateway_is_killed(folder: Path, user: str) -> None:
    async with gateway(folder, prefix_of(user, folder)) as (process, pid, url):
        assert owner_of(pid) != 0
        if user == "same":
            await ask(url, "CREATE TABLE kept AS SELECT 42 AS answer")
        process.kill()
        await eventually(lambda: not is_running(pid), within=10, what="the end of the server")
    async with gateway(folder, prefix_of(user, folder)) as (_, _, url):
        if user == "same":
            assert await ask(url, "SELECT answer FROM kept") == 42


async def test_a_gateway_killed_while_it_makes_the_cluster_leaves_nothing_half_done(tmp_path: Path) -> None:
    (tmp_path / "pg18.new" / "base").mkdir(parents=True)
    (tmp_path / "pg18.new" / "PG_VERSION").write_text("18\n")
    async with embedded_postgresql(tmp_path, settings=QUICK) as url:
        assert await ask(url, "SELECT 1") == 1
    assert not (tmp_path / "pg18.new").exists()


async def test_a_server_left_behind_is_stopped_and_started_anew(tmp_path: Path) -> None:
    left_behind = Cluster(tmp_path, QUICK)
    await left_behind.create_if_missing()
    await left_behind.start()
    await left_behind.create_database_if_missing()
    await ask(left_behind.url, "CREATE TABLE kept AS SELECT 42 AS answer")
    server = embedded_postgresql(tmp_path, settings=QUICK)
    async with server as url:
        assert server.pid != left_behind.process.pid
        await left_behind.process.wait()
        assert await ask(url, "SELECT answer FROM kept") == 42


async def test_a_process_number_given_to_somebody_else_does_not_keep_it_from_starting(tmp_path: Path) -> None:
    async with embedded_postgresql(tmp_path, settings=QUICK):
        pass
    stale = tmp_path / "pg18" / "postmaster.pid"
    stale.write_text(f"{os.getpid()}\n{tmp_path / 'pg18'}\n1\n5432\n{tmp_path}\n\n  1 1\nready   \n")
    account = launcher_for(tmp_path / "pg18").account
    if os.geteuid() == 0:
        os.chown(stale, account.uid, account.gid)
    async with embedded_postgresql(tmp_path, settings=QUICK) as url:
        assert await ask(url, "SELECT 1") == 1


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGQUIT, signal.SIGINT])
async def test_a_server_that_dies_is_started_again_and_the_pool_recovers(
    tmp_path: Path, number: signal.Signals
) -> None:
    server = embedded_postgresql(tmp_path, settings=QUICK)
    async with server as url, Database(url, queries={}) as database:
        assert await database.is_up()
        first = server.pid
        os.kill(first, number)
        await eventually(lambda: _is_up_again(server, database, first), within=20, what="the restart")


async def _is_up_again(server: EmbeddedPostgres, database: Database, first: int) -> bool:
    return server.pid != first and await database.is_up()


async def test_a_long_or_odd_folder_name_gets_a_short_socket_path(tmp_path: Path) -> None:
    folder = tmp_path / "状态 folder, with: odd 'signs'" / ("long" * 20)
    async with embedded_postgresql(folder, settings=QUICK) as url:
        assert await ask(url, "SELECT 1") == 1
        assert "muster-" in url
        assert "odd" not in url
    assert not exists(url.partition("host=")[2])


async def test_a_server_that_cannot_start_says_why_and_frees_the_folder(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedPostgresError, match=r"shared_buffers.*nonsense"):
        await embedded_postgresql(tmp_path, settings={"shared_buffers": "nonsense"}).__aenter__()
    async with embedded_postgresql(tmp_path, settings=QUICK) as url:
        assert await ask(url, "SELECT 1") == 1


async def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EmbeddedPostgresError, match="Not a directory"):
        await embedded_postgresql(tmp_path / "file" / "state").__aenter__()


async def test_an_error_inside_the_block_comes_out_as_it_is(tmp_path: Path) -> None:
    async def fail() -> None:
        async with embedded_postgresql(tmp_path, settings=QUICK):
            raise KeyError("the caller's own")

    with pytest.raises(KeyError, match="the caller's own"):
        await fail()


async def test_a_cancelled_gateway_stops_its_server(tmp_path: Path) -> None:
    server = embedded_postgresql(tmp_path, settings=QUICK)
    pids: list[int] = []

    async def serve() -> None:
        async with server:
            pids.append(server.pid)
            await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(serve())
        await eventually(lambda: bool(pids), within=20, what="the start")
        task.cancel()
    assert not is_running(pids[0])


@ROOT_ONLY
async def test_root_in_a_container_starts_the_server_and_finds_the_one_left_behind(tmp_path: Path) -> None:
    # What container engines leave to root by default: no CAP_DAC_READ_SEARCH, no CAP_SYS_PTRACE.
    left = ("chown", "dac_override", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap", "setfcap")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    left_behind = Cluster(closed, QUICK)
    await left_behind.create_if_missing()
    await left_behind.start()
    await left_behind.create_database_if_missing()
    prefix = ["setpriv", f"--bounding-set=-all,{','.join(f'+{name}' for name in left)}", "--"]
    async with gateway(closed, prefix) as (_, pid, url):
        assert pid != left_behind.process.pid
        await left_behind.process.wait()
        assert await ask(url, "SELECT 1") == 1


@ROOT_ONLY
async def test_data_of_another_user_is_refused_by_a_normal_user(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    async with embedded_postgresql(folder, settings=QUICK):
        pass
    os.chown(folder / "pg18", pwd.getpwnam("daemon").pw_uid, -1)
    folder.chmod(0o777)
    (folder / "lock").chmod(0o666)
    process = await asyncio.create_subprocess_exec(
        *prefix_of("other", tmp_path / "none"),
        sys.executable,
        "-c",
        GATEWAY,
        str(folder),
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    _, errors = await process.communicate()
    assert process.returncode == 1
    assert b"belongs to daemon: start Muster as that user or as root" in errors
