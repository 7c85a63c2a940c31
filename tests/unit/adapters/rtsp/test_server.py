from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.base import RtspTarget, Transport
from adapters.media.sdp import SessionDescription
from adapters.rtsp.message import Demultiplexer, Headers, MessageParser, Request, Response
from adapters.rtsp.reply import PUBLIC
from adapters.rtsp.server import MAX_REQUESTS, ServerSession
from adapters.rtsp.serving import (
    Departure,
    Described,
    Left,
    Offer,
    Paused,
    PlayStarted,
    Position,
    ServedTrack,
    SetUp,
)
from adapters.rtsp.session import Closed, KeepaliveAnswered, Playing, PullSession, SessionOptions
from adapters.rtsp.session import State as ClientState
from adapters.rtsp.states import SERVER_TRANSITIONS, ServerState, ServerTrigger
from tests.unit.adapters.rtsp.players import PATH, PEER, URL, responses

MEDIA = SessionDescription.parse(
    b"m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\na=x-serial:SECRET1\r\n"
    b"m=audio 0 RTP/AVP 8\r\n"
).media
BOTH = Offer.of("32029900001320000001", MEDIA)
VIDEO = Offer.of("32029900001320000001", MEDIA[:1])
TCP = "RTP/AVP/TCP;unicast;interleaved=0-1"
UDP = "RTP/AVP;unicast;client_port=5000-5001"


class Worker:
    """An owner with a few ports and, where told, positions."""

    def __init__(self, ports: Iterable[tuple[int, int]] = ((6970, 6971), (6972, 6973))) -> None:
        self.ports = list(ports)
        self.positions: dict[int, Position] = {}

    def bind_ports(self, track: int) -> tuple[int, int] | None:
        return self.ports.pop(0) if self.ports else None

    def position(self, track: int) -> Position | None:
        return self.positions.get(track)


class Player:
    """A client of one session, by hand."""

    def __init__(self, offer: Offer = BOTH, worker: Worker | None = None) -> None:
        self.worker = worker or Worker()
        self.server = ServerSession(
            PEER, PATH, offer, self.worker, now=0.0, random_bytes=lambda n: bytes([171] * n)
        )
        self.session: str | None = None
        self.now = 0.0
        self.cseq = 0

    def asks(self, method: str, uri: str = URL, **fields: str) -> Response:
        return self.sends(method, uri, b"", **fields)

    def sends(self, method: str, uri: str, body: bytes, /, **fields: str) -> Response:
        self.cseq += 1
        headers = [("CSeq", str(self.cseq)), *fields.items()]
        if self.session is not None and "Session" not in fields:
            headers.append(("Session", self.session))
        self.server.receive(Request(method, uri, Headers(headers), body), self.now)
        (response,) = responses(self.server.bytes_to_send())
        assert response.headers.get("CSeq") == str(self.cseq)
        if response.headers.get("Session") is not None:
            self.session = (response.headers.get("Session") or "").partition(";")[0]
        return response

    def set_up(self, track: int = 0, transport: str = TCP) -> Response:
        return self.asks("SETUP", f"{URL}/trackID={track}", Transport=transport)

    def playing(self, transport: str = TCP) -> "Player":
        assert self.set_up(0, transport).status == 200
        assert self.asks("PLAY").status == 200
        self.server.events()
        return self


