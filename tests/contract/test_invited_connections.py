"""Connections of devices around the moment of the answer, in both loops: uvloop begins to read whatever is said."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import uvloop

from adapters.base import RtspTarget
from catalog.model.plan import MediaWay
from gateway.clock import SystemClock
from gateway.relay.chunk import MediaChunk, Run
from gateway.relay.facts import Reporter, Totals
from gateway.relay.invited_pull import InvitedPull
from gateway.relay.pace import ReadTick
from gateway.relay.protocol import Event, MediaOffered, OfferAnswered
from gateway.relay.pull import Shared
from gateway.relay.reader import SharedBuffer
from gateway.relay.spec import Invitation, RelaySpec
from gateway.relay.udp import PortPool
from gateway.relay.verification import Decoder
from tests.contract.test_invited_pull import (
    BOUNDS,
    CHANNEL,
    DEVICE,
    ELSEWHERE,
    HERE,
    ONE,
    OURS,
    THEIRS,
    packets,
)
from tests.waiting import eventually

LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]
INVITATION = Invitation(DEVICE, CHANNEL, MediaWay.TCP_PASSIVE, HERE)
SPEC = RelaySpec(ONE, CHANNEL, RtspTarget(HERE, 5060, "/x"), invitation=INVITATION, bounds=BOUNDS)


@dataclass
class Case:
    pull: InvitedPull
    opening: asyncio.Task[None]
    offer: MediaOffered
    taken: list[bytes] = field(default_factory=list)

    def connect(self, mark: bytes, *, host: str = HERE) -> socket.socket:
        """Connect to the offered port and send a second of a stream, all of which the kernel takes at once."""
        device = socket.create_connection((HERE, self.offer.port), timeout=5.0, source_address=(host, 0))
        device.sendall(b"".join(len(each).to_bytes(2, "big") + each for each in packets(mark)))
        return device

    def answer(self) -> None:
        self.pull.answer(OfferAnswered(ONE, self.offer.offer_id, (HERE,), 0))

    def has(self, mark: bytes) -> bool:
        return any(mark * 40 in data for data in self.taken)


async def turns(number: int) -> None:
    """Let the loop turn so often; each time it asks what has come."""
    for _ in range(number):
        await asyncio.sleep(0)


@asynccontextmanager
async def opening() -> AsyncIterator[Case]:
    events: list[Event] = []
    taken: list[bytes] = []

    def take(chunk: MediaChunk, _: Run) -> None:
        taken.append(chunk.data)

    decoder = Decoder()
    shared = Shared(SharedBuffer(), SharedBuffer(), PortPool(), ReadTick(), decoder)
    reporter = Reporter(ONE, SystemClock(), events.append)
    pull = InvitedPull(SPEC, INVITATION, shared, Totals(SPEC), reporter, take)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(pull.open(lambda _: None))
        await eventually(lambda: bool(events), what="the offer")
        [offer] = events
        assert isinstance(offer, MediaOffered)
        try:
            yield Case(pull, task, offer, taken)
        finally:
            await pull.close(1.0)
            task.cancel()


@pytest.mark.parametrize("new_loop", LOOPS)
@pytest.mark.parametrize("between", range(-6, 7))
def test_a_device_may_connect_shortly_before_the_answer_with_it_or_after(
    new_loop: Callable[[], asyncio.AbstractEventLoop], between: int
) -> None:
    async def scene() -> None:
        async with opening() as case:
            if between < 0:
                case.answer()
                await turns(-between)
            with case.connect(OURS):
                await turns(max(0, between))
                case.answer()
                async with asyncio.timeout(5.0):
                    await case.opening
                await turns(5)
                assert case.has(OURS)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(scene())


@pytest.mark.parametrize("new_loop", LOOPS)
def test_who_connects_before_the_answer_is_not_looked_at_until_it_is_known_who_it_is(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def scene() -> None:
        async with opening() as case:
            with case.connect(THEIRS, host=ELSEWHERE):
                await turns(50)
                with case.connect(OURS):
                    await turns(50)
                    assert not case.opening.done()
                    case.answer()
                    async with asyncio.timeout(5.0):
                        await case.opening
                    await turns(50)
                    assert case.has(OURS)
                    assert not case.has(THEIRS)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(scene())
