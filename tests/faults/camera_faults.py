"""Faults between camera and Muster: the pull tells them, and the push only ever follows the pull."""

from collections.abc import Sequence
from typing import Final

from tests.fakes.fault_switches import Cut, Door
from tests.faults.relay_scene import Scenario, Stand, assert_nothing_ended, assert_tries, assert_whole

KEEPALIVES: Final = 100
"""Pictures in whose time more than one keepalive is due: the cameras' sessions end after 4 s."""

# -- between camera and Muster, TCP --------------------------------------------------------------------


async def camera_delayed(stand: Stand) -> None:
    for way in (stand.camera.to_client, stand.camera.to_server):
        way.delay, way.jitter = 0.15, 0.1
    await stand.more_pictures(stand.scale.pictures)
    stand.camera.heal()
    await stand.back()
    assert_nothing_ended(stand)


async def camera_throttled(stand: Stand) -> None:
    stand.camera.to_client.rate = 6_000
    await stand.more_pictures(stand.scale.pictures // 2)
    stand.camera.heal()
    await stand.back()
    assert_nothing_ended(stand)


async def camera_stalled(stand: Stand) -> None:
    stand.camera.stall()
    await stand.ended(stand.scale.tries)
    stand.camera.heal()
    await stand.back()
    assert_tries(stand, ("timeout", True), {("timeout", False), ("closed", False)})
    assert stand.gaps == ["opened"], stand.gaps
    assert_whole(stand)


async def camera_stalled_one_way(stand: Stand) -> None:
    stand.camera.to_client.stall()
    await stand.ended(stand.scale.tries)
    stand.camera.heal()
    await stand.back()
    assert_tries(stand, ("timeout", True), {("timeout", False), ("closed", False)})
    assert stand.gaps == ["opened"], stand.gaps
    assert_whole(stand)


async def camera_black_hole(stand: Stand) -> None:
    stand.camera.lose()
    await stand.ended(stand.scale.tries)
    stand.camera.heal()
    await stand.back()
    assert_tries(stand, ("timeout", True), {("timeout", False), ("closed", False)})
    assert stand.gaps == ["opened"], stand.gaps
    assert_whole(stand)


async def camera_hears_nothing(stand: Stand) -> None:
    """Half open: our keepalives are lost, and this camera goes on all the same."""
    stand.camera.to_server.is_lost = True
    await stand.more_pictures(max(KEEPALIVES, stand.scale.pictures))
    assert stand.camera.counts.bytes_lost > 0
    stand.camera.heal()
    await stand.back()
    assert_nothing_ended(stand)


async def camera_half_closed(stand: Stand) -> None:
    stand.camera.half_close_all(stand.camera.to_client)
    await stand.ended()
    await stand.back()
    assert_tries(stand, ("closed", True), set())
    assert stand.gaps == [], stand.gaps
    assert_whole(stand)


async def camera_reset_in_a_frame(stand: Stand) -> None:
    for times in range(1, 1 + stand.scale.tries):
        stand.camera.to_client.reset_in_frame()
        await stand.ended(times)
        await stand.back()
    assert_tries(stand, ("closed", True), {("closed", True)})
    assert stand.gaps == [], stand.gaps
    assert_whole(stand)


async def camera_cut_in_an_answer(stand: Stand) -> None:
    stand.camera.set_door(Door.SHUT)
    stand.camera.end_all(Cut.RESET)
    await stand.ended()
    stand.camera.to_client.cut_after(60, Cut.CLOSE)
    stand.camera.set_door(Door.OPEN)
    await stand.back()
    assert_tries(stand, ("closed", True), {("unreachable", False), ("closed", False)})
    assert ("closed", False) in stand.ends
    assert_whole(stand)


async def camera_door(stand: Stand, door: Door, cause: str) -> None:
    stand.camera.set_door(door)
    stand.camera.end_all(Cut.RESET)
    await stand.ended(1 + stand.scale.tries)
    stand.camera.set_door(Door.OPEN)
    await stand.back()
    assert_tries(stand, ("closed", True), {(cause, False)})
    assert stand.gaps == [], stand.gaps
    assert_whole(stand)


async def camera_takes_no_connection(stand: Stand) -> None:
    await camera_door(stand, Door.DEAF, "timeout")


async def camera_refuses_connections(stand: Stand) -> None:
    await camera_door(stand, Door.SHUT, "unreachable")


async def camera_accepts_and_says_nothing(stand: Stand) -> None:
    await camera_door(stand, Door.SILENT, "timeout")


# -- between camera and Muster, UDP --------------------------------------------------------------------


async def datagrams_lost(stand: Stand) -> None:
    stand.media.loss = 0.1
    await stand.more_pictures(stand.scale.pictures)
    stand.media.heal()
    await stand.back()
    assert stand.media.counts.lost > 0
    assert_borne(stand)


async def datagrams_doubled_and_overtaken(stand: Stand) -> None:
    stand.media.duplication = stand.media.reordering = 0.1
    stand.media.jitter = 0.02
    await stand.more_pictures(stand.scale.pictures)
    stand.media.heal()
    await stand.back()
    assert min(stand.media.counts.duplicated, stand.media.counts.reordered) > 0
    assert_borne(stand)


def assert_borne(stand: Stand) -> None:
    """Assert that pull and push go on, and what arrives is the source's own, holes and all."""
    found = (stand.ends, stand.gaps, stand.pushes)
    assert found == ([], [], []), found
    assert (stand.arrived["foreign"], stand.arrived["unframed"]) == (0, 0), stand.arrived


async def datagrams_in_a_black_hole(stand: Stand) -> None:
    """The RTSP connection lives and answers: only the media are missing."""
    stand.media.is_lost = True
    await stand.ended(stand.scale.tries)
    stand.media.heal()
    await stand.back()
    assert_tries(stand, ("timeout", True), {("timeout", True)})
    assert stand.gaps[0] == "opened"
    assert stand.arrived["foreign"] == 0


CAMERA: Final[Sequence[Scenario]] = (
    camera_delayed,
    camera_throttled,
    camera_stalled,
    camera_stalled_one_way,
    camera_black_hole,
    camera_hears_nothing,
    camera_half_closed,
    camera_reset_in_a_frame,
    camera_cut_in_an_answer,
    camera_takes_no_connection,
    camera_refuses_connections,
    camera_accepts_and_says_nothing,
)
DATAGRAMS: Final[Sequence[Scenario]] = (
    datagrams_lost,
    datagrams_doubled_and_overtaken,
    datagrams_in_a_black_hole,
)
