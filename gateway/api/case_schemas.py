"""Cases and evidence sheets as the API answers: for operators alone."""

from datetime import date
from typing import Any

from catalog.cases import Case
from catalog.model.case import CaseState, CaseStep, allowed
from gateway.api.registry import Answer, Schema
from gateway.api.schemas import Dated, Instant, PageQuery


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
