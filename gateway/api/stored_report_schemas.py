"""Stored reports as the API answers: for operators and police alike, as nothing confidential stands in them."""

from datetime import date
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from catalog.period_report import ToldBy
from catalog.stored_reports import LONGEST_REASON, ReportHead
from gateway.api.registry import Answer, Schema
from gateway.api.schemas import (
    ClassText,
    Dated,
    EditionText,
    Instant,
    PageQuery,
    RegionText,
    UnitText,
)


class StoredReportsQuery(PageQuery):
    """Parameters of the list of stored reports."""


class StoredReportQuery(Schema):
    """Parameters of one stored report."""

    revision: int | None = Field(None, ge=1, le=2**31 - 1, description="The last one without it.")
    format: Literal["json", "pdf", "xlsx"] = Field("json", description="json is the signed document itself.")
    lang: Literal["zh", "en"] = "zh"


class MakeReportBody(Schema):
    """What a report is about."""

    first: date | None = Field(None, description="First local day; without it 29 days before the last.")
    last: date | None = Field(None, description="Last local day, itself included; without it today.")
    region: RegionText = ""
    place_class: ClassText | None = None
    unit: UnitText | None = None
    edition: EditionText | None = None
    told_by: ToldBy | None = Field(
        None,
        description="What its lines stand for; without it sources, and sites of a region of over 100,000 sources.",
    )


class RemakeReportBody(Schema):
    """Why a report is told anew."""

    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST_REASON)]


class StoredReportAnswer(Answer):
    """A revision of a stored report, without its content."""

    number: str
    revision: int
    region: str
    first: date
    last: date
    until: Instant
    "The end of what is told; the same in all revisions."
    told_by: ToldBy
    "What its lines stand for."
    place_class: str | None
    unit: str | None
    edition: str | None
    "The only class, unit or edition that it is about."
    made_at: Instant
    reason: str | None
    "Why it was told anew; null for the first revision."
    content_sha256: str

    @classmethod
    def of(cls, head: ReportHead) -> "StoredReportAnswer":
        """Return the answer for a revision."""
        return cls(
            number=head.number,
            revision=head.revision,
            region=head.region.prefix,
            first=head.first,
            last=head.last,
            until=head.period.end,
            told_by=head.told_by,
            place_class=head.selection.place_class,
            unit=head.selection.unit,
            edition=head.selection.edition,
            made_at=head.made_at,
            reason=head.reason,
            content_sha256=head.content_sha256,
        )


class StoredReportsAnswer(Dated):
    """A page of stored reports, the newest first."""

    items: tuple[StoredReportAnswer, ...]
    next_cursor: str | None
