import struct
from itertools import cycle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.media.packetizer import Packetizer, payloads, split_units
from adapters.media.ps import MAX_PICTURE, Elementary, Oddity, PsDemuxer, codec_of
from adapters.media.rtp import RtpHeader
from adapters.simulator.ps_mux import PsQuirk, PsWriter

SPS, PPS = b"\x67\x42\x00\x1f\xaa", b"\x68\xce\x3c\x80"
VPS5, SPS5, PPS5 = b"\x40\x01\x0c\x01\xff", b"\x42\x01\x01\x02\x03", b"\x44\x01\xc1\x72"


def annexb(*units: bytes) -> bytes:
    return b"".join(b"\0\0\0\1" + unit for unit in units)


def pictures(codec: str, sizes: list[int]) -> list[bytes]:
    """Pictures of these sizes, the first a key picture; no octet of them is zero."""
    made = []
    for index, size in enumerate(sizes):
        body = bytes(1 + (index + at) % 250 for at in range(size))
        if codec == "H264":
            made.append(annexb(SPS, PPS, b"\x65" + body) if index == 0 else annexb(b"\x41" + body))
        else:
            made.append(
                annexb(VPS5, SPS5, PPS5, b"\x26\x01" + body) if index == 0 else annexb(b"\x02\x01" + body)
            )
    return made


def sent(codec: str, of: list[bytes], *quirks: PsQuirk, step: int = 3600) -> list[bytes]:
    """The RTP packets of pictures."""
    writer = PsWriter(codec, frozenset(quirks))
    packets: list[bytes] = []
    for index, picture in enumerate(of):
        pack = writer.picture(picture, step * index, is_key=index == 0)
        packets += writer.rtp(pack, 7, len(packets), step * index)
    return packets


def received(packets: list[bytes], demuxer: PsDemuxer | None = None) -> list[Elementary]:
    demuxer = demuxer or PsDemuxer()
    found = []
    for packet in packets:
        header = RtpHeader.parse(packet)
        payload = packet[header.payload_start : header.payload_end]
        found += demuxer.feed(payload, header.timestamp, marker=header.marker)
    return found


QUIRKS = [
    (),
    (PsQuirk.NO_MAP,),
    (PsQuirk.WRONG_MAP,),
    (PsQuirk.BAD_MAP,),
    (PsQuirk.PACK_WITHOUT_BODY,),
    (PsQuirk.NO_LENGTH,),
    (PsQuirk.PRIVATE_STREAM,),
    (PsQuirk.NO_PTS,),
    (PsQuirk.NO_MARKER,),
    (PsQuirk.NO_MARKER, PsQuirk.NO_LENGTH),
    (PsQuirk.NO_MARKER, PsQuirk.NO_PTS),
]


@pytest.mark.parametrize("codec", ["H264", "H265"])
@pytest.mark.parametrize("quirks", QUIRKS)
def test_pictures_come_out_as_they_went_in(codec: str, quirks: tuple[PsQuirk, ...]) -> None:
    of = pictures(codec, [150_000, 900, 3_000, 70_000, 20, 20])
    found = received(sent(codec, of, *quirks))
    # Without marker the last picture ends only with the one after it.
    whole = of[:-1] if PsQuirk.NO_MARKER in quirks else of
    assert [each.data for each in found] == whole
    assert not any(each.follows_loss for each in found)
    assert codec_of(split_units(found[0].data)) == codec
    if PsQuirk.NO_PTS not in quirks:
        assert [each.pts for each in found] == [3600 * index for index in range(len(whole))]
    assert [each.timestamp for each in found] == [3600 * index for index in range(len(whole))]


def test_a_marker_on_every_packet_is_not_believed_twice() -> None:
    of = pictures("H264", [5_000, 5_000, 5_000, 5_000])
    found = received(sent("H264", of, PsQuirk.MARKER_ALWAYS))
    assert [each.data for each in found][-2:] == of[1:3] or [each.data for each in found][-3:] == of[1:]


def test_the_map_says_what_the_streams_are() -> None:
    demuxer = PsDemuxer()
    received(sent("H265", pictures("H265", [100])), demuxer)
    assert (demuxer.video, demuxer.audio) == ("H265", "PCMA")


def test_golden_bytes_of_the_fact_sheet() -> None:
    demuxer = PsDemuxer()
    head = bytes.fromhex("000001ba44000400040101 3883f8".replace(" ", ""))
    system = bytes.fromhex("000001bb000c809c4104e17fe0e190c0c020")
    mapped = bytes.fromhex("000001bc0012e0ff0000000824e0000090c000005e5f92c2")
    packet = bytes.fromhex("000001e0 03f0 80 80 05 210005bf21".replace(" ", "")) + b"\x42" * 1000
    (picture,) = demuxer.feed(head + system + mapped + packet, 90_000, marker=True)
    assert (picture.pts, len(picture.data)) == (90_000, 1000)
    assert (demuxer.video, demuxer.audio) == ("H265", "PCMA")
    assert not demuxer.oddities


def test_audio_comes_apart_from_video() -> None:
    writer = PsWriter("H264")
    head = b"\0\0\1\xc0" + struct.pack(">H", 8 + 320) + bytes.fromhex("808005210005bf21")
    sound = head + b"\xd5" * 320
    pack = writer.picture(pictures("H264", [500])[0], 90_000, is_key=True) + sound
    found = PsDemuxer().feed(pack, 90_000, marker=True)
    assert sorted((each.is_video, len(each.data), each.pts) for each in found)[0] == (False, 320, 90_000)
    assert sum(each.is_video for each in found) == 1


