"""Muster as a contender: `python -m tests.bench.relay_muster` runs a relay manager in a process of its own.

Reads one line of JSON from the standard input; then obeys `counters`. Its workers are its children,
so whoever counts this process and its children counts all of ours: control plane, workers and all.
"""

import asyncio
import json
import sys
from dataclasses import dataclass

import uvloop

from adapters.base import RtspTarget, SourceKey, TlsPolicy, Transport
from catalog.access import AccessEntry, Role
from catalog.model.plan import MediaWay
from catalog.model.secret import Secret
from gateway.clock import SystemClock
from gateway.descriptors import raise_file_limit
from gateway.relay.manager import RelayManager
from gateway.relay.protocol import MediaOffered, OfferAnswered
from gateway.relay.spec import Invitation, RelaySpec, SinkSpec
from gateway.serving.admission import Account, Admission, ReaderLimits
from gateway.serving.grants import Grants, Viewer
from gateway.serving.listener import open_listener
from gateway.serving.server import Listeners, RtspServer
from tests.bench.relay_dialogue import obey

USERNAME = "viewer"
PASSWORD = "a password of the benchmark alone"


@dataclass(frozen=True)
class MusterOptions:
    """What Muster shall relay; sources and sinks have the streams at `/<number>`."""

    streams: int
    source_port: int
    sink_port: int = 0
    "0: readers pull from Muster."
    udp: bool = False
    pin: str = ""
    "SHA-256 of the certificate of both ends: RTSPS on both sides."
    workers: int = 1
    program_stream: bool = False
    "The sources are devices, which are invited."

    def spec(self, number: int) -> RelaySpec:
        """Return the relay of stream `number`."""
        tls = TlsPolicy(pin_sha256=self.pin) if self.pin else None
        sink = None
        if self.sink_port:
            sink = SinkSpec(RtspTarget("127.0.0.1", self.sink_port, f"/{number}", tls))
        return RelaySpec(
            SourceKey(number),
            source_code(number),
            RtspTarget("127.0.0.1", self.source_port, f"/{number}", tls),
            transport=Transport.UDP if self.udp else Transport.TCP,
            sink=sink,
            invitation=self._invitation(number) if self.program_stream else None,
        )

    def _invitation(self, number: int) -> Invitation:
        media = MediaWay.UDP if self.udp else MediaWay.TCP_PASSIVE
        return Invitation(f"{number:020d}", f"{number:020d}", media, "127.0.0.1")


def source_code(number: int) -> str:
    """Return the id under which stream `number` goes out, the path of its URL for readers."""
    return f"source-{number}"


class Inviter:
    """Invites the benchmark's devices by a line, and takes leave of them by hanging up."""

    def __init__(self, relays: RelayManager, port: int, tasks: asyncio.TaskGroup) -> None:
        self._relays = relays
        self._port = port
        self._tasks = tasks
        self._lines: dict[SourceKey, asyncio.StreamWriter] = {}

    def offered(self, invitation: Invitation, offer: MediaOffered) -> None:
        self._tasks.create_task(self._invite(invitation, offer), name=f"invite {offer.source_id}")

    def ended(self, source_id: SourceKey) -> None:
        line = self._lines.pop(source_id, None)
        if line is not None:
            line.close()

    async def _invite(self, invitation: Invitation, offer: MediaOffered) -> None:
        self.ended(offer.source_id)
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._lines[offer.source_id] = writer
        over = "udp" if invitation.media is MediaWay.UDP else "tcp"
        writer.write(f"PS {int(invitation.channel_id)} {over} {offer.port}\n".encode())
        async with asyncio.timeout(10.0):
            await reader.readline()
        self._relays.answer(OfferAnswered(offer.source_id, offer.offer_id, ("127.0.0.1",), 0))


class Viewers:
    """Lets the benchmark's readers in: one standing account, every source, and a record in memory alone."""

    async def find(self, username: str) -> Account | None:
        viewer = Viewer("benchmark", Role.POLICE_STATUS)
        return Account(Secret(PASSWORD), viewer) if username == USERNAME else None

    def require_room(self, role: Role) -> None:
        pass

    async def record(self, entry: AccessEntry) -> None:
        pass

    async def start(self, source_id: int) -> str | None:
        return None


class Sources:
    """Every stream of the run, by its code."""

    def find(self, code: str) -> SourceKey | None:
        number = code.removeprefix("source-")
        return SourceKey(int(number)) if number.isdecimal() else None


def rtsp_server(relays: RelayManager) -> RtspServer:
    """Return the server as the gateway runs it, but for the catalog behind its door."""
    viewers, clock = Viewers(), SystemClock()
    # So many readers come at once, from one address, only here.
    limits = ReaderLimits(readers=10_000, readers_each=10_000)
    admission = Admission(Grants(), viewers, Sources(), relays, viewers, viewers, clock, limits)
    return RtspServer(admission, relays, clock)


async def main() -> None:
    options = MusterOptions(**json.loads(sys.stdin.readline()))
    async with (
        RelayManager(SystemClock(), workers=options.workers) as relays,
        asyncio.TaskGroup() as tasks,
    ):
        port = None
        if not options.sink_port:
            listening = open_listener("127.0.0.1", 0)
            port = listening.getsockname()[1]
            tasks.create_task(rtsp_server(relays).run(Listeners(plain=listening)), name="rtsp server")
        relays.caller = Inviter(relays, options.source_port, tasks)
        print(json.dumps(port), flush=True)  # noqa: T201 - the benchmark reads it
        for number in range(options.streams):
            relays.start(options.spec(number))
        # Facts are taken as the gateway takes them, or the control plane would cost too little.
        tasks.create_task(take(relays), name="take")

        def counters(_: object) -> object:
            every = relays.counters().values()
            return {
                "dropped": sum(each.dropped_frames for each in every),
                "states": sorted({f"{each.state}/{each.sink_state}" for each in relays.snapshot()}),
            }

        await obey({"counters": counters})


async def take(relays: RelayManager) -> None:
    """Take events for ever."""
    while True:
        await relays.take()


if __name__ == "__main__":
    raise_file_limit()
    uvloop.run(main())
