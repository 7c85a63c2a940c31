"""What devices told while the database was away: it waits, and nothing of it is lost or counted twice."""

from datetime import UTC, datetime, timedelta

import pytest

from adapters.gb28181.registration import Refusal, Refused
from adapters.sip.transaction import Way
from catalog import gb_devices
from catalog.credentials import Vault
from catalog.database import Database
from catalog.gb_devices import GbChannel, GbEvent, GbEventKind, GbRegistration, NewDevice
from catalog.model.secret import Secret
from gateway.gb28181.journal import MAX_TURNS, DeviceJournal
from tests.discovery import PERSON
from tests.seed import GATEWAY, Seeded, seed_roll

pytestmark = pytest.mark.postgres

AT = datetime(2026, 11, 21, 12, tzinfo=UTC)
RECORDER, STRANGER, CHANNEL = "34020000001180000001", "34020000001180000009", "34020000001310000001"
WAY = Way("udp", "192.0.2.10", 5060, 0)


@pytest.fixture
async def roll(database: Database) -> Seeded:
    seeded = await seed_roll(database, count=1)
    new = NewDevice(RECORDER, Secret("Canary-Pass-61"))
    await gb_devices.add_device(database, Vault(b"k" * 32), GATEWAY, new, by=PERSON, at=AT)
    channel = GbChannel(CHANNEL, "gate", "", "", RECORDER, is_video=True, is_on=True, detail={})
    await gb_devices.store_catalog(database, GATEWAY, (RECORDER, WAY.host), [channel], at=AT, is_whole=True)
    return seeded


async def test_what_devices_tell_waits_for_the_database(
    database: Database, database_url: str, roll: Seeded
) -> None:
    away = Database(database_url)
    journal = DeviceJournal(away)
    journal.registered(
        GbRegistration(
            RECORDER, "udp", WAY.host, WAY.port, 0, AT, AT + timedelta(hours=1), "3.0", "ExampleCorp"
        )
    )
    journal.turned(RECORDER, CHANNEL, is_on=False)
    journal.event(GbEvent(RECORDER, CHANNEL, AT, GbEventKind.CHANNEL_OFF, {}), 0.0)
    refused = Refused(STRANGER, WAY, Refusal.UNKNOWN_DEVICE, "")
    journal.refused(refused)
    for _ in range(3):
        await journal.flush(AT)
        journal.refused(refused)
    assert len(journal) == 4

    async with away:
        await journal.flush(AT)
        assert len(journal) == 0
        await journal.flush(AT)
    assert (await gb_devices.device(database, GATEWAY, RECORDER)).registered_at == AT
    assert [each.is_on for each in await gb_devices.channels(database, RECORDER)] == [False]
    assert [each.kind for each in await gb_devices.events(database, RECORDER)] == [GbEventKind.CHANNEL_OFF]
    assert [(each.device_id, each.times) for each in await gb_devices.strangers(database)] == [(STRANGER, 4)]
    assert journal.dropped == 0


async def test_channels_that_a_device_makes_up_fill_no_memory(database_url: str) -> None:
    journal = DeviceJournal(Database(database_url))
    for number in range(MAX_TURNS + 50):
        journal.turned(RECORDER, f"3402000000131{number:07d}", is_on=True)
    assert len(journal) == MAX_TURNS
    assert journal.dropped == 50
