"""Key pictures: told from others, cut out whole, decoded once."""

import base64
import struct
from fractions import Fraction

import av
import pytest
from av.video.codeccontext import VideoCodecContext
from hypothesis import given
from hypothesis import strategies as st

from adapters.media.sdp import Format
from gateway.relay import jpeg
from gateway.relay.chunk import Head, MediaChunk
from gateway.relay.picture import (
    MAX_KEY_FRAME,
    Decoded,
    KeyFrameCollector,
    assemble,
    classifier,
    decode,
)
from tests.media_captures import captured, timestamp

H264 = Format(96, "H264", 90000)
H265 = Format(96, "H265", 90000)
JPEG = Format(26, "JPEG", 90000)


def frame(payload: bytes, *, payload_type: int = 96, channel: int = 0) -> bytes:
    packet = struct.pack(">BBHII", 0x80, payload_type, 1, 2, 3) + payload
    return b"$" + bytes((channel,)) + len(packet).to_bytes(2, "big") + packet


def encoded(codec: str, form: str) -> bytes:
    """Return one encoded grey picture of 64 x 48."""
    context = av.CodecContext.create(codec, "w")
    assert isinstance(context, VideoCodecContext)
    context.width, context.height, context.pix_fmt = 64, 48, form
    context.framerate = Fraction(25)
    picture = av.VideoFrame(64, 48, form)
    for plane in picture.planes:
        plane.update(bytes(128 for _ in range(plane.buffer_size)))
    return b"".join(bytes(packet) for packet in [*context.encode(picture), *context.encode(None)])


def units(data: bytes) -> list[bytes]:
    return [unit.rstrip(b"\0") for unit in data.split(b"\0\0\1") if unit.strip(b"\0")]


@pytest.mark.parametrize(
    ("codec", "payload", "head"),
    [
        ("H264", b"\x67", Head.PARAMETERS),
        ("H264", b"\x65", Head.KEY),
        ("H264", b"\x41", Head.OTHER),
        ("H264", b"\x68", Head.UNDECIDED),
        ("H264", b"\x06", Head.UNDECIDED),
        ("H264", b"\x09", Head.UNDECIDED),
        ("H264", b"\x7c\x85", Head.KEY),
        ("H264", b"\x7c\x05", Head.OTHER),
        ("H264", b"\x7c\x81", Head.OTHER),
        ("H264", b"", Head.OTHER),
        ("H265", b"\x40\x01", Head.UNDECIDED),
        ("H265", b"\x26\x01", Head.KEY),
        ("H265", b"\x02\x01", Head.OTHER),
        ("H265", b"\x44\x01", Head.UNDECIDED),
        ("H265", b"\x46\x01", Head.UNDECIDED),
        ("H265", b"\x62\x01\x93", Head.KEY),
        ("JPEG", bytes(8), Head.KEY),
        ("JPEG", b"\0\0\0\1\0\0\0\0", Head.OTHER),
    ],
)
def test_the_first_payload_of_a_picture_tells_what_it_is(codec: str, payload: bytes, head: Head) -> None:
    assert classifier(codec)(memoryview(payload), Head.UNDECIDED) is head


@given(st.sampled_from(["H264", "H265", "JPEG"]), st.binary(max_size=40))
def test_any_payload_is_told(codec: str, payload: bytes) -> None:
    assert classifier(codec)(memoryview(payload), Head.UNDECIDED) in Head


def test_where_one_picture_decodes_to_nothing_all_up_to_the_next_start_are_cut_out() -> None:
    collector = KeyFrameCollector()
    collector.takes_groups = True
    assert collector.take(MediaChunk(b"ooKKpp", (0, 2, 4), (2,), 0.0)) is None
    assert collector.take(MediaChunk(b"pppp", (0, 2), (), 0.0)) is None
    assert collector.take(MediaChunk(b"ppKK", (0, 2), (2,), 0.0)) == b"KKpppppppp"


def test_intra_refresh_decodes_as_a_group_alone() -> None:
    frames = captured("h264_intra_refresh")
    times = list(dict.fromkeys(timestamp(frame) for frame in frames))
    group = [frame for frame in frames if times.index(timestamp(frame)) in range(8, 16)]
    with pytest.raises(ValueError, match="no whole picture"):
        decode(group[0], 0, H264)
    assert decode(b"".join(group), 0, H264) == Decoded(160, 120)


def test_a_key_picture_is_cut_out_from_its_first_to_its_last_frame() -> None:
    collector = KeyFrameCollector()
    assert collector.take(MediaChunk(b"ooo", (0,), (), 0.0)) is None
    assert collector.take(MediaChunk(b"..KK", (2,), (2,), 0.0)) is None
    assert collector.take(MediaChunk(b"KK", (), (), 0.0)) is None
    assert collector.take(MediaChunk(b"Koo", (1,), (), 0.0)) == b"KKKKK"
    assert collector.take(MediaChunk(b"KKo", (0, 2), (0,), 0.0)) == b"KK"


