"""The command line on a real catalog: every verb, its exit codes, and no secret anywhere."""

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from openpyxl import load_workbook
from typer.testing import CliRunner

from gateway.cli.main import app
from tests.gateway_process import HEADINGS, PERSON, SETTINGS, code_of

pytestmark = pytest.mark.postgres

Muster = Callable[..., str]

ROW = "单位甲,系统,场所{n},WX8_07,entrance,990102,{code},127.0.0.1,{port},/live,,,gate,2026-06-30,WX-21.2,yes"


@pytest.fixture
def muster(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Muster]:
    """Run a command over the test's database and return what it printed; `code` is the exit code it must have."""
    config = tmp_path / "muster.toml"
    config.write_text(
        SETTINGS.format(port=8080) + f'\n[database]\nurl = "{database_url}"\n', encoding="utf-8"
    )
    monkeypatch.setenv("MUSTER_CONFIG", str(config))
    monkeypatch.chdir(tmp_path)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def run(*arguments: str, code: int = 0, stdin: str | None = None) -> str:
        outcome = CliRunner().invoke(app, arguments, input=stdin)
        assert outcome.exit_code == code, outcome.output + repr(outcome.exception)
        return outcome.output

    yield run
    root.handlers[:], root.level = handlers, level
    logging.captureWarnings(capture=False)


def roll(tmp_path: Path, *numbers: int) -> str:
    file = tmp_path / "roll.csv"
    rows = [ROW.format(n=n, code=code_of(n), port=20_000 + n) for n in numbers]
    file.write_text("\n".join([HEADINGS, *rows, ""]), encoding="utf-8")
    return str(file)


def test_a_roll_is_tried_imported_imported_again_and_reported(muster: Muster, tmp_path: Path) -> None:
    file = roll(tmp_path, 1, 2)
    tried = muster("roll", "import", file, "--dry-run")
    empty = muster("status")
    first = muster("roll", "import", file, "--person", PERSON)
    second = muster("roll", "import", file, "--person", PERSON)
    third = muster("roll", "import", roll(tmp_path, 1), "--person", PERSON)
    report = json.loads(muster("report", "never-connected", "--format", "json"))
    table = muster("report", "never-connected")

    assert "nothing was changed" in tried
    assert "added 2, changed 0, retired 0, unchanged 0" in tried
    assert "–" in empty
    assert "added 2, changed 0, retired 0, unchanged 0" in first
    assert "added 0, changed 0, retired 0, unchanged 2" in second
    assert "added 0, changed 0, retired 1, unchanged 1" in third
    assert [row["gb_id"] for row in report] == [code_of(1)]
    assert report[0]["days_overdue"] > 0
    assert code_of(1) in table
    assert "0 findings" in muster("check")


def test_a_bad_roll_names_row_and_column_and_changes_nothing(muster: Muster, tmp_path: Path) -> None:
    file = tmp_path / "bad.csv"
    good = ROW.format(n=1, code=code_of(1), port=554)
    bad = ROW.format(n=2, code="3.4E+19", port=99999)
    file.write_text("\n".join([HEADINGS, good, bad, ""]), encoding="utf-8")
    told = muster("roll", "import", str(file), code=1)

    assert "row 3, column gb_id" in told
    assert "row 3, column port" in told
    assert json.loads(muster("report", "never-connected", "--format", "json")) == []


def test_reports_are_written_as_csv_and_workbook(muster: Muster, tmp_path: Path) -> None:
    muster("roll", "import", roll(tmp_path, 1), "--person", PERSON)
    csv, xlsx = tmp_path / "r.csv", tmp_path / "r.xlsx"
    muster("report", "never-connected", "--format", "csv", "--output", str(csv))
    muster("report", "never-connected", "--format", "xlsx", "--output", str(xlsx), "--lang", "en")
    told = muster("report", "offline", "--output", str(csv), code=2)
    sheet = load_workbook(xlsx, read_only=True).active

    assert csv.read_bytes().startswith(b"\xef\xbb\xbf")
    assert code_of(1) in csv.read_text(encoding="utf-8")
    assert sheet is not None
    assert code_of(1) in {str(cell.value) for row in sheet.iter_rows() for cell in row}
    assert "--format json, csv or xlsx" in told


def test_networks_are_authorised_listed_and_revoked_and_public_ones_refused(muster: Muster) -> None:
    record = ("--document", "D-1", "--approver", PERSON, "--person", PERSON)
    assert "10.9.0.0/24" in muster("network", "authorise", "10.9.0.0/24", *record)
    assert "cannot be authorised" in muster("network", "authorise", "8.8.8.0/24", *record, code=1)
    assert "yes" in muster("network", "list")
    muster("network", "revoke", "1", "--person", PERSON)
    assert "yes" not in muster("network", "list")
    assert "there is no authorisation record 9" in muster("network", "revoke", "9", code=1)


