"""Faults around the relay: each is told exactly, each ends, and the neighbour in the same worker notices none."""

from collections.abc import Sequence

import pytest

from tests.faults.camera_faults import CAMERA, DATAGRAMS
from tests.faults.relay_crowd import workers_killed
from tests.faults.relay_play import play
from tests.faults.relay_scene import Scale, Scenario, failures, relay_scene
from tests.faults.superior_faults import ALONE, SUPERIOR

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.mark.parametrize(
    "scenarios",
    [CAMERA, (*DATAGRAMS, *SUPERIOR), ALONE],
    ids=["camera", "datagrams and superior", "descriptors"],
)
async def test_each_fault_is_told_exactly_and_recovered_from_while_the_neighbour_loses_nothing(
    scenarios: Sequence[Scenario],
) -> None:
    async with relay_scene() as scene:
        assert failures(await play(scene, scenarios, Scale())) == []


async def test_workers_that_are_killed_under_load_cost_no_stream_and_the_fault_shows_as_ours() -> None:
    async with relay_scene(workers=2) as scene:
        assert failures([await workers_killed(scene, count=10, rounds=4, every=1.5)]) == []
