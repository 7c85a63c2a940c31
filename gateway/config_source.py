"""Where settings come from: the TOML file and the environment, each value with its place.

Knows nothing of what a setting means; `gateway/config.py` does.
"""

import difflib
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

ENVIRONMENT_PREFIX: Final = "MUSTER__"
MAX_FILE_SIZE: Final = 1 << 20
MAX_SECRET_SIZE: Final = 4096

KnownKeys = Mapping[str, frozenset[str]]
"""The sections and the keys each of them knows."""


@dataclass(frozen=True)
class Problem:
    """One thing an operator must correct."""

    place: str
    "`muster.toml, line 12`, `environment` or `configuration`."
    subject: str
    "`[section] key`."
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.subject}: {self.text}" if self.subject else f"{self.place}: {self.text}"


class ConfigError(ValueError):
    """The configuration cannot be used; holds every problem found, not only the first."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


@dataclass
class Settings:
    """Values as read, with the place of each."""

    file: str = ""
    "The file's name for messages; empty without a file."
    values: dict[str, Any] = field(default_factory=dict)
    lines: dict[tuple[str, ...], int] = field(default_factory=dict)
    variables: dict[tuple[str, str], str] = field(default_factory=dict)

    def from_environment(self, section: str, key: str) -> bool:
        """Tell whether the value in force was set by a variable."""
        return (section, key) in self.variables

    def place(self, section: str, key: str | None) -> str:
        """Return the most exact place known for a key or section."""
        if key is not None and (variable := self.variables.get((section, key))):
            return f"environment, {variable}"
        path = (section,) if key is None else (section, key)
        line = self.lines.get(path) or self.lines.get((section,))
        if line is not None:
            return f"{self.file}, line {line}"
        return self.file or "configuration"

    def problem(self, section: str, key: str | None, text: str) -> Problem:
        """Return a problem with this key, or with the whole section, at its place."""
        subject = f"[{section}]" if key is None else f"[{section}] {key}"
        return Problem(self.place(section, key), subject, text)


def read_settings(
    path: Path | None, environ: Mapping[str, str], known: KnownKeys
) -> tuple[Settings, list[Problem]]:
    """Read the file, lay the environment over it and fetch the secrets that lie in files.

    Returns:
        The settings and the problems found so far: variables that name nothing, unreadable secret files.

    Raises:
        ConfigError: the file cannot be read or is not TOML.
    """
    settings = _read_file(path) if path is not None else Settings()
    problems = _lay_environment(settings, environ, known)
    problems += _read_secret_files(settings, path.resolve().parent if path else Path.cwd(), known)
    return settings, problems


def _read_file(path: Path) -> Settings:
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_FILE_SIZE + 1)
    except OSError as error:
        raise ConfigError([Problem(str(path), "", f"cannot be read: {error.strerror}")]) from None
    if len(content) > MAX_FILE_SIZE:
        raise ConfigError([Problem(str(path), "", "is larger than 1 MiB: this is no configuration")])
    try:
        text = content.decode("utf-8-sig")
        values = tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise ConfigError([Problem(str(path), "", f"is not UTF-8 at byte {error.start}")]) from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError([Problem(str(path), "", f"is not TOML: {error}")]) from None
    return Settings(file=path.name, values=values, lines=_find_lines(text))


def _find_lines(text: str) -> dict[tuple[str, ...], int]:
    """Find where sections and keys stand.

    The parser of the standard library keeps no positions. This looks at line beginnings only, which is
    exact for one key a line, and no value depends on it.
    """
    lines: dict[tuple[str, ...], int] = {}
    section: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\s*\[\s*([\w-]+)\s*\]", line):
            section = (header.group(1),)
            lines.setdefault(section, number)
        elif entry := re.match(r"\s*([\w-]+)(?:\s*\.\s*([\w-]+))?\s*=", line):
            lines.setdefault((*section, *(part for part in entry.groups() if part)), number)
    return lines


def _lay_environment(settings: Settings, environ: Mapping[str, str], known: KnownKeys) -> list[Problem]:
    """Put `MUSTER__SECTION__KEY` over the file's values."""
    problems = []
    for variable, value in sorted(environ.items()):
        if not variable.startswith(ENVIRONMENT_PREFIX):
            continue
        section, _, key = variable.removeprefix(ENVIRONMENT_PREFIX).lower().partition("__")
        if section not in known or key not in known[section]:
            names = [f"{ENVIRONMENT_PREFIX}{s}__{k}".upper() for s in known for k in known[s]]
            problems.append(Problem("environment", variable, _unknown("variable", variable, names)))
            continue
        table = settings.values.setdefault(section, {})
        if isinstance(table, dict):
            table[key] = value
            settings.variables[section, key] = variable
    return problems


