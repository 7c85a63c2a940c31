"""Sweeps on record, and what is left of those whose process died."""

import ipaddress
from datetime import UTC, datetime, timedelta

import pytest

from catalog.database import Database
from catalog.discovery_runs import (
    NewRun,
    RunOutcome,
    RunsBusy,
    RunUnknown,
    fail_abandoned,
    finish_run,
    get_run,
    hold_run,
    list_runs,
    note_progress,
    stop_run,
)
from tests.discovery import PERSON, authorise, holders, rows
from tests.waiting import eventually

pytestmark = pytest.mark.postgres

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
END = NOW + timedelta(seconds=9)


@pytest.fixture
async def network_id(database: Database) -> int:
    """An authorisation to rest on."""
    return (await authorise(database, "10.0.0.0/8", NOW)).network_id


def sweep_of(network_id: int, cidr: str = "10.1.0.0/24") -> NewRun:
    return NewRun(network_id, ipaddress.ip_network(cidr), (554, 8554), PERSON)


async def test_a_run_is_on_record_from_its_start_to_its_end(database: Database, network_id: int) -> None:
    async with hold_run(database, sweep_of(network_id), limit=2, at=NOW) as hold:
        running = await get_run(database, hold.run_id)
        assert (running.outcome, running.total, running.requested_by) == (RunOutcome.RUNNING, 512, PERSON)
        assert await note_progress(database, hold.run_id, probed=100, answered=3)
        done = await finish_run(database, hold.run_id, RunOutcome.FINISHED, probed=512, answered=7, at=END)
    assert (done.outcome, done.probed, done.answered, done.finished_at) == (RunOutcome.FINISHED, 512, 7, END)
    assert await list_runs(database) == [done]
    assert not await note_progress(database, hold.run_id, probed=1, answered=1)


async def test_a_run_whose_process_is_gone_is_marked_failed(database: Database, network_id: int) -> None:
    async with hold_run(database, sweep_of(network_id), limit=2, at=NOW) as hold:
        assert await fail_abandoned(database, at=END) == []

    # The block gave its connection back without an end, as a killed process would.
    async def is_failed() -> bool:
        return await fail_abandoned(database, at=END) == [hold.run_id]

    await eventually(is_failed, what="the lock's release")
    assert await fail_abandoned(database, at=END) == []
    failed = await get_run(database, hold.run_id)
    assert (failed.outcome, failed.finished_at) == (RunOutcome.FAILED, END)


async def test_an_abandoned_run_does_not_keep_others_from_starting(
    database: Database, network_id: int
) -> None:
    async with hold_run(database, sweep_of(network_id), limit=1, at=NOW) as hold:
        pass

    async def is_free() -> bool:
        try:
            async with hold_run(database, sweep_of(network_id), limit=1, at=NOW):
                return True
        except RunsBusy:
            return False

    await eventually(is_free, what="the lock's release")
    assert (await get_run(database, hold.run_id)).outcome is RunOutcome.FAILED


async def test_runs_are_bounded_over_all_processes(database: Database, network_id: int) -> None:
    async with hold_run(database, sweep_of(network_id), limit=1, at=NOW):
        with pytest.raises(RunsBusy, match="1 is the most"):
            async with hold_run(database, sweep_of(network_id, "10.2.0.0/24"), limit=1, at=NOW):
                pass


async def test_the_same_addresses_are_never_swept_twice_at_a_time(
    database: Database, network_id: int
) -> None:
    async with hold_run(database, sweep_of(network_id), limit=5, at=NOW) as hold:
        with pytest.raises(RunsBusy, match=f"run {hold.run_id} "):
            async with hold_run(database, sweep_of(network_id, "10.1.0.128/25"), limit=5, at=NOW):
                pass


async def test_a_stopped_run_stays_stopped_whatever_its_process_says_later(
    database: Database, network_id: int
) -> None:
    async with hold_run(database, sweep_of(network_id), limit=2, at=NOW) as hold:
        assert await stop_run(database, hold.run_id, person=PERSON, at=END)
        assert not await stop_run(database, hold.run_id, person=PERSON, at=END)
        assert not await note_progress(database, hold.run_id, probed=100, answered=3)
        done = await finish_run(database, hold.run_id, RunOutcome.FINISHED, probed=101, answered=3, at=NOW)
    assert (done.outcome, done.probed, done.finished_at) == (RunOutcome.STOPPED, 101, END)


async def test_runs_are_listed_the_newest_first_in_pages(database: Database, network_id: int) -> None:
    numbers = []
    for _ in range(3):
        async with hold_run(database, sweep_of(network_id), limit=2, at=NOW) as hold:
            numbers.append(hold.run_id)
            await finish_run(database, hold.run_id, RunOutcome.FINISHED, probed=0, answered=0, at=END)
    assert [run.run_id for run in await list_runs(database, limit=2)] == numbers[:0:-1]
    assert [run.run_id for run in await list_runs(database, before=numbers[1])] == [numbers[0]]


async def test_a_lock_lost_with_its_connection_is_taken_again(database: Database, network_id: int) -> None:
    async with hold_run(database, sweep_of(network_id), limit=2, at=NOW) as hold:
        await hold.renew()
        (before,) = await holders(database)
        await rows(database, "SELECT pg_terminate_backend($1)", before)

        async def is_held_again() -> bool:
            await hold.renew()
            return await holders(database) not in ([], [before])

        await eventually(is_held_again, what="the new lock")
        await hold.renew()
        assert await fail_abandoned(database, at=END) == []
        assert (await get_run(database, hold.run_id)).outcome is RunOutcome.RUNNING


async def test_an_unknown_run_is_named_so(database: Database) -> None:
    with pytest.raises(RunUnknown):
        await get_run(database, 77)
    with pytest.raises(RunUnknown):
        await finish_run(database, 77, RunOutcome.FAILED, probed=0, answered=0, at=NOW)
