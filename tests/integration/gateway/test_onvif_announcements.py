"""Announcements on loopback's multicast and a real catalog: what becomes of a Hello, an answer, a Bye, a flood."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from catalog.database import Database
from catalog.onvif_devices import DeviceEventKind, recent_events
from gateway.clock import SystemClock
from gateway.onvif.announcements import AnnouncementRules, Announcements, Surroundings
from gateway.onvif.intake import Fate
from tests.discovery import PERSON, authorise, identify, place, rows
from tests.fakes.ws_device import free_udp_port, ws_device
from tests.seed import Seeded, seed_roll
from tests.waiting import eventually

pytestmark = pytest.mark.postgres

CAMERA = "127.0.20.1"
STRANGER = "127.0.20.2"
OUTSIDE = "127.0.20.3"


def xaddr(host: str = CAMERA) -> str:
    return f"http://{host}:8000/onvif/device_service"


@dataclass
class Contacts:
    """Remembers which sources were in contact."""

    sources: set[int] = field(default_factory=set)

    def seen(self, source_id: int, *, at: float) -> None:
        assert at > 0
        self.sources.add(source_id)


@dataclass
class Listening:
    """A running listener over a catalog."""

    database: Database
    announcements: Announcements
    contacts: Contacts
    port: int
    woken: list[None]
    source_id: int

    async def sightings(self) -> list[tuple[object, ...]]:
        found = await rows(
            self.database, "SELECT host, port, state, detail ->> 'heard' AS heard FROM sighting ORDER BY host"
        )
        return [tuple(row.values()) for row in found]

    async def holds(self, *expected: tuple[object, ...]) -> None:
        async def is_so() -> bool:
            return await self.sightings() == list(expected)

        await eventually(is_so, what=f"sightings {expected}")

    async def events(self) -> list[DeviceEventKind]:
        return [event.kind for event in await recent_events(self.database, self.source_id)]


@asynccontextmanager
async def listening(database: Database, *, attested: bool = True) -> AsyncIterator[Listening]:
    now = datetime.now(UTC)
    seeded: Seeded = await seed_roll(database, count=2)
    source_id = seeded.source_ids[0]
    if attested:
        await place(database, source_id, CAMERA, confirmed_by=f"roll:{PERSON}")
    for host in ("127.0.0.1", CAMERA, STRANGER):
        await authorise(database, f"{host}/32", now)
    port, contacts, woken = free_udp_port(), Contacts(), list[None]()
    announcements = Announcements(
        Surroundings(database, SystemClock(), contacts, lambda: ["127.0.0.1"], lambda: woken.append(None)),
        AnnouncementRules(interfaces=(), probe_interval=3600.0, unicast_rate=1000.0, port=port),
    )
    async with asyncio.TaskGroup() as group:
        running = group.create_task(announcements.run())
        heard = Listening(database, announcements, contacts, port, woken, source_id)
        try:
            async with ws_device("127.0.0.1", "", port=port) as probe:
                # Our own group Probe comes round: from then on everything is heard.
                await eventually(lambda: probe.probes > 0, what="the listener asks the group")
            yield heard
        finally:
            running.cancel()


async def test_a_camera_of_the_roll_that_announces_itself_is_in_contact_once_it_answers(
    database: Database,
) -> None:
    async with listening(database) as heard, ws_device(CAMERA, xaddr(), port=heard.port) as device:
        device.hello(heard.port)
        await heard.holds((CAMERA, 8000, "matched", "match"))
        await eventually(lambda: heard.contacts.sources == {heard.source_id}, what="contact")
        await eventually(lambda: bool(heard.woken), what="interrogation is woken")
        assert await heard.events() == [DeviceEventKind.ANNOUNCED]
        endpoints = await rows(
            database, "SELECT host, port, confirmed_by FROM endpoint WHERE protocol = 'onvif'"
        )
        assert [tuple(row.values()) for row in endpoints] == [(CAMERA, 8000, "match:attested_host")]


async def test_a_hello_that_nobody_stands_behind_is_seen_and_is_no_contact(database: Database) -> None:
    async with (
        listening(database) as heard,
        ws_device(CAMERA, xaddr(), port=heard.port, is_silent=True) as device,
    ):
        device.hello(heard.port)
        await heard.holds((CAMERA, 8000, "matched", "hello"))
        await eventually(lambda: device.probes >= 2, what="it is asked back")
        assert heard.contacts.sources == set()
        assert await rows(database, "SELECT 1 FROM endpoint WHERE protocol = 'onvif'") == []


async def test_an_unknown_camera_goes_to_quarantine_and_is_sent_nothing_but_a_probe(
    database: Database,
) -> None:
    async with (
        listening(database) as heard,
        ws_device(STRANGER, xaddr(STRANGER), port=heard.port) as device,
    ):
        device.hello(heard.port)
        await heard.holds((STRANGER, 8000, "quarantined", "match"))
        assert all(b"Probe>" in data or b":Hello>" in data for data in device.received)
        assert heard.contacts.sources == set()


async def test_a_stranger_that_claims_the_mac_address_of_a_source_only_proposes(database: Database) -> None:
    async with (
        listening(database, attested=False) as heard,
        ws_device(
            STRANGER,
            xaddr(STRANGER),
            port=heard.port,
            scopes="onvif://www.onvif.org/MAC/00:11:22:33:44:55",
        ) as device,
    ):
        await identify(database, heard.source_id, "00:11:22:33:44:55", None)
        device.hello(heard.port)
        await heard.holds((STRANGER, 8000, "awaiting_confirmation", "match"))
        assert await rows(database, "SELECT 1 FROM endpoint WHERE protocol = 'onvif'") == []


async def test_outside_the_authorised_networks_nobody_is_read_or_asked(database: Database) -> None:
    async with (
        listening(database) as heard,
        ws_device(OUTSIDE, xaddr(OUTSIDE), port=heard.port) as device,
    ):
        asked_before = device.probes
        device.hello(heard.port)
        await eventually(
            lambda: heard.announcements.fates.get(Fate.UNAUTHORISED, 0) >= 1, what="it is dropped"
        )
        assert device.probes == asked_before
        assert await heard.sightings() == []


async def test_an_address_of_another_host_leads_to_the_sender(database: Database) -> None:
    async with (
        listening(database) as heard,
        ws_device(CAMERA, "http://169.254.169.254:81/x", port=heard.port) as device,
    ):
        device.hello(heard.port)
        await heard.holds((CAMERA, 81, "matched", "match"))
        [row] = await rows(database, "SELECT detail ->> 'foreign_xaddr' AS is_foreign FROM sighting")
        assert row["is_foreign"] == "true"


async def test_two_cameras_under_one_name_are_two_and_it_is_told(database: Database) -> None:
    async with (
        listening(database) as heard,
        ws_device(CAMERA, xaddr(), port=heard.port) as one,
        ws_device(STRANGER, xaddr(STRANGER), port=heard.port) as other,
    ):
        one.hello(heard.port)
        await heard.holds((CAMERA, 8000, "matched", "match"))
        other.hello(heard.port)
        await heard.holds((CAMERA, 8000, "matched", "match"), (STRANGER, 8000, "quarantined", "match"))
        found = await rows(
            database, "SELECT detail ->> 'same_endpoint_as' AS other FROM sighting ORDER BY host"
        )
        assert CAMERA in [row["other"] for row in found]


async def test_a_bye_is_a_dated_fact_of_the_source_and_changes_nothing_else(database: Database) -> None:
    async with listening(database) as heard, ws_device(CAMERA, xaddr(), port=heard.port) as device:
        device.hello(heard.port)
        await heard.holds((CAMERA, 8000, "matched", "match"))
        device.bye(heard.port)

        async def is_noted() -> bool:
            return DeviceEventKind.SAID_GOODBYE in await heard.events()

        await eventually(is_noted, what="the good-bye")
        await heard.holds((CAMERA, 8000, "matched", "match"))


async def test_rubbish_in_any_amount_harms_no_neighbour(database: Database) -> None:
    bomb = b'<!DOCTYPE a [<!ENTITY b "' + b"x" * 1000 + b'">]><a>&b;</a>'
    async with (
        listening(database) as heard,
        ws_device(STRANGER, xaddr(STRANGER), port=heard.port, is_silent=True) as hostile,
        ws_device(CAMERA, xaddr(), port=heard.port) as device,
    ):
        for number in range(500):
            hostile.send_to_group((bomb, b"<a>" * 3000, b"\xff" * 60, b"")[number % 4], heard.port)
        device.hello(heard.port)
        await heard.holds((CAMERA, 8000, "matched", "match"))
        await eventually(lambda: heard.contacts.sources == {heard.source_id}, what="contact")
