"""WS-Discovery messages (2005/04 and 1.1): Hello, Bye, ProbeMatches read, Probe written (sans-IO).

Read by local names alone: devices in the field write the addressing of one version and the discovery of another,
`ProbeMatch` for `ProbeMatches` in the action, or no namespace at all. Whatever an announcement says is its sender's
word; only that it answers our own question shows that somebody is there.
"""

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

from lxml import etree

from adapters.errors import MessageTooLarge
from adapters.onvif.envelope import printable, read_envelope
from adapters.xml import local_name
from catalog.model.sighting import DEVICE_SERVICE

PORT: Final = 3702
GROUP: Final = "239.255.255.250"

MAX_DATAGRAM: Final = 16 * 1024
"""Bytes; a Hello with 30 scopes has 3 KB."""

MAX_MATCHES: Final = 16
"""Devices in one answer; a device answers for itself."""

_MAX_LISTED: Final = 32
_MAX_URI: Final = 256
_DEVICE_TYPES: Final = frozenset({"NetworkVideoTransmitter", "NetworkVideoStorage", "Device"})
_PORTS: Final = {"http": 80, "https": 443}

_PROBE: Final = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope"'
    ' xmlns:w="http://schemas.xmlsoap.org/ws/2004/08/addressing"'
    ' xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery"'
    ' xmlns:t="{namespace}">'
    "<e:Header><w:MessageID>{message_id}</w:MessageID>"
    '<w:To e:mustUnderstand="true">urn:schemas-xmlsoap-org:ws:2005:04:discovery</w:To>'
    '<w:Action e:mustUnderstand="true">http://schemas.xmlsoap.org/ws/2005/04/discovery/Probe</w:Action></e:Header>'
    "<e:Body><d:Probe><d:Types>t:{type}</d:Types></d:Probe></e:Body></e:Envelope>"
)
_ASKED: Final = (
    ("http://www.onvif.org/ver10/network/wsdl", "NetworkVideoTransmitter"),
    ("http://www.onvif.org/ver10/device/wsdl", "Device"),
)
"""Devices know one of the two types or both (ONVIF Core, 7.3.1)."""


class Kind(StrEnum):
    """What an announcement is."""

    HELLO = "hello"
    BYE = "bye"
    MATCH = "match"
    "The answer to a Probe."


_ELEMENTS: Final = {"Hello": Kind.HELLO, "Bye": Kind.BYE, "ProbeMatch": Kind.MATCH}


@dataclass(frozen=True, slots=True)
class Announcement:
    """One device's word about itself."""

    kind: Kind
    endpoint: str
    "The device's own name for itself, `urn:uuid:…`; nothing keeps two devices from having the same."
    relates_to: str
    'Message id of the Probe that it answers; "" for Hello and Bye.'
    types: tuple[str, ...]
    "Local names."
    scopes: tuple[str, ...]
    xaddrs: tuple[str, ...]

    @property
    def is_onvif(self) -> bool:
        """Tell whether it speaks of an ONVIF device: printers and computers announce themselves on the same group.

        A Bye names neither type nor scope with most makers.
        """
        return (
            not _DEVICE_TYPES.isdisjoint(self.types)
            or any(scope.lower().startswith("onvif://") for scope in self.scopes)
            or (self.kind is Kind.BYE and not self.types)
        )


@dataclass(frozen=True, slots=True)
class ServiceAddress:
    """Where the device service answers on the host that sent the announcement."""

    port: int
    path: str
    is_tls: bool
    is_foreign: bool
    "The device named another host than the one it sent from (NAT, several interfaces, a lie): not followed."


def probes(message_ids: tuple[str, str]) -> Iterator[bytes]:
    """Yield the two Probes that find every ONVIF device, one for each type.

    Args:
        message_ids: `urn:uuid:…`, random: an answer that names one was sent by somebody who got our question.
    """
    for message_id, (namespace, kind) in zip(message_ids, _ASKED, strict=True):
        yield _PROBE.format(namespace=namespace, message_id=escape(message_id), type=kind).encode()


def read_announcements(datagram: bytes, *, peer: str = "") -> list[Announcement]:
    """Return what a datagram announces; nothing for Probe, Resolve and whatever else is sent to the group.

    Raises:
        MessageTooLarge: longer than `MAX_DATAGRAM`, or nested too deep.
        NotOnvif: no SOAP envelope.
        RemoteProtocolError: broken XML.
    """
    if len(datagram) > MAX_DATAGRAM:
        raise MessageTooLarge(f"a datagram of {len(datagram)} bytes, more than {MAX_DATAGRAM}", peer=peer)
    root = read_envelope(datagram.strip(b"\0 \r\n\t"), peer=peer).root
    relates_to = ""
    found: list[Announcement] = []
    for element in root.iter(etree.Element):
        name = local_name(element)
        if name == "RelatesTo":
            relates_to = _text(element)
        elif (kind := _ELEMENTS.get(name)) is not None and len(found) < MAX_MATCHES:
            found.append(_announcement(kind, element, relates_to))
    return found


def service_address(announcement: Announcement, sender: str) -> ServiceAddress | None:
    """Return where the device service is reached at `sender`; None when no address is named at all.

    Args:
        announcement: a Hello or a match.
        sender: the IP address it came from, which alone counts.
    """
    readable = [address for address in map(_http_address, announcement.xaddrs) if address is not None]
    own = [address for address in readable if address[0] == sender]
    if not readable:
        return None
    _, port, path, is_tls = (own or readable)[0]
    return ServiceAddress(port, path, is_tls, is_foreign=not own)


def _announcement(kind: Kind, element: etree._Element, relates_to: str) -> Announcement:
    parts: dict[str, str] = {}
    for child in element.iter(etree.Element):
        parts.setdefault(local_name(child), _text(child))
    return Announcement(
        kind=kind,
        endpoint=printable(parts.get("Address", ""))[:_MAX_URI],
        relates_to=relates_to if kind is Kind.MATCH else "",
        types=tuple(name.rpartition(":")[2] for name in _listed(parts.get("Types", ""))),
        scopes=_listed(parts.get("Scopes", "")),
        xaddrs=_listed(parts.get("XAddrs", "")),
    )


def _text(element: etree._Element) -> str:
    return (element.text or "").strip()


def _listed(text: str) -> tuple[str, ...]:
    return tuple(printable(each)[:_MAX_URI] for each in text.split(maxsplit=_MAX_LISTED)[:_MAX_LISTED])


def _http_address(text: str) -> tuple[str, int, str, bool] | None:
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
        host = str(ipaddress.ip_address(host))
    except ValueError:
        return None
    if parts.scheme not in _PORTS:
        return None
    return host, port or _PORTS[parts.scheme], parts.path or DEVICE_SERVICE, parts.scheme == "https"
