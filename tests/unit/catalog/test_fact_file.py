"""A file of facts: read whole, or refused with every mistake."""

from datetime import date

import pytest

from catalog.fact_file import FactRow, read_facts
from catalog.model.compliance import Fact
from catalog.roll_problem import RollInvalid

TODAY = date(2026, 12, 1)
HEADINGS = "单位,系统,事实,内容,依据文件"


def read(*lines: str, headings: str = HEADINGS) -> tuple[FactRow, ...]:
    return read_facts("\n".join((headings, *lines)).encode(), TODAY)


def test_rows_are_read_as_they_are_kept() -> None:
    rows = read("甲公园,一号系统,in_use_on, 2026-11-01 ,验收表3", "甲公园,一号系统,sign_posted,yes,验收表3")

    assert rows == (
        FactRow(2, "甲公园", "一号系统", Fact.IN_USE_ON, "2026-11-01", "验收表3"),
        FactRow(3, "甲公园", "一号系统", Fact.SIGN_POSTED, "yes", "验收表3"),
    )


def test_columns_stand_in_any_order_under_either_heading() -> None:
    [row] = read("D-1,stored_days,30,s,u,more", headings="document,FACT,value,system,unit,remark")

    assert (row.unit, row.fact, row.value, row.document) == ("u", Fact.STORED_DAYS, "30", "D-1")


def test_every_mistake_is_told_with_its_row_and_column() -> None:
    with pytest.raises(RollInvalid) as raised:
        read(
            "甲,一,in_use_on,2027-01-01,D",
            "甲,一,opened_on,2026-01-01,D",
            ",一,sign_posted,yes,D",
            "甲,一,sign_posted,perhaps," + "D" * 301,
            "乙,一,mlps_met,yes,D",
            "乙,一,mlps_met,no,D",
        )

    told = [(problem.row, problem.column, problem.code) for problem in raised.value.problems]
    assert told == [
        (2, "value", "invalid"),
        (3, "fact", "unknown_fact"),
        (4, "unit", "empty"),
        (5, "document", "too_long"),
        (5, "value", "invalid"),
        (7, "fact", "duplicate"),
    ]
    assert all(problem.message.zh and problem.message.en for problem in raised.value.problems)


@pytest.mark.parametrize("headings", ["", "单位,系统,事实,内容", "a,b,c"])
def test_a_file_without_its_columns_is_refused(headings: str) -> None:
    with pytest.raises(RollInvalid, match="missing"):
        read("甲,一,mlps_met,yes,D", headings=headings)


def test_a_file_without_rows_is_refused() -> None:
    with pytest.raises(RollInvalid, match="no rows"):
        read()
