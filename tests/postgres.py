"""One embedded PostgreSQL for the whole test session, and a fresh copy of a migrated database for each test."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from catalog.database import Database, RawConnection
from catalog.embedded import embedded_postgresql
from catalog.migrate import migrate

TEMPLATE: Final = "muster_template"
PATIENCE: Final = 50.0

T = TypeVar("T")


def with_database(url: str, name: str) -> str:
    """Return `url` with another database's name."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


class PostgresServer:
    """The session's server, in a thread with an event loop of its own.

    pytest-asyncio gives each test a loop that ends with it; the server outlives them all.
    """

    def __init__(self, url: str, loop: asyncio.AbstractEventLoop) -> None:
        self.url = url
        self._loop = loop
        self._count = 0

    def run(self, work: Callable[[RawConnection], Awaitable[T]]) -> T:
        """Run `work` on a connection to the maintenance database; for use outside a test's loop."""

        async def run() -> T:
            connection = await asyncpg.connect(self.url, timeout=10, command_timeout=PATIENCE)
            try:
                return await work(connection)
            finally:
                await connection.close(timeout=10)

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(PATIENCE)

    @contextmanager
    def copy(self, template: str = TEMPLATE) -> Iterator[str]:
        """Give the URL of a fresh copy of `template` (`template0` for an empty one); dropped at the end."""
        self._count += 1
        name = f"test_{self._count}"
        self.run(lambda connection: connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}"))
        try:
            yield with_database(self.url, name)
        finally:
            self.run(lambda connection: connection.execute(f"DROP DATABASE {name} WITH (FORCE)"))


async def _serve(folder: Path, started: "Future[PostgresServer]", ended: threading.Event) -> None:
    # fsync and the like only guard against a power cut, which no test survives anyway. An autovacuum worker runs
    # as superuser: if it is in a test's database when that is dropped, the role of the tests may not end it.
    settings = {
        "autovacuum": "off",
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
        "max_connections": "100",
    }
    async with embedded_postgresql(folder, settings=settings) as url:
        maintenance = with_database(url, "postgres")
        connection = await asyncpg.connect(maintenance, timeout=10, command_timeout=PATIENCE)
        await connection.execute(f"CREATE DATABASE {TEMPLATE}")
        await connection.close(timeout=10)
        async with Database(with_database(url, TEMPLATE)) as database:
            await migrate(database, muster_version="test")
        started.set_result(PostgresServer(maintenance, asyncio.get_running_loop()))
        await asyncio.to_thread(ended.wait)


@contextmanager
def postgres_server(folder: Path) -> Iterator[PostgresServer]:
    """Run the session's server below `folder`."""
    started: Future[PostgresServer] = Future()
    ended = threading.Event()

    def serve() -> None:
        try:
            asyncio.run(_serve(folder, started, ended))
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    thread = threading.Thread(target=serve, name="embedded PostgreSQL of the tests", daemon=True)
    thread.start()
    try:
        yield started.result(PATIENCE)
    finally:
        ended.set()
        thread.join(PATIENCE)
