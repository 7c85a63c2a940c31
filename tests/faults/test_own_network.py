"""Our own interface goes down: in network namespaces of the test's own, with a real camera and a real default route.

Nothing leaves the machine: the default route of the gateway's namespace leads to the camera's namespace.
"""

import asyncio
import json
import os
import shutil
import subprocess
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.gateway_process import MUSTER, MusterProcess, RollLine, code_of, installation, prepare
from tests.interop.relay_peers import PEER
from tests.waiting import eventually


def may_make_namespaces() -> bool:
    """Tell whether this user may, here: a container's root may not."""
    if shutil.which("ip") is None or shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False).returncode == 0


pytestmark = [
    pytest.mark.interop,
    pytest.mark.slow,
    pytest.mark.timeout(120),
    pytest.mark.skipif(not may_make_namespaces(), reason="makes network namespaces: needs root and iproute2"),
]

CAMERA, PORT = "10.77.0.2", 8554


async def call(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    async with asyncio.timeout(10):
        _, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()


class Wires:
    """Two namespaces joined twice: by the cameras' network, and by the way of everything else."""

    def __init__(self) -> None:
        name = uuid.uuid4().hex[:6]
        self.gateway, self.camera = f"mg-{name}", f"mc-{name}"

    async def lay(self) -> None:
        for namespace in (self.gateway, self.camera):
            await call("ip", "netns", "add", namespace)
            await self.set(namespace, "lo", "up")
        for ours, theirs, network in (("cams", "peer-cams", "10.77.0"), ("uplink", "peer-uplink", "10.78.0")):
            pair = ("type", "veth", "peer", "name", theirs, "netns", self.camera)
            await call("ip", "link", "add", ours, "netns", self.gateway, *pair)
            for namespace, link, last in ((self.gateway, ours, 1), (self.camera, theirs, 2)):
                await call("ip", "-n", namespace, "addr", "add", f"{network}.{last}/24", "dev", link)
                await self.set(namespace, link, "up")
        await call("ip", "-n", self.gateway, "route", "add", "default", "via", "10.78.0.2")

    async def set(self, namespace: str, link: str, state: str) -> None:
        await call("ip", "-n", namespace, "link", "set", link, state)

    async def take_up(self) -> None:
        for namespace in (self.gateway, self.camera):
            await call("ip", "netns", "del", namespace)


@asynccontextmanager
async def running(*command: str, folder: Path, log: str, environ: dict[str, str]) -> AsyncIterator[None]:
    with (folder / log).open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command, cwd=folder, env={**os.environ, **environ}, stdout=output, stderr=output
        )
    try:
        yield
    finally:
        process.kill()
        await process.wait()


async def shown(muster: MusterProcess) -> str:
    """The displayed state, asked of the catalog: the API listens in the other namespace."""
    listed = await muster.run("source", "list")
    return next(line for line in listed.splitlines() if code_of(1) in line)


async def wait_shown(muster: MusterProcess, state: str) -> None:
    async def is_shown() -> bool:
        return state in await shown(muster)

    await eventually(is_shown, within=40, what=state)


async def test_our_own_interface_down_is_unknown_and_nobody_is_asked_by_another_way(tmp_path: Path) -> None:
    wires = Wires()
    await wires.lay()
    try:
        async with installation(tmp_path) as muster:
            await prepare(muster, [RollLine(code_of(1), PORT, host=CAMERA)])
            await muster.run("network", "authorise", f"{CAMERA}/32", "--document", "d", "--approver", "a")
            environ = {"MUSTER_CONFIG": str(muster.config), "PYTHONPATH": str(Path(__file__).parents[2])}
            camera = ("/usr/bin/python3", str(PEER), "--host", CAMERA, "--port", str(PORT))
            inside = ("ip", "netns", "exec")
            async with running(
                *inside, wires.gateway, *MUSTER, "serve", folder=tmp_path, log="serve.log", environ=environ
            ):
                async with running(
                    *inside, wires.camera, *camera, folder=tmp_path, log="camera.log", environ={}
                ):
                    await wait_shown(muster, "online")
                    await wires.set(wires.gateway, "cams", "down")
                    await wait_shown(muster, "unknown")
                    blind = await shown(muster)
                    await wires.set(wires.gateway, "cams", "up")
                    await wait_shown(muster, "online")
                await wait_shown(muster, "offline")
            offline = json.loads(await muster.run("report", "offline", "--format", "json"))
            sound = await muster.run("check")
    finally:
        await wires.take_up()

    assert "own_network_down" in blind
    assert [row["gb_id"] for row in offline] == [code_of(1)]
    assert "0 findings" in sound
