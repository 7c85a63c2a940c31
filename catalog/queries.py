"""Named SQL statements, read once from the files beside this module.

A file `catalog/sql/*.sql` (`schema.sql` and the migrations excepted) holds statements like this::

    -- name: source_by_code
    -- The source with this 20-digit code.
    -- $1: text, the code
    SELECT ... ;

The name is unique over all files; the comment lines below it say what the statement does.
"""

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from types import MappingProxyType
from typing import Final

_NAME_LINE: Final = re.compile(r"^-- name: *(?P<name>\S*) *$", re.MULTILINE)
_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Query:
    """One named statement."""

    name: str
    "Name under which the code calls it."
    description: str
    "What it does, from the comment below the name."
    sql: str
    "The statement, without the closing semicolon."
    file: str
    "Name of the file that holds it."


def sql_folder() -> Traversable:
    """Return the folder of SQL files inside the installed package."""
    return files("catalog").joinpath("sql")


def parse_queries(text: str, *, file: str) -> dict[str, Query]:
    """Return the statements of one file by name.

    Args:
        text: the whole file.
        file: its name, for error messages.

    Raises:
        ValueError: SQL before the first name, a malformed or repeated name, no description or no statement.
    """
    found = list(_NAME_LINE.finditer(text))
    preface = text[: found[0].start()] if found else text
    if any(line.strip() and not line.startswith("--") for line in preface.splitlines()):
        raise ValueError(f"{file}: SQL before the first '-- name:' line")
    queries: dict[str, Query] = {}
    for match, following in zip(found, [*found[1:], None], strict=True):
        name = match["name"]
        if not _NAME.fullmatch(name):
            raise ValueError(f"{file}: {name!r} is no snake_case name")
        if name in queries:
            raise ValueError(f"{file}: {name} is defined twice")
        body = text[match.end() : following.start() if following else None]
        queries[name] = _query(name, body, file)
    return queries


def _query(name: str, body: str, file: str) -> Query:
    lines = body.strip().splitlines()
    comments: list[str] = []
    while lines and lines[0].startswith("--"):
        comments.append(lines.pop(0).removeprefix("--").strip())
    sql = "\n".join(lines).strip().removesuffix(";").rstrip()
    if not comments:
        raise ValueError(f"{file}: {name} has no description")
    if not sql:
        raise ValueError(f"{file}: {name} has no statement")
    return Query(name=name, description=" ".join(comments), sql=sql, file=file)


@functools.cache
def load_queries() -> Mapping[str, Query]:
    """Return every statement of the package by name.

    Raises:
        ValueError: a file is malformed, or two files define the same name.
    """
    queries: dict[str, Query] = {}
    for path in sorted(sql_folder().iterdir(), key=lambda entry: entry.name):
        if not path.name.endswith(".sql") or path.name == "schema.sql":
            continue
        for name, query in parse_queries(path.read_text(encoding="utf-8"), file=path.name).items():
            if name in queries:
                raise ValueError(f"{path.name}: {name} is already defined in {queries[name].file}")
            queries[name] = query
    return MappingProxyType(queries)
