"""A served API for tests: the real application on 127.0.0.1 over a real catalog."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from aiohttp.test_utils import TestClient, TestServer

from catalog.access import AccessLog, Role, Tokens
from catalog.credentials import Vault
from catalog.database import Database
from catalog.reading import Region
from gateway.api.access_recorder import AccessRecorder
from gateway.api.app import build_api
from gateway.api.services import ApiServices
from gateway.config import Config
from gateway.metrics import Metrics
from gateway.status_feed import StatusFeed
from gateway.status_view import StatusView
from tests.seed import HERE, NOW

CONFIG = Config.model_validate(
    {
        "jurisdiction": {
            "civil_code": HERE,
            "name": "示例区",
            "issued_by": "示例区公安局",
            "contact": "示例窗口",
            "second_approver": False,
        }
    }
)


@dataclass
class HandClock:
    """A clock that only the test moves."""

    at: datetime = NOW
    seconds: float = 1000.0

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return self.at

    async def sleep(self, duration: float) -> None:
        self.seconds += duration


@dataclass
class Board:
    """Acknowledged status in memory, as the gateway's own status keeps it."""

    feed: StatusFeed = field(default_factory=StatusFeed)
    by_code: dict[str, StatusView] = field(default_factory=dict)

    def view(self, source_id: int) -> StatusView | None:
        return next((view for view in self.by_code.values() if view.source_id == source_id), None)

    def view_by_code(self, gb_id: str) -> StatusView | None:
        return self.by_code.get(gb_id)


@dataclass
class Api:
    """The served application and what stands behind it."""

    client: TestClient[Any, Any]
    services: ApiServices
    clock: HandClock
    board: Board
    tokens: dict[str, str]

    def headers(self, role: str, **more: str) -> dict[str, str]:
        """Return the headers of a caller; the police say what for."""
        if role == "public":
            return dict(more)
        purpose = {"X-Purpose": "test"} if role == "police_status" else {}
        return {"Authorization": f"Bearer {self.tokens[role]}", **purpose, **more}

    async def get(self, path: str, role: str = "operator", **more: str) -> Any:
        """Return the JSON of a successful GET."""
        response = await self.client.get(path, headers=self.headers(role, **more))
        assert response.status == 200, await response.text()
        return await response.json()


@asynccontextmanager
async def served(database: Database, config: Config = CONFIG, **parts: Any) -> AsyncIterator[Api]:
    """Serve the API over `database`, with a token for each role, and one operator of another province."""
    clock, board = HandClock(), Board()
    tokens: dict[str, str] = {}
    for name, role, region in (
        ("operator", Role.OPERATOR, ""),
        ("police_status", Role.POLICE_STATUS, ""),
        ("foreign_operator", Role.OPERATOR, "61"),
    ):
        _, secret = await Tokens(database).create(
            person=f"测试 {name}", role=role, region=Region(region), created_at=NOW
        )
        tokens[name] = secret.reveal()
    services = ApiServices(
        database=database,
        clock=clock,
        config=config,
        metrics=Metrics(),
        status=board,
        vault=Vault(bytes(range(32))),
        recorder=AccessRecorder(AccessLog(database), clock),
        **parts,
    )
    client = TestClient(TestServer(build_api(services), host="127.0.0.1"))
    await client.start_server()
    try:
        yield Api(client, services, clock, board, tokens)
    finally:
        await client.close()
