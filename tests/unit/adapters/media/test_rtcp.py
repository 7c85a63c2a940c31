"""RTCP: packets of GStreamer and FFmpeg, everything built is parsed again, and nothing but one documented error."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.errors import RemoteProtocolError
from adapters.media.rtcp import (
    CNAME,
    MAX_PACKETS,
    App,
    Bye,
    ReceiverReport,
    ReportBlock,
    RtcpPacket,
    SenderReport,
    SourceDescription,
    build_compound,
    parse_compound,
)

DATA = Path(__file__).resolve().parents[3] / "data" / "rtcp"
TOOL = 6

words = st.integers(0, 2**32 - 1)
blocks = st.lists(
    st.builds(
        ReportBlock, words, st.integers(0, 255), st.integers(-(2**23), 2**23 - 1), words, words, words, words
    ),
    max_size=31,
).map(tuple)
texts = st.binary(max_size=255)
items = st.lists(st.tuples(st.integers(1, 255), texts), max_size=4).map(tuple)
packets = st.one_of(
    st.builds(SenderReport, words, st.integers(0, 2**64 - 1), words, words, words, blocks),
    st.builds(ReceiverReport, words, blocks),
    st.builds(SourceDescription, st.lists(st.tuples(words, items), max_size=4).map(tuple)),
    st.builds(Bye, st.lists(words, max_size=31).map(tuple), texts),
    st.builds(
        App,
        words,
        st.integers(0, 31),
        st.binary(min_size=4, max_size=4),
        st.binary(max_size=60).map(lambda data: data + bytes(-len(data) % 4)),
    ),
)
compounds = st.lists(packets, min_size=1, max_size=5).map(tuple)


def capture(name: str) -> bytes:
    return (DATA / f"{name}.bin").read_bytes()


def test_a_sender_report_of_gstreamer_is_read() -> None:
    report, description = parse_compound(capture("gstreamer_sr_sdes_first"))
    assert report == SenderReport(0x20C2C684, 0xEEB1DF7ECBB80A9D, 0x80753474, 60, 9664)
    assert isinstance(description, SourceDescription)
    ((ssrc, named),) = description.chunks
    assert ssrc == 0x20C2C684
    assert named == ((CNAME, b"user655153100@host-ca29c0c9"), (TOOL, b"GStreamer"))


def test_a_receiver_report_of_gstreamer_repeats_the_middle_of_the_senders_time() -> None:
    sent = parse_compound(capture("gstreamer_sr_sdes_first"))[0]
    report = parse_compound(capture("gstreamer_rr_sdes"))[0]
    assert isinstance(sent, SenderReport)
    assert report == ReceiverReport(
        0xAB9B2754, (ReportBlock(0x20C2C684, 0, -1, 0x3D4A, 40, sent.lsr, 0x2894D),)
    )


@pytest.mark.parametrize(
    ("name", "ssrc"), [("gstreamer_sr_sdes_bye", 0x20C2C684), ("ffmpeg_sr_bye", 0x0D7A63B2)]
)
def test_a_bye_stands_behind_the_last_report(name: str, ssrc: int) -> None:
    report, *_, bye = parse_compound(capture(name))
    assert isinstance(report, SenderReport)
    assert bye == Bye((ssrc,))


@pytest.mark.parametrize("name", ["gstreamer_rr_sdes", "ffmpeg_sr", "ffmpeg_sr_bye"])
def test_what_others_built_is_built_here_byte_for_byte(name: str) -> None:
    assert build_compound(parse_compound(capture(name))) == capture(name)


@given(compounds)
def test_what_is_built_is_parsed_again(compound: tuple[RtcpPacket, ...]) -> None:
    data = build_compound(compound)
    assert len(data) % 4 == 0
    assert parse_compound(data) == compound


@given(compounds, st.integers(1, 63))
def test_padding_at_the_end_is_left_out(compound: tuple[RtcpPacket, ...], words_of_padding: int) -> None:
    *before, last = compound
    packet = bytearray(bytes(last))
    padding = 4 * words_of_padding
    packet[0] |= 0x20
    packet[2:4] = ((len(packet) + padding) // 4 - 1).to_bytes(2, "big")
    data = build_compound(before) + bytes(packet) + bytes(padding - 1) + bytes((padding,))
    parsed = parse_compound(data)
    assert parsed == compound


@given(compounds, st.data())
def test_a_packet_that_was_cut_or_spoilt_raises_only_the_documented_error(
    compound: tuple[RtcpPacket, ...], data: st.DataObject
) -> None:
    built = bytearray(build_compound(compound))
    for _ in range(data.draw(st.integers(0, 4))):
        built[data.draw(st.integers(0, len(built) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(built[: data.draw(st.integers(0, len(built)))])
    with suppress(RemoteProtocolError):
        parse_compound(cut)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_only_the_documented_error(data: bytes) -> None:
    with suppress(RemoteProtocolError):
        parse_compound(data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "of 0 bytes"),
        (b"\x80\xc9\x00", "half a header"),
        (b"\x40\xc9\x00\x01\x00\x00\x00\x01", "version 1"),
        (b"\x80\xc9\x00\x02\x00\x00\x00\x01", "length beyond"),
        (b"\x81\xc9\x00\x01\x00\x00\x00\x01", "28 bytes expected"),
        (b"\xa0\xcb\x00\x01\x00\x00\x00\x09", "padding beyond"),
        (b"\xa0\xcb\x00\x01\x00\x00\x00\x04\x80\xcb\x00\x00", "padding before the end"),
        (b"\x81\xca\x00\x02\x00\x00\x00\x01\x01\x09ab", "bytes expected"),
        (b"\x80\xcb\x00\x00" * (MAX_PACKETS + 1), "more than 64"),
    ],
)
def test_a_malformed_packet_is_refused_and_says_why(data: bytes, reason: str) -> None:
    with pytest.raises(RemoteProtocolError, match=reason):
        parse_compound(data, "192.0.2.1:554")


def test_types_that_are_not_known_are_passed_over() -> None:
    feedback = b"\x81\xce\x00\x02\x00\x00\x00\x01\x00\x00\x00\x02"
    bye = Bye((7,), b"camera off")
    assert parse_compound(feedback + bytes(bye)) == (bye,)


@pytest.mark.parametrize(
    "packet",
    [
        Bye(tuple(range(32))),
        Bye((1,), bytes(256)),
        SourceDescription(((1, ((0, b"end"),)),)),
        App(1, 0, b"long name"),
        App(1, 0, b"name", b"odd"),
    ],
)
def test_what_no_packet_can_hold_is_not_built(packet: RtcpPacket) -> None:
    with pytest.raises(ValueError, match=r"count|text|type|name|body"):
        build_compound((packet,))
