"""A limit of our own, as a user meets it: who waits for it stays online, is offline when it is gone, and is told."""

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.gateway_process import MusterProcess, RollLine, code_of, installation, prepare
from tests.interop.relay_peers import gst_peer
from tests.waiting import eventually

pytestmark = [pytest.mark.interop, pytest.mark.slow, pytest.mark.timeout(150)]

ONE, TWO = code_of(1), code_of(2)


async def ask_relay(muster: MusterProcess, source_id: int) -> tuple[int, Any]:
    token = (muster.folder / "operator.token").read_text(encoding="ascii").strip()
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session,
        session.post(muster.url("/api/v1/relays"), json={"source_id": source_id}) as answer,
    ):
        return answer.status, await answer.json()


async def text(muster: MusterProcess, path: str) -> str:
    token = (muster.folder / "operator.token").read_text(encoding="ascii").strip()
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session,
        session.get(muster.url(path)) as answer,
    ):
        return await answer.text()


async def test_who_waits_for_our_limit_is_online_while_it_answers_and_offline_when_it_does_not(
    tmp_path: Path,
) -> None:
    async with AsyncExitStack() as stack:
        cameras = {code: await stack.enter_async_context(gst_peer()) for code in (ONE, TWO)}
        muster = await stack.enter_async_context(installation(tmp_path))
        await prepare(muster, [RollLine(code, camera.port) for code, camera in cameras.items()])
        await muster.start()
        await muster.wait_shown(ONE, "online")
        await muster.wait_shown(TWO, "online")
        assert await muster.stop() == 0

        with muster.config.open("a", encoding="utf-8") as config:
            config.write("max_pulls = 1\n")
        await muster.start()
        await muster.wait_shown(ONE, "online")
        await muster.wait_shown(TWO, "online")

        async def waiting() -> list[str]:
            return [code for code in cameras if (await muster.source(code))["obstacle"] == "pull_limit"]

        async def one_waits() -> bool:
            return len(await waiting()) == 1

        await eventually(one_waits, within=20, what="one that waits")
        [code] = await waiting()
        source = await muster.source(code)
        assert (source["status"]["shown"], source["status"]["reasons"]) == ("online", [])
        relays = await muster.get("/api/v1/relays")
        assert [row["source_id"] for row in relays["items"]] != [source["source_id"]]
        assert (relays["budget"]["pulls"], relays["budget"]["waiting"]) == (1, {"pull_limit": 1})
        status, problem = await ask_relay(muster, source["source_id"])
        assert (status, problem["code"], problem["limit"]["setting"]) == (503, "relay_limit", "max_pulls")

        async def is_counted() -> bool:
            return 'muster_pulls_waiting{limit="pull_limit"} 1.0' in await text(muster, "/metrics")

        await eventually(is_counted, what="the metric")
        await cameras[code].kill()
        await muster.wait_shown(code, "offline")
        assert [await muster.shown(other) for other in cameras if other != code] == ["online"]
        assert await muster.stop() == 0
