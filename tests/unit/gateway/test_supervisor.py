"""The restart loop: begins again after every error, and ends when it is told to."""

import asyncio

import pytest

from catalog.errors import DatabaseAway
from gateway.clock import SystemClock
from gateway.supervisor import Backoff, keep_running


class Work:
    """Fails on its way out of a cancellation, as a database line that went dead does."""

    def __init__(self) -> None:
        self.runs = 0
        self.has_begun = asyncio.Event()

    async def run_once(self) -> None:
        self.runs += 1
        self.has_begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            raise DatabaseAway("no answer in time")


async def test_a_cancellation_that_an_error_took_the_place_of_ends_the_work() -> None:
    work = Work()
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        task = group.create_task(
            keep_running("work", work.run_once, clock=SystemClock(), backoff=Backoff(first=0.01)), name="work"
        )
        await work.has_begun.wait()
        task.cancel()
    assert task.cancelled()
    assert work.runs == 1


async def test_work_that_fails_begins_again() -> None:
    runs: list[int] = []

    async def run_once() -> None:
        runs.append(len(runs))
        if len(runs) < 3:
            raise ValueError("a bug")
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await keep_running("work", run_once, clock=SystemClock(), backoff=Backoff(first=0.01))
    assert runs == [0, 1, 2]
