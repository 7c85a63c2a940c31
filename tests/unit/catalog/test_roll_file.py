"""Whole roll files: encodings, headings, bounds, and mistakes told by row and column."""

import contextlib
import io
import zipfile
from datetime import datetime

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.jurisdictions import Jurisdiction, Jurisdictions
from catalog.model.codes import CivilCode
from catalog.roll_columns import REQUIRED_COLUMNS
from catalog.roll_file import RollInvalid, RollRow, read_roll
from catalog.roll_person import UnitKind
from catalog.roll_problem import PROBLEMS_KEPT
from tests.fakes.roll import (
    JURISDICTIONS,
    SHAANXI_LIKE,
    WITH_BASE,
    anonymous_row,
    roll_csv,
    roll_row,
)

SECRET = "Tr0ub4dor&3"


def roll_xlsx(rows: list[list[object]]) -> bytes:
    book = openpyxl.Workbook()
    sheet = book.active
    for row in rows:
        sheet.append(row)
    packed = io.BytesIO()
    book.save(packed)
    return packed.getvalue()


def xlsx_cells(**cells: object) -> list[object]:
    row: dict[str, object] = {**roll_row(), **cells}
    return [row[column] for column in REQUIRED_COLUMNS]


def problems_of(data: bytes, jurisdictions: Jurisdictions = JURISDICTIONS) -> list[tuple[int, str, str]]:
    with pytest.raises(RollInvalid) as caught:
        read_roll(data, jurisdictions)
    return [(problem.row, problem.column, problem.code) for problem in caught.value.problems]


def only_row(data: bytes, jurisdictions: Jurisdictions = JURISDICTIONS) -> RollRow:
    (row,) = read_roll(data, jurisdictions)
    return row


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_a_csv_is_read_in_each_encoding(encoding: str) -> None:
    row = only_row(roll_csv([roll_row()], encoding=encoding))
    assert (row.unit, row.site, row.row) == ("示范区图书馆", "示范区图书馆主楼", 2)


def test_a_workbook_gives_the_same_row_as_the_csv() -> None:
    headings: list[object] = list(REQUIRED_COLUMNS)
    day = datetime(2026, 6, 30)  # noqa: DTZ001 - a spreadsheet's days have no zone
    data = roll_xlsx([headings, xlsx_cells(port=554, connect_due_date=day, address_attested=True)])
    assert only_row(data) == only_row(roll_csv([roll_row()]))


def test_headings_are_taken_in_english_and_in_any_spelling() -> None:
    headings = [column.upper().replace("_", " ") for column in REQUIRED_COLUMNS]
    assert only_row(roll_csv([roll_row()], headings)) == only_row(roll_csv([roll_row()]))


@pytest.mark.parametrize("delimiter", [b";", b"\t"])
def test_other_delimiters_are_recognised(delimiter: bytes) -> None:
    data = roll_csv([roll_row()]).replace(b",", delimiter)
    assert only_row(data) == only_row(roll_csv([roll_row()]))


def test_an_unknown_heading_is_an_error_with_a_suggestion() -> None:
    headings = ["rstp_path" if column == "rtsp_path" else column for column in REQUIRED_COLUMNS]
    with pytest.raises(RollInvalid) as caught:
        read_roll(roll_csv([roll_row()], headings), JURISDICTIONS)
    texts = [str(problem) for problem in caught.value.problems]
    assert texts[0] == "row 1: unknown column 「rstp_path」; did you mean rtsp_path (RTSP路径)?"
    assert [problem.code for problem in caught.value.problems] == ["heading_unknown", "heading_missing"]


def test_a_repeated_heading_is_an_error() -> None:
    headings = ["MAC地址" if column == "serial" else column for column in REQUIRED_COLUMNS]
    assert problems_of(roll_csv([roll_row()], headings)) == [
        (1, "mac", "heading_repeated"),
        (1, "serial", "heading_missing"),
    ]


def test_every_mistake_is_told_by_row_and_column() -> None:
    data = roll_csv(
        [
            roll_row(1, port="99999", mac="zz"),
            roll_row(2),
            roll_row(3, civil_code="110101", connect_due_date="soon", gb_id="12"),
            roll_row(4, class_="WX8_99", location_type="moon", basis="SX-9", unit=""),
        ]
    )
    assert problems_of(data) == [
        (2, "mac", "mac_invalid"),
        (2, "port", "port_invalid"),
        (4, "civil_code", "jurisdiction_unknown"),
        (4, "connect_due_date", "date_invalid"),
        (4, "gb_id", "gb_id_invalid"),
        (5, "unit", "required"),
        (5, "class", "class_unknown"),
        (5, "location_type", "location_type_unknown"),
        (5, "basis", "basis_unknown"),
    ]


