"""Muster as a user runs it: a configuration file, the command line, and `muster serve` as a process of its own."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import aiohttp

from tests.waiting import eventually

ROOT = Path(__file__).resolve().parents[1]
MUSTER = (sys.executable, "-X", "utf8", "-c", "from gateway.cli.main import main; main()")
PERSON = "Test Person"
MOST_PATIENCE: Final = 60.0
"""Seconds for one answer, waits the API asked for included."""

SETTINGS = """\
[gateway]
id = "test"
state_dir = "state"

[jurisdiction]
civil_code = "990100"
name = "示范市"
issued_by = "示范市公安局"
contact = "示范市公安局技术科"
second_approver = false

[api]
port = {port}

[status]
probe_interval = 1
probe_misses = 3
probe_timeout = 1
restart_grace = 8
gateway_heartbeat = 1
verify_media = 1

[relay]
workers = 1
"""


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody used a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class MusterProcess:
    """One installation in a folder, and its running service."""

    folder: Path
    port: int
    environ: dict[str, str] = field(default_factory=dict)
    process: asyncio.subprocess.Process | None = None

    @property
    def config(self) -> Path:
        return self.folder / "muster.toml"

    @property
    def log(self) -> str:
        return (self.folder / "serve.log").read_text(encoding="utf-8")

    def _environ(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(ROOT), "MUSTER_CONFIG": str(self.config), **self.environ}

    async def run(self, *arguments: str, code: int = 0) -> str:
        """Run one command and return what it printed; its exit code must be `code`."""
        process = await asyncio.create_subprocess_exec(
            *MUSTER,
            *arguments,
            cwd=self.folder,
            env=self._environ(),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(50):
            output, _ = await process.communicate()
        text = output.decode("utf-8", "replace")
        assert process.returncode == code, text
        return text

    async def start(self) -> None:
        """Start the service and wait until it is ready."""
        with (self.folder / "serve.log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *MUSTER, "serve", cwd=self.folder, env=self._environ(), stdout=log, stderr=log
            )
        await eventually(self.is_ready, within=40, what="readiness")

    async def is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.returncode is None, self.log
        try:
            async with aiohttp.ClientSession() as session, session.get(self.url("/readyz")) as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    async def kill(self) -> None:
        """End the service with SIGKILL, as a crash would."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> int:
        """End the service with SIGTERM and return its exit code."""
        return await self._end(signal.SIGTERM)

    async def _end(self, number: int) -> int:
        process = self.process
        assert process is not None
        process.send_signal(number)
        # One that does not end is still ours to kill at the end of the test.
        async with asyncio.timeout(20):
            code = await process.wait()
        self.process = None
        return code

    def workers(self) -> list[int]:
        """Return the process ids of the relay's workers."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text(
            encoding="ascii"
        )
        return [pid for pid in map(int, children.split()) if b"relay.worker" in _command_line(pid)]

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def get(self, path: str) -> Any:
        """Return the JSON of an API path, asked as operator; where the API says how long to wait, wait so long."""
        token = (self.folder / "operator.token").read_text(encoding="ascii").strip()
        headers = {"Authorization": f"Bearer {token}", "X-Purpose": "test"}
        async with aiohttp.ClientSession(headers=headers) as session, asyncio.timeout(MOST_PATIENCE):
            while True:
                async with session.get(self.url(path)) as answer:
                    if answer.status != HTTPStatus.TOO_MANY_REQUESTS:
                        assert answer.status == HTTPStatus.OK, await answer.text()
                        return await answer.json()
                    wait = float(answer.headers["Retry-After"])
                await asyncio.sleep(wait)

    async def source(self, code: str) -> Any:
        """Return the source with this 20-digit code as `/sources` shows it."""
        rows = (await self.get("/api/v1/sources?limit=1000"))["items"]
        return next(row for row in rows if row["gb_id"] == code)

    async def shown(self, code: str) -> str:
        """Return the displayed state of a source."""
        return str((await self.source(code))["status"]["shown"])

    async def wait_shown(self, code: str, state: str, *, within: float = 20) -> None:
        """Wait until a source displays `state`."""

        async def is_shown() -> bool:
            return await self.shown(code) == state

        await eventually(is_shown, within=within, what=f"{code} {state}")


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@asynccontextmanager
async def installation(folder: Path, *, settings: str = "", **environ: str) -> AsyncIterator[MusterProcess]:
    """Make an installation; whatever still runs at the end is killed."""
    port = free_port()
    muster = MusterProcess(folder, port, environ)
    muster.config.write_text(SETTINGS.format(port=port) + settings, encoding="utf-8")
    try:
        yield muster
    finally:
        if muster.process is not None and muster.process.returncode is None:
            await muster.kill()


@dataclass(frozen=True)
class RollLine:
    """A row of a roll, as far as tests vary it."""

    code: str
    port: int | str
    path: str = "/stream"
    credential_ref: str = ""
    location_type: str = "entrance"
    attested: str = "yes"
    host: str = "127.0.0.1"
    serial: str = ""


HEADINGS = (
    "unit,system,site,class,location_type,civil_code,gb_id,host,port,rtsp_path,mac,serial,credential_ref,"
    "connect_due_date,basis,address_attested"
)


def roll_text(lines: Sequence[RollLine]) -> str:
    """Return a roll as CSV; each line is a site of its own."""
    rows = [
        f"单位{line.code[-3:]},系统,场所{line.code[-3:]},WX8_07,{line.location_type},990102,{line.code},{line.host},"
        f"{line.port},{line.path},,{line.serial},{line.credential_ref},2026-06-30,WX-21.2,{line.attested}"
        for line in lines
    ]
    return "\n".join([HEADINGS, *rows, ""])


async def import_roll(muster: MusterProcess, lines: Sequence[RollLine]) -> None:
    """Write and import a roll."""
    file = muster.folder / "roll.csv"
    file.write_text(roll_text(lines), encoding="utf-8")
    await muster.run("roll", "import", str(file), "--person", PERSON)


async def authorise(muster: MusterProcess, cidr: str) -> None:
    """Authorise a network."""
    command = ("network", "authorise", cidr, "--document", "test", "--approver", PERSON, "--person", PERSON)
    await muster.run(*command)


async def prepare(muster: MusterProcess, lines: Sequence[RollLine], *, sink_port: int | None = None) -> None:
    """Do what an operator does once: roll, network, sink, token."""
    await import_roll(muster, lines)
    await authorise(muster, "127.0.0.1/32")
    if sink_port is not None:
        await muster.run(
            "sink", "add", "central", f"rtsp://127.0.0.1:{sink_port}/muster/", "--person", PERSON
        )
    output = str(muster.folder / "operator.token")
    await muster.run("token", "create", "--role", "operator", "--person", PERSON, "--output", output)


def code_of(number: int) -> str:
    """Return a 20-digit code of the test district."""
    return f"9901020000132{number:07d}"
