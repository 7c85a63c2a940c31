"""A proxy for RTSP whose media go by UDP: the RTSP connection as `fault_proxy`, the datagrams with their own faults.

Ports in the Transport headers (RFC 2326, section 12.39) are replaced by the proxy's, so that media and
RTCP pass through it both ways. A track whose answer names no `server_port` is carried towards the
client alone.
"""

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from random import Random
from typing import Final

from tests.fakes.fault_proxy import FaultProxy, fault_proxy

MOST_HELD: Final = 2_000
"""Datagrams that wait for their time in one proxy; more are dropped and counted."""
MOST_READ: Final = 200
"""Datagrams that one socket may bring in one turn."""
MAX_DATAGRAM: Final = 65_536
REORDERED_FOR: Final = 0.03
"""Seconds by which a reordered datagram comes late."""

_CLIENT: Final = re.compile(rb"client_port=(\d+)(?:-\d+)?")
_SERVER: Final = re.compile(rb"server_port=(\d+)(?:-\d+)?")


@dataclass
class DatagramCounts:
    """What a proxy did with datagrams."""

    passed: int = 0
    lost: int = 0
    duplicated: int = 0
    reordered: int = 0
    overflowed: int = 0
    "Dropped because `MOST_HELD` waited."


@dataclass
class DatagramWay:
    """What the datagrams suffer, both ways; a change holds for the next ones."""

    chance: Random
    loss: float = 0.0
    "Probability."
    duplication: float = 0.0
    "Probability."
    reordering: float = 0.0
    "Probability of coming `REORDERED_FOR` late."
    delay: float = 0.0
    "Seconds."
    jitter: float = 0.0
    "Up to so many seconds more, each datagram by itself: they overtake each other."
    is_lost: bool = False
    "A black hole."
    counts: DatagramCounts = field(default_factory=DatagramCounts)
    held: int = 0
    "Datagrams that wait now."

    def heal(self) -> None:
        """Take back every fault."""
        self.loss = self.duplication = self.reordering = self.delay = self.jitter = 0.0
        self.is_lost = False

    def delays(self) -> list[float]:
        """Return after how many seconds each copy of the next datagram goes on."""
        if self.is_lost or self.chance.random() < self.loss:
            self.counts.lost += 1
            return []
        copies = 1 + (self.chance.random() < self.duplication)
        self.counts.duplicated += copies - 1
        after = []
        for _ in range(copies):
            late = self.chance.random() < self.reordering
            self.counts.reordered += late
            after.append(self.delay + self.chance.uniform(0.0, self.jitter) + REORDERED_FOR * late)
        return after


class _Ear:
    """One UDP socket of the proxy; what it hears leaves by its partner, to where that one's peer is."""

    def __init__(self, way: DatagramWay, sock: socket.socket) -> None:
        self.partner: _Ear | None = None
        self.peer: tuple[str, int] | None = None
        self._way = way
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock, self._hear)

    def send(self, data: bytes) -> None:
        """Send to the peer, if there is one yet."""
        if self.peer is not None and self._sock.fileno() >= 0:
            # Nobody may listen there: the kernel says so at some later call.
            with contextlib.suppress(OSError):
                self._sock.sendto(data, self.peer)
                self._way.counts.passed += 1

    def close(self) -> None:
        """Close the socket; what still waits is dropped."""
        self._loop.remove_reader(self._sock)
        self._sock.close()

    def _hear(self) -> None:
        for _ in range(MOST_READ):
            try:
                data, sender = self._sock.recvfrom(MAX_DATAGRAM)
            except BlockingIOError:
                return
            except OSError:
                continue
            # A stranger's datagram would leave with our port for its own, and so seem the peer's.
            if sender == self.peer:
                self._treat(data)

    def _treat(self, data: bytes) -> None:
        way, partner = self._way, self.partner
        if partner is None:
            return
        for delay in way.delays():
            if delay <= 0:
                partner.send(data)
            elif way.held >= MOST_HELD:
                way.counts.overflowed += 1
            else:
                way.held += 1
                self._loop.call_later(delay, self._release, partner, data)

    def _release(self, partner: "_Ear", data: bytes) -> None:
        self._way.held -= 1
        partner.send(data)


def _pair() -> tuple[socket.socket, socket.socket]:
    """Return bound sockets on an even port and the next."""
    for _ in range(64):
        rtp, rtcp = (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) for _ in range(2)
        )
        try:
            rtp.bind(("127.0.0.1", 0))
            port = rtp.getsockname()[1]
            if port % 2 == 0:
                rtcp.bind(("127.0.0.1", port + 1))
                return rtp, rtcp
        except OSError:
            pass
        rtp.close()
        rtcp.close()
    raise AssertionError("no pair of UDP ports is free")


class MediaRoute:
    """The ports of one RTSP connection; replaces them in the Transport headers that pass.

    A request or an answer with a Transport header is taken to stand whole in one read: it is short, and
    its sender writes it at once.
    """

    def __init__(self, way: DatagramWay) -> None:
        self._way = way
        self._ears: list[_Ear] = []
        self._tracks: list[tuple[int, int, list[_Ear]]] = []
        "Not answered yet: the client's RTP port, ours towards it, and our two sockets towards the server."

    def to_server(self, data: bytes) -> bytes:
        """Put our ports in place of the client's."""
        found = _CLIENT.search(data)
        if found is None or not data.startswith(b"SETUP"):
            return data
        return _put(data, found, b"client_port", self._open(int(found[1])))

    def to_client(self, data: bytes) -> bytes:
        """Put the client's ports back, and ours in place of the server's."""
        if not self._tracks or not data.startswith(b"RTSP/"):
            return data
        client_port, our_port, towards_server = self._tracks.pop(0)
        if (found := _CLIENT.search(data)) is not None:
            data = _put(data, found, b"client_port", client_port)
        if (found := _SERVER.search(data)) is not None:
            for offset, ear in enumerate(towards_server):
                ear.peer = ("127.0.0.1", int(found[1]) + offset)
            data = _put(data, found, b"server_port", our_port)
        return data

    def close(self) -> None:
        """Close every port."""
        for ear in self._ears:
            ear.close()

    def _open(self, client_port: int) -> int:
        """Open the ports of one track; return our RTP port towards the server."""
        near_socks, far_socks = _pair(), _pair()
        far: list[_Ear] = []
        for offset, socks in enumerate(zip(near_socks, far_socks, strict=True)):
            ears = [_Ear(self._way, sock) for sock in socks]
            ears[0].partner, ears[1].partner = ears[1], ears[0]
            ears[0].peer = ("127.0.0.1", client_port + offset)
            self._ears += ears
            far.append(ears[1])
        self._tracks.append((client_port, near_socks[0].getsockname()[1], far))
        return int(far_socks[0].getsockname()[1])


def _put(data: bytes, found: re.Match[bytes], name: bytes, port: int) -> bytes:
    return data[: found.start()] + b"%b=%d-%d" % (name, port, port + 1) + data[found.end() :]


@contextlib.asynccontextmanager
async def udp_fault_proxy(
    server_port: int, *, seed: int = 0
) -> AsyncIterator[tuple[FaultProxy, DatagramWay]]:
    """Run a proxy in front of an RTSP server of 127.0.0.1: the switches of its connections and of its datagrams."""
    way = DatagramWay(Random(seed))
    async with fault_proxy(server_port, seed=seed, route=lambda: MediaRoute(way)) as proxy:
        yield proxy, way
