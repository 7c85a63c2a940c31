"""Editions go out by two people: one compiles and proposes, another one reviews and approves.

What is approved is what was proposed: it is compiled again, and where the roll would give something else by now,
nothing is published. (Review before publication: Government Information Disclosure Regulation Art. 14, 17.)
"""

import hashlib
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

import asyncpg

from catalog.database import Database, Statements, Transaction
from catalog.jurisdictions import Jurisdiction
from catalog.publication import (
    UNNAMED_PERSON,
    Draft,
    Imprint,
    PublicationRefused,
    PublicEdition,
    compile_edition,
    write_edition,
)
from catalog.reading import LOCAL, local_day
from catalog.signing import canonical

logger = logging.getLogger(__name__)

TIMEOUT: Final = 60.0
"""Seconds for one statement."""

MOST: Final = 100
"""Proposals of a list."""

LONGEST_REASON: Final = 500


@dataclass(frozen=True)
class Actor:
    """Who proposes or decides."""

    person: str
    token_prefix: str | None = None
    "Of the token, where it came with one: two names on one token are one person."

    def is_same_as(self, person: str, token_prefix: str | None) -> bool:
        """Tell whether this may be the same person."""
        same_token = token_prefix is not None and token_prefix == self.token_prefix
        return same_token or person.strip().casefold() == self.person.strip().casefold()


@dataclass(frozen=True)
class Proposal:
    """A proposed edition and what became of it."""

    proposal_id: int
    effective_from: date
    entries: int
    entries_sha256: str
    proposed_at: datetime
    proposed_by: str
    token_prefix: str | None
    decision: str | None
    "`approved` or `rejected`; None while it waits."
    decided_at: datetime | None
    decided_by: str | None
    reason: str | None
    edition: str | None
    "Number of the edition that it became."


@dataclass(frozen=True)
class Review:
    """What a second person should look at before a draft becomes public."""

    entries: int
    withheld: dict[str, int]
    "Site names that are not published, by reason."
    natural_persons: int
    "Entries whose holder is not named."
    sensitive: int
    "Entries of classes whose places are not named."
    future_due: int
    "Entries whose due day is still to come: nobody is late with them."


def review(draft: Draft) -> Review:
    """Return what is to be looked at in a draft."""
    today = draft.compiled_at.astimezone(LOCAL).date()
    sensitive = draft.profile.public_catalog.suppressed_site_classes
    return Review(
        entries=len(draft.entries),
        withheld=dict(sorted(Counter(each.reason for each in draft.withheld).items())),
        natural_persons=sum(entry.holder == UNNAMED_PERSON for entry in draft.entries),
        sensitive=sum(entry.place_class in sensitive for entry in draft.entries),
        future_due=sum(entry.due_on > today for entry in draft.entries),
    )


def draft_hash(draft: Draft) -> str:
    """Return the SHA-256 of what a draft would make public, in hex."""
    entries = [
        [
            str(entry.entry_id),
            entry.holder,
            entry.place_class,
            entry.district,
            entry.site_name,
            entry.due_on.isoformat(),
            entry.basis,
        ]
        for entry in draft.entries
    ]
    return hashlib.sha256(canonical({"profile": draft.profile.name, "entries": entries})).hexdigest()


async def propose(database: Database, draft: Draft, actor: Actor, *, at: datetime) -> int:
    """Propose a draft and return the proposal's number.

    Raises:
        CatalogError: as `Statements.fetch`.
    """
    proposal_id: int = await database.fetchval(
        "proposal_add",
        draft.jurisdiction.district,
        draft.effective_from,
        len(draft.entries),
        draft_hash(draft),
        at,
        actor.person,
        actor.token_prefix,
    )
    logger.info("edition proposal %s by %s", proposal_id, actor.person, extra={"action": "edition_proposed"})
    return proposal_id


