"""WS-Discovery on sockets: a listener on the multicast group, Probes to the group and to single addresses.

    async with Discoverer(take) as discoverer:
        discoverer.join("192.0.2.1")           # one of our own addresses
        discoverer.probe_group()
        found = await discoverer.ask("192.0.2.7", patience=2.0)

Owns the sockets. Nothing is read here: `take` gets each datagram as it came, and decides what is worth parsing.
The answer to a question of ours is known by the random id in it, so whoever did not get the question cannot give one.
"""

import asyncio
import contextlib
import errno
import logging
import socket
import struct
import uuid
from collections.abc import Callable, Iterator
from typing import Final, Self, TypeAlias

from adapters.errors import AdapterError, LocalResourcesExhausted, PeerTimeout, PeerUnreachable
from adapters.onvif.wsdiscovery import GROUP, PORT, Announcement, Kind, probes, read_announcements

logger = logging.getLogger(__name__)

RECEIVE_BUFFER: Final = 4 * 1024 * 1024
"""Bytes: 2,000 Hellos in one second wait here while the loop does something else."""

MAX_QUESTIONS: Final = 2_000
"""Unicast Probes under way at once."""

Take: TypeAlias = Callable[[bytes, str], None]
"""Gets a datagram and the IP address it came from. Must not block and must not raise."""


class Discoverer:
    """Listens and asks, on any number of our own addresses.

    Args:
        take: gets whatever arrives unasked or in answer to a Probe to the group.
        port: UDP port of WS-Discovery, on our side and on the devices'.
    """

    def __init__(self, take: Take, *, port: int = PORT) -> None:
        self._take = take
        self._port = port
        self._listener: socket.socket | None = None
        self._transports: list[asyncio.DatagramTransport] = []
        self._asking: asyncio.DatagramTransport | None = None
        self._senders: dict[str, asyncio.DatagramTransport] = {}
        self._questions: dict[str, asyncio.Future[list[Announcement]]] = {}
        self._group_ids: tuple[str, ...] = ()

    async def __aenter__(self) -> Self:
        self._listener = _listening_socket(self._port)
        self._transports.append(await _open(self._listener, self._heard))
        self._asking = await _open(_asking_socket(), self._answered)
        self._transports.append(self._asking)
        return self

    async def __aexit__(self, *_: object) -> None:
        for transport in (*self._transports, *self._senders.values()):
            transport.close()
        self._senders.clear()
        for future in self._questions.values():
            future.cancel()

    @property
    def interfaces(self) -> frozenset[str]:
        """Return our own addresses on which the group is joined."""
        return frozenset(self._senders)

    async def join(self, address: str) -> None:
        """Listen and send on the interface that has our own IPv4 address `address`; again does nothing.

        Raises:
            LocalResourcesExhausted: the interface has no such address, or does no multicast.
        """
        if address in self._senders:
            return
        if self._listener is None:
            raise RuntimeError("the discoverer is not open")
        try:
            self._listener.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, _membership(address))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise LocalResourcesExhausted(
                    f"cannot join the group: {error.strerror}", peer=address
                ) from error
        try:
            self._senders[address] = await _open(_group_socket(address), self._answered)
        except OSError as error:
            raise LocalResourcesExhausted(f"cannot send from: {error.strerror}", peer=address) from error

    def leave(self, address: str) -> None:
        """Listen and send there no longer."""
        transport = self._senders.pop(address, None)
        if transport is None or self._listener is None:
            return
        transport.close()
        # An interface that is gone took the membership with it.
        with contextlib.suppress(OSError):
            self._listener.setsockopt(socket.IPPROTO_IP, socket.IP_DROP_MEMBERSHIP, _membership(address))

    def probe_group(self) -> None:
        """Ask everybody on the joined interfaces; answers go to `take` as they come."""
        ids = _message_ids()
        # Of the last question too: devices answer within APP_MAX_DELAY, but some take seconds.
        self._group_ids = (*ids, *self._group_ids[:2])
        for transport in self._senders.values():
            for datagram in probes(ids):
                transport.sendto(datagram, (GROUP, self._port))

    def answers_us(self, announcement: Announcement) -> bool:
        """Tell whether an announcement answers one of our Probes to the group: its sender got it."""
        return announcement.kind is Kind.MATCH and announcement.relates_to in self._group_ids

    async def ask(self, host: str, *, patience: float, port: int | None = None) -> list[Announcement]:
        """Ask the IP address `host` alone.

        Args:
            host: an IPv4 address; the caller knows that it may be asked.
            patience: seconds until nobody is there.
            port: where it listens; None means the port of WS-Discovery.

        Raises:
            PeerTimeout: no answer in time.
            PeerUnreachable: the network says that nobody is there.
            LocalResourcesExhausted: too many questions are under way.
        """
        if self._asking is None:
            raise RuntimeError("the discoverer is not open")
        if ":" in host:
            raise PeerUnreachable("WS-Discovery is asked over IPv4 alone", peer=host)
        if len(self._questions) + 2 > MAX_QUESTIONS:
            raise LocalResourcesExhausted(f"{MAX_QUESTIONS} questions are under way", peer=host)
        ids = _message_ids()
        future: asyncio.Future[list[Announcement]] = asyncio.get_running_loop().create_future()
        self._questions.update(dict.fromkeys(ids, future))
        to = (host, self._port if port is None else port)
        try:
            for datagram in probes(ids):
                self._asking.sendto(datagram, to)
            async with asyncio.timeout(patience):
                return await future
        except TimeoutError as error:
            raise PeerTimeout(f"no answer to a Probe in {patience:g} s", peer=f"{host}:{to[1]}") from error
        except OSError as error:
            raise PeerUnreachable(error.strerror or "cannot be asked", peer=f"{host}:{to[1]}") from error
        finally:
            for message_id in ids:
                self._questions.pop(message_id, None)

    def _heard(self, datagram: bytes, sender: str) -> None:
        self._take(datagram, sender)

    def _answered(self, datagram: bytes, sender: str) -> None:
        """Give an answer to whoever asked; what answers no question of ours is taken like anything heard."""
        # Cheap first: an answer holds the id that we wrote, and a stranger's flood holds none.
        waiting = [message_id for message_id in _ids_in(datagram) if message_id in self._questions]
        if not waiting:
            self._take(datagram, sender)
            return
        try:
            announcements = read_announcements(datagram, peer=sender)
        except AdapterError as error:
            logger.debug("unreadable answer to a Probe: %s", error, extra={"action": "onvif_unreadable"})
            return
        future = self._questions[waiting[0]]
        matches = [each for each in announcements if each.relates_to == waiting[0]]
        if matches and not future.done():
            future.set_result(matches)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, take: Take) -> None:
        self._take = take

    def datagram_received(self, data: bytes, addr: tuple[str | int, ...]) -> None:
        self._take(data, str(addr[0]))

    def error_received(self, exc: Exception) -> None:
        # ICMP "port unreachable" of some address: which one it was is not told, and its question times out.
        logger.debug("a Probe came back: %s", exc, extra={"action": "onvif_unreachable"})


