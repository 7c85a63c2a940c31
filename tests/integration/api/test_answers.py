import csv
import io
import json
from datetime import date, timedelta

import openpyxl
import pytest

from catalog.access import AccessLog, Role
from catalog.cases import candidates, open_case, take_step
from catalog.database import Database
from catalog.day_closing import DayClosing
from catalog.model.case import CaseStep
from catalog.report_document import lines_of
from catalog.reports import View
from catalog.signing import verify
from gateway.api.app import OPERATIONS
from gateway.api.openapi import committed, render
from gateway.opening import counting_rules
from tests.api_peer import CONFIG, Api
from tests.seed import HERE, NOW, seed_every_state, seed_roll

pytestmark = pytest.mark.postgres


def test_the_committed_openapi_document_is_the_generated_one() -> None:
    assert committed() == render(OPERATIONS), "run: python -m gateway.api.openapi"


def test_every_reference_of_the_document_leads_somewhere() -> None:
    text = committed()
    schemas = json.loads(text)["components"]["schemas"]

    wanted = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}

    assert wanted <= schemas.keys()


async def test_the_summary_is_an_honest_chain(api: Api, database: Database) -> None:
    await seed_every_state(database)

    total = (await api.get("/api/v1/reports/summary"))["total"]

    assert total["required"] == total["connected_ever"]["count"] + total["never_connected"]["count"] == 8
    shown = ("online", "degraded", "offline", "unknown", "suspended", "shown_never_connected")
    assert sum(total[name]["count"] for name in shown) == 8
    assert total["online"] == {"count": 1, "share": 0.125}


async def test_a_status_query_knows_what_it_does_not_know(api: Api, database: Database) -> None:
    seeded = await seed_every_state(database)
    codes = [seeded.codes[2], "9" * 20, seeded.codes[2], seeded.codes[3], seeded.codes[7]]

    response = await api.client.post(
        "/api/v1/status/query", json={"codes": codes}, headers=api.headers("police_status")
    )
    items = (await response.json())["items"]

    assert [item["known"] for item in items] == [True, False, True, True]
    assert items[0]["status"]["shown"] == "offline"
    assert items[0]["status"]["since"] == "2026-11-19T23:00:00.000Z"
    assert items[1] == {"code": "9" * 20, "known": False, "status": None}
    assert (items[2]["status"]["shown"], items[2]["status"]["reasons"]) == ("unknown", ["restart_grace"])
    assert items[3]["status"]["shown"] == "never_connected"


@pytest.mark.parametrize(
    "codes", [[], ["1"], ["x" * 20], ["1" * 20] * 1001, ["١" * 20], "1" * 20, [12345678901234567890]]
)
async def test_a_wrong_status_query_is_refused_without_repeating_it(api: Api, codes: object) -> None:
    response = await api.client.post(
        "/api/v1/status/query", json={"codes": codes}, headers=api.headers("operator")
    )
    problem = await response.json()

    assert (response.status, problem["code"]) == (422, "invalid")
    assert response.content_type == "application/problem+json"
    assert problem["errors"][0]["pointer"].startswith("/codes")


async def test_reports_page_through_every_row(api: Api, database: Database) -> None:
    seeded = await seed_roll(database, count=5)

    first = await api.get("/api/v1/reports/never-connected?limit=3")
    second = await api.get(f"/api/v1/reports/never-connected?limit=3&cursor={first['next_cursor']}")

    found = [row["source_id"] for row in first["items"] + second["items"]]
    assert found == [*seeded.source_ids[::2], *seeded.source_ids[1::2]]
    assert second["next_cursor"] is None
    assert first["items"][0]["days_overdue"] == 19


async def test_a_csv_report_survives_a_spreadsheet(api: Api, database: Database) -> None:
    seeded = await seed_roll(database, count=2)
    async with database.raw_connection() as connection:
        await connection.execute("UPDATE source SET name = '=HYPERLINK(\"http://x\")'")

    response = await api.client.get(
        "/api/v1/reports/never-connected?format=csv", headers=api.headers("operator")
    )
    raw = await response.read()
    rows = list(csv.DictReader(io.StringIO(raw.decode("utf-8-sig"))))

    assert raw.startswith(b"\xef\xbb\xbf")
    assert [row["编码"] for row in rows] == [f"\t{code}" for code in seeded.codes]
    assert rows[0]["名称"].startswith("'=")
    assert rows[0]["逾期天数"] == "19"


