"""The trial: two test cameras, a central platform, a sample roll and Muster, all on this machine's loopback.

It drives Muster from outside, by the same commands and the same API as an operator: every command is printed
before it runs. Child processes end with the trial. What somebody kills, a camera or Muster itself, comes back by
itself after a while, so that its absence can be watched.
"""

import asyncio
import fcntl
import hashlib
import json
import os
import secrets
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console

from catalog.roll_columns import read_headings
from catalog.roll_problem import Problems
from catalog.roll_table import read_table
from gateway.cli.trial_child import Child, ChildFailed, end_leftovers, environ_of_child, keep_child
from gateway.cli.trial_report import Api, NotAnswering, both_reports

DEBIAN_PYTHON: Final = "/usr/bin/python3"
"""Debian's own: GStreamer's bindings are installed for it alone."""

PAGE_PORT: Final = 8080
PLATFORM_PORT: Final = 18560
RTSP_PORT: Final = 18570
REPORT_EVERY: Final = 15.0
READY_WITHIN: Final = 90.0
COMMAND_WITHIN: Final = 120.0
CAMERA_RETURNS_AFTER: Final = 60.0
CAMERA_USER: Final = "trial"
PERSON: Final = "trial operator"
PATTERNS: Final = ("smpte", "ball")

SETTINGS: Final = """\
# Written by the trial at every start, for the made-up district of the sample roll.
# For real use see deploy/muster.example.toml.
# Its timers are shortened so that one can watch: the defaults are 60 s, 3, 180 s and 15 s.
[gateway]
id = "trial"
state_dir = "state"

[jurisdiction]
civil_code = {civil_code}
name = "滨河区"
issued_by = "滨河区公安分局"
contact = "滨河区公安分局技防管理办公室"
profile = "wuxi-2019"
base = "cn-2025"
# Whoever tries it is one person.
second_approver = false

[api]
host = "127.0.0.1"
port = {port}

[rtsp_server]
port = {rtsp_port}

[status]
probe_interval = 5
probe_misses = 3
probe_timeout = 4
restart_grace = 20
gateway_heartbeat = 5

[log]
format = "json"
"""


class TrialFailed(Exception):
    """The trial cannot go on; the text says why and what to do."""


@dataclass(frozen=True)
class Camera:
    """A row of the sample roll whose address is on this machine."""

    code: str
    port: int
    path: str
    credential_ref: str


@dataclass(frozen=True)
class Step:
    """One command that prepares the catalog, done once."""

    name: str
    arguments: Sequence[str]


