"""Is a system as the decrees want it: rules judged from attested facts, each with the provision that asks for it.

A rule is asked by a term or a period of the profile (`model/terms.py`, `due_dates.py`). What nobody attested is open,
never broken; that nobody can be named as the responsible builder is an error of its own, for an order needs an
addressee (WX-34). Of texts that lie over each other each is judged by itself and cited.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from catalog.model.due_dates import filing_due
from catalog.model.profile import Profile
from catalog.model.terms import Term, TermValue, said


class Fact(StrEnum):
    """What a person may attest of a system."""

    IN_USE_ON = "in_use_on"
    ACCEPTED_ON = "accepted_on"
    """Acceptance passed."""
    FILED_ON = "filed_on"
    INTERFACE_RESERVED = "interface_reserved"
    SIGN_POSTED = "sign_posted"
    MLPS_MET = "mlps_met"
    ARCHIVE_KEPT = "archive_kept"
    CAPTURE_RANGE_FIXED = "capture_range_fixed"
    WITH_THE_WORKS = "with_the_works"
    """Designed, built, accepted and used together with its construction project."""
    PLACE_KIND = "place_kind"
    NATIONAL_PLACE = "national_place"
    """Whether it stands at places that the national regulation lists (CN-7), at other public ones (CN-9), or none."""
    STATE_OWNED = "state_owned"
    """The place is public and belongs to the State."""
    PLACE_OWNER = "place_owner"
    PLACE_MANAGER = "place_manager"
    AGREED_BUILDER = "agreed_builder"
    """Whom owner and user agreed on."""
    BUILDER = "builder"
    USER = "user"
    PUBLICLY_FUNDED = "publicly_funded"
    STORED_DAYS = "stored_days"
    """For how many whole days back its recordings can be played, on the day of the attestation."""


YES: Final = "yes"
NO: Final = "no"
_YES_NO: Final = (YES, NO)
ROAD_OR_SQUARE: Final = "road_or_square"
"""Urban road, rail transit, bridge, tunnel, pedestrian crossing passage, large square (WX-10, SX-5(2), CN-7.1)."""

DAYS: Final = frozenset({Fact.IN_USE_ON, Fact.ACCEPTED_ON, Fact.FILED_ON})
"""Facts that are local days."""

NAMES: Final = frozenset({Fact.PLACE_OWNER, Fact.PLACE_MANAGER, Fact.AGREED_BUILDER, Fact.BUILDER, Fact.USER})
"""Facts that are names of units."""

NUMBERS: Final = frozenset({Fact.STORED_DAYS})
"""Facts that are whole numbers from 0 to 9999."""

WORDS: Final[Mapping[Fact, tuple[str, ...]]] = MappingProxyType(
    {
        Fact.WITH_THE_WORKS: (YES, NO, "no_works"),
        Fact.PLACE_KIND: (ROAD_OR_SQUARE, "other"),
        Fact.NATIONAL_PLACE: ("listed", "other_public", "not_public"),
        **dict.fromkeys(
            (
                *(Fact.INTERFACE_RESERVED, Fact.SIGN_POSTED, Fact.MLPS_MET, Fact.ARCHIVE_KEPT),
                *(Fact.CAPTURE_RANGE_FIXED, Fact.STATE_OWNED, Fact.PUBLICLY_FUNDED),
            ),
            _YES_NO,
        ),
    }
)
"""All others: the words that each may be."""

LONGEST_NAME: Final = 200


class FactInvalid(ValueError):
    """Raised when a fact cannot have a value; the message names both and what is possible."""


def check_fact(fact: Fact, value: str, today: date) -> str:
    """Return the value as it is kept.

    Raises:
        FactInvalid: the fact cannot have it.
    """
    value = value.strip()
    if fact in DAYS:
        try:
            day = date.fromisoformat(value)
        except ValueError:
            raise FactInvalid(f"{fact} is a day such as 2026-11-01") from None
        if day > today:
            raise FactInvalid(f"{fact}: {day} has not come yet")
        return day.isoformat()
    if fact in NAMES:
        if not 0 < len(value) <= LONGEST_NAME:
            raise FactInvalid(f"{fact} is a name of 1 to {LONGEST_NAME} characters")
        return value
    if fact in NUMBERS:
        if re.fullmatch(r"0|[1-9][0-9]{0,3}", value, re.ASCII) is None:
            raise FactInvalid(f"{fact} is a whole number from 0 to 9999")
        return value
    if value not in WORDS[fact]:
        raise FactInvalid(f"{fact} is one of {', '.join(WORDS[fact])}")
    return value


class RuleName(StrEnum):
    """What is judged."""

    MUST_BUILD = "must_build"
    RESPONSIBLE_BUILDER = "responsible_builder"
    MAINTENANCE_PARTY = "maintenance_party"
    ACCEPTED_BEFORE_USE = "accepted_before_use"
    FILED_IN_TIME = "filed_in_time"
    INTERFACE_RESERVED = "interface_reserved"
    SIGN_POSTED = "sign_posted"
    WITH_THE_WORKS = "with_the_works"
    MLPS_MET = "mlps_met"
    ARCHIVE_KEPT = "archive_kept"
    CAPTURE_RANGE_FIXED = "capture_range_fixed"
    RETENTION = "retention"


class Verdict(StrEnum):
    """What a rule says of a system."""

    MET = "met"
    BROKEN = "broken"
    OPEN = "open"
    """Nobody attested what would decide it."""
    MATURING = "maturing"
    """It was too young when it was looked at to have what is asked for (4.7, E21)."""
    UNRESOLVED = "unresolved"
    """Nobody can be named whom an order would address."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule, judged."""

    rule: RuleName
    verdict: Verdict
    requirement: str
    "The provision that asks."
    party: str | None = None
    "Who is responsible, where that is what is judged."
    due_on: date | None = None
    missing: tuple[Fact, ...] = ()
    "What must be attested to decide it."


