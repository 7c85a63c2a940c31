"""The sound of a program stream, made by ffmpeg and judged by ffmpeg behind the relay: not an octet may differ."""

import asyncio
import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from adapters.base import RtspTarget, SourceKey
from adapters.media.aac import read_header
from adapters.simulator.ps_mux import PsWriter
from catalog.model.plan import MediaWay
from gateway.clock import SystemClock
from gateway.relay.manager import RelayManager
from gateway.relay.protocol import MediaOffered, OfferAnswered
from gateway.relay.spec import Invitation, RelaySpec, SinkSpec
from tests.interop.relay_peers import facts_of, ffmpeg
from tests.waiting import eventually

pytestmark = [pytest.mark.interop]

ONE = SourceKey(1)
DEVICE, CHANNEL = "34020000001180000001", "34020000001320000001"
SECONDS = 4
RATE = 25
TICKS = 90_000
_PICTURE = re.compile(rb"\x00\x00\x00\x01\x09")


async def make_pictures(file: Path) -> None:
    """Four seconds of H.264, each picture behind its delimiter."""
    await ffmpeg(
        *("-f", "lavfi", "-i", f"testsrc2=size=320x240:rate={RATE}:duration={SECONDS}"),
        *("-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", str(RATE)),
        *("-bsf:v", "h264_metadata=aud=insert", "-f", "h264", str(file)),
    )


def pictures_of(file: Path) -> list[bytes]:
    data = file.read_bytes()
    starts = [match.start() for match in _PICTURE.finditer(data)]
    return [data[begin:end] for begin, end in zip(starts, [*starts[1:], len(data)], strict=True)]


async def make_sound(file: Path, encoder: str, kind: str, rate: int) -> None:
    await ffmpeg(
        *("-f", "lavfi", "-i", f"sine=frequency=440:sample_rate={rate}:duration={SECONDS}"),
        *("-c:a", encoder, "-f", kind, str(file)),
    )


def frames_of(adts: bytes) -> list[bytes]:
    """The ADTS frames of a file."""
    found, at = [], 0
    while at < len(adts):
        read = read_header(adts, at)
        assert read is not None
        found.append(adts[at : at + read[2]])
        at += read[2]
    return found


def pieces_of(data: bytes, kind: str, rate: int) -> Iterator[tuple[int, bytes]]:
    """Sound as a device sends it, each piece with its time in ticks of 90 kHz."""
    if kind == "adts":
        for number, frame in enumerate(frames_of(data)):
            yield number * 1024 * TICKS // rate, frame
    else:
        for at in range(0, len(data), 320):
            yield at * TICKS // rate, data[at : at + 320]


def packets(pictures: list[bytes], sound: list[tuple[int, bytes]], mapped: str) -> list[bytes]:
    """RTP packets of a program stream of both, in the order of their times."""
    writer = PsWriter("H264", sound=mapped)
    made: list[bytes] = []
    left = list(sound)
    for number, picture in enumerate(pictures):
        clock = number * TICKS // RATE
        pack = writer.picture(picture, clock, is_key=number % RATE == 0)
        while left and left[0][0] < clock + TICKS // RATE:
            at, piece = left.pop(0)
            pack += writer.piece_of_sound(piece, at)
        made += writer.rtp(pack, 7, len(made), clock)
    return made


async def play(made: list[bytes], port: int) -> None:
    """Send at the pace of the stream."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        begun = loop.time()
        for packet in made:
            due = begun + int.from_bytes(packet[4:8], "big") / TICKS
            await asyncio.sleep(max(0.0, due - loop.time()))
            with suppress(OSError):
                sender.sendto(packet, ("127.0.0.1", port))


class Caller:
    """Invites at once."""

    def __init__(self, relays: RelayManager) -> None:
        self._relays = relays
        self.port = 0

    def offered(self, _: Invitation, offer: MediaOffered) -> None:
        self.port = offer.port
        self._relays.answer(OfferAnswered(ONE, offer.offer_id, ("127.0.0.1",), 0))

    def ended(self, _: SourceKey) -> None:
        """Do nothing."""


@pytest.mark.parametrize(
    ("encoder", "kind", "rate", "mapped"),
    [
        ("aac", "adts", 16_000, "AAC"),
        # What Dahua's devices say, and what they send.
        ("aac", "adts", 8_000, "PCMA"),
        ("pcm_alaw", "alaw", 8_000, "PCMA"),
        ("pcm_mulaw", "mulaw", 8_000, "PCMU"),
    ],
)
async def test_the_sound_beside_the_pictures_arrives_as_it_was_sent(
    tmp_path: Path, encoder: str, kind: str, rate: int, mapped: str
) -> None:
    file, sent = tmp_path / "pictures.h264", tmp_path / f"sent.{kind}"
    await make_pictures(file)
    await make_sound(sent, encoder, kind, rate)
    sound = sent.read_bytes()
    made = packets(pictures_of(file), list(pieces_of(sound, kind, rate)), mapped)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    heard, seen = tmp_path / f"heard.{kind}", tmp_path / "seen.h264"
    async with RelayManager(SystemClock(), workers=1) as relays, facts_of(relays):
        relays.caller = caller = Caller(relays)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(
                ffmpeg(
                    *("-rtsp_flags", "listen", "-i", f"rtsp://127.0.0.1:{port}/{CHANNEL}"),
                    *("-map", "0:a", "-c", "copy", "-t", "2", "-f", kind, str(heard)),
                    *("-map", "0:v", "-c", "copy", "-frames:v", "40", "-f", "h264", str(seen)),
                )
            )
            relays.start(
                RelaySpec(
                    ONE,
                    CHANNEL,
                    RtspTarget("127.0.0.1", 5060, "/x"),
                    sink=SinkSpec(RtspTarget("127.0.0.1", port, f"/{CHANNEL}")),
                    invitation=Invitation(DEVICE, CHANNEL, MediaWay.UDP, "127.0.0.1"),
                    audio=True,
                )
            )
            await eventually(lambda: bool(caller.port), what="an offer")
            tasks.create_task(play(made, caller.port))
    if kind == "adts":
        # The muxer writes headers of its own: what they enclose counts.
        units = [frame[7:] for frame in frames_of(heard.read_bytes())]
        assert len(units) > 10
        assert b"".join(units) in b"".join(frame[7:] for frame in frames_of(sound))
    else:
        assert len(heard.read_bytes()) > rate
        assert heard.read_bytes() in sound
    await ffmpeg("-i", str(seen), "-f", "null", "-")