class Trial:
    """One run of the trial in one folder."""

    def __init__(self, folder: Path, deploy: Path, program: Path, console: Console) -> None:
        self._folder = folder
        self._deploy = deploy
        self._program = program
        self._console = console
        self._roll = deploy / "sample" / "roll.csv"
        self._config = folder / "muster.toml"
        self._token = folder / "operator.token"
        self._password = folder / "camera.password"
        self._api = Api(f"http://127.0.0.1:{PAGE_PORT}", self._token)
        self._stopped = asyncio.Event()

    async def run(self) -> None:
        """Prepare, start everything, report until stopped, end everything.

        Raises:
            TrialFailed: a command failed.
            ChildFailed: a process ended with an error of its own.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stopped.set)
        if left := await end_leftovers(self._folder):
            self._say(f"ended what an earlier trial had left running: {', '.join(left)}")
        civil_code, cameras = read_cameras(self._roll)
        self._write_files(civil_code)
        self._say(f"folder {self._folder}; delete it to begin from nothing")
        self._say("timers are shortened: probe every 5 s, offline after 3 misses, restart grace 20 s")
        async with asyncio.TaskGroup() as group:
            peers = [group.create_task(self._keep(child), name=child.name) for child in self._peers(cameras)]
            try:
                await self._serve_until_stopped(cameras)
            finally:
                # After Muster: it should see its cameras to the end.
                for peer in peers:
                    peer.cancel()

    async def _serve_until_stopped(self, cameras: Sequence[Camera]) -> None:
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(self._serve(cameras), name="muster")
            await self._stopped.wait()
            self._say("stopping")
            serving.cancel()

    def _write_files(self, civil_code: str) -> None:
        write_private(
            self._config,
            SETTINGS.format(civil_code=json.dumps(civil_code), port=PAGE_PORT, rtsp_port=RTSP_PORT),
            replace=True,
        )
        for log in self._folder.glob("*.log"):
            log.replace(log.with_suffix(".log.old"))
        write_private(self._password, f"{secrets.token_urlsafe(18)}\n", replace=False)

    def _peers(self, cameras: Sequence[Camera]) -> list[Child]:
        """Return the test cameras and the central platform."""
        children = []
        for number, camera in enumerate(cameras, start=1):
            command = [DEBIAN_PYTHON, str(self._deploy / "trial" / "camera.py")]
            command += ["--port", str(camera.port), "--path", camera.path]
            command += ["--text", f"CAMERA {number}  {camera.code}", "--pattern", PATTERNS[number % 2]]
            environ = {}
            if camera.credential_ref:
                command += ["--password-file", str(self._password)]
                environ["CAMERA_USER"] = CAMERA_USER
            child = Child(
                f"camera-{number}",
                command,
                self._folder,
                ready="camera ready",
                environ=environ,
                returns_after=CAMERA_RETURNS_AFTER,
            )
            children.append(child)
        platform = Child(
            "platform",
            [
                DEBIAN_PYTHON,
                str(self._deploy / "trial" / "central_platform.py"),
                "--port",
                str(PLATFORM_PORT),
            ],
            self._folder,
            ready="central platform ready",
            on_line=lambda line: self._say(f"platform: {line}"),
        )
        return [*children, platform]

    async def _keep(self, child: Child) -> None:
        def started() -> None:
            self._say(f"{child.name} is up (pid file {child.pid_file})")

        def ended(how: str) -> None:
            self._say(f"{child.name} {how}; it comes back in {child.returns_after:g} s")

        await keep_child(child, started=started, ended=ended)

    async def _serve(self, cameras: Sequence[Camera]) -> None:
        """Prepare the catalog, then keep Muster running and report."""
        for step in self._steps(cameras):
            await self._take(step)
        muster = Child("muster", self._command("serve"), self._folder)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep(muster), name="muster serve")
            await self._await_ready()
            self._say(f"page and API: {self._api.base}/   public catalog: {self._api.base}/public/catalog")
            self._say(f"operator token (for the login): {self._token}")
            self._say(f"try: kill $(cat {self._folder}/camera-1.pid)      a camera fails")
            self._say(f"try: kill -9 $(cat {self._folder}/muster.pid)     Muster itself fails")
            self._say("Ctrl-C stops the trial")
            while True:
                try:
                    self._console.print(await both_reports(self._api))
                except NotAnswering as error:
                    self._say(f"no report: {error}")
                await asyncio.sleep(REPORT_EVERY)

    def _steps(self, cameras: Sequence[Camera]) -> list[Step]:
        """Return what an operator does once, in order."""
        references = sorted({camera.credential_ref for camera in cameras if camera.credential_ref})
        person = ("--person", PERSON)
        # A sample that came with a new version is imported and published anew.
        edition = hashlib.sha256(self._roll.read_bytes()).hexdigest()[:8]
        return [
            Step(f"roll-{edition}", ("roll", "import", str(self._roll), *person)),
            *(
                Step(
                    f"credential-{reference}",
                    (
                        *("credential", "set", reference, "--username", CAMERA_USER),
                        *("--password-file", str(self._password), *person),
                    ),
                )
                for reference in references
            ),
            Step(
                "network",
                (
                    *("network", "authorise", "127.0.0.1/32", "--document", "trial on one machine"),
                    *("--approver", PERSON, "--days", "365", *person),
                ),
            ),
            Step("sink", ("sink", "add", "central", f"rtsp://127.0.0.1:{PLATFORM_PORT}/muster/", *person)),
            Step(
                "token",
                ("token", "create", "--role", "operator", *person, "--output", str(self._token)),
            ),
            Step(f"publish-{edition}", ("publish", *person)),
        ]

    def _command(self, *arguments: str) -> list[str]:
        return [str(self._program), *arguments, "--config", str(self._config)]

    async def _take(self, step: Step) -> None:
        """Run one command and note that it is done; a done one is not repeated.

        Raises:
            TrialFailed: it ended with an error.
        """
        done = self._folder / "steps" / step.name
        if done.exists():
            return
        self._say(f"$ muster {shlex.join(step.arguments)}")
        process = await asyncio.create_subprocess_exec(
            *("setpriv", "--pdeathsig", "TERM", "--", *self._command(*step.arguments)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=environ_of_child(),
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(COMMAND_WITHIN):
                output, _ = await process.communicate()
        except TimeoutError:
            raise TrialFailed(f"muster {step.arguments[0]} did not end in {COMMAND_WITHIN:g} s") from None
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()
        for line in output.decode("utf-8", "replace").splitlines():
            self._say(f"    {line}")
        if process.returncode != 0:
            raise TrialFailed(f"muster {step.arguments[0]} ended with exit code {process.returncode}")
        done.parent.mkdir(mode=0o700, exist_ok=True)
        done.touch()

    async def _await_ready(self) -> None:
        try:
            async with asyncio.timeout(READY_WITHIN):
                while True:
                    if await self._api.is_ready():
                        return
                    await asyncio.sleep(0.5)
        except TimeoutError:
            log = self._folder / "muster.log"
            raise TrialFailed(f"Muster was not ready in {READY_WITHIN:g} s: see {log}") from None

    def _say(self, text: str) -> None:
        self._console.print(f"[trial] {text}", markup=False, highlight=False, soft_wrap=True)


def read_cameras(roll: Path) -> tuple[str, list[Camera]]:
    """Return the roll's jurisdiction and the rows that this machine plays.

    Raises:
        TrialFailed: the roll is not there, or no row of it has a loopback address.
    """
    try:
        table = read_table(roll.read_bytes())
    except OSError as error:
        raise TrialFailed(f"{roll}: {error.strerror}") from error
    number, headings = next(table)
    positions = read_headings(number, headings, Problems())
    rows = [
        {name: cells[index] for name, index in positions.items() if index < len(cells)} for _, cells in table
    ]
    cameras = [
        Camera(
            row["gb_id"],
            int(row.get("port") or 554),
            row.get("rtsp_path") or "/",
            row.get("credential_ref", ""),
        )
        for row in rows
        if row.get("host") == "127.0.0.1"
    ]
    if not cameras:
        raise TrialFailed(f"{roll}: no row has a camera on 127.0.0.1")
    # The sample lies in one jurisdiction, so any row tells it.
    return rows[0]["civil_code"][:6], cameras


def write_private(path: Path, text: str, *, replace: bool) -> None:
    """Write a file that only its owner can read; keep an existing one unless `replace`."""
    if path.exists() and not replace:
        return
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(text)
    part.replace(path)


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold the folder for this trial; the kernel lets go of it however the trial ends.

    Raises:
        TrialFailed: another trial runs there.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "trial.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TrialFailed(f"a trial runs already in {folder}") from None
        yield


def run_trial(folder: Path, deploy: Path) -> int:
    """Run the trial until it is stopped.

    Args:
        folder: takes everything the trial writes; made if missing.
        deploy: the checkout's `deploy`, with `sample/` and `trial/`.

    Returns:
        0 when stopped by a person, 1 when it could not go on (said on the screen).
    """
    # A pipe or a file has no width of its own, and 80 columns would cut the codes.
    console = Console(width=None if sys.stdout.isatty() else 160)
    failures: list[BaseException] = []
    try:
        folder = folder.absolute()
        with only_one(folder):
            # The command installed beside this interpreter, whatever PATH says.
            program = Path(sys.executable).with_name("muster")
            asyncio.run(Trial(folder, deploy.absolute(), program, console).run())
    except* (TrialFailed, ChildFailed) as group:
        failures = list(leaves(group))
    for failure in failures:
        console.print(f"[trial] {failure}", markup=False, highlight=False, soft_wrap=True)
    return 1 if failures else 0


def leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    """Yield the errors in a group of groups."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from leaves(error)
        else:
            yield error
