"""Templates: Jinja2 with autoescape always on, and the few readings that pages need."""

import functools
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from importlib.resources import files
from typing import Final

import jinja2

from catalog.model.compliance import WORDS as FACT_WORDS
from catalog.model.compliance import Fact
from catalog.reading import LOCAL
from catalog.sightings import split_reason
from gateway.console.messages import text, word

STATIC: Final[Mapping[str, str]] = {
    "muster.css": "text/css",
    "live.js": "text/javascript",
    "picture.js": "text/javascript",
    "muster.svg": "image/svg+xml",
}
"""Files that are served, by name; nothing else is."""

SHAPES: Final[Mapping[str, str]] = {
    "online": "●",
    "degraded": "◐",
    "offline": "✕",
    "unknown": "?",
    "suspended": "‖",
    "never_connected": "○",
    "removed": "–",
    "rejected": "⊘",
}
"""A state is never told by colour alone."""


@functools.cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("gateway.console", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(template: str, language: str, **values: object) -> str:
    """Return a page.

    Args:
        template: name of the file.
        language: `zh` or `en`.
        values: what the template shows; every text in it is escaped.
    """
    return (
        _environment()
        .get_template(template)
        .render(
            lang=language,
            html_lang="en" if language == "en" else "zh-CN",
            t=functools.partial(text, language=language),
            w=functools.partial(word, language=language),
            instant=instant,
            day=day,
            matched_by=functools.partial(matched_by, language=language),
            lasting=functools.partial(lasting, language=language),
            percent=percent,
            bitrate=bitrate,
            kilobytes=kilobytes,
            seconds=seconds,
            shapes=SHAPES,
            fact_names=tuple(fact.value for fact in Fact),
            fact_words={fact.value: words for fact, words in FACT_WORDS.items()},
            **values,
        )
    )


@functools.cache
def static(name: str) -> bytes:
    """Return a static file.

    Raises:
        KeyError: there is none of this name.
    """
    if name not in STATIC:
        raise KeyError(name)
    return files("gateway.console").joinpath("static", name).read_bytes()


def instant(at: datetime | None) -> str:
    """Return an instant in local time, for people."""
    return "–" if at is None else at.astimezone(LOCAL).strftime("%Y-%m-%d %H:%M:%S")


def day(on: date | None) -> str:
    """Return a day."""
    return "–" if on is None else on.isoformat()


def lasting(since: datetime | None, now: datetime, language: str) -> str:
    """Return how long something has lasted, in its two largest units."""
    if since is None:
        return "–"
    seconds = int(max(timedelta(), now - since).total_seconds())
    units = (("d", "天", 86_400), ("h", "小时", 3600), ("min", "分", 60), ("s", "秒", 1))
    parts: list[str] = []
    for en, zh, size in units:
        count, seconds = divmod(seconds, size)
        if count or (size == 1 and not parts):
            parts.append(f"{count} {en}" if language == "en" else f"{count} {zh}")
    return " ".join(parts[:2])


def matched_by(words: str, language: str) -> str:
    """Return the reason of a match in one language."""
    both = split_reason(words)
    return both.en if language == "en" else both.zh


def percent(share: float | None) -> str:
    """Return a share with one decimal; a dash where there is no denominator."""
    return "–" if share is None else f"{share * 100:.1f} %"


def bitrate(bits: int) -> str:
    """Return bits a second in the unit people use."""
    return f"{bits / 1e6:.2f} Mbit/s" if bits >= 1e6 else f"{bits / 1e3:.0f} kbit/s"


def kilobytes(size: int) -> str:
    """Return a size in bytes for people; little is 0."""
    return f"{size / 1000:.0f} kB"


def seconds(duration: float) -> str:
    """Return a short duration in seconds for people."""
    return f"{duration:.2f} s"
