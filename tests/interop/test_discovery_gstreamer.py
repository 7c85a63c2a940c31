"""Discovery finds cameras of Debian's GStreamer RTSP server, open and with a password, and asks them for nothing."""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from adapters.rtsp.client import probe
from catalog.database import Database
from catalog.discovery_runs import RunOutcome
from gateway.clock import SystemClock
from gateway.config import DiscoveryConfig
from gateway.discovery import Discovery
from gateway.discovery_plan import SweepRequest
from tests.discovery import PERSON, authorise, place, rows
from tests.seed import seed_roll

pytestmark = [pytest.mark.interop, pytest.mark.postgres]

CAMERA = Path(__file__).with_name("gst_camera.py")
WITH_PASSWORD = {"GST_CAMERA_USER": "operator", "GST_CAMERA_PASSWORD": "correct horse"}


@asynccontextmanager
async def gst_camera(host: str, environ: dict[str, str] | None = None) -> AsyncIterator[int]:
    """Run a GStreamer camera and give its port."""
    process = await asyncio.create_subprocess_exec(
        "/usr/bin/python3",
        str(CAMERA),
        "--host",
        host,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **(environ or {})},
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(30):
            line = (await process.stdout.readline()).decode()
        found = re.match(r"listening on port (\d+)", line)
        assert found is not None, line
        yield int(found[1])
    finally:
        process.kill()
        await process.communicate()


async def test_real_cameras_are_found_and_what_the_roll_only_half_knows_waits_for_a_person(
    database: Database,
) -> None:
    seeded = await seed_roll(database, count=2)
    clock = SystemClock()
    async with gst_camera("127.9.9.4") as attested, gst_camera("127.9.9.4", WITH_PASSWORD) as unknown:
        await place(database, seeded.source_ids[0], "127.9.9.4", attested, "/stream", confirmed_by="roll:x")
        await place(database, seeded.source_ids[1], "127.9.9.4", 9, "/stream")
        await authorise(database, "127.9.9.4/32", clock.now())
        discovery = Discovery(database, DiscoveryConfig(), clock=clock, probe=probe)
        run = await discovery.sweep(SweepRequest("127.9.9.4", PERSON, (attested, unknown, 9)))
    assert (run.outcome, run.probed, run.answered) == (RunOutcome.FINISHED, 3, 2)
    found = await rows(database, "SELECT port, state, source_id, server, match_rule FROM sighting")
    by_port = {row["port"]: row for row in found}
    assert set(by_port) == {attested, unknown}
    assert by_port[attested]["state"] == "matched"
    assert by_port[attested]["source_id"] == seeded.source_ids[0]
    # The roll names this host for two sources, on other ports: a proposal for a person, never a match.
    assert by_port[unknown]["state"] == "awaiting_confirmation"
    assert by_port[unknown]["match_rule"] == "host"
    assert "GStreamer" in str(by_port[attested]["server"])
