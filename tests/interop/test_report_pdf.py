"""A printed report, read by poppler: pages, fonts and text as another program finds them."""

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.config import ReportsConfig
from gateway.reporting.pdf import MOST_ROWS, write_pdf
from gateway.reporting.tables import lay_out
from tests.signed_report import history, outage, signed_report

pytestmark = pytest.mark.interop


def poppler(command: str, *arguments: str) -> str:
    done = subprocess.run([command, *arguments], capture_output=True, text=True, timeout=30, check=True)
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize(
    ("language", "page"), [("zh", "第 {page} 页 共 {pages} 页"), ("en", "page {page} of {pages}")]
)
def test_every_page_says_which_it_is_and_long_lists_say_what_is_left_out(
    tmp_path: Path, language: str, page: str
) -> None:
    sources = (*(history(number) for number in range(1, MOST_ROWS + 101)), outage(900, 10))
    file = tmp_path / "report.pdf"
    laid_out = lay_out(signed_report(*sources), language)
    file.write_bytes(write_pdf(laid_out, ReportsConfig().font))
    text = poppler("pdftotext", "-layout", str(file), "-")
    [pages] = re.findall(r"Pages: +(\d+)", poppler("pdfinfo", str(file)))
    fonts = poppler("pdffonts", str(file)).splitlines()[2:]

    assert int(pages) > 10
    for number, sheet in enumerate(text.split("\f")[:-1], start=1):
        assert page.format(page=number, pages=pages) in sheet
        assert "320200-2026-R0001" in sheet
    assert laid_out.title in text
    assert f"示例公园 {MOST_ROWS}" in text
    assert f"示例公园 {MOST_ROWS + 1} " not in text
    assert re.search(rf"{MOST_ROWS}.*\b100\b", text)
    # Embedded, cut down to the letters in use, and with a map back to text.
    assert [line.split()[-5:-2] for line in fonts] == [["yes", "yes", "yes"]]


def test_a_long_name_is_broken_into_lines_not_cut(tmp_path: Path) -> None:
    name = "江南区人民政府第一综合服务中心地下停车场东北出入口及周边公共区域视频图像信息系统" * 2
    file = tmp_path / "report.pdf"
    file.write_bytes(
        write_pdf(lay_out(signed_report(replace(history(1), site=name)), "zh"), ReportsConfig().font)
    )
    text = poppler("pdftotext", "-raw", str(file), "-")

    assert name in re.sub(r"\s", "", text)
