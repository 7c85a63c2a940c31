"""Suspensions as the API takes and answers them: for operators alone."""

from datetime import time
from typing import Annotated, Self

from pydantic import AwareDatetime, Field, model_validator

from catalog.model.display import SuspendedReason
from catalog.model.operation import EVERY_DAY, RestHours
from catalog.model.suspension import SuspensionAct, SuspensionState
from catalog.suspensions import Suspension
from gateway.api.registry import Answer, Schema
from gateway.api.schemas import Dated, Instant

Text = Annotated[str, Field(min_length=1, max_length=300, pattern=r"\S")]


class SuspensionsQuery(Schema):
    """Parameters of the list of suspensions."""

    past: bool = Field(default=False, description="Those that are over, too.")


class RestHoursBody(Schema):
    """Hours of the day in which a source does not operate."""

    begins: Annotated[
        str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", description="Local time, such as 22:30.")
    ]
    ends: Annotated[
        str,
        Field(
            pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", description="Of the next day if not after `begins`."
        ),
    ]
    weekdays: tuple[Annotated[int, Field(ge=1, le=7)], ...] = Field(
        default=tuple(sorted(EVERY_DAY)), max_length=7, description="On which they begin; Monday is 1."
    )

    @classmethod
    def of(cls, hours: RestHours) -> "RestHoursBody":
        """Return hours as they are answered."""
        days = tuple(sorted(hours.weekdays))
        return cls(begins=f"{hours.begins:%H:%M}", ends=f"{hours.ends:%H:%M}", weekdays=days)

    def read(self) -> RestHours:
        """Return the hours.

        Raises:
            HoursInvalid: they are none.
        """
        return RestHours(
            time.fromisoformat(self.begins), time.fromisoformat(self.ends), frozenset(self.weekdays)
        )


class SuspensionBody(Schema):
    """A window in which a site or a source is not charged; asked for, and approved by somebody else."""

    reason: SuspendedReason
    starts_at: AwareDatetime
    ends_at: AwareDatetime
    document: Annotated[Text, Field(description="Number of the document that it rests on.")]
    site_id: Annotated[int, Field(ge=1, lt=2**63)] | None = None
    source_id: Annotated[int, Field(ge=1, lt=2**63)] | None = None
    hours: RestHoursBody | None = Field(
        None, description="With the reason `outside_operation`: only these hours of the window count."
    )

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.site_id is None) == (self.source_id is None):
            raise ValueError("name site_id or source_id, one of them")
        if self.ends_at <= self.starts_at:
            raise ValueError("ends_at is not after starts_at")
        if self.hours is not None:
            self.hours.read()
        return self


class SuspensionActBody(Schema):
    """What is done to a suspension."""

    act: SuspensionAct
    text: Annotated[str, Field(max_length=300)] = ""
    "The reason; needed to withdraw and to end."


class SuspensionActAnswer(Answer):
    """What a person did to a suspension."""

    act: SuspensionAct
    at: Instant
    person: str
    text: str


class SuspensionAnswer(Answer):
    """A suspension as it stands."""

    suspension_id: int
    site_id: int
    source_id: int | None = Field(description="The one source; null: all of the site.")
    gb_id: str | None
    unit: str
    site: str
    reason: SuspendedReason
    starts_at: Instant
    ends_at: Instant
    document: str
    requested_at: Instant
    requested_by: str
    hours: RestHoursBody | None
    retroactive: bool = Field(
        description="Whether it was asked for after it had begun: two people approve it."
    )
    state: SuspensionState
    acts: tuple[SuspensionActAnswer, ...]

    @classmethod
    def of(cls, found: Suspension) -> "SuspensionAnswer":
        """Return the answer for a suspension."""
        window = found.window
        return cls(
            suspension_id=found.suspension_id,
            site_id=found.site_id,
            source_id=found.source_id,
            gb_id=found.gb_id,
            unit=found.unit,
            site=found.site,
            reason=window.reason,
            starts_at=window.period.start,
            ends_at=window.period.end,
            document=window.document,
            requested_at=window.requested_at,
            requested_by=window.requested_by,
            hours=RestHoursBody.of(window.hours) if window.hours is not None else None,
            retroactive=window.is_retroactive,
            state=found.state,
            acts=tuple(SuspensionActAnswer.model_validate(each) for each in found.acts),
        )


class SuspensionsAnswer(Dated):
    """Suspensions, the newest first."""

    items: tuple[SuspensionAnswer, ...]
