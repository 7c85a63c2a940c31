import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.base import Credential, RtspTarget, StreamInfo, Transport
from adapters.errors import (
    AdapterError,
    AuthenticationFailed,
    CredentialMissing,
    LocalProtocolError,
    PeerClosed,
    PeerTimeout,
    RemoteProtocolError,
    RequestRefused,
    UnsupportedMedia,
    WeakAuthentication,
)
from adapters.rtsp.message import Demultiplexer, Headers, MessageParser, Request, Response
from adapters.rtsp.session import (
    Closed,
    Described,
    KeepaliveAnswered,
    Playing,
    PullSession,
    PushSession,
    Recording,
    Session,
    SessionOptions,
    State,
)
from adapters.rtsp.states import PULL_TRANSITIONS, PUSH_TRANSITIONS, Trigger
from catalog.model.secret import Secret

TARGET = RtspTarget("192.0.2.7", 554, "/live?x=1")
CREDENTIAL = Credential("operator", Secret("canary-password"))
SDP = (
    b"v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=control:*\r\n"
    b"m=audio 0 RTP/AVP 8\r\na=control:trackID=2\r\n"
    b"m=video 0 RTP/AVP 96\r\na=rtpmap:96 H265/90000\r\na=control:trackID=1\r\n"
)
DIGEST = ("WWW-Authenticate", 'Digest realm="r", nonce="n1", qop="auth", algorithm=SHA-256')
STALE = ("WWW-Authenticate", 'Digest realm="r", nonce="n2", qop="auth", algorithm=SHA-256, stale=true')
SESSION = ("Session", "abc;timeout=60")
Fields = tuple[tuple[str, str], ...]


def fixed(size: int) -> bytes:
    return bytes(size)


