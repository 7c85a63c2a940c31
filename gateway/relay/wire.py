"""Lines of JSON for the messages of `protocol`, both ways, bounded, refusing whatever does not fit.

A line is `{"type": "StartRelay", ...}` and a line feed. Here alone a `Secret` is written out:
the line goes into an inherited socket between two processes of ours.
"""

import json
import types
import typing
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from typing import Any, Final, TypeVar

from catalog.model.secret import Secret
from gateway.relay.protocol import Command, Event

MAX_LINE: Final = 4 * 1024 * 1024
"""Bytes of one line: counters of 10,000 relays fit."""

M = TypeVar("M")

_SCALARS: Final = frozenset({int, float, str, bool, type(None)})

_COMMANDS: Final = {kind.__name__: kind for kind in typing.get_args(Command)}
_EVENTS: Final = {kind.__name__: kind for kind in typing.get_args(Event)}


def encode(message: Command | Event) -> bytes:
    """Return `message` as one line.

    Raises:
        ValueError: the line would be longer than `MAX_LINE`.
    """
    plain = _plain(message)
    plain["type"] = type(message).__name__
    line = json.dumps(plain, separators=(",", ":"), ensure_ascii=True).encode() + b"\n"
    if len(line) > MAX_LINE:
        raise ValueError(f"{type(message).__name__} of {len(line)} bytes is longer than a line may be")
    return line


def decode_command(line: bytes) -> Command:
    """Return the command in `line`; ValueError for anything that is not one. The text never quotes `line`."""
    return typing.cast(Command, _decode(line, _COMMANDS))


def decode_event(line: bytes) -> Event:
    """Return the event in `line`; ValueError for anything that is not one."""
    return typing.cast(Event, _decode(line, _EVENTS))


def _decode(line: bytes, kinds: dict[str, type]) -> object:
    if len(line) > MAX_LINE:
        raise ValueError("line is too long")
    try:
        plain = json.loads(line)
    except (ValueError, RecursionError):
        # `from None`: the parser's error carries the line, which may carry a credential.
        raise ValueError("line is not JSON") from None
    name = _exactly(dict, plain).pop("type", None)
    kind = kinds.get(name) if isinstance(name, str) else None
    if kind is None:
        raise ValueError("unknown message type")
    return _record(kind, plain)


def _plain(value: Any) -> Any:
    if type(value) in _SCALARS:
        # Nearly every value of the counters, once a second for each relay.
        return value
    match value:
        case Secret():
            return value.reveal()
        case datetime():
            return value.isoformat()
        case tuple():
            return [_plain(item) for item in value]
        case _ if is_dataclass(value):
            # What stands at its default is left out: a worker's counters must fit one line.
            kind: type = type(value)
            return {
                name: _plain(given)
                for name, default in _defaults(kind)
                if (given := getattr(value, name)) != default
            }
        case _:
            return value


@cache
def _defaults(kind: type) -> tuple[tuple[str, Any], ...]:
    """Return each field's name and default; `MISSING`, which equals nothing else, where it has none."""
    return tuple((f.name, f.default) for f in fields(kind))


@cache
def _readers(kind: type) -> dict[str, Callable[[Any], Any]]:
    hints = typing.get_type_hints(kind)
    return {f.name: _reader(hints[f.name]) for f in fields(kind)}


def _record(kind: type, plain: object) -> Any:
    readers = _readers(kind)
    values: dict[str, object] = _exactly(dict, plain)
    if unknown := values.keys() - readers.keys():
        raise ValueError(f"{kind.__name__} has {len(unknown)} unknown fields")
    read = {}
    for name, value in values.items():
        try:
            read[name] = readers[name](value)
        except (ValueError, OverflowError):
            raise ValueError(f"{kind.__name__}.{name} does not fit") from None
    try:
        return kind(**read)
    except TypeError:
        raise ValueError(f"{kind.__name__} lacks a field") from None


def _reader(hint: Any) -> Callable[[Any], Any]:
    origin = typing.get_origin(hint)
    arguments = typing.get_args(hint)
    reader: Callable[[Any], Any]
    if isinstance(hint, typing.NewType):
        reader = _reader(hint.__supertype__)
    elif origin in (types.UnionType, typing.Union):
        (inner,) = (part for part in arguments if part is not types.NoneType)
        read_inner = _reader(inner)
        reader = lambda value: None if value is None else read_inner(value)  # noqa: E731
    elif origin is tuple:
        read_item = _reader(arguments[0])
        reader = lambda value: tuple(read_item(item) for item in _exactly(list, value))  # noqa: E731
    elif hint is Secret:
        reader = lambda value: Secret(_exactly(str, value))  # noqa: E731
    elif hint is datetime:
        reader = _instant
    elif hint is float:
        reader = lambda value: float(value if type(value) is int else _exactly(float, value))  # noqa: E731
    elif isinstance(hint, type) and issubclass(hint, StrEnum):
        reader = lambda value: hint(_exactly(str, value))  # noqa: E731
    elif is_dataclass(hint):
        reader = lambda value: _record(typing.cast(type, hint), value)  # noqa: E731
    else:
        reader = lambda value: _exactly(hint, value)  # noqa: E731
    return reader


def _exactly(kind: type[M], value: object) -> M:
    # `type()`, not isinstance: true is no number here.
    if type(value) is not kind:
        raise ValueError(f"expected {kind.__name__}")
    return value


def _instant(value: object) -> datetime:
    instant = datetime.fromisoformat(_exactly(str, value))
    if instant.tzinfo is None:
        raise ValueError("instant without a time zone")
    return instant.astimezone(UTC)
