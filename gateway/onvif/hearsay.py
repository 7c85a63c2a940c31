"""What an announcement becomes: a sighting whose identity is only claimed (pure).

The address is the datagram's sender, never what the message says. MAC and serial number from scopes are the
device's own word and marked so: they can propose a source to an operator, never decide.
"""

from collections import OrderedDict
from datetime import datetime
from typing import Final

from adapters.onvif.scopes import read_scopes
from adapters.onvif.wsdiscovery import Announcement, service_address
from catalog.model.sighting import Protocol, Sighting

MAX_SCOPES: Final = 16
"""Scopes kept with a sighting."""

MAX_ENDPOINTS: Final = 8_192
"""Endpoint names remembered, to notice two devices under one name."""


class Names:
    """Who used which endpoint name (`urn:uuid:…`) last: cloned firmware gives many devices the same."""

    def __init__(self) -> None:
        self._hosts_of: OrderedDict[str, tuple[str, str | None]] = OrderedDict()
        "The last user of a name, and the last other one before it."

    def other_user(self, endpoint: str, host: str) -> str | None:
        """Return the other host that last used the name `endpoint`, and note that `host` uses it now."""
        last, before = self._hosts_of.pop(endpoint, (host, None))
        other = before if last == host else last
        self._hosts_of[endpoint] = (host, other)
        if len(self._hosts_of) > MAX_ENDPOINTS:
            self._hosts_of.popitem(last=False)
        return other


def sighting_of(announcement: Announcement, sender: str, seen_at: datetime, names: Names) -> Sighting | None:
    """Return the sighting that a Hello or match from the IP address `sender` is.

    None when it names no address of a device service: who wants to know one asks the sender.
    """
    where = service_address(announcement, sender)
    if where is None:
        return None
    facts = read_scopes(announcement.scopes)
    detail: dict[str, object] = {
        "path": where.path,
        "tls": where.is_tls,
        "heard": announcement.kind.value,
        "endpoint": announcement.endpoint,
        "scopes": list(announcement.scopes[:MAX_SCOPES]),
    }
    detail |= {
        name: value
        for name, value in (
            ("name", facts.name),
            ("hardware", facts.hardware),
            ("location", facts.location),
        )
        if value
    }
    if where.is_foreign:
        detail["foreign_xaddr"] = True
    other = names.other_user(announcement.endpoint, sender) if announcement.endpoint else None
    if other is not None:
        detail["same_endpoint_as"] = other
    return Sighting(
        protocol=Protocol.ONVIF,
        host=sender,
        port=where.port,
        seen_at=seen_at,
        server=" · ".join(filter(None, (facts.name, facts.hardware))) or None,
        mac=facts.mac or None,
        serial=facts.serial or None,
        is_claimed=True,
        detail=detail,
    )
