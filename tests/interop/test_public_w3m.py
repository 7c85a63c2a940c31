"""The published catalog in a text browser: all of it, readable, and nothing to be run."""

import asyncio

import pytest

from catalog.database import Database
from tests.api_peer import served
from tests.seed import seed_every_state

pytestmark = [pytest.mark.interop, pytest.mark.postgres]


async def dumped(url: str) -> str:
    """Return what w3m shows of a page, 100 columns wide."""
    command = ("w3m", "-dump", "-cols", "100", "-O", "UTF-8", "-o", "use_cookie=0", url)
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(30):
        out, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
    return out.decode()


async def test_the_catalog_is_read_in_a_text_browser_in_both_languages(database: Database) -> None:
    await seed_every_state(database)
    async with served(database) as api:
        made = await api.client.post("/api/v1/editions", json={}, headers=api.headers("operator"))
        number = (await made.json())["number"]
        listed = await api.get("/public/catalog?format=json", "public")
        pages = [
            await dumped(str(api.client.make_url(f"/public/catalog?lang={lang}"))) for lang in ("zh", "en")
        ]

    for page in pages:
        assert number in page
        assert all(entry["entry_id"] in page for entry in listed["entries"])
        # No name is cut, and none is squeezed into a column a letter wide.
        assert all(entry["site_public_name"] in page for entry in listed["entries"])
        assert "<" not in page
    assert "应接入" in pages[0]
    assert pages[0] != pages[1]
