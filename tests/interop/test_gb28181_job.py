"""Devices that are given only our address, our id and their password show up by themselves, as a user runs it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import av
import pytest
from av.video.codeccontext import VideoCodecContext

from adapters.simulator.gb_device import GbQuirk, VirtualChannel, VirtualGbDevice
from adapters.simulator.ps_mux import PsQuirk
from tests.faults.installed import ask
from tests.gateway_process import PERSON, MusterProcess, RollLine, code_of, free_port, installation, prepare
from tests.gb_devices import OWN_ID, Running, add_device, running, secret, settings
from tests.waiting import eventually

pytestmark = [pytest.mark.interop, pytest.mark.slow, pytest.mark.timeout(240)]

RECORDER = "99010000001180000001"
ONE, TWO = code_of(1), code_of(2)


def recorder(port: int, **more: Any) -> VirtualGbDevice:
    device = VirtualGbDevice(
        RECORDER,
        secret(),
        OWN_ID,
        ("127.0.0.1", port),
        (VirtualChannel(ONE, "东门"), VirtualChannel(TWO, "西门", codec="H265")),
        keepalive=2.0,
    )
    return replace(device, **more)


async def snapshot(muster: MusterProcess, code: str) -> tuple[int, int]:
    """Ask for a look at a source and take a single picture by it; return its size in pixels."""
    source_id = (await muster.source(code))["source_id"]
    look = await ask(muster, "POST", f"/api/v1/sources/{source_id}/looks", {"purpose": "test"})
    assert look.status == 201, look.body
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(30)) as session,
        session.get(
            muster.url(look.body["snapshot"]), headers={"Authorization": f"Bearer {look.body['token']}"}
        ) as answer,
    ):
        assert answer.content_type == "image/jpeg", await answer.text()
        decoder = av.CodecContext.create("mjpeg", "r")
        assert isinstance(decoder, VideoCodecContext)
        [picture] = decoder.decode(av.Packet(await answer.read()))
        return picture.width, picture.height


@asynccontextmanager
async def both_online(folder: Path) -> AsyncIterator[tuple[MusterProcess, Running]]:
    """An installation with the recorder, whose two channels are online."""
    port = free_port()
    async with installation(folder, settings=settings(port)) as muster:
        await prepare(muster, [RollLine(code, "", path="", host="", attested="") for code in (ONE, TWO)])
        await add_device(muster, RECORDER)
        await muster.start()
        async with running([recorder(port)]) as devices:
            for code in (ONE, TWO):
                await muster.wait_shown(code, "online", within=90)
            yield muster, devices


@pytest.mark.parametrize(
    ("media", "transport", "quirks", "ps_quirks"),
    [
        ("tcp_passive", "udp", (GbQuirk.PREAMBLE, GbQuirk.REGISTERS_ONCE), (PsQuirk.BAD_MAP,)),
        ("tcp_active", "tcp", (GbQuirk.OWN_SSRC, GbQuirk.BARE_AMPERSAND), (PsQuirk.NO_MAP,)),
        ("udp", "udp", (GbQuirk.NO_SSRC, GbQuirk.CONTENT_LENGTH_ZERO), (PsQuirk.PACK_WITHOUT_BODY,)),
    ],
)
async def test_a_recorder_shows_up_and_gives_its_pictures(
    tmp_path: Path,
    media: str,
    transport: str,
    quirks: tuple[GbQuirk, ...],
    ps_quirks: tuple[PsQuirk, ...],
) -> None:
    port = free_port()
    async with AsyncExitStack() as stack:
        muster = await stack.enter_async_context(
            installation(tmp_path, settings=settings(port), MUSTER__RELAY__MEDIA_PORTS="30000-30999")
        )
        await prepare(muster, [RollLine(code, "", path="", host="", attested="") for code in (ONE, TWO)])
        await add_device(muster, RECORDER, media=media)
        await muster.start()
        devices = await stack.enter_async_context(
            running(
                [
                    recorder(
                        port, transport=transport, quirks=frozenset(quirks), ps_quirks=frozenset(ps_quirks)
                    )
                ]
            )
        )
        await muster.wait_shown(ONE, "online", within=90)
        await muster.wait_shown(TWO, "online", within=60)
        assert "东门" in await muster.run("gb28181", "show", RECORDER)
        assert devices[RECORDER].calls == 2
        await devices.kill(RECORDER)
        await muster.wait_shown(ONE, "offline", within=30)
        await muster.wait_shown(TWO, "offline", within=10)
        assert secret().reveal() not in muster.log


async def test_a_restart_is_unknown_and_never_offline_and_an_end_takes_leave_of_every_device(
    tmp_path: Path,
) -> None:
    async with both_online(tmp_path) as (muster, devices):
        await muster.kill()
        await muster.start()
        for code in (ONE, TWO):
            await muster.wait_shown(code, "online", within=90)
        history = await muster.get(f"/api/v1/sources/{(await muster.source(ONE))['source_id']}/history")
        assert "offline" not in {each["state"] for each in history["items"]}, history
        assert await muster.stop() == 0
        # Nothing is left running in the recorder: its places are few.
        await eventually(lambda: devices[RECORDER].calls == 0, what="BYE for every session")
        assert secret().reveal() not in muster.log
        assert '"level": "error"' not in muster.log


async def test_without_its_account_a_device_is_left_and_its_sources_are_unknown_not_online(
    tmp_path: Path,
) -> None:
    async with both_online(tmp_path) as (muster, devices):
        await muster.run("gb28181", "remove", RECORDER, "--person", PERSON)
        for code in (ONE, TWO):
            await muster.wait_shown(code, "unknown", within=20)
        await eventually(lambda: devices[RECORDER].calls == 0, what="BYE for every session")
        # It goes on trying, is refused, and stands in quarantine.
        await eventually(lambda: devices[RECORDER].refused == 403, within=30, what="the refusal")


async def test_a_sub_stream_comes_where_it_is_asked_for_and_the_main_stream_from_whom_cannot(
    tmp_path: Path,
) -> None:
    port = free_port()
    dahua = replace(recorder(port), sub_stream="streamprofile:1")
    async with AsyncExitStack() as stack:
        muster = await stack.enter_async_context(installation(tmp_path, settings=settings(port)))
        await prepare(muster, [RollLine(code, "", path="", host="", attested="") for code in (ONE, TWO)])
        await add_device(muster, RECORDER, stream="sub")
        await muster.start()
        await stack.enter_async_context(running([dahua]))

        async def codecs() -> dict[str, str]:
            return {each["code"]: each["codec"] for each in (await muster.get("/api/v1/relays"))["items"]}

        async def are(codec: str) -> bool:
            return (await codecs()).get(TWO) == codec

        # Its main stream is H.265.
        await eventually(lambda: are("H264"), within=90, what="the sub stream")
        await muster.run("gb28181", "edit", RECORDER, "--stream", "main")
        await eventually(lambda: are("H265"), within=60, what="the main stream")
        assert await snapshot(muster, TWO) == (640, 360)
        history = await muster.get(f"/api/v1/sources/{(await muster.source(TWO))['source_id']}/history")
        assert "offline" not in {each["state"] for each in history["items"]}, history
