"""`muster demo`, as a newcomer runs it: within half a minute everything that it promises has happened."""

import asyncio
import re
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.interop, pytest.mark.slow, pytest.mark.timeout(150)]


async def test_the_district_comes_to_life(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("muster")),
        *("demo", "--folder", str(tmp_path / "demo"), "--seconds", "30"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(120):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    text = output.decode()
    assert process.returncode == 0, text
    told: dict[str, list[str]] = {}
    for host, what in re.findall(r"s  (127\.0\.30\.\d+) +\S+ +→ (.+)", text):
        told.setdefault(host.rpartition(".")[2], []).append(what.strip())
    for number in ("1", "2", "3"):
        assert told[number][-1] == "online", text
    assert [what for what in told["4"] if "never" not in what] == ["online", "offline", "online"], text
    assert told["5"][-1] == "degraded clock_skew", text
    assert told["6"][-1] == "degraded no_media", text
    assert told["7"][-1] == "never_connected authentication_failed", text
    for number in ("8", "9", "10"):
        assert all(what.startswith("never_connected") for what in told[number]), text
    # Two channels of a recorder that registers by itself (GB/T 28181).
    for number in ("11", "12"):
        assert told[number][-1] == "online", text
    assert told["99"] == ["quarantined"], text
    log = (tmp_path / "demo" / "muster.log").read_text(encoding="utf-8")
    assert "not-the-right-one" not in log
    assert '"level": "error"' not in log
