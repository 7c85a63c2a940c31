"""A camera that nobody here wrote, watched and turned in a real browser, by the installed commands."""

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.gateway_process import MusterProcess, installation, prepare
from tests.interop.browser import Browser, chromium
from tests.interop.ipycam_camera import PASSWORD, ipycam
from tests.interop.test_onvif_job import CODE, LOOPBACK, ROW, type_password
from tests.waiting import eventually

pytestmark = [pytest.mark.interop, pytest.mark.slow, pytest.mark.timeout(180)]

COUNT = """
window.frames_shown = 0; window.frame_size = "";
(function () {
  var video = document.querySelector("video");
  function count(now, of) { window.frames_shown += 1; window.frame_size = of.width + "x" + of.height;
    video.requestVideoFrameCallback(count); }
  video.requestVideoFrameCallback(count);
}());
"""
LOOK = """
document.querySelector("#picture [name=purpose]").value = "patrol";
document.querySelector("#picture form").requestSubmit();
"""


async def log_in(muster: MusterProcess, browser: Browser, page: str) -> None:
    token = (muster.folder / "operator.token").read_text(encoding="ascii").strip()
    await browser.open(muster.url("/login"))
    await eventually(lambda: shows(browser, "button"), what="the login form")
    await browser.run(
        f"document.querySelector('[name=token]').value = {token!r}; document.querySelector('form').submit()"
    )
    await eventually(lambda: shows(browser, ".chain"), what="the overview")
    await browser.open(muster.url(page))
    await eventually(lambda: shows(browser, "#picture"), what="the source's page")


async def shows(browser: Browser, selector: str) -> bool:
    return bool(await browser.text(selector))


async def test_a_camera_is_watched_and_turned(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(ipycam(tmp_path))
        muster = await stack.enter_async_context(installation(tmp_path, settings=LOOPBACK))
        await prepare(muster, [ROW])
        await type_password(muster, PASSWORD)
        await muster.start()
        await muster.wait_shown(CODE, "online", within=60)
        source_id = (await muster.source(CODE))["source_id"]

        browser = await stack.enter_async_context(chromium())
        await log_in(muster, browser, f"/sources/{source_id}?lang=en")
        await browser.run(COUNT + LOOK)

        async def is_moving() -> bool:
            return int(await browser.run("window.frames_shown")) >= 20

        await eventually(is_moving, within=30, what="pictures in the browser")
        assert await browser.run("window.frame_size") == "640x360"
        (tmp_path / "picture.png").write_bytes(await browser.screenshot())

        await browser.run(
            "document.querySelector('.ptz [data-pan=\"0.5\"]').dispatchEvent("
            "new PointerEvent('pointerdown', {bubbles: true}))"
        )

        async def is_turned() -> bool:
            events = (await muster.get(f"/api/v1/sources/{source_id}/onvif"))["events"]
            return any(event["kind"] == "direction_changed" for event in events)

        await eventually(is_turned, what="a turned camera")
        await browser.run(
            "document.querySelector('.ptz [data-pan=\"0.5\"]').dispatchEvent("
            "new PointerEvent('pointerup', {bubbles: true}))"
        )
        await browser.run("document.querySelector('[data-stop]').click()")
        assert browser.complaints == []
        assert PASSWORD not in muster.log
