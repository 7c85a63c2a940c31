"""Our ONVIF client against ipycam, a camera that nobody here wrote."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from adapters.base import Credential
from adapters.errors import AuthenticationFailed, CredentialMissing, SoapFault, WeakAuthentication
from adapters.onvif.client import OnvifClients, OnvifDevice
from adapters.onvif.report import PanTilt
from catalog.model.secret import Secret
from gateway.clock import SystemClock
from tests.interop.ipycam_camera import PASSWORD, USERNAME, Ipycam, ipycam

pytestmark = pytest.mark.interop

RIGHT = Credential(USERNAME, Secret(PASSWORD))
WRONG = Credential(USERNAME, Secret("wrong-canary-55"))


@pytest.fixture
async def clients() -> AsyncIterator[OnvifClients]:
    async with OnvifClients(SystemClock()) as opened:
        yield opened


def at(clients: OnvifClients, camera: Ipycam, credential: Credential | None = RIGHT) -> OnvifDevice:
    return clients.device(camera.target, credential, may_reach=lambda host: host == "127.0.0.1")


async def test_it_is_interrogated_and_turned(clients: OnvifClients, tmp_path: Path) -> None:
    async with ipycam(tmp_path) as camera:
        device = at(clients, camera)
        report = await device.interrogate()
        assert (report.identity.manufacturer, report.identity.serial_number) == ("PythonCam", "PY-000777")
        main, sub = report.profiles
        assert (main.encoding, main.width, main.height) == ("H264", 640, 360)
        assert main.stream_uri.startswith(f"rtsp://127.0.0.1:{camera.rtsp_port}/")
        assert main.has_ptz
        assert sub.stream_uri != main.stream_uri
        assert report.clock_offset is not None
        assert abs(report.clock_offset) < 5

        await device.absolute_move(main.token, PanTilt(0.25, -0.5))
        position = (await device.ptz_status(main.token)).position
        assert (position.pan, position.tilt) == (0.25, -0.5)
        preset = await device.set_preset(main.token, "gate")
        assert preset in [each.token for each in await device.presets(main.token)]
        await device.go_to_home(main.token)
        await device.go_to_preset(main.token, preset)
        await device.continuous_move(main.token, PanTilt(pan=0.1), stop_after=1.0)
        await device.stop(main.token)
        with pytest.raises(SoapFault):
            await device.remove_preset(main.token, preset)

        # Its snapshot is asked with HTTP Basic, over plain HTTP: no password of ours travels readable.
        with pytest.raises(WeakAuthentication):
            await device.snapshot(main)


async def test_a_wrong_password_and_none_are_told_apart(clients: OnvifClients, tmp_path: Path) -> None:
    async with ipycam(tmp_path) as camera:
        with pytest.raises(AuthenticationFailed):
            await at(clients, camera, WRONG).interrogate()
        with pytest.raises(CredentialMissing):
            await at(clients, camera, None).interrogate()


@pytest.mark.skipif(shutil.which("faketime") is None, reason="faketime is not installed")
async def test_a_clock_two_hours_ahead_is_learned(clients: OnvifClients, tmp_path: Path) -> None:
    async with ipycam(tmp_path, faketime="+2h") as camera:
        report = await at(clients, camera).interrogate()
    assert report.clock_offset is not None
    assert 7190 < report.clock_offset < 7210
