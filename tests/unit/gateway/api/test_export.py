import csv
import io
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from gateway.api.export import NEVER_CONNECTED, OFFLINE, Column, Sheet, as_text, csv_cell, visible
from gateway.api.police_schemas import PoliceNeverConnectedAnswer, PoliceOfflineAnswer
from gateway.api.schemas import NeverConnectedAnswer, OfflineAnswer


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (None, ""),
        (19, "19"),
        (-1, "-1"),
        (True, "1"),
        (date(2026, 11, 1), "2026-11-01"),
        (datetime(2026, 11, 20, 17, 0, tzinfo=UTC), "2026-11-21 01:00:00"),
        ("32029900001320000001", "\t32029900001320000001"),
        ("=1+1", "'=1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("大门", "大门"),
    ],
)
def test_a_cell_is_read_as_it_was_meant(value: object, cell: str) -> None:
    assert csv_cell(value) == cell


@given(st.text(max_size=50))
def test_no_text_becomes_a_formula_and_none_is_lost(text: str) -> None:
    cell = csv_cell(text)

    assert cell[:1] not in ("=", "+", "-", "@", "\r", "\n")
    assert cell.lstrip("'\t").endswith(as_text(text).lstrip("'\t"))


@given(st.lists(st.text(max_size=20), min_size=1, max_size=5))
def test_rows_survive_the_file(row: list[str]) -> None:
    written = io.StringIO(newline="")
    csv.writer(written).writerow([csv_cell(text) for text in row])

    [read] = csv.reader(io.StringIO(written.getvalue(), newline=""))

    assert read == [csv_cell(text) for text in row]


@pytest.mark.parametrize(
    ("columns", "model"), [(NEVER_CONNECTED, NeverConnectedAnswer), (OFFLINE, OfflineAnswer)]
)
def test_every_column_stands_in_the_operators_answer(
    columns: tuple[Column, ...], model: type[BaseModel]
) -> None:
    assert visible(Sheet("x", columns, model, "zh")) == list(columns)


@pytest.mark.parametrize(
    ("columns", "model"), [(NEVER_CONNECTED, PoliceNeverConnectedAnswer), (OFFLINE, PoliceOfflineAnswer)]
)
def test_the_police_get_no_code_name_or_obstacle_column(
    columns: tuple[Column, ...], model: type[BaseModel]
) -> None:
    fields = {column.field for column in visible(Sheet("x", columns, model, "zh"))}

    assert not fields & {"gb_id", "name", "obstacle", "place.address", "place.system", "seen_at"}
