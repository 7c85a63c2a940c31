"""HTTP Digest as lighttpd asks it, in front of a camera that itself asks nobody: a server that nobody here wrote."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from adapters.base import Credential, OnvifTarget
from adapters.errors import AuthenticationFailed
from adapters.onvif.client import OnvifClients
from adapters.simulator.camera import Asks, VirtualCamera
from adapters.simulator.fleet import Fleet
from catalog.model.secret import Secret
from gateway.clock import SystemClock
from tests.fakes.ws_device import free_udp_port
from tests.gateway_process import free_port

UNPACKED = Path(__file__).resolve().parents[2] / ".venv" / "lighttpd"
"""Where `deploy/test` lays its files: installed, it would listen on port 80 for good."""

LIGHTTPD = shutil.which("lighttpd", path=f"{UNPACKED}/usr/sbin")

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(LIGHTTPD is None, reason="deploy/test could not download lighttpd"),
]

CONFIG = """
server.port = {port}
server.bind = "127.0.0.1"
server.document-root = "{folder}"
server.errorlog = "{folder}/error.log"
server.modules = ("mod_auth", "mod_authn_file", "mod_proxy")
auth.backend = "plain"
auth.backend.plain.userfile = "{folder}/users"
auth.require = ("/onvif/" => ("method" => "digest", "realm" => "camera", "algorithm" => "{algorithm}",
  "require" => "valid-user"))
proxy.server = ("/onvif/" => (("host" => "{host}", "port" => {backend})))
"""
PASSWORD = Secret("canary-lighttpd-9")


@asynccontextmanager
async def lighttpd(folder: Path, camera: VirtualCamera, algorithm: str) -> AsyncIterator[int]:
    """Run lighttpd before `camera`; yield its port."""
    port = free_port()
    (folder / "users").write_text(f"admin:{PASSWORD.reveal()}\n", encoding="ascii")
    config = CONFIG.format(
        port=port, folder=folder, algorithm=algorithm, host=camera.host, backend=camera.http_port
    )
    (folder / "lighttpd.conf").write_text(config, encoding="ascii")
    process = await asyncio.create_subprocess_exec(
        str(LIGHTTPD),
        *("-D", "-m", str(UNPACKED / "usr/lib/lighttpd"), "-f", str(folder / "lighttpd.conf")),
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(10):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    assert process.returncode is None, "lighttpd ended"
                    await asyncio.sleep(0.05)
                else:
                    writer.close()
                    break
        yield port
    finally:
        process.terminate()
        await process.wait()


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
async def test_the_digest_of_lighttpd_is_answered(tmp_path: Path, algorithm: str) -> None:
    camera = VirtualCamera(
        "gate", "127.0.40.2", free_port(), free_port(), asks=Asks.NOTHING, serial="V000888"
    )
    async with (
        Fleet([camera], discovery_port=free_udp_port()) as fleet,
        lighttpd(tmp_path, camera, algorithm) as port,
        OnvifClients(SystemClock()) as clients,
    ):
        await fleet.switch_on()
        target = OnvifTarget("127.0.0.1", port)
        right = clients.device(target, Credential("admin", PASSWORD), may_reach=lambda _: True)
        report = await right.interrogate()
        assert report.identity.serial_number == "V000888"
        # The camera behind names its own address; ours leads through the server that asks.
        assert all(service.xaddr.startswith(f"http://127.0.0.1:{port}/") for service in report.services)
        wrong = clients.device(target, Credential("admin", Secret("wrong")), may_reach=lambda _: True)
        with pytest.raises(AuthenticationFailed):
            await wrong.interrogate()
