"""This machine's interfaces and routes, as the kernel tells them; nothing is ever sent to find out."""

import errno
import fcntl
import ipaddress
import socket
import struct
from enum import Enum
from pathlib import Path
from typing import Final, Protocol

_SIOCGIFFLAGS: Final = 0x8913
_SIOCGIFADDR: Final = 0x8915
_IFF_UP: Final = 0x1
_IFF_RUNNING: Final = 0x40
_NO_ROUTE: Final = frozenset({errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTUNREACH})


class NoRoute(Exception):
    """Raised when no way of this machine leads to an address."""


class Link(Enum):
    """How an interface stands."""

    UP = "up"
    DOWN = "down"
    MISSING = "missing"


class Kernel(Protocol):
    """What the kernel knows of routes and interfaces."""

    def interface_to(self, host: str) -> str | None:
        """Return the name of the interface that leads to the IP address now, or None where it cannot be told.

        Raises:
            NoRoute: no way of ours leads there.
        """
        ...

    def link(self, interface: str) -> Link:
        """Return how an interface stands."""
        ...


class LinuxKernel:
    """The kernel of this machine."""

    def __init__(self, ipv6_addresses: Path = Path("/proc/net/if_inet6")) -> None:
        self._ipv6_addresses = ipv6_addresses

    def interface_to(self, host: str) -> str | None:
        """Return the interface that leads to `host`; a datagram socket is connected, and nothing is sent.

        Raises:
            NoRoute: the kernel has no route.
        """
        address = ipaddress.ip_address(host)
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as asking:
                asking.connect((host, 9))
                local = ipaddress.ip_address(asking.getsockname()[0])
        except OSError as error:
            if error.errno in _NO_ROUTE:
                raise NoRoute(f"no route to {host}") from error
            return None
        if local.is_loopback:
            return "lo"
        return self._carrier_of(local)

    def _carrier_of(self, local: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str | None:
        if local.version == 6:
            return self._ipv6_carrier_of(local.packed.hex())
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
                for name in _interface_names():
                    answer = _ioctl(asking, _SIOCGIFADDR, name)
                    if answer is not None and answer[20:24] == local.packed:
                        return name
        except OSError:
            pass  # no descriptor to ask with: it cannot be told
        return None

    def _ipv6_carrier_of(self, local: str) -> str | None:
        try:
            lines = self._ipv6_addresses.read_text(encoding="ascii").splitlines()
        except OSError:
            return None
        return next((line.split()[-1] for line in lines if line.startswith(local)), None)

    def own_addresses(self) -> list[str]:
        """Return the first IPv4 address of each interface; fewer where a sandbox forbids asking."""
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
                answers = [_ioctl(asking, _SIOCGIFADDR, name) for name in _interface_names()]
        except OSError:
            return []
        return [socket.inet_ntoa(answer[20:24]) for answer in answers if answer is not None]

    def link(self, interface: str) -> Link:
        """Return how an interface stands: up means that it also has a carrier.

        Where the kernel cannot be asked, for want of a descriptor, nothing is held against the interface.
        """
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
                answer = _ioctl(asking, _SIOCGIFFLAGS, interface)
        except OSError:
            return Link.UP
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


def _interface_names() -> list[str]:
    """Return the names of all interfaces; none where a sandbox forbids asking."""
    try:
        return [name for _, name in socket.if_nameindex()]
    except OSError:
        return []
