"""The operator's page in a real browser: no script error, nothing refused by its own policy, and it moves by itself."""

import asyncio
import re
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import aiohttp
import pytest

from catalog.database import Database
from catalog.model.connectivity import State
from catalog.model.display import Displayed
from gateway.status_feed import StatusEvent
from tests.api_peer import Api, served
from tests.seed import HERE, NOW, Change, apply, seed_every_state
from tests.waiting import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.interop]

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
    "--remote-allow-origins=*",
)


class Browser:
    """One tab of Chromium, driven over the DevTools protocol."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._number = 0
        self.complaints: list[str] = []
        "Script errors, and what the page's own policy refused."

    async def call(self, method: str, **parameters: object) -> dict[str, Any]:
        """Run a command and return its result."""
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        async with asyncio.timeout(20):
            while True:
                message = await self._socket.receive_json()
                if message.get("id") == self._number:
                    return dict(message.get("result", {}))
                self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        if message.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(str(message["params"]))
        elif message.get("method") == "Log.entryAdded":
            self.complaints.append(str(message["params"]["entry"].get("text")))

    async def text(self, selector: str) -> str:
        """Return the text of an element, empty when there is none."""
        expression = f"(document.querySelector({selector!r}) || {{}}).innerText || ''"
        result = await self.call("Runtime.evaluate", expression=expression)
        return str(result["result"].get("value", ""))

    async def open(self, url: str) -> None:
        """Go to a page."""
        await self.call("Page.navigate", url=url)


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Start a browser with a profile of its own, and end it by its id."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            "chromium",
            *FLAGS,
            f"--user-data-dir={profile}",
            "about:blank",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            port = await debugging_port(process)
            async with aiohttp.ClientSession() as session:
                async with session.get(f"http://127.0.0.1:{port}/json") as response:
                    tab = next(each for each in await response.json() if each["type"] == "page")
                async with session.ws_connect(tab["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                    browser = Browser(socket)
                    for domain in ("Page", "Runtime", "Log", "Network"):
                        await browser.call(f"{domain}.enable")
                    yield browser
        finally:
            if process.returncode is None:
                process.terminate()
            await process.communicate()


async def debugging_port(process: asyncio.subprocess.Process) -> int:
    assert process.stderr is not None
    async with asyncio.timeout(30):
        while line := await process.stderr.readline():
            if found := re.search(rb"ws://127\.0\.0\.1:(\d+)/", line):
                return int(found[1])
    raise AssertionError("chromium ended before it listened")


async def log_in(api: Api, browser: Browser) -> None:
    url = str(api.client.make_url("/login"))
    await browser.open(url)
    await eventually(lambda: has_text(browser, "button"), what="the login form")
    await browser.call(
        "Runtime.evaluate",
        expression=(
            f"document.querySelector('[name=token]').value = {api.tokens['operator']!r};"
            "document.querySelector('form').submit()"
        ),
    )
    await eventually(lambda: has_text(browser, ".chain"), what="the overview")


async def has_text(browser: Browser, selector: str) -> bool:
    return bool(await browser.text(selector))


async def test_a_committed_change_shows_by_itself(database: Database) -> None:
    seeded = await seed_every_state(database)
    async with served(database) as api, chromium() as browser:
        await log_in(api, browser)
        await eventually(lambda: api.board.feed.listeners == 1, what="the page listens")
        before = await browser.text(".step.alarm .figure")
        since = NOW - timedelta(seconds=5)
        await apply(database, [Change(seeded.source_ids[7], "online", since)])
        api.board.feed.publish(
            StatusEvent(
                seq=99,
                source_id=seeded.source_ids[7],
                gb_id=seeded.codes[7],
                district=HERE,
                kind="connected",
                displayed=Displayed.ONLINE,
                state=State.ONLINE,
                since=since,
                at=since,
                reason=None,
            )
        )

        async def moved() -> bool:
            return await browser.text(".step.alarm .figure") == "2"

        await eventually(moved, within=20, what="the page shows the change")
        lamp = await browser.text("#live")

    assert before == "3"
    assert lamp == "live"
    assert browser.complaints == []


async def test_no_page_breaks_in_the_browser(database: Database) -> None:
    await seed_every_state(database)
    async with served(database) as api, chromium() as browser:
        await log_in(api, browser)
        headings = []
        for page in ("never-connected", "offline", "sources", "sightings", "relays", "networks", "roll"):
            await browser.open(str(api.client.make_url(f"/{page}?lang=en")))
            await eventually(lambda: has_text(browser, ".card"), what=page)
            headings.append(await browser.text("[aria-current]"))

    assert headings == [
        "Never connected", "Offline", "Sources", "Sightings", "Relays", "Networks", "Roll & catalog",
    ]  # fmt: skip
    assert browser.complaints == []
