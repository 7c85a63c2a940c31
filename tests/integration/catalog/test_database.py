"""The door to PostgreSQL: values come through, errors come out in our words, and outages end by themselves."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from catalog.database import Database, RawConnection, place_of
from catalog.embedded_cluster import Cluster
from catalog.errors import (
    ConstraintViolated,
    DatabaseAway,
    DatabaseRefused,
    DatabaseTooOld,
    DatabaseUrlInvalid,
    QueryFailed,
    TransactionConflict,
)
from catalog.model.secret import Secret
from catalog.queries import parse_queries
from tests.postgres import PostgresServer
from tests.waiting import eventually

pytestmark = pytest.mark.postgres

PASSWORD = "canary-Passw0rd"
QUERIES = parse_queries(
    """
-- name: make_tables
-- Makes a table with rules.
CREATE TABLE item (item_id int PRIMARY KEY, name text NOT NULL CONSTRAINT name_given CHECK (name <> ''));

-- name: add
-- Adds an item.
INSERT INTO item (item_id, name) VALUES ($1, $2);

-- name: rename
-- Renames an item.
UPDATE item SET name = $2 WHERE item_id = $1;

-- name: all_items
-- Every item.
SELECT item_id, name FROM item ORDER BY item_id;

-- name: how_many
-- Counts.
SELECT count(*) FROM item;

-- name: wait
-- Waits $1 seconds.
SELECT true FROM pg_sleep($1);

-- name: broken
-- Names a column that is not there.
SELECT no_such_column FROM item;

