"""Jurisdiction profiles: what a decree decides, as values.

A profile is read from a data file (`catalog.profiles.load`); code branches on its values and cites its
requirement ids, never on a city's name. Where the national regulation is switched on, the effective
profile is `overlay(local, base)`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from enum import IntEnum, StrEnum
from typing import Final, assert_never

from catalog.model.terms import TermValue


class Rank(IntEnum):
    """The rank of a legal text; the lower number prevails."""

    ADMINISTRATIVE_REGULATION = 1
    PROVINCIAL_GOVERNMENT_RULE = 2
    CITY_GOVERNMENT_RULE = 3


class ConnectionDuty(StrEnum):
    """Whether somebody must connect to the shared platform."""

    MANDATORY = "mandatory"
    """What the published catalog lists must connect."""
    COORDINATED = "coordinated"
    """The police coordinate integration; nobody is bound."""
    NONE = "none"
    """The text knows no connection duty."""


_STRICTNESS: Final = (ConnectionDuty.NONE, ConnectionDuty.COORDINATED, ConnectionDuty.MANDATORY)


@dataclass(frozen=True, slots=True)
class Bilingual:
    """One text in the two languages of the product."""

    zh: str
    en: str


@dataclass(frozen=True, slots=True)
class Requirement:
    """One provision, cited in code and reports by its id, e.g. `WX-21.3` (Art. 21 para. 3)."""

    id: str
    rank: Rank
    article: Bilingual
    """Its citation for people."""
    text: Bilingual
    """`zh`: the provision in its own words; `en`: our translation of it."""


@dataclass(frozen=True, slots=True)
class DutyBasis:
    """A provision that a row of the roll may name as the reason why its source must connect."""

    requirement: str
    title: Bilingual
    duty: ConnectionDuty


@dataclass(frozen=True, slots=True)
class PlaceClass:
    """A class of places that need a system."""

    code: str
    title: Bilingual
    requirement: str


@dataclass(frozen=True, slots=True)
class LocationType:
    """Where at a site a camera looks."""

    value: str
    title: Bilingual


@dataclass(frozen=True, slots=True)
class Ground:
    """One provision that speaks about a location."""

    requirement: str
    is_catch_all: bool
    """True where only a clause like "other areas that may disclose privacy" fits: a person decides."""


@dataclass(frozen=True, slots=True)
class ForbiddenLocation:
    """A location where the profile forbids capture devices, by name or by a catch-all clause."""

    value: str
    title: Bilingual
    grounds: tuple[Ground, ...]

    @property
    def named_by(self) -> tuple[str, ...]:
        """The requirement ids that forbid the location by name."""
        return tuple(ground.requirement for ground in self.grounds if not ground.is_catch_all)

    @property
    def catch_all_by(self) -> tuple[str, ...]:
        """The requirement ids of catch-all clauses that may cover the location."""
        return tuple(ground.requirement for ground in self.grounds if ground.is_catch_all)


@dataclass(frozen=True, slots=True)
class PublicCatalog:
    """Whether the catalog of what must connect is published, and what stays out of it."""

    is_enabled: bool
    requirements: tuple[str, ...]
    """What orders the publication; where nothing does, what the text knows in its place."""
    reason: Bilingual
    """Why it is published, or why not, in a sentence for the public page."""
    suppressed_site_classes: frozenset[str]
    """Place classes whose site names are not published."""


class DeadlineEvent(StrEnum):
    """What a statutory period is counted from."""

    LEGACY_FILING = "legacy_filing"
    """The text took effect: what was in use before is filed within so many days."""
    NEW_FILING = "new_filing"
    """A system was put into use: it is filed within so many days."""
    REMOVAL = "removal"
    """A removal is planned: it is reported so many days before."""
    CHANGE = "change"
    """Something was changed or removed: it is reported within so many days after."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """A period of calendar days that the text sets; the deadline of a police order is never one of them."""

    event: DeadlineEvent
    days: int
    requirement: str
    in_force_from: date
    """Since when the text that sets it is in force."""


class Offence(StrEnum):
    """What a text has a sanction for."""

    NOT_BUILT = "not_built"
    NOT_CONNECTED = "not_connected"
    FORBIDDEN_LOCATION = "forbidden_location"
    MLPS_NEGLECTED = "mlps_neglected"
    INTERFACE_NOT_RESERVED = "interface_not_reserved"
    NOT_SIMULTANEOUS = "not_simultaneous"
    USED_WITHOUT_ACCEPTANCE = "used_without_acceptance"
    NO_ARCHIVE = "no_archive"
    CAPTURE_OBSTRUCTED = "capture_obstructed"
    RELEASED_UNMASKED = "released_unmasked"
    EVIDENCE_NOT_PRESERVED = "evidence_not_preserved"
    UNAUTHORISED_REMOVAL = "unauthorised_removal"
    NETWORKING_REFUSED = "networking_refused"
    ACCESS_REFUSED = "access_refused"
    NO_SIGN = "no_sign"
    CHANGE_NOT_REPORTED = "change_not_reported"
    USER_DUTY_NEGLECTED = "user_duty_neglected"
    NOT_FILED = "not_filed"
    ILLEGAL_INSTALLER = "illegal_installer"
    NO_INSPECTION = "no_inspection"
    """Who manages a place of a forbidden location does not look for devices there."""
    NO_CONSENT = "no_consent"
    """Near a secret-related unit, installed without its consent."""


class SanctionStep(StrEnum):
    """What must have happened before the sanction is possible."""

    DIRECT = "direct"
    """Nothing: the offence is enough."""
    AFTER_DEADLINE = "after_deadline"
    """An order with a time limit was served and the limit passed."""
    AFTER_REFUSAL = "after_refusal"
    """Correction was ordered and refused."""
    AFTER_REFUSAL_OR_HARM = "after_refusal_or_harm"
    """Correction was ordered and refused, or the consequences were serious."""
    ORDER_ONLY = "order_only"
    """Correction is ordered; the text knows no fine."""


@dataclass(frozen=True, slots=True)
class Band:
    """From how much to how much a fine may go, yuan, both ends included."""

    least: int
    most: int


@dataclass(frozen=True, slots=True)
class Penalty:
    """What a text threatens an offence with. Bands are shown side by side; an amount is never proposed."""

    offence: Offence
    step: SanctionStep
    requirement: str
    rank: Rank
    unit: Band | None
    persons: Band | None
    """For principal and directly responsible persons of the unit."""
    individual: Band | None
    """For an offender who is no unit."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """Texts of different rank that threaten one offence differently; a lawyer decides which applies."""

    offence: Offence
    prevailing: Penalty
    superseded: tuple[Penalty, ...]
    """Penalties of lower rank, the highest of them first: candidates for not being applied."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What one decree, or a decree on top of the national regulation, decides."""

    name: str
    title: Bilingual
    rank: Rank
    effective_from: date
    verified_in_force_on: date | None
    """When a person last checked that the text is in force; None: nobody has."""
    connection_duty: ConnectionDuty
    connection_requirements: tuple[str, ...]
    public_catalog: PublicCatalog
    place_classes: tuple[PlaceClass, ...]
    forbidden_locations: tuple[ForbiddenLocation, ...]
    location_types: tuple[LocationType, ...]
    duty_bases: tuple[DutyBasis, ...]
    requirements: tuple[Requirement, ...]
    deadlines: tuple[Deadline, ...]
    penalties: tuple[Penalty, ...]
    terms: tuple[TermValue, ...]
    public_places_only: frozenset[str]
    """Provisions that bind systems at public places alone."""
    listed_places_only: frozenset[str]
    """Of these the ones that bind only at the places that the text lists, and not at other public ones (CN-9.2)."""
    layers: tuple[str, ...]
    """The names of the decrees it was made from, the local one first."""

    def place_class(self, code: str) -> PlaceClass | None:
        """Find a place class by its code."""
        return next((item for item in self.place_classes if item.code == code), None)

    def forbidden_location(self, value: str) -> ForbiddenLocation | None:
        """Find a forbidden location by its value."""
        return next((item for item in self.forbidden_locations if item.value == value), None)

    def location_type(self, value: str) -> LocationType | None:
        """Find a location type by its value."""
        return next((item for item in self.location_types if item.value == value), None)

    def duty_basis(self, requirement: str) -> DutyBasis | None:
        """Find the basis of a duty by its requirement id."""
        return next((item for item in self.duty_bases if item.requirement == requirement), None)

    def requirement(self, requirement: str) -> Requirement | None:
        """Find a provision by its id."""
        return next((item for item in self.requirements if item.id == requirement), None)


