"""The public catalog of who must connect: compiled from the roll, published in editions, served to everybody.

WX-21.3 orders it; WX-26.1 and WX-29.1 limit it. What the public may see is the allow-list of `PublicEntry` and
`PublicEdition`, one row a duty: a new column of the catalog stays confidential until somebody writes it there.
Nothing here says how many cameras a site has, what they are, where they look or whether they work.
"""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final
from uuid import UUID

from catalog.database import Database, Statements, Transaction
from catalog.jurisdictions import Jurisdiction
from catalog.model.profile import Bilingual, ConnectionDuty, Profile, Requirement
from catalog.profiles.load import effective_profile
from catalog.reading import LOCAL
from catalog.roll_person import looks_like_a_person

logger = logging.getLogger(__name__)

TIMEOUT: Final = 60.0
"""Seconds for compiling and writing an edition."""

UNNAMED_PERSON: Final = "个人（姓名不公开）"
"""Stands where the duty holder is a natural person."""

LONGEST_REASON: Final = 500
"""Characters of the reason of a withdrawal."""

# A name may repeat what is confidential although no column says so: codes, addresses, MACs, URLs.
_CONFIDENTIAL_TEXT: Final = re.compile(
    r"\d{18,}|(?:\d{1,3}\.){3}\d{1,3}|(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}|://", re.IGNORECASE | re.ASCII
)


@dataclass(frozen=True, slots=True)
class PublicEntry:
    """One duty as the public sees it: every field of it, and nothing else (domain.md 1.5)."""

    entry_id: UUID
    """Random; embeds no code."""
    holder: str
    """The unit that must connect; `UNNAMED_PERSON` for a natural person."""
    place_class: str
    place_class_title: Bilingual
    district: str
    """Six-digit administrative code."""
    site_name: str | None
    """None where the name is withheld."""
    due_on: date
    basis: str
    basis_article: Bilingual


@dataclass(frozen=True, slots=True)
class PublicEdition:
    """An edition's head as the public sees it."""

    number: str
    issued_by: str
    contact: str
    """How and where to apply for the connection."""
    published_at: datetime
    effective_from: date
    effective_to: date | None
    """The day on which the next edition takes effect; None while this is the last one."""
    legal_basis: tuple[Requirement, ...]
    withdrawn_at: datetime | None = None
    """When it was withdrawn; it counts no more, and the one before it does again."""
    withdrawal_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Published:
    """There is a public catalog, and this is it."""

    jurisdiction: Jurisdiction
    edition: PublicEdition
    entries: tuple[PublicEntry, ...]


@dataclass(frozen=True, slots=True)
class NotYetPublished:
    """The law orders a catalog, and no edition has been published yet."""

    jurisdiction: Jurisdiction
    reason: Bilingual
    requirements: tuple[Requirement, ...]


@dataclass(frozen=True, slots=True)
class NoPublicCatalog:
    """There is no public catalog under this profile, and why."""

    jurisdiction: Jurisdiction
    reason: Bilingual
    requirements: tuple[Requirement, ...]


PublicView = Published | NotYetPublished | NoPublicCatalog


@dataclass(frozen=True, slots=True)
class Withheld:
    """A site name that an edition withholds, for the person who publishes: not public."""

    entry_id: UUID
    reason: str
    """`class`, `natural_person` or `confidential_text`."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A compiled edition before a person publishes it."""

    jurisdiction: Jurisdiction
    profile: Profile
    entries: tuple[PublicEntry, ...]
    withheld: tuple[Withheld, ...]
    compiled_at: datetime
    effective_from: date


@dataclass(frozen=True, slots=True)
class Imprint:
    """Who publishes an edition, in whose name, and whom to ask."""

    issued_by: str
    """The public security organ; public."""
    contact: str
    """An office, how and where to apply; public."""
    published_by: str
    """The person at the keyboard: for the log alone."""


