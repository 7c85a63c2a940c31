"""A device that speaks WS-Discovery alone: says Hello and Bye, answers Probes, from any address of loopback."""

import asyncio
import re
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from adapters.onvif.wsdiscovery import GROUP

MESSAGE = """<?xml version="1.0"?><s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"
 xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing" xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery"
 xmlns:dn="http://www.onvif.org/ver10/network/wsdl"><s:Header><a:MessageID>urn:uuid:{number}</a:MessageID>{relates}
</s:Header><s:Body>{opened}<d:{element}><a:EndpointReference><a:Address>{endpoint}</a:Address></a:EndpointReference>
<d:Types>dn:NetworkVideoTransmitter</d:Types><d:Scopes>{scopes}</d:Scopes><d:XAddrs>{xaddrs}</d:XAddrs>
<d:MetadataVersion>1</d:MetadataVersion></d:{element}>{closed}</s:Body></s:Envelope>"""


class WsDevice(asyncio.DatagramProtocol):
    """One device; `probes` counts the questions that reached it."""

    def __init__(self, host: str, xaddr: str, scopes: str, endpoint: str, *, is_silent: bool) -> None:
        self.host = host
        self.probes = 0
        self.received: list[bytes] = []
        self._parts = {"xaddrs": xaddr, "scopes": scopes, "endpoint": endpoint}
        self._is_silent = is_silent
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str | int, ...]) -> None:
        self.received.append(data)
        asked = re.search(rb"MessageID>(urn:uuid:[^<]+)<", data)
        if b"<d:Probe>" not in data or asked is None:
            return
        self.probes += 1
        if self._is_silent or self._transport is None:
            return
        self._transport.sendto(self.match(asked[1].decode()), addr)

    def match(self, relates_to: str) -> bytes:
        """Return a ProbeMatches that answers `relates_to`."""
        return self._message("ProbeMatch", f"<a:RelatesTo>{relates_to}</a:RelatesTo>", "ProbeMatches")

    def hello(self, port: int) -> None:
        """Multicast a Hello."""
        self._multicast(self._message("Hello"), port)

    def bye(self, port: int) -> None:
        """Multicast a Bye."""
        self._multicast(self._message("Bye"), port)

    def send_to_group(self, data: bytes, port: int) -> None:
        """Multicast anything."""
        self._multicast(data, port)

    def _message(self, element: str, relates: str = "", around: str = "") -> bytes:
        opened, closed = (f"<d:{around}>", f"</d:{around}>") if around else ("", "")
        return MESSAGE.format(
            element=element, relates=relates, opened=opened, closed=closed, number=1, **self._parts
        ).encode()

    def _multicast(self, data: bytes, port: int) -> None:
        assert self._transport is not None
        self._transport.sendto(data, (GROUP, port))


@asynccontextmanager
async def ws_device(
    host: str,
    xaddr: str,
    *,
    port: int,
    scopes: str = "onvif://www.onvif.org/name/fake",
    endpoint: str = "urn:uuid:fake",
    is_silent: bool = False,
) -> AsyncIterator[WsDevice]:
    """Run a device at the loopback address `host`, listening on UDP `port` and on the group."""
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.setblocking(False)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    opened.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
    opened.bind((host, port))
    device = WsDevice(host, xaddr, scopes, endpoint, is_silent=is_silent)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: device, sock=opened)
    group = _group_socket(port)
    listening, _ = await loop.create_datagram_endpoint(lambda: _Relay(device), sock=group)
    try:
        yield device
    finally:
        transport.close()
        listening.close()


class _Relay(asyncio.DatagramProtocol):
    """Hands what the group hears to the device, which answers from its own address."""

    def __init__(self, device: WsDevice) -> None:
        self._device = device

    def datagram_received(self, data: bytes, addr: tuple[str | int, ...]) -> None:
        self._device.datagram_received(data, addr)


def _group_socket(port: int) -> socket.socket:
    group = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    group.setblocking(False)
    group.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    group.bind((GROUP, port))
    membership = struct.pack("4s4s", socket.inet_aton(GROUP), socket.inet_aton("127.0.0.1"))
    group.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
    return group


def free_udp_port() -> int:
    """Return a UDP port of loopback that nobody used a moment ago: tests beside each other do not hear each other."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
