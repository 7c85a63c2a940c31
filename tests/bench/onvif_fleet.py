"""Virtual cameras in a process of their own: `python -m tests.bench.onvif_fleet COUNT PORT PASSWORD`.

Prints `ready` once all are on, and ends with its standard input. `PORT` is that of WS-Discovery.
"""

import asyncio
import sys

import uvloop

from adapters.simulator.camera import VirtualCamera
from adapters.simulator.fleet import Fleet
from catalog.model.secret import Secret
from gateway.descriptors import raise_file_limit

HTTP_PORT = 8000


def host_of(number: int) -> str:
    """Return the address of a camera: all lie in one /20 of loopback, evenly spread."""
    return f"127.50.{number // 256 % 16}.{number % 256}"


async def main() -> None:
    """Serve until the standard input ends."""
    count, port, password = int(sys.argv[1]), int(sys.argv[2]), Secret(sys.argv[3])
    cameras = [
        VirtualCamera(
            f"camera-{number}",
            host_of(number),
            HTTP_PORT,
            8554,
            password=password,
            serial=f"V{number:06d}",
            mac=f"02:00:00:00:{number >> 8:02x}:{number & 255:02x}",
            has_media2=number % 2 == 0,
        )
        for number in range(count)
    ]
    async with Fleet(cameras, discovery_port=port) as fleet:
        await fleet.switch_on()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    raise_file_limit()
    uvloop.run(main())