@dataclass(frozen=True)
class Subject:
    """A system, as far as rules look at it."""

    unit: str
    classes: frozenset[str]
    "Of its sites."
    has_connected: bool
    "A source of it connected to the platform once: the interface exists."
    facts: Mapping[Fact, str]
    attested_on: Mapping[Fact, date] = field(default_factory=lambda: MappingProxyType({}))
    "On which local day each was attested."

    def day(self, fact: Fact) -> date | None:
        """Return an attested day; None without one."""
        value = self.facts.get(fact)
        return None if value is None else date.fromisoformat(value)


def judge(profile: Profile, subject: Subject, today: date) -> tuple[Finding, ...]:
    """Return what every rule of the profile says of a system, in the order of `RuleName`."""
    found = [
        *_must_build(profile, subject),
        *_each(profile, subject, Term.BUILDER_RULE, _builder),
        *_each(profile, subject, Term.MAINTENANCE_PARTY, _maintenance),
        *_each(profile, subject, Term.ACCEPTANCE_BEFORE_USE, _acceptance),
        *_filing(profile, subject, today),
        *_each(profile, subject, Term.INTERFACE_RESERVED, _interface),
        *_each(profile, subject, Term.RETENTION_MIN_DAYS, _retention),
    ]
    for term, (rule, fact) in _PLAIN.items():
        found += _each(profile, subject, term, _plain(rule, fact))
    order = list(RuleName)
    return tuple(sorted(found, key=lambda each: order.index(each.rule)))


Judge = Callable[[TermValue, Subject], Finding]


def _each(profile: Profile, subject: Subject, term: Term, judged: Judge) -> Iterator[Finding]:
    """Judge what each text says of a term; a text that says no asks nothing."""
    for each in said(profile.terms, term):
        if each.value is not False and _applies(profile, each.requirement, subject):
            yield judged(each, subject)


def _applies(profile: Profile, requirement: str, subject: Subject) -> bool:
    """Tell whether a provision binds a system where it stands (CN-9.2, CN-33)."""
    place = subject.facts.get(Fact.NATIONAL_PLACE)
    if place == "not_public":
        return requirement not in profile.public_places_only
    return not (place == "other_public" and requirement in profile.listed_places_only)


def _must_build(profile: Profile, subject: Subject) -> Iterator[Finding]:
    for code in sorted(subject.classes):
        place = profile.place_class(code)
        if place is not None:
            yield Finding(RuleName.MUST_BUILD, Verdict.MET, place.requirement)


def _builder(term: TermValue, subject: Subject) -> Finding:
    party, missing = _who_builds(str(term.value), subject)
    verdict = Verdict.MET if party is not None else Verdict.UNRESOLVED
    return Finding(RuleName.RESPONSIBLE_BUILDER, verdict, term.requirement, party, missing=missing)


def _who_builds(rule: str, subject: Subject) -> tuple[str | None, tuple[Fact, ...]]:
    """Return who builds, or what must be attested to know it."""
    kind, state_owned = subject.facts.get(Fact.PLACE_KIND), subject.facts.get(Fact.STATE_OWNED)
    is_by_police = rule == "police_for_roads_else_unit"
    if kind is None:
        return None, (Fact.PLACE_KIND,)
    if kind == ROAD_OR_SQUARE:
        return "police" if is_by_police else "government", ()
    if is_by_police:
        return subject.unit, ()
    if rule == "government_for_main_places_else_operator" or state_owned == YES:
        return _first_of(subject, Fact.PLACE_MANAGER)
    if state_owned is None:
        return None, (Fact.STATE_OWNED,)
    return _first_of(subject, Fact.AGREED_BUILDER, Fact.PLACE_OWNER)


def _first_of(subject: Subject, *facts: Fact) -> tuple[str | None, tuple[Fact, ...]]:
    """Return the first of some facts that is attested; else all of them as missing."""
    party = next((subject.facts[fact] for fact in facts if fact in subject.facts), None)
    return (party, ()) if party is not None else (None, facts)


