"""The superior against virtual devices on loopback: what is registered, asked, told, and what strangers hear."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import date

import pytest

from adapters.errors import PeerClosed, PeerTimeout
from adapters.gb28181.channels import ChannelEvent
from adapters.gb28181.registration import Refusal
from adapters.gb28181.superior import EXPIRY_GRACE, STILL_THERE
from adapters.simulator.gb_device import GbDevice, GbQuirk, VirtualChannel, VirtualGbDevice
from catalog.model.secret import Secret
from tests.fakes.gb_superior import OWN_ID, PASSWORD, Listened, listening
from tests.waiting import eventually

RECORDER = "34020000001180000001"
CHANNELS = tuple(VirtualChannel(f"3402000000131000{n:04d}", f"东门{n}") for n in range(45))


def recorder(server: Listened, **more: object) -> VirtualGbDevice:
    device = VirtualGbDevice(
        RECORDER, Secret(PASSWORD), OWN_ID, ("127.0.0.1", server.udp_port), CHANNELS, keepalive=0.2
    )
    changed = replace(device, **more)  # type: ignore[arg-type]
    return replace(changed, server=("127.0.0.1", server.tcp_port)) if changed.transport == "tcp" else changed


@asynccontextmanager
async def playing(*devices: VirtualGbDevice) -> AsyncIterator[list[GbDevice]]:
    """Let devices run, each registered before the block begins."""
    played = [GbDevice(each) for each in devices]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(each.run()) for each in played]
        try:
            for each in played:
                async with asyncio.timeout(10):
                    await each.is_registered.wait()
            yield played
        finally:
            for task in tasks:
                task.cancel()


@pytest.mark.parametrize(
    ("transport", "quirks"),
    [
        ("udp", ()),
        ("tcp", ()),
        ("udp", (GbQuirk.CONTENT_LENGTH_ZERO, GbQuirk.BARE_AMPERSAND)),
        ("tcp", (GbQuirk.GBK_NAMES, GbQuirk.SAYS_ONLINE, GbQuirk.TIMES_WITH_ZONE)),
    ],
)
async def test_a_recorder_registers_keeps_alive_and_tells_its_channels(
    transport: str, quirks: tuple[GbQuirk, ...]
) -> None:
    async with (
        listening({RECORDER: PASSWORD}) as server,
        playing(recorder(server, transport=transport, quirks=frozenset(quirks))),
    ):
        await eventually(lambda: len(server.noted.keepalives) >= 2, what="keepalives")
        channels, is_whole = await server.superior.catalog(RECORDER)
        assert is_whole
        assert [each.channel_id for each in channels] == [each.channel_id for each in CHANNELS]
        assert channels[7].name.startswith("东门7")
        assert all(each.is_on for each in channels)
        info = await server.superior.query(RECORDER, "DeviceInfo")
        assert info.text("Manufacturer") == "Virtual"
        recordings, is_whole = await server.superior.records(
            RECORDER, CHANNELS[0].channel_id, date(2026, 11, 21)
        )
        assert (len(recordings), is_whole) == (24, True)
        await server.superior.check(RECORDER)
        assert await server.superior.subscribe_catalog(RECORDER) == 3_600


async def test_what_a_device_tells_by_itself_is_heard() -> None:
    async with listening({RECORDER: PASSWORD}) as server, playing(recorder(server)) as (device,):
        await device.notify(CHANNELS[3].channel_id, "VLOST")
        await device.alarm(CHANNELS[3].channel_id, method=2, kind=1)
        device.condition.faulty.add(CHANNELS[5].channel_id)
        await eventually(lambda: any(k.faulty for _, k in server.noted.keepalives), what="a faulty channel")
        [(sender, news)] = server.noted.told
        assert (sender, news.event, news.channel.channel_id) == (
            RECORDER,
            ChannelEvent.VLOST,
            CHANNELS[3].channel_id,
        )
        assert server.noted.alarms[0].fields["AlarmType"] == "1"
        keepalive = server.noted.keepalives[-1][1]
        assert (keepalive.is_well, keepalive.faulty) == (False, (CHANNELS[5].channel_id,))


async def test_a_device_takes_its_leave_and_is_told_as_gone() -> None:
    async with listening({RECORDER: PASSWORD}) as server, playing(recorder(server)) as (device,):
        assert await device.register(expires=0)
        assert server.noted.leaves == [(RECORDER, "unregistered")]
        assert server.superior.present() == []
        with pytest.raises(PeerClosed):
            await server.superior.check(RECORDER)


async def test_a_registration_runs_out() -> None:
    async with listening({RECORDER: PASSWORD}) as server, playing(recorder(server)):
        [presence] = server.superior.present()
        # A refresh may be a little late.
        server.superior.tick(presence.expires_at + EXPIRY_GRACE - 0.1)
        assert server.noted.leaves == []
        server.superior.tick(presence.expires_at + EXPIRY_GRACE)
        assert server.noted.leaves == [(RECORDER, "expired")]


async def test_a_device_that_forgets_to_refresh_and_is_there_has_to_register_and_is_not_gone() -> None:
    async with listening({RECORDER: PASSWORD}) as server, playing(recorder(server)) as [device]:
        device.condition.is_silent = True
        presence = server.superior.presence(RECORDER)
        assert presence is not None
        over = presence.expires_at + EXPIRY_GRACE
        presence.last_seen = over - 30.0
        server.superior.tick(over)
        assert presence.is_lapsed
        assert server.noted.leaves == []
        device.condition.is_silent = False
        # Its keepalives are refused, and so it registers.
        await eventually(lambda: len(server.noted.registrations) > 1, what="another registration")
        again = server.superior.presence(RECORDER)
        assert again is not None
        assert not again.is_lapsed
        assert server.superior.counts["lapsed"] > 0
        assert server.noted.leaves == []


async def test_who_never_registers_again_is_gone_though_it_keeps_alive() -> None:
    async with listening({RECORDER: PASSWORD}) as server, playing(recorder(server)) as [device]:
        device.condition.is_silent = True
        presence = server.superior.presence(RECORDER)
        assert presence is not None
        over = presence.expires_at + STILL_THERE
        presence.last_seen = over
        server.superior.tick(over - 0.1)
        assert server.noted.leaves == []
        server.superior.tick(over)
        assert server.noted.leaves == [(RECORDER, "expired")]


async def test_a_message_of_nobody_who_is_registered_is_refused_and_shows_nothing() -> None:
    async with listening({RECORDER: PASSWORD}) as server:
        stranger = GbDevice(recorder(server))
        async with asyncio.TaskGroup() as group:
            task = group.create_task(stranger.run())
            async with asyncio.timeout(10):
                await stranger.is_registered.wait()
            server.superior.forget(RECORDER)
            seen = len(server.noted.lives)
            await stranger.keep_alive()
            assert server.superior.counts["stranger"] >= 1
            assert len(server.noted.lives) == seen
            task.cancel()


async def test_the_same_device_from_another_port_has_to_register_anew() -> None:
    async with (
        listening({RECORDER: PASSWORD}) as server,
        playing(recorder(server), recorder(server, keepalive=100.0)) as (first, second),
    ):
        # The second one registered last: the first one is somebody else now, whatever it says.
        await eventually(lambda: len(server.noted.registrations) >= 2, what="both registrations")
        before = server.superior.counts["stranger"]
        await first.keep_alive()
        assert server.superior.counts["stranger"] > before
        assert [anew for _, anew in server.noted.registrations][:2] == [True, True]
        await second.keep_alive()


async def test_a_wrong_password_is_told_to_the_quarantine() -> None:
    async with listening({RECORDER: PASSWORD}) as server:
        device = GbDevice(recorder(server, password=Secret("another-one")))
        async with asyncio.TaskGroup() as group:
            task = group.create_task(device.run())
            await eventually(lambda: device.refused == 403, what="a refusal")
            task.cancel()
        assert server.noted.refusals[-1].why is Refusal.WRONG_PASSWORD
        assert server.superior.present() == []


async def test_a_device_that_is_silent_is_told_as_such_in_time() -> None:
    async with listening({RECORDER: PASSWORD}) as server, playing(recorder(server)) as (device,):
        device.condition.is_silent = True
        with pytest.raises(PeerTimeout):
            await server.superior.check(RECORDER, within=0.7)


async def test_a_tcp_connection_that_ends_leaves_no_way_to_its_device() -> None:
    async with listening({RECORDER: PASSWORD}) as server:
        async with playing(recorder(server, transport="tcp")):
            await server.superior.check(RECORDER)

        def is_gone() -> bool:
            [presence] = server.superior.present()
            return not server.superior.endpoint.is_open(presence.way)

        await eventually(is_gone, what="the connection is gone")
        with pytest.raises(PeerClosed):
            await server.superior.check(RECORDER)


async def test_half_open_connections_cost_nobody_else_anything() -> None:
    async with listening({RECORDER: PASSWORD}) as server, playing(recorder(server, transport="tcp")):
        writers = [(await asyncio.open_connection("127.0.0.1", server.tcp_port))[1] for _ in range(80)]
        await eventually(
            lambda: server.superior.endpoint.counts["refused_connections"] > 0, what="a refused connection"
        )
        await server.superior.check(RECORDER)
        for writer in writers:
            writer.transport.abort()


async def test_junk_reaches_nobody_and_stops_nothing() -> None:
    async with listening({RECORDER: PASSWORD}) as server, playing(recorder(server)):
        loop = asyncio.get_running_loop()
        sender, _ = await loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, remote_addr=("127.0.0.1", server.udp_port)
        )
        for data in (
            b"\r\n\r\n",
            b"x" * 40,
            b"\0" * 60_000,
            b"OPTIONS sip:a@b SIP/2.0\r\n\r\n",
            b"SIP/2.0 200 OK\r\n\r\n",
        ):
            sender.sendto(data)
        await eventually(lambda: server.superior.endpoint.counts["unreadable"] >= 2, what="junk was counted")
        await server.superior.check(RECORDER)
        sender.close()
