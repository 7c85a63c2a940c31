"""UDP media: ports that are not used again at once, and datagrams that are not ours."""

import asyncio
import itertools
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.base import Transport
from adapters.errors import LocalResourcesExhausted, PeerClosed
from adapters.media.receiver import ReceiverStatistics
from adapters.media.rtcp import ReceiverReport
from adapters.rtsp.session import Track
from gateway.relay.chunk import ChunkWalker, Head, MediaChunk
from gateway.relay.intake import Frames, RtpIntake
from gateway.relay.pace import ReadTick
from gateway.relay.reader import ChunkReader, SharedBuffer
from gateway.relay.reception import Reception
from gateway.relay.reorder import TAKEOVER_PACKETS, TAKEOVER_SILENCE, SsrcPin
from gateway.relay.udp import QUARANTINE, PortPool, UdpMedia, share_of
from tests.waiting import eventually

SOL_UDP, UDP_SEGMENT = 17, 103


def rtp(ssrc: int, body: bytes, sequence: int = 1) -> bytes:
    head = b"\x80\x60" + (sequence % 65536).to_bytes(2, "big") + b"\x00\x00\x00\x09"
    return head + ssrc.to_bytes(4, "big") + body


def framed(packets: list[bytes], channel: int = 0) -> bytes:
    return b"".join(b"$" + bytes((channel,)) + len(each).to_bytes(2, "big") + each for each in packets)


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


def test_ports_of_a_range_are_taken_in_turn_and_none_beside_it() -> None:
    with closing_all() as opened:
        pool = PortPool(share_of(range(41_001, 41_011), 0, 1))
        for _ in range(4):
            opened += pool.bind("127.0.0.1", 0.0)
        assert sorted(sock.getsockname()[1] for sock in opened) == list(range(41_002, 41_010))
        with pytest.raises(LocalResourcesExhausted):
            pool.bind("127.0.0.1", 0.0)
        opened.pop(0).close()
        opened.pop(0).close()
        opened += pool.bind("127.0.0.1", 0.0)


def test_a_port_of_a_range_rests_after_its_stream_over_tcp_too() -> None:
    pool = PortPool(range(41_020, 41_022, 2))
    with pool.listen("127.0.0.1", 0.0) as listening:
        assert listening.getsockname()[1] == 41_020
        with pytest.raises(LocalResourcesExhausted):
            pool.listen("127.0.0.1", 0.0)
    pool.retire(41_020, 1.0)
    with pytest.raises(LocalResourcesExhausted):
        pool.listen("127.0.0.1", QUARANTINE)
    pool.listen("127.0.0.1", QUARANTINE + 2).close()


@given(st.integers(1024, 60_000), st.integers(64, 4_000), st.integers(1, 16))
def test_workers_share_a_range_and_no_port_twice(first: int, size: int, count: int) -> None:
    shares = [share_of(range(first, first + size), index, count) for index in range(count)]
    ports = [port for share in shares if share is not None for port in share]
    assert ports == sorted(set(ports))
    assert all(port % 2 == 0 and first <= port < first + size - 1 for port in ports)
    assert len(ports) >= (size - 1) // 2
    assert all(shares)


def test_fewer_ports_than_workers_is_an_error() -> None:
    assert share_of(None, 3, 4) is None
    with pytest.raises(ValueError, match="1 pairs of ports for 2 workers"):
        share_of(range(30_000, 30_003), 0, 2)


@contextmanager
def closing_all() -> Iterator[list[socket.socket]]:
    opened: list[socket.socket] = []
    try:
        yield opened
    finally:
        for sock in opened:
            sock.close()


class Bench:
    """A `UdpMedia` with a sender at `127.0.0.1`, and what got through."""

    def __init__(
        self,
        *,
        ssrc: int | None = None,
        known_ports: bool = True,
        gro: bool = True,
        stray: bytes | None = None,
    ) -> None:
        self.runs: list[MediaChunk] = []
        self.pool = PortPool(gro=gro)
        self.tick = ReadTick()
        shared = SharedBuffer()
        reader = ChunkReader(shared, None, lambda chunk, _: self.runs.append(chunk))
        self.reception = Reception()
        self.media = UdpMedia(shared, reader, "127.0.0.1", self.fail, self.reception)
        (self.port,) = self.media.bind(self.pool, "127.0.0.1", 1)
        self.sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sender.bind(("127.0.0.1", 0))
        if stray is not None:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
                self.send(stray, other)
        port = self.sender.getsockname()[1]
        ports = (port, port + 1) if known_ports else None
        track = Track(None, "", Transport.UDP, local_port=self.port, server_ports=ports, ssrc=ssrc)
        walker = ChunkWalker(0, {0, 1}, 96, lambda _, before: Head.KEY)
        self.statistics = ReceiverStatistics(90_000)
        self.media.start((track,), walker, self.tick, [self.statistics])

    def fail(self, error: Exception) -> None:
        raise error

    def send(self, packet: bytes, sender: socket.socket | None = None) -> None:
        (sender or self.sender).sendto(packet, ("127.0.0.1", self.port))

    def send_burst(self, packets: list[bytes]) -> None:
        """Send packets of one size, the last perhaps shorter, as one burst for the kernel to cut."""
        size = struct.pack("=H", len(packets[0]))
        self.sender.sendmsg([b"".join(packets)], [(SOL_UDP, UDP_SEGMENT, size)], 0, ("127.0.0.1", self.port))

    def close(self) -> None:
        self.media.close(self.pool)
        self.tick.close()
        self.sender.close()

    @property
    def data(self) -> bytes:
        return b"".join(run.data for run in self.runs)


