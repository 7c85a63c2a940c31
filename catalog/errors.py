"""The catalog's error tree: asyncpg's and the operating system's errors are translated into these at the door.

* `CatalogError`
    * `DatabaseAway` – no answer from PostgreSQL now; the same call may work later
        * `DatabaseRefused` – PostgreSQL answers but does not let us in (password, database name)
    * `DatabaseUrlInvalid` – the configured URL cannot be read
    * `DatabaseTooOld` – PostgreSQL is older than we support
    * `ConstraintViolated` – the rows break a rule of the schema
    * `TransactionConflict` – deadlock or serialization failure; run the whole transaction again
    * `QueryFailed` – PostgreSQL refuses the statement: a bug of ours
    * `MigrationError` – the schema cannot be brought to this program's version
        * `SchemaNewer` – the database belongs to a newer program
    * `EmbeddedPostgresError` – the embedded server cannot be created, started or stopped
        * `DatabaseInUse` – another gateway holds the folder
    * `CredentialUnreadable` – a stored credential cannot be decrypted
    * `KeyUnusable` – the key file or variable is missing, malformed or open to others

No message holds a password, a key or the values of a row.
"""

from typing import ClassVar


class CatalogError(Exception):
    """Something went wrong with the catalog.

    Attributes:
        cause: one stable word for logs and API answers.
        retryable: whether trying again later, unchanged, can help.
    """

    cause: ClassVar[str] = "catalog_error"
    retryable: ClassVar[bool] = False


class DatabaseAway(CatalogError):
    """Raised when PostgreSQL does not answer: refused, closed, starting, stopping, out of resources, too slow.

    After it the outcome of a COMMIT that was on its way is not known: writers must be safe to repeat.
    """

    cause = "database_away"
    retryable = True


class DatabaseRefused(DatabaseAway):
    """Raised when PostgreSQL answers but refuses the login or does not know the database."""

    cause = "database_refused"


class DatabaseUrlInvalid(CatalogError):
    """Raised when the database URL cannot be read; the text never repeats the URL."""

    cause = "database_url_invalid"


class DatabaseTooOld(CatalogError):
    """Raised when the server is older than the oldest version we support."""

    cause = "database_too_old"


class ConstraintViolated(CatalogError):
    """Raised when a write breaks a constraint of the schema.

    Attributes:
        constraint: name of the constraint, empty where PostgreSQL names none (NOT NULL).
        table: name of the table.
        column: name of the column, for NOT NULL only.
        sqlstate: five characters, e.g. `23505` for a duplicate key.
    """

    cause = "constraint_violated"

    def __init__(self, message: str, *, constraint: str, table: str, column: str, sqlstate: str) -> None:
        super().__init__(message)
        self.constraint = constraint
        self.table = table
        self.column = column
        self.sqlstate = sqlstate


class TransactionConflict(CatalogError):
    """Raised when PostgreSQL gave up our transaction for another's sake."""

    cause = "transaction_conflict"
    retryable = True


class QueryFailed(CatalogError):
    """Raised when PostgreSQL refuses a statement for a reason that repeating does not heal.

    Attributes:
        sqlstate: five characters, empty when asyncpg itself refused the arguments.
    """

    cause = "query_failed"

    def __init__(self, message: str, *, sqlstate: str = "") -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


class MigrationError(CatalogError):
    """Raised when the schema cannot be brought to this program's version; the database is unchanged."""

    cause = "migration_failed"


class SchemaNewer(MigrationError):
    """Raised when the database was migrated by a newer program than this one."""

    cause = "schema_newer"


class EmbeddedPostgresError(CatalogError):
    """Raised when the embedded server cannot be created, started or stopped."""

    cause = "embedded_postgres_failed"


class DatabaseInUse(EmbeddedPostgresError):
    """Raised when another gateway already runs on this folder."""

    cause = "database_in_use"


class CredentialUnreadable(CatalogError):
    """Raised when a stored credential cannot be decrypted: wrong key, moved row or changed bytes."""

    cause = "credential_unreadable"


class KeyUnusable(CatalogError):
    """Raised when the vault's key is missing, malformed or readable by others."""

    cause = "key_unusable"
