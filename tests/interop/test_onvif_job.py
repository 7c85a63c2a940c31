"""A camera that nobody here wrote announces itself, is matched, interrogated, and connected; as a user runs it."""

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.gateway_process import PERSON, MusterProcess, RollLine, code_of, installation, prepare
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
