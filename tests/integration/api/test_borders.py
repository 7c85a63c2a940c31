"""No route lets an operator of one region look into another, and no form of the page works without its token."""

import json

import pytest
from aiohttp.test_utils import TestServer

from catalog.database import Database
from catalog.report_document import lines_of
from gateway.api.app import OPERATIONS
from gateway.console.forms import VERBS
from gateway.console.pages import PAGES
from tests.api_peer import Api
from tests.integration.api.test_rights import MATRIX, call
from tests.seed import CANARIES, ELSEWHERE, HERE, seed_every_state, seed_roll

pytestmark = pytest.mark.postgres

PATH = "/api/v1/reports/stored"
DUMP = "SELECT string_agg(t::text, E'\\n' ORDER BY t::text) FROM {} t"
CHANGEABLE = (
    "source",
    "endpoint",
    "credential",
    "sighting",
    "network",
    "discovery_run",
    "sink",
    "edition",
    "duty",
)


async def state(database: Database) -> list[str]:
    """Return all that operations can change, row by row."""
    async with database.raw_connection() as connection:
        return [str(await connection.fetchval(DUMP.format(table))) for table in CHANGEABLE]


async def sight(database: Database) -> None:
    """Write a sighting matched with a source of ours, and one that nobody knows."""
    async with database.raw_connection() as connection:
        await connection.execute(
            "INSERT INTO sighting (protocol, host, port, server, first_seen_at, last_seen_at, state, source_id, "
            "match_rule, match_reason) SELECT 'rtsp', '198.51.100.77', 554, 'S', now(), now(), "
            "'awaiting_confirmation', min(source_id), 'address', 'x / x' FROM source"
        )
        await connection.execute(
            "INSERT INTO sighting (protocol, host, port, server, first_seen_at, last_seen_at, state) "
            "VALUES ('rtsp', '198.51.100.77', 555, 'S', now(), now(), 'quarantined')"
        )


async def test_no_operation_crosses_the_border_of_a_region(api: Api, database: Database) -> None:
    seeded = await seed_every_state(database)
    await seed_roll(database, count=2, district=ELSEWHERE)
    await sight(database)
    before = await state(database)
    words = [HERE, *seeded.codes, "198.51.100.77", f"{CANARIES['credential']}-{HERE}"]
    found: list[tuple[str, str]] = []

    for operation in MATRIX:
        api.clock.seconds += 1
        status, text = await call(api, operation, "foreign_operator")
        # A status query repeats the codes it was asked for, as unknown ones.
        if not operation.path.startswith("/public") and operation.operation_id != "query_status":
            found += [(operation.operation_id, word) for word in words if word in text]
        if operation.method != "GET" and operation.operation_id not in ("query_status", "make_report"):
            assert status in (403, 404, 415, 422), (operation.operation_id, status, text)
    for code in seeded.codes:
        for path in (f"/api/v1/sources/{code}", f"/api/v1/sources/{code}/history"):
            response = await api.client.get(path, headers=api.headers("foreign_operator"))
            assert response.status == 404
    asked = await api.client.post(
        "/api/v1/status/query", json={"codes": list(seeded.codes)}, headers=api.headers("foreign_operator")
    )
    assert [row["known"] for row in (await asked.json())["items"]] == [False] * len(seeded.codes)

    assert found == []
    assert await state(database) == before


async def test_a_report_of_a_region_tells_of_nothing_else_and_is_seen_there_alone(
    api: Api, database: Database
) -> None:
    seeded = await seed_every_state(database)
    await seed_roll(database, count=2, district=ELSEWHERE)
    whole = await made(api, "operator")
    own = await made(api, "foreign_operator", region="")
    refused = await api.client.post(PATH, json={"region": HERE}, headers=api.headers("foreign_operator"))
    listed = await (await api.client.get(PATH, headers=api.headers("foreign_operator"))).json()
    document = await api.client.get(f"{PATH}/{own}", headers=api.headers("foreign_operator"))
    foreign = await api.client.get(f"{PATH}/{whole}", headers=api.headers("foreign_operator"))
    again = await api.client.post(
        f"{PATH}/{whole}/revisions", json={"reason": "x"}, headers=api.headers("foreign_operator")
    )
    content = (await document.json())["document"]["content"]
    await api.client.post("/login", data={"token": api.tokens["foreign_operator"]})
    sent = [(await api.client.get(f"/reports/{number}.json")).status for number in (own, whole)]

    assert [item["number"] for item in listed["items"]] == [own]
    assert sent == [200, 404]
    assert [refused.status, document.status, foreign.status, again.status] == [403, 200, 404, 404]
    never = list(lines_of(content["never_connected"]))
    assert (content["all"]["required"], {line["district"] for line in never}) == (2, {ELSEWHERE})
    assert not {line["source"] for line in never} & set(seeded.source_ids)


