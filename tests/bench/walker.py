"""Micro-benchmark of the chunk walker: CPU per stream-second over real H.264, `python -m tests.bench.walker`.

Two senders: a picture at a time, and a packet at a time, the worst case. The figure is the best of some
rounds, for a shared machine only ever adds.
"""

import asyncio
import statistics
import sys
from collections.abc import Iterator
from time import process_time
from typing import Final

from adapters.base import RtspTarget, SourceKey
from adapters.media.sdp import Format
from gateway.clock import SystemClock
from gateway.relay.changes import Changes
from gateway.relay.chunk import ChunkWalker
from gateway.relay.facts import Reporter, Totals
from gateway.relay.fanout import Fanout
from gateway.relay.picture import classifier
from gateway.relay.reader import ChunkReader, SharedBuffer
from gateway.relay.spec import RelaySpec
from tests.bench.relay_stream import RATE, Packetizer, encode

SECONDS: Final = 10
ROUNDS: Final = 15


def packets_of(picture: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(picture):
        after = at + 4 + int.from_bytes(picture[at + 2 : at + 4], "big")
        yield picture[at:after]
        at = after


def changes() -> Changes:
    spec = RelaySpec(SourceKey(1), "bench", RtspTarget("127.0.0.1", 554, "/"))
    video = Format(96, "H264", 90_000)
    reporter = Reporter(spec.source_id, SystemClock(), lambda event: None)
    return Changes(0, video, Totals(spec), Fanout(0), reporter, lambda why: None)


def measure(chunks: list[bytes], *, watched: bool) -> float:
    """Return the CPU seconds of reading, walking and copying `chunks`, and of looking for changes."""
    shared = SharedBuffer()
    reader = ChunkReader(shared, None, changes().take if watched else lambda chunk, run: None)
    reader.walker = ChunkWalker(0, {0, 1}, 96, classifier("H264"))
    begun = process_time()
    for chunk in chunks:
        begin = reader.begin()
        shared.bytes[begin : begin + len(chunk)] = chunk
        reader.end(begin + len(chunk), 0.0)
    return process_time() - begun


async def main() -> None:
    pictures = await encode(SECONDS, 4_000_000)
    source = Packetizer(1, pictures)
    framewise = [source.next_picture() for _ in range(SECONDS * RATE)]
    packetwise = [packet for picture in framewise for packet in packets_of(picture)]
    sys.stdout.write(f"{len(packetwise) / SECONDS:.0f} packets a second\n")
    for name, chunks in (("a picture a chunk", framewise), ("a packet a chunk", packetwise)):
        for watched in (False, True):
            rounds = [1000 * measure(chunks, watched=watched) / SECONDS for _ in range(ROUNDS)]
            what = f"{name}{', changes looked for' if watched else ''}"
            figures = f"best {min(rounds):.3f}, median {statistics.median(rounds):.3f}"
            sys.stdout.write(f"{what}: {figures} ms per stream-second\n")


if __name__ == "__main__":
    asyncio.run(main())
