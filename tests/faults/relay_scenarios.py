"""The faults of the relay one by one: each is done to one source, and what is said of it must fit exactly.

Each is a scenario of `relay_scene`; a fault between camera and Muster must never show as the superior's
and the other way round.
"""

import asyncio
import resource
from collections.abc import Sequence
from itertools import count
from typing import Final

from adapters.base import Transport
from gateway.relay.queue import MAX_PICTURE
from gateway.relay.spec import RelayBounds
from tests.fakes.fault_proxy import Cut, Door
from tests.faults.relay_scene import HEAVY, LIGHT, Outcome, Scale, Scenario, Scene, Stand, name_of
from tests.waiting import eventually

RSS_GROWTH: Final = 60_000_000
"""Bytes that the worker may have grown by when all is over."""
KEEPALIVES: Final = 100
"""Pictures in whose time more than one keepalive is due: the cameras' sessions end after 4 s."""
PUSHED_AGAIN: Final = ["idle", "connecting", "recording"]


def assert_nothing_ended(stand: Stand) -> None:
    """Assert that neither pull nor push noticed, and no picture was lost."""
    assert (stand.ends, stand.gaps, stand.pushes) == ([], [], [])
    assert stand.arrived["records"] == 1
    assert_whole(stand)


def assert_whole(stand: Stand) -> None:
    """Assert that whatever arrived by one connection is without a hole and its own."""
    wrong = {name: stand.arrived.get(name, 0) for name in ("foreign", "unframed", "missing", "torn")}
    assert not any(wrong.values()), wrong


def assert_tries(stand: Stand, first: tuple[str, bool], later: set[tuple[str, bool]]) -> None:
    """Assert how the pull that played ended, and each try after it; the push only ever followed the pull."""
    assert stand.ends[0] == first, stand.ends
    assert set(stand.ends[1:]) <= later, stand.ends
    assert not any(state.startswith("failed") for state in stand.pushes), stand.pushes
    assert stand.pushes[-3:] == PUSHED_AGAIN, stand.pushes


def assert_pull_untouched(stand: Stand, causes: set[str]) -> None:
    """Assert that only the push failed, and why."""
    assert (stand.ends, stand.gaps, stand.camera.counts.accepted) == ([], [], 1)
    assert {state for state in stand.pushes if state.startswith("failed")} == {f"failed {c}" for c in causes}
    assert stand.pushes[-1] == "recording"


# -- between camera and Muster, TCP --------------------------------------------------------------------


async def camera_delayed(stand: Stand) -> None:
    for way in (stand.camera.to_client, stand.camera.to_server):
        way.delay, way.jitter = 0.15, 0.1
    await stand.more_pictures(stand.scale.pictures)
    stand.camera.heal()
    await stand.back()
    assert_nothing_ended(stand)


async def camera_throttled(stand: Stand) -> None:
    stand.camera.to_client.rate = 10_000
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
    assert stand.gaps == ["opened"]
    assert_whole(stand)


async def camera_stalled_one_way(stand: Stand) -> None:
    stand.camera.to_client.stall()
    await stand.ended(stand.scale.tries)
    stand.camera.heal()
    await stand.back()
    assert_tries(stand, ("timeout", True), {("timeout", False), ("closed", False)})
    assert stand.gaps == ["opened"]
    assert_whole(stand)


async def camera_black_hole(stand: Stand) -> None:
    stand.camera.lose()
    await stand.ended(stand.scale.tries)
    stand.camera.heal()
    await stand.back()
    assert_tries(stand, ("timeout", True), {("timeout", False), ("closed", False)})
    assert stand.gaps == ["opened"]
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
    assert stand.gaps == []
    assert_whole(stand)


async def camera_reset_in_a_frame(stand: Stand) -> None:
    for times in range(1, 1 + stand.scale.tries):
        stand.camera.to_client.reset_in_frame()
        await stand.ended(times)
        await stand.back()
    assert_tries(stand, ("closed", True), {("closed", True)})
    assert stand.gaps == []
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
    assert stand.gaps == []
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
    assert (stand.ends, stand.gaps, stand.pushes) == ([], [], [])
    assert (stand.arrived["records"], stand.arrived.get("foreign", 0)) == (1, 0)
    assert stand.arrived.get("unframed", 0) == 0


async def datagrams_in_a_black_hole(stand: Stand) -> None:
    """The RTSP connection lives and answers: only the media are missing."""
    stand.media.is_lost = True
    await stand.ended(stand.scale.tries)
    stand.media.heal()
    await stand.back()
    assert_tries(stand, ("timeout", True), {("timeout", True)})
    assert stand.gaps[0] == "opened"
    assert stand.arrived.get("foreign", 0) == 0


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
    stand.superior.to_server.rate = 150_000
    relays = stand.scene.relays
    await eventually(lambda: relays.counters()[stand.key].dropped_frames > 25, within=30, what="drops")
    assert relays.counters()[stand.key].queue_bytes <= bound
    await stand.more_pictures(10)
    stand.superior.heal()
    await stand.back()
    assert (stand.ends, stand.gaps, stand.pushes) == ([], [], [])
    await eventually(lambda: stand.arrived.get("missing", 0) > 0, what="the missing pictures")
    assert_own_and_untorn(stand)


def assert_own_and_untorn(stand: Stand) -> None:
    """Assert that pictures are missing as a whole or not at all."""
    wrong = {name: stand.arrived.get(name, 0) for name in ("foreign", "unframed", "torn")}
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
        failure = repr(error)
    return Outcome(name_of(scenario), seen, failure)


async def play(scene: Scene, scenarios: Sequence[Scenario], scale: Scale) -> list[Outcome]:
    """Play all scenarios at once in one worker, beside a neighbour that must notice nothing."""
    async with scene.stand(Scale(RelayBounds())) as neighbour:
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
        failure = repr(error)
    grown = (scene.resident() - resident) / 1e6
    seen = (
        f"{neighbour.seen()}; worker {grown:+.0f} MB, {len(scene.descriptors()) - descriptors:+d} descriptors"
    )
    return Outcome("neighbour in the same worker", seen, failure)
