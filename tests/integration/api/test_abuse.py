"""What a caller may not do: flood the record, reach for another region's credential, leave a secret on record."""

import asyncio
from typing import Any

import pytest

from catalog.access import AccessLog
from catalog.database import Database
from gateway.api.export import NEVER_CONNECTED, Sheet, write_file
from gateway.api.schemas import NeverConnectedAnswer
from tests.api_peer import Api
from tests.seed import ELSEWHERE, seed_roll
from tests.waiting import eventually

pytestmark = pytest.mark.postgres

FLOOD = 80


@pytest.mark.parametrize("header", ["x", "Bearer x", "Basic eDp5", "Bearer muster_" + "a" * 43])
@pytest.mark.parametrize("path", ["/api/v1/sites", "/login", "/nowhere", "/public/catalog", "/"])
async def test_a_header_that_is_no_token_does_not_lift_the_limit(
    api: Api, database: Database, header: str, path: str
) -> None:
    statuses = [
        (await api.client.get(path, headers={"Authorization": header}, allow_redirects=False)).status
        for _ in range(FLOOD)
    ]

    assert statuses[-1] == 429
    assert len(await AccessLog(database).recent(1000)) <= 31


async def test_an_operator_of_a_region_lays_no_credential_on_an_address(api: Api, database: Database) -> None:
    seeded = await seed_roll(database, count=1, district=ELSEWHERE)
    path = f"/api/v1/sources/{seeded.source_ids[0]}"
    headers = api.headers("foreign_operator")
    endpoint = {"host": "10.9.9.9", "port": 554}

    async def edit(body: Any) -> tuple[int, str]:
        response = await api.client.patch(path, json=body, headers=headers)
        return response.status, (await response.json()).get("code", "")

    named = {**endpoint, "credential_ref": "CANARY-REF-8897-320299"}
    assert await edit({"add_endpoint": named}) == (403, "region_forbidden")
    known = {"endpoint_id": 1, "credential_ref": "CANARY-REF-8897-320299"}
    assert await edit({"endpoint_credential": known}) == (403, "region_forbidden")
    assert await edit({"add_endpoint": endpoint}) == (200, "")


async def test_a_parameter_nobody_knows_is_not_put_on_record(api: Api, database: Database) -> None:
    token = api.tokens["operator"]
    await api.client.post("/login", data={"token": token}, allow_redirects=False)
    for path in ("/", "/sources", "/never-connected"):
        await api.client.get(f"{path}?token={token}&state=offline")

    entries = await AccessLog(database).recent(100)
    assert not any(token in entry.scope for entry in entries)
    assert any(entry.scope == "state=offline" for entry in entries)


async def test_two_rolls_at_once_and_no_third(api: Api) -> None:
    headers = api.headers("operator", **{"Content-Type": "text/csv"})
    release = asyncio.Event()

    async def slowly() -> Any:
        yield b"unit"
        await release.wait()

    async def send(body: Any) -> int:
        async with api.client.post("/api/v1/rolls", data=body, headers=headers) as response:
            return response.status

    async with asyncio.TaskGroup() as group:
        slow = [group.create_task(send(slowly()), name="roll") for _ in range(2)]
        await eventually(lambda: api.services.large_bodies.running == 2, what="two rolls on their way")
        assert await send(b"unit") == 429
        release.set()

    assert [task.result() for task in slow] == [422, 422]
    assert await send(b"unit") == 422


async def test_a_caller_who_leaves_leaves_no_rows_behind(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    sheet = Sheet("never-connected", NEVER_CONNECTED, NeverConnectedAnswer, "en")

    async def broken(_cursor: str | None, _limit: int) -> Any:
        raise ConnectionResetError

    with (tmp_path / "out").open("wb") as file, pytest.raises(ConnectionResetError):
        await write_file(file, sheet, "xlsx", broken)

    assert [path.name for path in tmp_path.iterdir()] == ["out"]
