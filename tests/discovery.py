"""What tests of discovery share: placing the seeded roll's sources at addresses, authorising, a listener anywhere."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from catalog.database import Database
from catalog.model.network import Authorisation
from catalog.networks import NewAuthorisation, authorise_network
from tests.fakes.rtsp_server import FakeRtspServer, Script

PERSON = "李警官"


async def place(
    database: Database,
    source_id: int,
    host: str,
    port: int = 554,
    path: str = "/1",
    *,
    confirmed_by: str | None = None,
    origin: str = "roll",
) -> None:
    """Give a source one more endpoint."""
    async with database.raw_connection() as connection:
        await connection.execute(
            "INSERT INTO endpoint (source_id, protocol, host, port, path, origin, confirmed_at, confirmed_by) "
            "VALUES ($1, 'rtsp', $2, $3, $4, $5, CASE WHEN $6::text IS NOT NULL THEN now() END, $6)",
            source_id,
            host,
            port,
            path,
            origin,
            confirmed_by,
        )


async def identify(database: Database, source_id: int, mac: str | None, serial: str | None) -> None:
    """Set what the roll says of a device."""
    async with database.raw_connection() as connection:
        await connection.execute(
            "UPDATE source SET mac = $2, serial = $3 WHERE source_id = $1", source_id, mac, serial
        )


async def rows(database: Database, sql: str, *args: object) -> list[Mapping[str, object]]:
    """Return what the catalog holds, past every store."""
    async with database.raw_connection() as connection:
        return [dict(row) for row in await connection.fetch(sql, *args)]


async def holders(database: Database) -> list[object]:
    """Return the sessions that hold an advisory lock in this database."""
    found = await rows(
        database,
        "SELECT l.pid FROM pg_locks l JOIN pg_database d ON d.oid = l.database "
        "WHERE l.locktype = 'advisory' AND l.granted AND d.datname = current_database()",
    )
    return [row["pid"] for row in found]


async def authorise(database: Database, cidr: str, at: datetime, *, seconds: float = 3600.0) -> Authorisation:
    """Authorise a network for `seconds` from `at`."""
    record = NewAuthorisation(cidr, "批准文件 [2026] 12", "王局长", at + timedelta(seconds=seconds))
    return await authorise_network(database, record, authorised_by=PERSON, at=at)


@asynccontextmanager
async def camera_at(host: str, script: Script | None = None, port: int = 0) -> AsyncIterator[FakeRtspServer]:
    """Run a fake camera on any address of loopback."""
    fake = FakeRtspServer(script or Script())
    server = await asyncio.start_server(fake.handle, host, port)
    fake.port = server.sockets[0].getsockname()[1]
    try:
        yield fake
    finally:
        server.close()
        fake.drop_connections()
        await server.wait_closed()