async def test_an_xlsx_report_keeps_codes_as_text(api: Api, database: Database) -> None:
    seeded = await seed_roll(database, count=2)
    async with database.raw_connection() as connection:
        await connection.execute("UPDATE source SET name = '=1+1'")

    response = await api.client.get(
        "/api/v1/reports/never-connected?format=xlsx&lang=en", headers=api.headers("operator")
    )
    sheet = openpyxl.load_workbook(io.BytesIO(await response.read())).active

    assert sheet is not None
    rows = list(sheet.iter_rows(values_only=True))
    headings = list(rows[0])
    assert rows[1][headings.index("gb_id")] == seeded.codes[0]
    assert rows[1][headings.index("name")] == "=1+1"
    assert sheet.cell(2, headings.index("name") + 1).data_type == "s"
    assert rows[1][headings.index("days_overdue")] == 19


async def test_a_police_file_has_only_the_columns_of_its_answer(api: Api, database: Database) -> None:
    await seed_roll(database, count=2)

    response = await api.client.get(
        "/api/v1/reports/never-connected?format=csv&lang=en", headers=api.headers("police_status")
    )
    headings = (await response.text("utf-8-sig")).splitlines()[0].split(",")

    assert headings == [
        "unit", "site", "class", "district", "due_on", "basis", "days_overdue", "substate", "shown",
        "site_sources", "site_never_connected",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/api/v1/nowhere", 404, "not_found"),
        ("DELETE", "/api/v1/sites", 405, "method_not_allowed"),
        ("GET", "/api/v1/sites?limit=0", 422, "invalid"),
        ("GET", "/api/v1/sites?limit=1&limit=2", 422, "invalid"),
        ("GET", "/api/v1/sites?colour=red", 422, "invalid"),
        ("GET", "/api/v1/sites?cursor=bm90", 400, "cursor_invalid"),
        ("GET", "/api/v1/sites?region=3", 422, "invalid"),
        ("GET", "/api/v1/sources/0", 404, "not_found"),
        ("GET", "/api/v1/sources/99999999999999999999999", 404, "not_found"),
        ("GET", "/api/v1/sources/%00", 404, "not_found"),
        ("GET", "/api/v1/sources/-1/history", 404, "not_found"),
    ],
)
async def test_errors_are_problem_details(api: Api, method: str, path: str, status: int, code: str) -> None:
    response = await api.client.request(method, path, headers=api.headers("operator"))
    problem = await response.json(content_type="application/problem+json")

    assert (response.status, problem["status"], problem["code"]) == (status, status, code)
    assert problem["type"] == f"urn:muster:problem:{code}"
    assert problem["instance"] == path.split("?")[0].replace("%00", "\0")


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"\xff", "application/json", 400),
        (b"{}", "text/plain", 415),
        (b"x" * (1024 * 1024 + 1), "application/json", 413),
        (b"null", "application/json", 422),
    ],
)
async def test_a_body_that_cannot_be_read_is_refused(api: Api, body: bytes, kind: str, status: int) -> None:
    response = await api.client.post(
        "/api/v1/status/query",
        data=io.BytesIO(body),
        headers=api.headers("operator", **{"Content-Type": kind}),
    )

    assert response.status == status
    assert response.content_type == "application/problem+json"


async def test_titles_follow_the_callers_language(api: Api) -> None:
    zh = await api.client.get("/nowhere", headers={"Accept-Language": "zh-CN,zh;q=0.9"})
    en = await api.client.get("/nowhere", headers={"Accept-Language": "en-GB,en;q=0.9"})

    assert (await zh.json(content_type=None))["title"] == "不存在"
    assert (await en.json(content_type=None))["title"] == "There is no such thing"


@pytest.mark.parametrize("path", ["/healthz", "/nowhere", "/login", "/public/catalog", "/api/v1/sites"])
async def test_every_answer_carries_the_security_headers(api: Api, path: str) -> None:
    response = await api.client.get(path)

    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert "Access-Control-Allow-Origin" not in response.headers
    assert "Server" not in response.headers


async def test_every_call_is_recorded_before_it_is_answered(api: Api, database: Database) -> None:
    seeded = await seed_every_state(database)
    await api.client.get(
        f"/api/v1/sources/{seeded.codes[0]}/history",
        headers=api.headers("police_status", **{"X-Purpose": "%E6%A1%88%E4%BB%B6 7"}),
    )
    await api.client.get("/api/v1/sites", headers={"Authorization": f"Bearer muster_{'x' * 43}"})
    await api.client.get("/public/catalog")
    await api.client.get("/healthz")

    public, refused, police = await AccessLog(database).recent()

    assert (police.person, police.role, police.purpose) == (
        "测试 police_status",
        Role.POLICE_STATUS,
        "案件 7",
    )
    assert police.route == "/api/v1/sources/{source_id}/history"
    assert police.scope == f"source_id={seeded.codes[0]}"
    assert (refused.role, refused.status, refused.person) == (Role.PUBLIC, 401, None)
    assert (public.route, public.status) == ("/public/catalog", 200)


