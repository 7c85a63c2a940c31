"""The server around the application: TLS from files, and an end that leaves nothing behind."""

import asyncio
import socket
import ssl
from pathlib import Path

import aiohttp
import pytest

from catalog.access import AccessEntry, AccessLog, Role
from catalog.credentials import Vault
from catalog.database import Database
from gateway.api.access_recorder import AccessRecorder
from gateway.api.app import build_api, serve_api
from gateway.api.services import ApiServices
from gateway.clock import SystemClock
from gateway.config import Config
from gateway.metrics import Metrics
from tests.api_peer import CONFIG, Board
from tests.fakes.certificates import make_certificate
from tests.seed import NOW
from tests.waiting import eventually

pytestmark = pytest.mark.postgres


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def services_of(database: Database, config: Config) -> ApiServices:
    return ApiServices(
        database=database,
        clock=SystemClock(),
        config=config,
        metrics=Metrics(),
        status=Board(),
        vault=Vault(bytes(range(32))),
        recorder=AccessRecorder(AccessLog(database), SystemClock()),
    )


async def answers(url: str, context: ssl.SSLContext | bool) -> bool:
    async with aiohttp.ClientSession() as session:
        try:
            async with session.get(url, ssl=context) as response:
                return response.status == 200
        except aiohttp.ClientConnectionError:
            return False


async def test_it_serves_over_tls_from_files_and_ends_when_told(database: Database, tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    api = CONFIG.api.model_copy(
        update={"port": free_port(), "tls_cert": certificate.authority, "tls_key": certificate.file}
    )
    services = services_of(database, CONFIG.model_copy(update={"api": api}))
    url = f"https://127.0.0.1:{api.port}/healthz"
    context = ssl.create_default_context(cafile=str(certificate.authority))

    async with asyncio.TaskGroup() as group:
        task = group.create_task(serve_api(build_api(services)))
        await eventually(lambda: answers(url, context), what="the API answers over TLS")
        plain = await answers(url.replace("https", "http"), False)
        task.cancel()

    assert not plain
    assert not await answers(url, context)


async def test_what_the_log_still_holds_is_written_at_the_end(database: Database) -> None:
    api = CONFIG.api.model_copy(update={"port": free_port()})
    services = services_of(database, CONFIG.model_copy(update={"api": api}))
    entry = AccessEntry(at=NOW, role=Role.PUBLIC, client="c", method="GET", route="/r", scope="", status=200)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(serve_api(build_api(services)))
        url = f"http://127.0.0.1:{api.port}/healthz"
        await eventually(lambda: answers(url, False), what="the API answers")
        services.recorder._waiting.append(entry)
        task.cancel()

    assert await AccessLog(database).recent() == (entry,)
