# ruff: noqa: T201
"""All faults of the relay at full length: `python -m tests.faults.relay [--only GROUP ...] [--seed N]`.

Prints what was done, what was seen and whether it passed; the exit code is 1 when anything failed. Takes
about a quarter of an hour.
"""

import argparse
import asyncio
import logging
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from random import SystemRandom
from typing import Final

from gateway.relay.spec import RelayBounds
from tests.faults import relay_service
from tests.faults.camera_faults import CAMERA, DATAGRAMS
from tests.faults.relay_crowd import isolation, workers_killed
from tests.faults.relay_play import play
from tests.faults.relay_scene import Outcome, Scale, relay_scene
from tests.faults.superior_faults import ALONE, LONG, SUPERIOR

FULL: Final = Scale(RelayBounds(), pictures=500, tries=3)
"""The bounds of the product."""

Outcomes = AsyncIterator[Outcome]


async def network(_seed: int) -> Outcomes:
    """Every fault of the network, towards cameras and towards the superior."""
    for scenarios in (CAMERA, DATAGRAMS, (*SUPERIOR, *LONG), ALONE):
        async with relay_scene() as scene:
            outcomes = await play(scene, scenarios, FULL)
        for outcome in outcomes:
            yield outcome


async def workers(_seed: int) -> Outcomes:
    """Workers that are killed again and again under load."""
    async with relay_scene(workers=2) as scene:
        outcome = await workers_killed(scene, count=40, rounds=15, every=4.0)
    yield outcome


async def churn(seed: int) -> Outcomes:
    """Isolation, for a minute."""
    async with relay_scene(workers=3) as scene:
        outcome = await isolation(scene, count=60, steps=600, seed=seed)
    yield outcome


async def service(_seed: int) -> Outcomes:
    """The whole service: superior away, workers killed, power cut, full disk."""
    with tempfile.TemporaryDirectory() as folder:
        yield await relay_service.superior_away(made(folder, "superior"), count=10, seconds=60)
        yield await relay_service.workers_killed(made(folder, "workers"), count=50, rounds=10, every=4.0)
        yield await relay_service.power_cut(made(folder, "power"), count=200)
        yield await relay_service.disk_full(made(folder, "disk"), count=10, seconds=30)


def made(parent: str, name: str) -> Path:
    """Return a new folder."""
    folder = Path(parent, name)
    folder.mkdir()
    return folder


GROUPS: Final[dict[str, Callable[[int], Outcomes]]] = {
    each.__name__: each for each in (network, workers, churn, service)
}


async def main(names: list[str], seed: int) -> int:
    """Play the groups of these names; return how many faults were not borne."""
    failed = 0
    print(f"seed {seed}")
    for name in names:
        async for outcome in GROUPS[name](seed):
            failed += bool(outcome.failure)
            print(f"{'FAIL' if outcome.failure else 'pass'}  {outcome.fault:44}  {outcome.seen}", flush=True)
            if outcome.failure:
                print(f"      {outcome.failure}", flush=True)
    print(f"{failed} failed")
    return failed


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=list(GROUPS))
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(10**6))
    options = parser.parse_args()
    # The relays' warnings are what is done to them on purpose.
    logging.disable(logging.ERROR)
    sys.exit(1 if asyncio.run(main(options.only, options.seed)) else 0)
