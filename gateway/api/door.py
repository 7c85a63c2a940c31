"""The server's door: how many connections there may be, and how long a caller may keep one without using it.

Every connection is a descriptor, and those are what cameras, workers and the database are reached with. So a crowd
of silent callers must never take them all: connections are counted, in all and by address, one that asks nothing is
closed, and so is one that does not take its answer.
"""

import asyncio
import ipaddress
from collections import Counter
from collections.abc import Callable
from typing import Final

from aiohttp import web

MOST_CONNECTIONS: Final = 500
"""Connections at once; one more is closed at once."""

MOST_PER_ADDRESS: Final = 100
"""Of one address; loopback is free of it, for a reverse proxy speaks for everybody."""

FIRST_REQUEST: Final = 20.0
"""Seconds in which a new connection must have sent the head of its first request; later ones have the keep-alive."""

STALLED: Final = 60.0
"""Seconds for which a caller may take nothing of an answer that waits for it."""


class Door:
    """Makes the protocol of each connection; owns the counts.

    Args:
        server: makes what serves a connection, aiohttp's `web.Server`.
        most: connections at once.
        most_per_address: of one address.
        first_request: as `FIRST_REQUEST`.
        stalled: as `STALLED`.
    """

    def __init__(
        self,
        server: Callable[[], asyncio.Protocol],
        *,
        most: int = MOST_CONNECTIONS,
        most_per_address: int = MOST_PER_ADDRESS,
        first_request: float = FIRST_REQUEST,
        stalled: float = STALLED,
    ) -> None:
        self.first_request = first_request
        self.stalled = stalled
        self._server = server
        self._most = most
        self._most_per_address = most_per_address
        self._open: Counter[str] = Counter()

    def __call__(self) -> asyncio.Protocol:
        """Return the protocol of a new connection."""
        return GuardedConnection(self, self._server)

    def enter(self, address: str) -> bool:
        """Count a connection from `address`, or tell that there is no room for it."""
        if self._open.total() >= self._most:
            return False
        if self._open[address] >= self._most_per_address and not _is_loopback(address):
            return False
        self._open[address] += 1
        return True

    def leave(self, address: str) -> None:
        """Forget a connection that was counted."""
        self._open[address] -= 1
        if not self._open[address]:
            del self._open[address]


class GuardedConnection(asyncio.Protocol):
    """One connection: passes everything on to the server's own protocol, and keeps the time."""

    def __init__(self, door: Door, make: Callable[[], asyncio.Protocol]) -> None:
        self._door = door
        self._make = make
        self._inner: asyncio.Protocol | None = None
        self._address = ""
        self._transport: asyncio.BaseTransport | None = None
        self._first: asyncio.TimerHandle | None = None
        self._stall: asyncio.TimerHandle | None = None

    def asked(self) -> None:
        """Note that a request has come."""
        self._first = _cancel(self._first)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let the connection in, or close it."""
        peer = transport.get_extra_info("peername")
        self._address = str(peer[0]) if isinstance(peer, tuple) else ""
        self._transport = transport
        if not self._door.enter(self._address):
            self._abort()
            return
        self._inner = self._make()
        self._first = asyncio.get_running_loop().call_later(self._door.first_request, self._abort)
        self._inner.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._first, self._stall = _cancel(self._first), _cancel(self._stall)
        inner, self._inner = self._inner, None
        if inner is not None:
            self._door.leave(self._address)
            inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Pass bytes on."""
        if self._inner is not None:
            self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        """Pass the caller's end on."""
        return self._inner.eof_received() if self._inner is not None else None

    def pause_writing(self) -> None:
        """Begin to wait for a caller that does not take what is written."""
        self._stall = asyncio.get_running_loop().call_later(self._door.stalled, self._abort)
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Go on."""
        self._stall = _cancel(self._stall)
        if self._inner is not None:
            self._inner.resume_writing()

    def _abort(self) -> None:
        if isinstance(self._transport, asyncio.WriteTransport):
            self._transport.abort()
        elif self._transport is not None:
            # uvloop's transports are of no class of asyncio's.
            getattr(self._transport, "abort", self._transport.close)()


def note_request(request: web.BaseRequest) -> None:
    """Tell the connection of a request that it is used."""
    transport = request.transport
    protocol = transport.get_protocol() if transport is not None else None
    if isinstance(protocol, GuardedConnection):
        protocol.asked()


def _cancel(timer: asyncio.TimerHandle | None) -> asyncio.TimerHandle | None:
    if timer is not None:
        timer.cancel()
    return None


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return False
