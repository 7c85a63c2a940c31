# ruff: noqa: T201
"""What an RTP packet costs the relay when it comes by UDP: `python -m tests.bench.udp [--pictures N]`.

Sender and reader share one process; counted is the CPU time of the reads alone, from the kernel to
the chunk that takers are given. In order; in bursts as GRO of a network card brings them, with and
without UDP_GRO; with every 16th packet three places late; with every 100th packet missing.
"""

import argparse
import asyncio
import socket
import struct
import time
from collections.abc import Callable
from itertools import groupby
from statistics import median
from typing import Final

from adapters.base import Transport
from adapters.media.receiver import ReceiverStatistics
from adapters.rtsp.session import Track
from gateway.relay.chunk import ChunkWalker, Head
from gateway.relay.pace import ReadTick
from gateway.relay.reader import ChunkReader, SharedBuffer
from gateway.relay.reception import Reception
from gateway.relay.udp import PortPool, UdpMedia

PACKETS: Final = 16
"""Packets of one picture: 25 of them a second are 4 Mbit/s in 400 packets."""
_HEADER: Final = struct.Struct(">BBHII")
_BODY: Final = bytes(1240)
_SOL_UDP: Final = 17
_UDP_SEGMENT: Final = 103
_LATE: Final = 16
_LOST: Final = 100


class HandTick(ReadTick):
    """Read when the benchmark says so."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[Callable[[], None]] = []

    def add(self, fd: int, read: Callable[[], None]) -> None:
        self.reads.append(read)

    def again(self, fd: int) -> None:
        pass


def picture(number: int, way: str) -> list[bytes]:
    """Return the packets of one picture as they leave the network."""
    sequences = list(range(number * PACKETS, (number + 1) * PACKETS))
    if way == "reordered":
        sequences.sort(key=lambda sequence: sequence + (3.5 if sequence % _LATE == 4 else 0))
    if way == "lossy":
        sequences = [sequence for sequence in sequences if sequence % _LOST]
    return [_HEADER.pack(0x80, 96, sequence & 0xFFFF, number * 3600, 5) + _BODY for sequence in sequences]


def send(sender: socket.socket, port: int, packets: list[bytes], *, burst: bool) -> None:
    if not burst:
        for packet in packets:
            sender.sendto(packet, ("127.0.0.1", port))
        return
    for size, group in groupby(packets, len):
        segment = [(_SOL_UDP, _UDP_SEGMENT, struct.pack("=H", size))]
        sender.sendmsg([b"".join(group)], segment, 0, ("127.0.0.1", port))


async def measure(way: str, pictures: int, *, burst: bool = False, gro: bool = True) -> None:
    shared, reception, pool, tick = SharedBuffer(), Reception(), PortPool(gro=gro), HandTick()
    media = UdpMedia(shared, ChunkReader(shared, None, lambda *_: None), "127.0.0.1", print, reception)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind(("127.0.0.1", 0))
        (port,) = media.bind(pool, "127.0.0.1", 1)
        own = sender.getsockname()[1]
        track = Track(None, "", Transport.UDP, local_port=port, server_ports=(own, own + 1))
        walker = ChunkWalker(0, {0, 1}, 96, lambda _, before: Head.KEY)
        media.start((track,), walker, tick, [ReceiverStatistics(90_000)])
        read, used = tick.reads[0], []
        for number in range(pictures):
            packets = picture(number, way)
            send(sender, port, packets, burst=burst)
            begin = time.thread_time()
            read()
            used.append((time.thread_time() - begin) / len(packets))
        media.close(pool)
        tick.close()
    # Of the sum as well: what waits for a missing packet is paid for later.
    middle, mean = 1e6 * median(used), 1e6 * sum(used) / len(used)
    print(
        f"{way:10}{' burst' if burst else '':7}{'' if gro else 'no GRO':7}"
        f"{middle:6.2f} us a packet (mean {mean:.2f}), {0.4 * middle:.2f} ms a stream-second;"
        f" {reception.passed} passed, {reception.lost} lost, {reception.reordered} reordered"
    )


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=2000)
    pictures = parser.parse_args().pictures
    await measure("in order", pictures)
    await measure("in order", pictures, gro=False)
    await measure("in order", pictures, burst=True)
    await measure("in order", pictures, burst=True, gro=False)
    await measure("reordered", pictures)
    await measure("lossy", pictures)


if __name__ == "__main__":
    asyncio.run(main())
