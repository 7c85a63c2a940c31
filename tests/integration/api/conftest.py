"""The served API over a fresh catalog."""

from collections.abc import AsyncIterator

import pytest

from catalog.database import Database
from tests.api_peer import Api, served


@pytest.fixture
async def api(database: Database) -> AsyncIterator[Api]:
    async with served(database) as started:
        yield started
