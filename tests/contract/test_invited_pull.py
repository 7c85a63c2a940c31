"""A relay whose source is invited: the right picture or none, whoever else sends to its port."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count

import pytest

from adapters.base import RtspTarget, SourceKey
from adapters.simulator.ps_mux import PsQuirk, PsWriter
from catalog.model.plan import MediaWay
from gateway.clock import SystemClock
from gateway.relay.manager import RelayManager
from gateway.relay.protocol import Event, MediaOffered, OfferAnswered, OfferRefused, Playing, RelayEnded
from gateway.relay.spec import Invitation, RelayBounds, RelaySpec, SinkSpec
from tests.fakes.rtsp_server import FakeRtspServer, Script, fake_rtsp_server
from tests.interop.relay_peers import facts_of
from tests.unit.adapters.media.test_ps import PPS, SPS, annexb
from tests.waiting import eventually

ONE, TWO = SourceKey(1), SourceKey(2)
DEVICE, CHANNEL = "34020000001180000001", "34020000001320000001"
HERE, ELSEWHERE = "127.0.0.1", "127.0.50.9"
BOUNDS = RelayBounds(
    handshake=3.0, first_media=3.0, media_timeout=5.0, reconnect_first=0.2, reconnect_longest=0.4
)
OURS, THEIRS = b"\x11", b"\x22"


@dataclass
class Caller:
    """What the relay asks of whoever invites devices."""

    offers: list[MediaOffered] = field(default_factory=list)
    ends: list[SourceKey] = field(default_factory=list)

    def offered(self, invitation: Invitation, offer: MediaOffered) -> None:
        assert (invitation.device_id, invitation.channel_id) == (DEVICE, CHANNEL)
        self.offers.append(offer)

    def ended(self, source_id: SourceKey) -> None:
        self.ends.append(source_id)


@dataclass
class Case:
    relays: RelayManager
    caller: Caller
    superior: FakeRtspServer

    async def offer(self, number: int = 1) -> MediaOffered:
        await eventually(lambda: len(self.caller.offers) >= number, what=f"offer {number}")
        return self.caller.offers[number - 1]

    def answer(self, offer: MediaOffered, *hosts: str, port: int = 0) -> None:
        self.relays.answer(OfferAnswered(ONE, offer.offer_id, hosts or (HERE,), port))

    def pictures(self, mark: bytes) -> int:
        """How many packets with this sender's mark went out."""
        return sum(mark * 40 in packet for _, packet in self.superior.frames)


def spec_of(source: SourceKey, media: MediaWay, superior: FakeRtspServer) -> RelaySpec:
    return RelaySpec(
        source,
        CHANNEL,
        RtspTarget(HERE, 5060, "/x"),
        sink=SinkSpec(RtspTarget(HERE, superior.port, "/m")),
        invitation=Invitation(DEVICE, CHANNEL, media, HERE),
        bounds=BOUNDS,
    )


@asynccontextmanager
async def relaying(media: MediaWay, ports: range | None = None) -> AsyncIterator[Case]:
    async with (
        fake_rtsp_server(Script(packet_interval=0)) as superior,
        RelayManager(SystemClock(), workers=1, ports=ports) as relays,
    ):
        caller = Caller()
        relays.caller = caller
        relays.start(spec_of(ONE, media, superior))
        yield Case(relays, caller, superior)


def packets(mark: bytes, *quirks: PsQuirk) -> list[bytes]:
    """One second of a stream of somebody, with his mark in each picture."""
    writer = PsWriter("H264", frozenset(quirks))
    made: list[bytes] = []
    for index in range(25):
        unit = annexb(SPS, PPS, b"\x65" + mark * 900) if index == 0 else annexb(b"\x41" + mark * 900)
        pack = writer.picture(unit, 3600 * index, is_key=index == 0)
        made += writer.rtp(pack, int.from_bytes(mark * 4, "big"), len(made), 3600 * index)
    return made


class Sender:
    """Sends its stream again and again over UDP, from one address and port."""

    def __init__(self, host: str, port: int, mark: bytes) -> None:
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._sock.bind((host, 0))
        self._target = (HERE, port)
        self._packets = packets(mark)
        self._numbers = count()

    def close(self) -> None:
        self._sock.close()

    async def run(self) -> None:
        for number in self._numbers:
            packet = self._packets[number % len(self._packets)]
            turn = number // len(self._packets)
            stamp = (int.from_bytes(packet[4:8], "big") + turn * 90_000) & 0xFFFFFFFF
            head = packet[:2] + (number & 0xFFFF).to_bytes(2, "big") + stamp.to_bytes(4, "big") + packet[8:12]
            with suppress(OSError):
                self._sock.sendto(head + packet[12:], self._target)
            await asyncio.sleep(0.01)


@asynccontextmanager
async def sending(*senders: Sender) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(each.run()) for each in senders]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            for each in senders:
                each.close()


def is_end(cause: str) -> Callable[[Event], bool]:
    return lambda event: isinstance(event, RelayEnded) and event.cause == cause


async def test_only_the_device_that_was_invited_is_seen_over_udp() -> None:
    async with relaying(MediaWay.UDP) as case:
        offer = await case.offer()
        # Somebody elsewhere sends before the answer, all the time, and is never looked at.
        async with sending(Sender(ELSEWHERE, offer.port, THEIRS)):
            case.answer(offer)
            async with sending(Sender(HERE, offer.port, OURS)):
                await eventually(lambda: case.pictures(OURS) > 20, what="its pictures")
                # Another stream of the same host, from another port: the first one latched.
                async with sending(Sender(HERE, offer.port, THEIRS)):
                    before = case.pictures(OURS)
                    await eventually(lambda: case.pictures(OURS) > before + 40, what="more of its pictures")
        assert case.pictures(THEIRS) == 0
        await eventually(lambda: case.relays.counters()[ONE].foreign > 0, what="the others are counted")


