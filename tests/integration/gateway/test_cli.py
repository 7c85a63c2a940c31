"""The command line on a real catalog: every verb, its exit codes, and no secret anywhere."""

import asyncio
import json
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from openpyxl import load_workbook
from typer.testing import CliRunner

from catalog.database import Database
from catalog.model.secret import Secret
from catalog.reading import local_day
from catalog.signing import SigningKey
from gateway.cli.main import app
from tests.gateway_process import HEADINGS, PERSON, SETTINGS, code_of

pytestmark = pytest.mark.postgres

Muster = Callable[..., str]

YEAR = local_day(datetime.now(UTC)).year
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
    sheet = load_workbook(xlsx).active  # not read_only: that leaves the file open

    assert csv.read_bytes().startswith(b"\xef\xbb\xbf")
    assert code_of(1) in csv.read_text(encoding="utf-8")
    assert sheet is not None
    assert code_of(1) in {str(cell.value) for row in sheet.iter_rows() for cell in row}
    assert "--format json, csv or xlsx" in told


def test_rates_are_printed_and_written_and_a_history_is_told_anew(muster: Muster, tmp_path: Path) -> None:
    muster("roll", "import", roll(tmp_path, 1, 2), "--person", PERSON)
    book = tmp_path / "rates.xlsx"
    table = muster("report", "rates", "--by", "site")
    answer = json.loads(muster("report", "rates", "--format", "json"))
    muster("report", "rates", "--by", "source", "--format", "xlsx", "--output", str(book))
    sheet = load_workbook(book).active
    proof = muster("recompute")

    assert "场所1" in table
    assert "all" in table
    assert answer["all"]["required"] == 2
    assert answer["all"]["access_rate"] == 0.0
    assert answer["all"]["never_connected_seconds"] >= 0
    assert sheet is not None
    assert [sheet.cell(row, 1).value for row in (2, 3, 4)] == [code_of(1), code_of(2), "合计"]
    assert "2 sources, 0 facts" in proof
    assert "differing sources 0, wrongly stored 0.000 s, not stored 0.000 s" in proof
    assert "did not exist" in muster("recompute", "--source", "99", code=1)
    assert "write 2026-11-30" in muster("recompute", "--first", "30.11.2026", code=1)
    assert "has not begun" in muster(
        "report", "rates", "--first", "2100-01-01", "--last", "2100-01-02", code=1
    )
    assert "before the first" in muster(
        "report", "rates", "--first", "2026-02-01", "--last", "2026-01-01", code=1
    )


def test_a_report_is_stored_printed_verified_and_told_anew(muster: Muster, tmp_path: Path) -> None:
    muster("roll", "import", roll(tmp_path, 1, 2), "--person", PERSON)
    stored = muster("report", "store", "--person", PERSON)
    number = stored.split()[0]
    signed, paper, book, key = (tmp_path / name for name in ("r.json", "r.pdf", "r.xlsx", "key.pub"))
    for file in (signed, paper, book):
        muster("report", "show", number, "--format", file.suffix[1:], "--output", str(file))
    key.write_text(muster("catalog", "public-key"), encoding="ascii")
    verified = muster("report", "verify", str(signed), "--key", str(key))
    same = muster("report", "revise", number, "--reason", "check", code=1)
    muster("roll", "import", roll(tmp_path, 1), "--person", PERSON)
    listed = muster("report", "list")
    workbook = load_workbook(book)
    signed.write_text(signed.read_text(encoding="utf-8").replace("场所1", "场所9"), encoding="utf-8")

    assert number == f"990100-{YEAR}-R0001"
    assert f"{number} revision 1, " in verified
    assert "unchanged since it was signed" in verified
    assert "the one expected" in verified
    assert "says what revision 1 says" in same
    assert PERSON in listed
    assert paper.read_bytes().startswith(b"%PDF-")
    assert len(workbook.sheetnames) == 10
    unit = json.loads(muster("report", "never-connected", "--format", "json"))[0]["place"]["unit"]
    assert "report never-connected" not in muster("report", "never-connected", "--unit", unit)
    assert "there is no unit 'x'" in muster("report", "offline", "--unit", "x", code=1)
    assert "class 'x'" in muster("report", "rates", "--class", "x", code=1)
    assert "there is no edition 'x'" in muster("report", "store", "--edition", "x", code=1)
    assert "stored" in muster("report", "store", "--unit", unit, "--class", "WX8_07", "--person", PERSON)
    assert "changed after signing" in muster("report", "verify", str(signed), code=1)
    assert "there is no report 'R9'" in muster("report", "show", "R9", "--output", str(paper), code=1)
    assert "has not begun" in muster(
        "report", "store", "--first", "2100-01-01", "--last", "2100-01-02", code=1
    )


