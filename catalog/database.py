"""The door to PostgreSQL: named statements over one asyncpg pool, and errors in our own words.

Owns the pool and its sockets; starts no task of its own. No statement text is built from data: callers pass the
name of a statement (`catalog.queries`) and its `$1` parameters.
"""

import asyncio
import contextlib
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias
from urllib.parse import parse_qs, urlsplit

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from catalog.database_errors import translated
from catalog.database_silence import Silence
from catalog.errors import CatalogError, DatabaseAway, DatabaseTooOld, DatabaseUrlInvalid
from catalog.model.secret import Secret
from catalog.queries import Query, load_queries

logger = logging.getLogger(__name__)

if TYPE_CHECKING:  # asyncpg's classes take no parameters at run time
    RawConnection: TypeAlias = asyncpg.Connection[asyncpg.Record]
    Connection: TypeAlias = RawConnection | PoolConnectionProxy[asyncpg.Record]
else:
    RawConnection = asyncpg.Connection
    Connection = asyncpg.Connection

OLDEST_SERVER: Final = 15
"""Oldest major version of PostgreSQL that we support."""

COMMAND_TIMEOUT: Final = 5.0
"""Seconds after which a statement counts as unanswered, unless the call gives its own."""

POOL_SIZE: Final = 10
"""Connections at most; they are opened when first needed."""

ROWS_AT_ONCE: Final = 2_000
"""Rows that are read or written before others get their turn: some 20 ms of the event loop, which they share."""

RELEASE_TIMEOUT: Final = 2.0
"""Seconds that a connection may take to leave an unanswered statement; then it is cut off."""

CLOSE_TIMEOUT: Final = 5.0
"""Seconds that closing waits for statements under way before it cuts them off."""

SETTINGS: Final[Mapping[str, str]] = {
    "application_name": "muster",
    # Compiling a plan costs more than our short statements ever win back.
    "jit": "off",
    # One plan for all parameters serves a district or everything, a first page or a later one: 30 ms instead of 7.
    "plan_cache_mode": "force_custom_plan",
    "timezone": "UTC",
}


class Statements(ABC):
    """Run named statements: what `Database` and `Transaction` have in common, and what stores ask for."""

    def __init__(self, queries: Mapping[str, Query], place: str) -> None:
        self._queries = queries
        self._place = place

    @abstractmethod
    def _connection(self) -> AbstractAsyncContextManager[Connection]:
        """Lend a connection for one statement."""

    def _sql(self, name: str) -> str:
        return self._queries[name].sql

    async def fetch(self, name: str, *args: object, within: float | None = None) -> list[asyncpg.Record]:
        """Return all rows of the statement `name`.

        Args:
            name: the statement's name in `catalog/sql/*.sql`.
            args: its parameters `$1`, `$2` …
            within: seconds for the answer; `COMMAND_TIMEOUT` when not given.

        Raises:
            DatabaseAway: no answer.
            ConstraintViolated: the rows break a rule of the schema.
            TransactionConflict: another transaction was preferred.
            QueryFailed: PostgreSQL refuses the statement or its parameters.
        """
        with translated(self._place):
            async with self._connection() as connection:
                return await connection.fetch(self._sql(name), *args, timeout=within)

    async def fetchrow(self, name: str, *args: object, within: float | None = None) -> asyncpg.Record | None:
        """Return the first row of the statement `name`, or None; see `fetch`."""
        with translated(self._place):
            async with self._connection() as connection:
                return await connection.fetchrow(self._sql(name), *args, timeout=within)

    async def fetchval(self, name: str, *args: object, within: float | None = None) -> Any:
        """Return the first column of the first row of the statement `name`, or None; see `fetch`."""
        with translated(self._place):
            async with self._connection() as connection:
                return await connection.fetchval(self._sql(name), *args, timeout=within)

    async def execute(self, name: str, *args: object, within: float | None = None) -> int:
        """Run the statement `name` and return how many rows it touched; see `fetch`."""
        with translated(self._place):
            async with self._connection() as connection:
                tag = await connection.execute(self._sql(name), *args, timeout=within)
        count = tag.rpartition(" ")[2]
        return int(count) if count.isdecimal() else 0

    async def executemany(
        self, name: str, rows: Iterable[Sequence[object]], within: float | None = None
    ) -> None:
        """Run the statement `name` for each row, all or nothing.

        For thousands of rows one statement over `unnest($1::bigint[], …)` is twice as fast.
        """
        with translated(self._place):
            async with self._connection() as connection:
                await connection.executemany(self._sql(name), rows, timeout=within)


