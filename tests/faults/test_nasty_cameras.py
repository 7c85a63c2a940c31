"""Cameras that answer slowly, never, half or wrongly: each with its own reason, and no neighbour notices."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.fakes.camera import SwitchedCamera, cameras, quiet_ports
from tests.fakes.nasty_camera import NASTY, RawPeer, silence, wrong_passwords
from tests.fakes.rtsp_server import FakeRtspServer
from tests.faults.installed import (
    NeverShown,
    ask,
    assert_exactly_once,
    assert_sound,
    lines,
    prepare,
    run_all,
    sources,
    states,
    wait_all,
    watch,
)
from tests.gateway_process import MusterProcess, RollLine, code_of, installation
from tests.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]

HEALTHY: Final = [code_of(number) for number in range(1, 6)]
REFUSING: Final = code_of(50)
STALLED: Final = code_of(51)
RSS_GROWTH: Final = 60_000_000
"""Bytes that a minute of all this may cost a process."""

SETTINGS: Final = """
connect_timeout = 2
response_timeout = 3
media_timeout = 3
"""


@asynccontextmanager
async def switched(peer: FakeRtspServer, port: int) -> AsyncIterator[SwitchedCamera]:
    camera = SwitchedCamera(port, peer)
    await camera.switch_on()
    try:
        yield camera
    finally:
        await camera.end()


def resident(pid: int) -> int:
    """Return the bytes of memory that a process holds."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def memory(muster: MusterProcess) -> int:
    """Return the bytes that the service and its workers hold."""
    assert muster.process is not None
    return sum(resident(pid) for pid in (muster.process.pid, *muster.workers()))


async def add_credential(muster: MusterProcess) -> None:
    password = muster.folder / "password"
    password.write_text("S3cr3t-CANARY-77", encoding="utf-8")
    await run_all(
        muster, [("credential", "set", "gate", "--username", "admin", "--password-file", str(password))]
    )


async def make_stalled_tls(muster: MusterProcess) -> None:
    """Have the operator switch one endpoint to RTSPS."""
    path = f"/api/v1/sources/{(await sources(muster))[STALLED]['source_id']}"
    [plain] = (await muster.get(path))["endpoints"]
    added = {"protocol": "rtsps", "host": plain["host"], "port": plain["port"], "path": "/stream"}
    await change(muster, path, add_endpoint=added)
    [other] = [each for each in (await muster.get(path))["endpoints"] if each["protocol"] == "rtsps"]
    if other["confirmed_at"] is None:
        await change(muster, path, confirm_endpoint=other["endpoint_id"])
    await change(muster, path, remove_endpoint=plain["endpoint_id"])


async def change(muster: MusterProcess, path: str, **body: object) -> None:
    answer = await ask(muster, "PATCH", path, body)
    assert answer.status == 200, answer.body


async def test_each_nasty_camera_has_its_own_reason_and_no_neighbour_notices(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        crowd = await stack.enter_async_context(cameras(5))
        ports = quiet_ports(len(NASTY) + 2)
        roll = lines(crowd)
        expected: dict[str, tuple[str, frozenset[str]]] = {}
        for number, (nasty, port) in enumerate(zip(NASTY, ports, strict=False), start=10):
            await stack.enter_async_context(switched(nasty.make(), port))
            roll.append(RollLine(code_of(number), port))
            expected[code_of(number)] = (nasty.name, nasty.words)
        refusing = await stack.enter_async_context(switched(wrong_passwords(), ports[-1]))
        roll.append(RollLine(REFUSING, ports[-1], credential_ref="gate"))
        expected[REFUSING] = ("endless 401", frozenset({"authentication_failed"}))
        await stack.enter_async_context(switched(RawPeer(silence), ports[-2]))
        roll.append(RollLine(STALLED, ports[-2]))
        expected[STALLED] = ("TLS stall", frozenset({"timeout"}))
        muster = await stack.enter_async_context(installation(tmp_path, settings=SETTINGS))
        await prepare(muster, roll)
        await add_credential(muster)
        await muster.start()
        await make_stalled_tls(muster)

        async def all_named() -> bool:
            found = await sources(muster)
            return all(found[code]["obstacle"] in words for code, (_, words) in expected.items())

        try:
            await eventually(all_named, within=25, what="a reason for each")
        except AssertionError:
            found = await sources(muster)
            told = {name: found[code]["obstacle"] for code, (name, _) in expected.items()}
            raise AssertionError(told) from None
        await wait_all(muster, "online", HEALTHY)
        watched = NeverShown(muster)
        before = memory(muster)
        await watch(watched, 10)

        assert memory(muster) - before < RSS_GROWTH
        assert refusing.peer.refused <= 2
        for code in HEALTHY:
            assert watched.seen[code] == {("online", ())}
            assert await states(muster, code) == ["never_connected", "online"]
        assert {state for code in expected for state, _ in watched.seen[code]} == {"never_connected"}
        await assert_exactly_once(muster, [*HEALTHY, *expected])
        await assert_sound(muster)
        assert await muster.stop() == 0
        assert "hit a bug" not in muster.log
        assert "S3cr3t-CANARY-77" not in muster.log
