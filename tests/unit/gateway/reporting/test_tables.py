"""A signed report laid out for people, printed, and as a workbook."""

import io
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import openpyxl
import pytest

from catalog.report_document import lines_of
from catalog.signing import verify
from gateway.config import ReportsConfig
from gateway.reporting.pdf import FontMissing, write_pdf
from gateway.reporting.tables import LaidOut, ReportTable, Share, lay_out, shown
from gateway.reporting.workbook import write_workbook
from tests.signed_report import (
    END,
    INCIDENTS,
    KEY,
    history,
    outage,
    signed_report,
    signed_site_report,
)

NEW_PARTS = ("suspected_removals", "incidents")
"""What reports of form 1 do not know."""


def table(laid_out: LaidOut, key: str) -> ReportTable:
    return next(each for each in laid_out.tables if each.key == key)


def test_a_report_says_whose_it_is_of_when_and_by_whom() -> None:
    laid_out = lay_out(signed_report(history(1), reason="entry in error"), "en")
    head = dict(laid_out.head)

    assert laid_out.number == "320200-2026-R0001 revision 2"
    assert head["Period"] == "2026-11-01 – 2026-11-20 (Until 2026-11-20 12:00:00)"
    assert (head["Region prefix"], head["Edition of the catalog"]) == ("3202", "320200-2026-001")
    assert head["Told anew because"] == "entry in error"
    assert any("a" * 64 in line for line in laid_out.foot)


def test_rates_stand_with_what_they_are_made_of_and_a_total() -> None:
    laid_out = lay_out(signed_report(history(1), outage(2, 10), outage(3, 20)), "en")
    rows = table(laid_out, "rates_class").rows
    [names, *_] = zip(*rows, strict=True)

    assert str(names[0]).startswith("WX8_07 ")
    assert names[1] == "All"
    assert rows[0][1:4] == (3, Share("0.6667"), rows[1][3])
    assert rows[1][10] == 2  # outages
    time = {str(name): hours for name, hours in table(laid_out, "time").rows}
    assert time["not counted: gateway down"] == Decimal("3.00")
    assert time["offline"] == Decimal("30.00")


def test_lists_name_the_longest_due_the_outages_and_what_we_could_not_see() -> None:
    laid_out = lay_out(signed_report(history(1), outage(2, 10)), "zh")
    [never] = table(laid_out, "never_connected").rows
    [offline] = table(laid_out, "offline").rows
    [unseen] = table(laid_out, "not_seen").rows

    assert [shown(cell) for cell in never[5:]] == ["WX-21.2", "2026-10-01", "50", "1 / 1", "○ 到期未接入"]
    assert [shown(cell) for cell in offline[5:]] == ["1", "10.00", "467.00", "2026-11-20 02:00:00"]
    assert [shown(cell) for cell in unseen[1:]] == ["2026-11-01 00:00:00", "2026-11-01 01:00:00", "2"]


def test_of_nothing_there_is_no_rate() -> None:
    laid_out = lay_out(signed_report(), "en")

    assert [each.rows for each in laid_out.tables if each.key != "time"] == [[]] * 8
    assert shown(None) == "–"


def test_what_is_offline_for_ten_days_is_suspected_to_be_removed() -> None:
    laid_out = lay_out(signed_report(outage(1, 239), outage(2, 240), outage(3, 300)), "zh")
    rows = table(laid_out, "suspected_removals").rows

    assert [(row[0], shown(row[5]), row[6]) for row in rows] == [
        (3, "2026-11-08 00:00:00", 12),
        (2, "2026-11-10 12:00:00", 10),
    ]


def test_incidents_stand_with_the_verdict_and_what_became_of_their_sources() -> None:
    laid_out = lay_out(signed_report(history(1), incidents=INCIDENTS), "en")
    [row] = table(laid_out, "incidents").rows

    assert [shown(cell) for cell in row] == [
        "gateway-1 2-incident-1",
        "2026-11-19 12:00:00",
        "2026-11-19 12:03:00",
        "not ours (self-test)",
        *("24", "20", "4", "18"),
    ]
    assert dict(laid_out.head)["Quarantine (when made)"] == "Sightings 3 · Quarantine 1"


