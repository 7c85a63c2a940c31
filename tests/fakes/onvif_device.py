"""A device that answers SOAP from a table and checks who asks, strictly; and one that sends whatever it is told."""

import asyncio
import base64
import hashlib
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from enum import Enum

from aiohttp import web

from tests.fakes.certificates import Certificate

USERNAME, PASSWORD = "admin", "canary-7f31c"

_NAMESPACES = (
    'xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:tt="http://www.onvif.org/ver10/schema"'
    ' xmlns:tds="http://www.onvif.org/ver10/device/wsdl" xmlns:trt="http://www.onvif.org/ver10/media/wsdl"'
    ' xmlns:tr2="http://www.onvif.org/ver20/media/wsdl" xmlns:tptz="http://www.onvif.org/ver20/ptz/wsdl"'
    ' xmlns:ter="http://www.onvif.org/ver10/error"'
)


def envelope(body: str) -> str:
    """Return a SOAP 1.2 envelope around `body`."""
    return f'<?xml version="1.0" encoding="utf-8"?><s:Envelope {_NAMESPACES}><s:Body>{body}</s:Body></s:Envelope>'


def fault(subcode: str, reason: str) -> str:
    """Return a SOAP 1.2 fault."""
    return envelope(
        f"<s:Fault><s:Code><s:Value>s:Sender</s:Value><s:Subcode><s:Value>ter:{subcode}</s:Value></s:Subcode>"
        f'</s:Code><s:Reason><s:Text xml:lang="en">{reason}</s:Text></s:Reason></s:Fault>'
    )


class Asks(Enum):
    """How the device has itself asked."""

    NOTHING = "nothing"
    MESSAGE = "WS-UsernameToken"
    MD5 = "HTTP Digest MD5"
    SHA256 = "HTTP Digest SHA-256"
    BOTH = "HTTP Digest and WS-UsernameToken"


@dataclass
class FakeOnvifDevice:
    """One device on 127.0.0.1.

    Attributes:
        answers: the SOAP body, or the whole text after `!`, of each operation; `{base}` is the device's own address.
        asks: which authentication it demands, of everything but GetSystemDateAndTime.
        skew: how far its clock is ahead.
        tells_time: whether it answers GetSystemDateAndTime to anybody.
        requests: the operations that were asked, in order.
        seen: everything that arrived, headers and bodies.
    """

    answers: Mapping[str, str]
    asks: Asks = Asks.MESSAGE
    skew: timedelta = timedelta()
    tells_time: bool = True
    has_date: bool = True
    requests: list[str] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    refused: int = 0
    port: int = 0
    _nonces: set[str] = field(default_factory=set)

    @property
    def base(self) -> str:
        """Return the device's own address."""
        return f"http://127.0.0.1:{self.port}"

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one request."""
        body = await request.text()
        self.seen.append(f"{dict(request.headers)} {body}")
        [operation] = re.findall(r"Body>\s*<(?:\w+:)?(\w+)", body)[:1] or [""]
        self.requests.append(operation)
        now = datetime.now(UTC) + self.skew
        headers = {"Date": format_datetime(now, usegmt=True)} if self.has_date else {"Date": ""}
        if operation == "GetSystemDateAndTime" and self.tells_time:
            return self._soap(200, envelope(_date_and_time(now)), headers)
        if not self._is_let_in(request, body, now):
            self.refused += 1
            return self._refusal(request, headers)
        text = self.answers.get(operation)
        if text is None:
            return self._soap(400, fault("ActionNotSupported", "no such operation"), headers)
        text = text.replace("{base}", self.base)
        return self._soap(200, text[1:] if text.startswith("!") else envelope(text), headers)

    def _soap(self, status: int, text: str, headers: Mapping[str, str]) -> web.Response:
        return web.Response(status=status, text=text, content_type="application/soap+xml", headers=headers)

    def _refusal(self, request: web.Request, headers: Mapping[str, str]) -> web.Response:
        is_digest_missing = self.asks in (Asks.MD5, Asks.SHA256) or (
            self.asks is Asks.BOTH and not self._digest_holds(request, "md5")
        )
        if is_digest_missing:
            algorithm = "SHA-256" if self.asks is Asks.SHA256 else "MD5"
            challenge = f'Digest realm="onvif", nonce="n0", qop="auth", algorithm={algorithm}'
            return web.Response(
                status=401, text="<html>401</html>", headers={**headers, "WWW-Authenticate": challenge}
            )
        return self._soap(400, fault("NotAuthorized", "Sender not Authorized"), headers)

    def _is_let_in(self, request: web.Request, body: str, now: datetime) -> bool:
        if self.asks is Asks.NOTHING:
            return True
        if self.asks is Asks.MESSAGE:
            return self._token_holds(body, now)
        holds = self._digest_holds(request, "sha256" if self.asks is Asks.SHA256 else "md5")
        if self.asks is Asks.BOTH:
            return holds and self._token_holds(body, now)
        return holds

    def _token_holds(self, body: str, now: datetime) -> bool:
        found = {
            name: (re.findall(rf"<\w+:{name}\b[^>]*>([^<]*)<", body) or [""])[0]
            for name in ("Username", "Password", "Nonce", "Created")
        }
        if not found["Created"] or found["Nonce"] in self._nonces:
            return False
        self._nonces.add(found["Nonce"])
        created = datetime.strptime(found["Created"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        digest = hashlib.sha1(
            base64.b64decode(found["Nonce"]) + found["Created"].encode() + PASSWORD.encode()
        ).digest()
        return (
            abs(created - now) <= timedelta(seconds=300)
            and found["Username"] == USERNAME
            and found["Password"] == base64.b64encode(digest).decode()
        )

    def _digest_holds(self, request: web.Request, name: str) -> bool:
        told = dict(re.findall(r'(\w+)="?([^",]*)"?', request.headers.get("Authorization", "")))
        if not told:
            return False

        def hashed(text: str) -> str:
            return hashlib.new(name, text.encode()).hexdigest()

        a1 = hashed(f"{USERNAME}:onvif:{PASSWORD}")
        a2 = hashed(f"{request.method}:{request.path_qs}")
        wanted = hashed(f"{a1}:n0:{told.get('nc')}:{told.get('cnonce')}:auth:{a2}")
        return told.get("response") == wanted and told.get("uri") == request.path_qs


@asynccontextmanager
async def serving(
    device: FakeOnvifDevice, certificate: Certificate | None = None
) -> AsyncIterator[FakeOnvifDevice]:
    """Serve `device` on a port of its own; with a certificate by HTTPS."""
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", device.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.file)
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    device.port = runner.addresses[0][1]
    try:
        yield device
    finally:
        await runner.cleanup()


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def raw_device(talk: Talk) -> AsyncIterator[int]:
    """Serve connections with `talk` and yield the port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def _date_and_time(now: datetime) -> str:
    return (
        "<tds:GetSystemDateAndTimeResponse><tds:SystemDateAndTime><tt:DateTimeType>NTP</tt:DateTimeType>"
        "<tt:DaylightSavings>false</tt:DaylightSavings><tt:UTCDateTime>"
        f"<tt:Time><tt:Hour>{now.hour}</tt:Hour><tt:Minute>{now.minute}</tt:Minute><tt:Second>{now.second}</tt:Second></tt:Time>"
        f"<tt:Date><tt:Year>{now.year}</tt:Year><tt:Month>{now.month}</tt:Month><tt:Day>{now.day}</tt:Day></tt:Date>"
        "</tt:UTCDateTime></tds:SystemDateAndTime></tds:GetSystemDateAndTimeResponse>"
    )


