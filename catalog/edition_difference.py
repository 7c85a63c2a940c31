"""What changed from one edition of the public catalog to another, entry by entry, of what is public alone."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Final
from uuid import UUID

from catalog.publication import PublicEntry

COMPARED: Final = ("holder", "place_class", "district", "site_name", "due_on", "basis")
"""The fields of an entry that a reader compares."""

Value = str | date | None
_Place = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One public field of an entry in both editions."""

    field: str
    before: Value
    after: Value


@dataclass(frozen=True, slots=True)
class EntryChange:
    """An entry of the earlier edition, and the one that says something else in its place."""

    before: PublicEntry
    after: PublicEntry
    """Of the same number, or a new one: a duty whose day or basis changes is written anew and the old one kept."""
    fields: tuple[FieldChange, ...]


@dataclass(frozen=True, slots=True)
class EditionDifference:
    """How the later edition differs from the earlier one; entries in the order of their editions."""

    added: tuple[PublicEntry, ...]
    removed: tuple[PublicEntry, ...]
    changed: tuple[EntryChange, ...]
    unchanged: int


def edition_difference(earlier: Iterable[PublicEntry], later: Iterable[PublicEntry]) -> EditionDifference:
    """Compare two editions: by the number of the entries, then by holder, place and class.

    What names no site (the name is withheld), or stands twice, is never taken for the successor of another entry.
    """
    gone = {entry.entry_id: entry for entry in earlier}
    added: dict[UUID, PublicEntry] = {}
    pairs: list[tuple[PublicEntry, PublicEntry]] = []
    for entry in later:
        before = gone.pop(entry.entry_id, None)
        if before is None:
            added[entry.entry_id] = entry
        else:
            pairs.append((before, entry))
    old_by_place, new_by_place = _once_each(gone.values()), _once_each(added.values())
    for place in old_by_place.keys() & new_by_place.keys():
        before, after = old_by_place[place], new_by_place[place]
        del gone[before.entry_id]
        del added[after.entry_id]
        pairs.append((before, after))
    changed = sorted(
        (
            EntryChange(before, after, fields)
            for before, after in pairs
            if (fields := _changes(before, after))
        ),
        key=lambda change: (
            change.after.district,
            change.after.place_class,
            change.after.holder,
            change.after.entry_id,
        ),
    )
    return EditionDifference(
        added=tuple(added.values()),
        removed=tuple(gone.values()),
        changed=tuple(changed),
        unchanged=len(pairs) - len(changed),
    )


def _once_each(entries: Iterable[PublicEntry]) -> dict[_Place, PublicEntry]:
    named = [
        ((entry.holder, entry.district, entry.place_class, entry.site_name), entry)
        for entry in entries
        if entry.site_name is not None
    ]
    times = Counter(place for place, _ in named)
    return {place: entry for place, entry in named if times[place] == 1}


def _changes(before: PublicEntry, after: PublicEntry) -> tuple[FieldChange, ...]:
    compared = ((field, getattr(before, field), getattr(after, field)) for field in COMPARED)
    return tuple(FieldChange(field, old, new) for field, old, new in compared if old != new)
