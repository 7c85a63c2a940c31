import pytest

from adapters.errors import (
    LocalProtocolError,
    PeerClosed,
    PeerTimeout,
    RemoteProtocolError,
    RequestRefused,
)
from adapters.rtsp.message import Demultiplexer, Headers, MessageParser, Request, Response
from adapters.rtsp.session import (
    Closed,
    KeepaliveAnswered,
    PushSession,
    Recording,
    SessionOptions,
    State,
)
from tests.unit.adapters.rtsp.by_hand import (
    SESSION,
    TARGET,
    described,
    playing,
    pull,
    pushing,
)


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