def _service(namespace: str, path: str) -> str:
    return (
        f"<tds:Service><tds:Namespace>http://www.onvif.org/{namespace}</tds:Namespace><tds:XAddr>{{base}}{path}</tds:XAddr>"
        "<tds:Version><tt:Major>2</tt:Major><tt:Minor>60</tt:Minor></tds:Version></tds:Service>"
    )


def _media_profile(token: str, width: int, height: int) -> str:
    return (
        f'<trt:Profiles token="{token}" fixed="true"><tt:Name>{token}</tt:Name>'
        '<tt:VideoSourceConfiguration token="vsc"><tt:Name>vsc</tt:Name><tt:UseCount>2</tt:UseCount>'
        "<tt:SourceToken>lens</tt:SourceToken>"
        '<tt:Bounds x="0" y="0" width="1" height="1"/></tt:VideoSourceConfiguration>'
        '<tt:VideoEncoderConfiguration token="vec"><tt:Name>vec</tt:Name><tt:UseCount>1</tt:UseCount>'
        f"<tt:Encoding>H264</tt:Encoding>"
        f"<tt:Resolution><tt:Width>{width}</tt:Width><tt:Height>{height}</tt:Height></tt:Resolution>"
        "<tt:Quality>4</tt:Quality><tt:RateControl><tt:FrameRateLimit>25</tt:FrameRateLimit><tt:EncodingInterval>1</tt:EncodingInterval>"
        "<tt:BitrateLimit>4096</tt:BitrateLimit></tt:RateControl><tt:H264><tt:GovLength>50</tt:GovLength><tt:H264Profile>Main</tt:H264Profile></tt:H264>"
        "</tt:VideoEncoderConfiguration></trt:Profiles>"
    )