class PublicationRefused(ValueError):
    """Raised when an edition must not be published; nothing was.

    Attributes:
        cause: `no_catalog_duty`, `holder_name_confidential`, `imprint_invalid` or `withdrawal_invalid`.
        requirements: ids of what decides it, where the profile does.
    """

    def __init__(self, cause: str, message: str, requirements: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.cause = cause
        self.requirements = tuple(requirements)


async def compile_edition(
    database: Statements, jurisdiction: Jurisdiction, *, at: datetime, effective_from: date | None = None
) -> Draft:
    """Compile the roll into a draft; writes nothing.

    Args:
        database: the catalog.
        jurisdiction: whose duties.
        at: now, aware.
        effective_from: the day the edition takes effect, local; today when not given.

    Raises:
        PublicationRefused: the profile orders no public catalog, or a unit's name repeats a confidential value.
        CatalogError: as `Statements.fetch`.
    """
    profile = jurisdiction.effective()
    if not _is_ordered(profile):
        ids = profile.public_catalog.requirements
        raise PublicationRefused("no_catalog_duty", profile.public_catalog.reason.en, ids)
    today = at.astimezone(LOCAL).date()
    effective = effective_from or today
    entries: list[PublicEntry] = []
    withheld: list[Withheld] = []
    pattern = f"{jurisdiction.code.significant}%"
    for row in await database.fetch("public_duties", pattern, max(today, effective), within=TIMEOUT):
        holder, is_person, site_name = row["holder"], row["is_person"], row["site_name"]
        if not is_person and (row["holder_leaks"] or _CONFIDENTIAL_TEXT.search(holder)):
            raise PublicationRefused(
                "holder_name_confidential",
                f"the unit of entry {row['entry_id']} has a code or address in its name: correct the roll",
            )
        reason = _withholding(profile, row["class"], is_person, site_name, row["site_name_leaks"])
        if site_name is not None and reason:
            withheld.append(Withheld(row["entry_id"], reason))
        entries.append(
            _entry(
                profile,
                entry_id=row["entry_id"],
                holder=UNNAMED_PERSON if is_person else holder,
                place=(row["class"], row["district"], None if reason else site_name),
                duty=(row["due_on"], row["basis"]),
            )
        )
    # By what is public: in the order of true names, an unnamed person's place would tell the initial.
    entries.sort(key=lambda entry: (entry.district, entry.place_class, entry.holder, entry.entry_id))
    return Draft(jurisdiction, profile, tuple(entries), tuple(withheld), at, effective)


async def publish(database: Database, draft: Draft, imprint: Imprint, *, at: datetime) -> PublicEdition:
    """Publish a draft as the next edition of its jurisdiction and year. An edition is never changed.

    Args:
        database: the catalog.
        draft: from `compile_edition`, as the person saw it.
        imprint: who publishes.
        at: now, aware.

    Raises:
        PublicationRefused: the imprint is empty or names a natural person.
        CatalogError: as `Statements.fetch`; nothing was published.
    """
    async with database.transaction() as transaction:
        await transaction.execute("edition_lock", within=TIMEOUT)
        _, edition = await write_edition(transaction, draft, imprint, at=at)
    return edition


async def write_edition(
    transaction: Transaction, draft: Draft, imprint: Imprint, *, at: datetime
) -> tuple[int, PublicEdition]:
    """Write a draft as the next edition and return its id with it; the caller holds `edition_lock`.

    Raises:
        PublicationRefused: the imprint is empty or names a natural person.
        CatalogError: as `Statements.fetch`.
    """
    for text in (imprint.issued_by, imprint.contact, imprint.published_by):
        if not text.strip():
            raise PublicationRefused("imprint_invalid", "issued_by, contact and published_by must be given")
    if looks_like_a_person(imprint.issued_by):
        raise PublicationRefused("imprint_invalid", "issued_by must be an organ, not a natural person")
    district = draft.jurisdiction.district
    prefix = f"{district}-{at.astimezone(LOCAL).year}-"
    earlier = await transaction.fetchval("edition_next_number", district, f"{prefix}%")
    number = f"{prefix}{earlier + 1:03d}"
    edition_id = await transaction.fetchval(
        "edition_add",
        district,
        number,
        draft.profile.name,
        " ".join(draft.profile.public_catalog.requirements),
        imprint.issued_by.strip(),
        imprint.contact.strip(),
        draft.compiled_at,
        at,
        imprint.published_by.strip(),
        draft.effective_from,
    )
    await transaction.copy(
        "edition_entry",
        (
            "edition_id",
            "position",
            "entry_id",
            "holder",
            "class",
            "district",
            "site_name",
            "due_on",
            "basis",
        ),
        (
            (
                edition_id,
                position,
                entry.entry_id,
                entry.holder,
                entry.place_class,
                entry.district,
                entry.site_name,
                entry.due_on,
                entry.basis,
            )
            for position, entry in enumerate(draft.entries, start=1)
        ),
        within=TIMEOUT,
    )
    logger.info(
        "edition %s with %s entries published by %s",
        number,
        len(draft.entries),
        imprint.published_by,
        extra={"action": "edition_published"},
    )
    return edition_id, PublicEdition(
        number=number,
        issued_by=imprint.issued_by.strip(),
        contact=imprint.contact.strip(),
        published_at=at,
        effective_from=draft.effective_from,
        effective_to=None,
        legal_basis=_cited(draft.profile, draft.profile.public_catalog.requirements),
    )


async def withdraw_edition(
    database: Database, jurisdiction: Jurisdiction, number: str, *, reason: str, person: str, at: datetime
) -> None:
    """Withdraw an edition, for a reason that the public is told; it stays readable, and the one before counts again.

    Raises:
        PublicationRefused: there is no such edition, it was withdrawn before, or the reason cannot be public.
        CatalogError: as `Statements.fetch`; nothing was withdrawn.
    """
    if not reason.strip() or not person.strip():
        raise PublicationRefused("withdrawal_invalid", "a reason and a person must be given")
    if len(reason) > LONGEST_REASON or _CONFIDENTIAL_TEXT.search(reason):
        raise PublicationRefused(
            "withdrawal_invalid",
            f"the reason is public: at most {LONGEST_REASON} characters, without codes and addresses",
        )
    district = jurisdiction.district
    async with database.transaction() as transaction:
        await transaction.execute("edition_lock", within=TIMEOUT)
        done = await transaction.fetchval(
            "edition_withdraw", district, number, at, person.strip(), reason.strip()
        )
    if done is None:
        known = {edition.number: edition for edition in await list_editions(database, jurisdiction)}
        words = "was withdrawn before" if number in known else "is no edition of this jurisdiction"
        raise PublicationRefused(
            "withdrawal_invalid", f"{number!r} {words}: `muster catalog list` shows them"
        )
    logger.info("edition %s withdrawn by %s", number, person, extra={"action": "edition_withdrawn"})


async def list_editions(database: Statements, jurisdiction: Jurisdiction) -> tuple[PublicEdition, ...]:
    """Return the published editions, the newest first.

    Raises:
        CatalogError: as `Statements.fetch`.
    """
    return tuple(edition for _, edition, _ in await _editions(database, jurisdiction))


async def fetch_public(
    database: Statements, jurisdiction: Jurisdiction, number: str | None = None
) -> PublicView:
    """Return what the public sees: an edition, or why there is none.

    Args:
        database: the catalog.
        jurisdiction: whose catalog; its present profile decides whether there is one at all.
        number: of the edition, withdrawn or not; the newest that counts when not given. An unknown number gives
            `NotYetPublished`.

    Raises:
        CatalogError: as `Statements.fetch`.
    """
    profile = jurisdiction.effective()
    catalog = profile.public_catalog
    requirements = _cited(profile, catalog.requirements)
    if not _is_ordered(profile):
        return NoPublicCatalog(jurisdiction, catalog.reason, requirements)
    for edition_id, edition, of_profile in await _editions(database, jurisdiction):
        if number == edition.number or (number is None and edition.withdrawn_at is None):
            rows = await database.fetch("edition_entries", edition_id, within=TIMEOUT)
            entries = tuple(
                _entry(
                    of_profile,
                    entry_id=row["entry_id"],
                    holder=row["holder"],
                    place=(row["class"], row["district"], row["site_name"]),
                    duty=(row["due_on"], row["basis"]),
                )
                for row in rows
            )
            return Published(jurisdiction, edition, entries)
    return NotYetPublished(jurisdiction, catalog.reason, requirements)


async def _editions(
    database: Statements, jurisdiction: Jurisdiction
) -> list[tuple[int, PublicEdition, Profile]]:
    found: list[tuple[int, PublicEdition, Profile]] = []
    for row in await database.fetch("edition_list", jurisdiction.district):
        # An edition is read under the profile that it was compiled under, whatever applies today.
        profile = effective_profile(*row["profile"].split("+"))
        edition = PublicEdition(
            number=row["number"],
            issued_by=row["issued_by"],
            contact=row["contact"],
            published_at=row["published_at"],
            effective_from=row["effective_from"],
            effective_to=row["effective_to"],
            legal_basis=_cited(profile, row["legal_basis"].split()),
            withdrawn_at=row["withdrawn_at"],
            withdrawal_reason=row["withdrawal_reason"],
        )
        found.append((row["edition_id"], edition, profile))
    return found


def _is_ordered(profile: Profile) -> bool:
    return profile.public_catalog.is_enabled and profile.connection_duty is ConnectionDuty.MANDATORY


def _withholding(
    profile: Profile, place_class: str, is_person: bool, site_name: str | None, leaks: bool
) -> str | None:
    """Say why a site's name is withheld, or None."""
    if place_class in profile.public_catalog.suppressed_site_classes:
        return "class"
    if is_person:
        return "natural_person"  # a home or a stall is often called after its owner
    if site_name is not None and (leaks or _CONFIDENTIAL_TEXT.search(site_name)):
        return "confidential_text"
    return None


def _entry(
    profile: Profile,
    *,
    entry_id: UUID,
    holder: str,
    place: tuple[str, str, str | None],
    duty: tuple[date, str],
) -> PublicEntry:
    code, district, site_name = place
    due_on, basis = duty
    place_class, requirement = profile.place_class(code), profile.requirement(basis)
    return PublicEntry(
        entry_id=entry_id,
        holder=holder,
        place_class=code,
        place_class_title=place_class.title if place_class else Bilingual(code, code),
        district=district,
        site_name=site_name,
        due_on=due_on,
        basis=basis,
        basis_article=requirement.article if requirement else Bilingual(basis, basis),
    )


def _cited(profile: Profile, requirement_ids: Sequence[str]) -> tuple[Requirement, ...]:
    found = (profile.requirement(requirement_id) for requirement_id in requirement_ids)
    return tuple(requirement for requirement in found if requirement is not None)