def _maintenance(term: TermValue, subject: Subject) -> Finding:
    party, missing = _who_maintains(str(term.value), subject)
    verdict = Verdict.MET if party is not None else Verdict.OPEN
    return Finding(RuleName.MAINTENANCE_PARTY, verdict, term.requirement, party, missing=missing)


def _who_maintains(rule: str, subject: Subject) -> tuple[str | None, tuple[Fact, ...]]:
    """Return who maintains, or what must be attested to know it."""
    if rule == "by_ownership":
        return subject.unit, ()
    if rule == "system_manager":
        return _first_of(subject, Fact.PLACE_MANAGER)
    funded = subject.facts.get(Fact.PUBLICLY_FUNDED)
    if funded is None:
        return None, (Fact.PUBLICLY_FUNDED,)
    return _first_of(subject, Fact.USER) if funded == YES else _first_of(subject, Fact.USER, Fact.BUILDER)


def _acceptance(term: TermValue, subject: Subject) -> Finding:
    used, accepted = subject.day(Fact.IN_USE_ON), subject.day(Fact.ACCEPTED_ON)
    rule = RuleName.ACCEPTED_BEFORE_USE
    if used is None:
        return Finding(rule, Verdict.OPEN, term.requirement, missing=(Fact.IN_USE_ON,))
    if accepted is None:
        return Finding(rule, Verdict.OPEN, term.requirement, missing=(Fact.ACCEPTED_ON,))
    verdict = Verdict.MET if accepted <= used else Verdict.BROKEN
    return Finding(rule, verdict, term.requirement, due_on=used)


def _filing(profile: Profile, subject: Subject, today: date) -> Iterator[Finding]:
    used, filed = subject.day(Fact.IN_USE_ON), subject.day(Fact.FILED_ON)
    if used is None:
        asked = dict.fromkeys(
            each.requirement
            for each in profile.deadlines
            if each.event.value.endswith("filing") and _applies(profile, each.requirement, subject)
        )
        for requirement in asked:
            yield Finding(RuleName.FILED_IN_TIME, Verdict.OPEN, requirement, missing=(Fact.IN_USE_ON,))
        return
    for due in filing_due(profile, used):
        if not _applies(profile, due.deadline.requirement, subject):
            continue
        by, missing = filed if filed is not None else today, () if filed is not None else (Fact.FILED_ON,)
        verdict = Verdict.BROKEN if by > due.on else Verdict.MET if filed is not None else Verdict.OPEN
        yield Finding(
            RuleName.FILED_IN_TIME, verdict, due.deadline.requirement, due_on=due.on, missing=missing
        )


def _interface(term: TermValue, subject: Subject) -> Finding:
    if subject.has_connected:
        return Finding(RuleName.INTERFACE_RESERVED, Verdict.MET, term.requirement)
    return _plain(RuleName.INTERFACE_RESERVED, Fact.INTERFACE_RESERVED)(term, subject)


def _retention(term: TermValue, subject: Subject) -> Finding:
    """Judge how far recordings reach back; what is too young to have them is never short of them."""
    rule, required = RuleName.RETENTION, int(str(term.value))
    stored, used = subject.facts.get(Fact.STORED_DAYS), subject.day(Fact.IN_USE_ON)
    if stored is None:
        return Finding(rule, Verdict.OPEN, term.requirement, missing=(Fact.STORED_DAYS,))
    if int(stored) >= required:
        return Finding(rule, Verdict.MET, term.requirement)
    if used is None:
        return Finding(rule, Verdict.OPEN, term.requirement, missing=(Fact.IN_USE_ON,))
    ripe = used + timedelta(days=required)
    verdict = Verdict.MATURING if subject.attested_on[Fact.STORED_DAYS] < ripe else Verdict.BROKEN
    return Finding(rule, verdict, term.requirement, due_on=ripe)


_PLAIN: Final[Mapping[Term, tuple[RuleName, Fact]]] = MappingProxyType(
    {
        Term.SIGN: (RuleName.SIGN_POSTED, Fact.SIGN_POSTED),
        Term.SIMULTANEOUS: (RuleName.WITH_THE_WORKS, Fact.WITH_THE_WORKS),
        Term.MLPS: (RuleName.MLPS_MET, Fact.MLPS_MET),
        Term.ARCHIVE: (RuleName.ARCHIVE_KEPT, Fact.ARCHIVE_KEPT),
        Term.CAPTURE_RANGE_FIXED: (RuleName.CAPTURE_RANGE_FIXED, Fact.CAPTURE_RANGE_FIXED),
    }
)


def _plain(rule: RuleName, fact: Fact) -> Judge:
    def judged(term: TermValue, subject: Subject) -> Finding:
        value = subject.facts.get(fact)
        if value is None:
            return Finding(rule, Verdict.OPEN, term.requirement, missing=(fact,))
        return Finding(rule, Verdict.BROKEN if value == NO else Verdict.MET, term.requirement)

    return judged