def test_facts_are_attested_and_an_objection_is_entered_and_answered(muster: Muster, tmp_path: Path) -> None:
    muster("roll", "import", roll(tmp_path, 1), "--person", PERSON)
    today = str(local_day(datetime.now(UTC)))
    facts = muster("compliance", "facts")
    before = muster("compliance", "list")
    muster("compliance", "attest", "1", "sign_posted", "no", "--document", "7", "--person", PERSON)
    after = muster("compliance", "list", "--system", "1")
    wrong = muster("compliance", "attest", "1", "sign_posted", "perhaps", "--document", "7", code=1)
    days = ("--first", today, "--last", today)
    entered = muster("evidence", "dispute", "1", "--by", "U", "--text", "no", *days, "--person", PERSON)
    own = muster("evidence", "answer", "1", "--text", "x", "--rejected", "--person", PERSON, code=1)
    waiting = muster("evidence", "disputes", "--open")
    half = muster(
        *("evidence", "dispute", "1", "--by", "U", "--text", "no", *days),
        *("--running-from", f"{today} 00:00"),
        code=1,
    )
    muster("evidence", "answer", "1", "--text", "seen", "--rejected", "--person", "Somebody")
    answered = muster("evidence", "disputes")

    assert "road_or_square" in facts
    assert "unresolved" in before
    assert "broken" not in before
    assert "broken" in after
    assert "one of yes, no" in wrong
    assert "somebody else answers it" in entered
    assert "does not answer it" in own
    assert "U: no" in waiting
    assert "go together" in half
    assert "rejected: seen" in answered
    assert "U: no" not in muster("evidence", "disputes", "--open")


def test_days_and_incidents_are_listed(muster: Muster, tmp_path: Path) -> None:
    muster("roll", "import", roll(tmp_path, 1), "--person", PERSON)

    assert "cap of maintenance" in muster("report", "days")
    assert "silent from" in muster("report", "incidents")


