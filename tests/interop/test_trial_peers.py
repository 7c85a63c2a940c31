"""The trial's camera and central platform, judged by ffmpeg before they judge Muster."""

import asyncio
import os
import re
import signal
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.waiting import eventually

TRIAL = Path(__file__).parents[2] / "deploy" / "trial"
# GStreamer's bindings belong to Debian's own Python.
DEBIAN_PYTHON = "/usr/bin/python3"
CODE = "34020000001320000001"

pytestmark = pytest.mark.interop


@asynccontextmanager
async def peer(
    script: str, *arguments: str, environ: Mapping[str, str] | None = None
) -> AsyncIterator[tuple[Process, str]]:
    """Start one of the scripts on a free port; give its process and the URL it announces."""
    process = await asyncio.create_subprocess_exec(
        DEBIAN_PYTHON,
        str(TRIAL / script),
        "--port",
        "0",
        *arguments,
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=STDOUT,
        env={**os.environ, **(environ or {})},
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(20):
            line = (await process.stdout.readline()).decode()
        found = re.search(r"rtsp://\S+", line)
        assert found, line
        yield process, found.group()
    finally:
        if process.returncode is None:
            process.terminate()
        async with asyncio.timeout(10):
            await process.wait()


async def ffmpeg(*arguments: str) -> tuple[int, str]:
    """Run ffmpeg to its end and return its exit code and what it wrote."""
    process = await asyncio.create_subprocess_exec(
        "ffmpeg", "-nostdin", "-v", "error", *arguments, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT
    )
    try:
        async with asyncio.timeout(40):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, output.decode(errors="replace")


def pull(url: str, transport: str = "tcp") -> tuple[str, ...]:
    return ("-xerror", "-rtsp_transport", transport, "-i", url, "-frames:v", "5", "-f", "null", "-")


def push(url: str, *, codec: str = "libx264", pictures: int = 50) -> tuple[str, ...]:
    source = ("-re", "-f", "lavfi", "-i", "testsrc=size=320x240:rate=25", "-frames:v", str(pictures))
    encoder = ("-c:v", codec, "-preset", "ultrafast", "-g", "25", "-pix_fmt", "yuv420p")
    return (*source, *encoder, "-f", "rtsp", "-rtsp_transport", "tcp", url)


async def read_until(process: Process, pattern: str) -> str:
    """Return the first line the peer prints that matches."""
    assert process.stdout is not None
    async with asyncio.timeout(20):
        async for line in process.stdout:
            if re.search(pattern, text := line.decode()):
                return text
    raise AssertionError(f"it ended without a line like {pattern}")


def command_line(pid: int) -> bytes:
    """Return what anyone on the machine can read of a process's arguments."""
    return Path(f"/proc/{pid}/cmdline").read_bytes()


@pytest.mark.parametrize("transport", ["tcp", "udp"])
@pytest.mark.parametrize("codec", ["h264", "h265"])
async def test_the_camera_sends_pictures_that_decode(transport: str, codec: str) -> None:
    async with peer("camera.py", "--text", f"CAM {CODE}", "--codec", codec) as (_, url):
        assert await ffmpeg(*pull(url, transport)) == (0, "")


async def test_the_protected_camera_lets_in_its_user_alone(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("right-9f3b\n")
    arguments = ("--password-file", str(secret))
    async with peer("camera.py", *arguments, environ={"CAMERA_USER": "trial"}) as (process, url):
        assert await ffmpeg(*pull(url.replace("://", "://trial:right-9f3b@"))) == (0, "")
        code, output = await ffmpeg(*pull(url.replace("://", "://trial:wrong@")))
        assert code != 0
        assert "401" in output
        assert b"right-9f3b" not in command_line(process.pid)


async def test_the_camera_asks_for_digest_and_not_for_basic() -> None:
    environ = {"CAMERA_USER": "trial", "CAMERA_PASSWORD": "right-9f3b"}
    async with peer("camera.py", environ=environ) as (_, url):
        found = re.search(r":(\d+)/", url)
        assert found
        reader, writer = await asyncio.open_connection("127.0.0.1", int(found.group(1)))
        try:
            writer.write(f"DESCRIBE {url} RTSP/1.0\r\nCSeq: 1\r\n\r\n".encode())
            async with asyncio.timeout(10):
                answer = (await reader.readuntil(b"\r\n\r\n")).decode()
        finally:
            writer.close()
            await writer.wait_closed()
    assert answer.startswith("RTSP/1.0 401")
    assert re.findall(r"(?m)^WWW-Authenticate: (\w+)", answer) == ["Digest"]


async def test_the_camera_ends_with_the_process_that_started_it() -> None:
    script = f"{DEBIAN_PYTHON} {TRIAL / 'camera.py'} --port 0 & echo $!; wait"
    shell = await asyncio.create_subprocess_exec("bash", "-c", script, stdin=DEVNULL, stdout=PIPE)
    assert shell.stdout is not None
    try:
        async with asyncio.timeout(20):
            camera = int(await shell.stdout.readline())
            assert b"camera ready" in await shell.stdout.readline()
    finally:
        shell.send_signal(signal.SIGKILL)
        await shell.wait()
    await eventually(lambda: not Path(f"/proc/{camera}/cmdline").exists(), what="the camera's end")


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
async def test_the_platform_counts_the_pictures_that_arrive(codec: str) -> None:
    async with peer("central_platform.py") as (process, url):
        code, _ = await ffmpeg(*push(f"{url}{CODE}", codec=codec))
        assert code == 0
        ended = await read_until(process, "stream ended")
    found = re.search(rf"stream ended /muster/{CODE} frames=(\d+) key_frames=(\d+)", ended)
    assert found, ended
    # Pictures are counted, not packets, and none twice. How many of the last group still pass the
    # parser before the pusher's TEARDOWN closes its pipeline is up to the machine; both key frames do.
    assert int(found.group(2)) == 2
    assert int(found.group(1)) in range(26, 51)


async def test_the_platform_takes_a_stream_again_after_its_pusher_was_killed() -> None:
    async with peer("central_platform.py", "--every", "1") as (process, url):
        pusher = await asyncio.create_subprocess_exec(
            "ffmpeg", "-nostdin", "-v", "quiet", *push(f"{url}{CODE}", pictures=1000), stdin=DEVNULL
        )
        try:
            await read_until(process, rf"receiving /muster/{CODE} frames=[1-9]")
        finally:
            pusher.kill()
            await pusher.wait()
        await read_until(process, "stream ended")
        code, _ = await ffmpeg(*push(f"{url}{CODE}"))
        assert code == 0
        assert "key_frames=2" in await read_until(process, "stream ended")


async def test_the_platform_refuses_what_is_not_below_its_folder() -> None:
    async with peer("central_platform.py") as (process, url):
        code, output = await ffmpeg(*push(url.replace("/muster/", "/elsewhere/x")))
        assert code != 0
        assert "404" in output
        assert "not below /muster/" in await read_until(process, "refused")
