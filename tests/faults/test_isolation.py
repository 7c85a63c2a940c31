"""Isolation: whatever dies and comes back, no picture ever arrives under another source's id."""

import pytest

from tests.faults.relay_crowd import isolation
from tests.faults.relay_scene import failures, relay_scene

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


async def test_in_churn_no_picture_arrives_under_another_id_and_every_stream_flows_again() -> None:
    async with relay_scene(workers=2) as scene:
        outcome = await isolation(scene, count=40, steps=200, seed=20261125)
        assert failures([outcome]) == []
