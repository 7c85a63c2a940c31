"""Two installed gateways over one catalog that see one GStreamer camera (4.7, E14).

Timers are shortened in the configuration, nothing else differs.
"""

import shutil
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path

import pytest

from tests.gateway_process import MusterProcess, RollLine, code_of, free_port, installation, prepare
from tests.interop.relay_peers import gst_peer
from tests.waiting import eventually

pytestmark = [pytest.mark.interop, pytest.mark.postgres, pytest.mark.slow, pytest.mark.timeout(150)]

ONE = code_of(1)


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def become_second(muster: MusterProcess, first: MusterProcess) -> None:
    """Be another gateway that has an eye on the sources of the first."""
    text = muster.config.read_text(encoding="utf-8")
    text = text.replace('id = "test"', 'id = "second"\nsecond_sight_of = ["test"]')
    muster.config.write_text(text, encoding="utf-8")
    shutil.copy(first.folder / "operator.token", muster.folder / "operator.token")


async def test_what_the_second_gateway_sees_is_shown_while_the_first_is_down(
    tmp_path: Path, database_url: str
) -> None:
    folders = [tmp_path / name for name in ("first", "second")]
    for folder in folders:
        folder.mkdir()
    async with AsyncExitStack() as stack:
        port = free_port()
        camera = await stack.enter_async_context(gst_peer("--port", str(port)))
        first, second = [
            await stack.enter_async_context(
                installation(folder, settings=f'\n[database]\nurl = "{database_url}"\n')
            )
            for folder in folders
        ]
        await prepare(first, [RollLine(ONE, port)])
        become_second(second, first)
        await first.start()
        await first.wait_shown(ONE, "online")
        await second.start()

        async def is_hidden_from_the_first() -> bool:
            [site] = (await second.get("/api/v1/sites"))["items"]
            return bool(site["unknown_reason"] == "gateway_down")

        await first.kill()
        await eventually(is_hidden_from_the_first, within=20, what="the silence of the first gateway")
        await second.wait_shown(ONE, "online")
        total = (await second.get("/api/v1/reports/summary"))["total"]
        assert (total["online"]["count"], total["unknown"]["count"]) == (1, 0)

        await camera.kill()
        await second.wait_shown(ONE, "unknown")
        await stack.enter_async_context(gst_peer("--port", str(port)))
        await second.wait_shown(ONE, "online")

        await first.start()
        await first.wait_shown(ONE, "online")
        [row] = (await second.get("/api/v1/reports/rates?by=source"))["items"]
        source = await second.source(ONE)
        overlays = (await second.get(f"/api/v1/sources/{source['source_id']}/history"))["overlays"]
        down = sum(
            (instant(each["ended_at"]) - instant(each["started_at"])).total_seconds()
            for each in overlays
            if each["reason"] == "gateway_down"
        )
        # Of the time in which the first was down what the second saw is not hidden.
        assert 0 < row["excluded"]["gateway_down"] < down - 2
        assert row["offline_seconds"] == 0
        assert "0 findings" in await first.run("check")
        assert (await first.stop(), await second.stop()) == (0, 0)
