"""Who may call what: generated from the operations themselves, so that no route can be forgotten."""

import json
from typing import Any

import pytest

from catalog.access import Role
from catalog.database import Database
from gateway.api.app import OPERATIONS
from gateway.api.registry import Operation
from tests.api_peer import Api
from tests.seed import CANARIES, ELSEWHERE, seed_every_state, seed_roll

pytestmark = pytest.mark.postgres

ROLES = ("public", "police_status", "operator")

BODIES: dict[str, Any] = {
    "query_status": {"codes": ["32029900001320000001"]},
    "accept_sighting": {"source_id": 1},
    "refuse_sighting": {"reason": "no"},
    "authorise_network": {
        "cidr": "10.0.0.0/24",
        "document": "d",
        "approver": "a",
        "expires_at": "2030-01-01T00:00:00Z",
    },
    "start_run": {"cidr": "10.0.0.0/24"},
    "set_credential": {"username": "u", "password": "p"},
    "start_relay": {"source_id": 1},
    "add_sink": {"name": "s", "host": "127.0.0.1", "port": 554},
    "enable_sink": {"enabled": True},
    "create_token": {"person": "p", "role": "operator"},
    "reject_edition": {"reason": "no"},
    "remake_report": {"reason": "no"},
    "add_gb_device": {"device_id": "34020000001180000001", "password": "Example-Pass-1"},
    "change_gb_device": {"name": "n"},
    "refuse_gb_device": {"device_id": "34020000001180000001"},
    "request_suspension": {
        "reason": "force_majeure",
        "starts_at": "2030-01-01T00:00:00Z",
        "ends_at": "2030-01-02T00:00:00Z",
        "document": "d",
        "source_id": 1,
    },
    "begin_case": {"site_id": 1},
    "dispute_status": {"first": "2026-11-01", "last": "2026-11-02", "raised_by": "u", "text": "t"},
    "answer_objection": {"upheld": True, "text": "t"},
    "attest_fact": {"fact": "sign_posted", "value": "yes", "document": "d"},
    "carry_case_on": {"step": "withdraw", "detail": {"text": "no"}},
    "act_on_suspension": {"act": "withdraw", "text": "no"},
}
MATRIX = [operation for operation in OPERATIONS if operation.operation_id != "stream_events"]
"""The stream never ends by itself and has tests of its own."""


def expected(operation: Operation, role: str) -> set[int]:
    """Return which refusals a role must get; an empty set where it is let in."""
    if Role(role) in operation.answers or Role.PUBLIC in operation.answers:
        return set()
    return {401} if role == "public" else {403}


async def call(api: Api, operation: Operation, role: str) -> tuple[int, str]:
    path = operation.path
    for name, value in {
        "source_id": "1",
        "system_id": "999",
        "dispute_id": "999",
        "suspension_id": "1",
        "sighting_id": "1",
        "network_id": "1",
        "run_id": "1",
        "ref": "ref",
        "number": "R0001",
        "proposal_id": "999",
        "device_id": "34020000001180000001",
        "name": "name",
        "token_id": "999",
    }.items():
        path = path.replace("{" + name + "}", value)
    body = json.dumps(BODIES.get(operation.operation_id, {})) if operation.method != "GET" else None
    kind = "text/csv" if operation.body_types else "application/json"
    response = await api.client.request(
        operation.method, path, data=body, headers=api.headers(role, **{"Content-Type": kind})
    )
    return response.status, await response.text()


@pytest.mark.parametrize("role", ROLES)
async def test_each_role_gets_exactly_what_is_declared(api: Api, role: str) -> None:
    found = {operation.operation_id: await called(api, operation, role) for operation in MATRIX}

    wrong = {
        operation.operation_id: found[operation.operation_id]
        for operation in MATRIX
        if not fits(found[operation.operation_id], refusals=expected(operation, role))
    }
    assert wrong == {}


async def called(api: Api, operation: Operation, role: str) -> tuple[int, str]:
    api.clock.seconds += 1
    status, text = await call(api, operation, role)
    return status, text if status in (401, 403, 405, 500) else ""


def fits(found: tuple[int, str], *, refusals: set[int]) -> bool:
    status, text = found
    if refusals:
        return status in refusals and json.loads(text)["code"] in ("unauthenticated", "forbidden")
    return status not in (401, 403, 405, 429, 500)


def test_every_operation_says_how_a_region_limits_it() -> None:
    assert all(operation.region_rule for operation in OPERATIONS)


async def test_no_confidential_field_reaches_the_police_or_the_public(api: Api, database: Database) -> None:
    seeded = await seed_every_state(database)
    await seed_roll(database, count=2, district=ELSEWHERE)
    answers: list[str] = []

    for operation in OPERATIONS:
        for role in ("public", "police_status"):
            if Role(role) in operation.answers and operation.operation_id != "stream_events":
                answers.append((await call(api, operation, role))[1])
    for report in ("never-connected", "offline"):
        for form in ("json", "csv"):
            response = await api.client.get(
                f"/api/v1/reports/{report}?format={form}", headers=api.headers("police_status")
            )
            assert response.status == 200
            answers.append(await response.text())
    history = await api.client.get(
        f"/api/v1/sources/{seeded.codes[2]}/history", headers=api.headers("police_status")
    )
    asked = await api.client.post(
        "/api/v1/status/query", json={"codes": list(seeded.codes)}, headers=api.headers("police_status")
    )
    answers += [await history.text(), await asked.text()]

    assert history.status == asked.status == 200
    leaked = [name for name, canary in CANARIES.items() for answer in answers if canary in answer]
    assert leaked == []


