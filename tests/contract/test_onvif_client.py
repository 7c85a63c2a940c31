"""What the ONVIF client makes of devices: each way of asking who asks, each failure told apart, nobody else called."""

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from adapters.base import Credential, OnvifTarget, TlsPolicy
from adapters.errors import (
    AdapterError,
    AddressForbidden,
    AuthenticationFailed,
    CredentialMissing,
    MessageTooLarge,
    NotOnvif,
    PeerClosed,
    PeerTimeout,
    PeerUnreachable,
    RemoteProtocolError,
    RequestRefused,
    SoapFault,
    TlsPinMismatch,
    TlsUntrusted,
    WeakAuthentication,
)
from adapters.onvif.client import OnvifClients, OnvifDevice
from adapters.onvif.report import PanTilt
from catalog.model.secret import Secret
from gateway.clock import SystemClock
from tests.fakes.certificates import make_certificate
from tests.fakes.onvif_device import (
    DEVICE,
    MEDIA2_DEVICE,
    PASSWORD,
    USERNAME,
    Asks,
    FakeOnvifDevice,
    envelope,
    fault,
    raw_device,
    serving,
)

RIGHT = Credential(USERNAME, Secret(PASSWORD))
WRONG = Credential(USERNAME, Secret("wrong-canary-55"))


@pytest.fixture
async def clients() -> AsyncIterator[OnvifClients]:
    async with OnvifClients(SystemClock(), timeout=10.0) as opened:
        yield opened


def anywhere(_: str) -> bool:
    return True


def at(clients: OnvifClients, port: int, credential: Credential | None = RIGHT) -> OnvifDevice:
    return clients.device(OnvifTarget("127.0.0.1", port), credential, may_reach=anywhere)


@pytest.mark.parametrize("asks", list(Asks))
async def test_each_way_of_asking_who_asks_is_answered(clients: OnvifClients, asks: Asks) -> None:
    async with serving(FakeOnvifDevice(DEVICE, asks=asks)) as device:
        report = await at(clients, device.port).interrogate()
    assert report.identity.serial_number == "SN-0001"
    assert report.interfaces[0].mac == "00:11:22:aa:bb:cc"
    assert report.interfaces[0].addresses == ("192.0.2.7",)
    assert [profile.token for profile in report.profiles] == ["main", "sub"]
    assert (report.profiles[0].encoding, report.profiles[0].gop, report.profiles[0].bitrate) == (
        "H264",
        50,
        4096,
    )
    assert PASSWORD not in "".join(device.seen)
    assert device.refused <= 2


async def test_media2_is_preferred(clients: OnvifClients) -> None:
    async with serving(FakeOnvifDevice(MEDIA2_DEVICE)) as device:
        report = await at(clients, device.port).interrogate()
    [profile] = report.profiles
    assert (profile.encoding, profile.width, profile.gop) == ("H265", 2560, 100)
    assert profile.stream_uri == "rtsp://127.0.0.1:8554/live"
    assert profile.snapshot_uri == f"{device.base}/picture.jpg"
    assert profile.video_source == "lens"


