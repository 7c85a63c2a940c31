"""The fault proxies: each fault does what it says, can be taken back, and is counted."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from random import Random

import pytest

from tests.fakes.fault_proxy import CHUNK, MOST_WAITING, FaultProxy, fault_proxy
from tests.fakes.fault_switches import Cut, Door
from tests.fakes.udp_fault_proxy import DatagramWay, MediaRoute, udp_fault_proxy
from tests.waiting import eventually

FRAME = b"$\x00\x00\x64" + bytes(100)
SETUP = (
    b"SETUP rtsp://127.0.0.1/1 RTSP/1.0\r\nCSeq: 1\r\nTransport: RTP/AVP;unicast;client_port=%d-%d\r\n\r\n"
)


class Peer:
    """A server that notes what it reads, and how it was ended."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.ends: list[str] = []
        self.writers: list[asyncio.StreamWriter] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        try:
            while data := await reader.read(CHUNK):
                self.received += data
            self.ends.append("fin")
        except OSError:
            self.ends.append("reset")

    def send(self, data: bytes) -> None:
        self.writers[-1].write(data)


@asynccontextmanager
async def serving() -> AsyncIterator[Peer]:
    peer = Peer()
    server = await asyncio.start_server(peer.serve, "127.0.0.1", 0)
    peer.port = server.sockets[0].getsockname()[1]
    try:
        yield peer
    finally:
        server.close()
        for writer in peer.writers:
            writer.transport.abort()


