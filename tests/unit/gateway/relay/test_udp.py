"""UDP media: ports that are not used again at once, and datagrams that are not ours."""

import asyncio
import socket

import pytest

from adapters.base import Transport
from adapters.errors import LocalResourcesExhausted
from adapters.rtsp.session import Track
from gateway.relay.chunk import ChunkWalker, Head, MediaChunk
from gateway.relay.reader import ChunkReader, SharedBuffer
from gateway.relay.udp import QUARANTINE, PortPool, UdpMedia, UdpTick
from tests.waiting import eventually


def rtp(ssrc: int, body: bytes) -> bytes:
    return b"\x80\x60\x00\x01\x00\x00\x00\x09" + ssrc.to_bytes(4, "big") + body


def test_a_pair_of_ports_is_even_and_odd() -> None:
    first, second = PortPool().bind("127.0.0.1", 0.0)
    with first, second:
        port = first.getsockname()[1]
        assert port % 2 == 0
        assert second.getsockname()[1] == port + 1


def test_a_port_that_carried_a_stream_is_kept_out_of_use_for_a_while() -> None:
    pool = PortPool()
    for port in range(0, 65536, 2):
        pool.retire(port, 0.0)
    with pytest.raises(LocalResourcesExhausted):
        pool.bind("127.0.0.1", QUARANTINE - 1)
    first, second = pool.bind("127.0.0.1", QUARANTINE + 1)
    first.close()
    second.close()


class Bench:
    """A `UdpMedia` with a sender at `127.0.0.1`, and what got through."""

    def __init__(self, *, ssrc: int | None = None, known_ports: bool = True) -> None:
        self.runs: list[MediaChunk] = []
        self.pool = PortPool()
        self.tick = UdpTick()
        shared = SharedBuffer()
        reader = ChunkReader(shared, None, lambda chunk, _: self.runs.append(chunk))
        self.media = UdpMedia(shared, reader, "127.0.0.1", self.fail)
        (self.port,) = self.media.bind(self.pool, "127.0.0.1", 1)
        self.sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sender.bind(("127.0.0.1", 0))
        port = self.sender.getsockname()[1]
        ports = (port, port + 1) if known_ports else None
        track = Track(None, "", Transport.UDP, local_port=self.port, server_ports=ports, ssrc=ssrc)
        walker = ChunkWalker(0, {0, 1}, 96, lambda _, before: Head.KEY)
        self.media.start((track,), walker, self.tick)

    def fail(self, error: Exception) -> None:
        raise error

    def send(self, packet: bytes, sender: socket.socket | None = None) -> None:
        (sender or self.sender).sendto(packet, ("127.0.0.1", self.port))

    def close(self) -> None:
        self.media.close(self.pool)
        self.tick.close()
        self.sender.close()

    @property
    def data(self) -> bytes:
        return b"".join(run.data for run in self.runs)


async def test_datagrams_are_framed_as_on_tcp() -> None:
    bench = Bench()
    packets = [rtp(5, b"one"), rtp(5, b"three")]
    for packet in packets:
        bench.send(packet)
    expected = b"".join(b"$\0" + len(packet).to_bytes(2, "big") + packet for packet in packets)
    await eventually(lambda: bench.data == expected, what="datagrams")
    bench.close()


@pytest.mark.parametrize("known_ports", [True, False])
async def test_another_sender_another_ssrc_and_what_is_no_rtp_never_get_through(known_ports: bool) -> None:
    bench = Bench(ssrc=5, known_ports=known_ports)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        # Another address of the loopback: another peer.
        other.bind(("127.0.0.2", 0))
        bench.send(rtp(5, b"other sender"), other)
        bench.send(rtp(6, b"other ssrc"))
        bench.send(b"no rtp")
        bench.send(rtp(5, bytes(3000)))
        bench.send(rtp(5, b"ours"))
        await eventually(lambda: bench.data.endswith(b"ours"), what="our datagram")
        assert len(bench.data) == 4 + 12 + 4
        assert bench.media.foreign_packets >= 3
    bench.close()


async def test_after_closing_nothing_is_read_and_the_port_is_retired() -> None:
    bench = Bench()
    bench.send(rtp(5, b"late"))
    bench.close()
    await asyncio.sleep(0)
    assert bench.runs == []
    now = asyncio.get_running_loop().time()
    for port in range(0, 65536, 2):
        if port != bench.port:
            bench.pool.retire(port, now)
    with pytest.raises(LocalResourcesExhausted):
        bench.pool.bind("127.0.0.1", now)
