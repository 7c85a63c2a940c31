"""Muster as RTSP server, whole: its listeners and who may pull; and relays on demand kept while somebody looks."""

import asyncio
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

from catalog.sources import SourceUnknown
from gateway.clock import Clock
from gateway.config import RtspServerConfig
from gateway.relay.manager import RelayManager
from gateway.serving.admission import Admission, OnDemand
from gateway.serving.listener import Doorway, open_listener
from gateway.serving.tls import TlsFront, server_context


@dataclass(frozen=True)
class Listeners:
    """Sockets that listen; None where nobody shall come."""

    plain: socket.socket | None = None
    secure: socket.socket | None = None
    context: ssl.SSLContext | None = None
    "How we prove who we are to those who come over TLS."


@contextmanager
def listening(config: RtspServerConfig) -> Iterator[Listeners]:
    """Bind the configured ports for the length of the block.

    Raises:
        OSError: an address or a TLS file cannot be used.
    """
    with ExitStack() as stack:
        plain = stack.enter_context(open_listener(config.host, config.port)) if config.port else None
        secure, context = None, None
        if config.tls_port and config.tls_cert is not None and config.tls_key is not None:
            context = server_context(config.tls_cert, config.tls_key)
            secure = stack.enter_context(open_listener(config.host, config.tls_port))
        yield Listeners(plain, secure, context)


@dataclass
class RtspServer:
    """Serves whoever may pull.

    Args:
        admission: lets clients in.
        relays: serves them.
        clock: the gateway's.
    """

    admission: Admission
    relays: RelayManager
    clock: Clock

    async def run(self, listeners: Listeners) -> None:
        """Serve until cancelled."""
        doorway = Doorway(self.admission, self.relays, self.clock)
        async with asyncio.TaskGroup() as tasks:
            if listeners.plain is not None:
                tasks.create_task(doorway.listen(listeners.plain), name="rtsp door")
            if listeners.secure is not None and listeners.context is not None:
                front = TlsFront(doorway.receive)
                tasks.create_task(front.listen(listeners.secure, listeners.context), name="rtsps door")


async def keep_wanted(relays: RelayManager, on_demand: OnDemand, clock: Clock, renew_every: float) -> None:
    """Say for every source that somebody pulls, a player or a browser, that it is still wanted; for ever.

    Args:
        relays: knows who pulls.
        on_demand: keeps a relay that runs only when asked for.
        clock: waits.
        renew_every: seconds between two words.
    """
    while True:
        await clock.sleep(renew_every)
        for source_id in relays.readers():
            # One that left the roll is being stopped already.
            with suppress(SourceUnknown):
                await on_demand.start(source_id)
