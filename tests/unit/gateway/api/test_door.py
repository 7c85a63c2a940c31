"""The door of the server: counted connections, and none that is kept without being used."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from gateway.api.door import Door, note_request

LARGE = 32 * 1024 * 1024


@web.middleware
async def noting(request: web.Request, handler: Any) -> web.StreamResponse:
    note_request(request)
    response = await handler(request)
    assert isinstance(response, web.StreamResponse)
    return response


async def hello(_request: web.Request) -> web.Response:
    return web.Response(text="hello")


async def large(_request: web.Request) -> web.Response:
    return web.Response(body=bytes(LARGE))


@asynccontextmanager
async def served(**limits: Any) -> AsyncIterator[int]:
    """Serve behind a door of these limits; gives the port."""
    app = web.Application(middlewares=[noting])
    app.router.add_get("/", hello)
    app.router.add_get("/large", large)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    assert runner.server is not None
    server = await asyncio.get_running_loop().create_server(Door(runner.server, **limits), "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await runner.cleanup()


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    assert await reader.readexactly(5) == b"hello"
    return head


async def is_closed(reader: asyncio.StreamReader) -> bool:
    """Wait for the end of the connection; the test's own time limit bounds it."""
    try:
        return await reader.read(1) == b""
    except ConnectionResetError:
        return True


async def test_one_connection_too_many_is_closed_and_its_place_is_given_again() -> None:
    async with served(most=1) as port:
        async with connected(port) as first:
            await ask(*first)
            async with connected(port) as (reader, _):
                assert await is_closed(reader)
            await ask(*first)
        for _ in range(100):
            try:
                async with connected(port) as again:
                    await ask(*again)
                return
            except (asyncio.IncompleteReadError, ConnectionResetError):
                await asyncio.sleep(0.01)
        pytest.fail("the place was not given again")


async def test_who_asks_nothing_is_closed() -> None:
    async with served(first_request=0.2) as port, connected(port) as (reader, _):
        assert await is_closed(reader)


async def test_who_never_ends_the_head_is_closed() -> None:
    async with served(first_request=0.2) as port, connected(port) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: h\r\nX: ")
        assert await is_closed(reader)


async def test_who_asked_once_may_be_silent_for_longer() -> None:
    async with served(first_request=0.2) as port, connected(port) as caller:
        await ask(*caller)
        await asyncio.sleep(0.5)
        await ask(*caller)


async def test_who_does_not_take_the_answer_is_closed() -> None:
    async with served(stalled=0.3) as port, connected(port) as (reader, writer):
        transport = writer.transport
        assert isinstance(transport, asyncio.Transport)
        writer.write(b"GET /large HTTP/1.1\r\nHost: h\r\n\r\n")
        transport.pause_reading()
        await asyncio.sleep(1.0)
        transport.resume_reading()
        with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
            await reader.readexactly(LARGE)


def test_one_address_takes_its_share_only_but_a_proxy_speaks_for_all() -> None:
    door = Door(asyncio.Protocol, most=10, most_per_address=2)
    assert [door.enter("192.0.2.1") for _ in range(3)] == [True, True, False]
    assert [door.enter("127.0.0.1") for _ in range(3)] == [True, True, True]
    door.leave("192.0.2.1")
    assert door.enter("192.0.2.1")
    assert [door.enter("::1") for _ in range(6)] == [True] * 5 + [False]