class Transaction(Statements):
    """The same calls inside one transaction; made by `Database.transaction()`."""

    def __init__(self, connection: Connection, queries: Mapping[str, Query], place: str) -> None:
        super().__init__(queries, place)
        self._bound = connection

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        yield self._bound

    async def copy(
        self,
        table: str,
        columns: Sequence[str],
        records: Iterable[Sequence[object]],
        *,
        within: float | None = None,
    ) -> int:
        """Append `records` to `table` by COPY and return their number; the way for 1,000 rows and more."""
        with translated(self._place):
            tag = await self._bound.copy_records_to_table(
                table, columns=list(columns), records=records, timeout=within
            )
        return int(tag.rpartition(" ")[2])

    async def gather(self, name: str, *args: object, within: float | None = None) -> list[asyncpg.Record]:
        """Return the rows of a statement that may have a hundred thousand, and let others have their turns.

        Raises:
            DatabaseAway: no answer.
        """
        return [row async for row in self.stream(name, *args, prefetch=ROWS_AT_ONCE, within=within)]

    async def stream(
        self, name: str, *args: object, prefetch: int = 500, within: float | None = None
    ) -> AsyncIterator[asyncpg.Record]:
        """Yield the rows of the statement `name`, holding at most `prefetch` of them in memory."""
        with translated(self._place):
            async for row in self._bound.cursor(self._sql(name), *args, prefetch=prefetch, timeout=within):
                yield row

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """Undo what is done inside, and only that, when an error leaves the block."""
        async with _transaction(self._bound, self._place):
            yield


