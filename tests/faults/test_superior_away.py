"""A superior that is away, refuses or takes nothing: never the source's fault, and pushed to when it is back."""

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import pytest

from tests.fakes.camera import SwitchedCamera, cameras, quiet_ports
from tests.fakes.rtsp_server import FakeRtspServer, Script
from tests.faults.installed import (
    NeverShown,
    assert_exactly_once,
    assert_sound,
    lines,
    prepare,
    sources,
    states,
    wait_all,
    watch,
)
from tests.gateway_process import MusterProcess, code_of, installation
from tests.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]

CODES: Final = [code_of(number) for number in range(1, 4)]
SETTINGS: Final = "\nreconnect_longest = 4\nconnect_timeout = 2\nresponse_timeout = 3\n"
REFUSAL: Final = {
    "ANNOUNCE": b"RTSP/1.0 403 Forbidden\r\nCSeq: {cseq}\r\nContent-Length: 0\r\n\r\n",
}


async def relays(muster: MusterProcess) -> list[Any]:
    return list((await muster.get("/api/v1/relays"))["items"])


async def wait_pushes(muster: MusterProcess, *, up: bool) -> None:
    async def are() -> bool:
        found = [relay["sink_state"] == "recording" for relay in await relays(muster)]
        return len(found) == len(CODES) and all(each is up for each in found)

    await eventually(are, within=40, what="pushes up" if up else "pushes down")


async def wait_obstacle(muster: MusterProcess, word: str | None) -> None:
    async def is_told() -> bool:
        return all(row["obstacle"] == word for row in (await sources(muster)).values())

    await eventually(is_told, within=30, what=f"obstacle {word}")


async def test_a_superior_that_goes_refuses_or_stalls_touches_no_source(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        crowd = await stack.enter_async_context(cameras(3))
        superior = SwitchedCamera(quiet_ports(1)[0], FakeRtspServer(Script(packet_interval=0)))
        stack.push_async_callback(superior.end)
        await superior.switch_on()
        muster = await stack.enter_async_context(installation(tmp_path, settings=SETTINGS))
        await prepare(muster, lines(crowd), sink_port=superior.port)
        await muster.start()
        await wait_all(muster, "online")
        await wait_pushes(muster, up=True)
        watched = NeverShown(muster)

        await superior.switch_off()
        await wait_pushes(muster, up=False)
        await wait_obstacle(muster, "superior_away")
        await watch(watched, 4)
        await superior.switch_on()
        await wait_pushes(muster, up=True)
        await wait_obstacle(muster, None)

        superior.peer.script = Script(packet_interval=0, answers=REFUSAL)
        superior.peer.drop_connections()
        await wait_obstacle(muster, "superior_refused")
        await watch(watched, 4)
        assert all(relay["state"] == "playing" for relay in await relays(muster))
        superior.peer.script = Script(packet_interval=0)
        await wait_pushes(muster, up=True)
        await wait_obstacle(muster, None)

        superior.peer.script = Script(packet_interval=0, silent=frozenset({"OPTIONS", "ANNOUNCE"}))
        superior.peer.drop_connections()
        await wait_obstacle(muster, "superior_away")
        await watch(watched, 4)
        superior.peer.script = Script(packet_interval=0)
        await wait_pushes(muster, up=True)
        await wait_obstacle(muster, None)

        assert {state for seen in watched.seen.values() for state in seen} == {("online", ())}
        for code in CODES:
            assert await states(muster, code) == ["never_connected", "online"]
        assert {camera.peer.methods().count("PLAY") for camera in crowd} == {1}
        await assert_exactly_once(muster, CODES)
        await assert_sound(muster)
        assert await muster.stop() == 0
        assert "hit a bug" not in muster.log


async def test_a_superior_that_was_never_there_makes_no_source_offline(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        crowd = await stack.enter_async_context(cameras(3))
        superior = SwitchedCamera(quiet_ports(1)[0], FakeRtspServer(Script(packet_interval=0)))
        stack.push_async_callback(superior.end)
        muster = await stack.enter_async_context(installation(tmp_path, settings=SETTINGS))
        await prepare(muster, lines(crowd), sink_port=superior.port)
        await muster.start()
        await wait_obstacle(muster, "superior_away")
        found = await sources(muster)
        assert {row["status"]["shown"] for row in found.values()} == {"never_connected"}
        assert all(row["seen_at"] is not None for row in found.values())
        await superior.switch_on()
        await wait_all(muster, "online")
        assert await muster.stop() == 0
