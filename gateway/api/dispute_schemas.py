"""Objections of units, as the API takes and answers them: for operators alone."""

from datetime import date
from typing import Annotated, Self

from pydantic import AwareDatetime, Field, model_validator

from catalog.disputes import Dispute
from catalog.model.period import Period
from gateway.api.registry import Answer, Schema
from gateway.api.schemas import CursorText, Dated, Instant, Limit, RegionText

Text = Annotated[str, Field(min_length=1, max_length=2000, pattern=r"\S")]


class DisputesQuery(Schema):
    """Parameters of the list of objections."""

    region: RegionText = ""
    open: bool = Field(default=False, description="Only those that are not answered.")
    cursor: CursorText | None = None
    limit: Limit = 100


class DisputeBody(Schema):
    """What a unit objects to of a source's status on some days."""

    first: date
    last: date
    raised_by: Annotated[str, Field(min_length=1, max_length=200, pattern=r"\S", description="The unit.")]
    text: Text
    document: Annotated[str, Field(max_length=300)] = ""
    running_from: AwareDatetime | None = None
    running_until: AwareDatetime | None = None
    """When the unit shows the source to have been running, within these days and entered within 24 h. Upheld, reports,
    rates and sheets tell the history with it; what is stored stays."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.running_from is None) != (self.running_until is None):
            raise ValueError("running_from and running_until go together")
        if self.running_from and self.running_until and self.running_until <= self.running_from:
            raise ValueError("running_until is not after running_from")
        return self

    @property
    def running(self) -> Period | None:
        """Return when it was running, where that is said."""
        if self.running_from is None or self.running_until is None:
            return None
        return Period(self.running_from, self.running_until)


class DisputeAnswerBody(Schema):
    """What is answered to an objection; once, and not by who entered it."""

    upheld: bool
    text: Text


class SettledAnswer(Answer):
    """What was answered."""

    upheld: bool
    text: str
    answered_at: Instant
    answered_by: str


class DisputeAnswer(Answer):
    """An objection, and its answer."""

    dispute_id: int
    source_id: int
    gb_id: str | None
    site: str
    unit: str
    first: date
    last: date
    raised_by: str
    text: str
    document: str
    running_from: Instant | None
    running_until: Instant | None
    raised_at: Instant
    entered_by: str
    answer: SettledAnswer | None

    @classmethod
    def of(cls, found: Dispute) -> "DisputeAnswer":
        """Return the answer for an objection."""
        objection, settled = found.objection, found.answer
        return cls(
            dispute_id=found.dispute_id,
            source_id=found.source_id,
            gb_id=found.gb_id,
            site=found.site,
            unit=found.unit,
            first=objection.first,
            last=objection.last,
            raised_by=objection.raised_by,
            text=objection.text,
            document=objection.document,
            running_from=objection.running.start if objection.running else None,
            running_until=objection.running.end if objection.running else None,
            raised_at=found.raised_at,
            entered_by=found.entered_by,
            answer=None
            if settled is None
            else SettledAnswer(
                upheld=settled.is_upheld,
                text=settled.text,
                answered_at=settled.answered_at,
                answered_by=settled.answered_by,
            ),
        )


class DisputesAnswer(Dated):
    """Objections, the newest first."""

    items: tuple[DisputeAnswer, ...]
    next_cursor: str | None
