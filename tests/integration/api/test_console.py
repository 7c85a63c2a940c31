import re
from datetime import datetime, timedelta
from typing import Any

import lxml.html
import pytest

from catalog.access import AccessLog
from catalog.cases import candidates, open_case, take_step
from catalog.database import Database
from catalog.evidence_sheet import check
from catalog.model.case import CaseStep
from catalog.networks import list_networks
from catalog.reading import LOCAL
from catalog.reports import View
from catalog.signing import verify
from gateway.console.messages import MESSAGES
from gateway.console.pages import PAGES
from tests.api_peer import Api
from tests.seed import NOW, seed_every_state, seed_roll

pytestmark = pytest.mark.postgres

DEVICE = "32029900001180000001"
XSS = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


async def log_in(api: Api, role: str = "operator") -> Any:
    return await api.client.post("/login", data={"token": api.tokens[role]}, allow_redirects=False)


async def csrf(api: Api, page: str = "/networks") -> str:
    text = await (await api.client.get(page)).text()
    found = re.search(r'name="csrf" value="([^"]+)"', text)
    assert found is not None
    return found.group(1)


async def test_a_login_opens_a_session_in_a_cookie_no_script_can_read(api: Api) -> None:
    response = await log_in(api)

    cookie = response.headers["Set-Cookie"]
    assert (response.status, response.headers["Location"]) == (303, "/")
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert api.tokens["operator"] not in cookie
    assert (await api.client.get("/")).status == 200


@pytest.mark.parametrize(
    ("token", "status"), [("", 401), ("muster_" + "x" * 43, 401), ("police_status", 403)]
)
async def test_only_an_operators_token_logs_in(api: Api, token: str, status: int) -> None:
    response = await api.client.post(
        "/login", data={"token": api.tokens.get(token, token)}, allow_redirects=False
    )

    assert response.status == status
    assert "Set-Cookie" not in response.headers


@pytest.mark.parametrize("page", [page.path for page in PAGES if "{" not in page.path] + ["/sources/1"])
async def test_no_page_shows_anything_without_a_login(api: Api, page: str) -> None:
    response = await api.client.get(page, allow_redirects=False)

    assert (response.status, response.headers["Location"]) == (302, "/login")


async def test_a_revoked_token_ends_its_session(api: Api, database: Database) -> None:
    await log_in(api)
    async with database.raw_connection() as connection:
        await connection.execute("UPDATE access_token SET revoked_at = $1", NOW)

    response = await api.client.get("/", allow_redirects=False)

    assert response.headers["Location"] == "/login"


async def test_a_session_ends_with_its_lifetime_and_with_the_logout(api: Api) -> None:
    await log_in(api)
    token = await csrf(api)
    await api.client.post("/logout", data={"csrf": token})
    after_logout = await api.client.get("/", allow_redirects=False)
    await log_in(api)
    api.clock.seconds += api.services.config.api.session_lifetime
    after_lifetime = await api.client.get("/", allow_redirects=False)

    assert after_logout.status == after_lifetime.status == 302


async def test_a_form_without_its_token_changes_nothing(api: Api, database: Database) -> None:
    await log_in(api)
    form = {"cidr": "10.1.2.0/24", "document": "d", "approver": "a", "expires_on": "2030-01-01"}

    missing = await api.client.post("/act/authorise", data=form)
    wrong = await api.client.post("/act/authorise", data={**form, "csrf": "x"})
    elsewhere = await api.client.post(
        "/act/authorise",
        data={**form, "csrf": await csrf(api)},
        headers={"Origin": "https://evil.example"},
    )

    assert missing.status == wrong.status == elsewhere.status == 403
    assert await list_networks(database) == []


