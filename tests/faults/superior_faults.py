"""Faults between Muster and superior, and of our own machine: neither is ever the camera's fault."""

import resource
from collections.abc import Sequence
from itertools import count
from typing import Final

from gateway.relay.queue import MAX_PICTURE
from tests.fakes.fault_switches import Cut, Door
from tests.faults.relay_scene import Scenario, Stand, assert_nothing_ended, assert_tries, assert_whole
from tests.waiting import eventually


def assert_pull_untouched(stand: Stand, causes: set[str]) -> None:
    """Assert that only the push failed, and why."""
    found = (stand.ends, stand.gaps, stand.pulls)
    assert found == ([], [], 0), found
    assert {state for state in stand.pushes if state.startswith("failed")} == {f"failed {c}" for c in causes}
    assert stand.pushes[-1] == "recording", stand.pushes


# -- between Muster and superior -----------------------------------------------------------------------


async def superior_delayed(stand: Stand) -> None:
    for way in (stand.superior.to_client, stand.superior.to_server):
        way.delay, way.jitter = 0.15, 0.1
    await stand.more_pictures(stand.scale.pictures)
    stand.superior.heal()
    await stand.back()
    assert_nothing_ended(stand)


async def superior_resets_in_a_frame(stand: Stand) -> None:
    for times in range(1, 1 + stand.scale.tries):
        stand.superior.to_server.reset_in_frame()
        await stand.failed(times)
        await stand.back()
    assert stand.pushes == ["failed closed", "connecting", "recording"] * stand.scale.tries
    assert_pull_untouched(stand, {"closed"})
    assert_whole(stand)


async def superior_half_closed(stand: Stand) -> None:
    stand.superior.half_close_all(stand.superior.to_client)
    await stand.failed()
    await stand.back()
    assert stand.pushes == ["failed closed", "connecting", "recording"]
    assert_pull_untouched(stand, {"closed"})
    assert_whole(stand)


async def superior_door(stand: Stand, door: Door, cause: str) -> None:
    stand.superior.set_door(door)
    stand.superior.end_all(Cut.RESET)
    await stand.failed(1 + stand.scale.tries)
    stand.superior.set_door(Door.OPEN)
    await stand.back()
    assert_pull_untouched(stand, {"closed", cause})
    assert_whole(stand)


async def superior_takes_no_connection(stand: Stand) -> None:
    await superior_door(stand, Door.DEAF, "timeout")


async def superior_refuses_connections(stand: Stand) -> None:
    await superior_door(stand, Door.SHUT, "unreachable")


async def superior_accepts_and_says_nothing(stand: Stand) -> None:
    await superior_door(stand, Door.SILENT, "timeout")


async def superior_stalled(stand: Stand) -> None:
    """What waits stays bounded, what was dropped is counted, and the pull goes on at full speed."""
    bound = stand.scale.bounds.queue_bytes + MAX_PICTURE
    stand.superior.stall()
    relays = stand.scene.relays
    await eventually(lambda: relays.counters()[stand.key].drops > 0, within=30, what="drops")
    assert relays.counters()[stand.key].queue_bytes <= bound
    await stand.failed(stand.scale.tries)
    stand.superior.heal()
    await stand.back()
    assert relays.counters()[stand.key].queue_bytes <= bound
    assert_pull_untouched(stand, {"timeout"})
    assert_own_and_untorn(stand)


async def superior_throttled(stand: Stand) -> None:
    """A superior that takes less than comes is given whole pictures, from key picture to key picture."""
    bound = stand.scale.bounds.queue_bytes + MAX_PICTURE
    stand.superior.to_server.rate = 200_000
    relays = stand.scene.relays
    await eventually(lambda: relays.counters()[stand.key].dropped_frames > 25, within=30, what="drops")
    assert relays.counters()[stand.key].queue_bytes <= bound
    await stand.more_pictures(10)
    stand.superior.heal()
    await stand.back()
    found = (stand.ends, stand.gaps, stand.pushes)
    assert found == ([], [], []), found
    await eventually(lambda: stand.arrived["missing"] > 0, what="the missing pictures")
    assert_own_and_untorn(stand)


def assert_own_and_untorn(stand: Stand) -> None:
    """Assert that pictures are missing as a whole or not at all."""
    wrong = {name: stand.arrived[name] for name in ("foreign", "unframed", "torn")}
    assert not any(wrong.values()), wrong


async def superior_hears_nothing(stand: Stand) -> None:
    """Half open: what we send is acknowledged and lost, so that only the keepalive tells."""
    stand.superior.to_server.is_lost = True
    await stand.failed()
    stand.superior.heal()
    await stand.back()
    assert_pull_untouched(stand, {"timeout"})
    assert_whole(stand)


# -- our own machine -----------------------------------------------------------------------------------


async def no_descriptor_left(stand: Stand) -> None:
    """The fault is ours and shows as ours: the camera and the superior are innocent."""
    scene = stand.scene
    used = scene.descriptors()
    first_free = next(number for number in count() if number not in used)
    soft, hard = resource.prlimit(scene.worker, resource.RLIMIT_NOFILE)
    resource.prlimit(scene.worker, resource.RLIMIT_NOFILE, (first_free, hard))
    try:
        stand.camera.end_all(Cut.RESET)
        await stand.ended(1 + stand.scale.tries)
    finally:
        resource.prlimit(scene.worker, resource.RLIMIT_NOFILE, (soft, hard))
    await stand.back()
    assert_tries(stand, ("closed", True), {("local_error", False)})
    assert_whole(stand)


SUPERIOR: Final[Sequence[Scenario]] = (
    superior_delayed,
    superior_resets_in_a_frame,
    superior_half_closed,
    superior_takes_no_connection,
    superior_refuses_connections,
    superior_accepts_and_says_nothing,
    superior_stalled,
    superior_throttled,
)
ALONE: Final[Sequence[Scenario]] = (no_descriptor_left,)
"""What is done to the whole worker: not beside others that must begin again."""
LONG: Final[Sequence[Scenario]] = (superior_hears_nothing,)
"""A keepalive of a push may take 30 s: too long for every run."""
HEAVY_ONES: Final = frozenset({superior_stalled, superior_throttled})
