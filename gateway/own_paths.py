"""By which interface of ours the sources are reached, and whether that interface is still there.

When an interface goes down the kernel forgets its routes, and what was meant for the cameras behind it leaves by the
default route: to nobody, or to a stranger with the same address. So a source whose path is lost is not asked at all,
and its silence is ours (status model 4.3, `own_network_down`), while sources behind other interfaces are judged as
ever. Asks the kernel only; sends nothing.
"""

import fcntl
import ipaddress
import logging
import socket
import struct
from collections.abc import Iterable
from enum import Enum
from pathlib import Path
from typing import Final, Protocol

from gateway.clock import Clock

logger = logging.getLogger(__name__)

MISSING_FOR: Final = 300.0
"""Seconds after which an interface that is gone altogether is taken as removed on purpose."""

_SIOCGIFFLAGS: Final = 0x8913
_SIOCGIFADDR: Final = 0x8915
_IFF_UP: Final = 0x1
_IFF_RUNNING: Final = 0x40


class Link(Enum):
    """How an interface stands."""

    UP = "up"
    DOWN = "down"
    MISSING = "missing"


class Kernel(Protocol):
    """What the kernel knows of routes and interfaces."""

    def interface_to(self, host: str) -> str | None:
        """Return the name of the interface that leads to the IP address now, or None without a route."""
        ...

    def link(self, interface: str) -> Link:
        """Return how an interface stands."""
        ...


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
            present = self._kernel.interface_to(host)
            if present is not None:
                self._interface[place] = present

    def is_lost(self, host: str) -> bool:
        """Tell whether the interface by which this address was reached is down or gone."""
        interface = self._interface.get(neighbourhood(host))
        return interface is not None and self._is_lost(interface)

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


class LinuxKernel:
    """The kernel of this machine."""

    def __init__(self, ipv6_addresses: Path = Path("/proc/net/if_inet6")) -> None:
        self._ipv6_addresses = ipv6_addresses

    def interface_to(self, host: str) -> str | None:
        """Return the interface that leads to `host`; a datagram socket is connected, and nothing is sent."""
        address = ipaddress.ip_address(host)
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as asking:
                asking.connect((host, 9))
                local = ipaddress.ip_address(asking.getsockname()[0])
        except OSError:
            return None
        if local.is_loopback:
            return "lo"
        return self._carrier_of(local)

    def _carrier_of(self, local: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str | None:
        if local.version == 6:
            return self._ipv6_carrier_of(local.packed.hex())
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            for _, name in socket.if_nameindex():
                answer = _ioctl(asking, _SIOCGIFADDR, name)
                if answer is not None and answer[20:24] == local.packed:
                    return name
        return None

    def _ipv6_carrier_of(self, local: str) -> str | None:
        try:
            lines = self._ipv6_addresses.read_text(encoding="ascii").splitlines()
        except OSError:
            return None
        return next((line.split()[-1] for line in lines if line.startswith(local)), None)

    def link(self, interface: str) -> Link:
        """Return how an interface stands: up means that it also has a carrier."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            answer = _ioctl(asking, _SIOCGIFFLAGS, interface)
        if answer is None:
            return Link.MISSING
        (flags,) = struct.unpack_from("H", answer, 16)
        return Link.UP if flags & _IFF_UP and flags & _IFF_RUNNING else Link.DOWN


def _ioctl(asking: socket.socket, request: int, interface: str) -> bytes | None:
    """Ask for one property of an interface; None when there is no such interface or it has none."""
    try:
        return fcntl.ioctl(asking.fileno(), request, struct.pack("256s", interface.encode()[:15]))
    except OSError:
        return None


def neighbourhood(host: str) -> str:
    """Return the /24 or /64 around an IP address, as text; a name is its own neighbourhood."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    return _around(address)


def _around(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    return str(ipaddress.ip_network((address, 24 if address.version == 4 else 64), strict=False))