def test_a_sweep_without_an_authorisation_is_refused_with_what_to_do(muster: Muster) -> None:
    assert "authoris" in muster("discover", "10.9.0.0/24", code=1)


def test_a_password_comes_from_a_file_or_the_prompt_and_is_never_shown(
    muster: Muster, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    file.write_text("S3cr3t-CANARY-71\n", encoding="utf-8")
    from_file = muster("credential", "set", "gate", "--username", "admin", "--password-file", str(file))
    prompt = muster(
        *("credential", "set", "gate", "--username", "admin"), stdin="S3cr3t-CANARY-72\nS3cr3t-CANARY-72\n"
    )
    shown = from_file + prompt + muster("credential", "list") + muster("config", "check")

    assert "version 1" in from_file
    assert "version 2" in prompt
    assert "CANARY" not in shown


def test_a_credential_without_a_device_is_said_to_be_tried_on_none(muster: Muster, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("x1", encoding="utf-8")
    muster("credential", "set", "gate", "--username", "admin", "--password-file", str(file))

    assert "no confirmed device" in muster("credential", "test", "gate", code=1)
    assert "never set" in muster("credential", "test", "other", code=1)


def test_a_sink_is_added_switched_and_removed_and_takes_no_password_in_its_url(muster: Muster) -> None:
    muster("sink", "add", "central", "rtsp://127.0.0.1:8554/muster/", "--person", PERSON)
    refused = muster("sink", "add", "other", "rtsp://u:S3cr3t-CANARY-73@127.0.0.1/", code=1)
    muster("sink", "enable", "central", "--off", "--person", PERSON)
    listed = muster("sink", "list")
    muster("sink", "remove", "central", "--person", PERSON)

    assert "CANARY" not in refused
    assert "no" in listed
    assert "central" not in muster("sink", "list")
    assert muster("sink", "remove", "central", code=1)


def test_a_source_is_edited_gets_an_endpoint_and_is_retired(muster: Muster, tmp_path: Path) -> None:
    muster("roll", "import", roll(tmp_path, 1), "--person", PERSON)
    edited = muster("source", "edit", "1", "--relay-mode", "on_demand", "--mac", "aa:bb:cc:dd:ee:ff")
    muster("source", "add-endpoint", "1", "rtsp://127.0.0.1:9554/second", "--person", PERSON)
    endpoints = muster("source", "endpoints", "1")
    muster("source", "retire", "1", "--person", PERSON)

    assert "relay_mode" in edited
    assert "rtsp://127.0.0.1:9554/second" in endpoints
    assert json.loads(muster("report", "never-connected", "--format", "json")) == []
    assert "no source 1" in muster("source", "edit", "1", "--no-audio", code=1)
    assert "0 findings" in muster("check")


def test_the_catalog_is_published_and_counts_are_tried_first(muster: Muster, tmp_path: Path) -> None:
    muster("roll", "import", roll(tmp_path, 1, 2), "--person", PERSON)
    tried = muster("publish", "--dry-run")
    done = muster("publish", "--person", PERSON)

    assert "2 entries" in tried
    assert "edition 990100-2026-001 with 2 entries is public" in done


def test_a_token_belongs_to_a_named_person_and_its_file_is_private(muster: Muster, tmp_path: Path) -> None:
    output = tmp_path / "token"
    muster("token", "create", "--role", "operator", code=2)
    muster("token", "create", "--role", "police_status", "--person", PERSON, "--output", str(output))
    secret = output.read_text(encoding="ascii").strip()
    listed = muster("token", "list")
    muster("token", "revoke", "1")

    assert output.stat().st_mode & 0o777 == 0o600
    assert secret not in listed
    assert PERSON in listed
    assert "no token 9" in muster("token", "revoke", "9", code=1)


def test_a_wrong_configuration_names_its_keys_and_ends_with_2(
    muster: Muster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(SETTINGS.format(port=8080).replace("probe_misses", "probe_mises"), encoding="utf-8")
    monkeypatch.setenv("MUSTER_CONFIG", str(file))

    assert "probe_misses" in muster("status", code=2)


def test_a_database_that_is_away_ends_with_3(
    muster: Muster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "away.toml"
    away = '\n[database]\nurl = "postgresql://nobody@127.0.0.1:9/none"\nconnect_timeout = 0.5\n'
    settings = SETTINGS.format(port=8080) + away
    file.write_text(settings, encoding="utf-8")
    monkeypatch.setenv("MUSTER_CONFIG", str(file))

    assert "cannot be reached" in muster("status", code=3)
