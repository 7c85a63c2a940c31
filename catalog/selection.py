"""Which part of a region a report is about: places of one class, one unit's, or what one edition lists."""

from uuid import UUID

from catalog.database import Statements
from catalog.jurisdictions import load_jurisdictions
from catalog.reading import Selection


class SelectionUnknown(ValueError):
    """Raised when a selection names a class, unit or edition that there is none of; the message names it."""


async def require_selection(database: Statements, selection: Selection) -> None:
    """Check that what a selection names exists: of a misspelt unit nothing must look fulfilled.

    Raises:
        SelectionUnknown: it does not.
        DatabaseAway: no answer.
    """
    unit, place_class = selection.unit, selection.place_class
    if unit is not None and not await database.fetchval("selection_unit", unit):
        raise SelectionUnknown(f"there is no unit {unit[:60]!r} on the roll")
    if place_class is not None:
        profiles = [each.effective() for each in await load_jurisdictions(database)]
        if all(profile.place_class(place_class) is None for profile in profiles):
            raise SelectionUnknown(f"no profile here knows a class {place_class[:60]!r}")
    if selection.edition is not None:
        await entries_of(database, selection.edition)


async def entries_of(database: Statements, edition: str) -> frozenset[UUID]:
    """Return the entries that a published edition lists, a withdrawn one too.

    Raises:
        SelectionUnknown: there is no such edition.
        DatabaseAway: no answer.
    """
    entries: list[UUID] | None = await database.fetchval("selection_entries", edition)
    if entries is None:
        raise SelectionUnknown(f"there is no edition {edition[:60]!r}: `muster catalog list` shows them")
    return frozenset(entries)