def test_a_report_by_site_has_a_line_for_each_site_and_names_no_source() -> None:
    laid_out = lay_out(signed_site_report(history(1), outage(2, 10), outage(3, 300)), "zh")
    [never] = table(laid_out, "never_connected").rows
    offline = table(laid_out, "offline")
    removals = table(laid_out, "suspected_removals").rows

    assert dict(laid_out.head)["逐行"] == "按场所"
    assert [shown(cell) for cell in never] == [
        *("示例单位", "示例公园 1", "WX8_07", "320299", "WX-21.2", "2026-10-01", "50", "1 / 1", "0")
    ]
    assert [column.heading for column in offline.columns][-1] == "期末在线 / 应接"
    assert [shown(cell) for cell in offline.rows[0][1:]] == [
        *("示例公园 2", "WX8_07", "320299", "1", "10.00", "467.00", "0 / 1")
    ]
    assert [row[0] for row in removals] == [3]


def test_a_report_of_the_older_form_is_laid_out_as_it_was() -> None:
    now = signed_report(history(1))
    document = dict(now.document)
    content = {
        name: list(lines_of(part)) if name in {"never_connected", "offline"} else part
        for name, part in document["content"].items()  # type: ignore[attr-defined]
        if name not in NEW_PARTS
    }
    made = {name: part for name, part in document["made"].items() if name != "quarantine"}  # type: ignore[attr-defined]
    scope = {name: part for name, part in document["scope"].items() if name != "told_by"}  # type: ignore[attr-defined]
    older = verify(KEY.sign(document | {"form": 1, "content": content, "made": made, "scope": scope}))

    assert [each.key for each in lay_out(older, "en").tables] == [
        *("rates_district", "rates_class", "rates_unit", "time", "never_connected", "offline", "not_seen")
    ]
    assert (
        table(lay_out(older, "en"), "never_connected").rows
        == table(lay_out(now, "en"), "never_connected").rows
    )


def test_a_workbook_holds_every_row_as_numbers_days_and_text() -> None:
    laid_out = lay_out(signed_report(*(history(number) for number in range(1, 701)), outage(701, 5)), "en")
    book = openpyxl.load_workbook(io.BytesIO(write_workbook(laid_out)))
    never, rates = book["Never connected"], book["Rates (District)"]

    assert never.max_row == 701
    assert never["A2"].value == 1
    assert never["G2"].number_format == "yyyy-mm-dd"
    assert isinstance(rates["C2"].value, float)
    assert rates["C2"].number_format == "0.00%"
    assert book["Reports"]["A1"].value == laid_out.title


def test_a_name_that_looks_like_a_formula_stays_text() -> None:
    evil = replace(history(1), site='=HYPERLINK("http://x")', unit="+1")
    book = openpyxl.load_workbook(io.BytesIO(write_workbook(lay_out(signed_report(evil), "en"))))

    assert book["Never connected"]["C2"].data_type == "s"


def test_the_same_report_gives_the_same_pages_and_a_missing_font_is_named(tmp_path: Path) -> None:
    laid_out = lay_out(signed_report(history(1)), "zh")
    font = ReportsConfig().font

    assert write_pdf(laid_out, font) == write_pdf(laid_out, font)
    assert laid_out.made_at == END
    with pytest.raises(FontMissing, match="fonts-wqy-microhei"):
        write_pdf(laid_out, tmp_path / "none.ttc")
    (tmp_path / "bad.ttf").write_bytes(b"no font")
    with pytest.raises(FontMissing, match=r"bad\.ttf"):
        write_pdf(laid_out, tmp_path / "bad.ttf")
