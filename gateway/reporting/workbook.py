"""A report as a workbook: its head on the first sheet, a sheet a table, numbers as numbers."""

import io
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

import xlsxwriter

from gateway.console.messages import text
from gateway.reporting.tables import Cell, LaidOut, ReportTable, Share

MOST_ROWS: Final = 1_000_000
"""Rows of a sheet; it could hold 1,048,576."""

_FORMATS: Final[Mapping[str, Mapping[str, object]]] = {
    "head": {"bold": True, "text_wrap": True, "valign": "top", "bg_color": "#EEEEEE"},
    "share": {"num_format": "0.00%"},
    "hours": {"num_format": "0.00"},
    "day": {"num_format": "yyyy-mm-dd"},
    "instant": {"num_format": "yyyy-mm-dd hh:mm:ss"},
}


def write_workbook(laid_out: LaidOut) -> bytes:
    """Return a report as XLSX."""
    file = io.BytesIO()
    book = xlsxwriter.Workbook(
        file, {"strings_to_formulas": False, "strings_to_urls": False, "constant_memory": True}
    )
    book.set_properties({"title": f"{laid_out.title} {laid_out.number}", "created": _naive(laid_out.made_at)})
    formats = {name: book.add_format(dict(form)) for name, form in _FORMATS.items()}
    first = book.add_worksheet(text("stored_reports", laid_out.language))
    first.set_column(0, 0, 24)
    first.set_column(1, 1, 90)
    first.write_string(0, 0, laid_out.title, formats["head"])
    for at, (label, value) in enumerate(laid_out.head, start=1):
        first.write_string(at, 0, label)
        first.write_string(at, 1, value)
    for at, line in enumerate(laid_out.foot, start=len(laid_out.head) + 2):
        first.write_string(at, 0, line)
    for table in laid_out.tables:
        _sheet(book.add_worksheet(table.title[:31].replace("/", " ")), table, formats)
    book.close()
    return file.getvalue()


def _sheet(page: Any, table: ReportTable, formats: Mapping[str, Any]) -> None:
    page.freeze_panes(1, 0)
    for number, column in enumerate(table.columns):
        page.set_column(number, number, max(10, column.width))
        page.write_string(0, number, column.heading, formats["head"])
    for row, cells in enumerate(table.rows[:MOST_ROWS], start=1):
        for number, cell in enumerate(cells):
            _write(page, row, number, cell, formats)


def _write(page: Any, row: int, column: int, cell: Cell, formats: Mapping[str, Any]) -> None:
    match cell:
        case None:
            return
        case Share():
            page.write_number(row, column, float(cell), formats["share"])
        case Decimal():
            page.write_number(row, column, float(cell), formats["hours"])
        case datetime():
            page.write_datetime(row, column, _naive(cell), formats["instant"])
        case date():
            page.write_datetime(row, column, cell, formats["day"])
        case int():
            page.write_number(row, column, cell)
        case str():
            page.write_string(row, column, cell)


def _naive(at: datetime) -> datetime:
    # A sheet knows no zone; what is shown is local.
    return at.replace(tzinfo=None)
