"""Logging: the only module that configures it, and the only one that knows structlog.

Everything else logs through the standard library. Here each record becomes one line, JSON or for people, on
standard error. Secrets are kept out by `catalog.model.secret.Secret`; the redaction here is a second net, for
text that came from a peer or a library.
"""

import logging
import re
import sys
from typing import Final, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor

from catalog.model.secret import MASK, Secret

_RULES: Final = (
    # userinfo of a URL: everything up to the last @ before the path ends
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^\s/?#\"'<>]*@"), rf"\1{MASK}@"),
    # a header to the end of its line, also where the line break is written out as in repr(bytes)
    (
        re.compile(
            r"(?i)((?:proxy-)?authorization|(?:set-)?cookie)([\"']?\s*[:=]\s*)(?:(?!\\r|\\n)[^\r\n])+"
        ),
        rf"\1\2{MASK}",
    ),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}"), rf"\1 {MASK}"),
    (
        re.compile(
            r"(?i)([\"']?\b[a-z_-]*(?:password|passwd|passphrase|secret|token|api_?key)[\"']?\s*[=:]\s*)"
            r"(?:\"[^\"]*\"|'[^']*'|[^\s,;&)}\]\"']+)"
        ),
        rf"\1{MASK}",
    ),
)
_SECRET_NAMES: Final = re.compile(
    r"(?i)^(.*_)?(password|passwd|passphrase|secret|token|authorization|cookie|api_?key)$"
)
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""What would move a terminal's cursor or turn its text round; line breaks and tabs are no such thing."""

_MAX_TEXT: Final = 16_384
_MAX_DEPTH: Final = 6


def redact(text: str) -> str:
    """Return `text` with URL userinfo, credential headers and `password=` values masked."""
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text


def _redact_value(value: object, depth: int = 0) -> object:
    """Redact texts inside a logged value; anything unknown is redacted as its `str`."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Secret):
        return MASK
    if isinstance(value, dict) and depth < _MAX_DEPTH:
        return {
            str(key): MASK if _SECRET_NAMES.match(str(key)) else _redact_value(item, depth + 1)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset) and depth < _MAX_DEPTH:
        return [_redact_value(item, depth + 1) for item in value]
    text = value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)
    if len(text) > _MAX_TEXT:
        text = f"{text[:_MAX_TEXT]}… ({len(text)} characters)"
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", redact(text))


def _redact_event(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Redact every field of the event, its message and traceback included."""
    return {
        key: MASK if _SECRET_NAMES.match(key) and value is not None else _redact_value(value)
        for key, value in event.items()
    }


def _indent_event(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Indent what follows a line break, so that no text of a peer looks like a line of ours."""
    return {
        key: value.replace("\n", "\n    ") if isinstance(value, str) else value
        for key, value in event.items()
    }


def configure_logging(level: str, form: Literal["json", "console"], stream: TextIO | None = None) -> None:
    """Send every record of this process to one handler.

    Args:
        level: `debug`, `info`, `warning` or `error`.
        form: `json` for one object a line, `console` for people.
        stream: where to; standard error unless given.
    """
    stream = stream or sys.stderr
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_formatter(form, colors=stream.isatty()))
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    # Requests are in the access log, with who and why; the library's own line a request adds nothing.
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    # It logs a traceback for each field of a device that it cannot read; the client tells such a device's faults.
    logging.getLogger("zeep").setLevel(logging.CRITICAL)
    logging.captureWarnings(capture=True)


def _formatter(form: Literal["json", "console"], *, colors: bool) -> logging.Formatter:
    # Tracebacks become text before the redaction, and never with local variables: those hold secrets.
    renderer: Processor
    shaping: list[Processor] = []
    if form == "json":
        renderer = structlog.processors.JSONRenderer(ensure_ascii=False)
    else:
        shaping = [_indent_event]
        renderer = structlog.dev.ConsoleRenderer(
            colors=colors, exception_formatter=structlog.dev.plain_traceback
        )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.ExtraAdder(),
            structlog.processors.TimeStamper(fmt="iso", utc=True),
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            _redact_event,
            *shaping,
            renderer,
        ],
    )
