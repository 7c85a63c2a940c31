import asyncio
import errno
import os
import socket
import ssl
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
import uvloop

from adapters.base import Credential, RtspTarget, TlsPolicy
from adapters.errors import (
    AdapterError,
    AuthenticationFailed,
    LocalProtocolError,
    LocalResourcesExhausted,
    PeerClosed,
    PeerTimeout,
    PeerUnreachable,
    RemoteProtocolError,
    TlsPinMismatch,
    TlsUntrusted,
    WeakAuthentication,
)
from adapters.media.nal import is_key_frame_start
from adapters.media.rtp import RtpHeader
from adapters.rtsp.client import open_connection, open_transport, probe, translated
from adapters.rtsp.exchange import SessionOptions
from catalog.model.secret import Secret
from tests.fakes.certificates import make_certificate
from tests.fakes.rtsp_server import FakeRtspServer, Script, fake_rtsp_server, rtp_packets
from tests.rtsp_streams import Packet, Pull, open_pull, open_push
from tests.waiting import eventually

CREDENTIAL = Credential("operator", Secret("correct horse"))
WRONG = Credential("operator", Secret("canary-password"))
QUICK = SessionOptions(answer_timeout=5.0)


def target_of(server: FakeRtspServer, tls: TlsPolicy | None = None) -> RtspTarget:
    return RtspTarget("127.0.0.1", server.port, "/live", tls)


async def packets_of(pull: Pull, count: int) -> list[Packet]:
    found: list[Packet] = []
    async with asyncio.timeout(10):
        async for packet in pull.packets():
            found.append(packet)
            if len(found) == count:
                break
    return found


async def test_a_probe_asks_options_and_nothing_else() -> None:
    async with fake_rtsp_server(Script(schemes=("MD5",))) as server:
        result = await probe(target_of(server), credential=CREDENTIAL)
    assert (result.status, result.server, result.auth_demanded) == (200, "Fake camera", False)
    assert server.methods() == ["OPTIONS"]
    assert "authorization" not in server.seen[0].headers


async def test_a_probe_without_credential_reports_what_is_demanded() -> None:
    async with fake_rtsp_server(Script(schemes=("Basic", "SHA-256"))) as server:
        result = await probe(target_of(server), describe=True)
    assert (result.describe_status, result.auth_demanded) == (401, True)
    assert result.schemes == ("basic", "digest SHA-256")
    assert server.methods() == ["OPTIONS", "DESCRIBE"]


@pytest.mark.parametrize("schemes", [("MD5",), ("SHA-256",), ("MD5-plain",), ("Basic", "MD5", "SHA-256")])
async def test_a_probe_with_credential_learns_the_stream(schemes: tuple[str, ...]) -> None:
    async with fake_rtsp_server(Script(schemes=schemes)) as server:
        result = await probe(target_of(server), credential=CREDENTIAL, describe=True)
    assert result.stream is not None
    assert (result.stream.codec, result.stream.has_audio) == ("H264", True)
    assert server.refused == 0


async def test_a_wrong_password_is_sent_once() -> None:
    async with fake_rtsp_server(Script(schemes=("MD5",))) as server:
        with pytest.raises(AuthenticationFailed) as caught:
            await probe(target_of(server), credential=WRONG, describe=True)
    assert server.refused == 1
    assert "canary-password" not in str(caught.value)


async def test_basic_is_sent_by_the_switch_alone() -> None:
    async with fake_rtsp_server(Script(schemes=("Basic",))) as server:
        with pytest.raises(WeakAuthentication):
            await probe(target_of(server), credential=CREDENTIAL, describe=True)
        assert [r for r in server.seen if "authorization" in r.headers] == []
        result = await probe(target_of(server), credential=CREDENTIAL, describe=True, allow_basic=True)
    assert result.describe_status == 200


