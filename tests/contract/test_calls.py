"""Invitations against virtual devices: what the worker hears, and that every device that took one hears BYE."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count

from adapters.base import SourceKey
from adapters.simulator.gb_device import GbDevice, GbQuirk, VirtualChannel, VirtualGbDevice, clip_maker
from catalog.model.plan import MediaWay
from catalog.model.secret import Secret
from gateway.gb28181.calls import Calls
from gateway.relay.protocol import MediaOffered, OfferAnswered, OfferRefused
from gateway.relay.spec import Invitation
from tests.fakes.gb_superior import OWN_ID, PASSWORD, listening
from tests.waiting import eventually

ONE = SourceKey(1)
RECORDER, CHANNEL = "34020000001180000001", "34020000001310000001"


@dataclass
class Case:
    calls: Calls
    device: GbDevice
    heard: list[OfferAnswered | OfferRefused] = field(default_factory=list)
    numbers: "count[int]" = field(default_factory=lambda: count(1))

    def offer(self, channel: str = CHANNEL, device: str = RECORDER) -> int:
        number = next(self.numbers)
        offer = MediaOffered(ONE, 0.0, datetime.now(UTC), number, 30_000)
        self.calls.offered(Invitation(device, channel, MediaWay.UDP, "127.0.0.1"), offer)
        return number

    async def answer(self, number: int) -> OfferAnswered | OfferRefused:
        def has_come() -> bool:
            return any(each.offer_id == number for each in self.heard)

        await eventually(has_come, what=f"the answer to offer {number}")
        return next(each for each in self.heard if each.offer_id == number)

    async def calls_are(self, number: int) -> None:
        await eventually(lambda: self.device.calls == number, what=f"{number} sessions at the device")


@asynccontextmanager
async def calling(*quirks: GbQuirk) -> AsyncIterator[Case]:
    async with listening({RECORDER: PASSWORD}) as server, asyncio.TaskGroup() as group:
        known = VirtualGbDevice(
            RECORDER,
            Secret(PASSWORD),
            OWN_ID,
            ("127.0.0.1", server.udp_port),
            (VirtualChannel(CHANNEL),),
            quirks=frozenset(quirks),
        )
        device = GbDevice(known, clip_maker())
        heard: list[OfferAnswered | OfferRefused] = []
        calls = Calls(server.superior, heard.append, "")
        tasks = [group.create_task(device.run()), group.create_task(calls.run())]
        async with asyncio.timeout(10):
            await device.is_registered.wait()
        try:
            yield Case(calls, device, heard)
        finally:
            for task in tasks:
                task.cancel()


async def test_a_device_is_invited_and_hears_bye_when_its_session_ends() -> None:
    async with calling() as case:
        answer = await case.answer(case.offer())
        assert isinstance(answer, OfferAnswered)
        assert answer.hosts == ("127.0.0.1",)
        assert answer.port > 0
        assert case.device.calls == 1
        case.calls.ended(ONE)
        await case.calls_are(0)


async def test_a_second_session_of_a_source_takes_leave_of_the_first() -> None:
    async with calling() as case:
        await case.answer(case.offer())
        assert isinstance(await case.answer(case.offer()), OfferAnswered)
        await case.calls_are(1)
        assert case.device.invited == 2


async def test_a_session_that_ends_before_its_device_was_invited_invites_nobody() -> None:
    async with calling() as case:
        case.offer()
        case.calls.ended(ONE)
        number = case.offer()
        await case.answer(number)
        assert case.device.invited == 1
        assert [each.offer_id for each in case.heard] == [number]


async def test_a_refusal_is_told_with_its_status_and_words() -> None:
    async with calling(GbQuirk.BUSY) as case:
        answer = await case.answer(case.offer())
        assert isinstance(answer, OfferRefused)
        assert (answer.cause, answer.status) == ("refused", 486)
        assert "limit" in answer.detail


async def test_an_unknown_channel_and_a_device_that_is_not_registered_are_told_as_such() -> None:
    async with calling() as case:
        unknown = await case.answer(case.offer("34020000001310000099"))
        assert isinstance(unknown, OfferRefused)
        assert (unknown.cause, unknown.status) == ("refused", 404)
        absent = await case.answer(case.offer(device="34020000001180000099"))
        assert isinstance(absent, OfferRefused)
        assert absent.cause == "not_registered"


async def test_a_device_that_ends_its_session_ends_it_here() -> None:
    async with calling() as case:
        number = case.offer()
        assert isinstance(await case.answer(number), OfferAnswered)
        await case.device.hang_up()
        await eventually(lambda: isinstance(case.heard[-1], OfferRefused), what="the end")
        ended = case.heard[-1]
        assert isinstance(ended, OfferRefused)
        assert (ended.offer_id, ended.cause) == (number, "closed")
        # Nothing is left to take leave of.
        case.calls.ended(ONE)
        assert case.calls.counts["bye_unanswered"] == 0


async def test_an_end_of_the_gateway_takes_leave_of_everybody() -> None:
    async with calling() as case:
        await case.answer(case.offer())
        case.calls.leave_all()
        await case.calls_are(0)
