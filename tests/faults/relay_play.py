"""Play scenarios of the relay, each with a source of its own, beside a neighbour that must notice nothing."""

import asyncio
from collections.abc import Sequence
from typing import Final

from adapters.base import Transport
from gateway.relay.spec import RelayBounds
from tests.faults.camera_faults import DATAGRAMS
from tests.faults.relay_scene import (
    HEAVY,
    LIGHT,
    Outcome,
    Scale,
    Scenario,
    Scene,
    Stand,
    assert_nothing_ended,
    name_of,
    told,
)
from tests.faults.superior_faults import HEAVY_ONES
from tests.waiting import eventually

UNHURRIED: Final = RelayBounds(media_gap=10.0)
"""Bounds of the neighbour: what a busy machine costs it is no gap."""
RSS_GROWTH: Final = 60_000_000
"""Bytes that the worker may have grown by when all is over."""


async def play_one(scene: Scene, scenario: Scenario, scale: Scale) -> Outcome:
    """Play one scenario with a source of its own."""
    transport = Transport.UDP if scenario in DATAGRAMS else Transport.TCP
    weight = HEAVY if scenario in HEAVY_ONES else LIGHT
    failure, seen = "", "never flowed"
    try:
        async with scene.stand(scale, transport=transport, weight=weight) as stand:
            try:
                await scenario(stand)
            finally:
                seen = stand.seen()
    except (AssertionError, TimeoutError, ExceptionGroup) as error:
        failure = told(error)
    return Outcome(name_of(scenario), seen, failure)


async def play(scene: Scene, scenarios: Sequence[Scenario], scale: Scale) -> list[Outcome]:
    """Play all scenarios at once in one worker, beside a neighbour that must notice nothing."""
    async with scene.stand(Scale(UNHURRIED)) as neighbour:
        before, resident, pid = len(scene.descriptors()), scene.resident(), scene.worker
        async with asyncio.TaskGroup() as group:
            playing = [
                group.create_task(play_one(scene, each, scale), name=name_of(each)) for each in scenarios
            ]
        outcomes = [task.result() for task in playing]
        return [*outcomes, await _judge_rest(scene, neighbour, (before, resident, pid))]


async def _judge_rest(scene: Scene, neighbour: Stand, before: tuple[int, int, int]) -> Outcome:
    """Judge what all of it did to the neighbour and to the worker."""
    descriptors, resident, pid = before
    failure = ""
    try:
        await neighbour.more_pictures(25)
        assert_nothing_ended(neighbour)
        assert scene.worker == pid, "the worker was lost"
        await eventually(
            lambda: len(scene.descriptors()) == descriptors,
            within=20,
            what=f"{descriptors} descriptors again",
        )
        assert scene.resident() - resident < RSS_GROWTH
    except AssertionError as error:
        failure = told(error)
    grown = (scene.resident() - resident) / 1e6
    seen = (
        f"{neighbour.seen()}; worker {grown:+.0f} MB, {len(scene.descriptors()) - descriptors:+d} descriptors"
    )
    return Outcome("neighbour in the same worker", seen, failure)