async def test_no_token_and_no_password_reaches_the_access_log(api: Api, database: Database) -> None:
    await api.client.put(
        "/api/v1/credentials/cam",
        json={"username": "admin", "password": "SECRET-PASSWORD-1"},
        headers=api.headers("operator"),
    )

    async with database.raw_connection() as connection:
        logged = await connection.fetchval("SELECT string_agg(l::text, ' ') FROM access_log l")
        stored = await connection.fetchval("SELECT password_encrypted FROM credential WHERE ref = 'cam'")

    assert "/api/v1/credentials/{ref}" in logged
    assert "SECRET-PASSWORD-1" not in logged
    assert stored.startswith("enc:v1:")
    assert not any(token[16:] in logged for token in api.tokens.values())


async def test_readiness_and_health_answer_anybody(api: Api) -> None:
    assert await api.get("/healthz", "public") == {"status": "ok"}
    assert await api.get("/readyz", "public") == {"ready": True, "missing": []}
    metrics = await api.client.get("/metrics", headers=api.headers("operator"))
    assert metrics.status == 200
    assert "muster_sources" in await metrics.text()


WHOLE = 9 * 86_400 + 12 * 3_600
"""Seconds from the 11th to the test's noon of the 20th."""


@pytest.mark.parametrize("role", ["operator", "police_status"])
async def test_rates_tell_every_formula_with_what_it_is_made_of(
    api: Api, database: Database, role: str
) -> None:
    await seed_every_state(database)

    response = await api.client.get(
        "/api/v1/reports/rates?first=2026-11-11&last=2026-11-30", headers=api.headers(role)
    )
    report = await response.json()
    [row] = report["items"]

    assert row == {**report["all"], "key": HERE}
    assert (report["until"], report["watermark"]) == ("2026-11-20T04:00:00.000Z",) * 2
    assert (row["required"], row["connected"], row["hidden"], row["online"], row["intact"]) == (8, 5, 2, 2, 1)
    assert row["bound_seconds"] == 8 * WHOLE
    assert row["excluded"]["planned_maintenance"] == 3_600
    assert row["excluded"]["restart_grace"] == 60
    assert sum(row["excluded"].values()) == 3_660
    assert row["counted_seconds"] == 8 * WHOLE - 3_660
    assert row["never_connected_seconds"] == 3 * WHOLE
    assert row["offline_seconds"] == 5 * 3_600
    assert row["online_seconds"] == 5 * WHOLE - 5 * 3_600 - 3_660
    assert row["intact_seconds"] == row["online_seconds"] - 2 * 86_400
    assert row["online_rate"] == round(row["online_seconds"] / row["counted_seconds"], 4)
    assert row["online_rate_of_connected"] == round(
        row["online_seconds"] / (row["counted_seconds"] - 3 * WHOLE), 4
    )
    assert (row["access_rate"], row["online_rate_by_count"], row["online_of_required"]) == (0.625, 0.4, 0.25)
    assert (row["coverage"], row["insufficient_data"]) == (1.0, False)


async def test_rates_come_by_site_and_source_and_as_files(api: Api, database: Database) -> None:
    seeded = await seed_every_state(database)
    path = "/api/v1/reports/rates?first=2026-11-11&last=2026-11-20&"

    sites = await api.get(f"{path}by=site")
    sources = await api.get(f"{path}by=source")
    file = await api.client.get(f"{path}by=source&format=csv&lang=en", headers=api.headers("operator"))
    book = await api.client.get(f"{path}by=class&format=xlsx", headers=api.headers("operator"))
    rows = list(csv.DictReader(io.StringIO((await file.read()).decode("utf-8-sig"))))
    sheet = openpyxl.load_workbook(io.BytesIO(await book.read())).active

    assert [item["name"] for item in sites["items"]] == ["示例公园 1", "示例公园 2"]
    assert [item["required"] for item in sites["items"]] == [4, 4]
    assert [item["key"] for item in sources["items"]] == sorted(seeded.codes)
    assert {row["key"]: row["offline_seconds"] for row in rows}[f"\t{seeded.codes[2]}"] == str(5 * 3_600)
    assert sheet is not None
    assert [cell.value for cell in sheet[2]][:3] == ["WX8_07", "", 8]


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("first=2026-11-20&last=2026-11-19", 422, "before the first"),
        ("first=2026-11-21&last=2026-11-22", 422, "has not begun"),
        ("first=yesterday&last=2026-11-22", 422, "first"),
        ("last=2026-11-20", 200, '"first":"2026-10-22"'),
        ("", 200, '"last":"2026-11-20"'),
        ("last=0001-01-05", 422, "no 30 days before"),
        ("first=2026-11-01&last=2026-11-02&by=colour", 422, "by"),
        ("first=2026-11-01&last=9999-12-31", 200, "items"),
    ],
)
async def test_a_period_that_cannot_be_reported_is_named(
    api: Api, query: str, status: int, words: str
) -> None:
    response = await api.client.get(f"/api/v1/reports/rates?{query}", headers=api.headers("operator"))

    assert response.status == status
    assert words in await response.text()


