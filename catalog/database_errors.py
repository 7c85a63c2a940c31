"""Turn asyncpg's errors into the catalog's, with no value of a row and no part of the URL in them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import asyncpg

from catalog.errors import (
    CatalogError,
    ConstraintViolated,
    DatabaseAway,
    DatabaseRefused,
    DatabaseUrlInvalid,
    QueryFailed,
    TransactionConflict,
)

_AWAY: Final = ("08", "53", "57P", "58", "25006")
"""SQLSTATE prefixes of an absent server: connection, resources, shutdown, operating system, a standby."""

_REFUSED: Final = ("28", "3D")
"""SQLSTATE prefixes of a login that is refused and of a database that does not exist."""

_CONFLICT: Final = ("40", "55P03")
"""The same of transactions that were rolled back in favour of another, and of locks that another holds."""


@contextmanager
def translated(place: str) -> Iterator[None]:
    """Turn asyncpg's and the system's errors that leave the block into the catalog's.

    A `TimeoutError` counts as no answer; errors of the catalog and every other error pass unchanged.
    """
    try:
        yield
    except CatalogError:
        raise
    except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as error:
        # Their details repeat the values of the row; a traceback in the log would show them too.
        raise _from_server(place, error) from None
    except asyncpg.PostgresError as error:
        raise _from_server(place, error) from error
    except asyncpg.ClientConfigurationError as error:
        raise DatabaseUrlInvalid(f"{place}: a parameter of the database URL cannot be used") from error
    except (asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        # InternalClientError was seen five times in one server restart: it is the protocol torn in mid-answer.
        if "the server expects" in str(error):
            raise QueryFailed(f"{place}: {error}") from error
        raise DatabaseAway(f"{place}: {type(error).__name__}: {error}") from error
    except TimeoutError as error:
        raise DatabaseAway(f"{place}: no answer in time") from error
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise DatabaseAway(f"{place}: {reason}") from error


def _from_server(place: str, error: asyncpg.PostgresError) -> CatalogError:
    state = error.sqlstate or ""
    # The message alone: `detail` repeats the values of the offending row, a DataError's message one of them.
    is_silent = isinstance(error, asyncpg.DataError) or not error.args
    reason = f"a value does not fit: {type(error).__name__}" if is_silent else error.args[0]
    text = f"{place}: {reason} ({state})"
    if state.startswith(_AWAY) or isinstance(error, asyncpg.PostgresConnectionError):
        return DatabaseAway(text)
    if state.startswith(_REFUSED):
        return DatabaseRefused(text)
    if state.startswith(_CONFLICT):
        return TransactionConflict(text)
    if isinstance(error, asyncpg.IntegrityConstraintViolationError):
        return ConstraintViolated(
            text,
            constraint=error.constraint_name or "",
            table=error.table_name or "",
            column=error.column_name or "",
            sqlstate=state,
        )
    return QueryFailed(text, sqlstate=state)
