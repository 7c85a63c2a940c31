"""A listener hears each change once, and hears that it hears nothing any more."""

import pytest

from catalog.database import Database
from catalog.errors import DatabaseAway
from catalog.notifications import listen

pytestmark = pytest.mark.postgres


async def test_changes_of_several_rows_are_heard_as_one(database: Database) -> None:
    async with listen(database, "muster_changed") as notifications:
        async with database.transaction() as transaction:
            await transaction.execute("credential_ensure", "gate")
            await transaction.execute("credential_ensure", "hall")
        assert await anext(notifications) == "credential"
        async with database.raw_connection() as connection:
            await connection.execute("SELECT pg_notify('muster_changed', 'last')")
        assert await anext(notifications) == "last"


async def test_a_cut_connection_is_an_error_and_not_silence(database: Database) -> None:
    async with listen(database, "muster_changed") as notifications:
        async with database.raw_connection() as connection:
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
                " AND datname = current_database()"
            )
        with pytest.raises(DatabaseAway, match="closed"):
            await anext(notifications)


async def test_silence_is_checked_and_harmless(database: Database) -> None:
    async with listen(database, "muster_changed", quiet=0.01) as notifications:
        async with database.raw_connection() as connection:
            await connection.execute("SELECT pg_sleep(0.1), pg_notify('muster_changed', 'source')")
        assert await anext(notifications) == "source"
