"""The main job, end to end, as a user runs it: real cameras, a real central platform, the installed commands.

Cameras and platform are GStreamer's RTSP server; timers are shortened in the configuration, nothing else differs.
"""

import asyncio
import os
import signal
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.gateway_process import PERSON, MusterProcess, RollLine, code_of, free_port, installation, prepare
from tests.interop.relay_peers import gst_peer
from tests.waiting import eventually

pytestmark = [pytest.mark.interop, pytest.mark.slow, pytest.mark.timeout(150)]

ONE, TWO, ABSENT = code_of(1), code_of(2), code_of(3)


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


async def platform(stack: AsyncExitStack, code: str, folder: Path) -> tuple[int, Path]:
    """Start a RECORD target for one code; return its port and the file that takes the elementary stream."""
    output = folder / f"{code}.h264"
    peer = await stack.enter_async_context(
        gst_peer("--record", "--path", f"/muster/{code}", "--output", str(output))
    )
    return peer.port, output


async def history(muster: MusterProcess, code: str) -> list[Any]:
    source = await muster.source(code)
    return list((await muster.get(f"/api/v1/sources/{source['source_id']}/history"))["items"])


async def test_two_cameras_are_found_connected_lost_and_found_again(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        camera_port = free_port()
        first = await stack.enter_async_context(
            gst_peer(environment={"GST_CAMERA_USER": "admin", "GST_CAMERA_PASSWORD": "S3cr3t-CANARY-41"})
        )
        second = await stack.enter_async_context(gst_peer("--port", str(camera_port)))
        target, output = await platform(stack, ONE, tmp_path)
        muster = await stack.enter_async_context(installation(tmp_path))
        await prepare(
            muster,
            [
                RollLine(ONE, first.port, credential_ref="gate"),
                RollLine(TWO, camera_port),
                RollLine(ABSENT, free_port()),
            ],
            sink_port=target,
        )
        password = tmp_path / "password"
        password.write_text("S3cr3t-CANARY-41\n", encoding="utf-8")
        await muster.run(
            *("credential", "set", "gate", "--username", "admin", "--password-file", str(password)),
            *("--person", PERSON),
        )
        await muster.start()

        await muster.wait_shown(ONE, "online")
        # The platform takes only the first camera's path: its refusal of the second is not the second's fault,
        # but without the superior's acceptance there is no first connection.
        assert await muster.shown(TWO) == "never_connected"
        assert await muster.shown(ABSENT) == "never_connected"
        never = (await muster.get("/api/v1/reports/never-connected"))["items"]
        overdue = {row["gb_id"]: row["days_overdue"] for row in never}
        assert overdue.keys() == {TWO, ABSENT}
        assert all(days > 0 for days in overdue.values())

        await muster.run("sink", "remove", "central", "--person", PERSON)
        await muster.wait_shown(TWO, "online")

        before = await muster.source(TWO)
        killed_at = datetime.now(UTC)
        await second.kill()
        await muster.wait_shown(TWO, "offline")
        offline = (await muster.get("/api/v1/reports/offline"))["items"]
        since = instant(offline[0]["since"])
        last = instant(offline[0]["last_positive_at"])
        assert [row["gb_id"] for row in offline] == [TWO]
        assert since - last == timedelta(seconds=1)
        assert abs(last - killed_at) < timedelta(seconds=1)
        assert await muster.shown(ONE) == "online"
        listed = await muster.run("report", "offline", "--format", "csv")
        assert TWO in listed

        await stack.enter_async_context(gst_peer("--port", str(camera_port)))
        await muster.wait_shown(TWO, "online", within=30)
        states = [row["state"] for row in await history(muster, TWO)]
        assert states == ["online", "offline", "online", "never_connected"]
        after = await muster.source(TWO)
        assert after["status"]["first_connected_at"] == before["status"]["first_connected_at"]
        proof = (await history(muster, ONE))[0]["evidence"][0]
        assert (proof["kind"], proof["detail"]["codec"]) == ("connected", "H264")
        assert proof["detail"]["bitrate"] > 0
        assert "0 findings" in await muster.run("check")
        assert await muster.stop() == 0
        assert output.stat().st_size > 10_000
        assert "S3cr3t-CANARY-41" not in muster.log


async def test_after_kill_9_at_most_restart_grace_shows_and_no_since_moves(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        camera = await stack.enter_async_context(gst_peer())
        muster = await stack.enter_async_context(installation(tmp_path))
        await prepare(muster, [RollLine(ONE, camera.port), RollLine(ABSENT, free_port())])
        await muster.start()
        await muster.wait_shown(ONE, "online")
        before = await muster.source(ONE)
        await muster.kill()
        await muster.start()
        seen = set()

        async def is_back() -> bool:
            source = await muster.source(ONE)
            seen.add((source["status"]["shown"], tuple(source["status"]["reasons"])))
            assert source["status"]["state_since"] == before["status"]["state_since"]
            return bool(source["status"]["shown"] == "online")

        await eventually(is_back, within=20, what="online again")
        overlays = (await muster.get(f"/api/v1/sources/{before['source_id']}/history"))["overlays"]

        assert seen <= {("unknown", ("restart_grace",)), ("unknown", ("gateway_down",)), ("online", ())}
        assert (await muster.get("/api/v1/reports/offline"))["items"] == []
        assert [row["state"] for row in await history(muster, ONE)] == ["online", "never_connected"]
        assert "gateway_down" in {overlay["reason"] for overlay in overlays}
        assert "0 findings" in await muster.run("check")


async def test_a_refused_password_is_tried_twice_at_most_until_it_changes(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        camera = await stack.enter_async_context(
            gst_peer(environment={"GST_CAMERA_USER": "admin", "GST_CAMERA_PASSWORD": "right"})
        )
        muster = await stack.enter_async_context(installation(tmp_path))
        await prepare(muster, [RollLine(ONE, camera.port, credential_ref="gate")])
        password = tmp_path / "password"
        password.write_text("wrong", encoding="utf-8")
        login = ("credential", "set", "gate", "--username", "admin", "--password-file", str(password))
        await muster.run(*login, "--person", PERSON)
        await muster.start()

        async def is_refused() -> bool:
            return bool((await muster.source(ONE))["obstacle"] == "authentication_failed")

        await eventually(is_refused, within=30, what="refusal")
        source_id = (await muster.source(ONE))["source_id"]
        endpoints = (await muster.get(f"/api/v1/sources/{source_id}"))["endpoints"]
        assert endpoints[0]["refusals"] <= 2
        assert await muster.shown(ONE) == "never_connected"

        password.write_text("right", encoding="utf-8")
        await muster.run(*login, "--person", PERSON)
        await muster.wait_shown(ONE, "online")


async def test_a_forbidden_or_unattested_location_is_never_relayed(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        camera = await stack.enter_async_context(gst_peer())
        muster = await stack.enter_async_context(installation(tmp_path))
        await prepare(
            muster,
            [
                RollLine(ONE, free_port(), location_type="changing_room"),
                RollLine(TWO, free_port(), location_type=""),
                RollLine(ABSENT, camera.port),
            ],
        )
        await muster.start()
        await muster.wait_shown(ABSENT, "online")
        rejected, unattested = await muster.source(ONE), await muster.source(TWO)
        relays = (await muster.get("/api/v1/relays"))["items"]

        assert (rejected["lifecycle"], rejected["status"]["shown"]) == ("rejected", "rejected")
        assert "WX-9" in " ".join(rejected["status"]["reasons"])
        assert unattested["obstacle"] == "location_unattested"
        assert {relay["code"] for relay in relays} == {ABSENT}


async def test_a_killed_relay_worker_restarts_its_streams_and_changes_no_status(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        camera = await stack.enter_async_context(gst_peer())
        muster = await stack.enter_async_context(installation(tmp_path))
        await prepare(muster, [RollLine(ONE, camera.port)])
        await muster.start()
        await muster.wait_shown(ONE, "online")
        killed = set(muster.workers())
        for worker in killed:
            os.kill(worker, signal.SIGKILL)

        async def is_replaced() -> bool:
            items = (await muster.get("/api/v1/relays"))["items"]
            workers = set(muster.workers())
            return bool(workers and not workers & killed and items and items[0]["state"] == "playing")

        await eventually(is_replaced, within=20, what="another worker")
        await asyncio.sleep(4)  # longer than three misses: a false offline would show by now

        assert await muster.shown(ONE) == "online"
        assert [row["state"] for row in await history(muster, ONE)] == ["online", "never_connected"]


async def test_without_an_authorisation_record_nothing_is_contacted(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        camera = await stack.enter_async_context(gst_peer())
        muster = await stack.enter_async_context(installation(tmp_path))
        await prepare(muster, [RollLine(ONE, camera.port)])
        await muster.run("network", "revoke", "1", "--person", PERSON)
        await muster.start()

        async def is_blocked() -> bool:
            return bool((await muster.source(ONE))["obstacle"] == "network_not_authorised")

        await eventually(is_blocked, within=20, what="obstacle")
        await muster.run(
            *(
                "network",
                "authorise",
                "127.0.0.1/32",
                "--document",
                "d",
                "--approver",
                PERSON,
                "--person",
                PERSON,
            )
        )
        await muster.wait_shown(ONE, "online")


async def test_a_discovered_camera_is_confirmed_by_a_person_and_then_connected(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        camera = await stack.enter_async_context(gst_peer())
        stranger = await stack.enter_async_context(gst_peer("--host", "127.0.0.2"))
        muster = await stack.enter_async_context(installation(tmp_path))
        await prepare(muster, [RollLine(ONE, camera.port, attested="no")])
        await muster.start()
        other = ("127.0.0.2/32", "--document", "test", "--approver", PERSON)
        await muster.run("network", "authorise", *other, "--person", PERSON)
        await muster.run("discover", "127.0.0.1/32", "--port", str(camera.port), "--person", PERSON)
        await muster.run("discover", "127.0.0.2/32", "--port", str(stranger.port), "--person", PERSON)
        sightings = (await muster.get("/api/v1/sightings"))["items"]
        by_port = {row["port"]: row for row in sightings}
        assert by_port[camera.port]["state"] == "awaiting_confirmation"
        assert by_port[stranger.port]["state"] == "quarantined"
        assert await muster.shown(ONE) == "never_connected"

        await muster.run("sighting", "confirm", str(by_port[camera.port]["sighting_id"]), "--person", PERSON)
        await muster.wait_shown(ONE, "online")
