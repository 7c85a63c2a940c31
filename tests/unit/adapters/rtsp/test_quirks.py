from collections.abc import Callable
from pathlib import Path

import pytest

from adapters.base import RtspTarget
from adapters.errors import RemoteProtocolError
from adapters.rtsp.message import Demultiplexer, InterleavedFrame, MessageParser, Request, Response
from adapters.rtsp.quirks import EVERY_QUIRK, POLICIES, Leniency, Quirk
from adapters.rtsp.session import Playing, PullSession, SessionOptions, State
from adapters.rtsp.transport import parse_session, parse_transport

CAPTURES = Path(__file__).parents[3] / "data" / "rtsp"
TARGET = RtspTarget("192.0.2.7", 554, "/live")
IN_MESSAGE = [
    Quirk.BARE_LF,
    Quirk.FOLDED_HEADER,
    Quirk.LEADING_LINE_BREAK,
    Quirk.MISSING_REASON,
    Quirk.SPACE_BEFORE_COLON,
]


def capture(quirk: Quirk) -> bytes:
    return (CAPTURES / POLICIES[quirk].capture).read_bytes()


def response_in(data: bytes) -> Response:
    (found,) = Demultiplexer(MessageParser()).feed(data)
    assert isinstance(found, Response)
    return found


def feed(session: PullSession, data: bytes, now: float = 0.0) -> None:
    parser = Demultiplexer(MessageParser(session.leniency))
    for item in parser.feed(data):
        if isinstance(item, (Request, Response)):
            session.receive(item, now)


def pull_up_to(answers: int, describe: bytes = b"") -> PullSession:
    """Return a pull that has had its first `answers` answers, all polite."""
    session = PullSession(TARGET, None, SessionOptions(), now=0.0)
    sdp = b"v=0\r\nm=video 0 RTP/AVP 26\r\na=control:1\r\n"
    polite = [
        b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nPublic: GET_PARAMETER\r\n\r\n",
        describe or b"RTSP/1.0 200 OK\r\nCSeq: 2\r\nContent-Length: %d\r\n\r\n%s" % (len(sdp), sdp),
        b"RTSP/1.0 200 OK\r\nCSeq: 3\r\nSession: 1\r\nTransport: RTP/AVP/TCP;interleaved=0-1\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nCSeq: 4\r\n\r\n",
    ]
    for data in polite[:answers]:
        session.bytes_to_send()
        feed(session, data)
    return session


def test_every_quirk_has_a_policy_and_a_capture() -> None:
    assert set(POLICIES) == set(Quirk)
    missing = [q for q in Quirk if not (CAPTURES / POLICIES[q].capture).is_file()]
    assert missing == []


@pytest.mark.parametrize("quirk", IN_MESSAGE)
def test_a_lenient_parser_takes_the_message_and_names_the_quirk(quirk: Quirk) -> None:
    parser = MessageParser()
    message, end = parser.receive(capture(quirk))
    assert isinstance(message, Response)
    assert (message.status, message.headers.get("CSeq")) == (200, "1")
    assert end == len(capture(quirk))
    assert parser.leniency.met == {quirk}


@pytest.mark.parametrize("quirk", IN_MESSAGE)
def test_a_strict_parser_refuses_it(quirk: Quirk) -> None:
    parser = MessageParser(Leniency(EVERY_QUIRK - {quirk}))
    with pytest.raises(RemoteProtocolError, match=str(quirk)):
        parser.receive(capture(quirk))


def test_folded_values_are_joined() -> None:
    found = response_in(capture(Quirk.FOLDED_HEADER))
    assert found.headers.get("Public") == "OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN"


def test_the_case_of_header_names_is_no_deviation() -> None:
    """RFC 2326, 4.2: names are case-insensitive."""
    parser = MessageParser()
    message, _ = parser.receive((CAPTURES / "header_case.txt").read_bytes())
    assert message is not None
    assert (message.headers.get("CSeq"), message.body[:3]) == ("1", b"v=0")
    assert parser.leniency.met == set()


