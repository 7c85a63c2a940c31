"""The store of sinks: central platforms that take our streams by RTSP RECORD."""

import logging
import re
from dataclasses import dataclass
from typing import Final

from catalog.database import Database
from catalog.errors import CatalogError
from catalog.model.plan import StoredCredential
from catalog.roll_cells import holds_credentials
from catalog.sources import check_pin

logger = logging.getLogger(__name__)

_HOST: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.\-]{0,251}[A-Za-z0-9])?|[0-9A-Fa-f:.]{2,45}")
_PATH_PREFIX: Final = re.compile(r"/[A-Za-z0-9\-._~!$&'()*+,;=:@%/]{0,255}")


class SinkUnknown(CatalogError):
    """Raised when no sink has this name."""

    cause = "sink_unknown"


@dataclass(frozen=True)
class NewSink:
    """A sink as a person gives it."""

    name: str
    host: str
    port: int
    path_prefix: str = "/"
    "The source's code follows it as the last part of the path."
    tls: bool = False
    tls_pin_sha256: str | None = None
    credential_ref: str | None = None
    allow_basic: bool = False
    "Whether it may be answered with Basic outside TLS."

    def __post_init__(self) -> None:
        if not 1 <= len(self.name) <= 100:
            raise ValueError("a name is 1 to 100 characters")
        if _HOST.fullmatch(self.host) is None:
            raise ValueError("a host is an IP address or a name")
        if not 1 <= self.port <= 65535:
            raise ValueError("a port is between 1 and 65535")
        if _PATH_PREFIX.fullmatch(self.path_prefix) is None:
            raise ValueError("a path prefix begins with / and has no query")
        if holds_credentials(self.path_prefix):
            raise ValueError(
                "leave user and password out of the path: a stored credential is named beside it"
            )
        if self.tls_pin_sha256 is not None and not self.tls:
            raise ValueError("a pinned certificate needs TLS")
        check_pin(self.tls_pin_sha256)


@dataclass(frozen=True)
class Sink:
    """A stored sink."""

    sink_id: int
    name: str
    host: str
    port: int
    path_prefix: str
    tls: bool
    tls_pin_sha256: str | None
    allow_basic: bool
    enabled: bool
    credential: StoredCredential | None

    def path_of(self, code: str) -> str:
        """Return the path under which the source `code` is pushed."""
        return f"{self.path_prefix.rstrip('/')}/{code}"


async def list_sinks(database: Database) -> list[Sink]:
    """Return all sinks, oldest first; raises `DatabaseAway`."""
    return [
        Sink(
            sink_id=row["sink_id"],
            name=row["name"],
            host=row["host"],
            port=row["port"],
            path_prefix=row["path_prefix"],
            tls=row["tls"],
            tls_pin_sha256=row["tls_pin_sha256"],
            allow_basic=row["allow_basic"],
            enabled=row["enabled"],
            credential=None
            if row["credential_id"] is None
            else StoredCredential(
                row["credential_id"], row["ref"], row["version"], row["username"], row["password_encrypted"]
            ),
        )
        for row in await database.fetch("sink_list")
    ]


async def add_sink(database: Database, sink: NewSink, *, person: str) -> int:
    """Add a sink, enabled, and return its id.

    Raises:
        ConstraintViolated: a sink of this name exists.
    """
    async with database.transaction() as transaction:
        credential_id = None
        if sink.credential_ref is not None:
            credential_id = await transaction.fetchval("credential_named", sink.credential_ref)
        sink_id = await transaction.fetchval(
            "sink_add",
            sink.name,
            sink.host,
            sink.port,
            sink.path_prefix,
            sink.tls,
            sink.tls_pin_sha256,
            sink.allow_basic,
            credential_id,
        )
    logger.info("sink %s: added by %s", sink.name, person, extra={"action": "sink_added"})
    return int(sink_id)


async def remove_sink(database: Database, name: str, *, person: str) -> None:
    """Forget a sink; raises `SinkUnknown`."""
    if not await database.execute("sink_remove", name):
        raise SinkUnknown(f"there is no sink {name!r}")
    logger.info("sink %s: removed by %s", name, person, extra={"action": "sink_removed"})


async def enable_sink(database: Database, name: str, *, enabled: bool, person: str) -> None:
    """Use a sink or leave it unused; raises `SinkUnknown`."""
    if not await database.execute("sink_enable", name, enabled):
        raise SinkUnknown(f"there is no sink {name!r}")
    word = "enabled" if enabled else "disabled"
    logger.info("sink %s: %s by %s", name, word, person, extra={"action": f"sink_{word}"})
