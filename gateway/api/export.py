"""Reports as files for people: CSV and XLSX, written page by page into a temporary file.

A column is there only when the caller's role has the field in its JSON answer: one allow-list for all formats.
"""

import asyncio
import csv
import io
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import IO, Any, Final, Literal

import xlsxwriter
from aiohttp import web
from pydantic import BaseModel

from catalog.reading import LOCAL, Page
from gateway.api.problem import ApiProblem, Code

MOST_ROWS: Final = 1_000_000
"""Rows of one file: a sheet holds 1,048,576."""

MOST_AT_ONCE: Final = 2

_PAGE: Final = 1000
_CHUNK: Final = 262_144
_MEDIA: Final = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
CSV_MEDIA: Final = "text/csv"
XLSX_MEDIA: Final = _MEDIA["xlsx"]

ReadPage = Callable[[str | None, int], Any]


@dataclass(frozen=True)
class Column:
    """One column: its headings, and the path of the field in the answer."""

    zh: str
    en: str
    field: str


@dataclass(frozen=True)
class Sheet:
    """What to write."""

    name: str
    "Of the file, without its suffix."
    columns: Sequence[Column]
    model: type[BaseModel]
    "The allow-list of the caller's role."
    language: Literal["zh", "en"]


NEVER_CONNECTED: Final = (
    Column("责任单位", "unit", "place.unit"),
    Column("系统", "system", "place.system"),
    Column("场所", "site", "place.site"),
    Column("场所类别", "class", "place.place_class"),
    Column("行政区划", "district", "place.district"),
    Column("编码", "gb_id", "gb_id"),
    Column("名称", "name", "name"),
    Column("应接入日期", "due_on", "due_on"),
    Column("依据", "basis", "basis"),
    Column("逾期天数", "days_overdue", "days_overdue"),
    Column("子状态", "substate", "substate"),
    Column("显示状态", "shown", "shown"),
    Column("障碍", "obstacle", "obstacle"),
    Column("首次发现", "seen_at", "seen_at"),
    Column("场所信源数", "site_sources", "site_sources"),
    Column("场所从未接入数", "site_never_connected", "site_never_connected"),
)

OFFLINE: Final = (
    Column("责任单位", "unit", "place.unit"),
    Column("系统", "system", "place.system"),
    Column("场所", "site", "place.site"),
    Column("场所类别", "class", "place.place_class"),
    Column("行政区划", "district", "place.district"),
    Column("编码", "gb_id", "gb_id"),
    Column("名称", "name", "name"),
    Column("离线起始", "since", "since"),
    Column("最后有效证据", "last_positive_at", "last_positive_at"),
    Column("原因", "cause", "cause"),
    Column("发现时间", "noticed_at", "noticed_at"),
    Column("抖动", "flapping", "flapping"),
)


class Exports:
    """Writes files, `MOST_AT_ONCE` at a time."""

    def __init__(self) -> None:
        self._running = 0

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Hold one of the places while a file is written and sent.

        Raises:
            ApiProblem: all places are taken.
        """
        if self._running >= MOST_AT_ONCE:
            raise ApiProblem(Code.TOO_MANY, "two exports are running: wait for one to end", retry_after=10)
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1


async def send_file(
    request: web.Request, sheet: Sheet, form: Literal["csv", "xlsx"], read: ReadPage
) -> web.StreamResponse:
    """Write all pages into a file and send it.

    Args:
        request: the call.
        sheet: columns, allow-list and language.
        form: of the file.
        read: returns the page after a cursor, with at most so many rows.
    """
    with tempfile.TemporaryFile() as file:
        await write_file(file, sheet, form, read)
        size = file.tell()
        file.seek(0)
        response = web.StreamResponse()
        response.headers["Content-Type"] = _MEDIA[form]
        response.headers["Content-Disposition"] = f'attachment; filename="{sheet.name}.{form}"'
        response.content_length = size
        await response.prepare(request)
        while chunk := await asyncio.to_thread(file.read, _CHUNK):
            await response.write(chunk)
        await response.write_eof()
        return response


async def write_file(file: IO[bytes], sheet: Sheet, form: Literal["csv", "xlsx"], read: ReadPage) -> None:
    """Write all pages into an open binary file; arguments as `send_file`."""
    columns = visible(sheet)
    write = _write_csv if form == "csv" else _write_xlsx
    await write(file, sheet, columns, _rows(sheet, columns, read))


def visible(sheet: Sheet) -> list[Column]:
    """Return the columns that the caller's allow-list has."""
    return [column for column in sheet.columns if _has(sheet.model, column.field)]