-- name: settings
-- The session's settings that we rely on.
SELECT current_setting('jit') AS jit, current_setting('timezone') AS timezone,
       current_setting('application_name') AS application_name, current_user::text AS role,
       (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS is_superuser;
""",
    file="test.sql",
)


@pytest.fixture
def empty_url(postgres: PostgresServer) -> Iterator[str]:
    with postgres.copy("template0") as url:
        yield url


async def test_statements_run_by_name(empty_url: str) -> None:
    async with Database(empty_url, queries=QUERIES) as database:
        await database.execute("make_tables")
        assert await database.execute("add", 1, "one") == 1
        await database.executemany("add", [(2, "two"), (3, "three")])
        assert await database.execute("rename", 9, "nine") == 0
        assert [tuple(row) for row in await database.fetch("all_items")] == [
            (1, "one"),
            (2, "two"),
            (3, "three"),
        ]
        assert await database.fetchval("how_many") == 3
        row = await database.fetchrow("all_items")
        assert row is not None
        assert row["name"] == "one"


async def test_sessions_run_with_our_settings_and_without_superuser_rights(empty_url: str) -> None:
    async with Database(empty_url, queries=QUERIES) as database:
        row = await database.fetchrow("settings")
        assert row is not None
        assert dict(row) == {
            "jit": "off",
            "timezone": "UTC",
            "application_name": "muster",
            "role": "muster",
            "is_superuser": False,
        }


async def test_a_transaction_is_stored_whole_or_not_at_all(empty_url: str) -> None:
    async with Database(empty_url, queries=QUERIES) as database:
        await database.execute("make_tables")
        async with database.transaction() as transaction:
            await transaction.execute("add", 1, "one")
            assert await transaction.copy("item", ["item_id", "name"], [(2, "two"), (3, "three")]) == 2

        async def half() -> None:
            async with database.transaction() as transaction:
                await transaction.execute("add", 4, "four")
                await transaction.execute("add", 1, "again")

        with pytest.raises(ConstraintViolated):
            await half()
        assert await database.fetchval("how_many") == 3


async def test_a_savepoint_undoes_only_itself(empty_url: str) -> None:
    async with Database(empty_url, queries=QUERIES) as database:
        await database.execute("make_tables")
        async with database.transaction() as transaction:
            await transaction.execute("add", 1, "one")
            with pytest.raises(ConstraintViolated):
                async with transaction.savepoint():
                    await transaction.execute("add", 2, "")
        assert await database.fetchval("how_many") == 1


async def test_a_stream_gives_every_row_in_order(empty_url: str) -> None:
    async with Database(empty_url, queries=QUERIES) as database:
        await database.execute("make_tables")
        async with database.transaction() as transaction:
            await transaction.copy("item", ["item_id", "name"], [(n, "x") for n in range(1200)])
            rows = [row["item_id"] async for row in transaction.stream("all_items", prefetch=100)]
        assert rows == list(range(1200))


async def test_a_broken_rule_names_the_constraint_and_not_the_values(empty_url: str) -> None:
    async with Database(empty_url, queries=QUERIES) as database:
        await database.execute("make_tables")
        with pytest.raises(ConstraintViolated) as caught:
            await database.execute("add", 1, "")
        assert (caught.value.constraint, caught.value.table) == ("name_given", "item")
        await database.execute("add", 1, PASSWORD)
        with pytest.raises(ConstraintViolated) as caught:
            await database.execute("add", 1, PASSWORD)
        assert caught.value.sqlstate == "23505"
        assert PASSWORD not in str(caught.value)


async def test_a_wrong_statement_or_parameter_is_our_fault_and_not_an_outage(empty_url: str) -> None:
    async with Database(empty_url, queries=QUERIES) as database:
        await database.execute("make_tables")
        with pytest.raises(QueryFailed) as caught:
            await database.fetch("broken")
        assert caught.value.sqlstate == "42703"
        with pytest.raises(QueryFailed, match="a value does not fit") as caught:
            await database.execute("add", PASSWORD, "one")
        assert PASSWORD not in str(caught.value)
        assert caught.value.__suppress_context__
        with pytest.raises(QueryFailed, match="expects 2 arguments"):
            await database.execute("add", 1)


async def test_two_transactions_in_each_others_way_are_told_to_repeat(empty_url: str) -> None:
    async with Database(empty_url, queries=QUERIES) as database:
        await database.execute("make_tables")
        await database.executemany("add", [(1, "one"), (2, "two")])
        both_hold = asyncio.Barrier(2)

        async def rename(first: int, second: int) -> str:
            try:
                async with database.transaction() as transaction:
                    await transaction.execute("rename", first, "new")
                    await both_hold.wait()
                    await transaction.execute("rename", second, "new")
            except TransactionConflict:
                return "conflict"
            return "stored"

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(rename(1, 2)), group.create_task(rename(2, 1))]
        assert sorted(task.result() for task in tasks) == ["conflict", "stored"]


async def test_an_answer_that_takes_too_long_is_an_outage(empty_url: str) -> None:
    async with Database(empty_url, queries=QUERIES, command_timeout=0.2) as database:
        with pytest.raises(DatabaseAway, match="no answer in time"):
            await database.fetchval("wait", 30)
        assert await database.fetchval("wait", 0.3, within=10) is True
        assert await database.is_up()


async def test_a_server_that_accepts_and_says_nothing_is_an_outage() -> None:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answering.add(writer)
        await reader.read()
        writer.close()
        await writer.wait_closed()
        answering.discard(writer)

    answering: set[asyncio.StreamWriter] = set()
    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        url = f"postgresql://muster:{PASSWORD}@127.0.0.1:{port}/muster?sslmode=disable"
        async with Database(url, queries=QUERIES, command_timeout=0.2) as database:
            with pytest.raises(DatabaseAway) as caught:
                await database.fetch("all_items")
            assert not await database.is_up(within=0.2)
        await eventually(lambda: not answering, what="the end of every connection")
    assert PASSWORD not in str(caught.value)


async def test_a_closed_port_is_an_outage_without_the_password_in_it() -> None:
    async with Database(f"postgresql://muster:{PASSWORD}@127.0.0.1:1/muster", queries=QUERIES) as database:
        with pytest.raises(DatabaseAway, match=r"127\.0\.0\.1:1/muster") as caught:
            await database.fetch("all_items")
        with pytest.raises(DatabaseAway, match=r"127\.0\.0\.1:1/muster"):
            await database.wait_until_up(within=0.1)
        assert PASSWORD not in f"{caught.value} {database!r} {database.place}"


async def test_an_unknown_database_is_refused(empty_url: str) -> None:
    async with Database(empty_url.replace("/test_", "/no_test_"), queries=QUERIES) as database:
        with pytest.raises(DatabaseRefused, match="does not exist"):
            await database.fetch("all_items")


async def test_an_old_server_is_refused(empty_url: str) -> None:
    async with Database(empty_url, queries=QUERIES) as database:
        await database.require_version()
        with pytest.raises(DatabaseTooOld, match="99 or newer"):
            await database.require_version(99)


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://muster:{PASSWORD}/x@127.0.0.1/muster",
        f"postgresql://muster:{PASSWORD}#x@127.0.0.1:5432/muster",
        "postgresql://muster:12/canary-Passw0rd@127.0.0.1/muster",
        f"mysql://muster:{PASSWORD}@127.0.0.1/muster",
        PASSWORD,
    ],
)
def test_an_unreadable_url_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(DatabaseUrlInvalid) as caught:
        place_of(Secret(url))
    assert PASSWORD not in str(caught.value)
    assert caught.value.__context__ is None or caught.value.__suppress_context__


async def test_a_call_outside_the_context_is_an_outage(empty_url: str) -> None:
    with pytest.raises(DatabaseAway, match="not open"):
        await Database(empty_url, queries=QUERIES).fetch("all_items")


@contextmanager
def _counted(failures: list[str]) -> Iterator[None]:
    try:
        yield
    except DatabaseAway as error:
        failures.append(type(error.__cause__).__name__)


async def test_calls_fail_as_away_while_the_server_is_stopped_and_work_again_after(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, {"fsync": "off"})
    await cluster.create_if_missing()
    await cluster.start()
    try:
        await cluster.create_database_if_missing()
        async with Database(cluster.url, queries=QUERIES) as database:
            await database.execute("make_tables")
            failures: list[str] = []
            stop = asyncio.Event()

            async def use() -> None:
                while not stop.is_set():
                    with _counted(failures):
                        await database.fetch("all_items")
                    await asyncio.sleep(0.01)

            async with asyncio.TaskGroup() as group:
                for _ in range(4):
                    group.create_task(use())
                await asyncio.sleep(0)
                for _ in range(3):
                    await cluster.stop()
                    assert not await database.is_up()
                    seen = len(failures)
                    await eventually(lambda: len(failures) > seen, what="a failing call")  # noqa: B023
                    await cluster.start()
                    await database.wait_until_up(within=10)
                stop.set()
            assert failures
            assert await database.fetchval("how_many") == 0
    finally:
        await cluster.stop()


@pytest.mark.parametrize("own_error", [TimeoutError, ConnectionResetError, ValueError])
async def test_an_error_of_the_callers_own_undoes_the_transaction_and_passes_unchanged(
    empty_url: str, own_error: type[Exception]
) -> None:
    async with Database(empty_url, queries=QUERIES) as database:
        await database.execute("make_tables")

        async def write() -> None:
            async with database.transaction() as transaction:
                await transaction.execute("add", 1, "one")
                raise own_error

        with pytest.raises(own_error):
            await write()
        assert await database.fetchval("how_many") == 0


async def test_a_wrong_parameter_in_the_url_is_no_outage() -> None:
    url = f"postgresql://muster:{PASSWORD}@127.0.0.1:1/muster?sslmode=nonsense"
    with pytest.raises(DatabaseUrlInvalid):
        async with Database(url, queries=QUERIES) as database:
            await database.fetch("all_items")


@pytest.mark.parametrize("writes_after_the_cut", [0, 1])
async def test_a_transaction_cut_off_by_the_server_is_an_outage_and_stores_nothing(
    empty_url: str, writes_after_the_cut: int
) -> None:
    async with Database(empty_url, queries=QUERIES) as database, database.raw_connection() as killer:
        await database.execute("make_tables")

        async def write() -> None:
            async with database.transaction() as transaction:
                await transaction.execute("add", 1, "one")
                await _cut_all_others(killer)
                for number in range(writes_after_the_cut):
                    await transaction.execute("add", 2 + number, "more")

        with pytest.raises(DatabaseAway):
            await write()
        assert await database.fetchval("how_many") == 0


async def _cut_all_others(connection: RawConnection) -> None:
    await connection.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
