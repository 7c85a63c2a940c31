"""Measures reading and importing a roll of 100,000 rows: `python -m tests.bench.roll [ROWS]`.

The promise is one minute and 300 MB for the importing process, PostgreSQL's own memory apart.
"""

import asyncio
import datetime
import gc
import io
import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path

import xlsxwriter

from catalog.database import Database
from catalog.embedded import embedded_postgresql
from catalog.jurisdictions import load_jurisdictions, save_jurisdiction
from catalog.migrate import migrate
from catalog.roll_columns import REQUIRED_COLUMNS
from catalog.roll_file import read_roll
from catalog.roll_import import ImportOrder, apply_import
from tests.fakes.roll import WUXI_LIKE, roll_csv, roll_row

ROWS = 100_000
CHANNELS = 10


def rows_of_text(count: int, serial_prefix: str = "SN") -> list[dict[str, str]]:
    """Rows over count / CHANNELS sites."""
    return [
        roll_row(
            number,
            site=f"示范区第{number // CHANNELS}号场所",
            unit=f"示范区第{number // CHANNELS // 4}管理处",
            host=f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}",
            mac=f"02:00:00:{number >> 16:02x}:{number >> 8 & 255:02x}:{number & 255:02x}",
            serial=f"{serial_prefix}{number}",
        )
        for number in range(1, count + 1)
    ]


def roll_xlsx(rows: list[dict[str, str]]) -> bytes:
    """The same rows as a workbook with shared strings, as spreadsheets write it."""
    packed = io.BytesIO()
    book = xlsxwriter.Workbook(packed, {"in_memory": True})
    sheet = book.add_worksheet()
    sheet.write_row(0, 0, REQUIRED_COLUMNS)
    for number, row in enumerate(rows, start=1):
        for column, name in enumerate(REQUIRED_COLUMNS):
            sheet.write_string(number, column, row.get(name, ""))
    book.close()
    return packed.getvalue()


def report(what: str, started: float) -> None:
    """Print seconds since `started` and the peak memory of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{what}: {time.monotonic() - started:.1f} s, peak {peak:.0f} MB")  # noqa: T201


async def measure(files: dict[str, Path]) -> None:
    """Read and import each file in turn."""
    order = ImportOrder("bench", "bench", datetime.datetime.now(datetime.UTC))
    with tempfile.TemporaryDirectory() as folder:
        async with embedded_postgresql(Path(folder)) as url, Database(url) as database:
            await migrate(database, muster_version="bench")
            await save_jurisdiction(database, WUXI_LIKE)
            await database.execute("register_gateway", "bench")
            jurisdictions = await load_jurisdictions(database)
            for name, path in files.items():
                started = time.monotonic()
                rows = read_roll(path.read_bytes(), jurisdictions)
                report(f"{name}: read {len(rows)} rows", started)
                difference = await apply_import(database, rows, jurisdictions, order)
                report(
                    f"{name}: read and imported, {len(difference.added)} added, {len(difference.changed)} changed, "
                    f"{len(difference.retired)} retired, {difference.unchanged} unchanged",
                    started,
                )
                del rows, difference
                gc.collect()


def main() -> None:
    """Write the files in a child's memory, not ours, then measure."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    with tempfile.TemporaryDirectory() as folder:
        files = {name: Path(folder, name) for name in ("first.csv", "again.csv", "changed.csv", "same.xlsx")}
        process = multiprocessing.get_context("spawn").Process(target=write_files, args=(files, count))
        process.start()
        process.join()
        asyncio.run(measure(files))


def write_files(files: dict[str, Path], count: int) -> None:
    """Write the four files."""
    files["first.csv"].write_bytes(roll_csv(rows_of_text(count)))
    files["again.csv"].write_bytes(roll_csv(rows_of_text(count)))
    files["changed.csv"].write_bytes(roll_csv(rows_of_text(count, "SX")[: count - count // 10]))
    files["same.xlsx"].write_bytes(roll_xlsx(rows_of_text(count, "SX")[: count - count // 10]))


if __name__ == "__main__":
    main()
