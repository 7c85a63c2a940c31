"""Who is told what happens: webhooks and mail, how far each has been told, and what each could not be told."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit

import asyncpg

from catalog.database import Database, Statements
from catalog.errors import CatalogError
from catalog.model.notice import NoticeEvent
from catalog.model.plan import StoredCredential
from catalog.reading import Region

logger = logging.getLogger(__name__)

MOST_TARGETS: Final = 50
"""Targets of a gateway."""

LONGEST_COLLECT: Final = 86_400
"""Seconds for which things may be gathered into one notice: a day."""

_LONGEST_FAILURE: Final = 300
_LONGEST_ADDRESS: Final = 500
# RFC 5322, 3.4.1, without quoted names: letters, digits and the marks that need no quotes, in parts between dots.
_ATOM: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-]+"
_MAIL_ADDRESS: Final = re.compile(
    rf"(?=[^@]{{1,64}}@){_ATOM}(?:\.{_ATOM})*@[A-Za-z0-9](?:[A-Za-z0-9\-]|\.(?=[A-Za-z0-9])){{0,251}}"
)


class TargetKind(StrEnum):
    """How a target is reached."""

    WEBHOOK = "webhook"
    MAIL = "mail"


_SCHEMES: Final = {TargetKind.WEBHOOK: ("https", "http"), TargetKind.MAIL: ("smtps", "smtp")}


class TargetUnknown(CatalogError):
    """Raised when no target has this name."""

    cause = "target_unknown"


@dataclass(frozen=True)
class NewTarget:
    """A target as a person gives it."""

    name: str
    kind: TargetKind
    address: str
    "`https://host/path`, `http://host/path`; `smtps://host:port`, `smtp://host:port`."
    credential_ref: str | None = None
    sender: str | None = None
    recipients: Sequence[str] = ()
    region: Region = field(default_factory=Region)
    events: Sequence[NoticeEvent] = tuple(NoticeEvent)
    collect: int = 60
    language: str = "zh"

    def __post_init__(self) -> None:
        if not 1 <= len(self.name) <= 100:
            raise ValueError("a name is 1 to 100 characters")
        if not self.events:
            raise ValueError("name at least one event: " + ", ".join(NoticeEvent))
        if not 0 <= self.collect <= LONGEST_COLLECT:
            raise ValueError(f"things are gathered for 0 to {LONGEST_COLLECT} seconds")
        self._check_address()
        if self.kind is TargetKind.WEBHOOK:
            if self.credential_ref is None:
                raise ValueError("a webhook needs a credential: its password signs every notice")
            return
        if self.sender is None or not self.recipients:
            raise ValueError("mail needs a sender and at least one recipient")
        for address in (self.sender, *self.recipients):
            if _MAIL_ADDRESS.fullmatch(address) is None:
                raise ValueError(f"{address[:100]!r} is no mail address")

    def _check_address(self) -> None:
        wanted = " or ".join(f"{scheme}://" for scheme in _SCHEMES[self.kind])
        try:
            parts = urlsplit(self.address)
            host, _ = parts.hostname, parts.port
        except ValueError:
            raise ValueError(f"an address begins with {wanted} and names a host") from None
        if host is None or parts.scheme not in _SCHEMES[self.kind] or len(self.address) > _LONGEST_ADDRESS:
            raise ValueError(f"an address begins with {wanted} and names a host")
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise ValueError("leave secrets out of the address: a stored credential is named beside it")


@dataclass(frozen=True)
class Target:
    """A stored target and how far it has been told."""

    target_id: int
    name: str
    kind: TargetKind
    address: str
    sender: str | None
    recipients: tuple[str, ...]
    credential: StoredCredential | None
    region: Region
    events: frozenset[NoticeEvent]
    collect: int
    language: str
    told_seq: int
    told_day: date
    pending_seq: int | None
    pending_day: date | None
    sent_at: datetime | None
    failing_since: datetime | None
    failure: str | None


async def add_target(
    database: Database, gateway_id: str, target: NewTarget, *, today: date, person: str
) -> int:
    """Add a target that is told what happens from now on, and return its id.

    Raises:
        ValueError: there are `MOST_TARGETS` already.
        ConstraintViolated: a target of this name exists.
        DatabaseAway: no answer.
    """
    if len(await list_targets(database, gateway_id)) >= MOST_TARGETS:
        raise ValueError(f"there are {MOST_TARGETS} targets already: remove one")
    async with database.transaction() as transaction:
        credential_id = None
        if target.credential_ref is not None:
            credential_id = await transaction.fetchval("credential_named", target.credential_ref)
        target_id = await transaction.fetchval(
            "notice_target_add",
            target.name,
            gateway_id,
            target.kind.value,
            target.address,
            target.sender,
            list(target.recipients),
            credential_id,
            target.region.prefix,
            [event.value for event in target.events],
            target.collect,
            target.language,
            today,
        )
    logger.info("notice target %s added by %s", target.name, person, extra={"action": "notice_target_added"})
    return int(target_id)


async def list_targets(database: Statements, gateway_id: str) -> list[Target]:
    """Return the targets of a gateway, oldest first; raises `DatabaseAway`."""
    return [_target(row) for row in await database.fetch("notice_target_list", gateway_id)]


async def remove_target(database: Database, gateway_id: str, name: str, *, person: str) -> None:
    """Forget a target.

    Raises:
        TargetUnknown: there is none of this name.
        DatabaseAway: no answer.
    """
    if not await database.execute("notice_target_remove", gateway_id, name):
        raise TargetUnknown(f"there is no target {name!r}: `muster notify list` shows them")
    logger.info("notice target %s removed by %s", name, person, extra={"action": "notice_target_removed"})


async def note_begun(database: Database, target: Target, seq: int, day: date) -> None:
    """Note what the notice tells that is sent now, so that it is sent again unchanged if nobody takes it."""
    await database.execute("notice_begin", target.target_id, seq, day)


async def note_done(database: Database, target: Target, sent_at: datetime | None) -> None:
    """Note that the notice was taken; None where there was nothing to tell in it."""
    await database.execute("notice_done", target.target_id, sent_at)


async def note_failed(database: Database, target: Target, at: datetime, why: str) -> None:
    """Note that the notice was not taken."""
    await database.execute("notice_failed", target.target_id, at, why[:_LONGEST_FAILURE])


def _target(row: asyncpg.Record) -> Target:
    return Target(
        target_id=row["target_id"],
        name=row["name"],
        kind=TargetKind(row["kind"]),
        address=row["address"],
        sender=row["sender"],
        recipients=tuple(row["recipients"]),
        credential=None
        if row["credential_id"] is None
        else StoredCredential(
            row["credential_id"], row["ref"], row["version"], row["username"], row["password_encrypted"]
        ),
        region=Region(row["region"]),
        events=frozenset(NoticeEvent(event) for event in row["events"]),
        collect=row["collect"],
        language=row["language"],
        told_seq=row["told_seq"],
        told_day=row["told_day"],
        pending_seq=row["pending_seq"],
        pending_day=row["pending_day"],
        sent_at=row["sent_at"],
        failing_since=row["failing_since"],
        failure=row["failure"],
    )
