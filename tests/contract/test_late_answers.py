"""Invitations that are answered when nobody waits for them any more: the device hears ACK and BYE all the same."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from adapters.errors import PeerTimeout
from adapters.sip.endpoint import Listening, SipEndpoint
from adapters.sip.message import Request, parse, request
from adapters.sip.transaction import Way
from tests.waiting import eventually

ANSWER = """SIP/2.0 200 OK\r
Via: {via}\r
From: {own}\r
To: {to};tag=device\r
Call-ID: {call}\r
CSeq: {cseq}\r
Contact: <sip:34020000001310000001@127.0.0.1:{port}>\r
Content-Length: 0\r
\r
"""


class Device(asyncio.DatagramProtocol):
    """Hears requests and answers when it is told to."""

    def __init__(self) -> None:
        self.heard: list[Request] = []
        self._transport: asyncio.DatagramTransport | None = None
        self._peer: tuple[str, int] = ("", 0)

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        message = parse(data)
        assert isinstance(message, Request)
        self._peer = addr
        self.heard.append(message)
        if message.method == "BYE":
            self.answer(message)

    def answer(self, asked: Request) -> None:
        """Answer with 200."""
        assert self._transport is not None
        text = ANSWER.format(
            via=asked.get("via"),
            own=asked.get("from"),
            to=(asked.get("to") or "").partition(";")[0],
            call=asked.call_id,
            cseq=asked.get("cseq"),
            port=self._transport.get_extra_info("sockname")[1],
        )
        self._transport.sendto(text.encode(), self._peer)

    def of(self, method: str) -> list[Request]:
        return [each for each in self.heard if each.method == method]


def invite(via: str) -> Request:
    headers = (
        ("Via", via),
        ("From", "<sip:34020000002000000001@3402000000>;tag=us"),
        ("To", "<sip:34020000001310000001@3402000000>"),
        ("Call-ID", "late"),
        ("CSeq", "7 INVITE"),
        ("Max-Forwards", "70"),
    )
    return request("INVITE", "sip:34020000001310000001@127.0.0.1", headers)


@asynccontextmanager
async def between() -> AsyncIterator[tuple[SipEndpoint, Device, Way]]:
    endpoint = SipEndpoint(lambda _: None)
    await endpoint.listen(Listening((("127.0.0.1", 0),), ()))
    transport, device = await asyncio.get_running_loop().create_datagram_endpoint(
        Device, local_addr=("127.0.0.1", 0)
    )
    try:
        yield endpoint, device, Way("udp", "127.0.0.1", transport.get_extra_info("sockname")[1], 0)
    finally:
        transport.close()
        await endpoint.close()


async def taken_back(endpoint: SipEndpoint, device: Device, way: Way) -> None:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(endpoint.request(way, invite, within=10.0))
        await eventually(lambda: bool(device.of("INVITE")), what="INVITE")
        task.cancel()


async def timed_out(endpoint: SipEndpoint, device: Device, way: Way) -> None:
    with pytest.raises(PeerTimeout):
        await endpoint.request(way, invite, within=0.3)


@pytest.mark.parametrize("give_up", [taken_back, timed_out])
async def test_a_session_that_begins_too_late_is_ended_at_once(
    give_up: Callable[[SipEndpoint, Device, Way], "asyncio.Future[None]"],
) -> None:
    async with between() as (endpoint, device, way):
        await give_up(endpoint, device, way)
        await eventually(lambda: bool(device.of("CANCEL")), what="CANCEL")
        device.answer(device.of("INVITE")[0])
        await eventually(lambda: bool(device.of("BYE")), what="BYE")
        [ack], [bye] = device.of("ACK"), device.of("BYE")
        assert ack.get("to") == bye.get("to") == "<sip:34020000001310000001@3402000000>;tag=device"
        assert (ack.get("cseq"), bye.get("cseq")) == ("7 ACK", "8 BYE")
        assert endpoint.counts["late_sessions"] == 1
        # It did not hear the ACK: another one, and no second BYE.
        device.answer(device.of("INVITE")[0])
        await eventually(lambda: len(device.of("ACK")) == 2, what="another ACK")
        assert len({each.get("cseq") for each in device.of("BYE")}) == 1


async def test_an_answer_to_what_was_never_asked_is_passed_over() -> None:
    async with between() as (endpoint, device, way):
        await taken_back(endpoint, device, way)
        asked = device.of("INVITE")[0]
        forged = request(
            "INVITE",
            "sip:x@127.0.0.1",
            (("Via", "SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bKother"), *asked.headers[1:]),
        )
        device.answer(forged)
        device.answer(asked)
        await eventually(lambda: bool(device.of("BYE")), what="BYE for the one that was asked")
        assert endpoint.counts["late_sessions"] == 1
        assert len(device.of("ACK")) == 1