def _media2_profile(token: str, width: int, height: int, encoding: str) -> str:
    return (
        f'<tr2:Profiles token="{token}" fixed="true"><tr2:Name>{token}</tr2:Name><tr2:Configurations>'
        '<tr2:VideoSource token="vsc"><tt:Name>vsc</tt:Name><tt:UseCount>2</tt:UseCount>'
        "<tt:SourceToken>lens</tt:SourceToken>"
        '<tt:Bounds x="0" y="0" width="1" height="1"/></tr2:VideoSource>'
        '<tr2:VideoEncoder token="vec" GovLength="100"><tt:Name>vec</tt:Name><tt:UseCount>1</tt:UseCount>'
        f"<tt:Encoding>{encoding}</tt:Encoding>"
        f"<tt:Resolution><tt:Width>{width}</tt:Width><tt:Height>{height}</tt:Height></tt:Resolution>"
        "<tt:RateControl><tt:FrameRateLimit>20</tt:FrameRateLimit><tt:BitrateLimit>2048</tt:BitrateLimit></tt:RateControl>"
        "<tt:Quality>4</tt:Quality></tr2:VideoEncoder></tr2:Configurations></tr2:Profiles>"
    )


DEVICE = {
    "GetServices": (
        "<tds:GetServicesResponse>"
        + _service("ver10/device/wsdl", "/onvif/device_service")
        + _service("ver10/media/wsdl", "/onvif/media")
        + _service("ver20/ptz/wsdl", "/onvif/ptz")
        + "</tds:GetServicesResponse>"
    ),
    "GetDeviceInformation": (
        "<tds:GetDeviceInformationResponse><tds:Manufacturer>Made Up</tds:Manufacturer><tds:Model>M-1</tds:Model>"
        "<tds:FirmwareVersion>1.2.3</tds:FirmwareVersion><tds:SerialNumber>SN-0001</tds:SerialNumber>"
        "<tds:HardwareId>hw</tds:HardwareId></tds:GetDeviceInformationResponse>"
    ),
    "GetNetworkInterfaces": (
        '<tds:GetNetworkInterfacesResponse><tds:NetworkInterfaces token="eth0"><tt:Enabled>true</tt:Enabled><tt:Info>'
        "<tt:Name>eth0</tt:Name><tt:HwAddress>00-11-22-AA-BB-CC</tt:HwAddress><tt:MTU>1500</tt:MTU></tt:Info><tt:IPv4>"
        "<tt:Enabled>true</tt:Enabled><tt:Config><tt:Manual><tt:Address>192.0.2.7</tt:Address>"
        "<tt:PrefixLength>24</tt:PrefixLength></tt:Manual><tt:DHCP>false</tt:DHCP></tt:Config></tt:IPv4>"
        "</tds:NetworkInterfaces></tds:GetNetworkInterfacesResponse>"
    ),
    "GetProfiles": (
        "<trt:GetProfilesResponse>"
        + _media_profile("sub", 640, 360)
        + _media_profile("main", 1920, 1080)
        + "</trt:GetProfilesResponse>"
    ),
    "GetStreamUri": (
        "<trt:GetStreamUriResponse><trt:MediaUri><tt:Uri>rtsp://u:p@192.0.2.7:554/s?x=1</tt:Uri>"
        "<tt:InvalidAfterConnect>false</tt:InvalidAfterConnect><tt:InvalidAfterReboot>false</tt:InvalidAfterReboot>"
        "<tt:Timeout>PT60S</tt:Timeout></trt:MediaUri></trt:GetStreamUriResponse>"
    ),
    "GetSnapshotUri": (
        "<trt:GetSnapshotUriResponse><trt:MediaUri><tt:Uri>{base}/picture.jpg</tt:Uri>"
        "<tt:InvalidAfterConnect>false</tt:InvalidAfterConnect><tt:InvalidAfterReboot>false</tt:InvalidAfterReboot>"
        "<tt:Timeout>PT60S</tt:Timeout></trt:MediaUri></trt:GetSnapshotUriResponse>"
    ),
    "SetSynchronizationPoint": "<trt:SetSynchronizationPointResponse/>",
    "Stop": "<tptz:StopResponse/>",
    "ContinuousMove": "<tptz:ContinuousMoveResponse/>",
}
"""A device with Media."""

MEDIA2_DEVICE = DEVICE | {
    "GetServices": DEVICE["GetServices"].replace(
        "</tds:GetServicesResponse>",
        _service("ver20/media/wsdl", "/onvif/media2") + "</tds:GetServicesResponse>",
    ),
    "GetProfiles": (
        "<tr2:GetProfilesResponse>" + _media2_profile("p0", 2560, 1440, "H265") + "</tr2:GetProfilesResponse>"
    ),
    "GetStreamUri": (
        "<tr2:GetStreamUriResponse><tr2:Uri>rtsp://127.0.0.1:8554/live</tr2:Uri></tr2:GetStreamUriResponse>"
    ),
    "GetSnapshotUri": (
        "<tr2:GetSnapshotUriResponse><tr2:Uri>{base}/picture.jpg</tr2:Uri></tr2:GetSnapshotUriResponse>"
    ),
}
"""A device with Media2 beside Media."""