async def test_a_form_acts_in_the_name_of_who_is_logged_in(api: Api, database: Database) -> None:
    await log_in(api)
    form = {"cidr": "10.1.2.0/24", "document": "公函 7", "approver": "王局", "expires_on": "2030-01-01"}

    page = await api.client.post("/act/authorise", data={**form, "csrf": await csrf(api)})

    [record] = await list_networks(database)
    assert (str(record.network), record.authorised_by) == ("10.1.2.0/24", "测试 operator")
    assert record.expires_at.isoformat() == "2030-01-01T16:00:00+00:00"
    assert MESSAGES["done.authorise"][0] in await page.text()
    entries = await AccessLog(database).recent(10)
    assert ("/act/{verb}", "test operator") not in {(entry.route, entry.person) for entry in entries}
    assert "cidr=10.1.2.0/24" in {entry.scope for entry in entries}


async def test_a_refusal_is_shown_and_nothing_happens(api: Api, database: Database) -> None:
    await log_in(api)
    form = {"cidr": "8.8.8.0/24", "document": "d", "approver": "a", "expires_on": "2030-01-01"}

    page = await api.client.post("/act/authorise", data={**form, "csrf": await csrf(api)})

    assert 'class="notice bad"' in await page.text()
    assert await list_networks(database) == []


@pytest.mark.parametrize("language", ["zh", "en"])
async def test_what_a_device_says_is_text_on_every_page(api: Api, database: Database, language: str) -> None:
    seeded = await seed_every_state(database)
    async with database.raw_connection() as connection:
        await connection.execute("UPDATE source SET name = $1, serial = $1, location_type = $1", XSS)
        await connection.execute("UPDATE site SET name = $1 || site_id, address = $1", XSS)
        await connection.execute("UPDATE unit SET name = $1", XSS)
        await connection.execute("UPDATE connectivity SET obstacle = $1", XSS)
        await connection.execute("UPDATE endpoint SET path = $1", f"/{XSS}")
        await connection.execute(
            "INSERT INTO sighting "
            "(protocol, host, port, server, mac, serial, first_seen_at, last_seen_at, match_reason) "
            "VALUES ('rtsp', $1, 554, $1, $1, $1, $2, $2, $1)",
            XSS,
            NOW,
        )
    await log_in(api)

    texts = [
        await (await api.client.get(page, params={"lang": language})).text()
        for page in (
            "/",
            "/never-connected",
            "/offline",
            "/rates",
            "/cases",
            "/sources",
            "/sightings",
            "/relays",
            "/networks",
            "/roll",
        )
    ]
    texts.append(await (await api.client.get(f"/sources/{seeded.source_ids[2]}")).text())

    assert "&lt;script&gt;alert(1)" in texts[1]
    assert not any("<script>alert" in text or "<img src=x" in text for text in texts)
    assert all(text.count("<script") == text.count('<script src="/static/') > 0 for text in texts)


async def test_pages_carry_no_inline_style_or_script(api: Api, database: Database) -> None:
    await seed_every_state(database)
    await log_in(api)

    text = await (await api.client.get("/")).text()

    assert re.search(r"\sstyle=|\son\w+=|<style|javascript:", text) is None


async def test_the_overview_shows_the_chain_in_both_languages(api: Api, database: Database) -> None:
    await seed_every_state(database)
    await log_in(api)

    zh = await (await api.client.get("/", params={"lang": "zh"})).text()
    en = await (await api.client.get("/", params={"lang": "en"})).text()
    kept = await (await api.client.get("/")).text()

    assert "应接入" in zh
    assert "Must connect" in en
    assert 'lang="en"' in kept
    assert "62.5 %" in zh


async def test_a_wrong_parameter_shows_a_page_for_people(api: Api) -> None:
    await log_in(api)

    response = await api.client.get("/offline?region=abc")
    missing = await api.client.get("/sources/424242")

    assert (response.status, response.content_type) == (422, "text/html")
    assert (missing.status, missing.content_type) == (404, "text/html")


async def test_the_page_exports_the_reports(api: Api, database: Database) -> None:
    seeded = await seed_every_state(database)
    await log_in(api)

    response = await api.client.get("/export/offline.csv")
    unknown = await api.client.get("/export/secrets.csv")

    assert seeded.codes[2] in await response.text("utf-8-sig")
    assert unknown.status == 404


async def test_the_style_sheet_and_script_are_the_only_files(api: Api) -> None:
    assert (await api.client.get("/static/muster.css")).status == 200
    assert (await api.client.get("/static/live.js")).content_type == "text/javascript"
    assert (await api.client.get("/static/..%2fpages.py")).status == 404


