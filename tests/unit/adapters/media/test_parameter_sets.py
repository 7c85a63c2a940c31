"""Parameter sets as x264 and x265 write them, and descriptions that carry them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.media.parameter_sets import PictureFormat, describe, described, parse_sps
from adapters.media.sdp import Format

DATA = Path(__file__).parents[3] / "data" / "media" / "parameter_sets.txt"
ROWS = [
    [cell.strip() for cell in line.split("|")]
    for line in DATA.read_text().splitlines()
    if not line.startswith("#")
]
SPS = bytes.fromhex(ROWS[0][6])
PPS = b"\x68\xeb\xc0"
H264 = Format(
    96, "H264", 90_000, None, "packetization-mode=1; profile-level-id=420015;sprop-parameter-sets=AAAA"
)
H265 = Format(96, "H265", 90_000)

units = st.binary(max_size=80)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: " ".join(row[:4]))
def test_a_parameter_set_tells_profile_size_after_cropping_and_fields(row: list[str]) -> None:
    codec, profile, width, height, interlaced, _, unit = row
    expected = PictureFormat(codec, profile, int(width), int(height), interlaced == "yes")
    assert parse_sps(codec, bytes.fromhex(unit)) == expected


@pytest.mark.parametrize("row", ROWS, ids=lambda row: " ".join(row[:4]))
def test_a_parameter_set_cut_short_is_refused_or_told_the_same(row: list[str]) -> None:
    unit = bytes.fromhex(row[6])
    whole = parse_sps(row[0], unit)
    for size in range(len(unit)):
        try:
            assert parse_sps(row[0], unit[:size]) == whole
        except ValueError:
            continue


@given(st.sampled_from(["H264", "H265"]), units)
def test_arbitrary_bytes_raise_nothing_but_value_error(codec: str, unit: bytes) -> None:
    for head in (b"", b"\x67", b"\x42\x01"):
        try:
            found = parse_sps(codec, head + unit)
        except ValueError:
            continue
        assert found.width > 0
        assert found.height > 0


@pytest.mark.parametrize(("codec", "unit"), [("H264", PPS), ("H265", b"\x44\x01\xc1"), ("JPEG", b"\xff\xd8")])
def test_other_units_and_codecs_are_refused(codec: str, unit: bytes) -> None:
    with pytest.raises(ValueError, match="parameter set"):
        parse_sps(codec, unit)


def test_a_description_takes_the_parameter_sets_and_keeps_the_rest() -> None:
    found = describe(H264, [SPS, PPS, b"\x65slice"])
    assert found.parameters is not None
    assert found.parameters.startswith("packetization-mode=1;profile-level-id=640028;sprop-parameter-sets=")
    assert described(found) == (SPS, PPS)
    assert (found.payload_type, found.encoding, found.clock_rate) == (96, "H264", 90_000)


def test_a_description_of_h265_names_each_kind() -> None:
    vps, sps, pps = b"\x40\x01v", b"\x42\x01s", b"\x44\x01p"
    found = describe(H265, [sps, pps, vps])
    assert [part.partition("=")[0] for part in (found.parameters or "").split(";")] == [
        "sprop-vps",
        "sprop-sps",
        "sprop-pps",
    ]
    assert described(found) == (vps, sps, pps)


def test_no_parameter_sets_are_described_in_jpeg() -> None:
    assert described(Format(26, "JPEG", 90_000)) == ()
    with pytest.raises(ValueError, match="no parameter sets known in 'JPEG'"):
        describe(Format(26, "JPEG", 90_000), [])


@given(st.text(max_size=60))
def test_whatever_a_description_says_is_read_without_an_error(text: str) -> None:
    described(Format(96, "H264", 90_000, None, text))
    described(Format(96, "H265", 90_000, None, f"sprop-vps={text}"))


@given(st.lists(units.map(lambda body: b"\x67" + body) | units.map(lambda body: b"\x68" + body), max_size=5))
def test_what_is_described_comes_back(sets: list[bytes]) -> None:
    assert described(describe(H264, sets)) == tuple(sets)
