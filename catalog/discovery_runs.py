"""The store of sweeps: who asked for which, how far each came, and how it ended.

The process that leads a run holds an advisory lock of PostgreSQL on a connection of its own. The lock ends with
the process, however that ends, so a run that says `running` and whose lock is free was abandoned.
"""

import asyncio
import ipaddress
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from catalog.database import COMMAND_TIMEOUT, Database, RawConnection, Transaction
from catalog.errors import CatalogError
from catalog.model.network import Network
from catalog.queries import load_queries

if TYPE_CHECKING:
    import asyncpg

logger = logging.getLogger(__name__)

LOCK_BASE: Final = 0x6D75_7374_0000_0000
"""Key of the lock under which runs begin; run number n holds `LOCK_BASE + n`."""


class RunOutcome(StrEnum):
    """How a run stands."""

    RUNNING = "running"
    FINISHED = "finished"
    STOPPED = "stopped"
    FAILED = "failed"


class RunsBusy(CatalogError):
    """Raised when no further sweep may begin now: too many run, or one of the same addresses does."""

    cause = "discovery_busy"
    retryable = True


class RunUnknown(CatalogError):
    """Raised when there is no such run."""

    cause = "run_unknown"


@dataclass(frozen=True)
class NewRun:
    """A sweep that is about to begin."""

    network_id: int
    "The authorisation record it rests on."
    network: Network
    ports: tuple[int, ...]
    requested_by: str


@dataclass(frozen=True)
class Run:
    """One sweep."""

    run_id: int
    network_id: int
    network: Network
    ports: tuple[int, ...]
    requested_by: str
    started_at: datetime
    finished_at: datetime | None
    addresses: int
    probed: int
    "Questions asked so far, one per address and port."
    answered: int
    outcome: RunOutcome

    @property
    def total(self) -> int:
        """Return how many questions the whole sweep is."""
        return self.addresses * len(self.ports)


class RunHold:
    """Holds a run for this process: as long as it is held nobody takes the run for abandoned."""

    def __init__(
        self, database: Database, stack: AsyncExitStack, connection: RawConnection, run_id: int
    ) -> None:
        self.run_id = run_id
        self._database = database
        self._stack = stack
        self._connection = connection

    async def renew(self) -> None:
        """Take the lock again when its connection was lost, as by a restart of PostgreSQL."""
        if self._connection.is_closed():
            self._connection = await self._stack.enter_async_context(self._database.raw_connection())
            statements = _statements(self._database, self._connection)
            await statements.execute("run_hold", LOCK_BASE, self.run_id, within=COMMAND_TIMEOUT)


def _statements(database: Database, connection: RawConnection) -> Transaction:
    return Transaction(connection, load_queries(), database.place)


@asynccontextmanager
async def hold_run(database: Database, new: NewRun, *, limit: int, at: datetime) -> AsyncIterator[RunHold]:
    """Begin a run and hold it for the length of the block.

    Abandoned runs are marked failed first. The block ends the run itself, by `finish_run`.

    Args:
        database: the catalog.
        new: the sweep.
        limit: runs at most at a time, of all processes together.
        at: now, UTC.

    Raises:
        RunsBusy: there are `limit` already, or one of overlapping addresses.
        DatabaseAway: no answer.
    """
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(database.raw_connection())
        # BEGIN and COMMIT have no limit of their own on this connection.
        async with asyncio.timeout(2 * COMMAND_TIMEOUT), connection.transaction():
            run_id = await _begin(_statements(database, connection), new, limit, at)
        # Committed, and the lock was taken before anybody could see the row.
        yield RunHold(database, stack, connection, run_id)


async def _begin(statements: Transaction, new: NewRun, limit: int, at: datetime) -> int:
    within = COMMAND_TIMEOUT
    await statements.execute("run_lock_starts", LOCK_BASE, within=within)
    await statements.fetch("run_fail_abandoned", LOCK_BASE, at, within=within)
    running = await statements.fetch("run_running", new.network, within=within)
    for row in running:
        if row["overlaps"]:
            raise RunsBusy(f"run {row['run_id']} is sweeping these addresses already")
    if len(running) >= limit:
        raise RunsBusy(f"{len(running)} sweeps are under way, {limit} is the most")
    run_id = int(
        await statements.fetchval(
            "run_begin",
            new.network_id,
            new.network,
            list(new.ports),
            new.requested_by,
            at,
            new.network.num_addresses,
            within=within,
        )
    )
    await statements.execute("run_hold", LOCK_BASE, run_id, within=within)
    return run_id


async def note_progress(database: Database, run_id: int, *, probed: int, answered: int) -> bool:
    """Note how far a run came; return False when it was stopped or given up by somebody else."""
    return await database.execute("run_progress", run_id, probed, answered) > 0


async def finish_run(
    database: Database, run_id: int, outcome: RunOutcome, *, probed: int, answered: int, at: datetime
) -> Run:
    """End a run and return it; an outcome that it has already, such as `stopped`, stays.

    Raises:
        RunUnknown: there is no such run.
    """
    row = await database.fetchrow("run_finish", run_id, outcome.value, probed, answered, at)
    if row is None:
        raise RunUnknown(f"there is no sweep {run_id}")
    return _run(row)


async def stop_run(database: Database, run_id: int, *, person: str, at: datetime) -> bool:
    """Stop a run, whichever process leads it; return whether it was running.

    Its process notices within a second.
    """
    was_running = await database.execute("run_stop", run_id, at) > 0
    if was_running:
        logger.info(
            "sweep %d stopped by %s", run_id, person, extra={"action": "discovery_stopped", "run_id": run_id}
        )
    return was_running


async def fail_abandoned(database: Database, *, at: datetime) -> list[int]:
    """Mark the runs whose process is gone as failed and return their numbers."""
    rows = await database.fetch("run_fail_abandoned", LOCK_BASE, at)
    failed = [int(row["run_id"]) for row in rows]
    if failed:
        logger.warning(
            "sweeps given up by a process that is gone: %s",
            ", ".join(map(str, failed)),
            extra={"action": "discovery_abandoned"},
        )
    return failed


async def list_runs(database: Database, *, before: int | None = None, limit: int = 100) -> list[Run]:
    """Return runs, the newest first.

    Args:
        database: the catalog.
        before: only runs older than this one; the last number of the page before.
        limit: 1 to 1,000.
    """
    rows = await database.fetch("run_list", before, max(1, min(limit, 1000)))
    return [_run(row) for row in rows]


async def get_run(database: Database, run_id: int) -> Run:
    """Return one run; raises `RunUnknown`."""
    row = await database.fetchrow("run_one", run_id)
    if row is None:
        raise RunUnknown(f"there is no sweep {run_id}")
    return _run(row)


def _run(row: "asyncpg.Record") -> Run:
    return Run(
        run_id=row["run_id"],
        network_id=row["network_id"],
        network=ipaddress.ip_network(row["cidr"]),
        ports=tuple(row["ports"]),
        requested_by=row["requested_by"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        addresses=row["addresses"],
        probed=row["probed"],
        answered=row["answered"],
        outcome=RunOutcome(row["outcome"]),
    )
