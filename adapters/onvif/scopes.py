"""ONVIF scopes: what a device says of itself in an announcement (sans-IO).

A scope is a URI such as `onvif://www.onvif.org/name/Gate%201` (ONVIF Core, 7.3.2). Anybody may write anything into
one: they tell an operator what may stand there, and prove nothing.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from adapters.onvif.envelope import printable

PREFIX: Final = "onvif://www.onvif.org/"

_MAC: Final = re.compile(r"(?:[0-9a-f]{2}[:-]?){5}[0-9a-f]{2}")
_MAC_KINDS: Final = frozenset({"mac", "macaddr", "macaddress", "hwaddress"})
_SERIAL_KINDS: Final = frozenset({"serial", "serialnumber", "sn"})


@dataclass(frozen=True, slots=True)
class ScopeFacts:
    """What the scopes claim; "" where they are silent."""

    name: str = ""
    hardware: str = ""
    location: str = ""
    mac: str = ""
    "Lower-case, colon separated; makers write it under `MAC/`, `macaddr/` and the like."
    serial: str = ""


def read_scopes(scopes: Iterable[str]) -> ScopeFacts:
    """Return the facts in `scopes`; of several of a kind the first counts, unknown kinds are passed over."""
    found: dict[str, str] = {}
    for scope in scopes:
        if not scope.lower().startswith(PREFIX):
            continue
        kind, _, value = scope[len(PREFIX) :].partition("/")
        kind, text = kind.lower(), printable(unquote(value, errors="replace"))
        if kind in _MAC_KINDS:
            kind, text = "mac", _mac(text)
        elif kind in _SERIAL_KINDS:
            kind = "serial"
        if text:
            found.setdefault(kind, text)
    names = ("name", "hardware", "location", "mac", "serial")
    return ScopeFacts(**{name: found.get(name, "") for name in names})


def _mac(text: str) -> str:
    lowered = text.lower()
    if not _MAC.fullmatch(lowered):
        return ""
    digits = lowered.replace(":", "").replace("-", "")
    return ":".join(digits[at : at + 2] for at in range(0, 12, 2))