async def list_proposals(database: Statements, jurisdiction: Jurisdiction) -> Sequence[Proposal]:
    """Return the proposals of a jurisdiction, the newest first, `MOST` at most.

    Raises:
        CatalogError: as `Statements.fetch`.
    """
    rows = await database.fetch("proposal_list", jurisdiction.district, None, MOST)
    return [_proposal(row) for row in rows]


async def approve(
    database: Database,
    jurisdiction: Jurisdiction,
    proposal_id: int,
    actor: Actor,
    imprint: Imprint,
    *,
    at: datetime,
) -> PublicEdition:
    """Publish a proposal that somebody else made.

    Raises:
        PublicationRefused: there is no such proposal, it was decided, the same person made it, or the roll gives
            something else by now; nothing was published.
        CatalogError: as `Statements.fetch`; nothing was published.
    """
    async with database.transaction() as transaction:
        found = await _waiting(transaction, jurisdiction, proposal_id)
        if actor.is_same_as(found.proposed_by, found.token_prefix):
            raise PublicationRefused(
                "second_person_needed",
                f"proposal {proposal_id} was made by {found.proposed_by}: somebody else must approve it",
            )
        effective = max(found.effective_from, local_day(at))
        draft = await compile_edition(transaction, jurisdiction, at=at, effective_from=effective)
        if draft_hash(draft) != found.entries_sha256:
            raise PublicationRefused(
                "proposal_outdated",
                f"the roll has changed since proposal {proposal_id}: propose it again and look at the difference",
            )
        edition_id, edition = await write_edition(transaction, draft, imprint, at=at)
        await transaction.execute(
            "proposal_decide", proposal_id, "approved", at, actor.person, "", edition_id
        )
    return edition


async def reject(
    database: Database,
    jurisdiction: Jurisdiction,
    proposal_id: int,
    actor: Actor,
    reason: str,
    *,
    at: datetime,
) -> None:
    """Turn a proposal down; whoever made it may take it back so.

    Raises:
        PublicationRefused: there is no such proposal, it was decided, or no reason is given.
        CatalogError: as `Statements.fetch`.
    """
    text = reason.strip()
    if not 1 <= len(text) <= LONGEST_REASON:
        raise PublicationRefused(
            "proposal_invalid", f"a reason of 1 to {LONGEST_REASON} characters must be given"
        )
    async with database.transaction() as transaction:
        await _waiting(transaction, jurisdiction, proposal_id)
        await transaction.execute("proposal_decide", proposal_id, "rejected", at, actor.person, text, None)
    logger.info(
        "edition proposal %s rejected by %s", proposal_id, actor.person, extra={"action": "edition_rejected"}
    )


async def _waiting(transaction: Transaction, jurisdiction: Jurisdiction, proposal_id: int) -> Proposal:
    """Return a proposal that waits, and let nobody else decide it meanwhile."""
    await transaction.execute("edition_lock", within=TIMEOUT)
    if not 0 < proposal_id < 2**63:
        rows = []
    else:
        rows = await transaction.fetch("proposal_list", jurisdiction.district, proposal_id, 1)
    if not rows:
        raise PublicationRefused(
            "proposal_unknown", f"there is no proposal {proposal_id}: `muster catalog proposals` shows them"
        )
    found = _proposal(rows[0])
    if found.decision is not None:
        raise PublicationRefused(
            "proposal_decided", f"proposal {proposal_id} was {found.decision} by {found.decided_by}"
        )
    return found


def _proposal(row: asyncpg.Record) -> Proposal:
    return Proposal(
        proposal_id=row["proposal_id"],
        effective_from=row["effective_from"],
        entries=row["entries"],
        entries_sha256=row["entries_sha256"],
        proposed_at=row["proposed_at"],
        proposed_by=row["proposed_by"],
        token_prefix=row["token_prefix"],
        decision=row["decision"],
        decided_at=row["decided_at"],
        decided_by=row["decided_by"],
        reason=row["reason"],
        edition=row["number"],
    )
