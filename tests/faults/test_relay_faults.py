"""Faults of the network around the relay: each is told exactly, each ends, and the neighbour notices none."""

from collections.abc import Sequence

import pytest

from tests.faults.relay_scenarios import CAMERA, DATAGRAMS, SUPERIOR, play
from tests.faults.relay_scene import Scale, Scenario, failures, relay_scene

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]


@pytest.mark.parametrize("scenarios", [CAMERA, (*DATAGRAMS, *SUPERIOR)], ids=["camera", "udp and superior"])
async def test_each_fault_is_told_exactly_and_recovered_from_while_the_neighbour_loses_nothing(
    scenarios: Sequence[Scenario],
) -> None:
    async with relay_scene() as scene:
        assert failures(await play(scene, scenarios, Scale())) == []