@dataclass(frozen=True, slots=True)
class Permitted:
    """No provision speaks against a camera there."""

    location: LocationType


@dataclass(frozen=True, slots=True)
class Forbidden:
    """A provision names the location: refuse, and cite it. There is no override."""

    location: Bilingual
    requirements: tuple[Requirement, ...]


@dataclass(frozen=True, slots=True)
class NeedsPerson:
    """Only a catch-all clause may cover the location: a person decides, not the software."""

    location: Bilingual
    requirements: tuple[Requirement, ...]


@dataclass(frozen=True, slots=True)
class Unattested:
    """Nobody has said where the camera looks, or in words the profile does not know: no relay."""

    location_type: str | None


LocationJudgement = Permitted | Forbidden | NeedsPerson | Unattested


def judge_location(profile: Profile, location_type: str | None) -> LocationJudgement:
    """Judge whether a camera may stand at a location (WX-9, SX-8, CN-8.1).

    A location that one layer names is forbidden even where another layer only has a catch-all for it.
    """
    if not location_type:
        return Unattested(None)
    forbidden = profile.forbidden_location(location_type)
    if forbidden is not None:
        if forbidden.named_by:
            return Forbidden(forbidden.title, _cited(profile, forbidden.named_by))
        return NeedsPerson(forbidden.title, _cited(profile, forbidden.catch_all_by))
    location = profile.location_type(location_type)
    return Permitted(location) if location is not None else Unattested(location_type)


