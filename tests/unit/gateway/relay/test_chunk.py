"""The chunk walker against a naive parser that cuts out every packet."""

import struct
from dataclasses import dataclass
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gateway.relay.chunk import (
    MAX_FRAME,
    MAX_HELD,
    ChunkWalker,
    Head,
    MediaChunk,
    Stop,
    own,
    payload_of,
    remap,
)

VIDEO, VIDEO_RTCP, AUDIO, STRANGE = 0, 1, 2, 9
PAYLOAD_TYPE = 96
HEADS = {b"K": Head.KEY, b"o": Head.OTHER, b"u": Head.UNDECIDED}


def classify(payload: memoryview, before: Head) -> Head:
    return HEADS.get(bytes(payload[:1]), Head.UNDECIDED)


def frame(channel: int, payload: bytes) -> bytes:
    return b"$" + bytes((channel,)) + len(payload).to_bytes(2, "big") + payload


def video(timestamp: int, body: bytes, *, payload_type: int = PAYLOAD_TYPE) -> bytes:
    return frame(VIDEO, struct.pack(">BBHII", 0x80, payload_type, 7, timestamp, 0x1234) + body)


def walker() -> ChunkWalker:
    return ChunkWalker(VIDEO, {VIDEO, VIDEO_RTCP}, PAYLOAD_TYPE, classify)


@dataclass
class Passed:
    data: bytes
    pictures: list[int]
    keys: list[int]
    messages: bytes


def pass_chunks(chunks: list[bytes]) -> Passed:
    """Feed `chunks` as a connection would; positions are those in the passed bytes."""
    walk = walker()
    buffer = bytearray(4 * MAX_FRAME)
    passed = Passed(b"", [], [], b"")
    held = 0
    for chunk in chunks:
        buffer[held : held + len(chunk)] = chunk
        end = held + len(chunk)
        at = 0
        while True:
            run = walk.walk(buffer, at, end)
            media = own(buffer, run, 0.0)
            base = len(passed.data)
            passed.data += media.data
            passed.pictures += [base + p for p in media.pictures]
            passed.keys += [base + k for k in media.keys]
            at = run.next
            if run.stop is Stop.MESSAGE:
                # A message of this test ends in a line feed and arrives whole or is waited for.
                line_end = buffer.find(b"\n", at, end)
                if line_end < 0:
                    break
                passed.messages += bytes(buffer[at : line_end + 1])
                at = line_end + 1
            elif run.stop is Stop.STARVED:
                break
        held = end - at
        assert held <= MAX_HELD + MAX_FRAME
        buffer[:held] = buffer[at:end]
    return passed


def naive(stream: bytes) -> Passed:
    """Cut out every packet of a whole stream."""
    passed = Passed(b"", [], [], b"")
    at, last, undecided = 0, -1, False
    while at < len(stream):
        if stream[at : at + 1] != b"$":
            end = stream.index(b"\n", at) + 1
            passed.messages += stream[at:end]
            at = end
            continue
        channel, length = struct.unpack_from(">BH", stream, at + 1)
        payload = stream[at + 4 : at + 4 + length]
        if channel == VIDEO and length >= 12 and payload[1] & 0x7F == PAYLOAD_TYPE:
            timestamp = int.from_bytes(payload[4:8], "big")
            if timestamp != last:
                last, undecided = timestamp, True
                passed.pictures.append(len(passed.data))
            if undecided:
                head = classify(memoryview(payload)[12:], Head.UNDECIDED)
                undecided = head is Head.UNDECIDED
                if head is Head.KEY:
                    passed.keys.append(passed.pictures[-1])
        if channel in (VIDEO, VIDEO_RTCP):
            passed.data += stream[at : at + 4 + length]
        at += 4 + length
    return passed


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """A stream of pictures with RTCP, strange channels and messages between the pictures."""
    parts: list[bytes] = []
    for timestamp in range(draw(st.integers(1, 12))):
        undecided = draw(st.integers(0, 2))
        bodies = [b"u" + draw(st.binary(max_size=20)) for _ in range(undecided)]
        bodies.append(draw(st.sampled_from([b"K", b"o"])) + draw(st.binary(max_size=1500)))
        bodies += draw(st.lists(st.binary(max_size=1500), max_size=4))
        parts += [video(timestamp, body) for body in bodies]
        parts += draw(
            st.lists(
                st.sampled_from(
                    [
                        frame(VIDEO_RTCP, b"report"),
                        frame(STRANGE, b"$$$ not carried"),
                        frame(VIDEO, b"short"),
                        frame(VIDEO_RTCP, b""),
                        video(77, b"K foreign", payload_type=13),
                        b"RTSP/1.0 200 OK $\n",
                    ]
                ),
                max_size=3,
            )
        )
    return b"".join(parts)


@given(streams(), st.lists(st.integers(0, 40_000), max_size=30))
def test_any_cut_of_a_stream_passes_the_same_bytes_and_finds_the_same_pictures(
    stream: bytes, cuts: list[int]
) -> None:
    edges = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    chunks = [stream[a:b] for a, b in pairwise(edges)]
    passed, expected = pass_chunks(chunks), naive(stream)
    assert passed.messages == expected.messages
    # A picture whose head is the stream's end waits for its next packet.
    assert expected.data.startswith(passed.data)
    assert len(expected.data) - len(passed.data) <= MAX_HELD
    assert passed.pictures == [p for p in expected.pictures if p < len(passed.data)]