async def test_a_region_without_sources_has_no_rates_and_no_zero(api: Api, database: Database) -> None:
    await seed_roll(database)
    report = await api.get("/api/v1/reports/rates?first=2026-11-01&last=2026-11-20&region=61")

    assert (report["items"], report["all"]["required"], report["watermark"]) == ([], 0, None)
    assert report["all"]["online_rate"] is report["all"]["access_rate"] is report["all"]["coverage"] is None


async def test_cases_come_in_pages_and_those_that_ended_when_asked_for(api: Api, database: Database) -> None:
    await seed_roll(database, count=4)
    numbers = [await open_case(database, each, at=NOW) for each in await candidates(database, View(NOW))]
    first = await api.get("/api/v1/cases?limit=1")
    second = await api.get(f"/api/v1/cases?limit=1&cursor={first['next_cursor']}")
    await take_step(
        database, str(numbers[0]), CaseStep.WITHDRAW, at=NOW, person="Wang", detail={"text": "a mistake"}
    )
    going_on = await api.get("/api/v1/cases")
    every = await api.get("/api/v1/cases?ended=true")

    assert [item["number"] for item in first["items"] + second["items"]] == numbers[::-1]
    assert second["next_cursor"] is None
    assert [item["number"] for item in going_on["items"]] == [numbers[1]]
    assert [item["state"] for item in every["items"]] == ["candidate", "withdrawn"]


async def test_a_file_of_rates_holds_more_rows_than_a_page(api: Api, database: Database) -> None:
    await seed_roll(database, count=1_003)
    file = await api.client.get(
        "/api/v1/reports/rates?first=2026-11-19&by=source&format=csv", headers=api.headers("operator")
    )
    rows = (await file.read()).decode("utf-8-sig").splitlines()
    answer = await api.get("/api/v1/reports/rates?first=2026-11-19&by=source")

    assert len(rows) == len(set(rows)) == 1_004
    assert (len(answer["items"]), answer["is_cut"], answer["all"]["required"]) == (1_000, True, 1_003)


async def test_a_report_is_made_listed_given_and_told_anew(api: Api, database: Database) -> None:
    seeded = await seed_every_state(database)
    path = "/api/v1/reports/stored"
    asked = {"first": "2026-11-01", "last": "2026-11-20"}
    response = await api.client.post(path, json=asked, headers=api.headers("operator"))
    made = await response.json()
    one = f"{path}/{made['number']}"
    same = await api.client.post(f"{one}/revisions", json={"reason": "x"}, headers=api.headers("operator"))
    async with database.raw_connection() as connection:
        await connection.execute(
            "UPDATE duty SET withdrawn_on = '2026-02-01' WHERE site_id = $1", seeded.site_ids[0]
        )
    anew = await api.client.post(
        f"{one}/revisions", json={"reason": "entry in error"}, headers=api.headers("operator")
    )
    listed = await api.get(path)
    texts = {
        role: await (await api.client.get(f"{one}?revision=1", headers=api.headers(role))).text()
        for role in ("operator", "police_status")
    }
    last = await api.get(one)

    assert (response.status, made["revision"], made["reason"]) == (201, 1, None)
    assert (same.status, anew.status) == (409, 201)
    assert "says what revision 1 says" in (await same.json())["detail"]
    assert [(item["revision"], item["reason"]) for item in listed["items"]] == [
        (2, "entry in error"),
        (1, None),
    ]
    assert texts["operator"] == texts["police_status"]
    assert verify(texts["operator"].encode()).document["number"] == made["number"]
    assert last["document"]["supersedes"] == made["content_sha256"]
    assert last["document"]["content"]["all"]["required"] == 4
    log = await AccessLog(database).recent(1)
    assert log[0].scope == f"number={made['number']}"


