"""One worker process as the control plane sees it: started, spoken to, replaced. Owns the process."""

import asyncio
import logging
import math
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Final

from adapters.base import SourceKey
from adapters.errors import AdapterError
from gateway.clock import Clock
from gateway.relay.handover import hand_over, make_pair
from gateway.relay.placement import WorkerLoad
from gateway.relay.protocol import (
    Command,
    Counters,
    Event,
    OfferAnswered,
    OfferRefused,
    ServeReader,
    Shutdown,
    StartRelay,
    StopRelay,
)
from gateway.relay.spec import RelaySpec
from gateway.relay.wire import MAX_LINE, decode_event, encode
from gateway.supervisor import Backoff, keep_running

logger = logging.getLogger(__name__)

SILENCE: Final = 15.0
"""Seconds without a word of a worker, which speaks every second; after two of them it is replaced."""
LEAVE: Final = 6.0
"""Seconds that a worker has to take its leave."""
MAX_COMMANDS: Final = 16 * 1024 * 1024
"""Bytes of commands that may wait for a worker; one that lets more wait hangs."""
BUSY_SMOOTHING: Final = 10.0
"""Seconds, the time constant of the CPU share of a worker: a burst of key frames is no load."""
_ROOT: Final = Path(__file__).resolve().parents[2]


class WorkerDied(AdapterError):
    """Raised when a worker process ended, hung or spoke nonsense."""

    cause: ClassVar[str] = "worker_died"


class WorkerSlot:
    """A place for one worker process; the relays placed here survive the process.

    Args:
        index: number of the slot.
        clock: the gateway's.
        ports: even ports for media, None for the kernel's choice.
        on_event: is given each event of the present process.
        on_lost: is told the process id when a process is gone.
    """

    def __init__(
        self,
        index: int,
        clock: Clock,
        ports: range | None,
        on_event: Callable[["WorkerSlot", Event], None],
        on_lost: Callable[["WorkerSlot", int], None],
    ) -> None:
        self.index = index
        self.pid: int | None = None
        self.specs: dict[SourceKey, RelaySpec] = {}
        self.bitrate = 0
        "Bits per second of all relays here, as last counted."
        self.cpu = 0.0
        "CPU seconds of the present process, as last counted."
        self._busy = 0.0
        self._flowing = 0
        self._counted_at: float | None = None
        self._clock = clock
        self._ports = ports or range(0)
        self._on_event = on_event
        self._on_lost = on_lost
        self._writer: asyncio.StreamWriter | None = None
        self._way: socket.socket | None = None
        "Over which accepted connections are handed to the present process."

    def start(self, spec: RelaySpec) -> None:
        """Run `spec` here, now and in every later process."""
        self.specs[spec.source_id] = spec
        self._send(StartRelay(spec))

    def stop(self, source_id: SourceKey, reason: str) -> None:
        """Run the source here no more."""
        if self.specs.pop(source_id, None) is not None:
            self._send(StopRelay(source_id, reason))

    def serve(self, reader: ServeReader, connection: socket.socket) -> bool:
        """Give the present process a client to serve; return whether it was given it."""
        return self._way is not None and hand_over(self._way, reader, connection)

    def answer(self, answer: OfferAnswered | OfferRefused) -> None:
        """Tell the present process what became of an offer of its."""
        self._send(answer)

    def count(self, event: Counters) -> None:
        """Take in what the present process counted."""
        self.bitrate = sum(relay.bitrate for relay in event.relays)
        self._flowing = sum(1 for relay in event.relays if relay.bitrate > 0)
        passed = event.at - self._counted_at if self._counted_at is not None else 0.0
        if passed > 0:
            share = 1.0 - math.exp(-passed / BUSY_SMOOTHING)
            self._busy += share * ((event.cpu - self.cpu) / passed - self._busy)
        self.cpu, self._counted_at = event.cpu, event.at

    def load(self) -> WorkerLoad:
        """Return how busy the present process is."""
        relays = len(self.specs)
        fresh = max(0, relays - self._flowing)
        return WorkerLoad(self.index, self.pid, relays, fresh, self.bitrate, self._busy)

    def forget(self, source_id: SourceKey) -> None:
        """Do not run the source in later processes; in the present one it ended by itself."""
        self.specs.pop(source_id, None)

    async def run(self) -> None:
        """Keep a process running here until cancelled; then let it take its leave."""
        await keep_running(
            f"relay worker {self.index}",
            self._run_once,
            clock=self._clock,
            backoff=Backoff(first=0.2, longest=10.0),
            healthy_after=30.0,
        )

    def _send(self, command: Command) -> None:
        writer = self._writer
        if writer is None or writer.transport.is_closing():
            # The next process is given all specs when it starts.
            return
        if writer.transport.get_write_buffer_size() > MAX_COMMANDS:
            writer.transport.abort()
            return
        writer.write(encode(command))

    async def _run_once(self) -> None:
        ours, theirs = socket.socketpair()
        our_way, their_way = make_pair()
        try:
            with theirs, their_way:
                descriptors = (theirs.fileno(), their_way.fileno())
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    "gateway.relay.worker",
                    *map(str, (*descriptors, self._ports.start, self._ports.stop)),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.DEVNULL,
                    pass_fds=descriptors,
                    env=worker_environment(),
                    cwd=_ROOT,
                )
        except BaseException:
            ours.close()
            our_way.close()
            raise
        self._way = our_way
        try:
            reader, self._writer = await asyncio.open_unix_connection(sock=ours, limit=MAX_LINE)
            self.pid = process.pid
            for spec in self.specs.values():
                self._send(StartRelay(spec))
            await self._listen(reader)
        finally:
            await self._end(process, ours)

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        silences = 0
        while True:
            try:
                async with asyncio.timeout(SILENCE):
                    line = await reader.readline()
                silences = 0
            except TimeoutError:
                # Twice, because the first may be our own sleep and not the worker's.
                silences += 1
                if silences == 2:
                    raise WorkerDied(f"worker {self.pid} says nothing") from None
                continue
            except (OSError, ValueError) as error:
                raise WorkerDied(f"worker {self.pid}: {type(error).__name__}") from error
            if not line:
                raise WorkerDied(f"worker {self.pid} is gone")
            try:
                event = decode_event(line)
            except ValueError as error:
                raise WorkerDied(f"worker {self.pid} speaks nonsense: {error}") from error
            self._on_event(self, event)

    async def _end(self, process: asyncio.subprocess.Process, ours: socket.socket) -> None:
        """Let the process take its leave, or kill it; tell that it is gone."""
        writer, self._writer = self._writer, None
        if self._way is not None:
            self._way.close()
            self._way = None
        pid, self.pid = self.pid, None
        try:
            if writer is not None and not writer.transport.is_closing():
                writer.write(encode(Shutdown()))
                if writer.can_write_eof():
                    writer.write_eof()
            async with asyncio.timeout(LEAVE):
                await process.wait()
        except TimeoutError:
            logger.warning("worker %d takes no leave: killed", process.pid, extra={"action": "worker_kill"})
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            if writer is not None:
                writer.transport.abort()
            else:
                ours.close()
            logger.info(
                "worker %d ended with status %s",
                process.pid,
                process.returncode,
                extra={"action": "worker_ended"},
            )
            if pid is not None:
                self.bitrate, self._flowing = 0, 0
                self.cpu, self._busy, self._counted_at = 0.0, 0.0, None
                self._on_lost(self, pid)


def worker_environment() -> dict[str, str]:
    """Return our environment without our own and PostgreSQL's settings: some of them are secrets."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("MUSTER_", "PG"))}
