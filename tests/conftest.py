"""Fixtures for everybody: a PostgreSQL for the session, a fresh database for each test, Hypothesis's profile."""

import shutil
from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import HealthCheck, settings

from catalog.database import Database
from tests.postgres import PostgresServer, postgres_server

# The same examples on every machine, and no deadline: the machines are slow and shared.
settings.register_profile(
    "ci", derandomize=True, max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("ci")


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """The session's PostgreSQL, started when the first test asks for it."""
    folder = tmp_path_factory.mktemp("postgres")
    with postgres_server(folder) as server:
        yield server
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def database_url(postgres: PostgresServer) -> Iterator[str]:
    """URL of a fresh, migrated database."""
    with postgres.copy() as url:
        yield url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A fresh, migrated database."""
    async with Database(database_url) as opened:
        yield opened