def test_a_player_is_served_from_describe_to_teardown() -> None:
    player = Player()
    described = player.asks("DESCRIBE", Accept="application/sdp")
    first, second = player.set_up(0), player.set_up(1, "RTP/AVP/TCP;unicast;interleaved=2-3")
    playing = player.asks("PLAY", f"{URL}/", Range="npt=0.000-")
    left = player.asks("TEARDOWN", f"{URL}/")
    assert [r.status for r in (described, first, second, playing, left)] == [200] * 5
    assert described.headers.get("Content-Base") == f"{URL}/"
    assert described.headers.get("Content-Type") == "application/sdp"
    assert described.body == BOTH.sdp
    assert first.headers.get("Session") == "abababababababab;timeout=60"
    assert first.headers.get("Transport") == "RTP/AVP/TCP;unicast;interleaved=0-1"
    assert playing.headers.get("Range") == "npt=now-"
    assert playing.headers.get("RTP-Info") == f"url={URL}/trackID=0,url={URL}/trackID=1"
    tracks = (
        ServedTrack(0, f"{URL}/trackID=0", Transport.TCP, (0, 1)),
        ServedTrack(1, f"{URL}/trackID=1", Transport.TCP, (2, 3)),
    )
    assert player.server.events() == [
        Described(),
        SetUp(tracks[0]),
        SetUp(tracks[1]),
        PlayStarted(tracks),
        Left(Departure.TEARDOWN),
    ]
    assert player.server.state is ServerState.CLOSED


def test_the_offer_is_live_and_tells_nothing_of_the_camera() -> None:
    text = BOTH.sdp.decode()
    assert "\r\na=control:*\r\na=range:npt=now-\r\n" in text
    assert "s=32029900001320000001\r\n" in text
    assert "SECRET1" not in text
    assert BOTH.controls == ("trackID=0", "trackID=1")


def test_the_positions_go_into_rtp_info_where_they_are_known() -> None:
    player = Player()
    player.worker.positions = {0: Position(65535, 90000)}
    player.set_up(0)
    player.set_up(1)
    expected = f"url={URL}/trackID=0;seq=65535;rtptime=90000,url={URL}/trackID=1"
    assert player.asks("PLAY").headers.get("RTP-Info") == expected


def test_a_password_in_the_url_is_never_repeated() -> None:
    player = Player()
    uri = "rtsp://viewer:secret@127.0.0.1:8554/gb/32029900001320000001"
    found = [player.asks("DESCRIBE", uri), player.asks("SETUP", f"{uri}/trackID=0", Transport=TCP)]
    found.append(player.asks("PLAY", uri))
    assert [r.status for r in found] == [200, 200, 200]
    assert not [r for r in found if b"secret" in bytes(r)]


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("RTP/AVP/TCP;unicast;interleaved=0-1", "RTP/AVP/TCP;unicast;interleaved=0-1"),
        ("RTP/AVP/TCP;unicast;interleaved=8-9", "RTP/AVP/TCP;unicast;interleaved=8-9"),
        ("RTP/AVP/TCP;interleaved=4", "RTP/AVP/TCP;unicast;interleaved=4-5"),
        ("RTP/AVP/TCP;unicast", "RTP/AVP/TCP;unicast;interleaved=0-1"),
        ("rtp/avp/tcp; unicast; interleaved = 2 - 3", "RTP/AVP/TCP;unicast;interleaved=2-3"),
        ('RTP/AVP/TCP;unicast;interleaved=0-1;mode="PLAY"', "RTP/AVP/TCP;unicast;interleaved=0-1"),
        (
            "RTP/AVP/UDP;unicast;client_port=5000-5001;destination=198.51.100.9",
            "RTP/AVP;unicast;client_port=5000-5001;server_port=6970-6971",
        ),
        (
            "RTP/AVP;multicast,RTP/SAVP;unicast;client_port=1-2,RTP/AVP;unicast;client_port=5000-5001",
            "RTP/AVP;unicast;client_port=5000-5001;server_port=6970-6971",
        ),
        ("RTP/AVPF/TCP;unicast,RTP/AVP/TCP;unicast;interleaved=0-1", "RTP/AVP/TCP;unicast;interleaved=0-1"),
    ],
)
def test_the_first_transport_that_can_be_had_is_taken(asked: str, answered: str) -> None:
    assert Player().set_up(0, asked).headers.get("Transport") == answered


