"""Measures program streams taken in: `python -m tests.bench.ps [MBIT]`, CPU ms per stream-second, sockets left out.

The aim for the whole way in is 2.5 ms at 4 Mbit/s; what stands here is everything behind the sockets: framing, the
demultiplexer, packets made anew, the walk over them, and the copy that every taker is given.
"""

import sys
import time
from typing import cast

from adapters.base import Transport
from adapters.simulator.ps_mux import PsWriter
from gateway.relay.chunk import MediaChunk, Run
from gateway.relay.intake import Frames
from gateway.relay.ps_media import PsMedia, PsTap
from gateway.relay.pull import Shared
from gateway.relay.reader import SharedBuffer
from gateway.relay.rtp_framing import RtpFramer

RATE = 25
SECONDS = 60
KEY_EVERY = 25


class _Shared:
    def __init__(self) -> None:
        self.buffer, self.made = SharedBuffer(), SharedBuffer()


def stream(megabits: float) -> list[list[bytes]]:
    """Return the RTP packets of each picture of a second: a key picture of eight times the size of the others."""
    writer, packets, made = PsWriter("H264"), 0, []
    unit = int(megabits * 1e6 / 8 / (KEY_EVERY + 7))
    for index in range(RATE):
        is_key = index % KEY_EVERY == 0
        body = bytes(1 + at % 200 for at in range(unit * (8 if is_key else 1)))
        head = (
            b"\0\0\0\1\x67\x42\0\x1f\xaa\0\0\0\1\x68\xce\x3c\x80\0\0\0\1\x65" if is_key else b"\0\0\0\1\x41"
        )
        pack = writer.picture(head + body, 3600 * index, is_key=is_key)
        made.append(writer.rtp(pack, 7, packets, 3600 * index))
        packets += len(made[-1])
    return made


def _renumbered(packet: bytes, sequence: int, timestamp: int) -> bytes:
    return packet[:2] + (sequence & 0xFFFF).to_bytes(2, "big") + timestamp.to_bytes(4, "big") + packet[8:]


def _whole(megabits: float) -> list[list[bytes]]:
    second = stream(megabits)
    pictures, sequence = [], 0
    for turn in range(SECONDS):
        for index, packets in enumerate(second):
            stamp = (turn * RATE + index) * 3600
            pictures.append([_renumbered(each, sequence + n, stamp) for n, each in enumerate(packets)])
            sequence += len(packets)
    return pictures


def measure(megabits: float, *, is_udp: bool) -> tuple[float, int]:
    """Return CPU ms per stream-second and the packets that came out."""
    shared = cast(Shared, _Shared())
    count = 0

    def take(_: MediaChunk, run: Run) -> None:
        nonlocal count
        count += run.video_packets

    media = PsMedia(shared, Transport.UDP if is_udp else Transport.TCP, audio=False, take=take)
    frames, framer = Frames(shared.buffer, PsTap(shared, media)), RtpFramer()
    pictures = _whole(megabits)
    joined = [b"".join(len(each).to_bytes(2, "big") + each for each in packets) for packets in pictures]
    began = time.process_time()
    for number, packets in enumerate(pictures):
        now = number / RATE
        if is_udp:
            frames.begin(now)
            for packet in packets:
                frames.write(0, packet)
            frames.end()
        else:
            media.begin(now)
            media.packets(framer.receive(joined[number]))
            media.end()
    return (time.process_time() - began) / SECONDS * 1e3, count


def main(megabits: float) -> None:
    """Print what was measured."""
    for is_udp in (True, False):
        cpu, count = measure(megabits, is_udp=is_udp)
        name = "PS over UDP" if is_udp else "PS over TCP"
        sys.stdout.write(
            f"{name} at {megabits:g} Mbit/s: {cpu:.2f} ms per stream-second, {count / SECONDS:.0f} packets/s\n"
        )


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 4.0)