async def test_a_report_of_one_unit_tells_it_alone_and_a_unit_that_is_not_there_is_refused(
    api: Api, database: Database
) -> None:
    await seed_every_state(database)
    await seed_roll(database, count=2, district="320298")
    path, unit = "/api/v1/reports/stored", "示例单位 320298"
    headers = api.headers("operator")
    made = await (
        await api.client.post(path, json={"unit": unit, "place_class": "WX8_07"}, headers=headers)
    ).json()
    document = (await api.get(f"{path}/{made['number']}"))["document"]
    lists = [
        (await api.get(f"/api/v1/reports/{name}?unit={unit}"))["items"]
        for name in ("never-connected", "offline")
    ]
    rates = await api.get(f"/api/v1/reports/rates?unit={unit}&by=unit")
    refused = [
        await api.client.get(f"/api/v1/reports/{asked}", headers=headers)
        for asked in ("offline?unit=x", "never-connected?place_class=x", "rates?edition=x", "rates?unit=x")
    ]
    unmade = await api.client.post(path, json={"edition": "x"}, headers=headers)

    assert (made["unit"], made["place_class"], made["edition"]) == (unit, "WX8_07", None)
    assert (document["scope"]["unit"], document["scope"]["class"]) == (unit, "WX8_07")
    assert [row["key"] for row in document["content"]["rates"]["unit"]] == [unit]
    assert document["content"]["all"]["required"] == 2
    assert [len(rows) for rows in lists] == [2, 0]
    assert [row["key"] for row in rates["items"]] == [unit]
    assert [response.status for response in (*refused, unmade)] == [422] * 5
    assert "there is no unit 'x'" in (await refused[0].json())["detail"]
    assert "there is no edition 'x'" in (await unmade.json())["detail"]


async def test_a_report_by_site_waits_for_its_days_and_leaves_today_out(api: Api, database: Database) -> None:
    seeded = await seed_every_state(database)
    path, asked = "/api/v1/reports/stored", {"first": "2026-11-18", "last": "2026-11-20", "told_by": "site"}
    early = await api.client.post(path, json=asked, headers=api.headers("operator"))
    today = await api.client.post(path, json=asked | {"first": "2026-11-20"}, headers=api.headers("operator"))
    closing = DayClosing(database, counting_rules(CONFIG), timedelta(seconds=60))
    for day in (date(2026, 11, 18), date(2026, 11, 19)):
        await closing.close(day, now=NOW)
    made = await (await api.client.post(path, json=asked, headers=api.headers("operator"))).json()
    document = (await api.get(f"{path}/{made['number']}"))["document"]
    again = f"{path}/{made['number']}/revisions"
    same = await api.client.post(again, json={"reason": "x"}, headers=api.headers("operator"))

    assert (early.status, today.status) == (422, 422)
    assert "is closed: `muster report days`" in (await early.json())["detail"]
    assert "2026-11-20 is not" in (await today.json())["detail"]
    assert (made["told_by"], made["last"], made["until"]) == (
        "site",
        "2026-11-19",
        "2026-11-19T16:00:00.000Z",
    )
    assert document["scope"]["told_by"] == "site"
    never = list(lines_of(document["content"]["never_connected"]))
    assert not any("source" in line for line in never)
    assert len(never) == len({line["site"] for line in never}) == len(seeded.site_ids)
    assert sum(line["site_never_connected"] for line in never) == 3
    assert same.status == 409


@pytest.mark.parametrize(("form", "begins"), [("pdf", b"%PDF-"), ("xlsx", b"PK")])
async def test_a_stored_report_comes_as_a_file_for_people(
    api: Api, database: Database, form: str, begins: bytes
) -> None:
    await seed_every_state(database)
    path = "/api/v1/reports/stored"
    made = await (await api.client.post(path, json={}, headers=api.headers("operator"))).json()
    file = await api.client.get(
        f"{path}/{made['number']}?format={form}", headers=api.headers("police_status")
    )

    assert file.status == 200
    assert (await file.read()).startswith(begins)
    assert file.headers["Content-Disposition"] == f'attachment; filename="{made["number"]}-1.{form}"'


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"first": "2026-11-21", "last": "2026-11-22"}, 422),
        ({"first": "2026-11-20", "last": "2026-11-01"}, 422),
        ({"last": "soon"}, 422),
        ({"last": "0001-01-01"}, 422),
        ({"region": "3"}, 422),
        ({"number": "1"}, 422),
    ],
)
async def test_a_report_of_no_period_is_not_made(
    api: Api, database: Database, body: dict[str, str], status: int
) -> None:
    await seed_roll(database, count=1)
    response = await api.client.post("/api/v1/reports/stored", json=body, headers=api.headers("operator"))

    assert response.status == status
    assert (await api.get("/api/v1/reports/stored"))["items"] == []
