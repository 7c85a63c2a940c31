"""Roll files that must not be believed: each refused by row and column, and nothing of them is stored."""

import asyncio
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from openpyxl import Workbook

from tests.faults.installed import Answer, ask, assert_sound, prepare, sources
from tests.gateway_process import HEADINGS, PERSON, MusterProcess, RollLine, code_of, installation, roll_text

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]

CSV: Final = "text/csv"
XLSX: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
KEPT: Final = RollLine(code_of(1), 20_001)
ADDED: Final = RollLine(code_of(2), 20_002)


def workbook(rows: list[list[object]]) -> bytes:
    """Return an XLSX of the headings and `rows`."""
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(HEADINGS.split(","))
    for row in rows:
        sheet.append(row)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def cells(line: RollLine) -> list[object]:
    return list(roll_text([line]).splitlines()[1].split(","))


def changed(line: RollLine, column: str, value: object) -> list[object]:
    row = cells(line)
    row[HEADINGS.split(",").index(column)] = value
    return row


def formula() -> bytes:
    return workbook([cells(KEPT), changed(ADDED, "unit", '=HYPERLINK("http://x","y")')])


def rounded_code() -> bytes:
    return workbook([cells(KEPT), changed(ADDED, "gb_id", float(ADDED.code))])


def rounded_code_as_text() -> bytes:
    return roll_text([KEPT, RollLine("3.4E+19", 20_002)]).encode()


def duplicate() -> bytes:
    return roll_text([KEPT, ADDED, RollLine(ADDED.code, 20_003)]).encode()


def other_encoding_broken() -> bytes:
    return roll_text([KEPT, ADDED]).encode("gb18030") + b"\xff\xff\xff\n"


def zip_bomb() -> bytes:
    """Return a small XLSX whose sheet unpacks to 400 MB."""
    made = io.BytesIO(workbook([cells(KEPT)]))
    file = io.BytesIO()
    with zipfile.ZipFile(made) as before, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as after:
        for name in before.namelist():
            if name != "xl/worksheets/sheet1.xml":
                after.writestr(name, before.read(name))
        with after.open("xl/worksheets/sheet1.xml", "w") as sheet:
            block = b"<row>" + b" " * 999_995
            for _ in range(400):
                sheet.write(block)
    return file.getvalue()


BAD: Final[tuple[tuple[str, Callable[[], bytes], str, tuple[str, ...]], ...]] = (
    ("formula.xlsx", formula, XLSX, ("3", "unit")),
    ("rounded.xlsx", rounded_code, XLSX, ("3", "gb_id")),
    ("rounded.csv", rounded_code_as_text, CSV, ("3", "gb_id")),
    ("duplicate.csv", duplicate, CSV, ("4", "gb_id")),
    ("broken.csv", other_encoding_broken, CSV, ()),
    ("bomb.xlsx", zip_bomb, XLSX, ()),
)


def resident_peak(muster: MusterProcess) -> int:
    """Return the most bytes that the service ever held."""
    assert muster.process is not None
    status = Path(f"/proc/{muster.process.pid}/status").read_text(encoding="ascii")
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


async def post(muster: MusterProcess, data: bytes, content_type: str, *, dry_run: bool = False) -> Answer:
    path = f"/api/v1/rolls?dry_run={str(dry_run).lower()}&allow_mass_retirement=true"
    return await ask(muster, "POST", path, data=data, content_type=content_type)


async def rolled(muster: MusterProcess) -> dict[str, object]:
    """Return what the roll says of each source, by code."""
    return {code: (row["source_id"], row["place"]) for code, row in (await sources(muster)).items()}


async def test_bad_rolls_are_refused_by_row_and_column_and_nothing_is_stored(tmp_path: Path) -> None:
    async with installation(tmp_path) as muster:
        await prepare(muster, [KEPT])
        await muster.start()
        before = await rolled(muster)
        for name, make, content_type, words in BAD:
            data = make()
            answer = await post(muster, data, content_type)
            assert answer.status == 422, (name, answer.body)
            assert answer.content_type == "application/problem+json"
            told = str(answer.body)
            assert all(word in told for word in words), (name, told)
            (tmp_path / name).write_bytes(data)
            output = await muster.run(
                "roll", "import", str(tmp_path / name), "--person", PERSON, "--allow-mass-retirement", code=1
            )
            assert all(word in output for word in words), (name, output)
            assert "Traceback" not in output
            assert await rolled(muster) == before, name
        assert resident_peak(muster) < 400_000_000

        # What they would have been if they were right.
        other = await post(muster, roll_text([KEPT, ADDED]).encode("gb18030"), CSV)
        assert other.status == 200, other.body
        assert (await sources(muster)).keys() == {KEPT.code, ADDED.code}
        await assert_sound(muster)
        assert await muster.stop() == 0
        assert "hit a bug" not in muster.log


async def test_of_two_imports_at_once_none_is_lost_or_half_done(tmp_path: Path) -> None:
    async with installation(tmp_path) as muster:
        await prepare(muster, [KEPT])
        await muster.start()
        async with asyncio.TaskGroup() as group:
            posts = [
                group.create_task(
                    post(muster, roll_text([KEPT, ADDED]).encode(), CSV), name=f"import {number}"
                )
                for number in range(4)
            ]
        answers = [each.result() for each in posts]
        assert {answer.status for answer in answers} <= {200, 409, 429}, [answer.body for answer in answers]
        assert any(answer.status == 200 for answer in answers)
        assert (await sources(muster)).keys() == {KEPT.code, ADDED.code}
        await assert_sound(muster)
        assert await muster.stop() == 0
        assert "hit a bug" not in muster.log