def test_the_problems_kept_are_bounded_and_all_are_counted() -> None:
    data = roll_csv([roll_row(number, port="x") for number in range(1, PROBLEMS_KEPT + 6)])
    with pytest.raises(RollInvalid) as caught:
        read_roll(data, JURISDICTIONS)
    assert (len(caught.value.problems), caught.value.total) == (PROBLEMS_KEPT, PROBLEMS_KEPT + 5)


@pytest.mark.parametrize("column", ["host", "rtsp_path", "credential_ref", "mac", "serial", "port"])
def test_a_password_in_the_wrong_column_is_never_repeated(column: str) -> None:
    with pytest.raises(RollInvalid) as caught:
        read_roll(roll_csv([roll_row(1, **{column: f"摄像机:{SECRET}@x"})]), JURISDICTIONS)
    assert SECRET not in f"{caught.value!r} {caught.value} {caught.value.problems}"


@pytest.mark.parametrize("number", [34020000001320000001, 3.402e19])
def test_a_code_kept_as_a_number_in_a_workbook_is_a_clear_error(number: float) -> None:
    data = roll_xlsx([list(REQUIRED_COLUMNS), xlsx_cells(gb_id=number)])
    assert problems_of(data) == [(2, "gb_id", "digits_lost")]


@pytest.mark.parametrize(
    ("cells", "problem"),
    [
        (
            {"host": "", "port": "", "rtsp_path": "", "credential_ref": ""},
            ("address_attested", "attested_without_address"),
        ),
        ({"rtsp_path": ""}, ("address_attested", "attested_without_address")),
        (
            {"host": "", "address_attested": "no", "rtsp_path": "", "port": ""},
            ("credential_ref", "host_missing"),
        ),
        ({"connect_due_date": ""}, ("connect_due_date", "due_date_missing")),
        ({"basis": ""}, ("connect_due_date", "due_date_without_duty")),
        ({"unit": "张三"}, ("unit_kind", "unit_may_be_a_person")),
        ({"unit_kind": "robot"}, ("unit_kind", "unknown_value")),
        ({"site": "主楼\n二层"}, ("site", "control_character")),
        ({"site": "楼" * 201}, ("site", "too_long")),
    ],
)
def test_what_does_not_hang_together_in_a_row_is_an_error(
    cells: dict[str, str], problem: tuple[str, str]
) -> None:
    assert problems_of(roll_csv([roll_row(1, **cells)])) == [(2, *problem)]


def test_a_row_without_anything_to_recognise_it_by_is_an_error() -> None:
    row = anonymous_row(
        host="", port="", rtsp_path="", credential_ref="", mac="", serial="", address_attested="no"
    )
    assert problems_of(roll_csv([row])) == [(2, "gb_id", "identity_missing")]


@pytest.mark.parametrize(
    ("first", "second", "problem"),
    [
        (roll_row(1), roll_row(2, gb_id=roll_row(1)["gb_id"]), ("gb_id", "duplicate")),
        (anonymous_row(1), anonymous_row(1), ("mac", "duplicate")),
        (roll_row(1), anonymous_row(1), ("mac", "duplicate")),
        (anonymous_row(1), roll_row(1), ("gb_id", "duplicate")),
        (
            roll_row(1),
            roll_row(2, host=roll_row(1)["host"], rtsp_path=roll_row(1)["rtsp_path"]),
            ("rtsp_path", "address_repeated"),
        ),
        (roll_row(1), roll_row(2, connect_due_date="2026-07-01"), ("connect_due_date", "contradiction")),
        (roll_row(1), roll_row(2, basis="WX-21.2"), ("basis", "contradiction")),
        (
            roll_row(1, unit_kind="单位"),
            roll_row(2, unit_kind="个人"),
            ("unit_kind", "contradiction"),
        ),
    ],
)
def test_rows_that_contradict_each_other_are_an_error(
    first: dict[str, str], second: dict[str, str], problem: tuple[str, str]
) -> None:
    assert (3, *problem) in problems_of(roll_csv([first, second]))


