"""The store of authorisation records: nothing is asked in a network without a live one (CN-23.3).

Records are never deleted: they show later on whose word a network was asked.
"""

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from catalog.database import Database
from catalog.errors import CatalogError
from catalog.model.network import (
    Authorisation,
    AuthorisedNetworks,
    NetworkRefused,
    refuse_public,
)

if TYPE_CHECKING:
    import asyncpg

logger = logging.getLogger(__name__)

MAX_TEXT: Final = 300
"""Characters of a document's title or a person's name."""


class NetworkUnknown(CatalogError):
    """Raised when there is no such authorisation record."""

    cause = "network_unknown"


@dataclass(frozen=True)
class NewAuthorisation:
    """What an operator enters."""

    cidr: str
    "A private network or a single address; see `catalog.model.network.refuse_public`."
    document: str
    approver: str
    expires_at: datetime


async def authorise_network(
    database: Database, record: NewAuthorisation, *, authorised_by: str, at: datetime
) -> Authorisation:
    """Enter an authorisation record.

    Args:
        database: the catalog.
        record: network, document, approver and expiry.
        authorised_by: the person who enters it.
        at: now, UTC.

    Raises:
        NetworkRefused: the network may not be authorised, a text is missing, or the record would be over already.
        DatabaseAway: no answer.
    """
    network = refuse_public(record.cidr)
    document = _text(record.document, "文件", "document")
    approver = _text(record.approver, "批准人", "approver")
    person = _text(authorised_by, "登记人", "person who enters it")
    if record.expires_at.tzinfo is None or record.expires_at <= at:
        raise NetworkRefused(
            "到期时间须带时区且晚于现在", "the expiry must have a time zone and lie in the future"
        )
    network_id = await database.fetchval(
        "network_add", network, document, approver, person, at, record.expires_at
    )
    logger.info(
        "network %s authorised by %s until %s (document %s, approved by %s)",
        network,
        person,
        record.expires_at.isoformat(),
        document,
        approver,
        extra={"action": "network_authorised", "network_id": network_id},
    )
    return Authorisation(network_id, network, document, approver, person, at, record.expires_at)


def _text(text: str, zh: str, en: str) -> str:
    text = text.strip()
    if not 1 <= len(text) <= MAX_TEXT or not text.isprintable():
        raise NetworkRefused(
            f"{zh}须为 1 至 {MAX_TEXT} 个可见字符", f"the {en} must be 1 to {MAX_TEXT} printable characters"
        )
    return text


async def list_networks(database: Database) -> list[Authorisation]:
    """Return every record, live or not, the newest first."""
    return [_authorisation(row) for row in await database.fetch("network_list")]


async def load_authorised(database: Database) -> AuthorisedNetworks:
    """Return all records in the form that is asked before every connection.

    Load it anew when the catalog says that `network` changed; expiry needs no reload.
    """
    return AuthorisedNetworks(await list_networks(database))


async def revoke_network(database: Database, network_id: int, *, person: str, at: datetime) -> None:
    """End a record before its expiry; a running sweep of it stops within a second.

    Revoking again changes nothing.

    Raises:
        NetworkUnknown: there is no such record.
    """
    by = _text(person, "操作人", "person who revokes it")
    if await database.execute("network_revoke", network_id, at, by) == 0:
        raise NetworkUnknown(f"there is no authorisation record {network_id}")
    logger.info(
        "authorisation record %d revoked by %s",
        network_id,
        person,
        extra={"action": "network_revoked", "network_id": network_id},
    )


def _authorisation(row: "asyncpg.Record") -> Authorisation:
    return Authorisation(
        network_id=row["network_id"],
        network=row["cidr"],
        document=row["document"],
        approver=row["approver"],
        authorised_by=row["authorised_by"],
        authorised_at=row["authorised_at"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
    )
