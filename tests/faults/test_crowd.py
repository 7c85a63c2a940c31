"""A crowd of callers that say nothing, against the real service: it keeps room for those who do."""

import asyncio
from pathlib import Path

import pytest

from gateway.api.door import MOST_CONNECTIONS
from tests.gateway_process import installation
from tests.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]


def has_all_files(pid: int) -> bool:
    """Tell whether a process may open as many files as the system lets it."""
    limits = Path(f"/proc/{pid}/limits").read_text(encoding="ascii")
    words = next(line.split() for line in limits.splitlines() if line.startswith("Max open files"))
    return words[3] == words[4]


async def test_silent_callers_take_no_more_than_their_share_and_lose_it(tmp_path: Path) -> None:
    async with installation(tmp_path) as muster:
        await muster.start()
        crowd = [
            await asyncio.open_connection("127.0.0.1", muster.port) for _ in range(MOST_CONNECTIONS + 50)
        ]
        try:
            # The last ones are sent away at once ...
            for reader, _ in crowd[-20:]:
                async with asyncio.timeout(5):
                    assert await reader.read(1) == b""
            # ... the others when their time is over, and then there is room again.
            await eventually(muster.is_ready, within=40, what="an answer again")
        finally:
            for _, writer in crowd:
                writer.transport.abort()
        assert muster.process is not None
        assert has_all_files(muster.process.pid)
        assert await muster.stop() == 0
