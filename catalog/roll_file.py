"""Reads a roll file whole: every row checked alone and against the others, every mistake reported.

Owns no socket and no task. The work is blocking (a second for 10,000 rows): call it in a thread.
"""

from dataclasses import dataclass
from datetime import date

from catalog.jurisdictions import Jurisdictions
from catalog.roll_columns import read_headings
from catalog.roll_person import UnitKind
from catalog.roll_problem import Problems, RollInvalid, RollProblem, refuse_file
from catalog.roll_row import RollRow, read_row
from catalog.roll_table import read_table

__all__ = ["RollInvalid", "RollProblem", "RollRow", "read_roll"]


def read_roll(data: bytes, jurisdictions: Jurisdictions) -> tuple[RollRow, ...]:
    """Read a CSV or XLSX roll.

    Args:
        data: the whole file.
        jurisdictions: which law applies where; a row outside all of them is a mistake.

    Raises:
        RollInvalid: with every problem by row and column; nothing of the file is usable then.
    """
    problems = Problems()
    table = read_table(data)
    heading_row, headings = next(table, (0, []))
    positions = read_headings(heading_row, headings, problems)
    problems.raise_if_any()
    rows: list[RollRow] = []
    crosscheck = _CrossCheck(problems)
    names: dict[str, str] = {}
    for number, cells in table:
        if any(cells[len(headings) :]):
            problems.add(
                number,
                "",
                "too_many_cells",
                ("该行的单元格多于标题", "the row has more cells than the heading row"),
            )
            continue
        by_column = {
            # Units, sites and classes repeat: keep one copy of each text.
            column: names.setdefault(cells[position], cells[position])
            for column, position in positions.items()
            if position < len(cells) and cells[position]
        }
        row = read_row(number, by_column, jurisdictions, problems)
        if row is not None:
            rows.append(row)
            crosscheck.take(row)
    problems.raise_if_any()
    if not rows:
        raise refuse_file("empty", "文件没有数据行", "the file has no rows")
    return tuple(rows)


@dataclass(frozen=True, slots=True)
class _SiteFacts:
    """What all rows of one site must say alike, because it binds the site and not the camera."""

    row: int
    district: str
    due_on: date | None
    basis: str | None


class _CrossCheck:
    """Finds what contradicts between rows."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._row_of_key: dict[str, int] = {}
        self._row_of_alternative_key: dict[str, int] = {}
        self._row_of_address: dict[tuple[str, int | None, str], int] = {}
        self._row_of_unit_kind: dict[str, tuple[int, UnitKind]] = {}
        self._sites: dict[tuple[str, str, str, str], _SiteFacts] = {}

    def take(self, row: RollRow) -> None:
        """Compare `row` with the rows before it."""
        self._refuse_duplicate(row)
        self._refuse_shared_address(row)
        if row.unit_kind is not None:
            first, kind = self._row_of_unit_kind.setdefault(row.unit, (row.row, row.unit_kind))
            if kind is not row.unit_kind:
                self._contradiction(row, "unit_kind", first)
        facts = _SiteFacts(row.row, row.district, row.due_on, row.basis)
        known = self._sites.setdefault((row.unit, row.system, row.site, row.place_class), facts)
        for column, here, there in (
            ("civil_code", facts.district, known.district),
            ("connect_due_date", facts.due_on, known.due_on),
            ("basis", facts.basis, known.basis),
        ):
            if here != there:
                self._contradiction(row, column, known.row)

    def _refuse_duplicate(self, row: RollRow) -> None:
        first = self._row_of_key.setdefault(row.key, row.row)
        if first == row.row:
            # The same device once with its 20-digit code and once without is one source, too.
            if row.alternative_key is None:
                first = self._row_of_alternative_key.get(row.key, row.row)
            else:
                self._row_of_alternative_key.setdefault(row.alternative_key, row.row)
                first = self._row_of_key.get(row.alternative_key, row.row)
        if first != row.row:
            column = "gb_id" if row.gb_id else "mac" if row.mac else "serial" if row.serial else "host"
            self._problems.add(
                row.row,
                column,
                "duplicate",
                (f"与第 {first} 行是同一视频源", f"is the same source as row {first}"),
            )

    def _refuse_shared_address(self, row: RollRow) -> None:
        # Two sources at one address would be one picture under two codes.
        if row.host is None or row.rtsp_path is None:
            return
        first = self._row_of_address.setdefault((row.host, row.port, row.rtsp_path), row.row)
        if first != row.row:
            self._problems.add(
                row.row,
                "rtsp_path",
                "address_repeated",
                (
                    f"主机、端口和路径与第 {first} 行相同",
                    f"host, port and path are those of row {first}",
                ),
            )

    def _contradiction(self, row: RollRow, column: str, first: int) -> None:
        self._problems.add(
            row.row,
            column,
            "contradiction",
            (
                f"同一单位或场所，与第 {first} 行不一致",
                f"differs from row {first} for the same unit or site",
            ),
        )
