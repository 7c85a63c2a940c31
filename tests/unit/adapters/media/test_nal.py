from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.media.nal import (
    fragment_kind,
    holds_key_picture,
    holds_recovery_point,
    is_intra_slice,
    is_key_frame_start,
    slice_kind,
    whole_units,
)


def h265(nal_type: int) -> bytes:
    return bytes([nal_type << 1, 1])


def sized(*units: bytes) -> bytes:
    return b"".join(len(unit).to_bytes(2, "big") + unit for unit in units)


KEY = [
    ("H264", b"\x65\x88"),
    ("H264", b"\x7c\x85\x00"),  # FU-A, start, IDR
    ("H264", b"\x18" + sized(b"\x67\x42", b"\x68\xce", b"\x65\x88")),
    ("H264", b"\x19\x00\x00" + sized(b"\x65\x88")),  # STAP-B
    ("H265", h265(19) + b"\xaf"),
    ("H265", h265(20) + b"\xaf"),
    ("H265", h265(21) + b"\xaf"),
    ("H265", h265(16) + b"\xaf"),
    ("H265", h265(49) + b"\x93\x00"),  # FU, start, IDR_W_RADL
    ("H265", h265(48) + sized(h265(32), h265(33), h265(34), h265(19))),
    ("JPEG", bytes(8) + b"scan"),
]
SETS = [
    ("H264", b"\x67\x42\xc0"),
    ("H264", b"\x78" + sized(b"\x67\x42", b"\x68\xce")),
    ("H265", h265(32) + b"\x0c"),
    ("H265", h265(33) + b"\x0c"),
    ("H265", h265(48) + sized(h265(32), h265(33), h265(34))),
]
OTHER = [
    ("H264", b""),
    ("H264", b"\x41\x9a"),
    ("H264", b"\x06\x05"),
    ("H264", b"\x68\xce"),
    ("H264", b"\x7c"),
    ("H264", b"\x7c\x05\x00"),  # FU-A of an IDR, not its start
    ("H264", b"\x7c\x81\x00"),  # FU-A, start, not IDR
    ("H264", b"\x18\x00"),
    ("H264", b"\x18\x00\x00\x65"),
    ("H264", b"\x18\xff\xff\x65"),
    ("H264", b"\x18" + sized(b"\x41\x9a", b"\x01")),
    ("H265", b"\x26"),
    ("H265", h265(1) + b"\xaf"),
    ("H265", h265(22) + b"\xaf"),
    ("H265", h265(34) + b"\xaf"),
    ("H265", h265(49) + b"\x13\x00"),
    ("H265", h265(49)),
    ("H265", h265(48) + b"\xff\xff\x26\x01"),
    ("JPEG", b"\x00\x00\x05\x00\x00\x00\x00\x00"),
    ("JPEG", b"\x00\x00"),
]


@pytest.mark.parametrize(("codec", "payload"), KEY)
def test_a_key_picture_is_found(codec: str, payload: bytes) -> None:
    assert is_key_frame_start(codec, payload)
    assert holds_key_picture(codec, memoryview(payload))


@pytest.mark.parametrize(("codec", "payload"), SETS)
def test_parameter_sets_begin_a_key_frame_but_are_none(codec: str, payload: bytes) -> None:
    assert is_key_frame_start(codec, payload)
    assert not holds_key_picture(codec, payload)


@pytest.mark.parametrize(("codec", "payload"), OTHER)
def test_nothing_else_begins_a_key_frame(codec: str, payload: bytes) -> None:
    assert not is_key_frame_start(codec, payload)
    assert not holds_key_picture(codec, payload)


@given(st.sampled_from(["H264", "H265", "JPEG"]), st.binary(max_size=60))
def test_a_key_picture_always_begins_a_key_frame(codec: str, payload: bytes) -> None:
    assert is_key_frame_start(codec, payload) or not holds_key_picture(codec, payload)


def test_an_unknown_codec_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="VP8"):
        is_key_frame_start("VP8", b"")
    with pytest.raises(ValueError, match="VP8"):
        holds_key_picture("VP8", b"")


@pytest.mark.parametrize(
    ("content", "is_intra"),
    [
        (b"\x88\x84", True),  # first macroblock 0, type 7: all slices are I
        (b"\xb8", True),  # type 2: I
        (b"\x9a\x24", False),  # type 5: all are P
        (b"\xe0", False),  # type 0: P
        (b"\x9e", False),  # type 6: all are B
        (b"\x01\x06\xc0", True),  # first macroblock 130, type 2
        (b"", False),
        (b"\0" * 9, False),
    ],
)
def test_the_slice_header_tells_intra_slices(content: bytes, is_intra: bool) -> None:
    assert is_intra_slice(content) is is_intra


@pytest.mark.parametrize(
    ("content", "holds"),
    [
        (b"\x06\x01\xc4\x80", True),
        (b"\x01\x02\xaa\xbb\x06\x01\xc4\x80", True),  # picture timing first
        (b"\x01\x03\0\0\x03\x01\x06\x01\xc4\x80", True),  # with an emulation prevention byte
        (b"\x05\xff\x01" + bytes(256) + b"\x06\x01\xc4\x80", True),
        (b"\x05\x03abc\x80", False),
        (b"\x05\x40abc", False),
        (b"\xff" * 40, False),
        (b"", False),
    ],
)
def test_a_recovery_point_is_found_behind_other_messages(content: bytes, holds: bool) -> None:
    assert holds_recovery_point(content) is holds


def test_whole_units_slices_and_fragments_are_told() -> None:
    aggregate = b"\x78" + sized(b"\x67\x42", b"\x65\x88")
    assert whole_units("H264", aggregate) == [b"\x67\x42", b"\x65\x88"]
    assert whole_units("H264", b"\x7c\x85\x00") == []
    assert whole_units("H265", h265(33) + b"s") == [h265(33) + b"s"]
    assert (slice_kind("H264", aggregate), slice_kind("H264", b"\x67\x42")) == (5, None)
    assert (slice_kind("H265", h265(49) + b"\x94\0"), slice_kind("H265", h265(33))) == (20, None)
    assert (fragment_kind("H264", b"\x7c\x06"), fragment_kind("H265", h265(49) + b"\x27")) == (6, 39)
    assert fragment_kind("H264", aggregate) is None


@given(st.binary(max_size=60), st.sampled_from(["H264", "H265"]))
def test_whole_units_are_parts_of_their_payload(payload: bytes, codec: str) -> None:
    assert all(unit in payload for unit in whole_units(codec, payload))
    assert slice_kind(codec, payload) in (None, *range(32))
    assert fragment_kind(codec, payload) in (None, *range(64))


@given(st.binary(max_size=60))
def test_any_content_is_read_without_an_error(content: bytes) -> None:
    assert is_intra_slice(content) in (True, False)
    assert holds_recovery_point(content) in (True, False)


@pytest.mark.parametrize("ask", [fragment_kind, whole_units, slice_kind])
def test_units_of_other_codecs_are_not_known(ask: Callable[[str, bytes], object]) -> None:
    with pytest.raises(ValueError, match="VP8"):
        ask("VP8", b"x")