def may_relay(judgement: LocationJudgement) -> bool:
    """Say whether the judgement alone lets a relay start; what needs a person does not yet."""
    match judgement:
        case Permitted():
            return True
        case Forbidden() | NeedsPerson() | Unattested():
            return False
        case _:
            assert_never(judgement)


def overlay(local: Profile, base: Profile) -> Profile:
    """Lay a local decree over the national regulation: duties union, and every source stays cited.

    What both speak about keeps both requirement ids; the local title comes first. A stricter
    connection duty prevails, and publication follows whoever orders it.
    """
    duty = max(local.connection_duty, base.connection_duty, key=_STRICTNESS.index)
    return replace(
        local,
        name=f"{local.name}+{base.name}",
        title=Bilingual(f"{local.title.zh} · {base.title.zh}", f"{local.title.en} · {base.title.en}"),
        verified_in_force_on=_verified(local.verified_in_force_on, base.verified_in_force_on),
        connection_duty=duty,
        connection_requirements=tuple(
            requirement
            for layer in (local, base)
            if layer.connection_duty is duty
            for requirement in layer.connection_requirements
        ),
        public_catalog=_overlay_publication(local.public_catalog, base.public_catalog),
        place_classes=local.place_classes + base.place_classes,
        forbidden_locations=_overlay_locations(local.forbidden_locations, base.forbidden_locations),
        location_types=_first_of_each(local.location_types + base.location_types),
        duty_bases=local.duty_bases + base.duty_bases,
        requirements=local.requirements + base.requirements,
        deadlines=local.deadlines + base.deadlines,
        penalties=local.penalties + base.penalties,
        terms=local.terms + base.terms,
        public_places_only=local.public_places_only | base.public_places_only,
        listed_places_only=local.listed_places_only | base.listed_places_only,
        layers=local.layers + base.layers,
    )


def conflicts(profile: Profile) -> tuple[Conflict, ...]:
    """Return where a lower text threatens what a higher one does too, in other terms (Administrative Penalty Law 14).

    A profile of one layer has none: what a local decree alone says stays reproducible without the overlay.
    """
    found: list[Conflict] = []
    for offence in Offence:
        ranked = sorted(
            (penalty for penalty in profile.penalties if penalty.offence is offence),
            key=lambda penalty: penalty.rank,
        )
        different = tuple(penalty for penalty in ranked[1:] if _terms(penalty) != _terms(ranked[0]))
        if different:
            found.append(Conflict(offence, ranked[0], different))
    return tuple(found)


def _terms(penalty: Penalty) -> tuple[SanctionStep, Band | None, Band | None, Band | None]:
    return (penalty.step, penalty.unit, penalty.persons, penalty.individual)


def _verified(local: date | None, base: date | None) -> date | None:
    """A combination is checked only when both texts are, and only as freshly as the older check."""
    return None if local is None or base is None else min(local, base)


def _overlay_publication(local: PublicCatalog, base: PublicCatalog) -> PublicCatalog:
    leading = base if base.is_enabled and not local.is_enabled else local
    return replace(
        leading,
        suppressed_site_classes=local.suppressed_site_classes | base.suppressed_site_classes,
    )


def _overlay_locations(
    local: Iterable[ForbiddenLocation], base: Iterable[ForbiddenLocation]
) -> tuple[ForbiddenLocation, ...]:
    merged = {location.value: location for location in local}
    for location in base:
        known = merged.get(location.value)
        merged[location.value] = (
            location if known is None else replace(known, grounds=known.grounds + location.grounds)
        )
    return tuple(merged.values())


def _first_of_each(location_types: Iterable[LocationType]) -> tuple[LocationType, ...]:
    merged: dict[str, LocationType] = {}
    for location in location_types:
        merged.setdefault(location.value, location)
    return tuple(merged.values())


def _cited(profile: Profile, requirement_ids: Iterable[str]) -> tuple[Requirement, ...]:
    return tuple(
        requirement
        for requirement_id in requirement_ids
        if (requirement := profile.requirement(requirement_id)) is not None
    )
