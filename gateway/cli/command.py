"""What every command shares: options, opening the catalog, exit codes, and how errors are told.

Exit codes: 0 done; 1 the command found or met something wrong, and says what; 2 the command line or the
configuration is wrong; 3 something it needs cannot be reached (database, gateway, device).
"""

import asyncio
import getpass
import os
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Annotated, Final, TypeVar

import typer
from rich.console import Console

from adapters.errors import AdapterError, PeerTimeout, PeerUnreachable
from catalog.database import Database
from catalog.errors import CatalogError, DatabaseAway
from catalog.model.secret import Secret
from catalog.profiles.load import ProfileError
from gateway.config import Config, ConfigError, load_config
from gateway.log import configure_logging
from gateway.opening import open_for_command

Outcome = TypeVar("Outcome")

WIDTH_OF_A_PIPE: Final = 160
"""Columns where the output is no terminal: 80 would cut the 20-digit codes."""

LONGEST_PASSWORD: Final = 256


class ExitCode(IntEnum):
    """How a command ends."""

    DONE = 0
    FOUND = 1
    USAGE = 2
    UNREACHABLE = 3


class Language(StrEnum):
    """Language of what is written for people."""

    ZH = "zh"
    EN = "en"


ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", envvar="MUSTER_CONFIG", help="Configuration file (TOML).", dir_okay=False),
]
PersonOption = Annotated[
    str | None,
    typer.Option(
        "--person", envvar="MUSTER_PERSON", help="Who does this, for the record; your login by default."
    ),
]


def console() -> Console:
    """Return the console for results."""
    return Console(width=None if sys.stdout.isatty() else WIDTH_OF_A_PIPE, highlight=False, emoji=False)


def say(text: str) -> None:
    """Print one line of result, as it is."""
    console().print(text, markup=False, soft_wrap=True)


def complain(text: str) -> None:
    """Print one line to standard error."""
    Console(stderr=True, highlight=False, emoji=False).print(text, markup=False, soft_wrap=True)


def now() -> datetime:
    """Return the present instant, UTC."""
    return datetime.now(UTC)


def person_or_login(person: str | None) -> str:
    """Return who acts: the name given, else the login name."""
    return person.strip() if person and person.strip() else getpass.getuser()


def read_config(path: Path | None) -> Config:
    """Read the configuration, or end with exit code 2 and every problem on a line of its own."""
    try:
        config = load_config(path, os.environ)
    except ConfigError as error:
        complain(str(error))
        raise typer.Exit(ExitCode.USAGE) from None
    return config


def run(path: Path | None, work: Callable[[Database, Config], Awaitable[Outcome]]) -> Outcome:
    """Open the catalog, do `work` with it, and turn errors into words and an exit code."""
    config = read_config(path)
    configure_logging("warning", "console")

    async def opened() -> Outcome:
        async with open_for_command(config) as database:
            return await work(database, config)

    return told(lambda: asyncio.run(opened()))


def told(work: Callable[[], Outcome]) -> Outcome:
    """Run `work`; an expected error ends the command with one line and its exit code."""
    try:
        return work()
    except (DatabaseAway, PeerUnreachable, PeerTimeout) as error:
        complain(f"cannot be reached: {error}")
        raise typer.Exit(ExitCode.UNREACHABLE) from None
    except ProfileError as error:
        complain(str(error))
        raise typer.Exit(ExitCode.USAGE) from None
    except (CatalogError, AdapterError, ValueError) as error:
        complain(str(error))
        raise typer.Exit(ExitCode.FOUND) from None


def read_password(file: Path | None) -> Secret:
    """Return a password from a file's first line, or from the terminal; never from the command line.

    Raises:
        ValueError: empty, too long, or the file cannot be read.
    """
    if file is None:
        text = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        try:
            text = file.read_text(encoding="utf-8").partition("\n")[0].rstrip("\r")
        except (OSError, UnicodeDecodeError):
            raise ValueError(f"{file}: the password file cannot be read") from None
    if not 1 <= len(text) <= LONGEST_PASSWORD:
        raise ValueError(f"a password is 1 to {LONGEST_PASSWORD} characters")
    return Secret(text)