Make = Callable[..., Bench]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    """Make benches; they are closed at the end."""
    opened: list[Bench] = []

    def make(**options: Any) -> Bench:
        opened.append(Bench(**options))
        return opened[-1]

    yield make
    for bench in opened:
        bench.close()


@pytest.mark.parametrize("gro", [True, False])
async def test_datagrams_are_framed_as_on_tcp(make: Make, gro: bool) -> None:
    bench = make(gro=gro)
    packets = [rtp(5, b"one"), rtp(5, b"three", 2)]
    for packet in packets:
        bench.send(packet)
    await eventually(lambda: bench.data == framed(packets), what="datagrams")


@pytest.mark.parametrize("gro", [True, False])
async def test_bursts_of_the_kernel_are_framed_packet_by_packet(make: Make, gro: bool) -> None:
    bench = make(gro=gro)
    first = rtp(5, b"first", 65499)
    bench.send(first)
    await eventually(lambda: bench.data == framed([first]), what="the first")
    packets = [rtp(5, bytes(1200), sequence) for sequence in range(65500, 65540)] + [rtp(5, b"last", 4)]
    bench.send_burst(packets)
    # Foreign, malformed and repeated ones within a burst are dropped alone.
    more = [rtp(5, bytes(20), 5), rtp(6, bytes(20), 6), bytes(32), rtp(5, bytes(20), 5), rtp(5, bytes(20), 6)]
    bench.send_burst(more)
    await eventually(lambda: bench.data == framed([first, *packets, more[0], more[4]]), what="datagrams")
    reception = bench.reception
    assert (reception.passed, reception.foreign, reception.duplicates) == (44, 2, 1)
    assert (bench.statistics.received, bench.statistics.lost) == (45, -1)


@pytest.mark.parametrize("gro", [True, False])
async def test_packets_go_on_in_order_and_what_never_comes_is_waited_for_only_shortly(
    make: Make, gro: bool
) -> None:
    bench = make(gro=gro)
    packets = {sequence: rtp(5, b"%d" % sequence, sequence) for sequence in range(1, 12)}
    for sequence in (1, 3, 2, 4, 4, 6, 7, 9, 8, 11):
        bench.send(packets[sequence])
    # 5 and 10 never come, and nothing more does: the clock alone ends the waiting.
    order = [packets[sequence] for sequence in (1, 2, 3, 4, 6, 7, 8, 9, 11)]
    await eventually(lambda: bench.data == framed(order), what="what followed the gaps")
    bench.send(packets[5])
    await eventually(lambda: bench.reception.late == 1, what="the late one")
    reception = bench.reception
    assert (reception.passed, reception.lost, reception.reordered, reception.duplicates) == (9, 2, 2, 1)
    assert bench.data == framed(order)


async def test_what_the_kernel_dropped_is_told(make: Make) -> None:
    bench = make()
    sequences = itertools.count(1)
    for _ in range(10_000):
        bench.send(rtp(5, bytes(1300), next(sequences)))
    await eventually(lambda: bench.reception.passed > 0, what="what fitted")

    def told() -> bool:
        bench.send(rtp(5, b"after", next(sequences)))
        return bench.reception.kernel_drops > 0 and bench.reception.restarts + bench.reception.lost > 0

    await eventually(told, what="the kernel's count")


async def test_a_flood_of_one_round_is_carried_whole(make: Make) -> None:
    bench = make()
    packets = [rtp(5, bytes(1300), sequence) for sequence in range(600)]
    for packet in packets:
        bench.send(packet)
    await eventually(lambda: bench.data == framed(packets), what="all of them")