async def test_no_answer_to_an_operator_holds_a_secret(api: Api, database: Database) -> None:
    seeded = await seed_every_state(database)

    answers = [
        await (await api.client.get(path, headers=api.headers("operator"))).text()
        for path in (
            "/api/v1/sources",
            f"/api/v1/sources/{seeded.source_ids[0]}",
            "/api/v1/tokens",
            "/api/v1/sinks",
            "/api/v1/reports/never-connected",
        )
    ]

    assert CANARIES["address"] in answers[0]
    assert not any(CANARIES["password"] in answer for answer in answers)
    assert not any(token[16:] in answer for token in api.tokens.values() for answer in answers)


async def test_another_regions_operator_sees_nothing_of_ours(api: Api, database: Database) -> None:
    seeded = await seed_every_state(database)

    sources = await api.get("/api/v1/sources", "foreign_operator")
    one = await api.client.get(
        f"/api/v1/sources/{seeded.source_ids[0]}", headers=api.headers("foreign_operator")
    )
    region = await api.client.get("/api/v1/sources?region=32", headers=api.headers("foreign_operator"))
    summary = await api.get("/api/v1/reports/summary", "foreign_operator")
    whole = await api.client.get("/api/v1/tokens", headers=api.headers("foreign_operator"))
    retire = await api.client.post(
        f"/api/v1/sources/{seeded.source_ids[0]}/retire", headers=api.headers("foreign_operator")
    )
    metrics = await api.client.get("/metrics", headers=api.headers("foreign_operator"))

    assert sources["items"] == []
    assert one.status == retire.status == 404
    assert region.status == whole.status == metrics.status == 403
    assert summary["total"]["required"] == 0
    assert summary["total"]["online"]["share"] is None


async def test_the_police_must_say_what_for(api: Api) -> None:
    headers = {"Authorization": f"Bearer {api.tokens['police_status']}"}
    codes = {"codes": ["32029900001320000001"]}

    silent = await api.client.post("/api/v1/status/query", json=codes, headers=headers)
    said = await api.client.post(
        "/api/v1/status/query", json={**codes, "purpose": "案件 12"}, headers=headers
    )

    assert (silent.status, (await silent.json())["code"]) == (403, "purpose_missing")
    assert said.status == 200


async def test_the_police_ask_for_a_history_by_code_only(api: Api, database: Database) -> None:
    seeded = await seed_every_state(database)

    by_code = await api.get(f"/api/v1/sources/{seeded.codes[2]}/history", "police_status")
    by_number = await api.client.get(
        f"/api/v1/sources/{seeded.source_ids[2]}/history", headers=api.headers("police_status")
    )

    assert [row["state"] for row in by_code["items"]] == ["offline", "online", "never_connected"]
    assert by_number.status == 404


@pytest.mark.parametrize("header", ["Bearer", "Basic abc", "Bearer muster_wrong", "Bearer " + "x" * 5000])
async def test_a_wrong_token_is_refused_and_never_repeated(api: Api, header: str) -> None:
    response = await api.client.get("/api/v1/sites", headers={"Authorization": header})

    assert response.status == 401
    assert response.headers["WWW-Authenticate"].startswith("Bearer")
    assert "wrong" not in await response.text()


async def test_guessing_tokens_is_slowed_down(api: Api) -> None:
    wrong = {"Authorization": f"Bearer muster_{'x' * 43}"}

    statuses = [(await api.client.get("/api/v1/sites", headers=wrong)).status for _ in range(21)]
    await api.services.authentication.refresh()
    beside = await api.client.get("/api/v1/sites", headers=api.headers("operator"))
    last = await api.client.get("/api/v1/sites", headers=wrong)
    api.clock.seconds += 61
    later = await api.client.get("/api/v1/sites", headers=api.headers("operator"))

    assert statuses == [401] * 20 + [429]
    assert int(last.headers["Retry-After"]) >= 1
    assert beside.status == later.status == 200


async def test_an_anonymous_address_is_slowed_down_and_its_refusals_fill_no_log(
    api: Api, database: Database
) -> None:
    statuses = [(await api.client.get("/nowhere")).status for _ in range(40)]

    async with database.raw_connection() as connection:
        rows = await connection.fetchval("SELECT count(*) FROM access_log")
    assert statuses == [404] * 30 + [429] * 10
    assert rows == 30


async def test_a_token_is_limited_to_its_rate(api: Api) -> None:
    statuses = [
        (await api.client.get("/api/v1/relays", headers=api.headers("operator"))).status for _ in range(101)
    ]

    assert statuses == [200] * 100 + [429]
