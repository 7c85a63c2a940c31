"""Media to a client by datagrams."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.relay.chunk import MediaChunk
from gateway.relay.datagrams import MAX_BURST, MAX_SEGMENTS, DatagramOutlet, bursts
from gateway.relay.udp import PortPool

VIDEO, REPORTS = 0, 1


def frame(channel: int, payload: bytes) -> bytes:
    return bytes((0x24, channel)) + len(payload).to_bytes(2, "big") + payload


@pytest.fixture
def client() -> Iterator[tuple[socket.socket, socket.socket]]:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as rtp,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as rtcp,
    ):
        for sock in (rtp, rtcp):
            sock.bind(("127.0.0.1", 0))
            sock.settimeout(5)
        yield rtp, rtcp


def received(sock: socket.socket, count: int) -> list[bytes]:
    return [sock.recv(65536) for _ in range(count)]


@pytest.fixture
async def outlet(client: tuple[socket.socket, socket.socket]) -> AsyncIterator[DatagramOutlet]:
    made = DatagramOutlet(PortPool(), "127.0.0.1", "127.0.0.1", lambda: None)
    made.bind(0)
    rtp, rtcp = client
    made.open({0: (rtp.getsockname()[1], rtcp.getsockname()[1])}, {0: (VIDEO, REPORTS)})
    yield made
    made.close()


async def test_every_packet_arrives_as_one_datagram_in_order(
    outlet: DatagramOutlet, client: tuple[socket.socket, socket.socket]
) -> None:
    packets = [b"k" * 1400] * 3 + [b"s" * 700, b"p" * 1400, b"q" * 30, b"r" * 31]
    data = b"".join(frame(VIDEO, packet) for packet in packets) + frame(REPORTS, b"report")
    outlet.offer(MediaChunk(data, (0,), (0,), 0.0))
    assert received(client[0], len(packets)) == packets
    assert received(client[1], 1) == [b"report"]
    assert (outlet.frames_out, outlet.bytes_out) == (1, len(data))


async def test_it_begins_on_a_key_picture(
    outlet: DatagramOutlet, client: tuple[socket.socket, socket.socket]
) -> None:
    early, late, key = frame(VIDEO, b"early"), frame(VIDEO, b"late"), frame(VIDEO, b"key")
    outlet.offer(MediaChunk(early, (0,), (), 0.0))
    outlet.offer(MediaChunk(late + key, (0, len(late)), (len(late),), 0.0))
    assert received(client[0], 1) == [b"key"]
    assert (outlet.frames_out, outlet.dropped_frames) == (1, 0)


async def test_a_paused_client_gets_nothing(
    outlet: DatagramOutlet, client: tuple[socket.socket, socket.socket]
) -> None:
    outlet.pause()
    outlet.offer(MediaChunk(frame(VIDEO, b"key"), (0,), (0,), 0.0))
    client[0].setblocking(False)
    with pytest.raises(BlockingIOError):
        client[0].recv(100)


async def test_ports_of_an_ended_client_rest() -> None:
    pool = PortPool()
    outlet = DatagramOutlet(pool, "127.0.0.1", "127.0.0.1", lambda: None)
    port, _ = outlet.bind(0)
    outlet.close()
    with ExitStack() as stack:
        pairs = [pool.bind("127.0.0.1", asyncio.get_running_loop().time()) for _ in range(20)]
        for sock in (sock for pair in pairs for sock in pair):
            stack.enter_context(sock)
        assert port not in {rtp.getsockname()[1] for rtp, _ in pairs}


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1500)), max_size=120))
def test_bursts_hold_every_packet_once_and_only_what_the_kernel_cuts_apart_again(
    sizes: list[tuple[int, int]],
) -> None:
    with socket.socket() as one, socket.socket() as two:
        sockets = {0: one, 1: two}
        packets = [(channel, bytes([index % 256]) * size) for index, (channel, size) in enumerate(sizes)]
        data = b"".join(frame(channel, packet) for channel, packet in packets)
        found = [(sock, [bytes(packet) for packet in burst]) for sock, burst in bursts(data, sockets)]
        flat = [(sock, packet) for sock, burst in found for packet in burst]
        assert flat == [(sockets[c], packet) for c, packet in packets if c in sockets and packet]
        for _, burst in found:
            lengths = [len(packet) for packet in burst]
            assert len(burst) <= MAX_SEGMENTS
            assert sum(lengths) <= MAX_BURST
            assert set(lengths[:-1]) <= {lengths[0]}
            assert lengths[-1] <= lengths[0]