def test_an_answer_without_cseq_is_that_to_the_request_under_way() -> None:
    session = pull_up_to(0)
    feed(session, capture(Quirk.MISSING_CSEQ))
    assert session.state is State.DESCRIBE
    assert session.leniency.met == {Quirk.MISSING_CSEQ}


def test_a_setup_without_interleaved_gets_the_channels_asked_for() -> None:
    session = pull_up_to(2)
    feed(session, capture(Quirk.MISSING_INTERLEAVED))
    feed(session, b"RTSP/1.0 200 OK\r\nCSeq: 4\r\n\r\n")
    event = session.events()[-1]
    assert isinstance(event, Playing)
    assert (event.tracks[0].rtp_channel, event.tracks[0].rtcp_channel) == (0, 1)
    assert session.leniency.met == {Quirk.MISSING_INTERLEAVED}


def test_an_ssrc_with_spaces_is_read() -> None:
    leniency = Leniency()
    headers = response_in(capture(Quirk.SSRC_SPACES)).headers
    assert parse_transport(headers.get("Transport") or "", (0, 1), leniency).ssrc == 0x4CACC3D
    assert parse_session(headers.get("Session") or "", leniency) == ("1273222592", 60)
    assert leniency.met == {Quirk.SSRC_SPACES}


def test_a_malformed_session_timeout_is_sixty_seconds() -> None:
    session = pull_up_to(2)
    feed(session, capture(Quirk.SESSION_TIMEOUT_MALFORMED))
    assert session.keepalive_interval == 24.0
    assert session.leniency.met == {Quirk.SESSION_TIMEOUT_MALFORMED}


@pytest.mark.parametrize(
    ("quirk", "url"),
    [
        (Quirk.FOREIGN_CONTROL_HOST, b"SETUP rtsp://192.0.2.7:554/live/trackID=1 RTSP/1.0\r\n"),
        (Quirk.MISSING_CONTROL, b"SETUP rtsp://192.0.2.7:554/live RTSP/1.0\r\n"),
    ],
)
def test_control_urls_lead_to_the_peer_that_was_reached(quirk: Quirk, url: bytes) -> None:
    session = pull_up_to(2, describe=capture(quirk))
    assert session.bytes_to_send().startswith(url)
    assert session.leniency.met == {quirk}


def test_a_refused_get_parameter_is_followed_by_options() -> None:
    session = pull_up_to(4)
    session.handle_timer(24.0)
    assert session.bytes_to_send().startswith(b"GET_PARAMETER")
    feed(session, capture(Quirk.KEEPALIVE_REFUSED), 24.0)
    session.handle_timer(48.0)
    assert session.bytes_to_send().startswith(b"OPTIONS")
    assert session.state is State.STREAMING


def test_media_without_an_answer_to_the_keepalive_keep_the_session() -> None:
    session = pull_up_to(4)
    session.handle_timer(24.0)
    items = Demultiplexer(MessageParser()).feed(capture(Quirk.KEEPALIVE_UNANSWERED))
    session.handle_timer(34.0)
    assert isinstance(items[0], InterleavedFrame)
    assert session.state is State.STREAMING
    assert session.leniency.met == {Quirk.KEEPALIVE_UNANSWERED}


STRICT: list[tuple[Quirk, Callable[[Leniency], object]]] = [
    (Quirk.MISSING_INTERLEAVED, lambda lenient: parse_transport("RTP/AVP/TCP;unicast", (0, 1), lenient)),
    (Quirk.SSRC_SPACES, lambda lenient: parse_transport("RTP/AVP;ssrc= 12", (0, 1), lenient)),
    (Quirk.SESSION_TIMEOUT_MALFORMED, lambda lenient: parse_session("1;timeout=0", lenient)),
]


@pytest.mark.parametrize(("quirk", "act"), STRICT)
def test_a_strict_session_refuses_it(quirk: Quirk, act: Callable[[Leniency], object]) -> None:
    with pytest.raises(RemoteProtocolError, match=str(quirk)):
        act(Leniency(EVERY_QUIRK - {quirk}))