async def test_what_is_no_program_stream_latches_nobody() -> None:
    async with relaying(MediaWay.UDP) as case:
        offer = await case.offer()
        case.answer(offer)
        stray = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        stray.sendto(b"\x80\x60" + bytes(200), (HERE, offer.port))
        async with sending(Sender(HERE, offer.port, OURS)):
            await eventually(lambda: case.pictures(OURS) > 5, what="its pictures")
        stray.close()


async def test_only_the_device_that_was_invited_is_seen_over_tcp() -> None:
    async with relaying(MediaWay.TCP_PASSIVE) as case:
        offer = await case.offer()
        framed = b"".join(len(each).to_bytes(2, "big") + each for each in packets(OURS))
        foreign = b"".join(len(each).to_bytes(2, "big") + each for each in packets(THEIRS))
        _, stranger = await asyncio.open_connection(HERE, offer.port, local_addr=(ELSEWHERE, 0))
        stranger.write(foreign)
        # Some devices connect before their answer is read: nothing of it is lost.
        _, device = await asyncio.open_connection(HERE, offer.port)
        device.write(framed)
        case.answer(offer)
        await eventually(lambda: case.pictures(OURS) > 5, what="its pictures")
        reader, second = await asyncio.open_connection(HERE, offer.port)
        second.write(foreign)
        with suppress(OSError):
            assert await reader.read(1) == b""
        assert case.pictures(THEIRS) == 0
        for each in (stranger, device, second):
            each.transport.abort()


@pytest.mark.parametrize("cause", ["refused", "timeout", "not_registered", "closed"])
async def test_a_device_that_does_not_take_the_invitation_is_asked_again_later(cause: str) -> None:
    async with relaying(MediaWay.UDP) as case, facts_of(case.relays) as facts:
        first = await case.offer()
        case.relays.answer(OfferRefused(ONE, first.offer_id, cause, "no", 486))
        await eventually(facts.has(ONE, is_end(cause)), what="the end")
        second = await case.offer(2)
        assert second.offer_id != first.offer_id
        # An answer to the offer before says nothing about this one.
        case.relays.answer(OfferRefused(ONE, first.offer_id, cause, "no"))
        case.answer(second)
        async with sending(Sender(HERE, second.port, OURS)):
            await eventually(facts.has(ONE, lambda event: isinstance(event, Playing)), what="playing")
        assert case.caller.ends[:1] == [ONE]


async def test_a_device_that_takes_the_invitation_and_sends_nothing_is_given_up() -> None:
    async with relaying(MediaWay.TCP_PASSIVE) as case, facts_of(case.relays) as facts:
        case.answer(await case.offer())
        await eventually(facts.has(ONE, is_end("timeout")), what="the end")
        assert case.caller.ends == [ONE]


async def test_a_device_to_which_we_connect_is_tried_more_than_once() -> None:
    async with relaying(MediaWay.TCP_ACTIVE) as case:
        offer = await case.offer()
        assert offer.port == 0
        closed = socket.socket()
        closed.bind((HERE, 0))
        port = closed.getsockname()[1]
        case.answer(offer, port=port)
        framed = b"".join(len(each).to_bytes(2, "big") + each for each in packets(OURS))

        writers: list[asyncio.StreamWriter] = []

        async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writers.append(writer)
            writer.write(framed)

        # It begins to listen only after the first try was refused.
        await asyncio.sleep(0)
        closed.close()
        async with await asyncio.start_server(serve, HERE, port):
            await eventually(lambda: case.pictures(OURS) > 5, what="its pictures")
            for each in writers:
                each.transport.abort()


async def test_a_stop_takes_leave_of_the_device() -> None:
    async with relaying(MediaWay.UDP) as case:
        offer = await case.offer()
        case.answer(offer)
        async with sending(Sender(HERE, offer.port, OURS)):
            await eventually(lambda: case.pictures(OURS) > 5, what="its pictures")
        case.relays.stop(ONE, "test over")
        await eventually(lambda: case.caller.ends == [ONE], what="the leave")


def free_pair() -> int:
    """An even port of which nobody uses it or the next, over UDP or TCP."""
    for port in range(42_000, 43_000, 2):
        with (
            socket.socket() as tcp,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
            suppress(OSError),
        ):
            tcp.bind((HERE, port))
            udp.bind((HERE, port + 1))
            return port
    raise AssertionError("no pair is free")


@pytest.mark.parametrize("media", [MediaWay.UDP, MediaWay.TCP_PASSIVE])
async def test_where_no_port_is_left_the_fault_is_ours_and_the_others_play_on(media: MediaWay) -> None:
    port = free_pair()
    async with relaying(media, range(port, port + 3)) as case, facts_of(case.relays) as facts:
        offer = await case.offer()
        assert offer.port == port
        case.relays.start(spec_of(TWO, media, case.superior))
        await eventually(
            facts.has(TWO, lambda e: isinstance(e, RelayEnded) and e.cause == "local_error" and e.retryable),
            what="the end of the second",
        )
        case.answer(offer)
        if media is MediaWay.UDP:
            async with sending(Sender(HERE, offer.port, OURS)):
                await eventually(lambda: case.pictures(OURS) > 5, what="pictures of the first")
        else:
            _, device = await asyncio.open_connection(HERE, offer.port)
            device.write(b"".join(len(each).to_bytes(2, "big") + each for each in packets(OURS)))
            await eventually(lambda: case.pictures(OURS) > 5, what="pictures of the first")
            device.transport.abort()
        assert len(case.caller.offers) == 1
