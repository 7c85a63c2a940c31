"""Chromium, driven over the DevTools protocol."""

import asyncio
import base64
import re
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from tests.waiting import eventually

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

    async def run(self, expression: str) -> Any:
        """Evaluate JavaScript, wait for its promise, and return its value."""
        result = await self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True, userGesture=True
        )
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    async def screenshot(self) -> bytes:
        """Return what the page looks like, as PNG."""
        result = await self.call("Page.captureScreenshot", format="png")
        return base64.b64decode(result["data"])

    async def open(self, url: str) -> None:
        """Go to a page and wait until its scripts have run: a form that is sent before is sent without them."""
        begun = await self.call("Page.navigate", url=url)
        assert "errorText" not in begun, f"{url}: {begun['errorText']}"

        async def loaded() -> bool:
            # The page before may be complete, too: it is another loading.
            tree = await self.call("Page.getFrameTree")
            is_it = tree["frameTree"]["frame"]["loaderId"] == begun.get("loaderId")
            return bool(is_it and await self.run("document.readyState") == "complete")

        await eventually(loaded, within=20, what=f"the page {url}")


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
            port = await _debugging_port(process)
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


async def _debugging_port(process: asyncio.subprocess.Process) -> int:
    assert process.stderr is not None
    async with asyncio.timeout(30):
        while line := await process.stderr.readline():
            if found := re.search(rb"ws://127\.0\.0\.1:(\d+)/", line):
                return int(found[1])
    raise AssertionError("chromium ended before it listened")