def _read_secret_files(settings: Settings, folder: Path, known: KnownKeys) -> list[Problem]:
    """For every known pair `name` and `name_file`, read `name` from the file; its last line break is cut."""
    problems = []
    for section, table in settings.values.items():
        keys = known.get(section, frozenset())
        for key in [key for key in keys if f"{key}_file" in keys] if isinstance(table, dict) else []:
            file_name = table.get(f"{key}_file")
            if not isinstance(file_name, str) or not file_name:
                continue
            if key in table:
                # The environment wins over the file, as everywhere, unless it set both.
                if settings.from_environment(section, f"{key}_file"):
                    text = f"{key} is set as well: set one of the two"
                    problems.append(settings.problem(section, f"{key}_file", text))
                continue
            try:
                table[key] = _read_secret(folder / Path(file_name).expanduser())
                settings.variables[section, key] = settings.place(section, f"{key}_file")
            except (OSError, ValueError) as error:
                reason = error.strerror if isinstance(error, OSError) else str(error)
                problems.append(settings.problem(section, f"{key}_file", f"cannot be read: {reason}"))
    return problems


def _read_secret(path: Path) -> str:
    with path.open("rb") as stream:
        content = stream.read(MAX_SECRET_SIZE + 1)
    try:
        text = content.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        # A new error: the decoder's own would carry the secret's bytes.
        raise ValueError("not UTF-8 text") from None
    if not text or len(content) > MAX_SECRET_SIZE or "\n" in text:
        raise ValueError("it must hold one line of at most 4096 bytes")
    return text


def explain(
    location: tuple[int | str, ...], kind: str, message: str, settings: Settings, known: KnownKeys
) -> Problem:
    """Turn one finding of pydantic into a sentence with a place.

    Args:
        location: section, key and, in a list, the item.
        kind: pydantic's error type.
        message: pydantic's message; it holds no value.
        settings: what was read.
        known: sections and keys.
    """
    section = str(location[0])
    key = str(location[1]) if len(location) > 1 else None
    if kind == "extra_forbidden":
        if key is None:
            return settings.problem(section, None, _unknown("section", section, list(known)))
        return settings.problem(section, key, _unknown_key(section, key, known))
    if kind == "missing":
        return settings.problem(section, key, "must be set")
    text = message.removeprefix("Value error, ")
    if len(location) > 2 and isinstance(location[2], int):
        text = f"item {location[2] + 1}: {text}"
    return settings.problem(section, key, text[:1].lower() + text[1:])


def _unknown_key(section: str, key: str, known: KnownKeys) -> str:
    homes = [name for name in known if key in known[name]]
    if homes and section not in homes:
        return f"unknown key; {key} belongs in [{homes[0]}]"
    return _unknown("key", key, sorted(known.get(section, ())))


def _unknown(what: str, name: str, names: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f"unknown {what}; did you mean {close[0]}?" if close else f"unknown {what}"


def render_toml(tables: Mapping[str, Mapping[str, object]]) -> str:
    """Write plain tables as TOML; None is written as an empty text, which the reader takes as "not set"."""
    blocks = []
    for section, table in tables.items():
        entries = [
            f"{key} = {json.dumps('' if value is None else value, ensure_ascii=False)}"
            for key, value in table.items()
        ]
        blocks.append("\n".join([f"[{section}]", *entries]))
    return "\n\n".join(blocks) + "\n"
