import pytest

from adapters.errors import RemoteProtocolError, UnsupportedMedia
from adapters.gb28181.play import MOST_SESSIONS, Offer, Serials, read_answer
from catalog.model.plan import MediaWay, StreamKind

OWN, CHANNEL = "34020000002000000001", "34020000001310000001"


def offer(media: MediaWay) -> str:
    return Offer(OWN, CHANNEL, "0200000001", "192.0.2.1", 30_000, media).render().decode()


def test_what_we_offer_over_tcp_where_the_device_connects() -> None:
    assert offer(MediaWay.TCP_PASSIVE).splitlines() == [
        "v=0",
        f"o={CHANNEL} 0 0 IN IP4 192.0.2.1",
        "s=Play",
        "c=IN IP4 192.0.2.1",
        "t=0 0",
        "m=video 30000 TCP/RTP/AVP 96",
        "a=recvonly",
        "a=setup:passive",
        "a=connection:new",
        "a=rtpmap:96 PS/90000",
        "y=0200000001",
    ]


def test_what_we_offer_over_udp_and_where_we_connect() -> None:
    assert "m=video 30000 RTP/AVP 96" in offer(MediaWay.UDP)
    assert "a=setup" not in offer(MediaWay.UDP)
    active = offer(MediaWay.TCP_ACTIVE)
    assert "m=video 9 TCP/RTP/AVP 96" in active
    assert "a=setup:active" in active


def test_a_sub_stream_is_asked_for_in_every_spelling_and_a_main_stream_in_none() -> None:
    sub = Offer(OWN, CHANNEL, "0200000001", "192.0.2.1", 30_000, MediaWay.UDP, StreamKind.SUB)
    wishes = {"a=streamnumber:1", "a=stream:1", "a=streamprofile:1", "a=streamMode:SUB"}
    assert wishes < set(sub.render().decode().splitlines())
    assert "stream" not in offer(MediaWay.UDP)


def test_the_subject_names_sender_stream_and_receiver() -> None:
    made = Offer(OWN, CHANNEL, "0200000001", "192.0.2.1", 1, MediaWay.UDP)
    assert made.subject == f"{CHANNEL}:0200000001,{OWN}:0"


def test_an_answer_is_read_by_its_connection_line() -> None:
    answer = read_answer(
        b"v=0\r\no=- 0 0 IN IP4 10.9.9.9\r\ns=Play\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n"
        b"m=video 15060 TCP/RTP/AVP 96\r\na=setup:passive\r\na=rtpmap:96 PS/90000\r\ny=0703036487\r\n"
    )
    assert (answer.host, answer.port, answer.serial) == ("192.0.2.10", 15_060, "0703036487")


@pytest.mark.parametrize("port", [0, 9])
def test_a_port_that_is_none_is_none(port: int) -> None:
    answer = read_answer(f"v=0\nc=IN IP4 192.0.2.10\nm=video {port} TCP/RTP/AVP 96\n".encode())
    assert (answer.port, answer.serial) == (0, "")


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", RemoteProtocolError),
        (b"<xml/>", RemoteProtocolError),
        (b"v=0\nc=IN IP4 192.0.2.10\nm=audio 9 RTP/AVP 8\n", UnsupportedMedia),
        (b"v=0\nm=video 5 RTP/AVP 96\na=rtpmap:96 HIKVISION/90000\n", UnsupportedMedia),
    ],
)
def test_what_cannot_be_played_is_refused(body: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        read_answer(body, peer="192.0.2.10:5060")


def test_sessions_have_numbers_of_their_own_while_there_are_any() -> None:
    serials = Serials(OWN)
    taken = [serials.take() for _ in range(MOST_SESSIONS)]
    assert taken[0] == "0200000001"
    assert len(set(taken)) == MOST_SESSIONS
    assert serials.take() is None
    serials.give_back("0200000007")
    assert serials.take() == "0200000007"


def test_a_number_is_used_again_as_late_as_possible() -> None:
    serials = Serials(OWN)
    first = serials.take()
    assert first is not None
    serials.give_back(first)
    assert serials.take() != first
