"""The relays in API and page: their counters, the workers, the budget, and who may see which of it."""

import pytest

from catalog.database import Database
from tests.api_peer import Api, served
from tests.fakes.relay_board import BudgetBoard, RelayBoard, relay
from tests.seed import seed_roll

pytestmark = pytest.mark.postgres


async def page(api: Api, language: str) -> str:
    await api.client.post("/login", data={"token": api.tokens["operator"]}, allow_redirects=False)
    return await (await api.client.get("/relays", params={"lang": language})).text()


async def test_a_relay_shows_its_counters_and_neither_address_nor_what_the_device_said(
    database: Database,
) -> None:
    seeded = await seed_roll(database)
    async with served(database, relays=RelayBoard([relay(seeded.source_ids[0])])) as api:
        [row] = (await api.get("/api/v1/relays"))["items"]

    shown = {
        name: row[name]
        for name in ("bitrate", "frames", "frames_out", "dropped_frames", "drops", "sessions", "worker")
    }
    assert shown == {
        "bitrate": 4_180_000,
        "frames": 15_000,
        "frames_out": 14_620,
        "dropped_frames": 350,
        "drops": 14,
        "sessions": 2,
        "worker": 4711,
    }
    waits = [
        row[name] for name in ("skipped_frames", "damaged_frames", "queue_bytes", "queue_seconds", "delay")
    ]
    assert waits == [29, 1, 1_234_000, 2.36, 2.41]
    assert not any(word in str(row) for word in ("10.1.2.99", "secret-path", "what the device said"))


async def test_workers_and_budget_are_shown_to_who_may_see_the_whole_installation(database: Database) -> None:
    async with served(database, relays=RelayBoard(), budget=BudgetBoard()) as api:
        whole = await api.get("/api/v1/relays")
        part = await api.get("/api/v1/relays", "foreign_operator")

    assert whole["workers"] == [
        {"index": 0, "pid": 4711, "relays": 24, "bitrate": 98_000_000, "busy": 0.184},
        {"index": 1, "pid": None, "relays": 0, "bitrate": 0, "busy": 0.0},
    ]
    assert whole["budget"] == {
        "pulls": 25,
        "max_pulls": 64,
        "bitrate": 102_000_000,
        "max_bandwidth": 200_000_000,
        "max_network_bandwidth": 100_000_000,
        "networks": [
            {"network": "10.1.2.0/24", "pulls": 24, "bitrate": 98_000_000},
            {"network": "10.1.3.0/24", "pulls": 1, "bitrate": 4_000_000},
        ],
        "waiting": {"network_bandwidth_limit": 7},
    }
    assert (part["workers"], part["budget"]) == ([], None)


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("zh", ("拉流预算", "等待该网络带宽（本方上限）: 7", "转发时延", "2.41 s", "1234 kB", "18.4 %")),
        (
            "en",
            ("Budget of pulls", "waits: our limit of bandwidth for its network: 7", "Delay", "98.00 Mbit/s"),
        ),
    ],
)
async def test_the_page_shows_counters_workers_and_budget(
    database: Database, language: str, words: tuple[str, ...]
) -> None:
    seeded = await seed_roll(database)
    board = RelayBoard([relay(seeded.source_ids[0])])
    async with served(database, relays=board, budget=BudgetBoard()) as api:
        text = await page(api, language)

    assert [word for word in words if word not in text] == []


async def test_without_a_relay_manager_the_page_is_empty(api: Api) -> None:
    text = await page(api, "en")

    assert "Nothing here" in text
    assert "Budget" not in text
