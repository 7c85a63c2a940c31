"""Reads a roll file into rows of text: CSV (UTF-8 or GB18030) and XLSX, bounded in every direction.

A file comes from many hands: nothing in it is trusted, and no cell is kept longer than its row.
"""

import codecs
import csv
import io
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import datetime
from decimal import Decimal
from typing import Final

from catalog.roll_problem import refuse_file

MAX_FILE_BYTES: Final = 64 << 20
"""Bytes of a file as it comes in."""
MAX_UNPACKED_BYTES: Final = 384 << 20
"""Bytes of all parts of an XLSX file together, unpacked."""
MAX_PART_RATIO: Final = 200
"""How far a large part of an XLSX file may be compressed; a spreadsheet reaches 10 to 30."""
MAX_SHARED_STRINGS_BYTES: Final = 96 << 20
"""Bytes of the shared strings, which are held in memory as a whole."""
MAX_ROWS: Final = 200_000
"""Rows of a file, heading row included."""
MAX_COLUMNS: Final = 64
"""Cells of a row that are looked at."""

_LARGE_PART: Final = 1 << 20
_CHUNK: Final = 1 << 20
_EXACT_DIGITS: Final = 15  # what a spreadsheet's 64-bit number keeps

TableRow = tuple[int, list[str]]
"""A row's number as a spreadsheet counts, and its cells as stripped text."""


def read_table(data: bytes) -> Iterator[TableRow]:
    """Yield the rows that hold anything, the heading row first.

    A number with more digits than a spreadsheet keeps comes out in exponent form (`3.4020E+19`), as
    the spreadsheet would show it, so that whoever reads the cell sees that its digits are gone.

    Args:
        data: the whole file; XLSX is recognised by its content, everything else is read as CSV.

    Raises:
        RollInvalid: too large, too many rows, neither UTF-8 nor GB18030, not readable as XLSX.
    """
    if len(data) > MAX_FILE_BYTES:
        limit = MAX_FILE_BYTES >> 20
        raise refuse_file("file_too_large", f"文件超过 {limit} MB", f"the file is larger than {limit} MB")
    rows = _read_xlsx(data) if data[:4] == b"PK\x03\x04" else _read_csv(data)
    for number, cells in rows:
        if number > MAX_ROWS:
            raise refuse_file(
                "too_many_rows", f"文件超过 {MAX_ROWS} 行", f"the file has more than {MAX_ROWS} rows"
            )
        if any(cells):
            yield number, cells


def _read_csv(data: bytes) -> Iterator[TableRow]:
    text = io.TextIOWrapper(io.BytesIO(data), encoding=_encoding(data), newline="")
    try:
        delimiter = max(",;\t", key=text.readline(_CHUNK).count)
        text.seek(0)
        # csv.field_size_limit (128 KiB) bounds a cell with an unclosed quote.
        for number, cells in enumerate(csv.reader(text, delimiter=delimiter, strict=True), start=1):
            yield number, [cell.strip() for cell in cells]
    except csv.Error as error:
        raise refuse_file("not_csv", f"不是有效的 CSV：{error}", f"not a valid CSV file: {error}") from error


def _encoding(data: bytes) -> str:
    """Return the encoding by which the whole of `data` decodes; UTF-8 is tried first."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in data[:_CHUNK]:
        raise refuse_file(
            "unknown_encoding",
            "不是 UTF-8 或 GB18030 文本，请另存为 CSV UTF-8 或 XLSX",
            "neither UTF-8 nor GB18030 text; save it as CSV UTF-8 or XLSX",
        )
    utf8_fault = _decoding_fault(data, "utf-8-sig")
    if utf8_fault is None:
        return "utf-8-sig"
    if _decoding_fault(data, "gb18030") is None:
        return "gb18030"
    raise refuse_file(
        "unknown_encoding",
        f"既不是 UTF-8（第 {utf8_fault + 1} 字节出错）也不是 GB18030",
        f"neither UTF-8 (wrong at byte {utf8_fault + 1}) nor GB18030",
    )


def _decoding_fault(data: bytes, encoding: str) -> int | None:
    """Return about where decoding fails, or None; holds one chunk of text at a time."""
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    for start in range(0, len(data) or 1, _CHUNK):
        try:
            decoder.decode(data[start : start + _CHUNK], final=start + _CHUNK >= len(data))
        except UnicodeDecodeError as error:
            return start + error.start
    return None


def _read_xlsx(data: bytes) -> Iterator[TableRow]:
    # Half a second, which every command of the command line would pay.
    import openpyxl
    from openpyxl.utils.exceptions import InvalidFileException

    _refuse_zip_bomb(data)
    try:
        with warnings.catch_warnings():
            # openpyxl warns of every extension it does not know; none of them touches a cell's value.
            warnings.simplefilter("ignore")
            book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True, keep_links=False)
        with closing(book):
            sheet = book.worksheets[0]
            sheet.reset_dimensions()  # what the file says about its own size is not trusted
            for number, values in enumerate(sheet.iter_rows(max_col=MAX_COLUMNS, values_only=True), start=1):
                yield number, _texts(values)
    except (
        zipfile.BadZipFile,
        InvalidFileException,
        SyntaxError,  # broken XML: openpyxl reads with ElementTree, or with lxml where that is installed
        EOFError,
        OSError,
        KeyError,
        IndexError,
        AttributeError,
        TypeError,
        ValueError,
    ) as error:
        # openpyxl has no error of its own for a damaged part: whatever its readers stumble over comes out.
        raise refuse_file(
            "not_xlsx", "不是有效的 XLSX 文件", f"not a valid XLSX file ({type(error).__name__})"
        ) from error


def _refuse_zip_bomb(data: bytes) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise refuse_file("not_xlsx", "不是有效的 XLSX 文件", "not a valid XLSX file") from error
    # The directory may lie about a size, but reading stops at what it says and the checksum then fails.
    if (
        sum(part.file_size for part in parts) > MAX_UNPACKED_BYTES
        or any(
            part.file_size > _LARGE_PART and part.file_size > MAX_PART_RATIO * max(part.compress_size, 1)
            for part in parts
        )
        or any(
            part.filename.lower().endswith("sharedstrings.xml") and part.file_size > MAX_SHARED_STRINGS_BYTES
            for part in parts
        )
    ):
        raise refuse_file("file_too_large", "XLSX 文件展开后过大", "the XLSX file is too large when unpacked")


def _texts(values: Sequence[object]) -> list[str]:
    return [_text(value) for value in values]


def _text(value: object) -> str:
    match value:
        case None:
            text = ""
        case str():
            text = value.strip()
        case bool():
            text = "yes" if value else "no"
        case datetime():
            text = value.date().isoformat()
        case int() | float():
            text = _number_text(value)
        case _:
            text = str(value)
    return text


def _number_text(value: float) -> str:
    if not abs(value) < 10**_EXACT_DIGITS:  # also for nan and infinity
        return f"{Decimal(value):.4E}"
    return str(int(value)) if value == int(value) else str(value)