class Database(Statements):
    """A pool of connections to one database.

    Entering it makes no connection: the gateway starts, and goes on, while PostgreSQL is away. Each call then
    raises `DatabaseAway` at once or after `COMMAND_TIMEOUT`, and works again as soon as the server is back
    (asyncpg replaces lost connections by itself). Of a server that is silent only one caller at a time waits for
    an answer (`catalog.database_silence`).
    """

    def __init__(
        self,
        url: str | Secret,
        *,
        queries: Mapping[str, Query] | None = None,
        command_timeout: float = COMMAND_TIMEOUT,
        pool_size: int = POOL_SIZE,
    ) -> None:
        """Prepare a pool.

        Args:
            url: `postgresql://user:password@host:port/database?…` as libpq reads it.
            queries: named statements; those of the package when not given.
            command_timeout: seconds for a statement, for opening a connection and for getting one.
            pool_size: connections at most.

        Raises:
            DatabaseUrlInvalid: the URL cannot be read.
        """
        self._url = url if isinstance(url, Secret) else Secret(url)
        super().__init__(load_queries() if queries is None else queries, place_of(self._url))
        self._command_timeout = command_timeout
        self._pool_size = pool_size
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._silence = Silence()

    def __repr__(self) -> str:
        return f"Database({self._place})"

    @property
    def place(self) -> str:
        """Where the database is, as `host:port/database`: for log lines, without user and password."""
        return self._place

    async def __aenter__(self) -> Self:
        with translated(self._place):
            # No connection yet (min_size=0): a pool with a floor cannot even be made while the server is away.
            self._pool = await asyncpg.create_pool(
                self._url.reveal(),
                min_size=0,
                max_size=self._pool_size,
                timeout=self._command_timeout,
                command_timeout=self._command_timeout,
                server_settings=dict(SETTINGS),
            )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            if not self._silence.is_silent:
                async with asyncio.timeout(CLOSE_TIMEOUT):
                    await pool.close()
        except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as cut_off:
            logger.warning(
                "%s: connections cut off at closing: %s",
                self._place,
                type(cut_off).__name__,
                extra={"action": "database_cut_off"},
            )
        finally:
            pool.terminate()

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        if self._pool is None:
            raise DatabaseAway(f"{self._place}: the pool is not open")
        now = asyncio.get_running_loop().time()
        with self._silence.turn(now, self._place, self._command_timeout) as patience:
            with translated(self._place):
                async with self._noticing_silence():
                    connection = await self._pool.acquire(timeout=patience)
            try:
                yield connection
            except BaseException:
                # Above all a cancellation: were it replaced by what a dead line does to us here, its task would go on.
                with contextlib.suppress(CatalogError):
                    await self._release(connection)
                raise
            await self._release(connection)

    async def _release(self, connection: "PoolConnectionProxy[asyncpg.Record]") -> None:
        with translated(self._place):
            async with self._noticing_silence():
                if self._pool is not None:
                    await self._pool.release(connection, timeout=RELEASE_TIMEOUT)

    @asynccontextmanager
    async def _noticing_silence(self) -> AsyncIterator[None]:
        """Notice that a connection can neither be opened nor brought back from an unanswered statement.

        A statement that is merely slow is no silence: the server answers its cancellation.
        """
        try:
            yield
        except TimeoutError:
            self._silence.begin(asyncio.get_running_loop().time())
            if self._pool is not None:
                # Each of the idle ones would cost a whole timeout to be found dead.
                await self._pool.expire_connections()
            raise

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Run what is inside in one transaction: committed at the end, undone when an error leaves the block.

        Raises:
            DatabaseAway: no answer. When it comes from the end of the block, whether the transaction was
                committed is not known; the writer repeats it, so it must be safe to repeat.
        """
        async with self._connection() as connection, _transaction(connection, self._place):
            yield Transaction(connection, self._queries, self._place)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Transaction]:
        """Run what is inside on one state of the database, whatever is committed meanwhile; nothing can be written.

        Raises:
            DatabaseAway: no answer.
        """
        async with self._connection() as connection, _transaction(connection, self._place, reading=True):
            yield Transaction(connection, self._queries, self._place)

    @asynccontextmanager
    async def raw_connection(self) -> AsyncIterator[RawConnection]:
        """Lend a connection of its own, without command timeout: for migrations, `check` and tests."""
        with translated(self._place):
            connection = await asyncpg.connect(
                self._url.reveal(), timeout=self._command_timeout, server_settings=dict(SETTINGS)
            )
            try:
                yield connection
                if not connection.is_closed():
                    await connection.close(timeout=self._command_timeout)
            finally:
                # Nothing that could fail or wait: a cancellation must leave as it is.
                connection.terminate()

    async def is_up(self, *, within: float = 1.0) -> bool:
        """Return whether PostgreSQL answers a query within `within` seconds."""
        try:
            with translated(self._place):
                async with asyncio.timeout(within), self._connection() as connection:
                    return bool(await connection.fetchval("SELECT true"))
        except CatalogError:
            return False

    async def wait_until_up(self, *, within: float) -> None:
        """Return as soon as PostgreSQL answers.

        Args:
            within: seconds to wait at most.

        Raises:
            DatabaseAway: it still does not answer; the message holds the last reason.
        """
        last = DatabaseAway(f"{self._place}: no answer within {within:g} s")
        try:
            async with asyncio.timeout(within):
                while True:
                    try:
                        await self.server_version()
                    except DatabaseAway as error:
                        last = error
                        await asyncio.sleep(0.1)
                    else:
                        return
        except TimeoutError:
            raise last from None

    async def server_version(self) -> int:
        """Return the server's version number as PostgreSQL counts: 180004 is 18.4.

        Raises:
            DatabaseAway: no answer.
        """
        with translated(self._place):
            async with self._connection() as connection:
                return int(await connection.fetchval("SELECT current_setting('server_version_num')"))

    async def require_version(self, oldest: int = OLDEST_SERVER) -> None:
        """Check that the server is new enough.

        Raises:
            DatabaseTooOld: its major version is below `oldest`.
            DatabaseAway: no answer.
        """
        major = await self.server_version() // 10_000
        if major < oldest:
            raise DatabaseTooOld(f"{self._place}: PostgreSQL {major} is too old, {oldest} or newer is needed")


@asynccontextmanager
async def _transaction(connection: Connection, place: str, *, reading: bool = False) -> AsyncIterator[None]:
    """Open a transaction or savepoint. Errors of the block itself are the caller's and pass unchanged."""
    transaction = (
        connection.transaction(isolation="repeatable_read", readonly=True)
        if reading
        else connection.transaction()
    )
    with translated(place):
        await transaction.start()
    is_done = False
    try:
        yield
        is_done = True
    finally:
        if not is_done:
            # A connection that is gone has undone it already, and the block's own error counts.
            with contextlib.suppress(CatalogError), translated(place):
                await transaction.rollback()
    with translated(place):
        await transaction.commit()


def place_of(url: Secret) -> str:
    """Return `host:port/database` of a PostgreSQL URL, without user and password.

    Raises:
        DatabaseUrlInvalid: the scheme is not PostgreSQL's, or host or port cannot be read.
    """
    try:
        parts = urlsplit(url.reveal())
        host, port = parts.hostname, parts.port
    except ValueError:
        # Never the original text: an unescaped '/' or '#' in a password lands in the port.
        raise DatabaseUrlInvalid(
            "the database URL cannot be read: special characters of the password must be %-escaped"
        ) from None
    if "@" in parts.path + parts.query or parts.fragment:
        # The same with digits before it: the host is none and the password would be shown as the path.
        raise DatabaseUrlInvalid("the database URL cannot be read: '@', '/' and '#' must be %-escaped")
    if parts.scheme not in {"postgresql", "postgres"}:
        raise DatabaseUrlInvalid("the database URL must begin with postgresql://")
    host = host or parse_qs(parts.query).get("host", ["local socket"])[0]
    return f"{host}{f':{port}' if port else ''}{parts.path}"
