"""The service for registering devices on a real catalog, with virtual devices on loopback."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from adapters.errors import RequestRefused
from adapters.gb28181 import ptz
from adapters.onvif.report import PanTilt
from adapters.simulator.gb_device import GbDevice, VirtualChannel, VirtualGbDevice
from catalog import gb_devices
from catalog.credentials import Vault
from catalog.database import Database
from catalog.gb_devices import GbEventKind, NewDevice
from catalog.model.connectivity import DegradeReason
from catalog.model.secret import Secret
from catalog.onvif_devices import recent_events
from gateway.clock import SystemClock
from gateway.config import Config
from gateway.gb28181.service import DeviceService, Surroundings
from gateway.onvif.devices import NoDevice
from gateway.onvif.key_frames import KeyFrames
from gateway.onvif.ptz_desk import PtzCommand, PtzDesk
from gateway.turning import FirstOf
from tests.discovery import PERSON
from tests.fakes.ws_device import free_udp_port
from tests.seed import GATEWAY, Seeded, seed_roll
from tests.waiting import eventually

pytestmark = pytest.mark.postgres

OWN_ID = "34020000002000000001"
RECORDER = "34020000001180000001"
PLATFORM = "99010200002000000009"
ON_THE_ROLL, ELSEWHERE = 1_000, 2_000
PASSWORD = "Canary-Pass-71"
VAULT = Vault(b"k" * 32)


@dataclass
class Told:
    """A status that notes what it is told."""

    facts: list[tuple[str, int]] = field(default_factory=list)

    def alive(self, source_id: int, *, at: float) -> None:
        self.facts.append(("alive", source_id))

    def seen(self, source_id: int, *, at: float) -> None:
        self.facts.append(("seen", source_id))

    def left(self, source_id: int, *, at: float, cause: str) -> None:
        self.facts.append(("left", source_id))

    def missed(self, source_id: int, *, at: float, cause: str) -> None:
        self.facts.append((f"missed {cause}", source_id))

    def unseen(self, source_id: int, *, at: float) -> None:
        self.facts.append(("unseen", source_id))

    def impaired(self, source_id: int, reason: DegradeReason, *, at: float) -> None:
        self.facts.append((f"+{reason.value}", source_id))

    def restored(self, source_id: int, reason: DegradeReason, *, at: float) -> None:
        self.facts.append((f"-{reason.value}", source_id))


@dataclass
class Installation:
    """A running service with what it works on."""

    database: Database
    roll: Seeded
    port: int
    status: Told = field(default_factory=Told)

    def has(self, fact: str, number: int = 0) -> bool:
        return (fact, self.roll.source_ids[number]) in self.status.facts

    def told_of(self, fact: str) -> set[int]:
        """Return the sources that the status was told this of."""
        return {source_id for kind, source_id in self.status.facts if kind == fact}

    async def told(self, fact: str, number: int = 0, *, within: float = 20.0) -> None:
        await eventually(lambda: self.has(fact, number), within=within, what=f"{fact} of source {number}")

    async def kinds(self) -> list[GbEventKind]:
        return [event.kind for event in await gb_devices.events(self.database, RECORDER)]

    def recorder(self, **more: object) -> VirtualGbDevice:
        channels = tuple(VirtualChannel(code) for code in self.roll.codes[:2])
        device = VirtualGbDevice(
            RECORDER, Secret(PASSWORD), OWN_ID, ("127.0.0.1", self.port), channels, keepalive=0.5
        )
        return replace(device, **more)  # type: ignore[arg-type]

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[DeviceService]:
        """Run the service for the length of the block."""
        config = Config.model_validate(
            {
                "gateway": {"id": GATEWAY, "state_dir": str(Path.cwd())},
                "jurisdiction": {"civil_code": "320299", "name": "x", "issued_by": "x", "contact": "x"},
                "status": {"probe_interval": 1, "probe_timeout": 0.5, "restart_grace": 8},
                "gb28181": {
                    "enabled": True,
                    "id": OWN_ID,
                    "udp_port": self.port,
                    "tcp_port": self.port,
                    "catalog_interval": 600,
                },
            }
        )
        service = DeviceService(Surroundings(self.database, VAULT, self.status, SystemClock()), config)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_keep(work)) for work in service.works().values()]
            try:
                yield service
            finally:
                for task in tasks:
                    task.cancel()


async def _keep(work: Callable[[], Awaitable[None]]) -> None:
    await work()


@asynccontextmanager
async def playing(device: VirtualGbDevice) -> AsyncIterator[GbDevice]:
    """Let a device run for the length of the block."""
    played = GbDevice(device)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(played.run())
        try:
            yield played
        finally:
            task.cancel()


@pytest.fixture
async def here(database: Database) -> Installation:
    roll = await seed_roll(database, count=4)
    await gb_devices.add_device(
        database, VAULT, GATEWAY, NewDevice(RECORDER, Secret(PASSWORD)), by=PERSON, at=SystemClock().now()
    )
    return Installation(database, roll, free_udp_port())


async def test_a_recorder_is_known_with_its_channels_and_each_of_its_sources_follows_it(
    here: Installation,
) -> None:
    async with here.serving(), playing(here.recorder()):
        for number in (0, 1):
            await here.told("alive", number)
        assert not here.has("alive", 2)

        async def is_told() -> bool:
            return "ConfigDownload" in (await gb_devices.device(here.database, GATEWAY, RECORDER)).told

        await eventually(is_told, what="DeviceInfo, DeviceStatus and its configuration")
        found = await gb_devices.device(here.database, GATEWAY, RECORDER)
        assert found.told["ConfigDownload"]["HeartBeatInterval"] == "0.5"
        assert found.told["DeviceInfo"]["Manufacturer"] == "Virtual"
        assert (found.channels, found.matched, found.transport) == (2, 2, "udp")
        assert found.clock_offset is not None
        assert abs(found.clock_offset) < 5
        assert GbEventKind.REGISTERED in await here.kinds()


async def test_a_device_that_is_cut_off_is_missed_and_one_that_takes_its_leave_is_gone(
    here: Installation,
) -> None:
    async with here.serving(), playing(here.recorder()) as device:
        await here.told("alive")
        device.condition.is_silent = True
        await here.told("missed timeout")
        assert not here.has("left")
        device.condition.is_silent = False
        here.status.facts.clear()
        await here.told("alive")
        assert await device.register(expires=0)
        await here.told("left")

        async def is_stored() -> bool:
            return (await gb_devices.device(here.database, GATEWAY, RECORDER)).left_why == "unregistered"

        await eventually(is_stored, what="the leave")


async def test_a_false_off_is_checked_and_changes_nothing_and_a_true_one_does(here: Installation) -> None:
    code = here.roll.codes[0]
    async with here.serving(), playing(here.recorder()) as device:
        await here.told("alive")
        await device.notify(code, "OFF")

        async def was_noted() -> bool:
            return GbEventKind.CHANNEL_OFF in await here.kinds()

        await eventually(was_noted, what="the event")
        here.status.facts.clear()
        await here.told("-video_lost")  # the catalog was asked again, and says that the channel is on
        assert not here.has("left")
        device.condition.off.add(code)
        await device.notify(code, "OFF")
        await here.told("left")
        assert not here.has("left", 1)


async def test_registrations_of_before_a_restart_hold_and_their_devices_are_asked_at_once(
    here: Installation,
) -> None:
    async with playing(here.recorder(keepalive=600.0)) as device:
        async with here.serving():
            await here.told("alive")

            async def is_stored() -> bool:
                return (await gb_devices.device(here.database, GATEWAY, RECORDER)).registered_at is not None

            await eventually(is_stored, what="the registration")
        here.status.facts.clear()
        registered = device.is_registered.is_set()
        async with here.serving() as service:
            # It registers once an hour and says nothing: asked, it answers.
            await here.told("alive")
            assert registered
            assert [each.device_id for each in service.superior.present()] == [RECORDER]
            assert not any(fact.startswith("missed") for fact, _ in here.status.facts)


async def test_a_wrong_clock_is_told_and_an_alarm_kept(here: Installation) -> None:
    device = GbDevice(here.recorder())
    device.condition.clock_offset = 7200.0
    async with here.serving(), asyncio.TaskGroup() as group:
        task = group.create_task(device.run())
        await here.told("+clock_skew")
        await device.alarm(here.roll.codes[0], method=5, kind=13)

        async def is_kept() -> bool:
            return GbEventKind.ALARM in await here.kinds()

        await eventually(is_kept, what="the alarm")
        task.cancel()


async def test_strangers_stand_in_quarantine_and_an_account_lets_them_in(here: Installation) -> None:
    stranger = "34020000001180000099"
    async with here.serving() as service, playing(here.recorder(device_id=stranger)) as device:

        async def is_shown() -> bool:
            return [each.device_id for each in await gb_devices.strangers(here.database)] == [stranger]

        await eventually(is_shown, what="the quarantine")
        assert not device.is_registered.is_set()
        await gb_devices.add_device(
            here.database,
            VAULT,
            GATEWAY,
            NewDevice(stranger, Secret(PASSWORD)),
            by=PERSON,
            at=SystemClock().now(),
        )
        service.wake()
        await eventually(device.is_registered.is_set, within=20, what="the registration")
        assert await gb_devices.strangers(here.database) == []


async def test_a_channel_is_turned_stopped_and_asked_for_a_key_picture_on_record(here: Installation) -> None:
    source_id, code = here.roll.source_ids[0], here.roll.codes[0]
    clock = SystemClock()
    async with here.serving() as service, playing(here.recorder()) as device, asyncio.TaskGroup() as group:
        await here.told("alive")
        desk = PtzDesk(here.database, FirstOf(service.controlled()), clock)
        wishes = KeyFrames(service.controlled(), clock)
        tasks = [group.create_task(work.run()) for work in (desk, wishes)]
        right = PtzCommand("move", PanTilt(pan=1.0), seconds=0.3)
        await desk.command(source_id, right, person=PERSON, purpose="test")
        # Nobody stops it but the desk itself.
        await eventually(lambda: (code, "PTZCmd", ptz.STOP) in device.controls, what="the stop")
        assert device.controls[0] == (code, "PTZCmd", ptz.move(1.0, 0.0, 0.0))
        wishes.want(source_id)
        await eventually(
            lambda: (code, "IFrameCmd", "Send") in device.controls, what="the wish for a key picture"
        )
        view = await desk.view(source_id)
        assert [(preset.token, preset.name) for preset in view.presets] == [("1", "gate")]
        await desk.command(source_id, PtzCommand("go_to_preset", preset="1"), person=PERSON, purpose="test")
        await eventually(
            lambda: (code, "PTZCmd", ptz.preset(ptz.CALL, 1)) in device.controls, what="the preset"
        )
        for refused in (PtzCommand("go_to_preset", preset="0"), PtzCommand("go_to_home")):
            with pytest.raises(RequestRefused):
                await desk.command(source_id, refused, person=PERSON, purpose="test")
        noted = [event.person for event in await recent_events(here.database, source_id)]
        assert noted == [PERSON] * 4
        with pytest.raises(NoDevice):
            await desk.command(here.roll.source_ids[3], right, person=PERSON, purpose="test")
        for task in tasks:
            task.cancel()


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_a_lower_platform_tells_thousands_of_channels_and_each_of_its_sources_follows_it(
    database: Database,
) -> None:
    roll = await seed_roll(database, count=ON_THE_ROLL)
    await gb_devices.add_device(
        database, VAULT, GATEWAY, NewDevice(PLATFORM, Secret(PASSWORD)), by=PERSON, at=SystemClock().now()
    )
    here = Installation(database, roll, free_udp_port())
    # Its tree: a civil region, under it a group with an organisation, and recorders' cameras under that.
    groups = (
        VirtualChannel("990102", "示范区"),
        VirtualChannel("99010200002150000001", "学校", parent="990102"),
        VirtualChannel("99010200002160000001", "实验小学", parent="99010200002150000001"),
    )
    codes = [*roll.codes, *(f"9901020000131{number:07d}" for number in range(ELSEWHERE))]
    cameras = tuple(VirtualChannel(code, parent=groups[-1].channel_id) for code in codes)
    platform = here.recorder(device_id=PLATFORM, channels=groups + cameras, keepalive=2.0)
    everyone = set(roll.source_ids)
    async with here.serving(), playing(platform) as played:
        await eventually(lambda: here.told_of("alive") == everyone, within=90, what="all alive")
        found = await gb_devices.device(database, GATEWAY, PLATFORM)
        assert (found.channels, found.matched, found.catalog_whole) == (len(codes), ON_THE_ROLL, True)
        listed = {each.channel_id: each for each in await gb_devices.channels(database, PLATFORM)}
        assert len(listed) == len(codes) + len(groups)
        assert not any(listed[each.channel_id].is_video for each in groups)
        # One of them goes, and the platform says so: nobody beside it is touched.
        played.condition.off.add(codes[7])
        await played.notify(codes[7], "OFF")
        await eventually(lambda: here.told_of("left") == {roll.source_ids[7]}, within=60, what="one left")
        # The platform goes without a word: all that came over it are missed.
        played.condition.is_silent = True
        others = everyone - {roll.source_ids[7]}
        await eventually(lambda: here.told_of("missed timeout") >= others, within=60, what="all missed")
        assert here.told_of("left") == {roll.source_ids[7]}