@pytest.mark.parametrize("known_ports", [True, False])
async def test_reports_go_to_where_the_rtcp_comes_from(make: Make, known_ports: bool) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as rtcp:
        bench = make(known_ports=known_ports)
        rtcp.setblocking(False)
        rtcp.bind(("127.0.0.1", bench.sender.getsockname()[1] + 1))
        report = bytes(ReceiverReport(9))
        rtcp.sendto(report, ("127.0.0.1", bench.port + 1))
        await eventually(lambda: bench.data == framed([report], channel=1), what="the report")
        bench.media.send(1, b"answer")
        async with asyncio.timeout(10):
            assert await asyncio.get_running_loop().sock_recv(rtcp, 100) == b"answer"


class HandFed:
    """An `RtpIntake` that is fed by hand, and what got through."""

    def __init__(self, ssrc: int | None = None) -> None:
        self.reception = Reception()
        self._runs: list[MediaChunk] = []
        self._shared = SharedBuffer()
        reader = ChunkReader(self._shared, None, lambda chunk, _: self._runs.append(chunk))
        reader.walker = ChunkWalker(0, {0}, 96, lambda _, before: Head.KEY)
        self._frames = Frames(self._shared, reader)
        self._intake = RtpIntake(0, SsrcPin(ssrc, 0.0), ReceiverStatistics(90_000), self.reception)

    def receive(self, packet: bytes, at: float) -> None:
        self._frames.begin(at)
        start = self._frames.at + 4
        self._shared.view[start : start + len(packet)] = packet
        self._intake.take(self._frames, len(packet), ("127.0.0.1", 9))
        self._intake.end(self._frames)
        self._frames.end()

    @property
    def data(self) -> bytes:
        return b"".join(run.data for run in self._runs)


def test_a_wrong_announced_ssrc_costs_the_first_seconds_and_no_more() -> None:
    fed = HandFed(ssrc=5)
    fed.receive(rtp(6, b"too early", 7000), TAKEOVER_SILENCE - 0.1)
    packets = [rtp(6, b"%d" % number, 7001 + number) for number in range(TAKEOVER_PACKETS + 1)]
    for packet in packets:
        fed.receive(packet, TAKEOVER_SILENCE)
    assert fed.data == framed(packets[-2:])
    assert (fed.reception.foreign, fed.reception.restarts) == (TAKEOVER_PACKETS, 0)


def test_an_ssrc_that_takes_the_place_of_one_that_fell_silent_ends_the_session() -> None:
    fed = HandFed()
    before = rtp(5, b"before", 100)
    fed.receive(before, 1.0)
    for number in range(TAKEOVER_PACKETS - 1):
        fed.receive(rtp(6, b"after", 7001 + number), 1.0 + TAKEOVER_SILENCE)
    with pytest.raises(PeerClosed, match="another SSRC"):
        fed.receive(rtp(6, b"after", 7001 + TAKEOVER_PACKETS), 1.0 + TAKEOVER_SILENCE)
    assert fed.data == framed([before])
    assert fed.reception.restarts == 1


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=40),
            st.builds(rtp, st.integers(5, 6), st.binary(max_size=20), st.integers(0, 65535)),
            st.builds(rtp, st.just(5), st.binary(max_size=20), st.integers(100, 160)),
        ),
        max_size=60,
    )
)
def test_whatever_arrives_only_whole_packets_of_one_ssrc_leave_and_each_once(datagrams: list[bytes]) -> None:
    fed = HandFed()
    for number, datagram in enumerate(datagrams):
        fed.receive(datagram, number / 1000)
    data, left = fed.data, []
    while data:
        size = 4 + int.from_bytes(data[2:4], "big")
        left.append(data[4:size])
        data = data[size:]
    assert {packet[8:12] for packet in left} <= {left[0][8:12]} if left else True
    assert all(packet in datagrams for packet in left)
    reception = fed.reception
    assert len(left) == reception.passed
    assert reception.passed + reception.foreign + reception.duplicates + reception.late <= len(datagrams)


@pytest.mark.parametrize("known_ports", [True, False])
async def test_another_sender_another_ssrc_and_what_is_no_rtp_never_get_through(
    make: Make, known_ports: bool
) -> None:
    bench = make(ssrc=5, known_ports=known_ports)
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
        assert bench.reception.foreign >= 3


async def test_what_another_stream_of_the_same_host_sent_before_the_ports_were_known_never_gets_through(
    make: Make,
) -> None:
    # A recorder goes on sending to a port that a killed worker had used, and another channel is set up on it.
    bench = make(stray=rtp(6, b"another channel"))
    bench.send(rtp(5, b"ours"))
    await eventually(lambda: bench.data.endswith(b"ours"), what="our datagram")
    assert len(bench.data) == 4 + 12 + 4


async def test_after_closing_nothing_is_read_and_the_port_is_retired(make: Make) -> None:
    bench = make()
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