def _has(model: type[BaseModel], field: str) -> bool:
    name, _, rest = field.partition(".")
    found = model.model_fields.get(name)
    if found is None or not rest:
        return found is not None
    inner = found.annotation
    return isinstance(inner, type) and issubclass(inner, BaseModel) and _has(inner, rest)


async def _rows(sheet: Sheet, columns: Sequence[Column], read: ReadPage) -> AsyncIterator[list[list[object]]]:
    cursor: str | None = None
    written = 0
    while written < MOST_ROWS:
        page: Page[object] = await read(cursor, _PAGE)
        rows = [sheet.model.model_validate(row) for row in page.items]
        yield [[_value(row, column.field) for column in columns] for row in rows]
        written += len(rows)
        cursor = page.next_cursor
        if cursor is None:
            return


def _value(row: BaseModel, field: str) -> object:
    found: object = row
    for name in field.split("."):
        found = getattr(found, name)
    return found


def as_text(value: object) -> str:
    """Return a value as people read it: local time, and nothing for None."""
    match value:
        case None:
            return ""
        case bool():
            return "1" if value else "0"
        case datetime():
            return value.astimezone(LOCAL).strftime("%Y-%m-%d %H:%M:%S")
        case date():
            return value.isoformat()
        case _:
            return str(value)


def csv_cell(value: object) -> str:
    """Return a cell that no spreadsheet reads as a formula, and codes as text rather than as numbers.

    A spreadsheet rounds 20 digits to 15; a tab before them makes it text and cannot be seen.
    """
    text = as_text(value)
    if isinstance(value, str) and text[:1] in ("=", "+", "-", "@", "\t", "\r", "\n"):
        return f"'{text}"
    if isinstance(value, str) and len(text) > 15 and text.isdecimal():
        return f"\t{text}"
    return text


def _headings(sheet: Sheet, columns: Sequence[Column]) -> list[str]:
    return [column.en if sheet.language == "en" else column.zh for column in columns]


async def _write_csv(
    file: IO[bytes], sheet: Sheet, columns: Sequence[Column], pages: AsyncIterator[list[list[object]]]
) -> None:
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="", write_through=True)
    try:
        writer = csv.writer(text)
        writer.writerow(_headings(sheet, columns))
        async for rows in pages:
            await asyncio.to_thread(writer.writerows, [[csv_cell(value) for value in row] for row in rows])
    finally:
        text.detach()


async def _write_xlsx(
    file: IO[bytes], sheet: Sheet, columns: Sequence[Column], pages: AsyncIterator[list[list[object]]]
) -> None:
    # The writer keeps rows in files of its own, which it forgets when a caller leaves in the middle.
    with tempfile.TemporaryDirectory() as folder:
        book = _book(file, folder)
        page = book.add_worksheet()
        try:
            await _fill(page, book.add_format({"bold": True}), _headings(sheet, columns), pages)
            await asyncio.to_thread(book.close)
        finally:
            page.row_data_fh.close()
    file.seek(0, io.SEEK_END)


def _book(file: IO[bytes], folder: str) -> xlsxwriter.Workbook:
    return xlsxwriter.Workbook(
        file,
        {
            "constant_memory": True,
            "strings_to_formulas": False,
            "strings_to_urls": False,
            "tmpdir": folder,
        },
    )


async def _fill(
    page: Any, bold: Any, headings: Sequence[str], pages: AsyncIterator[list[list[object]]]
) -> None:
    page.freeze_panes(1, 0)
    for index, heading in enumerate(headings):
        page.write_string(0, index, heading, bold)
    line = 1
    async for rows in pages:
        await asyncio.to_thread(_write_rows, page, line, rows)
        line += len(rows)


def _write_rows(page: Any, line: int, rows: Sequence[Sequence[object]]) -> None:
    for offset, row in enumerate(rows):
        for index, value in enumerate(row):
            if isinstance(value, int) and not isinstance(value, bool):
                page.write_number(line + offset, index, value)
            else:
                # Never write(): it would read a device's name as a formula or a link.
                page.write_string(line + offset, index, as_text(value))
