"""The further terms of a decree: single values that rules are judged by, each with the provision that sets it.

What a term may say stands in one table, `TERMS`; a profile says every one of them, or names it as one of which its
text is silent. Where a local decree lies over the national regulation, each text keeps its own values: what follows
from them together depends on the term (`Together`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Final

Value = bool | int | str | tuple[str, ...]


class Term(StrEnum):
    """What a text may decide beside duties, places, periods and fines."""

    BUILDER_RULE = "builder_rule"
    """Who builds."""
    INTERFACE_RESERVED = "interface_reserved"
    """Hardware and software interfaces for the shared platform are reserved."""
    MLPS = "mlps"
    """Multi-level protection of network security is demanded by name."""
    VENDOR_NEUTRAL = "vendor_neutral"
    """No authority designates brands, sellers or contractors."""
    SIMULTANEOUS = "simultaneous"
    """Designed, built, accepted and used at the same time as the construction project."""
    SIGN = "sign"
    """Where conspicuous signs are posted."""
    CAPTURE_RANGE_FIXED = "capture_range_fixed"
    ACCEPTANCE_BEFORE_USE = "acceptance_before_use"
    ARCHIVE = "archive"
    """The basic materials are filed and kept."""
    FILING_RECEIVER = "filing_receiver"
    """With whom is filed, and to whom reported."""
    FILING_FIELDS = "filing_fields"
    REMOVAL_NOTICE = "removal_notice"
    RELOCATION = "relocation"
    INTERRUPTION = "interruption"
    MAINTENANCE_PARTY = "maintenance_party"
    RETENTION_MIN_DAYS = "retention_min_days"
    RETENTION_LENGTHENED_BY = "retention_lengthened_by"
    RETENTION_DELETED_WHEN_DONE = "retention_deleted_when_done"
    """After the shortest time, what served its purpose is deleted."""
    ACCESS_REQUESTERS = "access_requesters"
    ACCESS_OBJECTS = "access_objects"
    ACCESS_MIN_STAFF = "access_min_staff"
    ACCESS_IDENTIFICATION = "access_identification"
    ACCESS_APPROVAL_COPY = "access_approval_copy"
    ACCESS_APPROVAL_DIRECT = "access_approval_direct"
    ACCESS_REFUSABLE = "access_refusable"
    """Who manages a system may refuse an access that does not meet the conditions."""
    ACCESS_FREE = "access_free"
    ACCESS_REGISTER_FIELDS = "access_register_fields"
    ACCESS_PRIVATE = "access_private"
    """What private persons may ask for."""
    MASKING = "masking"
    """What is protected when footage is made public."""
    CONFIDENTIAL = "confidential"
    """What access control protects."""
    ORIGINALS_PRESERVED = "originals_preserved"
    APPEAL = "appeal"
    """The text itself names reconsideration and suit."""


class Together(IntEnum):
    """What follows where texts of different rank say different things."""

    ALL = 1
    """All of it: each value is demanded, or allowed, by its own text."""
    STRICTEST = 2
    """The largest number."""
    PREVAILS = 3
    """They contradict each other; the higher text prevails, and a lawyer decides."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What a term may say."""

    kind: type[bool] | type[int] | type[str] | type[tuple]  # type: ignore[type-arg]
    together: Together
    words: frozenset[str] = frozenset()
    "Of a word, or of a list of words, those that exist."

    def mistake(self, value: object) -> str | None:
        """Say what is wrong with a value; None where nothing is."""
        if self.kind is tuple:
            if not isinstance(value, tuple) or not value:
                return "a list of words is wanted"
            unknown = [word for word in value if word not in self.words]
            return f"unknown: {', '.join(map(str, unknown))}; known: {self._known}" if unknown else None
        if type(value) is not self.kind:
            return f"{'a word' if self.kind is str else f'{self.kind.__name__}'} is wanted"
        if self.kind is str and value not in self.words:
            return f"unknown: {value}; known: {self._known}"
        if self.kind is int and isinstance(value, int) and not 1 <= value <= _MOST:
            return f"a number from 1 to {_MOST} is wanted"
        return None

    @property
    def _known(self) -> str:
        return ", ".join(sorted(self.words))


_MOST: Final = 3_660


def _word(together: Together, *words: str) -> Rule:
    return Rule(str, together, frozenset(words))


def _words(together: Together, *words: str) -> Rule:
    return Rule(tuple, together, frozenset(words))


_FLAG: Final = Rule(bool, Together.ALL)
_NUMBER: Final = Rule(int, Together.STRICTEST)
_HEAD: Final = "head_of_county_police_or_of_state_security"

