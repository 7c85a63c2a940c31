"""A report as PDF, to be printed: A4, number and "page x of y" on each page, headings repeated."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, cast

from fontTools.ttLib import TTLibError
from fpdf import FPDF
from fpdf.enums import MethodReturnValue
from fpdf.errors import FPDFException

from gateway.console.messages import text
from gateway.reporting.tables import LaidOut, ReportTable, shown

MOST_ROWS: Final = 500
"""Rows of a table on paper; the rest is counted there, and stands in the workbook and the signed document."""

_FAMILY: Final = "report"
_SMALL: Final = 7.5
_LINE: Final = 4.6
"""Millimetres from line to line in a table."""
_TRUETYPE: Final = (b"\0\1\0\0", b"true", b"ttcf")
"""How files of TrueType fonts and of collections of them begin."""
_GREY: Final = (238, 238, 238)


class FontMissing(ValueError):
    """Raised when the font for printing cannot be used; the message says what to install."""


class _Pages(FPDF):
    """Pages whose foot names the report."""

    def __init__(self, laid_out: LaidOut) -> None:
        super().__init__(orientation="landscape", format="A4")
        self._laid_out = laid_out
        self.set_margins(14, 14)
        self.set_auto_page_break(auto=True, margin=16)
        self.alias_nb_pages("{pages}")

    def footer(self) -> None:
        of = self._laid_out
        self.set_y(-11)
        self.set_font(_FAMILY, size=_SMALL)
        page = text("page_of", of.language).format(page=self.page_no(), pages="{pages}")
        self.cell(self.epw / 2, 5, of.number)
        self.cell(self.epw / 2, 5, page, align="R")


def write_pdf(laid_out: LaidOut, font: Path) -> bytes:
    """Return a report as PDF; the same report gives the same bytes.

    Args:
        laid_out: the report.
        font: a TrueType font that has its letters; only those in use are put into the file.

    Raises:
        FontMissing: it cannot be read.
    """
    pages = _Pages(laid_out)
    try:
        _require_font(font)
        pages.add_font(_FAMILY, fname=font)
    except (OSError, FPDFException, TTLibError, ValueError) as error:
        raise FontMissing(
            f"{font}: no font for printing ({error}): install the Debian package fonts-wqy-microhei, "
            "or name another TrueType font in [reports] font"
        ) from None
    pages.set_creation_date(laid_out.made_at)
    pages.set_title(f"{laid_out.title} {laid_out.number}")
    pages.set_lang("en" if laid_out.language == "en" else "zh-CN")
    pages.add_page()
    _head(pages, laid_out)
    for table in laid_out.tables:
        _table(pages, table, laid_out.language)
    _foot(pages, laid_out)
    return bytes(pages.output())


def _require_font(font: Path) -> None:
    # Where it is none, the library that reads it would leave the file open.
    with font.open("rb") as file:
        if file.read(4) not in _TRUETYPE:
            raise ValueError("not a TrueType font")


def _head(pages: FPDF, laid_out: LaidOut) -> None:
    pages.set_font(_FAMILY, size=16)
    pages.multi_cell(0, 9, laid_out.title, align="C", new_x="LMARGIN", new_y="NEXT")
    pages.set_font(_FAMILY, size=9)
    for label, value in laid_out.head:
        pages.cell(38, 5.4, label)
        pages.multi_cell(0, 5.4, value, new_x="LMARGIN", new_y="NEXT")


def _table(pages: FPDF, table: ReportTable, language: str) -> None:
    pages.ln(4)
    if pages.will_page_break(24):
        pages.add_page()
    pages.set_font(_FAMILY, size=11)
    pages.cell(0, 7, table.title, new_x="LMARGIN", new_y="NEXT")
    pages.set_font(_FAMILY, size=_SMALL)
    if not table.rows:
        pages.cell(0, 5, text("none", language), new_x="LMARGIN", new_y="NEXT")
        return
    printed = table.rows[:MOST_ROWS]
    if len(table.rows) > MOST_ROWS and table.last_is_total:
        printed = [*printed, table.rows[-1]]
    grid = _Grid(pages, table)
    grid.head()
    for cells in printed:
        grid.row([shown(cell) for cell in cells])
    if len(table.rows) > MOST_ROWS:
        left = len(table.rows) - len(printed)
        words = text("rows_not_printed", language).format(printed=len(printed), left=left)
        pages.cell(0, 5, words, new_x="LMARGIN", new_y="NEXT")


class _Grid:
    """Draws a table row by row. fpdf's own tables measure every letter of every cell several times."""

    def __init__(self, pages: FPDF, table: ReportTable) -> None:
        self._pages = pages
        self._columns = table.columns
        # A few narrow columns are not drawn out over the whole page.
        whole = sum(column.width for column in table.columns)
        unit = min(pages.epw / whole, 1.9)
        self._widths = [column.width * unit for column in table.columns]

    def head(self) -> None:
        self._pages.set_fill_color(*_GREY)
        self._draw(self._lines([column.heading for column in self._columns]), fill=True)

    def row(self, texts: Sequence[str]) -> None:
        lines = self._lines(texts)
        if self._pages.will_page_break(_LINE * max(map(len, lines))):
            self._pages.add_page()
            self._pages.set_font(_FAMILY, size=_SMALL)
            self.head()
        self._draw(lines)

    def _lines(self, texts: Sequence[str]) -> list[list[str]]:
        return [self._broken(text, width) for text, width in zip(texts, self._widths, strict=True)]

    def _broken(self, text: str, width: float) -> list[str]:
        """Return a text in lines that fit."""
        if self._pages.get_string_width(text) <= width - 2 * self._pages.c_margin:
            return [text]
        lines = self._pages.multi_cell(width, _LINE, text, dry_run=True, output=MethodReturnValue.LINES)
        return cast("list[str]", lines)

    def _draw(self, columns: Sequence[Sequence[str]], *, fill: bool = False) -> None:
        pages, height = self._pages, _LINE * max(map(len, columns))
        left, top = pages.get_x(), pages.get_y()
        if fill:
            pages.rect(left, top, sum(self._widths), height, style="F")
        for column, width, lines in zip(self._columns, self._widths, columns, strict=True):
            for number, line in enumerate(lines):
                pages.set_xy(left, top + number * _LINE)
                pages.cell(width, _LINE, line, align="R" if column.is_number else "L")
            left += width
        pages.set_xy(pages.l_margin, top + height)


def _foot(pages: FPDF, laid_out: LaidOut) -> None:
    pages.ln(5)
    pages.set_font(_FAMILY, size=_SMALL)
    for line in laid_out.foot:
        pages.multi_cell(0, 4.4, line, new_x="LMARGIN", new_y="NEXT")
