"""Administrative codes and the 20-digit codes of GB/T 28181.

Facts from GB/T 28181-2022, Annex E (the coding rule) and GB/T 2260 (administrative codes): no I/O.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

CIVIL_CODE_LENGTHS: Final = (2, 4, 6, 8)
GB_ID_LENGTH: Final = 20


class GbIdKind(StrEnum):
    """What a 20-digit code stands for, by its type code (GB/T 28181-2022, Table E.1)."""

    FRONT_END = "front_end"
    """111-130: recorders, encoders, checkpoints."""
    PERIPHERAL = "peripheral"
    """131-199: cameras, alarm and audio channels."""
    PLATFORM = "platform"
    """200-299: platforms, their servers, business groups and virtual organisations."""
    USER = "user"
    """300-499: users of a centre or of a terminal."""
    EXTERNAL = "external"
    """500-599: servers outside a platform."""
    EXTENSION = "extension"
    """600-999: left to extensions."""


_KIND_RANGES: Final = (
    (111, 130, GbIdKind.FRONT_END),
    (131, 199, GbIdKind.PERIPHERAL),
    (200, 299, GbIdKind.PLATFORM),
    (300, 499, GbIdKind.USER),
    (500, 599, GbIdKind.EXTERNAL),
    (600, 999, GbIdKind.EXTENSION),
)

# The types of Table E.1 that deliver no picture: a roll of video sources cannot hold them.
_PICTURELESS_TYPES: Final = frozenset({114, 115, 116, 117, 133, 134, 135, 136, 137, 140, 141})


def _require_ascii_digits(text: str, what: str) -> None:
    for position, character in enumerate(text, start=1):
        if character not in "0123456789":
            raise ValueError(f"{what}: position {position} is {character!r}, not a digit")


def _significant_pairs(digits: str, what: str) -> str:
    """Return `digits` without its trailing 00 pairs; raise where a lower pair follows a 00 pair."""
    if digits[0] == "0":
        raise ValueError(f"{what}: position 1 is '0', no province code begins with 0")
    significant = digits
    while significant.endswith("00"):
        significant = significant[:-2]
    for index in range(2, len(significant), 2):
        if significant[index : index + 2] == "00":
            raise ValueError(f"{what}: positions {index + 1}-{index + 2} are '00', but a lower level follows")
    return significant


@dataclass(frozen=True, slots=True, order=True)
class CivilCode:
    """An administrative code of 2, 4, 6 or 8 digits: province, city, district, grass-roots unit.

    The text stays as it was written (`320200` and `3202` are both in use for a city);
    `significant` is the form to compare by.
    """

    text: str

    def __post_init__(self) -> None:
        _require_ascii_digits(self.text, "administrative code")
        if len(self.text) not in CIVIL_CODE_LENGTHS:
            raise ValueError(f"administrative code: {len(self.text)} digits, expected 2, 4, 6 or 8")
        _significant_pairs(self.text, "administrative code")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a code, tolerating blanks around it.

        Raises:
            ValueError: not 2, 4, 6 or 8 digits, or a level is missing in between; names the position.
        """
        return cls(text.strip())

    def __str__(self) -> str:
        return self.text

    @property
    def significant(self) -> str:
        """The code without trailing `00` pairs: `320200` and `3202` both give `3202`."""
        return _significant_pairs(self.text, "administrative code")

    @property
    def province(self) -> str:
        """The first two digits."""
        return self.text[:2]

    @property
    def city(self) -> str | None:
        """The first four digits, or None for a province."""
        return self._level(4)

    @property
    def district(self) -> str | None:
        """The first six digits (a county or district), or None for a city or province."""
        return self._level(6)

    def _level(self, length: int) -> str | None:
        return self.significant[:length] if len(self.significant) >= length else None

    def is_within(self, area: "CivilCode") -> bool:
        """Say whether this place is `area` or lies inside it."""
        return self.significant.startswith(area.significant)


@dataclass(frozen=True, slots=True, order=True)
class GbId:
    """A 20-digit code: centre 8, industry 2, type 3, network 1, serial 6 (GB/T 28181-2022, E.1)."""

    text: str

    def __post_init__(self) -> None:
        _require_ascii_digits(self.text, "20-digit code")
        if len(self.text) != GB_ID_LENGTH:
            raise ValueError(f"20-digit code: {len(self.text)} digits, expected {GB_ID_LENGTH}")
        _significant_pairs(self.text[:8], "20-digit code")
        _kind_of(self.text[10:13])

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a code, tolerating blanks around it.

        Raises:
            ValueError: not 20 digits, no administrative code in positions 1-8, or no type of
                Table E.1 in positions 11-13; names the position.
        """
        return cls(text.strip())

    def __str__(self) -> str:
        return self.text

    @property
    def centre(self) -> str:
        """Positions 1-8: province, city, district, grass-roots unit, unused pairs `00`."""
        return self.text[:8]

    @property
    def civil_code(self) -> CivilCode:
        """The administrative code of the centre, without its unused pairs."""
        return CivilCode(_significant_pairs(self.centre, "20-digit code"))

    @property
    def industry(self) -> str:
        """Positions 9-10."""
        return self.text[8:10]

    @property
    def type(self) -> int:
        """Positions 11-13, e.g. 132 for an IP camera."""
        return int(self.text[10:13])

    @property
    def kind(self) -> GbIdKind:
        """What the type code stands for."""
        return _kind_of(self.text[10:13])

    @property
    def network(self) -> str:
        """Position 14. The editions of 2016 and 2022 give one digit different meanings."""
        return self.text[13]

    @property
    def serial(self) -> str:
        """Positions 15-20."""
        return self.text[14:]

    @property
    def may_deliver_video(self) -> bool:
        """Whether a device or channel of this type can be a video source."""
        return self.kind in (GbIdKind.FRONT_END, GbIdKind.PERIPHERAL) and self.type not in _PICTURELESS_TYPES


def _kind_of(type_digits: str) -> GbIdKind:
    code = int(type_digits)
    for first, last, kind in _KIND_RANGES:
        if first <= code <= last:
            return kind
    raise ValueError(f"20-digit code: positions 11-13 are {type_digits!r}, expected a type from 111 on")
