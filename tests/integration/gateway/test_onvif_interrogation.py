"""Interrogations and commands against a strict fake device and a real catalog."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from adapters.errors import RequestRefused
from adapters.onvif.client import OnvifClients
from adapters.onvif.report import PanTilt
from catalog.credentials import set_credential
from catalog.database import Database
from catalog.model.connectivity import DegradeReason
from catalog.model.secret import Secret
from catalog.onvif_devices import DeviceEventKind, DueDevice, device_records, due_devices, recent_events
from catalog.sources import set_endpoint_credential
from gateway.clock import SystemClock
from gateway.onvif.devices import NoDevice, OnvifDevices
from gateway.onvif.interrogation import Interrogation, InterrogationRules
from gateway.onvif.kept_open import KeptOpen
from gateway.onvif.key_frames import MAX_WAITING, KeyFrames
from gateway.onvif.ptz_desk import PtzCommand, PtzDesk
from gateway.onvif.steering import Steered
from tests.clock import HandClock
from tests.discovery import PERSON, authorise, identify, place, rows
from tests.fakes.enrolment import VAULT
from tests.fakes.onvif_device import DEVICE, PASSWORD, USERNAME, FakeOnvifDevice, serving
from tests.seed import GATEWAY, seed_roll
from tests.waiting import eventually

pytestmark = pytest.mark.postgres

HOST = "127.0.0.1"
TURNING = DEVICE | {
    "GetProfiles": DEVICE["GetProfiles"].replace(
        "</trt:Profiles>",
        '<tt:PTZConfiguration token="ptz"><tt:Name>ptz</tt:Name><tt:UseCount>1</tt:UseCount>'
        "<tt:NodeToken>node</tt:NodeToken></tt:PTZConfiguration></trt:Profiles>",
    )
}


@dataclass
class Told:
    """What the status was told."""

    seen_sources: list[int] = field(default_factory=list)
    opened: list[tuple[int, DegradeReason]] = field(default_factory=list)
    closed: list[tuple[int, DegradeReason]] = field(default_factory=list)

    def seen(self, source_id: int, *, at: float) -> None:
        assert at > 0
        self.seen_sources.append(source_id)

    def impaired(self, source_id: int, reason: DegradeReason, *, at: float) -> None:
        assert at > 0
        self.opened.append((source_id, reason))

    def restored(self, source_id: int, reason: DegradeReason, *, at: float) -> None:
        assert at > 0
        self.closed.append((source_id, reason))


@dataclass
class Site:
    """A source with its ONVIF device, and who asks it."""

    database: Database
    source_id: int
    fake: FakeOnvifDevice
    devices: OnvifDevices
    interrogation: Interrogation
    told: Told

    async def due(self) -> DueDevice:
        [device] = await due_devices(self.database, GATEWAY, at=datetime.now(UTC), source_id=self.source_id)
        return device

    async def ask(self) -> bool:
        await self.devices.refresh()
        return await self.interrogation.interrogate(await self.due()) is not None

    async def events(self) -> list[DeviceEventKind]:
        return [event.kind for event in await recent_events(self.database, self.source_id)]

    async def cause(self) -> str | None:
        [record] = await device_records(self.database, self.source_id)
        return record.cause

    async def streams(self) -> list[tuple[object, ...]]:
        found = await rows(
            self.database,
            "SELECT protocol, host, port, path, ref FROM endpoint LEFT JOIN credential USING (credential_id) "
            "WHERE protocol <> 'onvif' AND confirmed_at IS NOT NULL",
        )
        return [tuple(row.values()) for row in found]


@asynccontextmanager
async def site(
    database: Database,
    answers: Mapping[str, str] = DEVICE,
    *,
    password: str = PASSWORD,
    confirmed_by: str = "roll:li",
    skew: timedelta = timedelta(),
) -> AsyncIterator[Site]:
    seeded = await seed_roll(database, count=2)
    source_id, clock, told = seeded.source_ids[0], SystemClock(), Told()
    fake = FakeOnvifDevice(answers, skew=skew)
    await identify(database, source_id, None, None)
    async with serving(fake) as device, OnvifClients(clock) as clients:
        await authorise(database, f"{HOST}/32", clock.now())
        async with database.raw_connection() as connection:
            endpoint_id = await connection.fetchval(
                "INSERT INTO endpoint (source_id, protocol, host, port, path, origin, confirmed_at, confirmed_by) "
                "VALUES ($1, 'onvif', $2, $3, '/onvif/device_service', 'sighting', now(), $4) RETURNING endpoint_id",
                source_id,
                HOST,
                device.port,
                confirmed_by,
            )
        await set_endpoint_credential(database, source_id, endpoint_id, "gate")
        await set_credential(
            database,
            VAULT,
            ref="gate",
            login=(USERNAME, Secret(password)),
            by=PERSON,
            at=clock.now(),
        )
        devices = OnvifDevices(database, GATEWAY, clients, VAULT, clock)
        interrogation = Interrogation(
            database, GATEWAY, devices, told, clock, InterrogationRules(3600.0, 4, 60.0)
        )
        yield Site(database, source_id, fake, devices, interrogation, told)


async def test_a_device_tells_who_it_is_and_its_stream_becomes_the_way_to_its_source(
    database: Database,
) -> None:
    async with site(database) as at:
        assert await at.ask()
        assert await at.streams() == [("rtsp", HOST, 554, "/s?x=1", "gate")]
        assert await at.events() == [DeviceEventKind.INTERROGATED]
        assert at.told.seen_sources == [at.source_id]
        [record] = await device_records(database, at.source_id)
        assert record.report is not None
        assert record.report["identity"]["serial_number"] == "SN-0001"
        assert PASSWORD not in repr(record)
        [seen] = await rows(database, "SELECT mac, serial, state FROM sighting")
        assert tuple(seen.values()) == ("00:11:22:aa:bb:cc", "SN-0001", "matched")


async def test_a_wrong_clock_degrades_and_a_right_one_restores(database: Database) -> None:
    async with site(database, skew=timedelta(hours=2)) as at:
        assert await at.ask()
        assert at.told.opened == [(at.source_id, DegradeReason.CLOCK_SKEW)]
        at.fake.skew = timedelta()
        assert await at.ask()
        assert at.told.closed == [(at.source_id, DegradeReason.CLOCK_SKEW)]
        assert await at.events() == [
            DeviceEventKind.CLOCK_RIGHT,
            DeviceEventKind.CLOCK_WRONG,
            DeviceEventKind.INTERROGATED,
        ]


async def test_another_firmware_is_a_dated_fact(database: Database) -> None:
    async with site(database) as at:
        await at.ask()
        newer = DEVICE["GetDeviceInformation"].replace("1.2.3", "1.2.4")
        at.fake.answers = {**DEVICE, "GetDeviceInformation": newer}
        await at.ask()
        assert await at.events() == [DeviceEventKind.FIRMWARE_CHANGED, DeviceEventKind.INTERROGATED]


async def test_a_refused_password_rests_and_a_failing_device_keeps_its_report(database: Database) -> None:
    async with site(database) as at:
        await at.ask()
        await set_credential(
            database,
            VAULT,
            ref="gate",
            login=(USERNAME, Secret("wrong-canary-55")),
            by=PERSON,
            at=datetime.now(UTC),
        )
        assert not await at.ask()
        [record] = await device_records(database, at.source_id)
        assert (record.cause, record.failures) == ("authentication_failed", 1)
        assert record.report is not None
        assert await due_devices(database, GATEWAY, at=datetime.now(UTC) + timedelta(hours=1)) == []
        assert "wrong-canary-55" not in f"{record}{at.fake.seen}"


@pytest.mark.parametrize("known", [("00:11:22:33:44:55", None), (None, "SN-9999")])
async def test_a_device_that_is_not_the_one_of_the_roll_gets_no_stream_and_needs_a_person(
    database: Database, known: tuple[str | None, str | None]
) -> None:
    async with site(database, confirmed_by="match:attested_host") as at:
        await place(database, at.source_id, HOST, confirmed_by="roll:li")
        await identify(database, at.source_id, *known)
        assert await at.ask()
        assert at.told.seen_sources == []
        assert set(await at.events()) == {
            DeviceEventKind.IDENTITY_MISMATCH,
            DeviceEventKind.INTERROGATED,
        }
        assert await device_records(database, at.source_id) == []
        assert await at.streams() == [("rtsp", HOST, 554, "/1", None)]
        [seen] = await rows(database, "SELECT state FROM sighting")
        assert seen["state"] == "awaiting_confirmation"


async def test_two_cameras_with_one_serial_number_are_left_to_a_person(database: Database) -> None:
    async with site(database) as at:
        other = at.source_id + 1
        await identify(database, other, None, "SN-0001")
        assert await at.ask()
        assert await at.streams() == []
        [seen] = await rows(database, "SELECT state, match_reason FROM sighting")
        assert seen["state"] == "awaiting_confirmation"
        assert "serial number" in str(seen["match_reason"])


async def test_a_device_with_two_lenses_is_asked_and_its_stream_left_to_a_person(database: Database) -> None:
    profiles = DEVICE["GetProfiles"]
    at_second = profiles.rindex("<tt:SourceToken>lens<")
    two = profiles[:at_second] + profiles[at_second:].replace("lens<", "other lens<")
    async with site(database, {**DEVICE, "GetProfiles": two}) as at:
        assert await at.ask()
        assert await at.streams() == []


async def test_without_an_authorisation_nothing_is_sent(database: Database) -> None:
    async with site(database) as at:
        async with database.raw_connection() as connection:
            await connection.execute("UPDATE network SET revoked_at = now(), revoked_by = 'li'")
        assert not await at.ask()
        assert await at.cause() == "network_not_authorised"
        assert at.fake.requests == []


async def test_what_is_due_is_interrogated_by_itself(database: Database) -> None:
    async with site(database) as at, asyncio.TaskGroup() as group:
        running = group.create_task(at.interrogation.run())
        at.interrogation.wake()
        await eventually(lambda: at.told.seen_sources == [at.source_id], what="an interrogation")
        running.cancel()


@asynccontextmanager
async def steering(at: Site) -> AsyncIterator[PtzDesk]:
    desk = PtzDesk(at.database, KeptOpen(at.devices, SystemClock()), SystemClock())
    async with asyncio.TaskGroup() as group:
        running = group.create_task(desk.run())
        try:
            yield desk
        finally:
            running.cancel()


async def turn(desk: PtzDesk, at: Site, person: str, **command: object) -> None:
    of = {"verb": "move", "where": PanTilt(pan=0.5), "seconds": 5.0, **command}
    await desk.command(at.source_id, PtzCommand(**of), person=person, purpose="patrol")  # type: ignore[arg-type]


async def test_a_camera_is_turned_and_stopped_when_its_holder_vanishes(database: Database) -> None:
    async with site(database, TURNING) as at:
        await at.ask()
        async with steering(at) as desk:
            await turn(desk, at, "王", seconds=0.2)
            await eventually(lambda: "Stop" in at.fake.requests, what="it is stopped")
        [turned, _] = await recent_events(database, at.source_id)
        assert (turned.kind, turned.person) == (DeviceEventKind.DIRECTION_CHANGED, "王")
        assert turned.detail == {"command": "move", "pan": 0.5, "purpose": "patrol"}


async def test_the_end_of_the_gateway_stops_what_moves(database: Database) -> None:
    async with site(database, TURNING) as at:
        await at.ask()
        async with steering(at) as desk:
            await turn(desk, at, "王", seconds=10.0)
            assert "Stop" not in at.fake.requests
        assert at.fake.requests[-1] == "Stop"


async def test_one_person_at_a_time(database: Database) -> None:
    async with site(database, TURNING) as at:
        await at.ask()
        async with steering(at) as desk:
            await turn(desk, at, "王")
            await turn(desk, at, "王")
            with pytest.raises(Steered):
                await turn(desk, at, "李")
            assert at.fake.requests.count("ContinuousMove") == 2
            # Going on is one movement and one dated fact.
            assert (await at.events()).count(DeviceEventKind.DIRECTION_CHANGED) == 1


async def test_a_camera_that_cannot_be_turned_is_told_as_such(database: Database) -> None:
    async with site(database) as at:
        await at.ask()
        async with steering(at) as desk:
            with pytest.raises(NoDevice) as refused:
                await turn(desk, at, "王")
            assert refused.value.cause == "no_ptz"


async def test_a_command_that_the_device_lacks_is_its_refusal(database: Database) -> None:
    without = {**TURNING, "GetServices": TURNING["GetServices"].replace("ver20/ptz/wsdl", "ver20/none")}
    async with site(database, without) as at:
        await at.ask()
        async with steering(at) as desk:
            with pytest.raises(RequestRefused):
                await turn(desk, at, "王")


async def test_a_camera_is_asked_for_a_key_picture_once_in_a_while(database: Database) -> None:
    clock = HandClock()
    async with site(database) as at, asyncio.TaskGroup() as group:
        await at.ask()
        wishes = KeyFrames(KeptOpen(at.devices, clock), clock)
        running = group.create_task(wishes.run())
        for _ in range(3):
            wishes.want(at.source_id)
        await eventually(lambda: wishes.asked == 1, what="a camera that was asked")
        wishes.want(at.source_id)
        clock.advance(2.0)
        wishes.want(at.source_id)
        await eventually(lambda: wishes.asked == 2, what="a camera that was asked again")
        running.cancel()
    assert at.fake.requests.count("SetSynchronizationPoint") == 2


async def test_a_source_without_a_device_or_with_a_dead_one_stops_no_other(database: Database) -> None:
    async with site(database) as at, asyncio.TaskGroup() as group:
        await at.ask()
        wishes = KeyFrames(KeptOpen(at.devices, SystemClock()), SystemClock())
        running = group.create_task(wishes.run())
        wishes.want(at.source_id + 1)
        at.fake.answers = {name: text for name, text in DEVICE.items() if name != "SetSynchronizationPoint"}
        wishes.want(at.source_id)
        await eventually(lambda: wishes.failed == 1, what="a refusal")
        running.cancel()


def test_more_wishes_than_fit_are_dropped_and_counted() -> None:
    clock = HandClock()
    # Nothing is opened: nobody works on the queue.
    wishes = KeyFrames(KeptOpen(None, clock), clock)  # type: ignore[arg-type]
    for source_id in range(MAX_WAITING + 3):
        wishes.want(source_id)
    assert wishes.dropped == 3


async def test_a_wish_before_the_first_interrogation_holds_no_command_after_it_back(
    database: Database,
) -> None:
    async with site(database, TURNING) as at:
        opened = KeptOpen(at.devices, SystemClock())
        assert (await opened.of_source(at.source_id)).profile() is None
        await at.ask()
        assert (await opened.of_source(at.source_id)).profile(with_ptz=True) is not None
