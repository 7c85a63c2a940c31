from dataclasses import replace

import pytest

from adapters.errors import (
    AdapterError,
    AuthenticationFailed,
    CredentialMissing,
    WeakAuthentication,
)
from adapters.rtsp.message import Headers, Response
from adapters.rtsp.session import (
    SessionOptions,
    State,
)
from tests.unit.adapters.rtsp.by_hand import (
    DIGEST,
    SDP,
    SESSION,
    STALE,
    pull,
)


def test_a_challenge_is_answered_once_and_the_answer_kept() -> None:
    peer = pull()
    peer.answer()
    first = peer.answer(401, ("WWW-Authenticate", 'Basic realm="r"'), DIGEST)
    second = peer.answer(200, body=SDP)
    third = peer.request()
    assert first.headers.get("Authorization") is None
    assert (second.headers.get("Authorization") or "").startswith('Digest username="operator"')
    assert "algorithm=SHA-256" in (second.headers.get("Authorization") or "")
    assert "nc=00000002" in (third.headers.get("Authorization") or "")
    assert peer.session.refusals == 0


def test_a_refused_credential_is_never_sent_again() -> None:
    peer = pull()
    peer.answer()
    peer.answer(401, DIGEST)
    with pytest.raises(AuthenticationFailed) as caught:
        peer.answer(401, DIGEST)
    assert peer.session.refusals == 1
    assert peer.session.bytes_to_send() == b""
    assert "canary-password" not in f"{caught.value!r} {caught.value}"


def test_a_stale_nonce_gives_one_more_try() -> None:
    peer = pull()
    peer.answer()
    peer.answer(401, DIGEST)
    peer.answer(401, STALE)
    assert 'nonce="n2"' in (peer.answer(200, body=SDP).headers.get("Authorization") or "")
    assert peer.session.refusals == 0


def test_stale_for_ever_ends_too() -> None:
    peer = pull()
    peer.answer()
    peer.answer(401, DIGEST)
    peer.answer(401, STALE)
    with pytest.raises(AuthenticationFailed):
        peer.answer(401, STALE)


def test_a_nonce_that_ran_out_while_playing_is_renewed() -> None:
    peer = pull()
    peer.answer(200, ("Public", "GET_PARAMETER"))
    peer.answer(401, DIGEST)
    peer.answer(200, body=SDP)
    peer.echo_transport(SESSION)
    peer.answer()
    peer.session.handle_timer(25.0)
    peer.answer(401, DIGEST)
    peer.answer(200)
    assert peer.session.refusals == 0
    assert peer.session.state is State.STREAMING


def test_without_credential_a_challenge_is_an_error() -> None:
    peer = pull(credential=None)
    peer.answer()
    with pytest.raises(CredentialMissing):
        peer.answer(401, DIGEST)


def test_basic_needs_tls_or_the_switch() -> None:
    basic = ("WWW-Authenticate", 'Basic realm="r"')
    peer = pull()
    peer.answer()
    with pytest.raises(WeakAuthentication):
        peer.answer(401, basic)
    peer = pull(SessionOptions(allow_basic=True))
    peer.answer()
    peer.answer(401, basic)
    assert (peer.answer(200, body=SDP).headers.get("Authorization") or "").startswith("Basic ")


@pytest.mark.parametrize(
    "answer",
    [
        Response(404, "no canary-password here \x1b[2J"),
        Response(200, "OK", body=b"canary-password\r\n"),
        Response(200, "OK", body=b"v=0\r\nm=canary-password\r\n"),
    ],
)
def test_a_peer_that_repeats_the_password_is_quoted_without_it(answer: Response) -> None:
    # A device that was sent Basic knows it.
    peer = pull(SessionOptions(allow_basic=True))
    peer.answer()
    peer.answer(401, ("WWW-Authenticate", 'Basic realm="r"'))
    cseq = peer.request().headers.get("CSeq") or ""
    with pytest.raises(AdapterError) as caught:
        peer.session.receive(replace(answer, headers=Headers([("CSeq", cseq)])), peer.now)
    assert "canary" not in str(caught.value)
    assert str(caught.value).isprintable()
