"""RTSPS: ends TLS and passes the bytes on over a socket pair, so that the rest of the way is that of plain RTSP.

A TLS state cannot be handed to another process, a socket can: the client's end of the pair goes through the door and
to its worker like any accepted socket, and this process carries the encrypted half. What a client does not take backs
up through the pair to its worker, where it is dropped up to the next key picture as for any slow client.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, cast

logger = logging.getLogger(__name__)

HANDSHAKE: Final = 10.0
"""Seconds that a client may take for the TLS handshake."""
SHUTDOWN: Final = 2.0
"""Seconds for the end of a TLS connection."""
MAX_CLIENTS: Final = 2048
"""Connections over TLS at the same time, those at the door included; further ones are closed at once."""
HIGH: Final = 256 * 1024
"""Bytes that one half may hold for the other; then the other is read no more until half of them are gone."""


class _Half(asyncio.Protocol):
    """One of the two connections that are joined."""

    def __init__(self) -> None:
        self.other: _Half | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=HIGH)

    def data_received(self, data: bytes) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.write(data)

    def pause_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        transport = self.other.transport if self.other is not None else None
        if transport is not None and not transport.is_closing():
            transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - either end ends both
        if self.other is not None and self.other.transport is not None:
            self.other.transport.close()


class _Encrypted(_Half):
    """The client's half; tells when its handshake is done."""

    def __init__(self, arrived: Callable[["_Encrypted"], None], gone: Callable[["_Encrypted"], None]) -> None:
        super().__init__()
        self._arrived = arrived
        self._gone = gone

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self.transport is not None:
            # Until the other half is there nothing is read, so nothing piles up here.
            self.transport.pause_reading()
        self._arrived(self)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._gone(self)


class TlsFront:
    """Everybody who is connected over TLS.

    Args:
        receive: leads a connection through the door: its socket, and address and port of the client.
    """

    def __init__(self, receive: Callable[[socket.socket, tuple[str, int]], Awaitable[None]]) -> None:
        self._receive = receive
        self._clients: set[_Encrypted] = set()
        self._new: asyncio.Queue[_Encrypted] = asyncio.Queue(MAX_CLIENTS)

    async def listen(self, listening: socket.socket, context: ssl.SSLContext) -> None:
        """Accept and serve until cancelled."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: _Encrypted(self._arrived, self._clients.discard),
            # A copy: the server closes what it was given, and another run needs it again.
            sock=listening.dup(),
            ssl=context,
            ssl_handshake_timeout=HANDSHAKE,
            ssl_shutdown_timeout=SHUTDOWN,
        )
        try:
            async with asyncio.TaskGroup() as tasks:
                while True:
                    client = await self._new.get()
                    tasks.create_task(self._serve(client), name="rtsps client")
        finally:
            server.close()
            for client in list(self._clients):
                if client.transport is not None:
                    client.transport.abort()

    def _arrived(self, client: _Encrypted) -> None:
        if len(self._clients) >= MAX_CLIENTS or self._new.full():
            logger.warning("%d clients over TLS: one refused", MAX_CLIENTS, extra={"action": "tls_crowded"})
            if client.transport is not None:
                client.transport.abort()
            return
        self._clients.add(client)
        self._new.put_nowait(client)

    async def _serve(self, client: _Encrypted) -> None:
        transport = client.transport
        address = transport.get_extra_info("peername") if transport is not None else None
        if transport is None or transport.is_closing() or address is None:
            return
        plain = _Half()
        try:
            ours, theirs = socket.socketpair()
        except OSError as error:
            logger.warning("no client taken over TLS: %s", error, extra={"action": "accept_failed"})
            transport.abort()
            return
        ours.setblocking(False)
        plain.other, client.other = client, plain
        await asyncio.get_running_loop().connect_accepted_socket(lambda: plain, ours)
        plain.resume_writing()
        await self._receive(theirs, address[:2])


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return how we prove who we are.

    Raises:
        OSError: a file cannot be read or is no certificate or key (`ssl.SSLError` is one).
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    return context
