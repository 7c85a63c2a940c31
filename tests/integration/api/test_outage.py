"""While the database is away: reads are stale and say so, writes wait, nothing is an error of ours."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import asyncpg
import pytest

from catalog.access import AccessEntry, AccessLog, Role
from catalog.database import Database
from catalog.model.connectivity import State
from catalog.model.display import Displayed, UnknownReason
from gateway.api import access_recorder
from gateway.api.app import warm_once
from gateway.status_view import StatusView
from tests.api_peer import Api, served
from tests.seed import HERE, NOW, seed_every_state

pytestmark = pytest.mark.postgres


class WatchedDatabase(Database):
    """A database that remembers which lists it was asked for."""

    def __init__(self, url: str) -> None:
        super().__init__(url, command_timeout=2)
        self.asked: list[str] = []

    async def fetch(self, name: str, *args: object, within: float | None = None) -> list[asyncpg.Record]:
        self.asked.append(name)
        return await super().fetch(name, *args, within=within)


@dataclass
class Outage:
    """A served API whose database can be taken away and brought back."""

    api: Api
    database: WatchedDatabase
    codes: tuple[str, ...]

    async def begin(self) -> None:
        await self.database.__aexit__(None, None, None)

    async def end(self) -> None:
        await self.database.__aenter__()
        self.api.clock.seconds += 10


@pytest.fixture
async def outage(database_url: str) -> AsyncIterator[Outage]:
    async with WatchedDatabase(database_url) as database:
        seeded = await seed_every_state(database)
        async with served(database) as api:
            await warm_once(api.client.app)
            yield Outage(api, database, seeded.codes)


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/sites",
        "/api/v1/sources",
        "/api/v1/sightings",
        "/api/v1/reports/never-connected",
        "/api/v1/reports/offline",
        "/api/v1/reports/summary",
    ],
)
async def test_first_pages_are_answered_stale(outage: Outage, path: str) -> None:
    fresh = await outage.api.get(path)
    await outage.begin()

    stale = await outage.api.get(path)

    assert (fresh["stale"], stale["stale"]) == (False, True)
    assert stale == {**fresh, "stale": True}


async def test_what_nobody_asked_before_waits(outage: Outage) -> None:
    await outage.begin()

    response = await outage.api.client.get("/api/v1/sites?limit=7", headers=outage.api.headers("operator"))

    assert (response.status, (await response.json(content_type=None))["code"]) == (503, "database_away")
    assert int(response.headers["Retry-After"]) >= 1


async def test_writes_wait_and_are_never_half_done(outage: Outage) -> None:
    await outage.begin()

    response = await outage.api.client.post(
        "/api/v1/tokens", json={"person": "x", "role": "operator"}, headers=outage.api.headers("operator")
    )

    assert response.status == 503


async def test_a_status_query_answers_from_memory(outage: Outage) -> None:
    code = outage.codes[0]
    outage.api.board.by_code[code] = StatusView(
        source_id=1,
        district=HERE,
        gb_id=code,
        displayed=Displayed.UNKNOWN,
        state=State.ONLINE,
        since=NOW,
        reasons=(),
        unknown=UnknownReason.OWN_NETWORK_DOWN,
        unknown_since=NOW,
        first_connected_at=NOW,
        last_positive_at=NOW,
        flapping=False,
        obstacle=None,
    )
    await outage.begin()

    response = await outage.api.client.post(
        "/api/v1/status/query",
        json={"codes": [code, "9" * 20]},
        headers=outage.api.headers("police_status"),
    )
    answer = await response.json()

    assert answer["stale"]
    assert answer["items"][0]["status"]["reasons"] == ["own_network_down"]
    assert not answer["items"][1]["known"]


async def test_calls_of_the_outage_are_recorded_when_the_database_is_back(outage: Outage) -> None:
    await outage.begin()
    await outage.api.get("/api/v1/reports/offline", "police_status")
    ready = await outage.api.client.get("/readyz")
    await outage.end()
    await outage.api.get("/api/v1/sites")

    newest, before = await AccessLog(outage.database).recent(2)

    assert (newest.route, before.route) == ("/api/v1/sites", "/api/v1/reports/offline")
    assert before.purpose == "test"
    assert ready.status == 503


async def test_when_calls_can_no_longer_be_recorded_they_are_refused(
    outage: Outage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(access_recorder, "ROOM", 2)
    await outage.begin()

    statuses = [
        (
            await outage.api.client.get("/api/v1/reports/offline", headers=outage.api.headers("operator"))
        ).status
        for _ in range(3)
    ]
    await outage.end()
    await outage.api.services.recorder.flush()
    after = await outage.api.client.get("/api/v1/reports/offline", headers=outage.api.headers("operator"))

    assert statuses == [200, 200, 503]
    assert "calls are refused" in caplog.text
    assert "hit a bug" not in caplog.text
    assert after.status == 200


async def test_the_public_catalog_shows_what_it_showed_last(outage: Outage) -> None:
    await outage.begin()

    response = await outage.api.client.get("/public/catalog?format=json")

    assert response.status == 200
    assert "Stale" in response.headers["Warning"]


async def test_an_unknown_token_cannot_be_judged_right_during_an_outage(outage: Outage) -> None:
    await outage.begin()

    response = await outage.api.client.get(
        "/api/v1/sites", headers={"Authorization": f"Bearer muster_{'y' * 43}"}
    )

    assert response.status == 401


async def test_one_commit_serves_all_calls_that_wait(database: Database) -> None:
    async with served(database) as api:
        entry = AccessEntry(
            at=NOW, role=Role.OPERATOR, client="c", method="GET", route="/r", scope="", status=200
        )
        async with asyncio.TaskGroup() as group:
            for _ in range(300):
                group.create_task(api.services.recorder.record(entry))

        assert len(await AccessLog(database).recent(1000)) == 300
        assert api.services.recorder.waiting == 0


async def test_a_database_that_hangs_costs_its_timeout_once(outage: Outage) -> None:
    await outage.begin()
    outage.database.asked.clear()

    answers = [await outage.api.get("/api/v1/reports/offline") for _ in range(5)]
    outage.api.clock.seconds += 3
    await outage.api.get("/api/v1/reports/offline")

    assert all(answer["stale"] for answer in answers)
    assert outage.database.asked == ["report_offline", "report_offline"]
