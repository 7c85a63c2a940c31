"""Administrative codes and 20-digit codes: round trip, levels, and errors that name the position."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.model.codes import CivilCode, GbId, GbIdKind

PAIRS = st.integers(1, 99).map(lambda number: f"{number:02d}")
PROVINCES = st.integers(10, 99).map(str)


@st.composite
def civil_codes(draw: st.DrawFn) -> str:
    lower = draw(st.lists(PAIRS, max_size=3))
    return draw(PROVINCES) + "".join(lower)


@st.composite
def gb_ids(draw: st.DrawFn) -> str:
    centre = draw(civil_codes()).ljust(8, "0")
    industry = draw(st.integers(0, 99))
    kind = draw(st.integers(111, 999))
    return f"{centre}{industry:02d}{kind}{draw(st.integers(0, 9))}{draw(st.integers(0, 999_999)):06d}"


@given(civil_codes())
def test_a_civil_code_survives_parsing_and_printing(text: str) -> None:
    assert str(CivilCode.parse(f" {text} ")) == text


@given(gb_ids())
def test_a_20_digit_code_is_the_sum_of_its_parts(text: str) -> None:
    code = GbId.parse(text)
    assert f"{code.centre}{code.industry}{code.type:03d}{code.network}{code.serial}" == text == str(code)


@given(gb_ids())
def test_the_centre_is_a_civil_code_without_its_unused_pairs(text: str) -> None:
    assert GbId.parse(text).civil_code.text.ljust(8, "0") == text[:8]


@given(st.text(max_size=24) | st.text("0123456789", max_size=24))
def test_parsing_any_text_raises_only_value_errors(text: str) -> None:
    outcomes = []
    for parse in (CivilCode.parse, GbId.parse):
        try:
            outcomes.append(str(parse(text)))
        except ValueError as error:
            outcomes.append(str(error))
    assert all(outcomes)


@pytest.mark.parametrize(
    ("code", "province", "city", "district"),
    [
        ("32", "32", None, None),
        ("3202", "32", "3202", None),
        ("320200", "32", "3202", None),
        ("320211", "32", "3202", "320211"),
        ("32021101", "32", "3202", "320211"),
        ("500101", "50", "5001", "500101"),
    ],
)
def test_a_civil_code_names_its_levels(
    code: str, province: str, city: str | None, district: str | None
) -> None:
    parsed = CivilCode.parse(code)
    assert (parsed.province, parsed.city, parsed.district) == (province, city, district)


@pytest.mark.parametrize(
    ("place", "area", "inside"),
    [
        ("320211", "3202", True),
        ("320211", "320200", True),
        ("320200", "3202", True),
        ("3202", "320211", False),
        ("320300", "3202", False),
        ("32021101", "320211", True),
    ],
)
def test_a_place_is_within_the_area_whose_code_begins_its_own(place: str, area: str, inside: bool) -> None:
    assert CivilCode.parse(place).is_within(CivilCode.parse(area)) is inside


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("32021", "5 digits"),
        ("", "0 digits"),
        ("3202x1", "position 5"),
        ("032021", "position 1"),
        ("320011", "positions 3-4"),
        ("３２０２", "position 1"),
    ],
)
def test_a_bad_civil_code_is_an_error_that_says_where(text: str, place: str) -> None:
    with pytest.raises(ValueError, match=place):
        CivilCode.parse(text)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("3402000000132000000", "19 digits"),
        ("340200000013200000010", "21 digits"),
        ("34020000001320O00001", "position 15"),
        ("34020000000990000001", "positions 11-13"),
        ("34000011001320000001", "positions 3-4"),
        ("04020000001320000001", "position 1"),
    ],
)
def test_a_bad_20_digit_code_is_an_error_that_says_where(text: str, place: str) -> None:
    with pytest.raises(ValueError, match=place):
        GbId.parse(text)


@pytest.mark.parametrize(
    ("type_code", "kind", "delivers_video"),
    [
        (111, GbIdKind.FRONT_END, True),
        (118, GbIdKind.FRONT_END, True),
        (131, GbIdKind.PERIPHERAL, True),
        (132, GbIdKind.PERIPHERAL, True),
        (134, GbIdKind.PERIPHERAL, False),
        (137, GbIdKind.PERIPHERAL, False),
        (200, GbIdKind.PLATFORM, False),
        (216, GbIdKind.PLATFORM, False),
        (300, GbIdKind.USER, False),
        (500, GbIdKind.EXTERNAL, False),
        (999, GbIdKind.EXTENSION, False),
    ],
)
def test_the_type_says_what_a_code_stands_for(type_code: int, kind: GbIdKind, delivers_video: bool) -> None:
    code = GbId.parse(f"3402000000{type_code}0000001")
    assert (code.kind, code.may_deliver_video) == (kind, delivers_video)
