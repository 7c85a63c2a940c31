"""Whatever a device writes, its addresses lead to itself."""

import pytest

from adapters.base import OnvifTarget, TlsPolicy
from adapters.errors import RemoteProtocolError
from adapters.onvif.addresses import rewrite_service, rewrite_stream

PLAIN = OnvifTarget("192.0.2.7", 8000)
SECURE = OnvifTarget("192.0.2.7", 8443, tls=TlsPolicy())
SIX = OnvifTarget("2001:db8::7", 80)


@pytest.mark.parametrize(
    ("address", "target", "url", "named"),
    [
        ("http://192.0.2.7/onvif/media", PLAIN, "http://192.0.2.7:80/onvif/media", ""),
        ("http://192.0.2.7:8001/m?a=1", PLAIN, "http://192.0.2.7:8001/m?a=1", ""),
        ("http://169.254.169.254/latest", PLAIN, "http://192.0.2.7:8000/latest", "169.254.169.254"),
        ("http://camera.local:81/m", PLAIN, "http://192.0.2.7:8000/m", "camera.local:81"),
        ("http://u:p@10.0.0.9/m", PLAIN, "http://192.0.2.7:8000/m", "10.0.0.9"),
        ("http://192.0.2.7/m", SECURE, "https://192.0.2.7:8443/m", ""),
        ("https://192.0.2.7/m", PLAIN, "http://192.0.2.7:8000/m", ""),
        ("http://[2001:DB8:0::7]:81/m", SIX, "http://[2001:db8::7]:81/m", ""),
        ("http://192.0.2.7", PLAIN, "http://192.0.2.7:80/", ""),
    ],
)
def test_a_service_address(address: str, target: OnvifTarget, url: str, named: str) -> None:
    rewritten = rewrite_service(address, target)
    assert (rewritten.url, rewritten.named) == (url, named)


@pytest.mark.parametrize(
    ("address", "url", "named"),
    [
        ("rtsp://192.0.2.7/live", "rtsp://192.0.2.7:554/live", ""),
        ("rtsp://10.1.1.1:8554/live?ch=1", "rtsp://192.0.2.7:8554/live?ch=1", "10.1.1.1:8554"),
        ("rtsp://admin:secret@192.0.2.7/live", "rtsp://192.0.2.7:554/live", ""),
        ("rtsps://192.0.2.7/live", "rtsps://192.0.2.7:322/live", ""),
    ],
)
def test_a_stream_address_keeps_its_port_and_loses_its_user(address: str, url: str, named: str) -> None:
    rewritten = rewrite_stream(address, PLAIN)
    assert (rewritten.url, rewritten.named) == (url, named)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "file:///etc/passwd",
        "gopher://192.0.2.7/",
        "http://",
        "http://192.0.2.7:99999/",
        "http://192.0.2.7/a\r\nHost: x",
        "http://[::1/",
        f"http://192.0.2.7/{'a' * 2000}",
    ],
)
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(RemoteProtocolError, match="an address that is"):
        rewrite_service(address, PLAIN)
    with pytest.raises(RemoteProtocolError, match="an address that is"):
        rewrite_stream(address, PLAIN)
