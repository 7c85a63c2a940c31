# ruff: noqa: T201
"""CPU of the relay with UDP in and TCP out: `python -m tests.bench.udp [--streams K] [--seconds S]`.

The same work as `tests.bench.relay`, sent as datagrams: in order, in the kernel's bursts (as GRO of a
network card delivers them), out of order, with losses; and over TCP for comparison.
"""

import argparse
import asyncio
import os

from adapters.base import Transport
from tests.bench.relay import end, muster
from tests.bench.relay_datagrams import DISTURBANCES


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=10.0, help="length of each window")
    parser.add_argument("--bitrate", type=int, default=4_000_000)
    parser.add_argument("--only", choices=[*DISTURBANCES, "tcp"], help="one way alone; '' is in order")
    options = parser.parse_args()
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    ways = [*DISTURBANCES, "tcp"] if options.only is None else [options.only]
    for way in ways:
        transport = Transport.TCP if way == "tcp" else Transport.UDP
        async with end("source", "4", str(options.bitrate), "" if way == "tcp" else way) as source:
            print(f"-- {way or 'in order'}")
            await muster(source, options.streams, options.seconds, 1, transport)


if __name__ == "__main__":
    asyncio.run(main())