@pytest.mark.parametrize(
    "asked",
    [
        "",
        "RTP/AVP;multicast;port=5000-5001",
        "RTP/AVP;unicast",
        "RTP/AVP;unicast;client_port=0-1",
        "RTP/AVP;unicast;client_port=65535",
        "RTP/AVP;unicast;client_port=x",
        "RTP/AVP/TCP;unicast;interleaved=256-257",
        "RTP/AVP/TCP;unicast;interleaved=0-1;mode=record",
        "RTP/SAVP;unicast;client_port=5000-5001",
        "RAW/RAW/UDP;unicast;client_port=5000-5001",
        "," * 40 + TCP,
    ],
)
def test_a_transport_that_cannot_be_had_is_461_and_leaves_the_session_as_it_was(asked: str) -> None:
    player = Player()
    assert player.set_up(0, asked).status == 461
    assert (player.server.state, player.server.events()) == (ServerState.INIT, [])
    assert player.set_up(0, TCP).status == 200


def test_no_free_port_is_461_and_the_clients_tcp_is_taken_where_it_offers_it() -> None:
    player = Player(worker=Worker(ports=()))
    assert player.set_up(0, UDP).status == 461
    assert player.set_up(0, f"{UDP},{TCP}").status == 200


def test_the_owners_ports_reach_client_and_events() -> None:
    player = Player()
    player.set_up(0, UDP)
    (event,) = player.server.events()
    assert event == SetUp(ServedTrack(0, f"{URL}/trackID=0", Transport.UDP, None, (5000, 5001), (6970, 6971)))


def test_channels_that_are_used_are_replaced_by_free_ones() -> None:
    player = Player()
    player.set_up(0, "RTP/AVP/TCP;unicast;interleaved=1-2")
    assert player.set_up(1, TCP).headers.get("Transport") == "RTP/AVP/TCP;unicast;interleaved=4-5"


@pytest.mark.parametrize(
    "uri",
    [f"{URL}/trackID=0?a=1", f"{URL}?a=1/trackID=0", "rtsp://other/gb/32029900001320000001/trackID=0?a=1"],
)
def test_a_track_behind_or_before_the_query_is_the_same(uri: str) -> None:
    player = Player()
    player.server.path = f"{PATH}?a=1"
    assert player.asks("SETUP", uri, Transport=TCP).status == 200


def test_the_only_track_may_be_set_up_and_played_by_either_url() -> None:
    player = Player(VIDEO)
    assert player.asks("SETUP", URL, Transport=TCP).status == 200
    assert player.asks("PLAY", f"{URL}/trackID=0").status == 200


@pytest.mark.parametrize(
    ("method", "uri", "fields", "status"),
    [
        ("DESCRIBE", "rtsp://127.0.0.1/other", {}, 404),
        ("DESCRIBE", f"{URL}/trackID=0", {}, 404),
        ("DESCRIBE", f"{URL}/trackID=7", {}, 404),
        ("DESCRIBE", URL, {"Accept": "application/rtsl"}, 406),
        ("DESCRIBE", "*", {}, 404),
        ("DESCRIBE", "x", {}, 400),
        ("SETUP", URL, {"Transport": TCP}, 459),
        ("SETUP", f"{URL}/trackID=2", {"Transport": TCP}, 404),
        ("SETUP", "rtsp://127.0.0.1/other/trackID=0", {"Transport": TCP}, 404),
        ("SETUP", f"{URL}/trackID=0", {}, 461),
        ("SETUP", f"{URL}/trackID=0", {"Transport": TCP, "Session": "x"}, 454),
        ("PLAY", URL, {}, 455),
        ("PAUSE", URL, {}, 455),
        ("TEARDOWN", URL, {}, 455),
        ("TEARDOWN", URL, {"Session": "x"}, 454),
        ("GET_PARAMETER", URL, {"Session": "x"}, 454),
        ("DESCRIBE", URL, {"Require": "www.onvif.org/ver20/backchannel"}, 551),
        ("ANNOUNCE", URL, {}, 405),
        ("BREW", URL, {}, 501),
    ],
)
def test_what_cannot_be_granted_before_setup_has_its_status(
    method: str, uri: str, fields: dict[str, str], status: int
) -> None:
    player = Player()
    response = player.asks(method, uri, **fields)
    assert response.status == status
    assert (response.headers.get("Allow") is not None) is (status in (405, 455, 501))
    assert (response.headers.get("Unsupported") is not None) is (status == 551)
    assert (player.server.state, player.server.events()) == (ServerState.INIT, [])