class Peer:
    """The other end of a session, by hand."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.now = 0.0

    def request(self) -> Request:
        (found,) = Demultiplexer(MessageParser()).feed(self.session.bytes_to_send())
        assert isinstance(found, Request)
        return found

    def answer(self, status: int = 200, *fields: tuple[str, str], body: bytes = b"") -> Request:
        request = self.request()
        cseq = request.headers.get("CSeq") or ""
        self.session.receive(Response(status, "x", Headers([("CSeq", cseq), *fields]), body), self.now)
        return request

    def echo_transport(self, *fields: tuple[str, str]) -> Request:
        request = self.request()
        cseq, transport = request.headers.get("CSeq") or "", request.headers.get("Transport") or ""
        headers = Headers([("CSeq", cseq), ("Transport", transport), *fields])
        self.session.receive(Response(200, "OK", headers), self.now)
        return request


def pull(options: SessionOptions | None = None, credential: Credential | None = CREDENTIAL) -> Peer:
    return Peer(PullSession(TARGET, credential, options or SessionOptions(random_bytes=fixed), now=0.0))


def described(options: SessionOptions | None = None, public: str = "OPTIONS, GET_PARAMETER") -> Peer:
    peer = pull(options)
    peer.answer(200, ("Public", public))
    peer.answer(200, body=SDP)
    return peer


def playing(options: SessionOptions | None = None, *, session: str = "abc;timeout=60") -> Peer:
    peer = described(options)
    peer.echo_transport(("Session", session))
    peer.answer()
    peer.session.events()
    return peer


def pushing() -> Peer:
    session = PushSession(TARGET, CREDENTIAL, b"v=0\r\n", ("trackID=0",), SessionOptions(), now=0.0)
    return Peer(session)


def test_a_pull_asks_in_order_and_tells_what_it_found() -> None:
    peer = pull()
    asked = [peer.answer(200, ("Public", "OPTIONS")), peer.answer(200, body=SDP)]
    asked += [peer.echo_transport(SESSION), peer.answer(200, ("RTP-Info", "url=x"))]
    assert [r.method for r in asked] == ["OPTIONS", "DESCRIBE", "SETUP", "PLAY"]
    assert [r.headers.get("CSeq") for r in asked] == ["1", "2", "3", "4"]
    assert asked[2].uri == "rtsp://192.0.2.7:554/live?x=1/trackID=1"
    assert asked[2].headers.get("Transport") == "RTP/AVP/TCP;unicast;interleaved=0-1"
    assert asked[3].headers.get("Session") == "abc"
    one, two = peer.session.events()
    assert isinstance(one, Described)
    assert one.stream == StreamInfo("H265", 96, 90000, has_audio=True)
    assert one.sdp == SDP
    assert isinstance(two, Playing)
    assert [(t.rtp_channel, t.rtcp_channel) for t in two.tracks] == [(0, 1)]
    assert two.rtp_info == "url=x"
    assert peer.session.state is State.STREAMING


def test_audio_is_set_up_after_video_and_only_where_asked() -> None:
    peer = described(SessionOptions(audio=True))
    first = peer.echo_transport(SESSION)
    second = peer.echo_transport(SESSION)
    peer.answer()
    assert first.uri.endswith("/trackID=1")
    assert second.uri.endswith("/trackID=2")
    assert second.headers.get("Transport") == "RTP/AVP/TCP;unicast;interleaved=2-3"
    assert second.headers.get("Session") == "abc"
    event = peer.session.events()[-1]
    assert isinstance(event, Playing)
    assert [t.media.kind for t in event.tracks if t.media] == ["video", "audio"]


def test_udp_offers_the_callers_ports() -> None:
    peer = described(SessionOptions(transport=Transport.UDP, udp_ports=(5000,)))
    asked = peer.request()
    assert asked.headers.get("Transport") == "RTP/AVP;unicast;client_port=5000-5001"
    headers = [
        ("CSeq", "3"),
        SESSION,
        ("Transport", "RTP/AVP;unicast;client_port=5000-5001;server_port=6970-6971"),
    ]
    peer.session.receive(Response(200, "OK", Headers(headers)), 0.0)
    peer.answer()
    event = peer.session.events()[-1]
    assert isinstance(event, Playing)
    assert (event.tracks[0].local_port, event.tracks[0].server_ports) == (5000, (6970, 6971))


def test_461_takes_the_other_transport_once() -> None:
    peer = described(SessionOptions(transport=Transport.UDP, udp_ports=(5000,)))
    peer.answer(461)
    assert peer.request().headers.get("Transport") == "RTP/AVP/TCP;unicast;interleaved=0-1"
    with pytest.raises(RequestRefused):
        peer.session.receive(Response(461, "x", Headers([("CSeq", "4")])), 0.0)
    assert peer.session.state is State.CLOSED


def test_461_without_udp_ports_is_a_refusal() -> None:
    peer = described()
    with pytest.raises(RequestRefused) as caught:
        peer.answer(461)
    assert caught.value.status == 461


@pytest.mark.parametrize("status", [400, 403, 404, 453, 454, 500, 503, 305])
def test_a_refused_setup_is_raised_with_its_status(status: int) -> None:
    peer = described()
    with pytest.raises(RequestRefused) as caught:
        peer.answer(status)
    assert (caught.value.status, caught.value.peer) == (status, "192.0.2.7:554")
    assert peer.session.state is State.CLOSED
    assert peer.session.deadline() is None


@pytest.mark.parametrize("status", [404, 405, 501, 551])
def test_refused_options_end_nothing(status: int) -> None:
    peer = pull()
    peer.answer(status)
    assert peer.request().method == "DESCRIBE"


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


def test_keepalives_come_in_time_and_never_late() -> None:
    peer = playing()
    assert peer.session.deadline() == 24.0
    peer.session.handle_timer(24.0)
    assert peer.answer().method == "GET_PARAMETER"
    assert peer.session.events() == [KeepaliveAnswered(0.0)]
    assert peer.session.deadline() == 48.0


@pytest.mark.parametrize(
    ("session", "interval"),
    [
        ("a", 24.0),
        ("a;timeout=600", 25.0),
        ("a;timeout=10", 4.0),
        ("a;timeout=1", 1.0),
        ("a;timeout=x", 24.0),
    ],
)
def test_the_keepalive_interval_follows_the_session_timeout(session: str, interval: float) -> None:
    assert playing(session=session).session.keepalive_interval == interval


def test_options_keeps_alive_where_get_parameter_is_not_listed() -> None:
    peer = described(public="OPTIONS, PLAY")
    peer.echo_transport(SESSION)
    peer.answer()
    peer.session.handle_timer(30.0)
    assert peer.request().method == "OPTIONS"


def test_a_lost_session_is_noticed_at_the_keepalive() -> None:
    peer = playing()
    peer.session.handle_timer(24.0)
    with pytest.raises(RequestRefused) as caught:
        peer.answer(454)
    assert caught.value.status == 454


def test_unanswered_keepalives_do_not_end_a_pull() -> None:
    peer = playing()
    peer.session.handle_timer(24.0)
    peer.request()
    peer.session.handle_timer(34.0)
    peer.session.handle_timer(48.0)
    assert peer.request().method == "GET_PARAMETER"
    assert peer.session.keepalives_unanswered == 1
    peer.session.receive(Response(200, "late", Headers([("CSeq", "5")])), 49.0)
    assert peer.session.events() == []


def test_unanswered_keepalives_end_a_push() -> None:
    peer = pushing()
    peer.answer()
    peer.answer()
    peer.echo_transport(SESSION)
    peer.answer()
    peer.session.handle_timer(24.0)
    with pytest.raises(PeerTimeout):
        peer.session.handle_timer(34.0)


def test_silence_before_play_is_a_timeout() -> None:
    peer = pull()
    assert peer.session.deadline() == 10.0
    peer.session.handle_timer(9.9)
    with pytest.raises(PeerTimeout, match="OPTIONS"):
        peer.session.handle_timer(10.0)
    assert peer.session.state is State.CLOSED


def test_teardown_ends_in_closed_answered_or_not() -> None:
    peer = playing()
    peer.session.close(5.0)
    assert peer.answer().method == "TEARDOWN"
    assert peer.session.events() == [Closed()]
    peer = playing()
    peer.session.close(5.0)
    assert peer.session.deadline() == 7.0
    peer.session.handle_timer(7.0)
    assert peer.session.events() == [Closed()]


def test_teardown_refused_is_an_end_as_well() -> None:
    peer = playing()
    peer.session.close(5.0)
    peer.answer(401)
    assert peer.session.events() == [Closed()]


def test_closing_before_setup_sends_nothing() -> None:
    peer = pull()
    peer.request()
    peer.session.close(1.0)
    assert (peer.session.events(), peer.session.bytes_to_send()) == ([Closed()], b"")


def test_closing_after_an_error_is_closed_at_once() -> None:
    peer = described()
    with pytest.raises(RequestRefused):
        peer.answer(404)
    peer.session.close(1.0)
    assert (peer.session.events()[-1], peer.session.bytes_to_send()) == (Closed(), b"")


def test_the_peers_requests_are_answered() -> None:
    peer = playing()
    peer.session.receive(Request("OPTIONS", "*", Headers([("CSeq", "7")])), 1.0)
    peer.session.receive(Request("REDIRECT", "*", Headers([("CSeq", "8")])), 1.0)
    answers = Demultiplexer(MessageParser()).feed(peer.session.bytes_to_send())
    assert [(a.status, a.headers.get("CSeq")) for a in answers if isinstance(a, Response)] == [
        (200, "7"),
        (501, "8"),
    ]
    with pytest.raises(PeerClosed):
        peer.session.receive(Request("TEARDOWN", "*"), 1.0)


def test_a_flood_of_requests_is_a_protocol_error() -> None:
    peer = playing()
    flood = [Request("OPTIONS", "*")] * 64
    for request in flood:
        peer.session.receive(request, 1.0)
    with pytest.raises(RemoteProtocolError):
        peer.session.receive(Request("OPTIONS", "*"), 1.0)


def test_a_path_that_is_not_ascii_is_escaped() -> None:
    target = RtspTarget("192.0.2.7", 554, "/\u4e3b \u7801\u6d41?a=%20")
    peer = Peer(PullSession(target, None, SessionOptions(), now=0.0))
    assert peer.request().uri == "rtsp://192.0.2.7:554/%E4%B8%BB%20%E7%A0%81%E6%B5%81?a=%20"


def test_a_content_base_that_is_no_url_stays_on_the_peer() -> None:
    peer = pull()
    peer.answer()
    peer.answer(200, ("Content-Base", "live"), body=SDP)
    assert peer.request().uri == "rtsp://192.0.2.7:554/live/trackID=1"


@pytest.mark.parametrize(
    "location", ["rtsp://203.0.113.9/live", "rtsp://192.0.2.7:8554/live", "rtsp://[::1", "http:x", ""]
)
def test_redirects_to_other_hosts_are_refused(location: str) -> None:
    peer = pull()
    peer.answer()
    with pytest.raises(RequestRefused):
        peer.answer(302, ("Location", location))


def test_a_redirect_on_the_same_host_is_followed_once() -> None:
    peer = pull()
    peer.answer()
    peer.answer(302, ("Location", "rtsp://192.0.2.7/other"))
    assert peer.answer(200, body=SDP).uri == "rtsp://192.0.2.7:554/other"
    assert peer.request().uri == "rtsp://192.0.2.7:554/other/trackID=1"


def test_no_request_ever_names_another_host() -> None:
    body = SDP.replace(b"control:*", b"control:rtsp://10.0.0.1/a").replace(
        b"trackID=1", b"rtsp://u:p@203.0.113.9:99/evil?x=y"
    )
    peer = pull()
    peer.answer()
    peer.answer(200, ("Content-Base", "rtsp://10.0.0.1:8554/live/"), body=body)
    assert peer.echo_transport(SESSION).uri == "rtsp://192.0.2.7:554/evil?x=y"
    assert peer.request().uri == "rtsp://192.0.2.7:554/a"


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", UnsupportedMedia),
        (b"v=0\r\n", UnsupportedMedia),
        (b"v=0\r\nm=video 0 RTP/AVP 97\r\na=rtpmap:97 VP8/90000\r\n", UnsupportedMedia),
        (b"v=0\r\nm=video\r\n", RemoteProtocolError),
        (b"<html>", RemoteProtocolError),
        (b"m=video 0 RTP/AVP 26\r\nm=audio 0 RTP/AVP 0\r\n", RemoteProtocolError),
    ],
)
def test_descriptions_that_cannot_be_used_are_errors(body: bytes, error: type[AdapterError]) -> None:
    peer = pull()
    peer.answer()
    with pytest.raises(error):
        peer.answer(200, body=body)


@pytest.mark.parametrize(
    "fields",
    [
        (SESSION,),
        (("Transport", "RTP/AVP/TCP;unicast;interleaved=0-1"),),
        (SESSION, ("Transport", "RTP/AVP;unicast;client_port=1-2")),
        (SESSION, ("Transport", "RTP/AVP/TCP;interleaved=0-256")),
        (SESSION, ("Transport", "RTP/AVP/TCP;interleaved=5-5")),
        (SESSION, ("Transport", "RTP/AVP/TCP;multicast;interleaved=0-1")),
        (SESSION, ("Transport", "RAW/RAW/UDP;unicast")),
        (("Session", ";timeout=5"), ("Transport", "RTP/AVP/TCP;interleaved=0-1")),
    ],
)
def test_bad_answers_to_setup_are_protocol_errors(fields: Fields) -> None:
    peer = described()
    with pytest.raises(RemoteProtocolError):
        peer.answer(200, *fields)


def test_two_tracks_on_one_channel_are_a_protocol_error() -> None:
    peer = described(SessionOptions(audio=True))
    peer.echo_transport(SESSION)
    with pytest.raises(RemoteProtocolError):
        peer.answer(200, SESSION, ("Transport", "RTP/AVP/TCP;interleaved=0-1"))


@pytest.mark.parametrize("cseq", ["9", "-1", "x", "99999999999"])
def test_answers_to_requests_never_sent_are_protocol_errors(cseq: str) -> None:
    peer = pull()
    with pytest.raises(RemoteProtocolError):
        peer.session.receive(Response(200, "OK", Headers([("CSeq", cseq)])), 0.0)


def test_a_push_announces_and_records() -> None:
    peer = pushing()
    asked = [peer.answer(), peer.answer(), peer.echo_transport(SESSION), peer.answer()]
    assert [r.method for r in asked] == ["OPTIONS", "ANNOUNCE", "SETUP", "RECORD"]
    assert asked[1].body == b"v=0\r\n"
    assert asked[1].headers.get("Content-Type") == "application/sdp"
    assert asked[2].headers.get("Transport") == "RTP/AVP/TCP;unicast;interleaved=0-1;mode=record"
    assert asked[2].uri == "rtsp://192.0.2.7:554/live?x=1/trackID=0"
    (event,) = peer.session.events()
    assert isinstance(event, Recording)
    assert event.tracks[0].rtp_channel == 0


def test_a_push_is_never_redirected() -> None:
    peer = pushing()
    peer.answer()
    with pytest.raises(RequestRefused):
        peer.answer(302, ("Location", "rtsp://192.0.2.7/other"))


def test_a_push_of_nothing_is_our_own_mistake() -> None:
    with pytest.raises(LocalProtocolError):
        PushSession(TARGET, None, b"", (), SessionOptions(), now=0.0)


def test_a_continue_gives_more_time() -> None:
    peer = pull()
    peer.session.receive(Response(100, "Continue", Headers([("CSeq", "1")])), 8.0)
    assert peer.session.deadline() == 18.0


def test_the_tables_leave_every_state_a_way_to_closed() -> None:
    closing = {State.TEARDOWN, State.CLOSED}
    for table in (PULL_TRANSITIONS, PUSH_TRANSITIONS):
        assert {table[state, Trigger.CLOSE] for state in State if (state, Trigger.CLOSE) in table} == closing


FIELDS = st.sampled_from(
    [
        SESSION,
        DIGEST,
        STALE,
        ("Transport", "RTP/AVP/TCP;interleaved=0-1"),
        ("Location", "rtsp://192.0.2.7/"),
        ("Content-Base", "rtsp://["),
        ("Session", ""),
    ]
)
ANSWERS = st.tuples(
    st.sampled_from([100, 200, 301, 401, 404, 454, 461]),
    st.lists(FIELDS, max_size=3),
    st.sampled_from([b"", SDP]),
)


@given(st.lists(ANSWERS, max_size=12), st.booleans())
def test_any_answers_end_in_documented_errors_and_few_credentials(
    answers: list[tuple[int, list[tuple[str, str]], bytes]], is_push: bool
) -> None:
    peer = pushing() if is_push else pull()
    sent = b""
    try:
        for number, (status, fields, body) in enumerate(answers):
            sent += peer.session.bytes_to_send()
            headers = Headers([("CSeq", str(sent.count(b"CSeq: "))), *fields])
            peer.session.receive(Response(status, "x", headers, body), float(number))
    except LocalProtocolError:
        raise
    except AdapterError:
        assert peer.session.state is State.CLOSED
    assert b"canary-password" not in sent
    assert peer.session.refusals <= 3
