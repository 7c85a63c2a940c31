"""The migrations lead to the schema that `schema.sql` describes, once, and never backwards."""

import asyncpg
import pytest

from catalog.database import Database
from catalog.errors import MigrationError, SchemaNewer
from catalog.migrate import Migration, load_migrations, migrate, schema_version
from catalog.queries import load_queries, sql_folder
from tests.integration.catalog.schema_description import describe_schema
from tests.postgres import PostgresServer

pytestmark = pytest.mark.postgres


async def test_the_migrations_give_the_schema_of_schema_sql(
    postgres: PostgresServer, database: Database
) -> None:
    with postgres.copy("template0") as url:
        async with Database(url) as truth, truth.raw_connection() as connection:
            await connection.execute(sql_folder().joinpath("schema.sql").read_text(encoding="utf-8"))
            wanted = await describe_schema(connection)
    async with database.raw_connection() as connection:
        found = await describe_schema(connection)
    assert [line for line in wanted if line not in found] == [], "missing from the migrations"
    assert found == wanted


async def test_every_column_and_table_is_named_in_the_description(database: Database) -> None:
    async with database.raw_connection() as connection:
        described = await describe_schema(connection)
    assert any(line.startswith("column credential.password_encrypted text") for line in described)
    assert any(line.startswith("index ") for line in described)
    assert any(line.startswith("function ") for line in described)
    assert any(line.startswith("comment ") for line in described)


async def test_a_second_migration_of_the_same_database_does_nothing(database: Database) -> None:
    assert await migrate(database, muster_version="test") == []
    assert await schema_version(database) == len(load_migrations())


async def test_an_empty_database_has_version_zero(postgres: PostgresServer) -> None:
    with postgres.copy("template0") as url:
        async with Database(url) as database:
            assert await schema_version(database) == 0


async def test_a_database_of_a_newer_program_is_refused_and_left_alone(database: Database) -> None:
    newer = [*load_migrations(), Migration(len(load_migrations()) + 1, "later", "CREATE TABLE later (a int)")]
    assert await migrate(database, muster_version="2", migrations=newer) == newer[-1:]
    with pytest.raises(SchemaNewer, match="start the newer Muster"):
        await migrate(database, muster_version="1")
    assert await schema_version(database) == len(newer)


async def test_a_failing_migration_is_undone_whole(database: Database) -> None:
    known = load_migrations()
    bad = Migration(len(known) + 1, "bad", "CREATE TABLE half (a int); SELECT no_such_column;")
    with pytest.raises(MigrationError, match="bad failed and was undone"):
        await migrate(database, muster_version="test", migrations=[*known, bad])
    assert await schema_version(database) == len(known)
    async with database.raw_connection() as connection:
        assert await connection.fetchval("SELECT to_regclass('half')") is None


async def test_another_history_of_migrations_is_refused(database: Database) -> None:
    other = [Migration(1, "something_else", "SELECT 1"), *load_migrations()[1:]]
    with pytest.raises(MigrationError, match="where 0001_something_else belongs"):
        await migrate(database, muster_version="test", migrations=other)


async def test_every_named_statement_can_be_prepared_on_the_schema(database: Database) -> None:
    failed: dict[str, str] = {}
    async with database.raw_connection() as connection, connection.transaction():
        for name, query in load_queries().items():
            try:
                async with connection.transaction():
                    statement = await connection.prepare(query.sql)
                    # Temporary tables are made for good: the statements after them in the file speak of them.
                    if query.sql.startswith("CREATE TEMP"):
                        await statement.fetch(*[None for _ in statement.get_parameters()])
            except asyncpg.PostgresError as error:
                failed[name] = f"{query.file}: {error}"
    assert failed == {}