async def made(api: Api, role: str, region: str = "") -> str:
    response = await api.client.post(PATH, json={"region": region}, headers=api.headers(role))
    assert response.status == 201, await response.text()
    return str((await response.json())["number"])


async def test_no_page_crosses_the_border_of_a_region(api: Api, database: Database) -> None:
    seeded = await seed_every_state(database)
    await seed_roll(database, count=2, district=ELSEWHERE)
    await sight(database)
    await api.client.post("/login", data={"token": api.tokens["foreign_operator"]})
    paths = [page.path.replace("{source_id}", str(seeded.source_ids[0])) for page in PAGES]
    paths += [f"/sources/{seeded.source_ids[0]}/evidence.{form}" for form in ("html", "json")]
    paths += [f"/export/{name}.{form}" for name in ("offline", "never-connected") for form in ("csv", "xlsx")]

    texts = {path: await (await api.client.get(path)).read() for path in paths}

    words = (HERE, seeded.codes[0], "198.51.100.77")
    # The name of the whole jurisdiction heads every page; its code does not.
    assert [(path, word) for path, text in texts.items() for word in words if word.encode() in text] == []


async def test_every_form_of_the_page_needs_its_token_and_its_own_origin(
    api: Api, database: Database
) -> None:
    await seed_roll(database, count=1)
    server = api.client.server
    assert isinstance(server, TestServer)
    posts = sorted(
        route.resource.canonical
        for route in server.app.router.routes()
        if route.method == "POST" and route.resource is not None
    )
    by_token = {operation.path for operation in OPERATIONS}
    forms = [path for path in posts if path not in by_token]
    # WHEP alone takes no form: it has a bearer of its own, which no other site can make a browser send.
    assert forms == [
        "/act/{verb}",
        "/api/v1/sources/{source_id}/whep",
        "/console/looks/{source_id}",
        "/console/ptz/{source_id}",
        "/login",
        "/logout",
    ]
    evil = {"Origin": "https://evil.example"}
    assert (
        await api.client.post("/login", data={"token": api.tokens["operator"]}, headers=evil)
    ).status == 403
    await api.client.post("/login", data={"token": api.tokens["operator"]})
    before = await state(database)

    by_script = ["/console/looks/1", "/console/ptz/1"]
    for path in [*(f"/act/{verb}" for verb in VERBS), *by_script, "/logout"]:
        for data, headers in (({}, {}), ({"csrf": "x"}, {}), ({}, evil), ({}, {"Origin": "null"})):
            api.clock.seconds += 1
            response = await api.client.post(path, data={**data, "x": "y"}, headers=headers)
            assert (response.status, (await response.json())["code"]) == (403, "csrf"), (path, data)

    assert await state(database) == before
    assert (await api.client.get("/")).status == 200


async def test_a_login_never_takes_over_an_id_that_was_there_before(api: Api) -> None:
    login = {"token": api.tokens["operator"]}
    fixed = {"Cookie": "muster=chosen-by-somebody-else"}
    first = await api.client.post("/login", data=login, headers=fixed, allow_redirects=False)
    second = await api.client.post("/login", data=login, allow_redirects=False)

    ids = {response.cookies["muster"].value for response in (first, second)}
    assert len(ids) == 2
    assert "chosen-by-somebody-else" not in ids


async def test_bearer_tokens_open_no_page_and_cookies_no_operation(api: Api) -> None:
    page = await api.client.get("/", headers=api.headers("operator"), allow_redirects=False)
    await api.client.post("/login", data={"token": api.tokens["operator"]})
    operation = await api.client.get("/api/v1/sites")

    assert (page.status, operation.status) == (302, 401)
    assert json.loads(await operation.text())["code"] == "unauthenticated"
