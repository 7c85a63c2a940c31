"""Receiver reports to a source, and what its own reports and BYEs mean; time moved by hand."""

import random
import struct
from itertools import pairwise

import pytest

from adapters.base import Transport
from adapters.media.rtcp import (
    CNAME,
    Bye,
    ReceiverReport,
    RtcpPacket,
    SenderReport,
    SourceDescription,
    build_compound,
    parse_compound,
)
from adapters.media.sdp import Format, Media
from adapters.rtsp.session import Track
from gateway.relay.chunk import MediaChunk
from gateway.relay.reports import BYE_GRACE, COMPENSATION, INTERVAL, ReceiverReports

SSRC = 0x0A0B0C0D
VIDEO = Media("video", "RTP/AVP", (Format(96, "H264", 90_000),), ())
AUDIO = Media("audio", "RTP/AVP", (Format(8, "PCMA", 8_000),), ())


def reports(transport: Transport = Transport.TCP, *, audio: bool = False) -> ReceiverReports:
    tracks = [Track(media, "", transport) for media in ((VIDEO, AUDIO) if audio else (VIDEO,))]
    channels = [(2 * index, 2 * index + 1) for index in range(len(tracks))]
    return ReceiverReports(tracks, channels, random.Random(1))


def chunk(*packets: tuple[int, int], at: float, ssrc: int = SSRC) -> MediaChunk:
    """Return a run of packets (sequence number and timestamp), each beginning a picture."""
    frames = [b"$\0\0\x0c" + struct.pack(">BBHII", 0x80, 96, *packet, ssrc) for packet in packets]
    return MediaChunk(b"".join(frames), tuple(range(0, 16 * len(frames), 16)), (), at)


def heard(*packets: RtcpPacket, channel: int = 1) -> list[tuple[int, bytes]]:
    return [(channel, build_compound(packets))]


def sent_in(telling: ReceiverReports, begin: int, end: int) -> list[tuple[int, bytes]]:
    """Return when which report was sent, looked at every second."""
    return [(now, packet) for now in range(begin, end) for _, packet in telling.due(float(now))]


def test_nothing_is_reported_before_the_first_media() -> None:
    telling = reports()
    assert sent_in(telling, 0, 100) == []
    telling.take(chunk((1, 0), at=100.0), [])
    ((first, _), *_) = sent_in(telling, 100, 120)
    assert first <= 104


def test_reports_come_every_five_seconds_on_average_and_not_all_sessions_at_once() -> None:
    telling = reports()
    telling.take(chunk((1, 0), at=0.0), [])
    times = [now for now, _ in sent_in(telling, 0, 2000)]
    steps = {after - before for before, after in pairwise(times)}
    assert min(steps) >= 0.5 * INTERVAL / COMPENSATION
    assert max(steps) <= 1.5 * INTERVAL / COMPENSATION + 1
    assert len(steps) > 2


def test_over_tcp_a_report_holds_the_newest_picture_looked_at_and_our_name() -> None:
    telling = reports()
    telling.take(chunk((65530, 0), at=0.0), [])
    telling.take(chunk((65535, 3600), (4, 7200), at=1.0), [])
    telling.take(chunk((90, 7300), at=1.01), [])
    _, packet = sent_in(telling, 2, 9)[0]
    report, description = parse_compound(packet)
    assert isinstance(report, ReceiverReport)
    assert isinstance(description, SourceDescription)
    assert [(b.ssrc, b.highest, b.cumulative_lost, b.fraction_lost) for b in report.blocks] == [
        (SSRC, 65540, 0, 0)
    ]
    ((named, items),) = description.chunks
    assert named == report.ssrc
    assert [kind for kind, _ in items] == [CNAME]


def test_the_senders_report_comes_back_with_its_age() -> None:
    telling = reports()
    waiting = heard(SenderReport(SSRC, 0x1122334455667788, 0, 0, 0))
    telling.take(chunk((1, 0), at=10.0), waiting)
    assert waiting == []
    ((now, packet), *_) = sent_in(telling, 10, 20)
    report = parse_compound(packet)[0]
    assert isinstance(report, ReceiverReport)
    assert (report.blocks[0].lsr, report.blocks[0].dlsr) == (0x33445566, (now - 10) * 65536)


def test_each_track_is_reported_on_its_own_channel() -> None:
    telling = reports(audio=True)
    telling.take(chunk((1, 0), at=0.0), [])
    due = [one for now in range(10) for one in telling.due(float(now))]
    assert [channel for channel, _ in due[:2]] == [1, 3]
    blocks = [parse_compound(packet)[0].blocks for _, packet in due[:2]]  # type: ignore[union-attr]
    assert [len(each) for each in blocks] == [1, 0]


def test_over_udp_the_statistics_are_left_to_whoever_reads_the_datagrams() -> None:
    telling = reports(Transport.UDP)
    telling.take(chunk((1, 0), at=0.0), [])
    assert telling.statistics[0].ssrc is None


def test_a_bye_counts_only_while_no_video_follows() -> None:
    telling = reports()
    telling.take(chunk((1, 0), at=10.0), [])
    assert not telling.has_left(10.0)
    telling.take(MediaChunk(b"", (), (), 11.0), heard(Bye((SSRC,))))
    assert telling.has_left(10.0)
    assert telling.has_left(11.0 + BYE_GRACE)
    assert not telling.has_left(11.1 + BYE_GRACE)


@pytest.mark.parametrize(("ssrc", "channel"), [(SSRC + 1, 1), (SSRC, 3), (SSRC, 7)])
def test_a_bye_of_another_source_or_track_is_none_of_the_video(ssrc: int, channel: int) -> None:
    telling = reports(audio=True)
    telling.take(chunk((1, 0), at=10.0), [])
    telling.take(MediaChunk(b"", (), (), 11.0), heard(Bye((ssrc,)), channel=channel))
    assert not telling.has_left(10.0)


def test_rtcp_that_cannot_be_read_is_counted_and_harms_nothing() -> None:
    telling = reports()
    telling.take(chunk((1, 0), at=0.0), [(1, b"\x80\xc8\xff\xff"), (1, b"")])
    assert telling.malformed == 2
    assert sent_in(telling, 0, 10) != []