async def test_a_probe_of_nobody_is_unreachable() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        target = RtspTarget("127.0.0.1", unused.getsockname()[1], "/")
        with pytest.raises(PeerUnreachable) as caught:
            await probe(target, timeout=5)
    assert caught.value.peer == target.peer


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (Script(silent=frozenset({"OPTIONS"})), PeerTimeout),
        (Script(half=frozenset({"OPTIONS"})), PeerTimeout),
        (Script(delays={"OPTIONS": 30.0}), PeerTimeout),
        (Script(drops=frozenset({"OPTIONS"})), PeerClosed),
        (Script(answers={"OPTIONS": b"HTTP/1.0 404 Not Found\r\n\r\n"}), RemoteProtocolError),
        (Script(answers={"OPTIONS": b"RTSP/1.0 200 OK\r\nA: " + b"x" * 9000}), RemoteProtocolError),
        (Script(answers={"OPTIONS": b"\xff" * 100}), RemoteProtocolError),
        (
            Script(answers={"OPTIONS": b"RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\nContent-Length: 9\r\n\r\nx"}),
            PeerTimeout,
        ),
    ],
)
async def test_every_bad_peer_has_its_kind_of_error(script: Script, error: type[AdapterError]) -> None:
    async with fake_rtsp_server(script) as server:
        with pytest.raises(error) as caught:
            await probe(target_of(server), timeout=0.3)
    assert caught.value.peer == f"127.0.0.1:{server.port}"


async def test_a_pull_yields_the_packets_and_takes_leave() -> None:
    async with fake_rtsp_server(Script(schemes=("SHA-256",))) as server:
        async with open_pull(target_of(server), CREDENTIAL, QUICK) as pull:
            packets = await packets_of(pull, 12)
        await eventually(lambda: "TEARDOWN" in server.methods(), what="TEARDOWN")
    headers = [RtpHeader.parse(packet.payload) for packet in packets]
    assert [header.sequence for header in headers] == list(range(12))
    starts = [
        is_key_frame_start("H264", packet.payload[header.payload_start : header.payload_end])
        for packet, header in zip(packets, headers, strict=True)
    ]
    assert [index for index, is_start in enumerate(starts) if is_start] == [0, 10]


@pytest.mark.parametrize("method", ["DESCRIBE", "SETUP", "PLAY"])
async def test_a_camera_that_stops_answering_is_a_timeout(method: str) -> None:
    async with fake_rtsp_server(Script(silent=frozenset({method}))) as server:
        with pytest.raises(PeerTimeout, match=method):
            async with open_pull(target_of(server), None, SessionOptions(answer_timeout=0.2)):
                pass


async def test_a_camera_that_drops_is_closed() -> None:
    async with fake_rtsp_server() as server, open_pull(target_of(server), None, QUICK) as pull:
        await packets_of(pull, 2)
        server.drop_connections()
        with pytest.raises(PeerClosed):
            await packets_of(pull, 100_000)


async def test_a_push_delivers_every_packet() -> None:
    packets = [Packet(0, False, packet) for packet, _ in zip(rtp_packets(), range(20), strict=False)]
    async with (
        fake_rtsp_server(Script(schemes=("MD5",))) as server,
        open_push(target_of(server), CREDENTIAL, b"v=0\r\n", ("trackID=0",), QUICK) as push,
    ):
        for packet in packets:
            await push.send(packet)
        await eventually(lambda: len(server.frames) == 20, what="20 frames")
    assert server.frames == [(0, packet.payload) for packet in packets]
    assert server.announced == b"v=0\r\n"