def test_a_voluntary_row_has_neither_basis_nor_date() -> None:
    row = only_row(roll_csv([roll_row(basis="", connect_due_date="")]))
    assert (row.basis, row.due_on, row.is_bound) == (None, None, False)


def test_a_coordinated_basis_binds_nobody_to_a_date() -> None:
    jurisdictions = Jurisdictions([SHAANXI_LIKE])
    row = only_row(roll_csv([roll_row(class_="SX7_3", basis="SX-5(3)", connect_due_date="")]), jurisdictions)
    assert (row.basis, row.is_bound) == ("SX-5(3)", False)
    data = roll_csv([roll_row(class_="SX7_3", basis="SX-5(3)")])
    assert problems_of(data, jurisdictions) == [(2, "connect_due_date", "due_date_without_duty")]


def test_a_forbidden_location_is_taken_in_as_rejected_with_its_article() -> None:
    assert only_row(roll_csv([roll_row(location_type="卫生间")])).rejected_by == "WX-9"
    assert only_row(roll_csv([roll_row(location_type="nursing_room")])).rejected_by is None
    with_base = Jurisdictions([WITH_BASE])
    assert only_row(roll_csv([roll_row(location_type="nursing_room")]), with_base).rejected_by == "CN-8.1(3)"


def test_a_row_belongs_to_the_narrowest_jurisdiction_around_it() -> None:
    city = Jurisdiction("990100", "示范市", "shaanxi-2011", None)
    jurisdictions = Jurisdictions([JURISDICTIONS.of(CivilCode("990102")) or SHAANXI_LIKE, city])
    assert only_row(roll_csv([roll_row()]), jurisdictions).district == "990102"
    assert problems_of(roll_csv([roll_row(civil_code="990103")]), jurisdictions)[0] == (
        2,
        "class",
        "class_unknown",
    )
    assert problems_of(roll_csv([roll_row(civil_code="9901")]), jurisdictions)[0][2] == "jurisdiction_unknown"


def test_a_name_is_kept_with_its_blanks_collapsed_and_a_natural_person_is_marked() -> None:
    row = only_row(roll_csv([roll_row(unit="张 三  杂货", unit_kind="个体工商户")]))
    assert (row.unit, row.unit_kind) == ("张 三 杂货", UnitKind.NATURAL_PERSON)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "heading_missing"),
        (b"\xff\xfeu\x00n\x00", "unknown_encoding"),
        (b"unit\x00", "unknown_encoding"),
        (b"unit,\xff\xff\xff", "unknown_encoding"),
        (b'"unit', "not_csv"),
        (b"PK\x03\x04 not a zip", "not_xlsx"),
        (roll_csv([]), "empty"),
        (roll_csv([roll_row()]).rstrip() + b",,,more\r\n", "too_many_cells"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_whole(data: bytes, code: str) -> None:
    assert problems_of(data)[0][2] == code


def zipped(parts: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return packed.getvalue()


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ({"xl/worksheets/sheet1.xml": b"\0" * (4 << 20)}, "file_too_large"),
        ({"hello.txt": b"hello"}, "not_xlsx"),
        ({"[Content_Types].xml": b"<broken"}, "not_xlsx"),
    ],
)
def test_a_zip_that_is_no_honest_workbook_is_refused(parts: dict[str, bytes], code: str) -> None:
    assert problems_of(zipped(parts))[0][2] == code


def test_a_damaged_workbook_is_refused_whatever_part_is_damaged() -> None:
    whole = roll_xlsx([list(REQUIRED_COLUMNS), xlsx_cells()])
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    codes = {
        problems_of(zipped({**parts, name: parts[name][:40]}))[0][2] for name in parts if "sheet1" in name
    }
    assert codes == {"not_xlsx"}


@given(st.binary(max_size=300) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_read_or_refused_with_the_documented_error(data: bytes) -> None:
    problems_of(data)


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=30), min_size=16, max_size=16))
def test_any_cells_under_good_headings_are_read_or_refused(cells: list[str]) -> None:
    row = dict(zip(REQUIRED_COLUMNS, cells, strict=True))
    data = roll_csv([row], encoding="utf-8")
    with contextlib.suppress(RollInvalid):
        assert len(read_roll(data, JURISDICTIONS)) == 1
