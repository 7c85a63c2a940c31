"""By which interface of ours the sources are reached, and whether that interface is still there.

When an interface goes down the kernel forgets its routes, and what was meant for the cameras behind it leaves by the
default route: to nobody, or to a stranger with the same address. So a source whose path is lost is not asked at all,
and its silence is ours (status model 4.3, `own_network_down`), while sources behind other interfaces are judged as
ever. Asks the kernel only; sends nothing.
"""

import ipaddress
import logging
from collections.abc import Iterable
from typing import Final

from gateway.clock import Clock
from gateway.interfaces import Kernel, Link, NoRoute

logger = logging.getLogger(__name__)

MISSING_FOR: Final = 300.0
"""Seconds after which an interface that is gone altogether is taken as removed on purpose."""


class OwnPaths:
    """Remembers one path per neighbourhood of addresses: /24, or /64."""

    def __init__(self, clock: Clock, kernel: Kernel) -> None:
        self._clock = clock
        self._kernel = kernel
        self._interface: dict[str, str] = {}
        self._missing_since: dict[str, float] = {}

    def learn(self, hosts: Iterable[str]) -> None:
        """Note by which interfaces these addresses are reached now; a lost path stays what it was."""
        for host in hosts:
            place = neighbourhood(host)
            known = self._interface.get(place)
            if known is not None and self._is_lost(known):
                continue
            try:
                present = self._kernel.interface_to(host)
            except NoRoute:
                continue
            if present is not None:
                self._interface[place] = present

    def is_lost(self, host: str) -> bool:
        """Tell whether the interface by which this address was reached is down or gone."""
        interface = self._interface.get(neighbourhood(host))
        return interface is not None and self._is_lost(interface)

    def lost(self) -> frozenset[str]:
        """Return the names of the lost interfaces."""
        return frozenset(name for name in set(self._interface.values()) if self._is_lost(name))

    def _is_lost(self, interface: str) -> bool:
        link = self._kernel.link(interface)
        if link is not Link.MISSING:
            self._missing_since.pop(interface, None)
            return link is Link.DOWN
        now = self._clock.monotonic()
        since = self._missing_since.setdefault(interface, now)
        if now - since < MISSING_FOR:
            return True
        logger.warning(
            "interface %s is gone for good: its sources are asked by whatever way leads there",
            interface,
            extra={"action": "interface_removed"},
        )
        self._interface = {place: name for place, name in self._interface.items() if name != interface}
        return False


def neighbourhood(host: str) -> str:
    """Return the /24 or /64 around an IP address, as text; a name is its own neighbourhood."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    return str(ipaddress.ip_network((address, 24 if address.version == 4 else 64), strict=False))