def test_a_key_picture_without_end_is_given_up() -> None:
    collector = KeyFrameCollector()
    assert collector.take(MediaChunk(b"K" * (MAX_KEY_FRAME + 1), (0,), (0,), 0.0)) is None
    assert collector.take(MediaChunk(b"o", (0,), (), 0.0)) is None


def test_h264_is_decoded_from_single_units_aggregates_and_fragments() -> None:
    parts = units(encoded("libx264", "yuv420p"))
    sets = [part for part in parts if part[0] & 0x1F in (7, 8)]
    slices = [part for part in parts if part[0] & 0x1F == 5]
    assert len(sets) == 2
    assert len(slices) == 1
    aggregate = b"\x78" + b"".join(len(part).to_bytes(2, "big") + part for part in sets)
    kind, body = slices[0][0], slices[0][1:]
    half = len(body) // 2
    fragments = [
        bytes((kind & 0xE0 | 28, 0x80 | kind & 0x1F)) + body[:half],
        bytes((kind & 0xE0 | 28, 0x40 | kind & 0x1F)) + body[half:],
    ]
    data = b"".join([frame(aggregate), frame(b"audio", channel=2), frame(fragments[0]), frame(fragments[1])])
    assert decode(data, 0, H264) == Decoded(64, 48)


def test_parameter_sets_may_stand_in_the_description_alone() -> None:
    parts = units(encoded("libx264", "yuv420p"))
    sets = ",".join(base64.b64encode(part).decode() for part in parts if part[0] & 0x1F in (7, 8))
    described = Format(96, "H264", 90000, parameters=f"packetization-mode=1;sprop-parameter-sets={sets},%%%")
    data = b"".join(frame(part) for part in parts if part[0] & 0x1F == 5)
    assert decode(data, 0, described) == Decoded(64, 48)
    with pytest.raises(ValueError, match="decod"):
        decode(data, 0, H264)


def test_h265_is_decoded_from_fragments() -> None:
    data = b""
    for part in units(encoded("libx265", "yuv420p")):
        kind, half = part[0] >> 1 & 0x3F, max(3, len(part) // 2)
        head = bytes((part[0] & 0x81 | 49 << 1, part[1]))
        data += frame(head + bytes((0x80 | kind,)) + part[2:half])
        data += frame(head + bytes((0x40 | kind,)) + part[half:])
    assert decode(data, 0, H265) == Decoded(64, 48)


def jpeg_payloads(quality: int) -> list[bytes]:
    """Return RTP payloads of a JPEG picture; with quality below 128 its own tables are lost."""
    file = encoded("mjpeg", "yuvj420p")
    luma = file.index(b"\xff\xdb") + 5
    chroma = file.index(b"\xff\xdb", luma) + 5 if file.count(b"\xff\xdb") > 1 else luma
    scan = file.index(b"\xff\xda")
    body = file[scan + 2 + int.from_bytes(file[scan + 2 : scan + 4], "big") : -2]
    tables = b""
    if quality >= 128:
        tables = b"\0\0\0\x80" + file[luma : luma + 64] + file[chroma : chroma + 64]
    half = len(body) // 2
    head = bytes((1, quality, 8, 6))
    return [
        b"\0\0\0\0" + head + tables + body[:half],
        b"\0" + half.to_bytes(3, "big") + head + body[half:],
    ]


@pytest.mark.parametrize("quality", [1, 50, 99, 255])
def test_jpeg_is_decoded_with_its_own_tables_and_with_the_standards(quality: int) -> None:
    data = b"".join(frame(payload, payload_type=26) for payload in jpeg_payloads(quality))
    assert decode(data, 0, JPEG) == Decoded(64, 48)


def test_a_jpeg_with_a_missing_fragment_is_refused() -> None:
    with pytest.raises(ValueError, match="missing"):
        jpeg.assemble([jpeg_payloads(50)[0][:-1], jpeg_payloads(50)[1]])


@given(st.lists(st.binary(max_size=60), max_size=6), st.sampled_from([H264, H265, JPEG]))
def test_whatever_the_payloads_only_value_error_is_raised(payloads: list[bytes], chosen: Format) -> None:
    data = b"".join(frame(payload, payload_type=chosen.payload_type) for payload in payloads)
    try:
        assemble(data, 0, chosen)
    except ValueError:
        return


def test_garbage_is_no_picture() -> None:
    with pytest.raises(ValueError, match="decod"):
        decode(frame(b"\x65" + bytes(500)), 0, H264)
