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
from gateway.clock import SystemClock
from gateway.descriptors import raise_file_limit
from gateway.relay.manager import RelayManager
from gateway.relay.spec import RelaySpec, SinkSpec
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
        )


def source_code(number: int) -> str:
    """Return the id under which stream `number` goes out, the path of its URL for readers."""
    return f"source-{number}"


async def start_serving(relays: RelayManager, options: MusterOptions) -> int | None:
    """Serve the relays of `relays` to readers with USERNAME and PASSWORD; return the port.

    Returns:
        None as long as Muster has no RTSP server: cases with readers then leave it out. Fill in here;
        readers ask for `rtsp://127.0.0.1:PORT/<source code>` and answer Digest.
    """
    del relays, options
    return None


async def main() -> None:
    options = MusterOptions(**json.loads(sys.stdin.readline()))
    async with RelayManager(SystemClock(), workers=options.workers) as relays, asyncio.TaskGroup() as tasks:
        port = None if options.sink_port else await start_serving(relays, options)
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