TERMS: Final[Mapping[Term, Rule]] = MappingProxyType(
    {
        Term.BUILDER_RULE: _word(
            Together.PREVAILS,
            "government_for_roads_else_agreement_else_owner",
            "police_for_roads_else_unit",
            "government_for_main_places_else_operator",
        ),
        Term.INTERFACE_RESERVED: _FLAG,
        Term.MLPS: _FLAG,
        Term.VENDOR_NEUTRAL: _FLAG,
        Term.SIMULTANEOUS: _FLAG,
        Term.SIGN: _words(Together.ALL, "all_systems", "public_places"),
        Term.CAPTURE_RANGE_FIXED: _FLAG,
        Term.ACCEPTANCE_BEFORE_USE: _FLAG,
        Term.ARCHIVE: _FLAG,
        Term.FILING_RECEIVER: _word(Together.ALL, "police", "county_police"),
        Term.FILING_FIELDS: _words(
            Together.ALL,
            *("technical_design", "acceptance", "unit_basics", "build_location"),
            *("device_count", "device_type", "retention_period"),
        ),
        Term.REMOVAL_NOTICE: _word(Together.PREVAILS, "before", "after", "not_without_authorisation"),
        Term.RELOCATION: _word(Together.PREVAILS, "report_after", "not_without_authorisation"),
        Term.INTERRUPTION: _word(Together.ALL, "not_without_reason", "continuous_operation"),
        Term.MAINTENANCE_PARTY: _word(Together.PREVAILS, "by_funding", "by_ownership", "system_manager"),
        Term.RETENTION_MIN_DAYS: _NUMBER,
        Term.RETENTION_LENGTHENED_BY: _words(
            Together.PREVAILS,
            *(
                "laws",
                "regulations",
                "administrative_regulations",
                "national_standards",
                "industry_standards",
            ),
        ),
        Term.RETENTION_DELETED_WHEN_DONE: _FLAG,
        Term.ACCESS_REQUESTERS: _words(
            Together.ALL,
            *("investigation", "procuratorate", "court", "administrative", "emergency_department"),
            *("police", "state_security", "state_organs"),
        ),
        Term.ACCESS_OBJECTS: _words(Together.ALL, "footage", "basic_information", "system_material"),
        Term.ACCESS_MIN_STAFF: _NUMBER,
        Term.ACCESS_IDENTIFICATION: _words(
            Together.ALL, "work_id", "introduction_letter", "enforcement_id", "enforcement_qualification"
        ),
        Term.ACCESS_APPROVAL_COPY: _word(Together.ALL, _HEAD),
        Term.ACCESS_APPROVAL_DIRECT: _word(Together.ALL, _HEAD),
        Term.ACCESS_REFUSABLE: Rule(bool, Together.PREVAILS),
        Term.ACCESS_FREE: _FLAG,
        Term.ACCESS_REGISTER_FIELDS: _words(
            Together.ALL, "unit", "persons", "time", "purpose", "reason", "content"
        ),
        Term.ACCESS_PRIVATE: _words(Together.ALL, "missing_person_view", "subject_view"),
        Term.MASKING: _words(
            Together.ALL, "personal_features", "plates", "faces", "organisation_names", "licences"
        ),
        Term.CONFIDENTIAL: _words(
            Together.ALL, "system_design", "device_type", "install_position", "address_code", "footage"
        ),
        Term.ORIGINALS_PRESERVED: _FLAG,
        Term.APPEAL: _FLAG,
    }
)


@dataclass(frozen=True, slots=True)
class TermValue:
    """What one text says."""

    term: Term
    value: Value
    requirement: str
    rank: int
    "Of the text; the lower number prevails."


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A term of which texts of different rank say what cannot hold together; a lawyer decides."""

    term: Term
    prevailing: TermValue
    superseded: tuple[TermValue, ...]


def said(values: Iterable[TermValue], term: Term) -> tuple[TermValue, ...]:
    """Return what the texts say of a term, the highest text first."""
    return tuple(sorted((each for each in values if each.term is term), key=lambda each: each.rank))


def holds(values: Iterable[TermValue], term: Term) -> tuple[Value, tuple[TermValue, ...]] | None:
    """Return what holds of a term, and who says so; None where every text is silent.

    Of words that all hold together the value is their union; of one word each text's own stands, the highest's first.
    """
    told = said(values, term)
    if not told:
        return None
    match TERMS[term].together:
        case Together.STRICTEST:
            strictest = max(told, key=lambda each: each.value if isinstance(each.value, int) else 0)
            return strictest.value, told
        case Together.PREVAILS:
            return told[0].value, told[:1]
        case Together.ALL:
            if isinstance(told[0].value, tuple):
                lists = [each.value for each in told if isinstance(each.value, tuple)]
                return tuple(dict.fromkeys(word for words in lists for word in words)), told
            return told[0].value, told


def disagreements(values: Sequence[TermValue]) -> tuple[Disagreement, ...]:
    """Return where a lower text says what cannot hold beside the higher one."""
    found = []
    for term, rule in TERMS.items():
        told = said(values, term)
        if rule.together is Together.PREVAILS:
            different = tuple(each for each in told[1:] if each.value != told[0].value)
            if different:
                found.append(Disagreement(term, told[0], different))
    return tuple(found)