async def test_rates_and_cases_are_shown_and_an_evidence_sheet_is_sent(api: Api, database: Database) -> None:
    seeded = await seed_every_state(database)
    [first, *_] = await candidates(database, View(NOW))
    number = await open_case(database, first, at=NOW)
    assert number is not None
    order = {"organ": "示范市公安局", "order_number": "7", "served_on": "2026-11-01", "items": "connect"}
    for step, detail in (
        (CaseStep.VERIFY, {"addressee": "示例单位"}),
        (CaseStep.ORDER, {**order, "deadline": "2026-11-15"}),
    ):
        await take_step(database, number, step, at=NOW, person="Wang", detail=detail)
    await log_in(api)

    rates = await (await api.client.get("/rates?first=2026-11-11&last=2026-11-20&by=site&lang=en")).text()
    cases = await (await api.client.get("/cases?lang=en")).text()
    page = await api.client.get(f"/sources/{seeded.source_ids[2]}/evidence.html?lang=en")
    signed = await api.client.get(f"/sources/{seeded.source_ids[2]}/evidence.json?first=2026-11-01")
    missing = await api.client.get("/sources/99/evidence.json")
    wrong = await api.client.get(f"/sources/{seeded.source_ids[2]}/evidence.json?first=yesterday")
    sheet = verify(await signed.read())

    assert "62.5 %" in rates
    # What the rates are made of: 8 sources, 9.5 days each, less what is not counted.
    assert f"{8 * 228 - 3660 / 3600:.2f}" in rates
    assert "planned maintenance" in rates
    assert number in cases
    assert "overdue" in cases
    assert seeded.codes[2] in await page.text()
    assert page.headers["Content-Disposition"].startswith("attachment")
    assert check(sheet.document).holds
    assert (missing.status, wrong.status) == (404, 422)


async def test_nothing_that_a_person_watches_or_types_into_is_replaced_when_the_page_is_refreshed(
    api: Api, database: Database
) -> None:
    seeded = await seed_every_state(database)
    await log_in(api)
    page = lxml.html.fromstring(await (await api.client.get(f"/sources/{seeded.source_ids[0]}")).text())
    parts = page.xpath("//*[@data-live]")

    assert {part.get("data-live") for part in parts} >= {"head", "source"}
    assert page.xpath("//video")
    assert [part for part in parts if part.xpath(".//video | self::*[@id='picture']")] == []


async def test_a_report_is_made_by_the_page_and_sent_in_every_form(api: Api, database: Database) -> None:
    seeded = await seed_every_state(database)
    await log_in(api)
    token = await csrf(api, "/reports")

    async def sent(verb: str, **fields: str) -> str:
        response = await api.client.post(f"/act/{verb}?lang=en", data={"csrf": token, **fields})
        return await response.text()

    wrong = await sent("make_report", first="2026-11-20", last="2026-11-01")
    made = await sent("make_report", first="2026-11-01", last="2026-11-20")
    number = verify(await (await api.client.get("/reports/320299-2026-R0001.json")).read()).document["number"]
    same = await sent("remake", report_id=str(number), reason="x")
    async with database.raw_connection() as connection:
        await connection.execute(
            "UPDATE duty SET withdrawn_on = '2026-02-01' WHERE site_id = $1", seeded.site_ids[0]
        )
    anew = await sent("remake", report_id=str(number), reason=XSS)
    paper = await api.client.get(f"/reports/{number}.pdf?revision=1&lang=en")
    missing = await api.client.get("/reports/320299-2026-R0009.pdf")
    nonsense = await api.client.get(f"/reports/{number}.pdf?revision=last")

    assert "lies before the first" in wrong
    assert "signed and stored: 320299-2026-R0001" in made
    assert "says what revision 1 says" in same
    assert "revision 2" in anew
    assert XSS not in anew
    assert (await paper.read()).startswith(b"%PDF-")
    assert (paper.content_type, missing.status, nonsense.status) == ("application/pdf", 404, 422)