def test_who_is_told_what_happens_is_entered_tried_listed_and_removed(muster: Muster, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("whsec_c2VjcmV0IG9mIHRoZSB0ZXN0\n", encoding="ascii")
    password.chmod(0o600)
    url = "http://127.0.0.1:9/hook"
    muster("credential", "set", "hook", "--username", "muster", "--password-file", str(password))
    muster("notify", "webhook", "hook", url, "--credential", "hook", "--events", "offline,overdue")
    muster(
        "notify", "mail", "duty", "smtp://127.0.0.1:9", "--sender", "m@example.org", "--to", "d@example.org"
    )
    listed = muster("notify", "list")
    tried = muster("notify", "test", "hook", code=1)
    twice = muster("notify", "webhook", "hook", url, "--credential", "hook", code=1)
    muster("notify", "remove", "duty")

    assert "offline, overdue" in listed
    assert "d@example.org" in listed
    assert f"not taken: {url}" in tried
    assert "notice_target" in twice
    assert "duty" not in muster("notify", "list")
    assert "there is no target 'duty'" in muster("notify", "remove", "duty", code=1)
    assert "offline,back,connected,overdue" in muster(
        "notify", "webhook", "x", url, "--credential", "hook", "--events", "gone", code=1
    )
    assert "leave secrets out" in muster(
        "notify", "webhook", "x", f"{url}?key=1", "--credential", "hook", code=1
    )


def test_an_evidence_sheet_is_made_verified_and_printed_without_the_catalog(
    muster: Muster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    muster("roll", "import", roll(tmp_path, 1), "--person", PERSON)
    sheet, key, page = tmp_path / "sheet.json", tmp_path / "key.pub", tmp_path / "sheet.html"
    number = str(json.loads(muster("report", "never-connected", "--format", "json"))[0]["source_id"])
    made = muster("evidence", "sheet", number, "--output", str(sheet))
    key.write_text(muster("catalog", "public-key"), encoding="ascii")
    assert "there is no source 99" in muster("evidence", "sheet", "99", "--output", str(sheet), code=1)

    monkeypatch.setenv("MUSTER_CONFIG", str(tmp_path / "nothing.toml"))
    told = muster("evidence", "verify", str(sheet), "--key", str(key))
    muster("evidence", "print", str(sheet), "--output", str(page))
    sheet.write_text(sheet.read_text(encoding="utf-8").replace("WX-21.2", "WX-21.3"), encoding="utf-8")
    refused = muster("evidence", "verify", str(sheet), code=1)

    assert f"source {number}" in made
    assert "follow from its 0 facts" in told
    assert "the one expected" in told
    assert code_of(1) in page.read_text(encoding="utf-8")
    assert "changed after signing" in refused


def test_a_case_goes_from_a_candidate_to_an_order_and_says_what_it_lacks(
    muster: Muster, tmp_path: Path, database_url: str
) -> None:
    muster("roll", "import", roll(tmp_path, 1), "--person", PERSON)
    early = muster("case", "find", "--open")
    assert "1 sites, 1 of them not yet" in early
    assert "opened 0" in early

    async def let_two_days_pass() -> None:
        async with Database(Secret(database_url)) as database, database.raw_connection() as connection:
            await connection.execute("UPDATE source SET created_at = created_at - interval '2 days'")
            await connection.execute("UPDATE duty SET effective_from = effective_from - 2")
            await connection.execute(
                "UPDATE gateway SET observed_until = now(), epoch = 1, started_at = now()"
            )

    asyncio.run(let_two_days_pass())
    number = muster("case", "find", "--open").rpartition("opened 1: ")[2].strip()
    verified = muster("case", "verify", number, "--addressee", "单位甲", "--person", PERSON)
    order = ("--organ", "示范市公安局", "--order-number", "7", "--items", "connect")
    refused = muster(
        *("case", "order", number, *order, "--served-on", "2026-11-20", "--deadline", "2026-11-01"), code=1
    )
    ordered = muster(
        *("case", "order", number, *order, "--served-on", "2026-11-01", "--deadline", "2026-11-20"),
        *("--person", PERSON),
    )
    shown, listed = muster("case", "show", number), muster("case", "list")

    assert "verified" in verified
    assert "before the order was served" in refused
    # The day has passed already when it is entered.
    assert "overdue" in ordered
    assert "overdue" in listed
    assert code_of(1) in shown
    assert "10,000-30,000" in shown
    assert "an amount is never proposed" in shown
    assert "unchanged" in shown
    assert "still never connected" in muster("case", "rectify", number, "--organ", "x", code=1)
    assert "needs text" in muster("case", "withdraw", number, "--text", " ", code=1)
    assert "withdrawn" in muster("case", "withdraw", number, "--text", "entered by mistake")
    assert "there is no case" in muster("case", "show", f"990100-{YEAR}-C9999", code=1)
    assert "0 cases" in muster("case", "list")
    assert "1 cases" in muster("case", "list", "--all")


def test_a_window_is_asked_for_by_one_person_and_approved_by_another(muster: Muster, tmp_path: Path) -> None:
    muster("roll", "import", roll(tmp_path, 1), "--person", PERSON)
    number = str(json.loads(muster("report", "never-connected", "--format", "json"))[0]["source_id"])
    ask = ("suspension", "request", "--reason", "municipal_works", "--document", "D-7", "--source", number)
    ahead = ("--start", "2099-11-30 08:00", "--end", "2099-11-30 12:00")

    asked = muster(*ask, *ahead, "--person", "Li")
    assert "suspension 1 is asked for; somebody else approves it" in asked
    assert "somebody else approves" in muster("suspension", "approve", "1", "--person", "Li", code=1)
    assert "suspension 1: approved" in muster("suspension", "approve", "1", "--person", "Wang")
    listed = muster("suspension", "list")
    assert "municipal_works" in listed
    assert "Wang" in listed
    assert "that has begun" in muster("suspension", "end", "1", "--text", "done", code=1)
    assert "withdrawn" in muster("suspension", "withdraw", "1", "--text", "not needed")
    backwards = muster(*ask, "--start", "2099-11-30 08:00", "--end", "2099-11-30 08:00", code=1)
    assert "is not after the start" in backwards
    assert "one of them" in muster(*ask, *ahead, "--site", "1", code=1)
    night = (
        "suspension",
        "request",
        "--reason",
        "outside_operation",
        "--document",
        "D-8",
        "--source",
        number,
    )
    assert "written like 22:30-05:30" in muster(*night, *ahead, "--hours", "night", code=1)
    assert "hours: they are given with the reason" in muster(*night, *ahead, code=1)
    muster(*night, *ahead, "--hours", "22:30-05:30", "--weekdays", "1,5")
    assert "22:30-05:30" in muster("suspension", "list")
    assert "there is no suspension 9" in muster("suspension", "approve", "9", "--person", "Wang", code=1)


def test_facts_come_in_a_file_all_of_them_or_none(muster: Muster, tmp_path: Path) -> None:
    muster("roll", "import", roll(tmp_path, 1, 2), "--person", PERSON)
    sites = json.loads(muster("report", "never-connected", "--format", "json"))
    places = [(each["place"]["unit"], each["place"]["system"]) for each in sites]
    file = tmp_path / "facts.csv"

    def written(*systems: tuple[str, str]) -> str:
        lines = [f"{unit},{system},mlps_met,yes,D-9" for unit, system in systems]
        file.write_text("\n".join(("unit,system,fact,value,document", *lines)), encoding="utf-8")
        return str(file)

    wrong = muster("compliance", "attest-file", written(*set(places), ("无此单位", "x")), code=1)
    nothing = muster("compliance", "list", "--met")
    kept = muster("compliance", "attest-file", written(*set(places)), "--person", PERSON)

    assert "no such system" in " ".join(wrong.split())
    assert "nothing was attested" in wrong
    assert "mlps_met" in nothing  # open
    assert f"{len(set(places))} facts of {len(set(places))} systems attested" in kept
    assert "stored_days" in muster("compliance", "facts")


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
    assert f"edition 990100-{YEAR}-001 with 2 entries is public" in done


def test_an_edition_needs_a_second_person_where_the_configuration_says_so(
    muster: Muster, tmp_path: Path
) -> None:
    config = tmp_path / "muster.toml"
    text = config.read_text(encoding="utf-8").replace("second_approver = false", "second_approver = true")
    config.write_text(text, encoding="utf-8")
    muster("roll", "import", roll(tmp_path, 1, 2), "--person", PERSON)
    alone = muster("publish", "--person", PERSON, code=1)
    counted = muster("publish", "--dry-run")
    proposed = muster("catalog", "propose", "--person", PERSON)
    himself = muster("catalog", "approve", "1", "--person", PERSON, code=1)
    other = muster("catalog", "approve", "1", "--person", "somebody else")
    muster("catalog", "propose", "--person", PERSON, "--effective-from", "2099-01-01")
    muster("catalog", "reject", "2", "--text", "too early", "--person", "somebody else")
    listed = muster("catalog", "proposals")

    assert "muster catalog propose" in alone
    assert "2 entries" in counted
    assert "proposal 1: 2 entries" in proposed
    assert "somebody else must approve it" in himself
    assert f"edition 990100-{YEAR}-001 is public" in other
    assert "too early" in listed
    assert f"990100-{YEAR}-001" in listed


def test_two_editions_differ_by_what_came_went_and_changed(muster: Muster, tmp_path: Path) -> None:
    muster("roll", "import", roll(tmp_path, 1, 2, 3), "--person", PERSON)
    muster("publish", "--person", PERSON)
    file = Path(roll(tmp_path, 2, 3, 4))
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("2026-06-30", "2026-09-30", 1), encoding="utf-8")
    muster("roll", "import", str(file), "--person", PERSON)
    muster("publish", "--person", PERSON)
    listed = muster("catalog", "list")
    told = muster("catalog", "diff", f"990100-{YEAR}-001", f"990100-{YEAR}-002")
    marks = {line.split()[0]: line for line in told.splitlines() if line[1:2] in "+-~"}

    assert listed.index(f"990100-{YEAR}-002") < listed.index(f"990100-{YEAR}-001")
    assert "场所4" in marks["+"]
    assert "场所1" in marks["-"]
    assert "due_on: 2026-06-30 → 2026-09-30" in marks["~"]
    assert "added 1, removed 1, changed 1, unchanged 1" in told
    same = muster("catalog", "diff", f"990100-{YEAR}-001", f"990100-{YEAR}-001")
    assert "added 0, removed 0, changed 0, unchanged 3" in same
    assert f"no edition '990100-{YEAR}-009'" in muster(
        "catalog", "diff", f"990100-{YEAR}-001", f"990100-{YEAR}-009", code=1
    )


def test_a_signed_edition_proves_itself_and_a_changed_one_does_not(muster: Muster, tmp_path: Path) -> None:
    muster("roll", "import", roll(tmp_path, 1, 2), "--person", PERSON)
    muster("publish", "--person", PERSON)
    signed, key = tmp_path / "edition.json", tmp_path / "muster.pub"
    muster("catalog", "sign", f"990100-{YEAR}-001", "--output", str(signed))
    key.write_text(muster("catalog", "public-key"), encoding="ascii")
    told = muster("catalog", "verify", str(signed), "--key", str(key))
    assert f"edition 990100-{YEAR}-001, 2 entries, unchanged" in told
    assert "the one expected" in told
    assert "compare it" in muster("catalog", "verify", str(signed))
    assert (tmp_path / "state" / "signing.key").stat().st_mode & 0o777 == 0o600

    changed = tmp_path / "changed.json"
    changed.write_text(signed.read_text(encoding="utf-8").replace("场所2", "场所3"), encoding="utf-8")
    assert "changed after signing" in muster("catalog", "verify", str(changed), "--key", str(key), code=1)
    other = tmp_path / "other.json"
    other.write_bytes(SigningKey(bytes(32)).sign({"kind": "something else"}))
    assert "no edition of a public catalog" in muster("catalog", "verify", str(other), code=1)
    key.write_text("AAAA", encoding="ascii")
    assert "another key" in muster("catalog", "verify", str(signed), "--key", str(key), code=1)
    assert "no edition" in muster("catalog", "sign", f"990100-{YEAR}-009", "--output", str(changed), code=1)


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
