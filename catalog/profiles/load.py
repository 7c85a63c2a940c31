"""Reads the profiles' data files and checks them; a mistake in one is an error at load, not at use."""

import tomllib
from collections.abc import Iterable
from datetime import date
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from catalog.model.profile import (
    Band,
    Bilingual,
    ConnectionDuty,
    Deadline,
    DeadlineEvent,
    DutyBasis,
    ForbiddenLocation,
    Ground,
    LocationType,
    Offence,
    Penalty,
    PlaceClass,
    Profile,
    PublicCatalog,
    Rank,
    Requirement,
    SanctionStep,
    overlay,
)
from catalog.model.terms import TERMS, Term, TermValue, Value
from catalog.profiles.lines import line_of, line_of_value

LOCATION_TYPES_FILE: Final = "location_types.toml"

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
RequirementId = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2,3}-\d+(\.\d+)?(\(\d+\))?$")]
PlaceClassCode = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2,3}\d*(_\d+)+$")]
LocationValue = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z_]*$")]
ProfileName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]


class ProfileError(ValueError):
    """Raised when a profile's data file is missing or breaks the rules of a profile."""


class Inconsistent(ValueError):
    """Raised when values of a file contradict each other.

    Attributes:
        value: the value by which a person finds the place.
    """

    def __init__(self, message: str, value: str) -> None:
        super().__init__(message)
        self.value = value


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Text(_Record):
    zh: Text
    en: Text

    def value(self) -> Bilingual:
        return Bilingual(self.zh, self.en)


class _ConnectionDuty(_Record):
    kind: Annotated[ConnectionDuty, Field(strict=False)]
    requirements: list[RequirementId]


class _PublicCatalog(_Record):
    enabled: bool
    requirements: list[RequirementId]
    reason: _Text
    suppressed_site_classes: list[PlaceClassCode]


class _DutyBasis(_Text):
    requirement: RequirementId
    duty: Annotated[ConnectionDuty, Field(strict=False)]


class _PlaceClass(_Text):
    code: PlaceClassCode
    requirement: RequirementId


class _Ground(_Record):
    requirement: RequirementId
    catch_all: bool = False


class _ForbiddenLocation(_Text):
    location: LocationValue = Field(alias="value")
    grounds: Annotated[list[_Ground], Field(min_length=1)]


class _LocationType(_Text):
    location: LocationValue = Field(alias="value")


class _LocationTypes(_Record):
    location_types: Annotated[list[_LocationType], Field(min_length=1)]


class _Requirement(_Record):
    id: RequirementId
    article: _Text
    text: _Text


class _Deadline(_Record):
    event: Annotated[DeadlineEvent, Field(strict=False)]
    days: Annotated[int, Field(ge=1, le=3660)]
    requirement: RequirementId


class _Band(_Record):
    least: Annotated[int, Field(ge=0)] = 0
    most: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def _is_a_band(self) -> Self:
        if self.least > self.most:
            raise ValueError(f"a band from {self.least} to {self.most} yuan is none")
        return self

    def value(self) -> Band:
        return Band(self.least, self.most)


class _Penalty(_Record):
    offence: Annotated[Offence, Field(strict=False)]
    step: Annotated[SanctionStep, Field(strict=False)]
    requirement: RequirementId
    unit: _Band | None = None
    persons: _Band | None = None
    individual: _Band | None = None

    @model_validator(mode="after")
    def _has_a_fine_unless_order_only(self) -> Self:
        if (self.step is SanctionStep.ORDER_ONLY) == any((self.unit, self.persons, self.individual)):
            raise ValueError("a penalty has a band, and order_only has none")
        return self


class _Term(_Record):
    term: Annotated[Term, Field(strict=False)]
    value: bool | int | str | list[Text]
    requirement: RequirementId

    @property
    def said(self) -> Value:
        return tuple(self.value) if isinstance(self.value, list) else self.value

    @model_validator(mode="after")
    def _is_known(self) -> Self:
        mistake = TERMS[self.term].mistake(self.said)
        if mistake is not None:
            raise ValueError(f"{self.term}: {mistake}")
        return self


