"""Bring a database's schema to this program's version: forward only, one transaction a step.

`catalog/sql/schema.sql` is the truth that people read; `catalog/sql/migrations/NNNN_name.sql` are the way there,
also for an empty database, and a test proves that both give the same schema. The first migration makes the table
`schema_version`, which only this module writes.
"""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from typing import Final

from catalog.database import Connection, Database
from catalog.database_errors import translated
from catalog.errors import ConstraintViolated, MigrationError, QueryFailed, SchemaNewer
from catalog.queries import sql_folder

logger = logging.getLogger(__name__)

LOCK: Final = 0x6D75_7374_6572
"""Key of the advisory lock that lets one program migrate at a time ("muster" in ASCII)."""

_FILE_NAME: Final = re.compile(r"(?P<version>[0-9]{4})_(?P<name>[a-z0-9_]+)\.sql")


@dataclass(frozen=True)
class Migration:
    """One forward step."""

    version: int
    "Number from 1, without gaps."
    name: str
    "What it does, from the file's name."
    sql: str
    "The whole file: any number of statements, none of them BEGIN or COMMIT."

    def __str__(self) -> str:
        return f"{self.version:04d}_{self.name}"


def load_migrations(folder: Traversable | None = None) -> list[Migration]:
    """Return the migrations of `folder` (the package's own when not given) in order.

    Raises:
        ValueError: a file name is not `NNNN_name.sql`, or the numbers do not run 1, 2, 3 …
    """
    folder = folder or sql_folder().joinpath("migrations")
    migrations: list[Migration] = []
    for path in sorted(folder.iterdir(), key=lambda entry: entry.name):
        match = _FILE_NAME.fullmatch(path.name)
        if match is None:
            raise ValueError(f"{path.name}: a migration is named NNNN_name.sql")
        migrations.append(
            Migration(version=int(match["version"]), name=match["name"], sql=path.read_text(encoding="utf-8"))
        )
        if migrations[-1].version != len(migrations):
            raise ValueError(f"{path.name}: number {len(migrations):04d} is missing or taken twice")
    return migrations


async def migrate(
    database: Database, *, muster_version: str, migrations: Sequence[Migration] | None = None
) -> list[Migration]:
    """Apply what the database lacks and return it; nothing when it is up to date.

    Args:
        database: the database; its role must own the schema.
        muster_version: this program's version, for the record.
        migrations: those of the package when not given.

    Raises:
        SchemaNewer: the database knows a migration that this program does not.
        MigrationError: the applied migrations are not the first ones of ours, or a step failed and was undone.
        DatabaseTooOld: the server is too old.
        DatabaseAway: no answer.
    """
    known = load_migrations() if migrations is None else list(migrations)
    await database.require_version()
    async with database.raw_connection() as connection:
        # Held by the session: released by PostgreSQL itself when this program dies.
        if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK):
            logger.warning(
                "%s: another program migrates this database; waiting for it",
                database.place,
                extra={"action": "schema_locked"},
            )
            await connection.execute("SELECT pg_advisory_lock($1)", LOCK)
        pending = await _pending(connection, known, database.place)
        for migration in pending:
            await _apply(connection, migration, muster_version, database.place)
            logger.info("%s: applied %s", database.place, migration, extra={"action": "schema_migrated"})
    return pending


async def schema_version(database: Database) -> int:
    """Return the number of the last applied migration, 0 for an empty database.

    Raises:
        DatabaseAway: no answer.
    """
    async with database.raw_connection() as connection:
        applied = await _applied(connection)
    return applied[-1][0] if applied else 0


async def _applied(connection: Connection) -> list[tuple[int, str]]:
    if await connection.fetchval("SELECT to_regclass('schema_version')") is None:
        return []
    rows = await connection.fetch("SELECT version, name FROM schema_version ORDER BY version")
    return [(row["version"], row["name"]) for row in rows]


async def _pending(connection: Connection, known: Sequence[Migration], place: str) -> list[Migration]:
    applied = await _applied(connection)
    if applied and applied[-1][0] > len(known):
        raise SchemaNewer(
            f"{place}: the database has schema {applied[-1][0]}, this program knows {len(known)}:"
            " start the newer Muster that wrote it"
        )
    for (version, name), migration in zip(applied, known, strict=False):
        if (version, name) != (migration.version, migration.name):
            raise MigrationError(f"{place}: {version:04d}_{name} was applied where {migration} belongs")
    return list(known[len(applied) :])


async def _apply(connection: Connection, migration: Migration, muster_version: str, place: str) -> None:
    try:
        with translated(place):
            async with connection.transaction():
                await connection.execute(migration.sql)
                await connection.execute(
                    "INSERT INTO schema_version (version, name, muster_version) VALUES ($1, $2, $3)",
                    migration.version,
                    migration.name,
                    muster_version,
                )
    except (QueryFailed, ConstraintViolated) as error:
        raise MigrationError(f"{place}: {migration} failed and was undone: {error}") from error
