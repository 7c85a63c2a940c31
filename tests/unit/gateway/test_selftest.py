"""Is it us? Asked of the kernel's own loopback and of references on it; nothing leaves the machine."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from gateway.interfaces import Link, LinuxKernel
from gateway.liveness import SelfTest
from gateway.selftest import OwnNetwork

UNTELLABLE = "fe80::1"
"""A link-local address without its link: the kernel tells nothing of the way, and nobody can be connected to."""


@asynccontextmanager
async def reference() -> AsyncIterator[tuple[str, int]]:
    """A machine of ours that answers."""
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[:2]


class Broken(LinuxKernel):
    """This machine, were its loopback down."""

    def link(self, interface: str) -> Link:
        return Link.DOWN


def asking(hosts: Sequence[str], **options: object) -> OwnNetwork:
    return OwnNetwork(lambda: hosts, **options)  # type: ignore[arg-type]


async def test_routes_over_an_interface_that_is_up_are_well() -> None:
    own = asking(["127.0.0.1", "127.0.0.2"])

    assert await own.is_up()
    assert await own.judge_suspicion() is SelfTest.NOT_OURS


async def test_an_interface_that_is_down_is_our_fault() -> None:
    own = asking(["127.0.0.1"], kernel=Broken())

    assert own.fault_towards("127.0.0.1") == "interface lo is down"
    assert not await own.is_up()
    assert await own.judge_suspicion() is SelfTest.OURS


async def test_without_any_source_to_ask_nothing_is_held_against_our_network() -> None:
    assert await asking([]).is_up()


async def test_one_of_several_references_is_enough() -> None:
    async with reference() as answering:
        own = asking([], references=[answering, (UNTELLABLE, 9)])
        assert await own.is_up()


async def test_when_no_reference_answers_it_is_us() -> None:
    assert not await asking([], references=[(UNTELLABLE, 9)]).is_up()


async def test_superiors_are_asked_only_about_a_suspicion() -> None:
    own = asking([], superiors=lambda: [(UNTELLABLE, 9)])

    assert await own.is_up()
    assert await own.judge_suspicion() is SelfTest.OURS


async def test_one_way_of_ours_that_is_broken_blinds_us_to_nobody_else() -> None:
    own = asking(["127.0.0.1", UNTELLABLE], kernel=Broken())

    assert own.fault_towards("127.0.0.1") is not None
    assert await own.is_up()


async def test_a_reference_that_refuses_has_answered() -> None:
    async with reference() as (host, port):
        pass
    assert await asking([], references=[(host, port)]).is_up()