class _ProfileFile(_Record):
    """The shape of `<name>.toml`; every key is known, every requirement id is defined in the file."""

    name: ProfileName
    rank: str
    effective_from: date
    verified_in_force_on: date | None = None
    title: _Text
    connection_duty: _ConnectionDuty
    public_catalog: _PublicCatalog
    duty_bases: list[_DutyBasis] = []
    deadlines: list[_Deadline] = []
    penalties: list[_Penalty] = []
    terms: list[_Term] = []
    silent: list[Annotated[Term, Field(strict=False)]] = []
    """Terms of which the text says nothing: every other one is said."""
    public_places_only: bool = False
    """Whether the text binds systems at public places alone."""
    listed_places_only: list[RequirementId] = []
    """Provisions that bind only at the places that the text lists."""
    place_classes: Annotated[list[_PlaceClass], Field(min_length=1)]
    forbidden_locations: Annotated[list[_ForbiddenLocation], Field(min_length=1)]
    requirements: Annotated[list[_Requirement], Field(min_length=1)]

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        if self.rank.upper() not in Rank.__members__:
            raise ValueError(f"rank is {self.rank!r}, expected one of {', '.join(Rank.__members__).lower()}")
        _refuse_repeats("requirement", (item.id for item in self.requirements))
        _refuse_repeats("place class", (item.code for item in self.place_classes))
        _refuse_repeats("forbidden location", (item.location for item in self.forbidden_locations))
        _refuse_repeats("deadline", (item.event for item in self.deadlines))
        _refuse_repeats("penalty", (item.offence for item in self.penalties))
        _refuse_repeats("term", (*(item.term for item in self.terms), *self.silent))
        unsaid = sorted(set(Term) - {item.term for item in self.terms} - set(self.silent))
        if unsaid:
            raise Inconsistent(f"neither said nor silent of: {', '.join(unsaid)}", unsaid[0])
        missing = sorted(set(self._cited()) - {item.id for item in self.requirements})
        if missing:
            raise Inconsistent(f"cited but not defined: {', '.join(missing)}", missing[0])
        unknown = sorted(
            set(self.public_catalog.suppressed_site_classes) - {item.code for item in self.place_classes}
        )
        if unknown:
            raise Inconsistent(
                f"suppressed place classes that do not exist: {', '.join(unknown)}", unknown[0]
            )
        if self.public_catalog.enabled and not self.public_catalog.requirements:
            raise ValueError("a public catalog is enabled without a requirement that orders it")
        return self

    def _cited(self) -> Iterable[str]:
        yield from self.connection_duty.requirements
        yield from self.public_catalog.requirements
        yield from (item.requirement for item in self.duty_bases)
        yield from (item.requirement for item in self.place_classes)
        yield from (ground.requirement for item in self.forbidden_locations for ground in item.grounds)
        yield from (item.requirement for item in self.deadlines)
        yield from (item.requirement for item in self.penalties)
        yield from (item.requirement for item in self.terms)
        yield from self.listed_places_only


def _refuse_repeats(what: str, values: Iterable[str]) -> None:
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise Inconsistent(f"{what} {value} stands twice", value)
        seen.add(value)


def profile_names() -> tuple[str, ...]:
    """Return the names of the profiles that ship with this version, sorted."""
    return tuple(
        sorted(
            item.name.removesuffix(".toml")
            for item in files("catalog.profiles").iterdir()
            if item.name.endswith(".toml") and item.name != LOCATION_TYPES_FILE
        )
    )


@cache
def load_profile(name: str) -> Profile:
    """Load one decree's profile by its file name without `.toml`.

    Raises:
        ProfileError: there is no such profile, or its file breaks the rules.
    """
    if name not in profile_names():
        raise ProfileError(f"no profile {name!r}; there are {', '.join(profile_names())}")
    try:
        profile = parse_profile(_folder().joinpath(f"{name}.toml").read_bytes(), location_types())
    except ProfileError as error:
        raise ProfileError(f"{name}.toml: {error}") from error
    if profile.name != name:
        raise ProfileError(f"the file {name}.toml calls itself {profile.name!r}")
    return profile


@cache
def effective_profile(name: str, base: str | None = None) -> Profile:
    """Load a local profile and lay it over the national base where that is switched on.

    Raises:
        ProfileError: one of the two does not exist or breaks the rules.
    """
    local = load_profile(name)
    return local if base is None or base == name else overlay(local, load_profile(base))