def server_context(file: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


async def test_the_pinned_certificate_is_enough(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path, "127.9.9.9")
    script = Script(schemes=("Basic",))
    async with fake_rtsp_server(script, tls=server_context(certificate.file)) as server:
        target = target_of(server, TlsPolicy(pin_sha256=certificate.pin_sha256))
        result = await probe(target, credential=CREDENTIAL, describe=True)
    assert result.describe_status == 200


async def test_another_certificate_than_the_pinned_hears_nothing(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    async with fake_rtsp_server(tls=server_context(certificate.file)) as server:
        with pytest.raises(TlsPinMismatch):
            await probe(target_of(server, TlsPolicy(pin_sha256="0" * 64)))
    assert server.seen == []


async def test_a_trusted_chain_is_enough_for_its_own_host_alone(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    policy = TlsPolicy(ca_file=str(certificate.authority))
    async with fake_rtsp_server(host="127.0.0.2", tls=server_context(certificate.file)) as server:
        with pytest.raises(TlsUntrusted):
            await probe(RtspTarget("127.0.0.2", server.port, "/", policy))
    async with fake_rtsp_server(tls=server_context(certificate.file)) as server:
        assert (await probe(target_of(server, policy))).status == 200
        with pytest.raises(TlsUntrusted):
            await probe(target_of(server, TlsPolicy()))


async def test_a_peer_without_tls_is_no_rtsps_peer() -> None:
    async with fake_rtsp_server() as server:
        with pytest.raises((RemoteProtocolError, PeerTimeout, PeerClosed)):
            await probe(target_of(server, TlsPolicy()), timeout=0.5)


@pytest.mark.parametrize("text", [None, "not a certificate"])
async def test_authorities_that_cannot_be_read_are_our_own_mistake(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "authority.pem"
    if text is not None:
        file.write_text(text)
    async with fake_rtsp_server() as server:
        with pytest.raises(LocalProtocolError):
            await probe(target_of(server, TlsPolicy(ca_file=str(file))))


async def test_old_tls_is_refused(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    context = server_context(certificate.file)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    async with fake_rtsp_server(tls=context) as server:
        with pytest.raises((RemoteProtocolError, PeerClosed)):
            await probe(target_of(server, TlsPolicy(pin_sha256=certificate.pin_sha256)), timeout=5)


async def test_a_host_name_that_does_not_exist_is_unreachable() -> None:
    with pytest.raises(PeerUnreachable):
        await open_connection(RtspTarget("a" * 70 + ".invalid", 554, "/"), 5)


class Buffered(asyncio.BufferedProtocol):
    """Ask OPTIONS and keep what comes."""

    def __init__(self) -> None:
        self.buffer = bytearray(4096)
        self.received = b""
        self.bell = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).write(b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n")

    def get_buffer(self, sizehint: int) -> bytearray:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.received += bytes(self.buffer[:nbytes])
        self.bell.set()


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize("is_tls", [False, True])
def test_a_buffered_protocol_is_handed_a_proven_connection(
    new_loop: Callable[[], asyncio.AbstractEventLoop], is_tls: bool, tmp_path: Path
) -> None:
    """Both loops: the protocol is changed after TLS and the pin, while the transport reads already."""
    certificate = make_certificate(tmp_path)
    policy = TlsPolicy(pin_sha256=certificate.pin_sha256) if is_tls else None

    async def answer() -> bytes:
        context = server_context(certificate.file) if is_tls else None
        async with fake_rtsp_server(tls=context) as server:
            transport, protocol = await open_transport(target_of(server, policy), 5, Buffered)
            async with asyncio.timeout(5):
                await protocol.bell.wait()
            transport.abort()
            return protocol.received

    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert runner.run(answer()).startswith(b"RTSP/1.0 200 OK")


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.EMFILE, LocalResourcesExhausted),
        (errno.ENFILE, LocalResourcesExhausted),
        (errno.EADDRNOTAVAIL, LocalResourcesExhausted),
        (errno.ECONNREFUSED, PeerUnreachable),
        (errno.EHOSTUNREACH, PeerUnreachable),
    ],
)
def test_what_the_kernel_lacks_is_not_charged_to_the_peer(number: int, kind: type[AdapterError]) -> None:
    with pytest.raises(AdapterError) as caught, translated("127.0.0.1:554"):
        raise OSError(number, os.strerror(number))
    assert type(caught.value) is kind
    assert caught.value.retryable
