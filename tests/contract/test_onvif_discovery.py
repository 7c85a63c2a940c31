"""WS-Discovery on real sockets of loopback: the group heard and asked, single addresses asked, nobody else believed."""

import re

import pytest

from adapters.errors import LocalResourcesExhausted, PeerTimeout, PeerUnreachable
from adapters.onvif.discovery import Discoverer
from adapters.onvif.wsdiscovery import Kind, read_announcements
from tests.fakes.ws_device import free_udp_port, ws_device
from tests.waiting import eventually

HERE = "127.0.0.1"
CAMERA = "127.0.20.1"
XADDR = f"http://{CAMERA}:8000/onvif/device_service"


class Heard:
    """What arrived, with senders."""

    def __init__(self) -> None:
        self.datagrams: list[tuple[bytes, str]] = []

    def take(self, data: bytes, sender: str) -> None:
        self.datagrams.append((data, sender))

    def kinds(self, sender: str = CAMERA) -> list[Kind]:
        return [
            announcement.kind
            for data, who in self.datagrams
            if who == sender
            for announcement in read_announcements(data)
        ]


async def test_hello_and_bye_are_heard_with_their_senders() -> None:
    port, heard = free_udp_port(), Heard()
    async with Discoverer(heard.take, port=port) as discoverer, ws_device(CAMERA, XADDR, port=port) as device:
        await discoverer.join(HERE)
        device.hello(port)
        device.bye(port)
        await eventually(lambda: heard.kinds() == [Kind.HELLO, Kind.BYE], what="hello and bye")


async def test_the_group_is_asked_and_answers_are_known_as_ours() -> None:
    port, heard = free_udp_port(), Heard()
    async with Discoverer(heard.take, port=port) as discoverer, ws_device(CAMERA, XADDR, port=port) as device:
        await discoverer.join(HERE)
        discoverer.probe_group()
        await eventually(lambda: heard.kinds() == [Kind.MATCH, Kind.MATCH], what="answers to both Probes")
        answers = [
            each for data, who in heard.datagrams if who == CAMERA for each in read_announcements(data)
        ]
        assert all(discoverer.answers_us(answer) for answer in answers)
        [forged] = read_announcements(device.match("urn:uuid:11111111-2222-4333-8444-555555555555"))
        assert not discoverer.answers_us(forged)


async def test_one_address_is_asked() -> None:
    port, heard = free_udp_port(), Heard()
    async with Discoverer(heard.take, port=port) as discoverer, ws_device(CAMERA, XADDR, port=port):
        [answer] = await discoverer.ask(CAMERA, patience=5.0)
        assert answer.xaddrs == (XADDR,)


async def test_who_is_silent_is_told_in_time_and_who_is_not_there_too() -> None:
    port, heard = free_udp_port(), Heard()
    async with (
        Discoverer(heard.take, port=port) as discoverer,
        ws_device(CAMERA, XADDR, port=port, is_silent=True) as device,
    ):
        with pytest.raises(PeerTimeout):
            await discoverer.ask(CAMERA, patience=0.1)
        assert device.probes == 2
        with pytest.raises(PeerTimeout):
            await discoverer.ask("127.0.20.9", patience=0.1)
        with pytest.raises(PeerUnreachable):
            await discoverer.ask("2001:db8::1", patience=0.1)


async def test_the_answer_to_a_question_that_is_over_is_no_answer() -> None:
    port, heard = free_udp_port(), Heard()
    async with (
        Discoverer(heard.take, port=port) as discoverer,
        ws_device(CAMERA, XADDR, port=port, is_silent=True) as silent,
    ):
        with pytest.raises(PeerTimeout):
            await discoverer.ask(CAMERA, patience=0.3)
        found = re.search(rb"MessageID>(urn:uuid:[^<]+)<", silent.received[0])
        assert found is not None
        [late] = read_announcements(silent.match(found[1].decode()))
        assert not discoverer.answers_us(late)


async def test_an_address_that_is_not_ours_is_refused_and_leaving_ends_hearing() -> None:
    port, heard = free_udp_port(), Heard()
    async with Discoverer(heard.take, port=port) as discoverer:
        with pytest.raises(LocalResourcesExhausted):
            await discoverer.join("192.0.2.1")
        await discoverer.join(HERE)
        await discoverer.join(HERE)
        assert discoverer.interfaces == {HERE}
        discoverer.leave(HERE)
        assert discoverer.interfaces == frozenset()
        discoverer.probe_group()
