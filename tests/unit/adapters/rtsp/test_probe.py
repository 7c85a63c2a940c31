import pytest

from adapters.base import Credential, RtspTarget
from adapters.errors import AuthenticationFailed, PeerTimeout, RemoteProtocolError
from adapters.rtsp.message import Headers, Request, Response
from adapters.rtsp.probe import MAX_SERVER, ProbeSession
from adapters.rtsp.session import SessionOptions
from catalog.model.secret import Secret

TARGET = RtspTarget("192.0.2.7", 554, "/live")
DIGEST = ("WWW-Authenticate", 'Digest realm="r", nonce="n"')


def probing(*, describe: bool = False, credential: Credential | None = None) -> ProbeSession:
    return ProbeSession(TARGET, credential, describe=describe, options=SessionOptions(), now=0.0)


def answer(session: ProbeSession, status: int, *fields: tuple[str, str], body: bytes = b"") -> bytes:
    request = session.bytes_to_send()
    cseq = Request.parse(request).headers.get("CSeq") or ""
    session.receive(Response(status, "x", Headers([("CSeq", cseq), *fields]), body), 1.0)
    return request


@pytest.mark.parametrize("status", [200, 401, 404, 503])
def test_whatever_the_status_the_peer_speaks_rtsp(status: int) -> None:
    session = probing()
    answer(session, status)
    assert session.result is not None
    assert session.result.status == status
    assert session.deadline() is None
    assert session.bytes_to_send() == b""


def test_a_credential_is_not_used_for_options_alone() -> None:
    session = probing(credential=Credential("u", Secret("p")))
    answer(session, 401, DIGEST)
    assert session.result is not None
    assert (session.result.auth_demanded, session.result.schemes) == (True, ("digest MD5",))


def test_a_refused_credential_is_counted() -> None:
    session = probing(describe=True, credential=Credential("u", Secret("p")))
    answer(session, 200)
    answer(session, 401, DIGEST)
    with pytest.raises(AuthenticationFailed):
        answer(session, 401, DIGEST)
    assert session.refusals == 1
    assert session.deadline() is None


def test_silence_is_a_timeout() -> None:
    session = probing()
    session.handle_timer(9.0)
    with pytest.raises(PeerTimeout, match="OPTIONS"):
        session.handle_timer(10.0)


def test_the_peers_own_requests_do_not_end_the_probe() -> None:
    session = probing()
    session.bytes_to_send()
    session.receive(Request("OPTIONS", "*", Headers([("CSeq", "1")])), 0.0)
    assert session.bytes_to_send().startswith(b"RTSP/1.0 200 OK")
    assert session.result is None


def test_a_server_name_is_cut_and_made_printable() -> None:
    session = probing()
    answer(session, 200, ("Server", "a\x1b[31m" + "b" * 500))
    assert session.result is not None
    assert session.result.server == ("a[31m" + "b" * 500)[:MAX_SERVER]


def test_a_description_that_cannot_be_read_is_an_error() -> None:
    session = probing(describe=True)
    answer(session, 200)
    with pytest.raises(RemoteProtocolError):
        answer(session, 200, body=b"<html>")


def test_a_description_without_our_video_is_a_result_without_stream() -> None:
    session = probing(describe=True)
    answer(session, 200)
    answer(session, 200, body=b"v=0\r\n")
    assert session.result is not None
    assert (session.result.describe_status, session.result.stream) == (200, None)