def test_a_loss_costs_the_picture_it_hit_and_says_so() -> None:
    of = pictures("H264", [4_000, 4_000, 4_000, 4_000])
    packets = sent("H264", of)
    per = len(packets) // 4
    demuxer = PsDemuxer()
    found = received(packets[: per + 1], demuxer)
    demuxer.gap()
    found += received(packets[per + 2 :], demuxer)
    assert [each.data for each in found] == [of[0], of[2], of[3]]
    assert [each.follows_loss for each in found] == [False, True, False]


def test_a_length_that_is_too_short_is_made_good() -> None:
    of = pictures("H264", [600, 600])
    packs = [bytearray(PsWriter("H264").picture(each, 3600 * n, is_key=n == 0)) for n, each in enumerate(of)]
    at = packs[1].index(b"\0\0\1\xe0")
    packs[1][at + 4 : at + 6] = struct.pack(">H", 100)
    demuxer = PsDemuxer()
    found = [
        each for n, pack in enumerate(packs) for each in demuxer.feed(bytes(pack), 3600 * n, marker=True)
    ]
    assert [each.data for each in found] == of
    assert demuxer.oddities[Oddity.PES_LENGTH_WRONG] == 1


def test_a_map_that_lies_about_its_lengths_is_passed_over() -> None:
    demuxer = PsDemuxer()
    mapped = bytes.fromhex("000001bc0012e0ff0000000824e0ffff90c000005e5f92c2")
    pack = PsWriter("H264", frozenset({PsQuirk.NO_MAP})).picture(pictures("H264", [50])[0], 0, is_key=False)
    (picture,) = demuxer.feed(pack[:14] + mapped + pack[14:], 0, marker=True)
    assert split_units(picture.data)[0] == SPS
    assert demuxer.oddities[Oddity.MAP_MALFORMED] == 1


def test_a_stream_that_never_ends_a_picture_is_dropped_not_kept() -> None:
    demuxer = PsDemuxer()
    demuxer.feed(b"\0\0\1\xba" + bytes.fromhex("44000400040101 3883f8".replace(" ", "")), 0, marker=False)
    for _ in range(MAX_PICTURE // 60_000 + 2):
        piece = b"\0\0\1\xe0" + struct.pack(">H", 60_003) + b"\x80\0\0" + b"\x41" * 60_000
        assert demuxer.feed(piece, 0, marker=False) == []
    of = pictures("H264", [100])
    found = demuxer.feed(PsWriter("H264").picture(of[0], 9, is_key=True), 9, marker=True)
    assert [(each.data, each.follows_loss) for each in found] == [(of[0], True)]


@given(st.lists(st.binary(max_size=200), max_size=40), st.booleans())
def test_nothing_that_comes_in_breaks_it(pieces: list[bytes], marker: bool) -> None:
    demuxer = PsDemuxer()
    for number, piece in enumerate(pieces):
        demuxer.feed(piece, number, marker=marker)
    of = pictures("H264", [300])[0]
    demuxer.gap()
    (found,) = demuxer.feed(PsWriter("H264").picture(of, 1 << 31, is_key=True), 1 << 31, marker=True)
    assert found.data == of


@given(st.lists(st.integers(1, 500), min_size=1, max_size=12))
def test_it_does_not_matter_where_the_stream_is_cut(cuts: list[int]) -> None:
    of = pictures("H265", [700, 300, 2_000])
    writer, demuxer, lengths = PsWriter("H265"), PsDemuxer(), cycle(cuts)
    found: list[Elementary] = []
    for n, picture in enumerate(of):
        pack = writer.picture(picture, 3600 * n, is_key=n == 0)
        at = 0
        while at < len(pack):
            after = at + next(lengths)
            found += demuxer.feed(pack[at:after], 3600 * n, marker=after >= len(pack))
            at = after
    assert [each.data for each in found] == of


@pytest.mark.parametrize(("codec", "at", "kind"), [("H264", 1, 28), ("H265", 2, 49)])
@pytest.mark.parametrize("size", [1_401, 1_402, 1_403, 2_800, 2_801])
def test_no_fragment_is_the_first_and_the_last_at_once(codec: str, at: int, kind: int, size: int) -> None:
    unit = (b"\x65" if codec == "H264" else b"\x26\x01") + bytes(1 + n % 200 for n in range(size))
    fragments = list(payloads(codec, unit[:size]))
    types = {each[0] & 0x1F if codec == "H264" else each[0] >> 1 & 0x3F for each in fragments}
    assert types == {kind}
    assert [each[at] >> 6 for each in fragments] == [2, *[0] * (len(fragments) - 2), 1]
    assert b"".join(each[at + 1 :] for each in fragments) == unit[at:size]


@pytest.mark.parametrize("codec", ["H264", "H265"])
def test_packets_hold_the_units_and_number_themselves(codec: str) -> None:
    packetizer = Packetizer(codec, 96, 5, sequence=65_535)
    units = split_units(pictures(codec, [4_000])[0])
    packets = packetizer.picture(units, 1 << 33)
    headers = [RtpHeader.parse(packet) for packet in packets]
    assert [header.sequence for header in headers] == [(65_535 + n) & 0xFFFF for n in range(len(packets))]
    assert [header.marker for header in headers] == [False] * (len(packets) - 1) + [True]
    assert {header.timestamp for header in headers} == {0}
    packetizer.skip()
    (single,) = packetizer.picture([units[0]], 1)
    assert RtpHeader.parse(single).sequence == (headers[-1].sequence + 2) & 0xFFFF
