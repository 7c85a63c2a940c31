"""The operator's page in a real browser: no script error, nothing refused by its own policy, and it moves by itself."""

from datetime import timedelta

import pytest

from catalog.database import Database
from catalog.model.connectivity import State
from catalog.model.display import Displayed
from gateway.status_feed import StatusEvent
from tests.api_peer import Api, served
from tests.interop.browser import Browser, chromium
from tests.seed import HERE, NOW, Change, apply, seed_every_state
from tests.waiting import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.interop]


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