@pytest.mark.parametrize(
    ("method", "fields", "status"),
    [
        ("SETUP", {"Transport": TCP}, 455),
        ("PLAY", {"Range": "clock=20260101T000000Z-"}, 457),
        ("PLAY", {"Session": "other"}, 454),
        ("PAUSE", {"Session": ""}, 454),
        ("DESCRIBE", {}, 200),
        ("OPTIONS", {}, 200),
        ("GET_PARAMETER", {}, 200),
        ("SET_PARAMETER", {}, 200),
        ("PLAY", {}, 200),
    ],
)
def test_while_playing_each_request_has_its_status_and_the_media_go_on(
    method: str, fields: dict[str, str], status: int
) -> None:
    player = Player().playing()
    uri = f"{URL}/trackID=1" if method == "SETUP" else URL
    assert player.asks(method, uri, **fields).status == status
    assert player.server.state is ServerState.PLAYING
    assert not [e for e in player.server.events() if not isinstance(e, Described)]


def test_a_request_that_must_name_the_session_and_does_not_is_454() -> None:
    player = Player().playing()
    player.session = None
    assert [player.asks(m).status for m in ("PLAY", "PAUSE", "TEARDOWN")] == [454, 454, 454]
    assert [player.asks(m).status for m in ("OPTIONS", "GET_PARAMETER", "DESCRIBE")] == [200, 200, 200]


def test_one_track_of_several_cannot_be_played_alone() -> None:
    player = Player()
    player.set_up(0)
    player.set_up(1)
    assert player.asks("PLAY", f"{URL}/trackID=0").status == 460


def test_a_wrong_state_names_what_is_right() -> None:
    player = Player()
    always = "OPTIONS, DESCRIBE, {}GET_PARAMETER, SET_PARAMETER"
    assert player.asks("PLAY").headers.get("Allow") == always.format("SETUP, ")
    player.playing()
    assert player.set_up(1).headers.get("Allow") == always.format("PLAY, PAUSE, TEARDOWN, ")


def test_a_track_is_set_up_once() -> None:
    player = Player()
    player.set_up(0)
    assert player.set_up(0, UDP).status == 455


def test_parameters_are_not_understood_and_an_empty_body_is_a_ping() -> None:
    player = Player().playing()
    assert player.sends("GET_PARAMETER", URL, b"position\r\n").status == 451
    assert player.sends("SET_PARAMETER", URL, b"a: b\r\n").status == 451
    assert player.sends("GET_PARAMETER", URL, b"\r\n").status == 200


def test_pause_stops_the_media_and_play_goes_on_live() -> None:
    player = Player().playing()
    assert player.asks("PAUSE").status == 200
    assert player.asks("PAUSE").status == 200
    assert player.asks("PLAY", Range="npt=12.3-").headers.get("Range") == "npt=now-"
    paused, started = player.server.events()
    assert paused == Paused()
    assert started == PlayStarted(player.server.tracks)


def test_a_session_over_udp_lapses_without_a_sign_of_life() -> None:
    player = Player().playing(UDP)
    assert player.server.deadline() == 65.0
    player.now = 30.0
    player.asks("OPTIONS", "*")
    player.server.heard(40.0)
    assert player.server.deadline() == 105.0
    player.server.handle_timer(104.9)
    assert player.server.events() == []
    player.server.handle_timer(105.0)
    assert player.server.events() == [Left(Departure.LAPSED)]
    assert (player.server.state, player.server.deadline()) == (ServerState.CLOSED, None)


