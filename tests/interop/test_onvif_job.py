"""A camera that nobody here wrote announces itself, is matched, interrogated, and connected; as a user runs it."""

from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from adapters.simulator.camera import VirtualCamera
from adapters.simulator.fleet import Fleet
from catalog.model.secret import Secret
from tests.faults.installed import ask
from tests.gateway_process import (
    PERSON,
    MusterProcess,
    RollLine,
    authorise,
    code_of,
    free_port,
    installation,
    prepare,
)
from tests.interop.ipycam_camera import PASSWORD, USERNAME, ipycam
from tests.waiting import eventually

pytestmark = [pytest.mark.interop, pytest.mark.slow, pytest.mark.timeout(150)]

CODE = code_of(1)
LOOPBACK = """
[onvif]
interfaces = ["127.0.0.1"]
probe_interval = 5
"""
ROW = RollLine(CODE, "", path="", credential_ref="gate", serial="PY-000777")


async def type_password(muster: MusterProcess, password: str) -> None:
    file = muster.folder / "password"
    file.write_text(f"{password}\n", encoding="utf-8")
    await muster.run(
        *(
            "credential",
            "set",
            "gate",
            "--username",
            USERNAME,
            "--password-file",
            str(file),
            "--person",
            PERSON,
        )
    )


async def device_of(muster: MusterProcess) -> Any:
    source = await muster.source(CODE)
    return await muster.get(f"/api/v1/sources/{source['source_id']}/onvif")


async def test_a_camera_known_by_a_row_and_a_network_alone_is_found_and_connected(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        muster = await stack.enter_async_context(installation(tmp_path, settings=LOOPBACK))
        await prepare(muster, [ROW])
        await type_password(muster, PASSWORD)
        await muster.start()
        assert await muster.shown(CODE) == "never_connected"

        camera = await stack.enter_async_context(ipycam(tmp_path))
        await muster.wait_shown(CODE, "online", within=60)
        found = await device_of(muster)
        [device] = [each for each in found["devices"] if each["port"] == camera.onvif_port]
        assert device["report"]["identity"]["serial_number"] == "PY-000777"
        assert {event["kind"] for event in found["events"]} >= {"interrogated"}
        assert PASSWORD not in muster.log


async def test_a_wrong_password_is_told_as_such_and_a_right_one_helps_at_once(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        muster = await stack.enter_async_context(installation(tmp_path, settings=LOOPBACK))
        await prepare(muster, [ROW])
        await type_password(muster, "wrong-canary-55")
        await stack.enter_async_context(ipycam(tmp_path))
        await muster.start()

        async def is_refused() -> bool:
            devices = (await device_of(muster))["devices"]
            return any(each["cause"] == "authentication_failed" for each in devices)

        await eventually(is_refused, within=40, what="a refusal")
        assert await muster.shown(CODE) == "never_connected"
        await type_password(muster, PASSWORD)
        await muster.wait_shown(CODE, "online", within=60)
        assert "wrong-canary-55" not in muster.log


async def test_a_camera_is_asked_for_a_key_picture_when_a_look_would_wait_for_one(tmp_path: Path) -> None:
    camera = VirtualCamera(
        "gate",
        "127.0.40.3",
        free_port(),
        free_port(),
        username=USERNAME,
        password=Secret(PASSWORD),
        serial="PY-000777",
        key_every=10,
    )
    # Nothing is kept of the stream, as with a camera whose groups of pictures are too long to be kept.
    settings = "gop_bytes = 0\n" + LOOPBACK
    async with AsyncExitStack() as stack:
        fleet = await stack.enter_async_context(Fleet([camera]))
        muster = await stack.enter_async_context(installation(tmp_path, settings=settings))
        await prepare(muster, [replace(ROW, host=camera.host)])
        await authorise(muster, f"{camera.host}/32")
        await type_password(muster, PASSWORD)
        await muster.start()
        await fleet.switch_on()
        await muster.wait_shown(CODE, "online", within=60)
        source_id = (await muster.source(CODE))["source_id"]
        assert fleet.condition("gate").key_frames_asked == 0
        look = (await ask(muster, "POST", f"/api/v1/sources/{source_id}/looks", {"purpose": "patrol"})).body
        headers = {"Authorization": f"Bearer {look['token']}"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.get(muster.url(look["snapshot"])) as answer,
        ):
            assert (answer.status, answer.content_type) == (200, "image/jpeg")
        await eventually(lambda: fleet.condition("gate").key_frames_asked == 1, what="the camera was asked")
