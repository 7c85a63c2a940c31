import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.media.aac import AacFormat, AdtsReader, payloads, read_header, starts_with_adts

LOW_16K_MONO = AacFormat(object_type=2, rate_index=8, channels=1)


def adts(unit: bytes, form: AacFormat = LOW_16K_MONO, *, crc: bool = False) -> bytes:
    """One frame, its header written bit by bit from the standard's table."""
    header = 9 if crc else 7
    size = header + len(unit)
    fields = [
        (0xFFF, 12),
        (0, 1),
        (0, 2),
        (0 if crc else 1, 1),
        (form.object_type - 1, 2),
        (form.rate_index, 4),
        (0, 1),
        (form.channels, 3),
        (0, 4),
        (size, 13),
        (0x7FF, 11),
        (0, 2),
    ]
    value = 0
    for number, bits in fields:
        value = value << bits | number
    return value.to_bytes(7, "big") + (b"\xab\xcd" if crc else b"") + unit


def test_a_header_tells_format_and_size() -> None:
    # What ffmpeg writes before a frame of 16 kHz, one channel, low complexity.
    assert read_header(bytes.fromhex("fff160400b7ffc") + bytes(84)) == (LOW_16K_MONO, 7, 91)
    assert read_header(adts(bytes(20), crc=True)) == (LOW_16K_MONO, 9, 29)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        adts(b"abc")[:6],
        b"\xff\xfb" + adts(b"abc")[2:],  # MP3: its layer is not 0
        adts(b"abc", AacFormat(2, 13, 1)),  # no such rate
        adts(b""),  # nothing in it
        adts(b"abc")[:6] + b"\xff" + b"abc",  # several units in one frame
    ],
)
def test_what_is_no_frame_is_none(data: bytes) -> None:
    assert read_header(data) is None
    assert starts_with_adts(data) is None


def test_other_audio_that_begins_like_a_frame_is_not_taken_for_one() -> None:
    silence = b"\xff\xf1" + b"\xd5" * 318
    assert starts_with_adts(silence) is None
    assert starts_with_adts(adts(b"a" * 40)) == LOW_16K_MONO
    assert starts_with_adts(adts(b"a" * 40) + adts(b"b" * 50)) == LOW_16K_MONO
    assert starts_with_adts(adts(b"a" * 40) + b"\xd5" * 50) is None


def test_the_format_is_described_as_players_expect_it() -> None:
    described = LOW_16K_MONO.describe(97)
    assert (described.encoding, described.clock_rate, described.channels) == ("MPEG4-GENERIC", 16_000, 1)
    # AudioSpecificConfig: 00010 1000 0001 000.
    assert described.parameters is not None
    assert described.parameters.endswith("config=1408")


@given(st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=8), st.lists(st.integers(1, 90)))
def test_units_are_found_wherever_their_frames_were_cut(units: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(adts(unit, crc=len(unit) % 2 == 0) for unit in units)
    reader = AdtsReader(LOW_16K_MONO)
    found, at = [], 0
    for size in [*cuts, len(stream)]:
        found += reader.feed(stream[at : at + size])
        at += size
    assert found == units


def test_after_a_gap_the_next_whole_frame_counts() -> None:
    reader = AdtsReader(LOW_16K_MONO)
    assert reader.feed(adts(b"a" * 40)[:30]) == []
    reader.gap()
    assert reader.feed(adts(b"b" * 40)[25:] + adts(b"c" * 40)) == [b"c" * 40]


def test_frames_of_another_format_are_passed_over() -> None:
    reader = AdtsReader(LOW_16K_MONO)
    assert reader.feed(adts(b"a" * 9, AacFormat(2, 4, 2)) + adts(b"b" * 9)) == [b"b" * 9]


@given(st.binary(max_size=40_000))
def test_noise_holds_at_most_one_frame(noise: bytes) -> None:
    reader = AdtsReader(LOW_16K_MONO)
    for at in range(0, len(noise), 1_000):
        reader.feed(noise[at : at + 1_000])
    assert reader.held <= 0x1FFF


def test_a_unit_larger_than_a_packet_goes_out_in_fragments_that_tell_its_whole_size() -> None:
    unit = bytes(range(256)) * 12
    parts = list(payloads(unit))
    assert [len(part) for part in parts] == [1_400, 1_400, 3_072 - 2 * 1_396 + 4]
    assert all(part[:4] == b"\0\x10" + (3_072 << 3).to_bytes(2, "big") for part in parts)
    assert b"".join(part[4:] for part in parts) == unit