def test_a_session_over_tcp_lives_as_long_as_its_connection_once_it_played() -> None:
    player = Player()
    assert player.server.deadline() == 65.0
    player.set_up(0)
    assert player.server.deadline() == 65.0
    player.asks("PLAY")
    assert player.server.deadline() is None
    player.asks("PAUSE")
    player.server.handle_timer(1e6)
    assert player.server.state is ServerState.READY


def test_a_client_that_never_plays_is_not_kept() -> None:
    player = Player()
    player.set_up(0)
    player.server.events()
    player.server.handle_timer(65.0)
    assert player.server.events() == [Left(Departure.LAPSED)]


def test_a_flood_of_requests_ends_the_session_and_a_lively_player_does_not() -> None:
    lively, flood = Player().playing(), Player().playing()
    for _ in range(MAX_REQUESTS):
        lively.now += 0.2
        lively.asks("OPTIONS", "*")
    for _ in range(MAX_REQUESTS - 2):
        flood.asks("OPTIONS", "*")
    flood.server.receive(Request("OPTIONS", "*", Headers([("CSeq", "1")])), 0.0)
    assert lively.server.events() == []
    assert flood.server.events() == [Left(Departure.FLOODED)]


def test_the_owner_ends_a_session_once() -> None:
    player = Player().playing()
    player.server.close(1.0, Departure.SOURCE_GONE)
    player.server.close(2.0, Departure.OURS)
    player.server.receive(Request("OPTIONS", "*", Headers([("CSeq", "9")])), 3.0)
    assert player.server.events() == [Left(Departure.SOURCE_GONE)]
    assert player.server.bytes_to_send() == b""


def test_answers_of_the_client_are_passed_over() -> None:
    player = Player().playing()
    player.server.receive(Response(200), 1.0)
    assert (player.server.bytes_to_send(), player.server.events()) == (b"", [])


def test_a_request_without_cseq_is_a_bad_request() -> None:
    server = Player().server
    server.receive(Request("OPTIONS", "*"), 0.0)
    assert [r.status for r in responses(server.bytes_to_send())] == [400]


def in_state(state: ServerState) -> Player:
    player = Player(VIDEO)
    if state is not ServerState.INIT:
        player.set_up(0)
    if state is ServerState.PLAYING:
        player.asks("PLAY")
    if state is ServerState.CLOSED:
        player.asks("TEARDOWN")
    player.server.events()
    return player


@pytest.mark.parametrize("method", [*PUBLIC, "ANNOUNCE", "BREW"])
@pytest.mark.parametrize("state", [s for s in ServerState if s is not ServerState.CLOSED])
def test_every_method_in_every_state_has_one_answer_and_moves_by_the_table(
    state: ServerState, method: str
) -> None:
    player = in_state(state)
    response = player.asks(method, Transport=TCP)
    assert response.status in (200, 405, 455, 501)
    trigger = ServerTrigger(method) if method in set(ServerTrigger) else None
    moved = (
        SERVER_TRANSITIONS.get((state, trigger)) if trigger is not None and response.status == 200 else state
    )
    assert player.server.state is moved


@pytest.mark.parametrize("method", PUBLIC)
def test_a_closed_session_answers_nothing(method: str) -> None:
    player = in_state(ServerState.CLOSED)
    player.server.receive(Request(method, URL, Headers([("CSeq", "9")])), 1.0)
    assert (player.server.bytes_to_send(), player.server.events()) == (b"", [])


def test_every_state_can_be_closed_and_none_but_closed_is_final() -> None:
    assert {SERVER_TRANSITIONS[s, ServerTrigger.CLOSE] for s in ServerState} == {ServerState.CLOSED}
    assert {s for s, t in SERVER_TRANSITIONS if t is not ServerTrigger.CLOSE} == set(ServerState) - {
        ServerState.CLOSED
    }


