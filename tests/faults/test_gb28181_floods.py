"""Floods at the GB/T 28181 port, beside devices that register as they should: none of these may notice."""

import asyncio
import itertools
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import pytest

from adapters.simulator.gb_device import VirtualChannel, VirtualGbDevice
from catalog.database import Database
from catalog.embedded import embedded_postgresql
from gateway.opening import EMBEDDED_FOLDER
from tests.faults.installed import assert_sound, prepare, states
from tests.gateway_process import MusterProcess, RollLine, code_of, free_port, installation
from tests.gb_devices import OWN_ID, Running, add_device, running, secret, settings
from tests.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

LIVE: Final = 1_000
LISTED: Final = 5
"""Of them, those that stand on the roll."""
RATE: Final = 2_000
SECONDS: Final = 20
RSS_GROWTH: Final = 100_000_000
LOG_LINES: Final = 4_000
"""In all: one in ten refusals would be more."""
MOST_STRANGERS: Final = 4 * (20 + SECONDS)
"""Of four addresses: twenty at once, and less than one a second."""
ACCOUNTS: Final = """
INSERT INTO gb_device (device_id, gateway_id, credential_id, added_at, added_by)
SELECT unnest($1::text[]), gateway_id, credential_id, added_at, added_by FROM gb_device WHERE device_id = $2
"""


def listed(number: int) -> str:
    """A camera that registers by itself, under the code of the roll."""
    return code_of(number)


def unlisted(number: int) -> str:
    return f"9901020000118{number:07d}"


def device(code: str, port: int) -> VirtualGbDevice:
    channels = (VirtualChannel(code, "gate"),) if code[10:13] == "132" else ()
    return VirtualGbDevice(code, secret(), OWN_ID, ("127.0.0.1", port), channels, keepalive=20.0)


async def make_accounts(muster: MusterProcess, codes: list[str]) -> None:
    """Make the accounts of all devices, with the password of the first."""
    await add_device(muster, codes[0])
    async with (
        embedded_postgresql(muster.folder / "state" / EMBEDDED_FOLDER) as url,
        Database(url) as database,
        database.raw_connection() as connection,
    ):
        await connection.execute(ACCOUNTS, codes[1:], codes[0])


def register(number: int, code: str, host: str, port: int, login: str = "") -> bytes:
    return (
        f"REGISTER sip:{OWN_ID}@{OWN_ID[:10]} SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP {host}:{port};rport;branch=z9hG4bKflood{number}\r\n"
        f"From: <sip:{code}@{OWN_ID[:10]}>;tag={number}\r\nTo: <sip:{code}@{OWN_ID[:10]}>\r\n"
        f"Call-ID: flood{number}\r\nCSeq: 1 REGISTER\r\nContact: <sip:{code}@{host}:{port}>\r\n"
        f"Max-Forwards: 70\r\n{login}Expires: 3600\r\nContent-Length: 0\r\n\r\n"
    ).encode()


def flood(hosts: dict[str, tuple[socket.socket, int]]) -> Iterator[tuple[socket.socket, bytes]]:
    """Unknown codes, each another; codes of our devices with a proof of somebody else's; from four addresses."""
    turns = itertools.cycle(hosts.items())
    for number in itertools.count():
        host, (sock, port) = next(turns)
        if number % 4 < 3:
            yield sock, register(number, f"9901020000118{5_000_000 + number:07d}", host, port)
        else:
            code = listed(1 + number % LISTED)
            login = (
                f'Authorization: Digest username="{code}",realm="{OWN_ID[:10]}",nonce="{number:032x}",'
                f'uri="sip:{OWN_ID}@{OWN_ID[:10]}",response="{number:032x}",algorithm=MD5\r\n'
            )
            yield sock, register(number, code, host, port, login)


@contextmanager
def senders() -> Iterator[dict[str, tuple[socket.socket, int]]]:
    found: dict[str, tuple[socket.socket, int]] = {}
    try:
        for host in ("127.0.61.1", "127.0.61.2", "127.0.61.3", "127.0.61.4"):
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            sock.bind((host, 0))
            found[host] = (sock, sock.getsockname()[1])
        yield found
    finally:
        for sock, _ in found.values():
            sock.close()


async def send_flood(port: int) -> int:
    """Send at the rate for the time; return how many."""
    loop = asyncio.get_running_loop()
    with senders() as hosts:
        messages, sent, began = flood(hosts), 0, loop.time()
        while sent < RATE * SECONDS:
            due = min(RATE * SECONDS, int((loop.time() - began) * RATE))
            for sock, data in itertools.islice(messages, due - sent):
                with suppress(OSError):
                    sock.sendto(data, ("127.0.0.1", port))
            sent = due
            await asyncio.sleep(0.01)
    return sent


def rss(pid: int) -> int:
    """Return the resident memory of a process, bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * 4096


async def registered(muster: MusterProcess) -> dict[str, Any]:
    """Every device that is registered, by code."""
    items = (await muster.get("/api/v1/gb28181/devices"))["items"]
    return {each["device_id"]: each for each in items if each["registered"]}


async def all_in(muster: MusterProcess, devices: Running) -> None:
    async def are_in() -> bool:
        return len(await registered(muster)) == len(devices.devices)

    await eventually(are_in, within=60, what="every device registered")


async def test_a_flood_of_registrations_changes_nothing_for_a_thousand_devices(tmp_path: Path) -> None:
    port = free_port()
    on_roll = [listed(number) for number in range(1, LISTED + 1)]
    codes = on_roll + [unlisted(number) for number in range(LISTED, LIVE)]
    async with AsyncExitStack() as stack:
        muster = await stack.enter_async_context(installation(tmp_path, settings=settings(port)))
        await prepare(muster, [RollLine(code, "", path="", host="", attested="") for code in on_roll])
        await make_accounts(muster, codes)
        await muster.start()
        devices = await stack.enter_async_context(running([device(code, port) for code in codes]))
        await all_in(muster, devices)
        for code in on_roll:
            await muster.wait_shown(code, "online", within=60)
        before = await registered(muster)
        assert muster.process is not None
        memory, lines = rss(muster.process.pid), muster.log.count("\n")

        assert await send_flood(port) == RATE * SECONDS

        after = await registered(muster)
        assert {code: each["registered_at"] for code, each in after.items()} == {
            code: each["registered_at"] for code, each in before.items()
        }
        assert all(each.refused == 0 for each in devices.devices.values())
        for code in on_roll:
            assert "offline" not in await states(muster, code)
            assert await muster.shown(code) == "online"
        assert rss(muster.process.pid) - memory < RSS_GROWTH
        assert muster.log.count("\n") - lines < LOG_LINES
        # Seen, and not silently: a few of each address stand in quarantine, and do not bury whoever else is there.
        strangers = (await muster.get("/api/v1/gb28181/quarantine"))["items"]
        assert {each["host"] for each in strangers} <= {f"127.0.61.{last}" for last in (1, 2, 3, 4)}
        assert 0 < len(strangers) < MOST_STRANGERS
        # And a device that comes now is let in.
        await devices.kill(codes[-1])
        await stack.enter_async_context(running([device(codes[-1], port)]))

        async def is_in_again() -> bool:
            found = (await registered(muster)).get(codes[-1])
            return found is not None and found["registered_at"] > after[codes[-1]]["registered_at"]

        await eventually(is_in_again, within=20, what="a registration after the flood")
        await assert_sound(muster)
