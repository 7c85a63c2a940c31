"""`muster profile`: what it prints of a decree, and how it tells a mistake in a file."""

from importlib.resources import files
from pathlib import Path

from typer.testing import CliRunner

from gateway.cli.main import app


def muster_profile(*arguments: str, code: int = 0) -> str:
    outcome = CliRunner().invoke(app, ("profile", *arguments))
    assert outcome.exit_code == code, outcome.output
    return outcome.output


def shipped(name: str) -> str:
    return files("catalog.profiles").joinpath(f"{name}.toml").read_text("utf-8")


def test_show_prints_each_value_with_its_article_and_the_conflicts() -> None:
    told = muster_profile("show", "wuxi-2019", "--base", "cn-2025")
    for text in ("WX-21.3", "WX8_07", "WX-15.3", "10,000-30,000", "WX-34(2)", "checked by a person: never"):
        assert text in told
    assert "forbidden_location: direct unit 10,000-20,000" in told
    assert "(WX-37) [superseded?]" in told
    assert "superseded" not in muster_profile("show", "wuxi-2019")


def test_compare_sets_two_decrees_side_by_side() -> None:
    told = muster_profile("compare", "wuxi-2019", "shaanxi-2011")
    (nursing,) = (line for line in told.splitlines() if "nursing_room" in line)
    assert nursing.split(maxsplit=2)[2].split() == ["a", "person", "decides", "(WX-9)", "SX-8(3)"]
    (change,) = (line for line in told.splitlines() if "period: change" in line)
    assert change.split()[2:] == ["–", "30", "days", "(SX-15)"]


def test_due_counts_the_days_with_the_article() -> None:
    told = muster_profile(
        "due", "wuxi-2019", "--base", "cn-2025", "--in-use", "2018-05-01", "--removal", "2026-12-15"
    )
    assert told.splitlines() == [
        "file by 2019-09-30 (WX-15.3, 60 days)",
        "file by 2025-06-30 (CN-14.1, 90 days)",
        "report the removal by 2026-12-05 (WX-17, 10 days)",
    ]
    assert "sets no day" in muster_profile("due", "shaanxi-2011", "--in-use", "2026-11-01")


def test_due_without_a_day_and_unknown_names_are_wrong_usage() -> None:
    assert "--in-use" in muster_profile("due", "wuxi-2019", code=2)
    assert "wuxi-2019" in muster_profile("show", "atlantis-1", code=2)
    assert "calendar" in muster_profile("due", "shaanxi-2011", "--removal", "9999-12-31", code=1)


def test_check_tells_file_line_and_field_of_each_mistake(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    good.write_text(shipped("cn-2025"), encoding="utf-8")
    text = (
        shipped("cn-2025").replace("days = 90", "days = -1").replace('step = "direct"', 'stepp = "direct"', 1)
    )
    bad.write_text(text, encoding="utf-8")
    lines = {
        word: number
        for number, line in enumerate(text.splitlines(), 1)
        for word in ("days = -1", "stepp")
        if word in line
    }
    told = muster_profile("check", str(good), str(bad), code=1)
    assert "cn-2025, 27 provisions, nothing wrong" in told
    assert f"{bad}: profile: " in told
    assert f"line {lines['days = -1']}: deadlines.0.days" in told
    assert f"line {lines['stepp']}: penalties.2.stepp" in told
