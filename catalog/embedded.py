"""PostgreSQL inside the gateway: the server programs of a wheel, on a Unix socket, in a folder of ours.

`async with embedded_postgresql(folder) as url:` makes the cluster if there is none, starts the server, gives an
asyncpg URL and stops the server at the end. A server that dies meanwhile is started again; its clients see a
`DatabaseAway` of about a second. Owns the lock on the folder and the task that watches the server.

Measured on two shared cores: first start 0.6-1.3 s, later starts 0.03-0.07 s, stop 0.01-0.06 s, gone after kill -9
of the gateway in 0.02-0.06 s; 46 MB on disk.

Who may connect: processes of the gateway's own user, nobody else. There is no TCP port, the socket lies in a
folder of mode 0700, and PostgreSQL asks the kernel who is calling (`peer`, with an ident map), so there is no
password that could leak. The gateway's role owns its database but is no superuser: SQL cannot read files or run
programs.

Two gateways on one folder: the second is refused, by `flock` on `folder/lock`, which the kernel releases however
the first one ends. A server that still runs when a new gateway holds the lock is a leftover and is stopped first.
`fsync` stays on: what was committed survives a power cut.
"""

import asyncio
import fcntl
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Final

from catalog.database_errors import translated
from catalog.embedded_cluster import Cluster
from catalog.errors import CatalogError, DatabaseInUse, EmbeddedPostgresError

logger = logging.getLogger(__name__)

RESTART_PAUSES: Final = (0.2, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds before the first, second … attempt to start a server that died; the last repeats for ever."""


class EmbeddedPostgres:
    """One cluster, running while the context is open; made by `embedded_postgresql`."""

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        self._folder = folder.absolute()
        self._settings = settings
        self._stack = AsyncExitStack()
        self._cluster: Cluster | None = None

    @property
    def pid(self) -> int:
        """Process id of the server that runs now."""
        if self._cluster is None:
            raise EmbeddedPostgresError(f"{self._folder}: the server is not running")
        return self._cluster.process.pid

    async def __aenter__(self) -> str:
        """Start the server and return its URL.

        Raises:
            DatabaseInUse: another gateway holds the folder.
            EmbeddedPostgresError: anything else that keeps it from starting, with PostgreSQL's own words.
        """
        async with AsyncExitStack() as stack:
            _make_folder(self._folder)
            stack.enter_context(_lock(self._folder / "lock"))
            cluster = Cluster(self._folder, self._settings)
            await cluster.create_if_missing()
            await cluster.end_leftover()
            stack.push_async_callback(cluster.stop)
            await cluster.start()
            with translated(str(self._folder)):
                await cluster.create_database_if_missing()
            group = asyncio.TaskGroup()
            await group.__aenter__()
            # Ended with no error of the caller's, which would come out wrapped in an ExceptionGroup.
            stack.push_async_callback(group.__aexit__, None, None, None)
            watch = group.create_task(self._watch(cluster), name="embedded PostgreSQL")
            stack.callback(watch.cancel)
            self._cluster = cluster
            self._stack = stack.pop_all()
        return cluster.url

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._cluster = None
        await self._stack.aclose()

    async def _watch(self, cluster: Cluster) -> None:
        while True:
            code = await cluster.process.wait()
            logger.error(
                "%s: PostgreSQL ended with %d; starting it again",
                self._folder,
                code,
                extra={"action": "embedded_postgres_died"},
            )
            attempt = 0
            while cluster.process.returncode is not None:
                await asyncio.sleep(RESTART_PAUSES[min(attempt, len(RESTART_PAUSES) - 1)])
                attempt += 1
                try:
                    await cluster.end_leftover()
                    await cluster.start()
                except (CatalogError, OSError) as error:
                    logger.error(  # noqa: TRY400 - the message holds PostgreSQL's own words
                        "%s: %s", self._folder, error, extra={"action": "embedded_postgres_not_restarted"}
                    )
                    await cluster.stop()


def embedded_postgresql(
    folder: Path, *, settings: Mapping[str, str] = MappingProxyType({})
) -> EmbeddedPostgres:
    """Return a context manager that runs PostgreSQL in `folder` and gives its URL.

    Enter it in the thread that lives longest, the event loop's: the kernel stops the server when that thread ends.

    Args:
        folder: made with mode 0700 if missing; if it exists, its mode and owner stay as they are.
        settings: PostgreSQL's parameters over ours, by name.
    """
    return EmbeddedPostgres(folder, settings)


def running_url(folder: Path) -> str:
    """Return the URL of the server that another process of the same user runs in `folder`.

    For the command line beside a running gateway; it says nothing about whether the server is there.
    """
    return Cluster(folder.absolute(), {}).url


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise EmbeddedPostgresError(f"{folder}: {error.strerror}") from error


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold the folder for this process.

    Raises:
        DatabaseInUse: another process holds it.
        EmbeddedPostgresError: the file cannot be opened.
    """
    try:
        number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise EmbeddedPostgresError(f"{path}: {error.strerror}") from error
    try:
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(number, 20).decode(errors="replace").strip() or "unknown"
            raise DatabaseInUse(
                f"{path.parent} is in use by another Muster (process {holder}): stop it, or choose another folder"
            ) from None
        os.truncate(number, 0)
        os.pwrite(number, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(number)
