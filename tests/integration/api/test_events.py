import asyncio
from datetime import timedelta
from typing import Any

import pytest

from catalog.database import Database
from catalog.model.connectivity import State
from catalog.model.display import Displayed
from gateway.api import event_stream
from gateway.status_feed import LISTENER_QUEUE, StatusEvent
from tests.api_peer import Api
from tests.seed import ELSEWHERE, HERE, NOW, add_evidence, seed_every_state
from tests.waiting import eventually

pytestmark = pytest.mark.postgres


def event(seq: int, district: str = HERE) -> StatusEvent:
    return StatusEvent(
        seq=seq,
        source_id=1,
        gb_id="32029900001320000001",
        district=district,
        kind="lost",
        displayed=Displayed.OFFLINE,
        state=State.OFFLINE,
        since=NOW,
        at=NOW,
        reason="unreachable",
    )


async def lines_until(response: Any, text: str) -> list[str]:
    """Read lines until one holds `text`."""
    lines: list[str] = []
    async with asyncio.timeout(10):
        while not lines or text not in lines[-1]:
            lines.append((await response.content.readline()).decode().rstrip("\n"))
    return lines


async def test_a_committed_change_reaches_its_reader(api: Api) -> None:
    async with api.client.get("/api/v1/events", headers=api.headers("operator")) as response:
        await eventually(lambda: api.board.feed.listeners == 1, what="the reader listens")
        api.board.feed.publish(event(7))
        lines = await lines_until(response, "data:")

    assert response.content_type == "text/event-stream"
    assert "id: 7" in lines
    assert '"shown": "offline"' in lines[-1]
    assert '"reason": "unreachable"' in lines[-1]
    await eventually(lambda: api.board.feed.listeners == 0, what="the reader left")


async def test_a_reader_sees_its_region_alone(api: Api) -> None:
    async with api.client.get("/api/v1/events", headers=api.headers("foreign_operator")) as response:
        await eventually(lambda: api.board.feed.listeners == 1, what="the reader listens")
        api.board.feed.publish(event(7, HERE))
        api.board.feed.publish(event(8, ELSEWHERE))
        lines = await lines_until(response, "data:")

    assert "id: 8" in lines
    assert "id: 7" not in lines


async def test_a_reader_that_comes_back_gets_what_it_missed_from_memory(api: Api) -> None:
    for seq in (5, 6, 7):
        api.board.feed.publish(event(seq))

    async with api.client.get(
        "/api/v1/events", headers=api.headers("operator", **{"Last-Event-ID": "5"})
    ) as response:
        lines = await lines_until(response, '"seq": 7')

    assert [line for line in lines if line.startswith("id:")] == ["id: 6", "id: 7"]


async def test_a_reader_that_comes_back_after_a_restart_gets_what_it_missed_from_the_record(
    api: Api, database: Database
) -> None:
    await seed_every_state(database)

    async with api.client.get(
        "/api/v1/events", headers=api.headers("operator", **{"Last-Event-ID": "5"})
    ) as response:
        lines = await lines_until(response, '"seq": 7')
        api.board.feed.publish(event(7))
        api.board.feed.publish(event(8))
        more = await lines_until(response, '"seq": 8')

    assert [line for line in lines + more if line.startswith("id:")] == ["id: 6", "id: 7", "id: 8"]


async def test_too_much_missed_means_read_anew(
    api: Api, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeded = await seed_every_state(database)
    await add_evidence(database, seeded.source_ids[0], 8, "lost", NOW + timedelta(seconds=1), "offline")
    monkeypatch.setattr(event_stream, "REPLAY", 2)
    monkeypatch.setattr(event_stream, "_REPLAY_PAGE", 1)

    async with api.client.get(
        "/api/v1/events", headers=api.headers("operator", **{"Last-Event-ID": "4"})
    ) as response:
        lines = await lines_until(response, "event:")

    assert lines[-1] == "event: resync"


async def test_a_reader_that_does_not_keep_up_is_cut(api: Api) -> None:
    async with api.client.get("/api/v1/events", headers=api.headers("operator")) as response:
        await eventually(lambda: api.board.feed.listeners == 1, what="the reader listens")
        for seq in range(1, LISTENER_QUEUE + 10):
            api.board.feed.publish(event(seq))
        async with asyncio.timeout(10):
            await response.content.read()

    assert api.board.feed.listeners == 0


async def test_silence_is_broken_by_a_heartbeat(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "HEARTBEAT", 0.05)

    async with api.client.get("/api/v1/events", headers=api.headers("operator")) as response:
        lines = await lines_until(response, "heartbeat")

    assert lines[-1] == ": heartbeat"


async def test_one_token_holds_a_bounded_number_of_streams(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "MOST_PER_TOKEN", 1)

    async with api.client.get("/api/v1/events", headers=api.headers("operator")):
        second = await api.client.get("/api/v1/events", headers=api.headers("operator"))

    assert second.status == 429


@pytest.mark.parametrize("role", ["public", "police_status"])
async def test_only_operators_follow_the_events(api: Api, role: str) -> None:
    response = await api.client.get("/api/v1/events", headers=api.headers(role))

    assert response.status in (401, 403)
