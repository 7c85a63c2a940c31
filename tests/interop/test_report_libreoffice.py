"""A report as a workbook, opened by LibreOffice: every sheet, with its numbers, days and names."""

import csv
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from catalog.signing import Verified
from gateway.reporting.tables import LaidOut, lay_out
from gateway.reporting.workbook import write_workbook
from tests.signed_report import INCIDENTS, history, outage, signed_report, signed_site_report

pytestmark = pytest.mark.interop

EVERY_SHEET = "csv:Text - txt - csv (StarCalc):44,34,76,1,,0,false,true,true,false,false,-1"
"""Comma, quotes, UTF-8, cells as they are shown, each sheet into a file of its own."""

EVIL = '=HYPERLINK("http://x")'


def opened(laid_out: LaidOut, folder: Path) -> dict[str, list[list[str]]]:
    """Return the rows of each sheet as LibreOffice shows them."""
    (folder / "report.xlsx").write_bytes(write_workbook(laid_out))
    profile = f"-env:UserInstallation=file://{folder}/profile"
    command = ("soffice", profile, "--headless", "--convert-to", EVERY_SHEET, "--outdir", str(folder))
    done = subprocess.run(
        [*command, str(folder / "report.xlsx")], capture_output=True, text=True, timeout=180, check=True
    )
    assert "Error" not in done.stdout + done.stderr
    return {
        file.stem.removeprefix("report-"): list(csv.reader(file.read_text(encoding="utf-8").splitlines()))
        for file in folder.glob("report-*.csv")
    }


@pytest.mark.parametrize(
    ("report", "language"),
    [
        (
            signed_report(replace(history(1), site=EVIL), outage(2, 10), outage(3, 300), incidents=INCIDENTS),
            "zh",
        ),
        (signed_site_report(replace(history(1), site=EVIL), outage(2, 10), outage(3, 300)), "en"),
    ],
)
def test_libreoffice_opens_every_sheet(report: Verified, language: str, tmp_path: Path) -> None:
    laid_out = lay_out(report, language)
    sheets = opened(laid_out, tmp_path)

    titles = [table.title[:31].replace("/", " ") for table in laid_out.tables]
    assert set(titles) < sheets.keys()
    assert len(sheets) == len(titles) + 1
    for title, table in zip(titles, laid_out.tables, strict=True):
        assert len(sheets[title]) == len(table.rows) + 1
        assert sheets[title][0] == [column.heading for column in table.columns]
    [never] = sheets[titles[4]][1:]
    offline = sheets[titles[5]][1:]
    # A name that looks like a formula is text, days are days, hours are numbers.
    assert EVIL in never
    assert "2026-10-01" in never
    assert "10.00" in offline[0]
    assert "66.67%" in sheets[titles[0]][1]