async def test_a_device_is_let_in_changed_and_removed_by_the_page(api: Api, database: Database) -> None:
    await seed_roll(database, count=1)
    await log_in(api)
    token = await csrf(api, "/devices")

    async def sent(verb: str, **fields: str) -> str:
        response = await api.client.post(
            f"/act/{verb}?lang=en", data={"csrf": token, "device_id": DEVICE, **fields}
        )
        assert response.status == 200
        return await response.text()

    async def logins() -> list[tuple[str, int]]:
        async with database.raw_connection() as connection:
            rows = await connection.fetch(
                "SELECT password_encrypted, version FROM credential WHERE ref LIKE 'gb28181:%'"
            )
        return [(row["password_encrypted"], row["version"]) for row in rows]

    nonsense = await sent("add_device", password=" Some-Pass-1 ", media="carrier pigeon", stream="main")
    short = await sent("add_device", password="short", media="udp", stream="main")
    assert await logins() == []
    added = await sent("add_device", password=" Some-Pass-1 ", name="gate", media="udp", stream="main")
    [before] = await logins()
    renamed = await sent("change_device", name="yard", media="tcp_active", stream="sub", password="")
    assert await logins() == [before]
    page = await (await api.client.get(f"/devices/{DEVICE}?lang=en")).text()
    await sent("change_device", name=XSS, media="tcp_active", stream="sub", password="Other-Pass-2")
    [after] = await logins()
    shown = await (await api.client.get(f"/devices/{DEVICE}?lang=en")).text()
    gone = await sent("remove_device")
    unknown = await sent("change_device", name="x", media="udp", stream="main")

    assert "media" in nonsense
    assert "Input should be" in nonsense
    assert "at least 8" in short
    assert "the device may register" in added
    assert "the device was changed" in renamed
    assert 'value="yard"' in page
    assert 'value="tcp_active" selected' in page
    assert 'value="sub" selected' in page
    assert after != before
    assert "<script>alert" not in shown
    assert "may not register any more" in gone
    assert f"there is no device {DEVICE}" in unknown
    assert not any("Pass-" in text for text in (nonsense, short, added, renamed, page, shown, gone))


async def test_a_window_is_asked_for_by_one_person_and_approved_by_another_on_the_page(
    api: Api, database: Database
) -> None:
    seeded = await seed_roll(database, count=2)
    made = await api.client.post(
        "/api/v1/tokens", json={"person": "赵六", "role": "operator"}, headers=api.headers("operator")
    )
    second = (await made.json())["secret"]

    async def as_person(token: str) -> None:
        await api.client.post("/login", data={"token": token})

    async def sent(verb: str, **fields: str) -> str:
        token = await csrf(api, f"/sources/{seeded.source_ids[0]}")
        response = await api.client.post(f"/act/{verb}?lang=en", data={"csrf": token, **fields})
        assert response.status == 200
        return await response.text()

    window = {
        "of": "site_id",
        "site_id": str(seeded.site_ids[0]),
        "source_id": str(seeded.source_ids[0]),
        "reason": "planned_maintenance",
        "starts_at": f"{(NOW + timedelta(days=1)).astimezone(LOCAL):%Y-%m-%dT%H:%M}",
        "ends_at": f"{(NOW + timedelta(days=2)).astimezone(LOCAL):%Y-%m-%dT%H:%M}",
        "document": XSS,
    }
    await as_person(api.tokens["operator"])
    nowhere = await sent("request_suspension", **{**window, "site_id": "999"})
    backwards = await sent("request_suspension", **{**window, "ends_at": window["starts_at"]})
    undated = await sent("request_suspension", **{**window, "starts_at": "tomorrow"})
    asked = await sent("request_suspension", **window)
    rest = {
        "reason": "outside_operation",
        "rest_begins": "22:30",
        "rest_ends": "05:30",
        "rest_weekdays": "1, 5",
    }
    all_day = await sent("request_suspension", **{**window, **rest, "rest_ends": ""})
    no_day = await sent("request_suspension", **{**window, **rest, "rest_weekdays": "9"})
    without = await sent("request_suspension", **{**window, "reason": "outside_operation"})
    resting = await sent("request_suspension", **{**window, **rest})
    own = await sent("act_on_suspension", suspension_id="1", act="approve")
    await as_person(second)
    approved = await sent("act_on_suspension", suspension_id="1", act="approve")
    early = await sent("act_on_suspension", suspension_id="1", act="end", text="done")
    listed = await api.get("/api/v1/suspensions")
    mute = await sent("act_on_suspension", suspension_id="1", act="withdraw", text="")
    withdrawn = await sent("act_on_suspension", suspension_id="1", act="withdraw", text="not needed")

    assert "there is no site 999" in nowhere
    assert "ends_at is not after starts_at" in backwards
    assert "From" in undated
    assert "The window was asked for: 1" in asked
    assert "<script>alert" not in asked
    assert "asked for it: somebody else approves" in own
    assert "Suspension 1: approved" in approved
    assert "only a window that has begun" in early
    assert "/hours/ends: " in all_day
    assert "/hours/weekdays/0: " in no_day
    assert "hours: they are given with the reason" in without
    assert "22:30–05:30" in resting
    assert "星期 1, 5" in resting
    [night, row] = listed["items"]
    assert night["hours"] == {"begins": "22:30", "ends": "05:30", "weekdays": [1, 5]}
    assert (row["site_id"], row["source_id"], row["state"]) == (seeded.site_ids[0], None, "approved")
    assert datetime.fromisoformat(row["starts_at"]) == (NOW + timedelta(days=1)).replace(
        second=0, microsecond=0
    )
    assert [each["act"] for each in row["acts"]] == ["approve"]
    assert "give the reason" in mute
    assert "Suspension 1: withdrawn" in withdrawn