async def test_foreign_addresses_lead_to_the_device_itself_and_are_told(clients: OnvifClients) -> None:
    called: list[bytes] = []

    async def canary(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        called.append(b"called")

    async with raw_device(canary) as port:
        foreign = f"http://169.254.169.254:{port}"
        answers = DEVICE | {"GetServices": DEVICE["GetServices"].replace("{base}", foreign)}
        async with serving(FakeOnvifDevice(answers)) as device:
            report = await at(clients, device.port).interrogate()
    assert f"169.254.169.254:{port}" in report.rewritten_xaddrs
    assert "192.0.2.7:554" in report.rewritten_xaddrs
    assert report.profiles[0].stream_uri == "rtsp://127.0.0.1:554/s?x=1"
    assert {service.xaddr.split("/")[2] for service in report.services} == {f"127.0.0.1:{device.port}"}
    assert called == []


@pytest.mark.parametrize("tells_time", [True, False])
@pytest.mark.parametrize("skew", [timedelta(hours=2), timedelta(days=-900)])
async def test_a_wrong_clock_is_learned(clients: OnvifClients, skew: timedelta, tells_time: bool) -> None:
    async with serving(FakeOnvifDevice(DEVICE, skew=skew, tells_time=tells_time)) as device:
        report = await at(clients, device.port).interrogate()
    assert report.clock_offset == pytest.approx(skew.total_seconds(), abs=30)


@pytest.mark.parametrize("asks", [Asks.MESSAGE, Asks.MD5, Asks.SHA256])
@pytest.mark.parametrize("skew", [timedelta(), timedelta(hours=2)])
async def test_a_wrong_password_is_tried_twice_at_most(
    clients: OnvifClients, asks: Asks, skew: timedelta
) -> None:
    async with serving(FakeOnvifDevice(DEVICE, asks=asks, skew=skew, tells_time=False)) as device:
        with pytest.raises(AuthenticationFailed):
            await at(clients, device.port, WRONG).interrogate()
    signed = [text for text in device.seen if "UsernameToken" in text or "Digest" in text]
    assert len(signed) <= 2
    assert WRONG.password.reveal() not in "".join(device.seen)


async def test_a_clock_that_cannot_be_learned_is_told_as_the_likely_reason(clients: OnvifClients) -> None:
    device = FakeOnvifDevice(DEVICE, skew=timedelta(hours=2), tells_time=False, has_date=False)
    async with serving(device):
        with pytest.raises(AuthenticationFailed, match="clock could not be learned"):
            await at(clients, device.port).interrogate()


async def test_without_a_credential_nothing_is_tried(clients: OnvifClients) -> None:
    async with serving(FakeOnvifDevice(DEVICE)) as device:
        with pytest.raises(CredentialMissing):
            await at(clients, device.port, None).interrogate()


async def test_basic_is_never_answered_in_the_clear(clients: OnvifClients) -> None:
    async def basic(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(
            b'HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm="x"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'
        )
        await writer.drain()

    async with raw_device(basic) as port:
        with pytest.raises(WeakAuthentication):
            await at(clients, port).interrogate()


async def test_a_fault_names_its_code(clients: OnvifClients) -> None:
    answers = DEVICE | {"GetProfiles": "!" + fault("NoProfile", "none here")}
    async with serving(FakeOnvifDevice(answers)) as device:
        with pytest.raises(SoapFault, match="none here") as caught:
            await at(clients, device.port).interrogate()
    assert caught.value.code == "NoProfile"


async def test_what_a_device_will_not_tell_is_a_deviation(clients: OnvifClients) -> None:
    answers = {
        name: text for name, text in DEVICE.items() if name not in ("GetNetworkInterfaces", "GetSnapshotUri")
    }
    async with serving(FakeOnvifDevice(answers)) as device:
        report = await at(clients, device.port).interrogate()
    assert report.interfaces == ()
    assert any("GetNetworkInterfaces" in sentence for sentence in report.deviations)
    assert report.profiles[0].snapshot_uri == ""


async def test_undeclared_prefixes_are_repaired_and_told(clients: OnvifClients) -> None:
    text = envelope(DEVICE["GetDeviceInformation"]).replace(
        ' xmlns:tds="http://www.onvif.org/ver10/device/wsdl"', ""
    )
    async with serving(FakeOnvifDevice(DEVICE | {"GetDeviceInformation": "!" + text})) as device:
        report = await at(clients, device.port).interrogate()
    assert report.identity.model == "M-1"
    assert any("undeclared prefixes (tds)" in sentence for sentence in report.deviations)


async def test_a_move_carries_the_time_after_which_the_device_stops_by_itself(clients: OnvifClients) -> None:
    async with serving(FakeOnvifDevice(DEVICE)) as device:
        camera = at(clients, device.port)
        await camera.continuous_move("main", PanTilt(pan=-0.5), stop_after=2.5)
        await camera.stop("main")
    [move] = [text for text in device.seen if "ContinuousMove>" in text or ":ContinuousMove" in text][-1:]
    assert "PT3S" in move
    assert 'x="-0.5"' in move
    assert device.requests[-1] == "Stop"


async def test_a_service_that_is_not_there_is_refused_by_name(clients: OnvifClients) -> None:
    answers = DEVICE | {"GetServices": DEVICE["GetServices"].replace("ver20/ptz", "ver20/other")}
    async with serving(FakeOnvifDevice(answers)) as device:
        with pytest.raises(RequestRefused, match="no PTZ service"):
            await at(clients, device.port).stop("main")


def http(body: bytes, kind: str = "application/soap+xml", status: str = "200 OK", more: str = "") -> bytes:
    lines = [
        f"HTTP/1.1 {status}",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body)}",
        "Connection: close",
    ]
    head = "\r\n".join(lines) + f"\r\n{more}\r\n"
    return head.encode() + body


