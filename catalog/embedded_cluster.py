"""One PostgreSQL cluster in one folder: make it, start it, stop it, tidy up after a killed gateway.

Owns the server process and the files below the folder; the caller holds the folder's lock meanwhile
(`catalog.embedded`).
"""

import asyncio
import hashlib
import logging
import os
import pwd
import re
import shutil
import signal
import stat
import tempfile
from collections.abc import Mapping
from io import FileIO
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import quote

import asyncpg

from catalog.embedded_launch import MAJOR, Launcher, launcher_for
from catalog.errors import EmbeddedPostgresError

logger = logging.getLogger(__name__)

ROLE: Final = "muster"
"""The gateway's role, owner of the database of the same name; no superuser."""

SUPERUSER: Final = "postgres"

START_TIMEOUT: Final = 300.0
"""Seconds a start may take: after a power cut PostgreSQL first replays its log, up to 1 GB of it."""

INITDB_TIMEOUT: Final = 120.0
"""Seconds that making a new cluster may take (0.6 s measured)."""

STOP_TIMEOUT: Final = 10.0
"""Seconds a fast shutdown may take before the server is stopped without its last checkpoint."""

LONGEST_SOCKET_ADDRESS: Final = 107
"""Bytes in the address of a Unix socket on Linux (108 with the closing zero)."""

_SOCKET: Final = ".s.PGSQL.5432"
_POLL: Final = 0.02
_PLAIN_PATH: Final = re.compile(r"[\w./+-]+")

_SETTINGS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "listen_addresses": "",
        "unix_socket_permissions": "0700",
        "port": "5432",
        "max_connections": "50",
        "timezone": "UTC",
        "log_timezone": "UTC",
        # One file a weekday, overwritten after a week. Terse: detail lines repeat the values of rows.
        "logging_collector": "on",
        "log_directory": "log",
        "log_filename": "postgresql-%a.log",
        "log_rotation_age": "1d",
        "log_rotation_size": "0",
        "log_truncate_on_rotation": "on",
        "log_error_verbosity": "terse",
        "log_checkpoints": "off",
    }
)


