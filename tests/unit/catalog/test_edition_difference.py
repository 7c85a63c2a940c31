"""Two editions compared entry by entry."""

from dataclasses import replace
from datetime import date
from uuid import UUID

from catalog.edition_difference import EditionDifference, FieldChange, edition_difference
from catalog.model.profile import Bilingual
from catalog.publication import PublicEntry


def entry(number: int, site: str | None = None) -> PublicEntry:
    return PublicEntry(
        entry_id=UUID(int=number),
        holder="单位甲",
        place_class="WX8_07",
        place_class_title=Bilingual("公园", "park"),
        district="990102",
        site_name=site,
        due_on=date(2026, 6, 30),
        basis="WX-21.2",
        basis_article=Bilingual("条", "article"),
    )


LATER_DAY = date(2026, 9, 30)
DAY_MOVED = (FieldChange("due_on", date(2026, 6, 30), LATER_DAY),)


def test_equal_editions_do_not_differ() -> None:
    entries = [entry(1, "东园"), entry(2)]
    assert edition_difference(entries, entries[::-1]) == EditionDifference((), (), (), 2)
    assert edition_difference([], []) == EditionDifference((), (), (), 0)


def test_an_entry_that_says_something_else_is_changed() -> None:
    found = edition_difference([entry(1)], [replace(entry(1), due_on=LATER_DAY)])
    assert [(change.before.entry_id, change.fields) for change in found.changed] == [(UUID(int=1), DAY_MOVED)]
    assert (found.added, found.removed, found.unchanged) == ((), (), 0)


def test_a_duty_written_anew_for_the_same_place_is_a_change_not_two_entries() -> None:
    found = edition_difference([entry(1, "东园")], [replace(entry(9, "东园"), due_on=LATER_DAY)])
    (change,) = found.changed
    assert (change.before.entry_id, change.after.entry_id, change.fields) == (
        UUID(int=1),
        UUID(int=9),
        DAY_MOVED,
    )
    assert (found.added, found.removed) == ((), ())


def test_entries_without_a_site_name_are_not_taken_for_each_other() -> None:
    found = edition_difference([entry(1)], [entry(9)])
    assert (found.removed, found.added, found.changed) == ((entry(1),), (entry(9),), ())


def test_entries_of_one_place_that_stand_twice_are_not_guessed() -> None:
    before, after = [entry(1, "东园"), entry(2, "东园")], [entry(8, "东园")]
    found = edition_difference(before, after)
    assert (found.removed, found.added, found.changed) == (tuple(before), tuple(after), ())
