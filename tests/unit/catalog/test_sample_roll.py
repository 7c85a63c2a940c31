"""The sample roll that ships: sound, overdue where it says so, and the trial's two cameras first."""

import subprocess
import sys
from datetime import date
from pathlib import Path

from catalog.jurisdictions import Jurisdictions
from catalog.model.profile import ConnectionDuty
from catalog.roll_file import RollRow, read_roll
from tests.fakes.roll import WITH_BASE

SAMPLE = Path(__file__).parents[3] / "deploy" / "sample"
SHOWN_ON = date(2026, 11, 21)


def sample() -> tuple[RollRow, ...]:
    return read_roll((SAMPLE / "roll.csv").read_bytes(), Jurisdictions([WITH_BASE]))


def test_the_sample_has_some_two_hundred_sources_of_every_class() -> None:
    rows = sample()
    assert 180 <= len(rows) <= 220
    assert {row.place_class for row in rows} == {f"WX8_{number:02d}" for number in range(1, 11)}
    assert all(row.rejected_by is None and row.is_bound for row in rows)
    assert WITH_BASE.effective().connection_duty is ConnectionDuty.MANDATORY


def test_the_first_two_rows_are_the_trials_cameras_and_overdue() -> None:
    first, second, *others = sample()
    assert [(row.host, row.port, row.rtsp_path, row.credential_ref) for row in (first, second)] == [
        ("127.0.0.1", 18554, "/camera-1", "trial-camera-1"),
        ("127.0.0.1", 18555, "/camera-2", None),
    ]
    assert all(
        row.address_attested and row.gb_id and row.due_on and row.due_on < SHOWN_ON for row in (first, second)
    )
    assert not any(row.address_attested or row.host == "127.0.0.1" for row in others)


def test_some_of_the_sample_is_overdue_and_some_is_not_yet_due() -> None:
    overdue = [row for row in sample() if row.due_on and row.due_on < SHOWN_ON]
    assert 100 < len(overdue) < len(sample())


def test_the_sample_is_what_its_generator_writes(tmp_path: Path) -> None:
    script = tmp_path / "make_roll.py"
    script.write_bytes((SAMPLE / "make_roll.py").read_bytes())
    subprocess.run([sys.executable, str(script)], check=True, timeout=30)
    assert (tmp_path / "roll.csv").read_bytes() == (SAMPLE / "roll.csv").read_bytes()
