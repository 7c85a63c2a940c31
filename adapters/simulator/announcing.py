"""A virtual camera's WS-Discovery: Hello, Bye, and answers to Probes, from its own address."""

import asyncio
import re
import socket
import uuid
from typing import Final, Self, cast
from urllib.parse import quote

from adapters.onvif.wsdiscovery import GROUP
from adapters.simulator.camera import VirtualCamera

_MESSAGE: Final = (
    '<?xml version="1.0" encoding="UTF-8"?><s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"'
    ' xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing"'
    ' xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery"'
    ' xmlns:dn="http://www.onvif.org/ver10/network/wsdl" xmlns:tds="http://www.onvif.org/ver10/device/wsdl">'
    "<s:Header><a:MessageID>{message_id}</a:MessageID>{relates_to}"
    "<a:To>http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous</a:To>"
    "<a:Action>http://schemas.xmlsoap.org/ws/2005/04/discovery/{action}</a:Action></s:Header>"
    "<s:Body>{opened}<d:{element}><a:EndpointReference><a:Address>{endpoint}</a:Address></a:EndpointReference>"
    "<d:Types>dn:NetworkVideoTransmitter tds:Device</d:Types><d:Scopes>{scopes}</d:Scopes><d:XAddrs>{xaddrs}</d:XAddrs>"
    "<d:MetadataVersion>1</d:MetadataVersion></d:{element}>{closed}</s:Body></s:Envelope>"
)
_ASKED: Final = re.compile(rb"MessageID[^>]*>\s*([^<\s]+)\s*<")
_WANTED: Final = re.compile(rb"Types[^>]*>([^<]*)<")


class Announcer(asyncio.DatagramProtocol):
    """Speaks for one camera that is on."""

    def __init__(self, camera: VirtualCamera, port: int) -> None:
        self._camera = camera
        self._port = port
        self._transport: asyncio.DatagramTransport | None = None

    @classmethod
    async def open(cls, camera: VirtualCamera, interface: str, port: int) -> Self:
        """Return an announcer on the camera's own address, sending to the group on `interface`."""
        own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        own.setblocking(False)
        own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        own.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(interface))
        own.bind((camera.host, port))
        announcer = cls(camera, port)
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: announcer, sock=own)
        return announcer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the socket over."""
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str | int, ...]) -> None:
        """Answer a Probe to this camera alone."""
        self.asked(data, (str(addr[0]), int(addr[1])))

    def asked(self, data: bytes, sender: tuple[str, int]) -> None:
        """Answer a Probe; what is none, or asks for other devices, is passed over."""
        message_id, wanted = _ASKED.search(data), _WANTED.search(data)
        if b"Probe>" not in data or b"ProbeMatch" in data or message_id is None:
            return
        types = wanted[1] if wanted is not None else b""
        if types.strip() and b"NetworkVideoTransmitter" not in types and b"Device" not in types:
            return
        relates_to = f"<a:RelatesTo>{message_id[1].decode('ascii', 'replace')}</a:RelatesTo>"
        self._send(self._message("ProbeMatch", "ProbeMatches", relates_to, around="ProbeMatches"), sender)

    def hello(self) -> None:
        """Say that the camera is there."""
        self._send(self._message("Hello", "Hello"), (GROUP, self._port))

    def bye(self) -> None:
        """Say that the camera goes."""
        self._send(self._message("Bye", "Bye"), (GROUP, self._port))

    def close(self) -> None:
        """Speak no more."""
        if self._transport is not None:
            self._transport.close()

    def _send(self, data: bytes, to: tuple[str, int]) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(data, to)

    def _message(self, element: str, action: str, relates_to: str = "", around: str = "") -> bytes:
        camera = self._camera
        facts = (
            ("name", camera.name),
            ("hardware", camera.model),
            ("MAC", camera.mac),
            ("Profile", "Streaming"),
        )
        return _MESSAGE.format(
            message_id=f"urn:uuid:{uuid.uuid4()}",
            relates_to=relates_to,
            action=action,
            element=element,
            endpoint=camera.endpoint,
            scopes=" ".join(f"onvif://www.onvif.org/{kind}/{quote(value)}" for kind, value in facts),
            xaddrs=f"{camera.base}/onvif/device_service",
            opened=f"<d:{around}>" if around else "",
            closed=f"</d:{around}>" if around else "",
        ).encode()
