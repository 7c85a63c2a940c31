"""The listening side of Muster as RTSP server: leads each connection through the door, then hands it to a worker.

A plain connection is read here until its client is admitted; then its socket goes to the worker that holds the
source, with what was read and not yet answered. One over TLS ends in `tls`, and looks the same from here on.
"""

import asyncio
import logging
import socket
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Final

from adapters.digest_server import Nonces
from adapters.rtsp.door import MAX_MESSAGE, DoorSession, DoorState, Ended, Wanted
from gateway.api.limits import FailureLimit
from gateway.clock import Clock
from gateway.relay.manager import RelayManager
from gateway.serving.admission import Account, Admission, Refused
from gateway.supervisor import isolated

logger = logging.getLogger(__name__)

MAX_AT_DOOR: Final = 256
"""Connections that may stand at the door at once; further ones wait in the kernel, briefly."""
MAX_AT_DOOR_EACH: Final = 32
"""The same from one address; further ones are closed at once."""
BACKLOG: Final = 512
_WRITE_TIMEOUT: Final = 5.0
_OUT_OF_DESCRIPTORS_PAUSE: Final = 0.5


@dataclass
class Doorway:
    """Everybody who stands at the door of one gateway.

    Args:
        admission: lets clients in.
        relays: serves those who were let in.
        clock: the gateway's.
    """

    admission: Admission
    relays: RelayManager
    clock: Clock
    nonces: Nonces = field(default_factory=Nonces)
    failures: FailureLimit = field(default_factory=FailureLimit)
    "Wrong passwords by address: who guesses is not heard for a while."
    _here: dict[str, int] = field(default_factory=dict)
    _room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_AT_DOOR))

    async def listen(self, listening: socket.socket) -> None:
        """Accept and serve until cancelled.

        Args:
            listening: bound, listening and non-blocking.
        """
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as tasks:
            while True:
                await self._room.acquire()
                try:
                    accepted, address = await loop.sock_accept(listening)
                except OSError as error:
                    self._room.release()
                    logger.warning("no client accepted: %s", error, extra={"action": "accept_failed"})
                    await self.clock.sleep(_OUT_OF_DESCRIPTORS_PAUSE)
                    continue
                task = tasks.create_task(self.receive(accepted, address), name=f"door: {address[0]}")
                task.add_done_callback(lambda _: self._room.release())

    async def receive(self, accepted: socket.socket, address: tuple[str, int]) -> None:
        """Lead one connection to its admission or end; closes our copy of its socket."""
        host = address[0]
        peer = f"{host}:{address[1]}"
        with accepted, ExitStack() as stack:
            if self.failures.wait_for(host, self.clock.monotonic()):
                return
            if self._here.get(host, 0) >= MAX_AT_DOOR_EACH:
                logger.warning("too many clients of %s at the door", host, extra={"action": "door_crowded"})
                return
            self._here[host] = self._here.get(host, 0) + 1
            stack.callback(self._leave, host)
            accepted.setblocking(False)
            visit = Visit(self, accepted, peer)
            await isolated(f"client {peer}", visit.run, lambda: None)

    def _leave(self, host: str) -> None:
        self._here[host] -= 1
        if not self._here[host]:
            del self._here[host]


class Visit:
    """One connection at the door."""

    def __init__(self, doorway: Doorway, accepted: socket.socket, peer: str) -> None:
        self._doorway = doorway
        self._accepted = accepted
        self._peer = peer
        self._clock = doorway.clock
        self._door = DoorSession(peer, doorway.nonces, now=doorway.clock.monotonic())
        self._received = bytearray()

    async def run(self) -> None:
        """Read, answer and judge until the client is let in or turned away."""
        deadline = self._door.deadline()
        assert deadline is not None
        within = deadline - self._clock.monotonic()
        try:
            async with asyncio.timeout(within):
                await self._converse()
        except TimeoutError:
            self._door.handle_timer(max(deadline, self._clock.monotonic()))
            with suppress(OSError):
                await self._answer()
        except OSError:
            self._door.close()
        for event in self._door.events():
            if isinstance(event, Ended):
                logger.info(
                    "client %s turned away: %s", self._peer, event.reason, extra={"action": "client_refused"}
                )

    async def _converse(self) -> None:
        while self._door.state not in (DoorState.ADMITTED, DoorState.OVER):
            if not await self._read():
                self._door.close()
                return
            await self._settle()

    async def _read(self) -> bool:
        """Wait for more bytes; return false at the end of the connection."""
        loop = asyncio.get_running_loop()
        data = await loop.sock_recv(self._accepted, MAX_MESSAGE)
        self._received += data
        return bool(data)

    async def _settle(self) -> None:
        """Handle all that was read, up to where more is needed, or the client is in or out."""
        while True:
            settled = self._door.receive(self._received, self._clock.monotonic())
            del self._received[:settled]
            await self._answer()
            wanted = next((each for each in self._door.events() if isinstance(each, Wanted)), None)
            if wanted is None:
                return
            await self._judge(wanted)
            await self._answer()

    async def _judge(self, wanted: Wanted) -> None:
        admission = self._doorway.admission
        account = await admission.account_of(wanted.username)
        password = account.password if account is not None else None
        before, now = self._door.wrong_answers, self._clock.monotonic()
        is_proven = self._door.prove(password, now)
        if self._door.wrong_answers > before:
            self._note_failure(self._peer.rpartition(":")[0], now)
        if not is_proven or account is None:
            return
        try:
            await self._let_in(account, wanted.path)
        except Refused as refused:
            self._door.refuse(refused.status, retry_after=refused.retry_after)
            logger.info(
                "client %s refused: %s",
                self._peer,
                refused,
                extra={"action": "client_refused"},
            )

    def _note_failure(self, host: str, now: float) -> None:
        """Count a wrong password; told once when the address is not heard any more, for it may come every second."""
        failures = self._doorway.failures
        failures.failed(host, now)
        if failures.wait_for(host, now):
            logger.warning("clients of %s failed too often", host, extra={"action": "door_closed"})

    async def _let_in(self, account: Account, path: str) -> None:
        host = self._peer.rpartition(":")[0]
        source_id = await self._doorway.admission.admit(account, path, host)
        if not self._door.admit():
            return
        reader_id = self._doorway.relays.serve(source_id, self._accepted, self._peer, bytes(self._received))
        if reader_id is None:
            logger.warning("client %s: no worker could serve it", self._peer, extra={"action": "unserved"})
            return
        logger.info(
            "source %d: reader %d is %s at %s, for %s",
            source_id,
            reader_id,
            account.viewer.person,
            self._peer,
            account.viewer.purpose or "no stated purpose",
            extra={"action": "reader_joined"},
        )

    async def _answer(self) -> None:
        out = self._door.bytes_to_send()
        if out:
            async with asyncio.timeout(_WRITE_TIMEOUT):
                await asyncio.get_running_loop().sock_sendall(self._accepted, out)


def open_listener(host: str, port: int) -> socket.socket:
    """Return a socket that listens on `host:port`.

    Raises:
        OSError: the address cannot be used.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
        listening.setblocking(False)
    except OSError:
        listening.close()
        raise
    return listening
