"""WS-Discovery messages of the field: standard, sloppy and hostile."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.errors import AdapterError, MessageTooLarge, NotOnvif, RemoteProtocolError
from adapters.onvif.scopes import ScopeFacts, read_scopes
from adapters.onvif.wsdiscovery import (
    MAX_DATAGRAM,
    MAX_MATCHES,
    Announcement,
    Kind,
    probes,
    read_announcements,
    service_address,
)

IDS = ("urn:uuid:00000000-0000-4000-8000-000000000001", "urn:uuid:00000000-0000-4000-8000-000000000002")
BODY = """<d:{element}><a:EndpointReference><a:Address>urn:uuid:cam-1</a:Address></a:EndpointReference>
<d:Types>dn:NetworkVideoTransmitter tds:Device</d:Types>
<d:Scopes>onvif://www.onvif.org/name/Gate%201 onvif://www.onvif.org/hardware/X1</d:Scopes>
<d:XAddrs>{xaddrs}</d:XAddrs><d:MetadataVersion>1</d:MetadataVersion></d:{element}>"""
XADDR = "http://10.0.0.5/onvif/device_service"


def message(body: str, relates_to: str = "", namespaces: str = "") -> bytes:
    declared = namespaces or (
        'xmlns:s="http://www.w3.org/2003/05/soap-envelope"'
        ' xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing"'
        ' xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery"'
    )
    header = f"<a:RelatesTo>{relates_to}</a:RelatesTo>" if relates_to else ""
    return (
        f"<s:Envelope {declared}><s:Header>{header}</s:Header><s:Body>{body}</s:Body></s:Envelope>".encode()
    )


def one(datagram: bytes) -> Announcement:
    [found] = read_announcements(datagram)
    return found


def announcement(*xaddrs: str) -> Announcement:
    return Announcement(Kind.HELLO, "", "", (), (), xaddrs)


def test_a_hello() -> None:
    found = one(message(BODY.format(element="Hello", xaddrs=XADDR)))
    assert (found.kind, found.endpoint, found.relates_to) == (Kind.HELLO, "urn:uuid:cam-1", "")
    assert found.types == ("NetworkVideoTransmitter", "Device")
    assert found.xaddrs == (XADDR,)
    assert found.is_onvif


def test_the_answer_to_a_probe_names_its_question() -> None:
    body = f"<d:ProbeMatches>{BODY.format(element='ProbeMatch', xaddrs=XADDR)}</d:ProbeMatches>"
    found = one(message(body, relates_to=IDS[0]))
    assert (found.kind, found.relates_to) == (Kind.MATCH, IDS[0])


def test_the_other_version_of_addressing_and_no_namespace_at_all_are_read() -> None:
    newer = message(
        BODY.format(element="Hello", xaddrs=XADDR),
        namespaces='xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"'
        ' xmlns:a="http://www.w3.org/2005/08/addressing"'
        ' xmlns:d="http://docs.oasis-open.org/ws-dd/ns/discovery/2009/01"',
    )
    assert one(newer).endpoint == "urn:uuid:cam-1"
    bare = newer.replace(b"<a:", b"<").replace(b"</a:", b"</").replace(b"<d:", b"<").replace(b"</d:", b"</")
    assert one(b"\0\n" + bare + b"\0").xaddrs == (XADDR,)


def test_a_bye_needs_no_type_and_a_printer_is_no_camera() -> None:
    bye = "<d:Bye><a:EndpointReference><a:Address>urn:uuid:cam-1</a:Address></a:EndpointReference></d:Bye>"
    assert one(message(bye)).is_onvif
    printer = BODY.format(element="Hello", xaddrs="http://10.0.0.9/").replace(
        "dn:NetworkVideoTransmitter tds:Device", "wprt:PrintDeviceType"
    )
    printer = printer.replace("onvif://www.onvif.org/", "ldap:///ou=")
    assert not one(message(printer)).is_onvif


def test_our_own_probes_announce_nothing() -> None:
    for datagram, message_id in zip(probes(IDS), IDS, strict=True):
        assert message_id.encode() in datagram
        assert read_announcements(datagram) == []


def test_one_datagram_speaks_for_so_many_devices_and_no_more() -> None:
    body = "".join(BODY.format(element="ProbeMatch", xaddrs="") for _ in range(30))
    assert len(read_announcements(message(body))) == MAX_MATCHES


@pytest.mark.parametrize(
    ("datagram", "error"),
    [
        (b"", NotOnvif),
        (b"M-SEARCH * HTTP/1.1\r\n", NotOnvif),
        (b"<html></html>", NotOnvif),
        (b"<s:Envelope", RemoteProtocolError),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', RemoteProtocolError),
        (b"<a>" * 1000, RemoteProtocolError),
        (b"<a>" + b"x" * MAX_DATAGRAM + b"</a>", MessageTooLarge),
    ],
)
def test_what_is_no_announcement(datagram: bytes, error: type[AdapterError]) -> None:
    with pytest.raises(error):
        read_announcements(datagram)


@given(st.binary(max_size=400) | st.binary(max_size=200).map(lambda inner: message("") + inner))
def test_no_bytes_raise_anything_else(datagram: bytes) -> None:
    try:
        read_announcements(datagram)
    except AdapterError:
        return


@pytest.mark.parametrize(
    ("xaddrs", "expected"),
    [
        ((XADDR,), (80, "/onvif/device_service", False, False)),
        (("http://[fe80::1]/x", "http://10.0.0.5:8080/d"), (8080, "/d", False, False)),
        (("https://10.0.0.5/d", "http://10.0.0.5/d"), (443, "/d", True, False)),
        (("http://192.168.1.64:81/d",), (81, "/d", False, True)),
        (("http://0.0.0.0:8080/d",), (8080, "/d", False, True)),
        (("http://10.0.0.5:8000",), (8000, "/onvif/device_service", False, False)),
    ],
)
def test_where_the_device_service_is(xaddrs: tuple[str, ...], expected: tuple[int, str, bool, bool]) -> None:
    found = service_address(announcement(*xaddrs), "10.0.0.5")
    assert found is not None
    assert (found.port, found.path, found.is_tls, found.is_foreign) == expected


@pytest.mark.parametrize(
    "xaddr", ["", "rtsp://10.0.0.5/", "http://camera.local/", "http://10.0.0.5:99999/", "http://[::1/"]
)
def test_no_address_of_a_device_service(xaddr: str) -> None:
    assert service_address(announcement(xaddr), "10.0.0.5") is None


def test_scopes_tell_what_they_tell() -> None:
    assert read_scopes(
        [
            "onvif://www.onvif.org/name/Gate%201",
            "onvif://www.onvif.org/name/second",
            "ONVIF://www.onvif.org/hardware/DS-2CD",
            "onvif://www.onvif.org/location/country/china",
            "onvif://www.onvif.org/MAC/00-11-22-AA-BB-CC",
            "onvif://www.onvif.org/serial/SN%00-1",
            "onvif://www.onvif.org/Profile/Streaming",
            "http://elsewhere/name/x",
        ]
    ) == ScopeFacts("Gate 1", "DS-2CD", "country/china", "00:11:22:aa:bb:cc", "SN -1")
    assert read_scopes(["onvif://www.onvif.org/mac/none", "onvif://www.onvif.org/name/"]) == ScopeFacts()