class Cluster:
    """The data folder `folder/pg18`, its socket and its server process."""

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        """Prepare; nothing is touched yet.

        Raises:
            EmbeddedPostgresError: no account or program to run the server with.
        """
        self._data = folder / f"pg{MAJOR}"
        self._new = folder / f"pg{MAJOR}.new"
        self._settings = {**_SETTINGS, **settings}
        self._launcher: Launcher = launcher_for(self._data)
        self._sockets = _socket_folder(folder)
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        """Return the gateway's URL for asyncpg."""
        return self._url(ROLE, ROLE)

    @property
    def process(self) -> asyncio.subprocess.Process:
        """The server process, running or ended."""
        if self._process is None:
            raise EmbeddedPostgresError(f"{self._data}: the server was never started")
        return self._process

    async def create_if_missing(self) -> None:
        """Make the cluster if there is none.

        It is made beside its place and moved there whole: a gateway killed in the middle leaves nothing half done.

        Raises:
            EmbeddedPostgresError: `initdb` fails; the message holds what it says.
        """
        if (self._data / "PG_VERSION").exists():
            return
        if self._new.exists():
            await asyncio.to_thread(shutil.rmtree, self._new)
        self._new.mkdir(mode=0o700)
        self._launcher.give(self._new)
        process = await asyncio.create_subprocess_exec(
            *self._launcher.command(
                "initdb",
                f"--pgdata={self._new}",
                f"--username={SUPERUSER}",
                "--auth=peer",
                "--encoding=UTF8",
                # Built into PostgreSQL: the same order on every machine, whatever locales are installed.
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--locale=C",
            ),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=_environment(),
            cwd="/",
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(INITDB_TIMEOUT):
                output, _ = await process.communicate()
        except TimeoutError:
            raise EmbeddedPostgresError(f"initdb did not end within {INITDB_TIMEOUT:g} s") from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode != 0:
            raise EmbeddedPostgresError(f"initdb failed: {_last_lines(output)}")
        self._new.rename(self._data)
        logger.info("%s: created", self._data, extra={"action": "embedded_postgres_created"})

    async def end_leftover(self) -> None:
        """Stop a server that a killed gateway left behind, and remove what would keep a new one from starting.

        Raises:
            EmbeddedPostgresError: the old server does not end.
        """
        pid_file = self._data / "postmaster.pid"
        pid = _first_number(pid_file)
        if pid is not None and self._is_our_server(pid):
            logger.warning(
                "%s: stopping server %d of an earlier gateway",
                self._data,
                pid,
                extra={"action": "embedded_postgres_leftover"},
            )
            await self._end(pid)
        # After a crash the number may belong to any other process by now, and PostgreSQL would not start.
        pid_file.unlink(missing_ok=True)

    async def start(self) -> None:
        """Start the server and return when it takes connections.

        Raises:
            EmbeddedPostgresError: it ends or is not ready within `START_TIMEOUT`; with its own last words.
        """
        self._make_socket_folder()
        self._write_access_rules()
        log = self._data / "start.log"
        arguments = [f"-c{name}={value}" for name, value in self._settings.items()]
        with _new_file(log) as output:
            self._launcher.give(log)
            self._process = await asyncio.create_subprocess_exec(
                *self._launcher.command(
                    "postgres",
                    "-D",
                    str(self._data),
                    f"-cunix_socket_directories={self._sockets}",
                    *arguments,
                ),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=_environment(),
                cwd="/",
                # Ctrl-C in the terminal reaches the gateway alone: it still has its last rows to write.
                start_new_session=True,
            )
        try:
            async with asyncio.timeout(START_TIMEOUT):
                while not self._is_ready():
                    if self._process.returncode is not None:
                        raise EmbeddedPostgresError(f"PostgreSQL did not start: {self._last_words()}")
                    await asyncio.sleep(_POLL)
        except TimeoutError:
            raise EmbeddedPostgresError(
                f"PostgreSQL was not ready after {START_TIMEOUT:g} s: {self._last_words()}"
            ) from None

    async def stop(self) -> None:
        """Stop the server: fast shutdown, and without its last checkpoint when that takes too long."""
        process = self._process
        if process is None:
            return
        for number, patience in ((signal.SIGINT, STOP_TIMEOUT), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
            if process.returncode is not None:
                break
            process.send_signal(number)
            try:
                async with asyncio.timeout(patience):
                    await process.wait()
            except TimeoutError:
                logger.warning(
                    "%s: server %d did not end within %g s of %s",
                    self._data,
                    process.pid,
                    patience,
                    number.name,
                    extra={"action": "embedded_postgres_slow_stop"},
                )
        shutil.rmtree(self._sockets, ignore_errors=True)

    async def create_database_if_missing(self) -> None:
        """Make the gateway's role and database on a new cluster.

        Raises:
            asyncpg.PostgresError, OSError: the server went away meanwhile.
        """
        connection = await asyncpg.connect(self._url(SUPERUSER, "postgres"), timeout=10, command_timeout=60)
        try:
            if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", ROLE):
                await connection.execute(f"CREATE ROLE {ROLE} LOGIN CREATEDB")
            if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", ROLE):
                await connection.execute(f"CREATE DATABASE {ROLE} OWNER {ROLE}")
        finally:
            await connection.close(timeout=10)

    def _url(self, role: str, database: str) -> str:
        return f"postgresql://{role}@/{database}?host={quote(str(self._sockets), safe='/')}"

    def _is_ready(self) -> bool:
        # The eighth line of postmaster.pid is PostgreSQL's own word on its state.
        try:
            lines = (self._data / "postmaster.pid").read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[0] == str(self.process.pid) and lines[7].strip() == "ready"

    def _is_our_server(self, pid: int) -> bool:
        # PostgreSQL works inside its data folder; a process that got the same number later does not.
        process = Path(f"/proc/{pid}")
        try:
            return process.joinpath("cwd").samefile(self._data)
        except PermissionError:
            # Root in a container may not look there (no CAP_SYS_PTRACE); the command line is open to all.
            return os.fsencode(self._data) in process.joinpath("cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            return False

    async def _end(self, pid: int) -> None:
        for number, patience in ((signal.SIGINT, STOP_TIMEOUT), (signal.SIGQUIT, 5.0)):
            try:
                os.kill(pid, number)
                async with asyncio.timeout(patience):
                    while self._is_our_server(pid):  # noqa: ASYNC110 - not our child: nobody tells us
                        await asyncio.sleep(_POLL)
            except ProcessLookupError:
                return
            except TimeoutError:
                continue
            else:
                return
        raise EmbeddedPostgresError(f"{self._data}: the server {pid} of an earlier gateway does not end")

    def _make_socket_folder(self) -> None:
        allowed = {os.geteuid(), self._launcher.account.uid}
        try:
            found = self._sockets.lstat()
        except FileNotFoundError:
            pass
        else:
            if not stat.S_ISDIR(found.st_mode) or found.st_uid not in allowed:
                raise EmbeddedPostgresError(f"{self._sockets} belongs to somebody else: remove it")
            shutil.rmtree(self._sockets)
        self._sockets.mkdir(mode=0o700)
        self._launcher.give(self._sockets)

    def _write_access_rules(self) -> None:
        """Let the gateway's own user in, by the kernel's word, and nobody else."""
        caller = pwd.getpwuid(os.geteuid()).pw_name.replace('"', '""')
        rules = {
            "pg_hba.conf": "# Written at each start by Muster.\nlocal all all peer map=muster\n",
            "pg_ident.conf": "# Written at each start by Muster.\n"
            + "".join(f'muster "{caller}" {role}\n' for role in (ROLE, SUPERUSER)),
        }
        for name, text in rules.items():
            path = self._data / name
            with _new_file(path) as file:
                file.write(text.encode())
            self._launcher.give(path)

    def _last_words(self) -> str:
        words = b""
        newest = sorted((self._data / "log").glob("*.log"), key=lambda path: path.stat().st_mtime)[-1:]
        for path in (self._data / "start.log", *newest):
            if path.exists():
                words += path.read_bytes()[-4096:]
        return _last_lines(words)


def _new_file(path: Path) -> FileIO:
    """Open a file of mode 0600 that was not there before, so that no planted link is followed."""
    path.unlink(missing_ok=True)
    return FileIO(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "w")


def _socket_folder(folder: Path) -> Path:
    """Return where the socket lies: inside `folder`, or in the temporary folder if that path is too long."""
    inside = folder / "socket"
    is_plain = _PLAIN_PATH.fullmatch(str(inside)) is not None  # lists and URLs know ',' ':' and quotes
    if is_plain and len(os.fsencode(inside / _SOCKET)) <= LONGEST_SOCKET_ADDRESS:
        return inside
    key = hashlib.sha256(os.fsencode(folder) + str(os.geteuid()).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"muster-{key}"


def _environment() -> dict[str, str]:
    """Return a bare environment: PGDATA and the like would override us, and our secrets are not its business."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def _first_number(path: Path) -> int | None:
    try:
        first = path.read_text(encoding="utf-8", errors="replace").partition("\n")[0]
    except FileNotFoundError:
        return None
    return int(first) if first.isascii() and first.isdecimal() else None


def _last_lines(output: bytes) -> str:
    lines = [line.strip() for line in output.decode(errors="replace").splitlines() if line.strip()]
    return "; ".join(lines[-5:]) or "it said nothing"