def _ids_in(datagram: bytes) -> Iterator[str]:
    at = datagram.find(b"urn:uuid:")
    for _ in range(8):
        if at < 0:
            return
        yield datagram[at : at + 45].decode("ascii", "replace")
        at = datagram.find(b"urn:uuid:", at + 9)


def _message_ids() -> tuple[str, str]:
    return f"urn:uuid:{uuid.uuid4()}", f"urn:uuid:{uuid.uuid4()}"


async def _open(opened: socket.socket, take: Take) -> asyncio.DatagramTransport:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(take), sock=opened)
    return transport


def _listening_socket(port: int) -> socket.socket:
    listening = _udp_socket()
    # Other programs of this machine may listen too.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Bound to the group: datagrams to our own address and this port are not ours to read.
    listening.bind((GROUP, port))
    return listening


def _asking_socket() -> socket.socket:
    asking = _udp_socket()
    asking.bind(("0.0.0.0", 0))  # noqa: S104 - answers come from whatever network was asked
    return asking


def _group_socket(address: str) -> socket.socket:
    sender = _udp_socket()
    sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address))
    sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
    sender.bind((address, 0))
    return sender


def _udp_socket() -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.setblocking(False)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    # By itself Linux gives every listener on a port the datagrams of all groups that anybody joined.
    with contextlib.suppress(OSError):
        opened.setsockopt(socket.IPPROTO_IP, getattr(socket, "IP_MULTICAST_ALL", 49), 0)
    return opened


def _membership(address: str) -> bytes:
    return struct.pack("4s4s", socket.inet_aton(GROUP), socket.inet_aton(address))