@cache
def location_types() -> tuple[LocationType, ...]:
    """Load the vocabulary of permitted location types, common to all profiles."""
    text = _folder().joinpath(LOCATION_TYPES_FILE).read_text("utf-8")
    try:
        record = _LocationTypes.model_validate(tomllib.loads(text))
        _refuse_repeats("location type", (item.location for item in record.location_types))
    except ValueError as error:
        raise ProfileError(f"{LOCATION_TYPES_FILE}: {_explained(error, text)}") from error
    return tuple(LocationType(item.location, item.value()) for item in record.location_types)


def parse_profile(document: bytes, permitted: tuple[LocationType, ...]) -> Profile:
    """Read a profile from the bytes of its TOML file.

    Raises:
        ProfileError: not TOML, an unknown or missing key, a value out of range, an id cited but not
            defined, or a permitted location type that the profile forbids.
    """
    try:
        text = document.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ProfileError(f"profile: not UTF-8 text: {error}") from error
    try:
        record = _ProfileFile.model_validate(tomllib.loads(text))
    except ValueError as error:
        raise ProfileError(f"profile: {_explained(error, text)}") from error
    both = {item.value for item in permitted} & {item.location for item in record.forbidden_locations}
    if both:
        told = _placed(
            line_of_value(text, min(both)), f"permitted and forbidden at once: {', '.join(sorted(both))}"
        )
        raise ProfileError(f"profile: {told}")
    return _profile(record, permitted)


def _explained(error: ValueError, text: str) -> str:
    """Say every mistake with its line in the text of the file, where it has one."""
    if not isinstance(error, ValidationError):
        return str(error)
    told: list[str] = []
    for item in error.errors():
        cause = item.get("ctx", {}).get("error")
        line = (
            line_of_value(text, cause.value)
            if isinstance(cause, Inconsistent)
            else line_of(text, item["loc"])
        )
        where = ".".join(str(part) for part in item["loc"]) or "file"
        told.append(_placed(line, f"{where}: {item['msg']}"))
    return "; ".join(told)


def _placed(line: int | None, text: str) -> str:
    return f"line {line}: {text}" if line is not None else text


def _folder() -> Traversable:
    return files("catalog.profiles")


def _profile(record: _ProfileFile, permitted: tuple[LocationType, ...]) -> Profile:
    rank = Rank[record.rank.upper()]
    return Profile(
        name=record.name,
        title=record.title.value(),
        rank=rank,
        effective_from=record.effective_from,
        verified_in_force_on=record.verified_in_force_on,
        connection_duty=record.connection_duty.kind,
        connection_requirements=tuple(record.connection_duty.requirements),
        public_catalog=PublicCatalog(
            is_enabled=record.public_catalog.enabled,
            requirements=tuple(record.public_catalog.requirements),
            reason=record.public_catalog.reason.value(),
            suppressed_site_classes=frozenset(record.public_catalog.suppressed_site_classes),
        ),
        place_classes=tuple(
            PlaceClass(item.code, item.value(), item.requirement) for item in record.place_classes
        ),
        forbidden_locations=tuple(
            ForbiddenLocation(
                item.location,
                item.value(),
                tuple(Ground(ground.requirement, ground.catch_all) for ground in item.grounds),
            )
            for item in record.forbidden_locations
        ),
        location_types=permitted,
        duty_bases=tuple(DutyBasis(item.requirement, item.value(), item.duty) for item in record.duty_bases),
        requirements=tuple(
            Requirement(item.id, rank, item.article.value(), item.text.value())
            for item in record.requirements
        ),
        deadlines=tuple(
            Deadline(item.event, item.days, item.requirement, record.effective_from)
            for item in record.deadlines
        ),
        penalties=tuple(_penalty(item, rank) for item in record.penalties),
        terms=tuple(TermValue(item.term, item.said, item.requirement, rank) for item in record.terms),
        public_places_only=frozenset(item.id for item in record.requirements if record.public_places_only),
        listed_places_only=frozenset(record.listed_places_only),
        layers=(record.name,),
    )


def _penalty(item: _Penalty, rank: Rank) -> Penalty:
    return Penalty(
        offence=item.offence,
        step=item.step,
        requirement=item.requirement,
        rank=rank,
        unit=item.unit.value() if item.unit else None,
        persons=item.persons.value() if item.persons else None,
        individual=item.individual.value() if item.individual else None,
    )