BOMB = (
    '<!DOCTYPE b [<!ENTITY e0 "aaaaaaaaaa">'
    + "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
    + "]><b>&e11;</b>"
).encode()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        pytest.param(http(BOMB), RemoteProtocolError, id="bomb"),
        pytest.param(http(b"<a>" * 100_000), RemoteProtocolError, id="deep"),
        pytest.param(http(b"<!DOCTYPE html><html></html>", "text/html"), NotOnvif, id="web page"),
        pytest.param(http(b"no", "text/plain", "404 Not Found"), NotOnvif, id="not found"),
        pytest.param(http(b"<rss/>"), NotOnvif, id="other XML"),
        pytest.param(http(b"<s:Envelope"), RemoteProtocolError, id="cut XML"),
        pytest.param(b"RTSP/1.0 200 OK\r\n\r\n", NotOnvif, id="RTSP"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n<half", PeerClosed, id="half"),
        pytest.param(b"", PeerClosed, id="nothing"),
        pytest.param(
            http(b"", status="302 Found", more="Location: http://169.254.169.254/latest\r\n"),
            AddressForbidden,
            id="redirect to a metadata address",
        ),
        pytest.param(
            http(b"", status="302 Found", more="Location: /elsewhere\r\n"),
            RequestRefused,
            id="redirect to itself",
        ),
        pytest.param(http(b"x" * (600 * 1024)), MessageTooLarge, id="too large"),
    ],
)
async def test_whatever_answers_is_told_as_what_it_is(
    clients: OnvifClients, answer: bytes, error: type[AdapterError]
) -> None:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()

    async with raw_device(talk) as port:
        with pytest.raises(error) as caught:
            await at(clients, port).interrogate()
    assert caught.value.peer == f"127.0.0.1:{port}"


async def test_an_endless_answer_ends_at_its_bound(clients: OnvifClients) -> None:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\n\r\n")
        while True:
            writer.write(b"<a>" * 10_000)
            await writer.drain()

    async with raw_device(talk) as port:
        with pytest.raises(MessageTooLarge):
            await at(clients, port).interrogate()


async def test_silence_ends_in_time() -> None:
    released = asyncio.Event()

    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await released.wait()

    async with OnvifClients(SystemClock(), timeout=0.2) as clients, raw_device(talk) as port:
        with pytest.raises(PeerTimeout):
            await at(clients, port).interrogate()
        released.set()


async def test_nothing_listens(clients: OnvifClients) -> None:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None: ...

    async with raw_device(talk) as port:
        pass
    with pytest.raises(PeerUnreachable):
        await at(clients, port).interrogate()


@pytest.mark.parametrize("host", ["camera.example", "localhost"])
async def test_a_name_is_not_called(clients: OnvifClients, host: str) -> None:
    device = clients.device(OnvifTarget(host, 80), RIGHT, may_reach=anywhere)
    with pytest.raises(AddressForbidden):
        await device.interrogate()


async def test_outside_the_authorised_networks_nothing_is_sent(clients: OnvifClients) -> None:
    async with serving(FakeOnvifDevice(DEVICE)) as device:
        target = OnvifTarget("127.0.0.1", device.port)
        with pytest.raises(AddressForbidden):
            await clients.device(target, RIGHT, may_reach=lambda _: False).interrogate()
    assert device.requests == []


@pytest.mark.parametrize("trust", ["pin", "authority"])
async def test_a_device_that_proves_itself_over_tls(
    clients: OnvifClients, tmp_path: Path, trust: str
) -> None:
    certificate = make_certificate(tmp_path)
    policy = (
        TlsPolicy(pin_sha256=certificate.pin_sha256)
        if trust == "pin"
        else TlsPolicy(ca_file=str(certificate.authority))
    )
    async with serving(FakeOnvifDevice(DEVICE), certificate) as device:
        target = OnvifTarget("127.0.0.1", device.port, tls=policy)
        report = await clients.device(target, RIGHT, may_reach=anywhere).interrogate()
    assert report.identity.serial_number == "SN-0001"
    assert all(service.xaddr.startswith("https://") for service in report.services)


@pytest.mark.parametrize(
    ("policy", "error"),
    [(TlsPolicy(pin_sha256="ab" * 32), TlsPinMismatch), (TlsPolicy(), TlsUntrusted)],
)
async def test_a_device_that_does_not_prove_itself_is_asked_nothing(
    clients: OnvifClients, tmp_path: Path, policy: TlsPolicy, error: type[AdapterError]
) -> None:
    async with serving(FakeOnvifDevice(DEVICE), make_certificate(tmp_path)) as device:
        target = OnvifTarget("127.0.0.1", device.port, tls=policy)
        with pytest.raises(error):
            await clients.device(target, RIGHT, may_reach=anywhere).interrogate()
    assert device.requests == []


async def test_no_secret_is_logged_or_told(clients: OnvifClients, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with serving(FakeOnvifDevice(DEVICE)) as device:
        camera = at(clients, device.port)
        report = await camera.interrogate()
    assert PASSWORD not in caplog.text + repr(report) + repr(camera) + repr(vars(camera))
