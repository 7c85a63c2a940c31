import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.base import RtspTarget, StreamInfo, Transport
from adapters.errors import (
    AdapterError,
    LocalProtocolError,
    RemoteProtocolError,
    RequestRefused,
    UnsupportedMedia,
)
from adapters.rtsp.message import Headers, Response
from adapters.rtsp.session import (
    Described,
    Playing,
    PullSession,
    SessionOptions,
    State,
)
from adapters.rtsp.states import PULL_TRANSITIONS, PUSH_TRANSITIONS, Trigger
from tests.unit.adapters.rtsp.by_hand import (
    DIGEST,
    SDP,
    SESSION,
    STALE,
    Fields,
    Peer,
    described,
    pull,
    pushing,
)


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
