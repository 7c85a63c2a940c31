"""The relay's benchmark judges by what it counts: that must be right."""

import configparser
import json
from pathlib import Path

import pytest

from adapters.rtsp.message import Demultiplexer, InterleavedFrame, MessageParser
from tests.bench.relay_dialogue import Dialogue
from tests.bench.relay_peers import Go2rtc, MediaMtx, ZlMediaKit
from tests.bench.relay_source import Mode, Sender
from tests.bench.relay_stream import MARK, Rendered, mark, stamp
from tests.bench.relay_tally import Tally, sum_up
from tests.fakes.certificates import make_certificate

SLICE = b"\x41" + bytes(range(256)) * 12
SOURCES = {"s0": "rtsp://127.0.0.1:5554/0", "s1": "rtsp://127.0.0.1:5554/1"}


class Kept:
    """A wire that keeps what is sent."""

    def __init__(self) -> None:
        self.sends: list[bytes] = []

    def send(self, frames: memoryview) -> None:
        self.sends.append(bytes(frames))


def picture(source: int, number: int, sent: float = 0.0) -> bytes:
    return b"\x24\x00" + mark(source, number) + stamp(sent) + b"\x80" + bytes(100)


def scan(tally: Tally, data: bytes, now: float = 0.0) -> None:
    whole = tally.begin() + data
    tally.scan(whole, len(whole), now)


def frames(data: bytes) -> list[InterleavedFrame]:
    found = Demultiplexer(MessageParser()).feed(data)
    return [frame for frame in found if isinstance(frame, InterleavedFrame)]


@pytest.mark.parametrize("size", [1, 3, 7, 50, 10_000])
def test_every_picture_is_counted_once_whatever_the_chunks(size: int) -> None:
    data = b"".join(picture(7, number) for number in range(5))
    tally = Tally(7)
    for at in range(0, len(data), size):
        scan(tally, data[at : at + size])
    assert (tally.pictures, tally.missing, tally.foreign) == (5, 0, 0)


def test_a_gap_is_counted_by_its_length() -> None:
    tally = Tally(7)
    scan(tally, picture(7, 3) + picture(7, 6))
    assert (tally.pictures, tally.missing) == (2, 2)


@pytest.mark.parametrize("wrong", [picture(8, 4), picture(7, 3), picture(7, 2)])
def test_a_picture_of_another_source_or_one_that_comes_again_is_foreign(wrong: bytes) -> None:
    tally = Tally(7)
    scan(tally, picture(7, 3) + wrong)
    assert (tally.pictures, tally.foreign) == (1, 1)


def test_the_delay_is_from_the_picture_s_stamp_to_its_arrival() -> None:
    tally = Tally(7)
    scan(tally, picture(7, 0, sent=100.0), now=100.25)
    assert sum_up([tally]).p50 == pytest.approx(0.25)


def test_what_a_slow_sink_misses_is_no_fault_but_a_foreign_picture_in_it_is() -> None:
    fast, slow = Tally(0), Tally(3, is_slow=True)
    scan(fast, picture(0, 0) + picture(0, 1))
    scan(slow, picture(3, 0) + picture(3, 9) + picture(0, 1))
    arrived = sum_up([fast, slow])
    assert (arrived.pictures, arrived.missing, arrived.foreign) == (2, 0, 1)
    assert (arrived.slow_pictures, arrived.slow_missing) == (2, 8)


def test_two_sources_share_a_rendered_picture_and_each_sends_its_own_numbers() -> None:
    pictures, wire = [Rendered([SLICE])], Kept()
    one, two = (Sender(source, pictures, Mode.FRAME, wire, 0.0) for source in (1, 2))
    one.step(5.0)
    two.step(5.0)
    one.step(5.04)
    sent = [frames(data) for data in wire.sends]
    assert [int.from_bytes(each[0].payload[8:12], "big") for each in sent] == [1, 2, 1]
    assert [int.from_bytes(each[0].payload[2:4], "big") for each in sent] == [0, 0, len(sent[0])]
    assert [
        each[0].payload[15:].startswith(MARK + b"%06d" % n) for each, n in zip(sent, (1, 2, 1), strict=True)
    ]
    assert [bool(frame.payload[1] & 0x80) for frame in sent[0]] == [False] * (len(sent[0]) - 1) + [True]


def test_a_packet_wise_sender_sends_the_same_bytes_within_the_picture_s_interval() -> None:
    whole, wire = Kept(), Kept()
    Sender(1, [Rendered([SLICE])], Mode.FRAME, whole, 10.0).step(10.0)
    sender = Sender(1, [Rendered([SLICE])], Mode.PACKET, wire, 10.0)
    due = [sender.step(10.0) for _ in frames(whole.sends[0])]
    assert b"".join(wire.sends) == whole.sends[0]
    assert due == sorted(due)
    assert due[-1] == pytest.approx(10.04)


def test_a_source_that_was_held_up_goes_on_at_its_pace() -> None:
    sender = Sender(1, [Rendered([SLICE])], Mode.FRAME, Kept(), 10.0)
    sender.step(13.0)
    sender.postpone(3.0)
    assert sender.step(13.04) == pytest.approx(13.08)


def test_media_behind_record_is_left_to_the_sink() -> None:
    dialogue = Dialogue()
    answers = dialogue.receive(
        b"RECORD rtsp://127.0.0.1:1/12 RTSP/1.0\r\nCSeq: 3\r\n\r\n$\0\0\x04abcd", b"RECORD"
    )
    assert answers.startswith(b"RTSP/1.0 200 OK\r\nCSeq: 3\r\n")
    assert (dialogue.source, dialogue.rest) == (12, b"$\0\0\x04abcd")


def test_go2rtc_is_told_its_streams_and_one_listener(tmp_path: Path) -> None:
    files = Go2rtc().configure(tmp_path, SOURCES, None, udp=False)
    settings = json.loads(Path(files.arguments[-1]).read_text())
    assert settings["rtsp"]["listen"] == f"127.0.0.1:{files.port}"
    assert settings["streams"]["s1"] == "rtsp://127.0.0.1:5554/1#backchannel=0"
    assert (settings["api"]["listen"], settings["webrtc"]["listen"]) == ("", "")


def test_mediamtx_pins_the_sources_and_serves_tls_alone_where_asked(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    files = MediaMtx().configure(tmp_path, SOURCES, certificate, udp=False)
    settings = json.loads(Path(files.arguments[0]).read_text())
    assert (settings["rtspEncryption"], settings["rtspsAddress"]) == ("strict", f"127.0.0.1:{files.port}")
    assert settings["paths"]["s0"]["sourceFingerprint"] == certificate.pin_sha256
    assert not settings["hls"]


def test_zlmediakit_serves_rtsp_and_is_asked_over_http(tmp_path: Path) -> None:
    files = ZlMediaKit().configure(tmp_path, SOURCES, None, udp=True)
    settings = configparser.ConfigParser()
    settings.read(tmp_path / "config.ini")
    assert (settings["rtsp"]["port"], settings["http"]["port"]) == (str(files.port), str(files.api))
    assert settings["protocol"]["enable_hls"] == "0"
