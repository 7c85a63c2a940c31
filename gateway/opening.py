"""Opens the catalog for whoever works with it: the service, and every command of the command line."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Final

from catalog.credentials import Vault
from catalog.database import Database
from catalog.embedded import embedded_postgresql, running_url
from catalog.errors import DatabaseInUse, EmbeddedPostgresError
from catalog.jurisdictions import Jurisdiction, save_jurisdiction
from catalog.migrate import migrate
from catalog.model.connected_when import ConnectedWhen
from catalog.model.rates import CountingRules
from catalog.model.secret import Secret
from catalog.reading import LOCAL
from catalog.signing import SigningKey
from gateway.config import Config

logger = logging.getLogger(__name__)

EMBEDDED_FOLDER: Final = "postgresql"
"""Below the gateway's state_dir."""

LOCK_PATIENCE: Final = 30.0
"""Seconds that the service waits for a command that holds the embedded database, e.g. an import."""

IMPORT_TIMEOUT: Final = 120.0
"""Seconds for one statement of a command; an import of 100,000 rows needs tens of them."""


def muster_version() -> str:
    """Return the installed version of the distribution."""
    return version("muster-gateway")


def embedded_folder(config: Config) -> Path:
    """Return where the embedded database lies."""
    return config.gateway.state_dir / EMBEDDED_FOLDER


@asynccontextmanager
async def open_for_service(config: Config) -> AsyncIterator[Database]:
    """Open the catalog as its owner: start the embedded server, bring the schema up to date.

    Raises:
        DatabaseInUse: another gateway holds the embedded database.
        DatabaseAway: the external database does not answer.
        CatalogError: anything else that keeps it from opening.
    """
    _make_state_folder(config)
    async with AsyncExitStack() as stack:
        if config.database.is_embedded:
            url = await _start_embedded(config, stack)
            database = Database(url, pool_size=config.database.pool_size)
        else:
            database = Database(config.database.dsn(), pool_size=config.database.pool_size)
        await stack.enter_async_context(database)
        await _prepare(database, config)
        yield database


async def _start_embedded(config: Config, stack: AsyncExitStack) -> str:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + LOCK_PATIENCE
    while True:
        try:
            return await stack.enter_async_context(embedded_postgresql(embedded_folder(config)))
        except DatabaseInUse:
            if loop.time() >= deadline:
                raise
            logger.info("waiting for the embedded database to be released", extra={"action": "database_wait"})
            await asyncio.sleep(0.5)


@asynccontextmanager
async def open_for_command(config: Config) -> AsyncIterator[Database]:
    """Open the catalog for one command: beside a running gateway, or alone with a server of its own.

    Raises:
        CatalogError: it cannot be opened.
    """
    _make_state_folder(config)
    async with AsyncExitStack() as stack:
        url: str | Secret
        if not config.database.is_embedded:
            url = config.database.dsn()
        else:
            try:
                url = await stack.enter_async_context(embedded_postgresql(embedded_folder(config)))
            except DatabaseInUse:
                url = running_url(embedded_folder(config))
        database = await stack.enter_async_context(Database(url, command_timeout=IMPORT_TIMEOUT))
        await _prepare(database, config)
        yield database


async def _prepare(database: Database, config: Config) -> None:
    """Bring the schema up to date and make this gateway and its jurisdiction known; harmless when repeated."""
    await database.wait_until_up(within=config.database.connect_timeout)
    for migration in await migrate(database, muster_version=muster_version()):
        logger.info("applied migration %s", migration.name, extra={"action": "migrated"})
    await database.execute("register_gateway", config.gateway.id)
    await save_jurisdiction(database, jurisdiction_of(config))


def jurisdiction_of(config: Config) -> Jurisdiction:
    """Return the jurisdiction that this installation works and publishes for."""
    here = config.jurisdiction
    return Jurisdiction(here.civil_code, here.name, here.profile, here.base or None)


def counting_rules(config: Config) -> CountingRules:
    """Return how this installation counts time in its reports."""
    return CountingRules(LOCAL, timedelta(seconds=config.reports.maintenance_cap))


def connected_when(config: Config) -> ConnectedWhen:
    """Return when a site counts as connected in this installation's cases."""
    return ConnectedWhen.read(config.cases.connected_when)


def open_vault(config: Config) -> Vault:
    """Return the vault of the camera passwords; its key file is made at first use.

    Raises:
        KeyUnusable: the key file is unreadable, of another size or open to other users.
    """
    _make_state_folder(config)
    return Vault.open(config.key_file, create=True)


def open_signing_key(config: Config) -> SigningKey:
    """Return the key that signs editions; its key file is made at first use.

    Raises:
        KeyUnusable: the key file is unreadable, of another size or open to other users.
    """
    _make_state_folder(config)
    return SigningKey.open(config.signing_key_file)


def _make_state_folder(config: Config) -> None:
    """Make the state folder for its owner alone; an existing one stays as it is.

    Raises:
        EmbeddedPostgresError: it cannot be made.
    """
    folder = config.gateway.state_dir
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise EmbeddedPostgresError(f"{folder}: {error.strerror}") from error
