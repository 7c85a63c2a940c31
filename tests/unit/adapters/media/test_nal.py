import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.media.nal import holds_key_picture, is_key_frame_start


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
