"""A PostgreSQL of its own that can be stopped and started, and a line to it that can go dead."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, quote, urlsplit

from catalog.embedded_cluster import Cluster

SOCKET: Final = ".s.PGSQL.5432"


class StoppablePostgres:
    """An external PostgreSQL, as an operator's database department runs one."""

    def __init__(self, folder: Path) -> None:
        self._cluster = Cluster(folder, {"fsync": "off", "logging_collector": "off"})

    @property
    def url(self) -> str:
        return self._cluster.url

    @property
    def socket(self) -> Path:
        return Path(parse_qs(urlsplit(self.url).query)["host"][0]) / SOCKET

    async def start(self) -> None:
        """Start it, the database of the gateway included."""
        await self._cluster.create_if_missing()
        await self._cluster.end_leftover()
        await self._cluster.start()
        await self._cluster.create_database_if_missing()

    async def stop_immediately(self) -> None:
        """Stop it as `pg_ctl stop -m immediate` does: what was not committed is lost."""
        process = self._cluster.process
        process.send_signal(signal.SIGQUIT)
        async with asyncio.timeout(10):
            await process.wait()

    async def end(self) -> None:
        """Stop it for good."""
        await self._cluster.stop()


@asynccontextmanager
async def stoppable_postgres(folder: Path) -> AsyncIterator[StoppablePostgres]:
    """Run such a server below `folder`."""
    await asyncio.to_thread(folder.mkdir)
    server = StoppablePostgres(folder)
    await server.start()
    try:
        yield server
    finally:
        await server.end()


class Line:
    """A proxy between a Unix socket of its own and that of a server."""

    def __init__(self, folder: Path, target: Path) -> None:
        self._folder = folder
        self._target = target
        self._flows = asyncio.Event()
        self._flows.set()
        self._ends: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        return f"postgresql://muster@/muster?host={quote(str(self._folder), safe='/')}"

    @property
    def address(self) -> Path:
        return self._folder / SOCKET

    def go_dead(self) -> None:
        """Take whatever comes and forward nothing more, without closing anything."""
        self._flows.clear()

    def recover(self) -> None:
        """Forward again; what was held goes on its way."""
        self._flows.set()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection."""
        self._ends.add(writer)
        try:
            await self._flows.wait()
            far_reader, far_writer = await asyncio.open_unix_connection(self._target)
            self._ends.add(far_writer)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, far_writer), name="to the server")
                group.create_task(self._pump(far_reader, writer), name="from the server")
            self._ends.discard(far_writer)
        except* OSError:
            pass
        finally:
            writer.transport.abort()
            self._ends.discard(writer)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                await self._flows.wait()
                writer.write(data)
                await writer.drain()
        finally:
            writer.transport.abort()

    def end(self) -> None:
        """Cut every connection."""
        self._flows.set()
        for writer in tuple(self._ends):
            writer.transport.abort()


@asynccontextmanager
async def line(folder: Path, target: Path) -> AsyncIterator[Line]:
    """Run a line to the socket `target` that is reached in `folder`."""
    await asyncio.to_thread(folder.mkdir)
    made = Line(folder, target)
    server = await asyncio.start_unix_server(made.carry, made.address)
    try:
        yield made
    finally:
        server.close()
        made.end()
        with suppress(TimeoutError):
            async with asyncio.timeout(5):
                await server.wait_closed()
