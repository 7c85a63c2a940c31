"""Wait for something outside the test to become true."""

import asyncio
from collections.abc import Awaitable, Callable


async def eventually(
    condition: Callable[[], bool] | Callable[[], Awaitable[bool]],
    *,
    within: float = 10.0,
    what: str = "condition",
) -> None:
    """Return as soon as `condition()` holds; fail by name after `within` seconds."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within
    while True:
        outcome = condition()
        if await outcome if isinstance(outcome, Awaitable) else outcome:
            return
        assert loop.time() < deadline, f"{what} did not come true within {within:g} s"
        await asyncio.sleep(0.05)
