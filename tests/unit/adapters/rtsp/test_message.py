import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.errors import LocalProtocolError, MessageTooLarge, RemoteProtocolError
from adapters.rtsp.message import (
    MAX_BODY,
    MAX_HEADERS,
    MAX_LINE,
    Demultiplexer,
    Headers,
    InterleavedFrame,
    MessageParser,
    Request,
    Response,
)

TOKENS = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-", min_size=1, max_size=20)
VALUES = st.text(st.characters(min_codepoint=0x21, max_codepoint=0xFF), max_size=40).map(str.strip)
FIELDS = st.lists(st.tuples(TOKENS, VALUES), max_size=10).map(
    lambda items: Headers((n, v) for n, v in items if n.lower() != "content-length")
)
REQUESTS = st.builds(
    Request,
    st.sampled_from(["OPTIONS", "DESCRIBE", "SETUP", "GET_PARAMETER"]),
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=60),
    FIELDS,
    st.binary(max_size=200),
)
RESPONSES = st.builds(
    Response,
    st.integers(100, 599),
    st.text("abc DEF", min_size=1, max_size=20),
    FIELDS,
    st.binary(max_size=200),
)
OK = b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n"


@given(REQUESTS)
def test_a_request_survives_the_wire(request: Request) -> None:
    parsed = Request.parse(bytes(request))
    assert bytes(parsed) == bytes(request)
    assert (parsed.method, parsed.uri, parsed.body) == (request.method, request.uri, request.body)


@given(RESPONSES)
def test_a_response_survives_the_wire(response: Response) -> None:
    parsed = Response.parse(bytes(response))
    assert bytes(parsed) == bytes(response)
    assert (parsed.status, parsed.reason, parsed.body) == (response.status, response.reason, response.body)


@given(st.one_of(st.binary(max_size=300), st.binary(max_size=100).map(lambda tail: OK[:-2] + tail)))
def test_any_bytes_parse_or_raise_a_documented_error(data: bytes) -> None:
    demultiplexer = Demultiplexer(MessageParser())
    try:
        demultiplexer.feed(data)
    except RemoteProtocolError:
        return


@given(st.lists(st.one_of(REQUESTS, RESPONSES), max_size=4), st.data())
def test_cuts_between_chunks_change_nothing(messages: list[Request | Response], data: st.DataObject) -> None:
    frame = InterleavedFrame(0, b"$\r\n\r\nRTSP/1.0")
    wire = b"".join(bytes(message) + bytes(frame) for message in messages)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=6)))
    demultiplexer = Demultiplexer(MessageParser())
    found = []
    for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
        found += demultiplexer.feed(wire[start:end])
    assert [bytes(item) for item in found] == [part for m in messages for part in (bytes(m), bytes(frame))]


def test_one_byte_at_a_time_is_enough() -> None:
    parser = MessageParser()
    wire = b"RTSP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc"
    results = [parser.receive(wire[i : i + 1])[0] for i in range(len(wire))]
    assert results[:-1] == [None] * (len(wire) - 1)
    assert results[-1] == Response(200, "OK", Headers([("Content-Length", "3")]), b"abc")
    assert not parser.in_message


def test_the_offset_leads_behind_the_message_in_a_memoryview() -> None:
    chunk = memoryview(b"$\x00\x00\x01x" + OK + b"$\x00\x00\x00")
    message, end = MessageParser().receive(chunk, 5)
    assert message == Response(200, "OK", Headers([("CSeq", "1")]))
    assert bytes(chunk[end : end + 1]) == b"$"


@pytest.mark.parametrize(
    "wire",
    [
        b"RTSP/1.0 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nContent-Length: ten\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nContent-Length: 1e3\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nContent-Length:\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        b"RTSP/1.0 200 OK\r\nContent-Length: 3\r\ncontent-length: 3\r\n\r\nabc",
        b"RTSP/1.0 20 OK\r\n\r\n",
        b"RTSP/1.0 999 OK\r\n\r\n",
        b"RTSP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nno colon here\r\n\r\n",
        b"RTSP/1.0 200 OK\r\n: no name\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nA: b\x00c\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nA: b\rc\r\n\r\n",
        b"\x00\x01\x02",
        b"220 ftp ready\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n\r\n",
    ],
)
def test_malformed_messages_are_refused(wire: bytes) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        MessageParser(peer="camera:554").receive(wire)
    assert caught.value.peer == "camera:554"


@pytest.mark.parametrize(
    "wire",
    [
        b"R" * (MAX_LINE + 2),
        b"RTSP/1.0 200 OK\r\nA: " + b"x" * MAX_LINE + b"\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nA: " + b"x" * MAX_LINE,
        b"RTSP/1.0 200 OK\r\n" + b"A: b\r\n" * (MAX_HEADERS + 1) + b"\r\n",
        b"RTSP/1.0 200 OK\r\n" + b"A: b\r\n" * 20000,
        b"RTSP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % (MAX_BODY + 1),
    ],
)
def test_oversized_messages_are_refused(wire: bytes) -> None:
    with pytest.raises(MessageTooLarge):
        MessageParser().receive(wire)


def test_a_message_at_every_bound_is_taken() -> None:
    headers = b"A: b\r\n" * (MAX_HEADERS - 1)
    wire = b"RTSP/1.0 200 OK\r\n" + headers + b"Content-Length: %d\r\n\r\n" % MAX_BODY + bytes(MAX_BODY)
    message, end = MessageParser().receive(wire)
    assert message is not None
    assert end == len(wire)


@pytest.mark.parametrize(
    "message",
    [
        Request("OPTIONS", "rtsp://a/ b"),
        Request("OPTIONS", "rtsp://a/\r\nX: y"),
        Request("options", "*"),
        Request("OPTIONS", "*", Headers([("A", "b\r\nC: d")])),
        Request("OPTIONS", "*", Headers([("A b", "c")])),
        Response(200, "OK\r\nA: b"),
    ],
)
def test_a_message_never_breaks_its_own_lines(message: Request | Response) -> None:
    with pytest.raises(LocalProtocolError):
        bytes(message)


def test_authorisations_are_not_shown() -> None:
    request = Request("PLAY", "*", Headers([("Authorization", "Basic c2VjcmV0"), ("CSeq", "2")]))
    assert "c2VjcmV0" not in repr(request)
    assert "CSeq" in repr(request)


def test_not_exactly_one_message_is_no_message() -> None:
    with pytest.raises(RemoteProtocolError):
        Response.parse(OK + OK)
    with pytest.raises(RemoteProtocolError):
        Request.parse(OK)
    with pytest.raises(RemoteProtocolError):
        Response.parse(OK[:-1])
