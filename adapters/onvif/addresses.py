"""Where a device's own addresses really lead (sans-IO).

A device behind NAT, with several interfaces or with a wrong setting names addresses that do not lead to it, and a
hostile one names somebody else's. So the host of every address (XAddr, stream, snapshot) is replaced by the one
under which the device was reached: no device can make us call another machine.
"""

import ipaddress
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit

from adapters.base import OnvifTarget
from adapters.errors import RemoteProtocolError

MAX_ADDRESS: Final = 1024
"""Characters of an address that are read at most."""

_DEFAULT_PORTS: Final = {"http": 80, "https": 443, "rtsp": 554, "rtsps": 322}


@dataclass(frozen=True, slots=True)
class Rewritten:
    """An address of a device as it is used here."""

    url: str
    "Leads to the host that was reached; holds no user name and no password."
    named: str
    'The foreign `host:port` that the device wrote; "" when it named its own.'


def rewrite_service(address: str, target: OnvifTarget) -> Rewritten:
    """Return the service address `address` (XAddr) as it is reached through `target`.

    A foreign host means NAT or another interface: the port that was reached then counts too. Scheme and port of
    `target` also count where the device names another scheme: its TLS is neither dropped nor begun unasked.

    Raises:
        RemoteProtocolError: `address` is no HTTP address.
    """
    parts, host, port = _split(address, ("http", "https"), target)
    scheme = "http" if target.tls is None else "https"
    is_foreign = not _same_host(host, target.host)
    if is_foreign or parts.scheme != scheme:
        port = target.port
    return Rewritten(
        f"{scheme}://{_bracketed(target.host)}:{port}{_rest(parts)}", _authority(parts) if is_foreign else ""
    )


def rewrite_stream(address: str, target: OnvifTarget) -> Rewritten:
    """Return the stream address `address` on the host of `target`, its own port kept.

    Raises:
        RemoteProtocolError: `address` is no RTSP address.
    """
    parts, host, port = _split(address, ("rtsp", "rtsps"), target)
    is_foreign = not _same_host(host, target.host)
    return Rewritten(
        f"{parts.scheme}://{_bracketed(target.host)}:{port}{_rest(parts)}",
        _authority(parts) if is_foreign else "",
    )


def _split(address: str, schemes: tuple[str, ...], target: OnvifTarget) -> tuple[SplitResult, str, int]:
    text = address.strip()
    if len(text) > MAX_ADDRESS or any(ord(letter) < 33 or ord(letter) == 127 for letter in text):
        raise RemoteProtocolError("an address that is none", peer=target.peer)
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise RemoteProtocolError(f"an address that is none: {error}", peer=target.peer) from error
    if parts.scheme not in schemes or not host:
        raise RemoteProtocolError(f"an address that is not {' or '.join(schemes)}", peer=target.peer)
    return parts, host, port or _DEFAULT_PORTS[parts.scheme]


def _same_host(one: str, other: str) -> bool:
    try:
        return ipaddress.ip_address(one) == ipaddress.ip_address(other)
    except ValueError:
        return one.lower() == other.lower()


def _rest(parts: SplitResult) -> str:
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _authority(parts: SplitResult) -> str:
    """Return host and port alone: a user name may stand before them."""
    return parts.netloc.rpartition("@")[2]


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
