"""What the fault tests ask of an installation, and what must hold of its history whatever happened to it."""

import asyncio
import itertools
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import aiohttp

from tests.fakes.camera import SwitchedCamera
from tests.gateway_process import (
    PERSON,
    ROOT,
    MusterProcess,
    RollLine,
    code_of,
    roll_text,
)
from tests.waiting import eventually

OURS = frozenset({"restart_grace", "gateway_down", "database_away", "no_samples"})
"""Reasons of unknown time that a fault of our own may show."""


COMMANDS = (
    "import json, sys\n"
    "from gateway.cli.main import app\n"
    "for arguments in json.loads(sys.argv[1]):\n"
    "    app(arguments, standalone_mode=False)\n"
)
"""Runs several commands in one process: most of the time of one is spent on its start."""


async def prepare(muster: MusterProcess, roll: Sequence[RollLine], *, sink_port: int | None = None) -> None:
    """Do what an operator does once, as `gateway_process.prepare`, in one process."""
    file = muster.folder / "roll.csv"
    file.write_text(roll_text(roll), encoding="utf-8")
    network = ("network", "authorise", "127.0.0.1/32", "--document", "test", "--approver", PERSON)
    token = ("token", "create", "--role", "operator", "--output", str(muster.folder / "operator.token"))
    commands = [("roll", "import", str(file)), network, token]
    if sink_port is not None:
        commands.append(("sink", "add", "central", f"rtsp://127.0.0.1:{sink_port}/muster/"))
    await run_all(muster, commands)


async def run_all(muster: MusterProcess, commands: Sequence[tuple[str, ...]]) -> None:
    """Run several commands, each of them signed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-X", "utf8", "-c", COMMANDS, json.dumps([[*each, "--person", PERSON] for each in commands])),
        cwd=muster.folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "MUSTER_CONFIG": str(muster.config)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode("utf-8", "replace")


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def lines(crowd: Sequence[SwitchedCamera], *, first: int = 1) -> list[RollLine]:
    """Return a roll with one row a camera."""
    return [RollLine(code_of(first + index), camera.port) for index, camera in enumerate(crowd)]


async def sources(muster: MusterProcess) -> dict[str, Any]:
    """Return all sources by code."""
    rows = (await muster.get("/api/v1/sources?limit=1000"))["items"]
    return {row["gb_id"]: row for row in rows}


async def shown(muster: MusterProcess) -> dict[str, str]:
    """Return the displayed state of every source."""
    return {code: row["status"]["shown"] for code, row in (await sources(muster)).items()}


async def wait_all(
    muster: MusterProcess, state: str, codes: Iterable[str] | None = None, *, within: float = 30
) -> None:
    """Wait until all of `codes` (all sources without it) display `state`."""
    wanted = None if codes is None else set(codes)

    async def are_there() -> bool:
        found = await shown(muster)
        return all(each == state for code, each in found.items() if wanted is None or code in wanted)

    await eventually(are_there, within=within, what=f"everything {state}")


async def history(muster: MusterProcess, code: str) -> list[Any]:
    """Return the intervals of a source, the newest first."""
    return list((await muster.get(f"/api/v1/sources/{code}/history?limit=1000"))["items"])


async def overlays(muster: MusterProcess, code: str) -> list[Any]:
    """Return the unknown and suspended intervals laid over a source."""
    return list((await muster.get(f"/api/v1/sources/{code}/history"))["overlays"])


async def states(muster: MusterProcess, code: str) -> list[str]:
    """Return the states of a source, the oldest first."""
    return [row["state"] for row in reversed(await history(muster, code))]


async def assert_exactly_once(muster: MusterProcess, codes: Iterable[str]) -> None:
    """Assert that each transition stands once: the intervals adjoin, alternate, and no evidence opens two."""
    evidence: list[int] = []
    for code in codes:
        rows = list(reversed(await history(muster, code)))
        for before, after in itertools.pairwise(rows):
            assert instant(before["started_at"]) <= instant(before["ended_at"]), before
            assert before["ended_at"] == after["started_at"], (before, after)
            assert (before["state"], before["reasons"]) != (after["state"], after["reasons"]), (before, after)
        assert rows[-1]["ended_at"] is None
        evidence += [fact["seq"] for row in rows for fact in row["evidence"]]
    assert len(evidence) == len(set(evidence))


async def assert_sound(muster: MusterProcess) -> None:
    """Assert that `muster check` finds nothing."""
    assert "0 findings" in await muster.run("check")


class Answer:
    """One answer of the API."""

    def __init__(self, status: int, content_type: str, headers: Mapping[str, str], body: Any) -> None:
        self.status = status
        self.content_type = content_type
        self.headers = headers
        self.body = body


async def ask(
    muster: MusterProcess,
    method: str,
    path: str,
    body: Mapping[str, object] | None = None,
    *,
    data: bytes | None = None,
    content_type: str = "",
) -> Answer:
    """Call the API as operator, whatever it answers."""
    token = (muster.folder / "operator.token").read_text(encoding="ascii").strip()
    headers = {"Authorization": f"Bearer {token}", "X-Purpose": "test"}
    if content_type:
        headers["Content-Type"] = content_type
    async with (
        aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(30)) as session,
        session.request(method, muster.url(path), data=data, json=body) as answer,
    ):
        text = await answer.text()
        is_json = "json" in answer.content_type
        parsed = await answer.json(content_type=None) if is_json and text else text
        return Answer(answer.status, answer.content_type, answer.headers, parsed)


class NeverShown:
    """Looks at the sources again and again and remembers every state it saw."""

    def __init__(self, muster: MusterProcess) -> None:
        self._muster = muster
        self.seen: dict[str, set[tuple[str, tuple[str, ...]]]] = {}

    async def look(self) -> None:
        """Look once."""
        for code, row in (await sources(self._muster)).items():
            status = row["status"]
            self.seen.setdefault(code, set()).add((status["shown"], tuple(status["reasons"])))

    def assert_none(self, state: str, codes: Iterable[str]) -> None:
        """Assert that none of `codes` ever displayed `state`."""
        wrong = {
            c: s for c, s in self.seen.items() if c in set(codes) and any(state == each for each, _ in s)
        }
        assert not wrong, wrong


async def watch(watched: NeverShown, duration: float, *, may_be_refused: bool = False) -> None:
    """Look at what is shown for `duration` seconds; with `may_be_refused` as often as the API takes the call."""
    loop = asyncio.get_running_loop()
    end = loop.time() + duration

    async def is_over() -> bool:
        try:
            await watched.look()
        except aiohttp.ClientError:
            if not may_be_refused:
                raise
        return loop.time() >= end

    await eventually(is_over, within=duration + 10, what="the time to watch")
