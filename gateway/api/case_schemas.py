"""Cases and evidence sheets as the API answers: for operators alone."""

from datetime import date
from typing import Annotated, Any

from pydantic import Field

from catalog.cases import COULD_ACCEPT, Candidate, Case
from catalog.model.case import LONGEST, NEEDED, CaseState, CaseStep, allowed
from gateway.api.registry import Answer, Schema
from gateway.api.schemas import Dated, Instant, PageQuery, RegionQuery


class CasesQuery(PageQuery):
    """Parameters of the list of cases."""

    ended: bool = False
    "Those that were withdrawn or closed, too."


class CaseStepAnswer(Answer):
    """What a person did to a case."""

    step: CaseStep
    at: Instant
    person: str
    detail: dict[str, str]


class CaseAnswer(Answer):
    """A case as it stands today."""

    number: str
    district: str
    unit: str
    site: str
    due_on: date
    basis: str
    opened_at: Instant
    state: CaseState
    addressee: str | None
    deadline: date | None
    days_overdue: int
    "Since the deadline of the order."
    next: tuple[CaseStep, ...]
    needs: dict[str, tuple[str, ...]] = Field(description="What each of the next steps must be given.")
    evidence: dict[str, Any]
    evidence_sha256: str
    is_sound: bool
    "Whether the evidence is what was hashed when the case was opened."
    steps: tuple[CaseStepAnswer, ...]

    @classmethod
    def of(cls, case: Case) -> "CaseAnswer":
        """Return the answer for a case."""
        standing = case.standing
        return cls(
            number=case.number,
            district=case.district,
            unit=case.unit,
            site=case.site,
            due_on=case.due_on,
            basis=case.basis,
            opened_at=case.opened_at,
            state=standing.state,
            addressee=standing.addressee,
            deadline=standing.deadline,
            days_overdue=standing.days_overdue,
            next=tuple(allowed(standing.state)),
            needs={step.value: NEEDED[step] for step in allowed(standing.state)},
            evidence=dict(case.evidence),
            evidence_sha256=case.evidence_sha256,
            is_sound=case.is_sound,
            steps=tuple(
                CaseStepAnswer(step=each.step, at=each.at, person=each.person, detail=dict(each.detail))
                for each in case.steps
            ),
        )


class CasesAnswer(Dated):
    """Cases, the newest first."""

    items: tuple[CaseAnswer, ...]
    next_cursor: str | None


class CandidatesQuery(RegionQuery):
    """Parameters of the list of candidates."""

    limit: Annotated[int, Field(ge=1, le=1000)] = 100


class CandidateAnswer(Answer):
    """A site that a case could be opened for."""

    site_id: int
    district: str
    unit: str
    site: str
    due_on: date
    days_overdue: int
    never: int = Field(description="Required sources that never connected.")
    required: int
    longest_seen: float = Field(
        description="Seconds, the longest time without a break in which the platform could have accepted a connection."
    )
    could_accept: bool = Field(
        description=f"Whether that was long enough, {COULD_ACCEPT.total_seconds():.0f} s: else the failure may be ours."
    )

    @classmethod
    def of(cls, found: Candidate) -> "CandidateAnswer":
        """Return the answer for a candidate."""
        names = (
            "site_id",
            "district",
            "unit",
            "site",
            "due_on",
            "days_overdue",
            "never",
            "required",
            "could_accept",
        )
        return cls(
            longest_seen=found.longest_seen.total_seconds(), **{name: getattr(found, name) for name in names}
        )


class CandidatesAnswer(Dated):
    """Sites that a case could be opened for, the longest due first."""

    items: tuple[CandidateAnswer, ...]
    more: bool = Field(description="Whether there are others behind these.")


class CaseBody(Schema):
    """A case to be opened."""

    site_id: Annotated[int, Field(ge=1, lt=2**63)]


class CaseStepBody(Schema):
    """A step of a case, with what it must be given (`needs` of the case); days as 2026-11-30."""

    step: CaseStep
    detail: Annotated[
        dict[str, Annotated[str, Field(max_length=LONGEST)]], Field(max_length=10, default_factory=dict)
    ]


class SheetQuery(Schema):
    """The days of an evidence sheet; without any the last 30."""

    first: date | None = None
    last: date | None = None


class SignatureAnswer(Answer):
    """Who signed, and what proves it."""

    algorithm: str
    public_key: str
    value: str


class SignedAnswer(Answer):
    """A signed document; the signature covers the canonical JSON of `document`."""

    document: dict[str, Any]
    signature: SignatureAnswer