class Client:
    """A connection through the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self._reader = reader

    async def read(self, count: int) -> bytes:
        async with asyncio.timeout(5):
            return await self._reader.readexactly(count)

    async def read_head(self) -> bytes:
        async with asyncio.timeout(5):
            return await self._reader.readuntil(b"\r\n\r\n")

    async def read_to_end(self) -> tuple[bytes, str]:
        data = b""
        async with asyncio.timeout(5):
            try:
                while part := await self._reader.read(CHUNK):
                    data += part
            except OSError:
                return data, "reset"
        return data, "fin"


@asynccontextmanager
async def connected(proxy: FaultProxy) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield Client(reader, writer)
    finally:
        writer.transport.abort()


@asynccontextmanager
async def passing(seed: int = 0) -> AsyncIterator[tuple[Peer, FaultProxy, Client]]:
    async with serving() as peer, fault_proxy(peer.port, seed=seed) as proxy, connected(proxy) as client:
        client.writer.write(b"hello")
        await eventually(lambda: peer.received == b"hello", what="hello")
        yield peer, proxy, client


async def test_both_ways_pass_and_an_end_is_handed_on() -> None:
    async with passing() as (peer, proxy, client):
        peer.send(b"welcome")
        assert await client.read(7) == b"welcome"
        client.writer.write_eof()
        await eventually(lambda: peer.ends == ["fin"], what="FIN")
        peer.send(b"later")
        peer.writers[-1].close()
        assert await client.read_to_end() == (b"later", "fin")
        await eventually(lambda: proxy.links == 0, what="no link")
        assert (proxy.counts.accepted, proxy.counts.bytes_passed, proxy.counts.resets) == (1, 17, 0)


async def test_a_reset_is_handed_on() -> None:
    async with passing() as (peer, proxy, client):
        peer.writers[-1].get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0"
        )
        peer.writers[-1].transport.abort()
        assert await client.read_to_end() == (b"", "reset")
        assert proxy.counts.resets == 1


async def test_delayed_bytes_keep_their_order() -> None:
    async with passing() as (peer, proxy, client):
        proxy.to_client.delay, proxy.to_client.jitter = 0.05, 0.05
        begin = asyncio.get_running_loop().time()
        for number in range(20):
            peer.send(bytes((number,)))
            await asyncio.sleep(0)
        assert await client.read(20) == bytes(range(20))
        assert asyncio.get_running_loop().time() - begin >= 0.05


async def test_a_throttled_way_is_no_faster_than_its_rate() -> None:
    async with passing() as (peer, proxy, client):
        proxy.to_client.rate = 40_000
        begin = asyncio.get_running_loop().time()
        peer.send(bytes(20_000))
        await client.read(20_000)
        assert asyncio.get_running_loop().time() - begin >= 0.25


async def test_a_stalled_way_holds_a_bounded_amount_and_the_other_way_goes_on() -> None:
    async with passing() as (peer, proxy, client):
        proxy.to_server.stall()
        client.writer.write(bytes(8 * 1024 * 1024))
        await eventually(lambda: proxy.waiting == MOST_WAITING, what="a full proxy")
        peer.send(b"still here")
        assert await client.read(10) == b"still here"
        assert (proxy.waiting, bytes(peer.received)) == (MOST_WAITING, b"hello")
        proxy.to_server.resume()
        await eventually(lambda: len(peer.received) == 5 + 8 * 1024 * 1024, what="all of it")


async def test_a_black_hole_swallows_bytes_and_ends() -> None:
    async with passing() as (peer, proxy, client):
        proxy.lose()
        client.writer.write(b"lost")
        client.writer.write_eof()
        await eventually(lambda: proxy.counts.bytes_lost == 4, what="the loss")
        proxy.to_client.is_lost = False
        peer.send(b"one way")
        assert await client.read(7) == b"one way"
        assert (bytes(peer.received), peer.ends) == (b"hello", [])


async def test_a_half_close_ends_one_way_alone() -> None:
    async with passing() as (peer, proxy, client):
        proxy.half_close_all(proxy.to_client)
        assert await client.read_to_end() == (b"", "fin")
        client.writer.write(b" again")
        await eventually(lambda: peer.received == b"hello again", what="the other way")
        peer.send(b"into nothing")
        await eventually(lambda: proxy.counts.bytes_lost == 12, what="the loss")
        assert (proxy.counts.half_closes, peer.ends) == (1, [])


async def test_a_reset_in_a_frame_comes_in_its_middle() -> None:
    async with passing() as (peer, proxy, client):
        proxy.to_client.reset_in_frame()
        peer.send(b"no frame ")
        assert await client.read(9) == b"no frame "
        peer.send(b"here" + FRAME * 2)
        data, end = await client.read_to_end()
        assert (data, end) == (b"here" + FRAME[:54], "reset")
        await eventually(lambda: peer.ends == ["reset"], what="RST to the server")


@pytest.mark.parametrize(("by", "end"), [(Cut.CLOSE, "fin"), (Cut.RESET, "reset")])
async def test_a_connection_is_cut_behind_so_many_bytes_once(by: Cut, end: str) -> None:
    async with passing() as (peer, proxy, client):
        proxy.to_client.cut_after(150, by)
        peer.send(bytes(100))
        peer.send(bytes(100))
        assert await client.read_to_end() == (bytes(150), end)
        async with connected(proxy) as another:
            await eventually(lambda: len(peer.writers) == 2, what="the next connection")
            peer.send(bytes(1000))
            assert await another.read(1000) == bytes(1000)


async def test_a_shut_door_refuses_and_an_open_one_is_at_the_same_port() -> None:
    async with passing() as (peer, proxy, client):
        port = proxy.port
        proxy.set_door(Door.SHUT)
        with pytest.raises(ConnectionRefusedError):
            async with connected(proxy):
                pass
        peer.send(b"standing")
        assert await client.read(8) == b"standing"
        proxy.set_door(Door.OPEN)
        assert proxy.port == port
        async with connected(proxy):
            await eventually(lambda: len(peer.writers) == 2, what="the next connection")


async def test_a_deaf_door_leaves_who_connects_without_an_answer() -> None:
    async with passing() as (peer, proxy, _client):
        proxy.set_door(Door.DEAF)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5), connected(proxy):
                pass
        proxy.set_door(Door.OPEN)
        async with asyncio.timeout(10), connected(proxy) as client:
            client.writer.write(b" again")
            await eventually(lambda: peer.received == b"hello again", what="again")


async def test_a_silent_door_takes_everything_and_says_nothing() -> None:
    async with passing() as (peer, proxy, _client):
        proxy.set_door(Door.SILENT)
        async with connected(proxy) as client:
            client.writer.write(b"anybody")
            await eventually(lambda: proxy.counts.bytes_lost == 7, what="the silence")
            assert (len(peer.writers), proxy.counts.silenced) == (1, 1)


def test_the_same_seed_brings_the_same_faults() -> None:
    def faults(seed: int) -> list[list[float]]:
        way = DatagramWay(Random(seed), loss=0.2, duplication=0.2, reordering=0.2, jitter=0.01)
        return [way.delays() for _ in range(200)]

    assert faults(5) == faults(5)
    assert faults(5) != faults(6)


class Socket:
    """A UDP socket of the test."""

    def __init__(self, port: int = 0) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.sock.bind(("127.0.0.1", port))
        self.port: int = self.sock.getsockname()[1]
        self.received: list[bytes] = []

    def take(self) -> list[bytes]:
        with suppress(BlockingIOError):
            while True:
                self.received.append(self.sock.recv(2048))
        return self.received


@asynccontextmanager
async def media_passing() -> AsyncIterator[tuple[Socket, Socket, DatagramWay, int, int]]:
    """Set a track up through the proxy: its client, its server, the switches, and the ports each was told."""
    client, server = Socket(), Socket()
    async with (
        closing(client, server),
        serving() as peer,
        udp_fault_proxy(peer.port) as (proxy, way),
        connected(proxy) as control,
    ):
        control.writer.write(SETUP % (client.port, client.port + 1))
        await eventually(lambda: b"\r\n\r\n" in peer.received, what="SETUP")
        told_server = port_in(bytes(peer.received), b"client_port=")
        answer = b"RTSP/1.0 200 OK\r\nTransport: RTP/AVP;client_port=%d-%d;server_port=%d-%d\r\n\r\n"
        peer.send(answer % (told_server, told_server + 1, server.port, server.port + 1))
        told_client = port_in(await control.read_head(), b"server_port=")
        yield client, server, way, told_client, told_server


@asynccontextmanager
async def closing(*sockets: Socket) -> AsyncIterator[None]:
    try:
        yield
    finally:
        for each in sockets:
            each.sock.close()


def port_in(text: bytes, name: bytes) -> int:
    return int(text.partition(name)[2].partition(b"-")[0])


async def test_media_pass_by_the_ports_that_each_side_is_told() -> None:
    async with media_passing() as (client, server, way, told_client, told_server):
        server.sock.sendto(b"picture", ("127.0.0.1", told_server))
        await eventually(lambda: client.take() == [b"picture"], what="media")
        client.sock.sendto(b"report", ("127.0.0.1", told_client))
        await eventually(lambda: server.take() == [b"report"], what="the way back")
        assert way.counts.passed == 2


async def test_datagrams_are_lost_doubled_and_overtaken_as_told() -> None:
    async with media_passing() as (client, server, way, _told_client, told_server):
        way.loss, way.duplication, way.reordering = 0.2, 0.2, 0.2
        for number in range(200):
            server.sock.sendto(number.to_bytes(2, "big"), ("127.0.0.1", told_server))
            await asyncio.sleep(0)
        await eventually(
            lambda: len(client.take()) == 200 - way.counts.lost + way.counts.duplicated > 100, what="the rest"
        )
        numbers = [int.from_bytes(data, "big") for data in client.received]
        assert numbers != sorted(numbers)
        assert way.counts.lost > 10
        assert len(set(numbers)) < len(numbers)
        way.is_lost = True
        lost = way.counts.lost
        server.sock.sendto(b"into nothing", ("127.0.0.1", told_server))
        await eventually(lambda: way.counts.lost == lost + 1, what="the black hole")


def test_bytes_without_a_transport_header_are_left_alone() -> None:
    route = MediaRoute(DatagramWay(Random(0)))
    assert route.to_server(b"OPTIONS * RTSP/1.0\r\n\r\n") == b"OPTIONS * RTSP/1.0\r\n\r\n"
    assert route.to_client(b"RTSP/1.0 200 OK\r\n\r\n") == b"RTSP/1.0 200 OK\r\n\r\n"
    route.close()
