"""Which law applies where: the jurisdictions of this installation and the profile of each.

A row of the roll belongs to the jurisdiction whose administrative code contains its own; the narrowest one
decides the profile, the widest one decides how far a roll file reaches.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from catalog.database import Statements
from catalog.model.codes import CivilCode
from catalog.model.profile import Profile
from catalog.profiles.load import effective_profile

DISTRICT_DIGITS: Final = 6


@dataclass(frozen=True, slots=True)
class Jurisdiction:
    """A district, city or province and the law that applies to what is installed there."""

    district: str
    """Administrative code, six digits; a city's ends with 00."""
    name: str
    profile: str
    base_profile: str | None
    """The national layer under the profile; None where it is switched off."""

    @property
    def code(self) -> CivilCode:
        """The administrative code as a value to compare by."""
        return CivilCode(self.district)

    def effective(self) -> Profile:
        """Return the profile that applies, the national layer included.

        Raises:
            ProfileError: one of the profiles does not exist.
        """
        return effective_profile(self.profile, self.base_profile)


class Jurisdictions:
    """The jurisdictions of an installation."""

    def __init__(self, items: Iterable[Jurisdiction]) -> None:
        self._items = tuple(sorted(items, key=lambda item: len(item.code.significant)))
        self._of: dict[str, Jurisdiction | None] = {}

    def __iter__(self) -> Iterator[Jurisdiction]:
        return iter(self._items)

    def of(self, code: CivilCode) -> Jurisdiction | None:
        """Return the narrowest jurisdiction that contains `code`, or None."""
        if code.text not in self._of:
            containing = [item for item in self._items if code.is_within(item.code)]
            self._of[code.text] = containing[-1] if containing else None
        return self._of[code.text]

    def widest(self, district: str) -> Jurisdiction | None:
        """Return the widest jurisdiction that contains a district, or None."""
        code = CivilCode(district)
        return next((item for item in self._items if code.is_within(item.code)), None)


async def load_jurisdictions(database: Statements) -> Jurisdictions:
    """Return what the catalog knows.

    Raises:
        CatalogError: as `Statements.fetch`.
    """
    return Jurisdictions(
        Jurisdiction(row["district"], row["name"], row["profile"], row["base_profile"])
        for row in await database.fetch("jurisdictions")
    )


async def save_jurisdiction(database: Statements, jurisdiction: Jurisdiction) -> None:
    """Make or change a jurisdiction; the districts known inside it follow its profile.

    Raises:
        ProfileError: there is no such profile.
        CatalogError: as `Statements.execute`.
    """
    jurisdiction.effective()
    await database.execute(
        "jurisdiction_save",
        jurisdiction.district,
        jurisdiction.name,
        jurisdiction.profile,
        jurisdiction.base_profile,
        f"{jurisdiction.code.significant}%",
    )