async def test_a_case_is_opened_and_carried_on_by_the_page(api: Api, database: Database) -> None:
    await seed_every_state(database)
    [first, *others] = await candidates(database, View(NOW))
    await log_in(api)
    one = await api.get("/api/v1/case-candidates?limit=1")
    every = await api.get("/api/v1/case-candidates")

    async def sent(verb: str, **fields: str) -> str:
        token = await csrf(api)
        response = await api.client.post(f"/act/{verb}?lang=en", data={"csrf": token, **fields})
        assert response.status == 200
        return await response.text()

    shown = await (await api.client.get("/cases?lang=en")).text()
    nowhere = await sent("open_case", site_id="999")
    opened = await sent("open_case", site_id=str(first.site_id))
    [case] = (await api.get("/api/v1/cases"))["items"]
    again = await sent("open_case", site_id=str(first.site_id))
    number = case["number"]
    order = {"organ": "示范市公安局", "order_number": "7", "items": XSS, "served_on": "2026-11-01"}
    too_soon = await sent("carry_case_on", number=number, step="order", deadline="2026-11-15", **order)
    verified = await sent("carry_case_on", number=number, step="verify", addressee="示例单位")
    lacking = await sent("carry_case_on", number=number, step="order", **order)
    ordered = await sent("carry_case_on", number=number, step="order", deadline="2026-11-15", **order)
    nonsense = await sent("carry_case_on", number=number, step="forget")
    unknown = await sent("carry_case_on", number="x", step="withdraw", text="x")
    [after] = (await api.get("/api/v1/cases"))["items"]

    assert [each["site_id"] for each in every["items"]] == [each.site_id for each in (first, *others)]
    assert [each["site_id"] for each in one["items"]] == [first.site_id]
    assert (one["more"], every["more"]) == (bool(others), False)
    assert first.site in shown
    assert "site 999 is no candidate" in nowhere
    assert f"The case was opened: {number}" in opened
    assert case["needs"]["verify"] == ["addressee"]
    assert "under a case" in again
    assert "does not lead on from there" in too_soon
    assert f"{number}: verified" in verified
    assert "order needs deadline" in lacking
    assert f"{number}: overdue" in ordered
    assert "<script>alert" not in ordered
    assert "Next" in nonsense
    assert "there is no such case" in unknown
    assert [each["step"] for each in after["steps"]] == ["verify", "order"]
    assert {each["person"] for each in after["steps"]} == {"测试 operator"}
