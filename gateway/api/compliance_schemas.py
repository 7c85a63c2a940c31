"""Systems as the rules of the decrees judge them, as the API takes and answers them: for operators alone."""

from datetime import date
from typing import Annotated

from pydantic import Field

from catalog.attestations import JudgedSystem
from catalog.model.compliance import Fact, Finding, RuleName, Verdict
from catalog.model.profile import Profile
from gateway.api.registry import Answer, Schema
from gateway.api.schemas import CursorText, Dated, Instant, Limit, RegionText


class ComplianceQuery(Schema):
    """Parameters of the list of judged systems."""

    region: RegionText = ""
    cursor: CursorText | None = None
    limit: Limit = 100
    system_id: Annotated[int, Field(ge=1, lt=2**63)] | None = None


class AttestationBody(Schema):
    """A fact that a person attests of a system."""

    fact: Fact
    value: Annotated[str, Field(min_length=1, max_length=200, pattern=r"\S")]
    "A day (2026-11-01), a word or a name: a wrong one is refused with those that are possible."
    document: Annotated[str, Field(min_length=1, max_length=300, pattern=r"\S")]
    "What it rests on."


class AttestedAnswer(Answer):
    """What a file attested."""

    facts: int
    systems: int


class FactAnswer(Answer):
    """A fact, and who attested it on what."""

    fact: Fact
    value: str
    document: str
    attested_at: Instant
    attested_by: str


class FindingAnswer(Answer):
    """One rule, judged."""

    rule: RuleName
    verdict: Verdict
    requirement: str
    article_zh: str
    article_en: str
    party: str | None
    "Who is responsible, where that is what is judged."
    due_on: date | None
    missing: tuple[Fact, ...]
    "What must be attested to decide it."

    @classmethod
    def of(cls, finding: Finding, profile: Profile) -> "FindingAnswer":
        """Return the answer for a finding."""
        requirement = profile.requirement(finding.requirement)
        return cls(
            rule=finding.rule,
            verdict=finding.verdict,
            requirement=finding.requirement,
            article_zh=requirement.article.zh if requirement is not None else "",
            article_en=requirement.article.en if requirement is not None else "",
            party=finding.party,
            due_on=finding.due_on,
            missing=finding.missing,
        )


class JudgedSystemAnswer(Answer):
    """A system, what was attested of it, and what the rules say."""

    system_id: int
    system: str
    unit: str
    district: str
    sites: tuple[str, ...]
    "The names of the first twenty."
    site_count: int
    profile: str
    facts: tuple[FactAnswer, ...]
    findings: tuple[FindingAnswer, ...]

    @classmethod
    def of(cls, found: JudgedSystem) -> "JudgedSystemAnswer":
        """Return the answer for a system."""
        return cls(
            system_id=found.system_id,
            system=found.system,
            unit=found.unit,
            district=found.district,
            sites=found.sites,
            site_count=found.site_count,
            profile=found.profile.name,
            facts=tuple(FactAnswer.model_validate(each) for each in found.facts),
            findings=tuple(FindingAnswer.of(each, found.profile) for each in found.findings),
        )


class ComplianceAnswer(Dated):
    """Judged systems, by number."""

    items: tuple[JudgedSystemAnswer, ...]
    next_cursor: str | None