def carry(client: PullSession, server: ServerSession, now: float) -> None:
    """Carry messages between both until neither has anything to say."""
    to_server, to_client = Demultiplexer(MessageParser()), Demultiplexer(MessageParser())
    while asked := client.bytes_to_send():
        for message in to_server.feed(asked):
            assert isinstance(message, Request)
            server.receive(message, now)
        for answer in to_client.feed(server.bytes_to_send()):
            assert isinstance(answer, Response)
            client.receive(answer, now)


@pytest.mark.parametrize("transport", list(Transport))
@pytest.mark.parametrize("path", [PATH, f"{PATH}?a=1"])
def test_our_own_client_and_server_understand_each_other(transport: Transport, path: str) -> None:
    server = ServerSession(PEER, path, BOTH, Worker(), now=0.0)
    options = SessionOptions(transport=transport, audio=True, udp_ports=(5000, 5002))
    client = PullSession(RtspTarget("127.0.0.1", 8554, path), None, options, now=0.0)
    carry(client, server, 0.0)
    assert client.state is ClientState.STREAMING
    playing = client.events()[-1]
    assert isinstance(playing, Playing)
    (started,) = [e for e in server.events() if isinstance(e, PlayStarted)]
    assert [(t.rtp_channel, t.server_ports) for t in playing.tracks] == [
        (t.channels[0] if t.channels else None, t.server_ports) for t in started.tracks
    ]
    client.handle_timer(24.0)
    carry(client, server, 24.0)
    assert client.events() == [KeepaliveAnswered(24.0)]
    client.close(25.0)
    carry(client, server, 25.0)
    assert client.events() == [Closed()]
    assert server.events() == [Left(Departure.TEARDOWN)]


def test_a_client_that_finds_no_udp_goes_on_with_tcp() -> None:
    server = ServerSession(PEER, PATH, VIDEO, Worker(ports=()), now=0.0)
    options = SessionOptions(transport=Transport.UDP, udp_ports=(5000,))
    client = PullSession(RtspTarget("127.0.0.1", 8554, PATH), None, options, now=0.0)
    carry(client, server, 0.0)
    assert client.state is ClientState.STREAMING
    assert [t.transport for t in server.tracks] == [Transport.TCP]


URIS = st.one_of(
    st.sampled_from([URL, f"{URL}/", f"{URL}/trackID=0", f"{URL}/trackID=1", "*", "rtsp://x"]),
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=40),
)
WORDS = st.one_of(
    st.sampled_from([TCP, UDP, "abababababababab", "npt=0-", "clock=1-"]),
    st.text(st.characters(max_codepoint=0xFF, exclude_characters="\r\n\x00"), max_size=40),
)
FIELDS = st.lists(
    st.tuples(st.sampled_from(["CSeq", "Session", "Transport", "Range", "Require", "Accept"]), WORDS),
    max_size=4,
)
REQUESTS = st.builds(
    lambda method, uri, fields, body: Request(method, uri, Headers([("CSeq", "1"), *fields]), body),
    st.sampled_from([*PUBLIC, "ANNOUNCE", "BREW"]),
    URIS,
    FIELDS,
    st.binary(max_size=20),
)


@given(st.lists(REQUESTS, max_size=12), st.sampled_from([BOTH, VIDEO]))
def test_any_requests_get_one_answer_each_and_nothing_raises(requests: list[Request], offer: Offer) -> None:
    player = Player(offer)
    for number, request in enumerate(requests):
        was_closed = player.server.state is ServerState.CLOSED
        player.server.receive(request, float(number))
        answers = responses(player.server.bytes_to_send())
        assert len(answers) == (0 if was_closed else 1)
    left = [e for e in player.server.events() if isinstance(e, Left)]
    assert len(left) == (player.server.state is ServerState.CLOSED)
