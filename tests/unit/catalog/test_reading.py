from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.reading import (
    Counts,
    CursorInvalid,
    Region,
    RegionInvalid,
    cursor_day,
    cursor_instant,
    decode_cursor,
    encode_cursor,
    local_day,
)


@given(st.text(max_size=30).filter(lambda text: "\ud800" not in text), st.integers(-(2**63), 2**63 - 1))
def test_a_cursor_comes_back_as_it_was(text: str, number: int) -> None:
    assert decode_cursor(encode_cursor(text, number), (str, int)) == [text, number]


@given(st.text(max_size=500))
def test_what_is_no_cursor_raises_only_that(text: str) -> None:
    with pytest.raises(CursorInvalid):
        decode_cursor(text, (str, int))


@pytest.mark.parametrize(
    "cursor",
    [
        encode_cursor("a"),
        encode_cursor(1, "a"),
        encode_cursor("a", 2**63),
        encode_cursor("a", True),
        encode_cursor("a", "b"),
    ],
)
def test_a_cursor_of_another_list_is_refused(cursor: str) -> None:
    with pytest.raises(CursorInvalid):
        decode_cursor(cursor, (str, int))


@given(st.text(max_size=40))
def test_instants_and_days_of_a_cursor_raise_only_that(text: str) -> None:
    for read in (cursor_instant, cursor_day):
        try:
            read(text)
        except CursorInvalid:
            continue


def test_an_instant_of_a_cursor_has_a_zone() -> None:
    with pytest.raises(CursorInvalid):
        cursor_instant("2026-11-20T00:00:00")


@pytest.mark.parametrize("prefix", ["3", "32029", "3202991", "ab", "３２"])
def test_a_region_is_whole_pairs_of_digits(prefix: str) -> None:
    with pytest.raises(RegionInvalid):
        Region(prefix)


def test_a_region_covers_what_begins_with_it() -> None:
    city = Region("3202")

    assert (city.first, city.last) == ("320200", "320299")
    assert city.covers(Region("320299"))
    assert not city.covers(Region("32"))
    assert Region().covers(city)
    assert city.holds("320205")
    assert not city.holds("320305")


def test_a_local_day_begins_at_sixteen_hours_utc() -> None:
    assert local_day(datetime(2026, 11, 20, 15, 59, tzinfo=UTC)) == date(2026, 11, 20)
    assert local_day(datetime(2026, 11, 20, 16, 0, tzinfo=UTC)) == date(2026, 11, 21)


def test_chains_add_up_and_have_no_share_of_nothing() -> None:
    both = Counts(required=3, online=1) + Counts(required=1, online=1, without_duty=2)

    assert both == Counts(required=4, online=2, without_duty=2)
    assert both.share(both.online) == 0.5
    assert Counts().share(0) is None
