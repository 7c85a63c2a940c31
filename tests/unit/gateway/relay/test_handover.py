"""Accepted connections cross to another process's hands, whole or not at all."""

import resource
import socket
from base64 import b64encode
from collections.abc import Iterator

import pytest

from adapters.base import SourceKey
from gateway.relay.handover import Receiver, hand_over, make_pair
from gateway.relay.protocol import ServeReader, Shutdown
from gateway.relay.wire import encode
from tests.waiting import eventually


@pytest.fixture
def way() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = make_pair()
    with ours, theirs:
        yield ours, theirs


def reader(number: int) -> ServeReader:
    return ServeReader(SourceKey(7), number, "127.0.0.1:5000", b64encode(b"DESCRIBE").decode())


async def test_a_connection_arrives_with_its_order_and_can_be_used(
    way: tuple[socket.socket, socket.socket],
) -> None:
    taken: list[tuple[ServeReader, socket.socket | None]] = []
    receiver = Receiver(way[1], lambda *one: taken.append(one))
    client, accepted = socket.socketpair()
    with client:
        assert hand_over(way[0], reader(1), accepted)
        accepted.close()
        await eventually(lambda: bool(taken), what="the connection")
        order, connection = taken[0]
        assert connection is not None
        with connection:
            assert order == reader(1)
            client.sendall(b"hello")
            assert connection.recv(16) == b"hello"
    receiver.close()


async def test_what_is_no_handover_is_thrown_away_and_the_next_one_arrives(
    way: tuple[socket.socket, socket.socket],
) -> None:
    taken: list[tuple[ServeReader, socket.socket | None]] = []
    receiver = Receiver(way[1], lambda *one: taken.append(one))
    client, accepted = socket.socketpair()
    with client, accepted:
        way[0].send(encode(Shutdown()))
        socket.send_fds(way[0], [b"nonsense"], [accepted.fileno()])
        assert hand_over(way[0], reader(2), accepted)
        await eventually(lambda: bool(taken), what="the connection")
    order, connection = taken[0]
    assert connection is not None
    with connection:
        assert order == reader(2)
    receiver.close()


async def test_an_order_whose_descriptor_the_kernel_could_not_give_is_told_so_that_nobody_counts_it(
    way: tuple[socket.socket, socket.socket],
) -> None:
    taken: list[tuple[ServeReader, socket.socket | None]] = []
    receiver = Receiver(way[1], lambda *one: taken.append(one))
    client, accepted = socket.socketpair()
    with client, accepted:
        # The lowest number that is free: the kernel can give none, and delivers the packet alone.
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        assert hand_over(way[0], reader(1), accepted)
        with socket.socket() as free:
            lowest = free.fileno()
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, limits[1]))
        try:
            await eventually(lambda: bool(taken), what="the order")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert taken == [(reader(1), None)]
    receiver.close()


def test_a_worker_that_takes_nothing_is_given_no_more_and_nobody_waits(
    way: tuple[socket.socket, socket.socket],
) -> None:
    client, accepted = socket.socketpair()
    with client, accepted:
        outcomes = [hand_over(way[0], reader(number), accepted) for number in range(5000)]
    assert outcomes[0]
    assert not outcomes[-1]


def test_a_worker_that_is_gone_is_given_nothing(way: tuple[socket.socket, socket.socket]) -> None:
    way[1].close()
    client, accepted = socket.socketpair()
    with client, accepted:
        assert not hand_over(way[0], reader(1), accepted)


async def test_the_end_of_the_control_plane_ends_the_receiver(
    way: tuple[socket.socket, socket.socket],
) -> None:
    Receiver(way[1], lambda *_: None)
    way[0].close()
    await eventually(lambda: way[1].fileno() < 0, what="the end")