@given(streams(), st.lists(st.integers(0, 40_000), max_size=30))
def test_any_cut_of_a_stream_finds_the_same_key_pictures_unless_a_message_stands_in_a_picture_head(
    stream: bytes, cuts: list[int]
) -> None:
    edges = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    passed = pass_chunks([stream[a:b] for a, b in pairwise(edges)])
    expected = [k for k in naive(stream).keys if k < len(passed.data)]
    assert passed.keys == expected


@given(st.binary(max_size=3000))
def test_arbitrary_bytes_raise_nothing_and_are_never_lost(data: bytes) -> None:
    walk = walker()
    buffer = bytearray(b"$" + data)
    run = walk.walk(buffer, 0, len(buffer))
    assert walk.walked <= len(buffer) // 4
    assert 0 == run.start <= run.end <= run.next <= len(buffer)
    assert all(run.start <= p < run.end for p in run.pictures)
    assert all(run.start <= k < run.end for k in run.keys)


def test_a_message_in_the_head_of_a_picture_marks_the_key_at_the_deciding_packet() -> None:
    head, message, rest = video(1, b"u"), b"RTSP/1.0 200 OK\n", video(1, b"K")
    passed = pass_chunks([head + message + rest])
    assert passed.pictures == [0]
    assert passed.keys == [len(head)]


def test_the_head_of_a_picture_waits_for_the_packet_that_tells_what_it_is() -> None:
    head, rest = video(1, b"u"), video(1, b"K")
    assert pass_chunks([head]).data == b""
    assert pass_chunks([head, rest]).keys == [0]


def test_a_head_longer_than_the_bound_is_passed_on_undecided() -> None:
    head = b"".join(video(1, b"u" * 1000) for _ in range(10))
    assert pass_chunks([head]).data == head


def test_a_foreign_payload_type_begins_no_picture_and_is_counted() -> None:
    walk = walker()
    buffer = bytearray(video(1, b"K", payload_type=13))
    run = walk.walk(buffer, 0, len(buffer))
    assert (run.pictures, walk.foreign_payloads) == ([], 1)


def test_parts_of_a_chunk_keep_their_pictures() -> None:
    first, second, third = video(1, b"o"), video(2, b"K"), video(3, b"o")
    chunk = MediaChunk(first + second + third, (0, len(first), len(first + second)), (len(first),), 5.0)
    assert chunk.since(len(first)) == MediaChunk(second + third, (0, len(second)), (0,), 5.0)
    assert chunk.until(len(first)) == MediaChunk(first, (0,), (), 5.0)


def test_channels_are_replaced_in_every_frame_header_and_nowhere_else() -> None:
    chunk = MediaChunk(frame(0, b"$\x00\x00\x01") + frame(1, b""), (), (), 0.0)
    assert remap(chunk, {0: 4, 1: 5}).data == frame(4, b"$\x00\x00\x01") + frame(5, b"")


def test_what_is_on_a_channel_that_is_not_taken_is_left_out_and_pictures_stay_where_they_begin() -> None:
    audio, first, key = frame(2, b"audio"), video(1, b"o"), video(2, b"K")
    chunk = MediaChunk(
        audio + first + audio + key,
        (len(audio), len(audio + first + audio)),
        (len(audio + first + audio),),
        1.0,
    )
    assert remap(chunk, {0: 0, 1: 1}) == MediaChunk(first + key, (0, len(first)), (len(first),), 1.0)


@given(st.binary(max_size=100))
def test_a_payload_is_a_part_of_its_packet_whatever_the_header_says(packet: bytes) -> None:
    assert bytes(payload_of(memoryview(packet))) in packet


def test_a_payload_begins_behind_contributors_and_extension_and_ends_before_padding() -> None:
    header = struct.pack(">BBHII", 0x80 | 0x20 | 0x10 | 1, 96, 1, 2, 3)
    packet = header + b"CSRC" + struct.pack(">HH", 0xBEDE, 1) + b"EXT1" + b"payload" + b"\0\0\x03"
    assert bytes(payload_of(memoryview(packet))) == b"payload"


def test_rtcp_of_the_named_channels_is_heard_and_passed_on_as_ever() -> None:
    walk = ChunkWalker(VIDEO, {VIDEO, VIDEO_RTCP, AUDIO}, PAYLOAD_TYPE, classify, {VIDEO_RTCP})
    data = frame(VIDEO_RTCP, b"one") + video(1, b"K") + frame(AUDIO, b"sound") + frame(VIDEO_RTCP, b"two")
    buffer = bytearray(data + frame(VIDEO_RTCP, b"three")[:-1])
    run = walk.walk(buffer, 0, len(buffer))
    assert (run.end, run.video_packets) == (len(data), 1)
    assert walk.heard == [(VIDEO_RTCP, b"one"), (VIDEO_RTCP, b"two")]


def test_of_rtcp_that_nobody_reads_the_newest_is_kept() -> None:
    walk = ChunkWalker(VIDEO, {VIDEO, VIDEO_RTCP}, PAYLOAD_TYPE, classify, {VIDEO_RTCP})
    buffer = bytearray(b"".join(frame(VIDEO_RTCP, bytes((number,))) for number in range(100)))
    walk.walk(buffer, 0, len(buffer))
    assert walk.heard == [(VIDEO_RTCP, bytes((number,))) for number in range(92, 100)]
