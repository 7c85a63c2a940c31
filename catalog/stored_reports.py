"""Stored reports: signed, numbered, never changed; told anew, one gets a revision beside the earlier ones."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Final

import asyncpg

from catalog.database import Database, Statements, Transaction
from catalog.model.period import Period
from catalog.period_report import PeriodReport, ToldBy
from catalog.reading import (
    Page,
    Region,
    Selection,
    cursor_instant,
    decode_cursor,
    encode_cursor,
    local_day,
)
from catalog.report_document import Making, Numbered, Scope, content_hash, content_of, report_document
from catalog.signing import SigningKey

logger = logging.getLogger(__name__)

WITHIN: Final = 60.0
"""Seconds for one statement: a document may have tens of megabytes."""

LONGEST_REASON: Final = 500
"""Characters of why a report was told anew."""


class NoSuchReport(ValueError):
    """Raised when a number belongs to no report that the caller may see."""


class RevisionRefused(ValueError):
    """Raised when a report told anew says what its last revision says, or somebody else has revised it meanwhile."""


@dataclass(frozen=True)
class ReportHead:
    """What a stored revision is, without its content."""

    number: str
    revision: int
    region: Region
    first: date
    last: date
    period: Period
    told_by: ToldBy
    selection: Selection
    made_at: datetime
    made_by: str
    reason: str | None
    content_sha256: str

    @property
    def scope(self) -> Scope:
        """Return what the report is about."""
        return Scope(self.region, self.first, self.last, self.period, self.told_by, self.selection)


async def list_reports(
    database: Statements,
    region: Region,
    *,
    number: str | None = None,
    cursor: str | None = None,
    limit: int = 100,
) -> Page[ReportHead]:
    """Return the revisions of the reports about the region or a part of it, the newest first.

    Args:
        database: the catalog.
        region: of whoever looks.
        number: only the revisions of this report.
        cursor: of the page before.
        limit: so many at most.

    Raises:
        CursorInvalid: the cursor is not of this list.
        DatabaseAway: no answer.
    """
    key: list[object] = [None, None, None]
    if cursor:
        at, last_number, revision = decode_cursor(cursor, (str, str, int))
        key = [cursor_instant(at), last_number, revision]
    rows = await database.fetch("report_heads", f"{region.prefix}%", number, *key, limit + 1)
    heads = tuple(_head(row) for row in rows[:limit])
    following = None
    if len(rows) > limit:
        following = encode_cursor(heads[-1].made_at.isoformat(), heads[-1].number, heads[-1].revision)
    return Page(heads, following)


async def read_report(
    database: Statements, region: Region, number: str, revision: int | None = None
) -> tuple[ReportHead, bytes]:
    """Return a revision of a report, the last one when none is named, with its signed document.

    Raises:
        NoSuchReport: there is none in the region.
        DatabaseAway: no answer.
    """
    row = await database.fetchrow("report_read", number, f"{region.prefix}%", revision, within=WITHIN)
    if row is None:
        of = "" if revision is None else f", revision {revision}"
        raise NoSuchReport(f"there is no report {number!r}{of}: `muster report list` shows them")
    return _head(row), row["signed"].encode()


async def store_report(
    database: Database, key: SigningKey, report: PeriodReport, scope: Scope, making: Making
) -> ReportHead:
    """Sign and store a report as the next one about its region and of the local year.

    Args:
        database: the catalog.
        key: of the installation.
        report: of the scope's period.
        scope: what it is about.
        making: when, by whom, under which rules; without a reason.

    Raises:
        DatabaseAway: no answer; nothing was stored.
    """
    content = await asyncio.to_thread(content_of, report)
    sha256 = await asyncio.to_thread(content_hash, content)
    about = scope.region.first if scope.region.prefix else making.jurisdiction.district
    beginning = f"{about}-{local_day(making.at).year}-R"

    def sign(numbered: Numbered) -> bytes:
        return key.sign(report_document(numbered, scope, making, content, report.watermark))

    async with database.transaction() as transaction:
        await transaction.execute("report_lock", within=WITHIN)
        earlier = await transaction.fetchval("report_next_number", f"{beginning}%")
        numbered = Numbered(f"{beginning}{earlier + 1:04d}", 1, None)
        return await _add(transaction, numbered, scope, making, sha256, sign)


async def revise_report(
    database: Database, key: SigningKey, report: PeriodReport, last: ReportHead, making: Making
) -> ReportHead:
    """Sign and store a report told anew as the revision after `last`.

    Args:
        database: the catalog.
        key: of the installation.
        report: told anew, of the same region and period.
        last: the last revision.
        making: when, by whom and why.

    Raises:
        RevisionRefused: it says what the last revision says, or somebody else has revised it meanwhile.
        ValueError: no reason, or a longer one than `LONGEST_REASON`.
        DatabaseAway: no answer; nothing was stored.
    """
    reason = (making.reason or "").strip()
    if not 1 <= len(reason) <= LONGEST_REASON:
        raise ValueError(f"a reason of 1 to {LONGEST_REASON} characters must be given")
    content = await asyncio.to_thread(content_of, report)
    sha256 = await asyncio.to_thread(content_hash, content)
    if sha256 == last.content_sha256:
        raise RevisionRefused(f"{last.number} told anew says what revision {last.revision} says")
    made = replace(making, reason=reason)

    def sign(numbered: Numbered) -> bytes:
        return key.sign(report_document(numbered, last.scope, made, content, report.watermark))

    async with database.transaction() as transaction:
        await transaction.execute("report_lock", within=WITHIN)
        heads = (await list_reports(transaction, last.region, number=last.number, limit=1)).items
        if not heads or heads[0].revision != last.revision:
            raise RevisionRefused(f"{last.number} was revised meanwhile: look at its last revision first")
        numbered = Numbered(last.number, last.revision + 1, last.content_sha256)
        return await _add(transaction, numbered, last.scope, made, sha256, sign)


async def _add(
    transaction: Transaction,
    numbered: Numbered,
    scope: Scope,
    making: Making,
    sha256: str,
    sign: Callable[[Numbered], bytes],
) -> ReportHead:
    signed = await asyncio.to_thread(sign, numbered)
    await transaction.execute(
        "report_add",
        numbered.number,
        numbered.revision,
        making.jurisdiction.district,
        scope.region.prefix,
        scope.first,
        scope.last,
        scope.period.start,
        scope.period.end,
        scope.told_by.value,
        scope.selection.place_class,
        scope.selection.unit,
        scope.selection.edition,
        making.at,
        making.by,
        making.reason,
        sha256,
        signed.decode(),
        within=WITHIN,
    )
    logger.info(
        "report %s revision %s stored by %s",
        numbered.number,
        numbered.revision,
        making.by,
        extra={"action": "report_stored"},
    )
    return ReportHead(
        number=numbered.number,
        revision=numbered.revision,
        region=scope.region,
        first=scope.first,
        last=scope.last,
        period=scope.period,
        told_by=scope.told_by,
        selection=scope.selection,
        made_at=making.at,
        made_by=making.by,
        reason=making.reason,
        content_sha256=sha256,
    )


def _head(row: asyncpg.Record) -> ReportHead:
    return ReportHead(
        number=row["number"],
        revision=row["revision"],
        region=Region(row["region"]),
        first=row["first_day"],
        last=row["last_day"],
        period=Period(row["starts_at"], row["ends_at"]),
        told_by=ToldBy(row["told_by"]),
        selection=Selection(row["place_class"], row["unit"], row["edition"]),
        made_at=row["made_at"],
        made_by=row["made_by"],
        reason=row["reason"],
        content_sha256=row["content_sha256"],
    )
