"""Reads a file of facts that people attest of systems: a row a fact, every mistake reported, CSV or XLSX.

Columns: unit and system as the roll names them, fact, value, and the document that it rests on.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Final

from catalog.model.compliance import Fact, FactInvalid, check_fact
from catalog.roll_problem import Problems, quoted, refuse_file
from catalog.roll_table import read_table

COLUMNS: Final[Mapping[str, str]] = MappingProxyType(
    {"unit": "单位", "system": "系统", "fact": "事实", "value": "内容", "document": "依据文件"}
)
"""Each column's name, and its heading in Chinese; either stands in the first row."""

LONGEST_DOCUMENT: Final = 300


@dataclass(frozen=True, slots=True)
class FactRow:
    """One row."""

    row: int
    "As a spreadsheet numbers it."
    unit: str
    system: str
    fact: Fact
    value: str
    "As it is kept."
    document: str


def read_facts(data: bytes, today: date) -> tuple[FactRow, ...]:
    """Read a file of facts. The work is blocking: call it in a thread.

    Args:
        data: the whole file.
        today: local day.

    Raises:
        RollInvalid: with every mistake by row and column; nothing of the file is usable then.
    """
    problems = Problems()
    table = read_table(data)
    heading_row, headings = next(table, (0, []))
    positions = _positions(headings)
    for name, heading in COLUMNS.items():
        if name not in positions:
            problems.add(
                heading_row, name, "column_missing", (f"缺少列“{heading}”", f"the column {name} is missing")
            )
    problems.raise_if_any()
    rows = []
    for number, cells in table:
        texts = {name: cells[at] if at < len(cells) else "" for name, at in positions.items()}
        row = _row(number, texts, today, problems)
        if row is not None:
            rows.append(row)
    _refuse_repeats(rows, problems)
    problems.raise_if_any()
    if not rows:
        raise refuse_file("empty", "文件没有数据行", "the file has no rows")
    return tuple(rows)


def _positions(headings: Iterable[str]) -> dict[str, int]:
    names = {heading: name for name, heading in COLUMNS.items()} | {name: name for name in COLUMNS}
    found: dict[str, int] = {}
    for at, heading in enumerate(headings):
        name = names.get(heading.strip().casefold())
        if name is not None:
            found.setdefault(name, at)
    return found


def _row(number: int, texts: Mapping[str, str], today: date, problems: Problems) -> FactRow | None:
    before = len(problems)
    for name in ("unit", "system", "value", "document"):
        if not texts[name]:
            problems.add(number, name, "empty", ("不能为空", "is empty"))
    if len(texts["document"]) > LONGEST_DOCUMENT:
        problems.add(
            number,
            "document",
            "too_long",
            (f"超过 {LONGEST_DOCUMENT} 字", f"over {LONGEST_DOCUMENT} characters"),
        )
    try:
        fact = Fact(texts["fact"])
    except ValueError:
        told = quoted(texts["fact"])
        message = (f"没有{told}这一事实", f"{told} is no fact: `muster compliance facts` shows them")
        problems.add(number, "fact", "unknown_fact", message)
        return None
    value = texts["value"]
    if value:
        try:
            value = check_fact(fact, value, today)
        except FactInvalid as error:
            problems.add(number, "value", "invalid", (f"内容不符合该事实：{error}", str(error)))
    if len(problems) > before:
        return None
    return FactRow(number, texts["unit"], texts["system"], fact, value, texts["document"])


def _refuse_repeats(rows: Iterable[FactRow], problems: Problems) -> None:
    """Refuse a fact of a system that stands twice: which of them counts is the author's to say."""
    first: dict[tuple[str, str, Fact], int] = {}
    for each in rows:
        before = first.setdefault((each.unit, each.system, each.fact), each.row)
        if before != each.row:
            message = (f"与第 {before} 行是同一事实", f"is the same fact as row {before}")
            problems.add(each.row, "fact", "duplicate", message)
