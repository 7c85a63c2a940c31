"""GB/T 28181 devices in a real database: accounts, channels that become ways to sources, quarantine, events."""

from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from catalog import gb_devices
from catalog.credentials import Vault
from catalog.database import Database
from catalog.gb_devices import (
    DeviceExists,
    DeviceRefused,
    DeviceUnknown,
    GbChannel,
    GbEvent,
    GbEventKind,
    GbRegistration,
    NewDevice,
    Stranger,
)
from catalog.model.plan import MediaWay, StreamKind
from catalog.model.secret import Secret
from tests.discovery import PERSON, rows
from tests.seed import GATEWAY, HERE, Seeded, seed_roll

pytestmark = pytest.mark.postgres

AT = datetime(2026, 11, 21, 12, tzinfo=UTC)
RECORDER, OTHER = "34020000001180000001", "34020000001180000002"
VAULT = Vault(b"k" * 32)
ADDRESS = (RECORDER, "192.0.2.10")


async def add(database: Database, device_id: str = RECORDER, password: str = "Canary-Pass-61") -> None:
    await gb_devices.add_device(
        database, VAULT, GATEWAY, NewDevice(device_id, Secret(password)), by=PERSON, at=AT
    )


def channel(code: str, *, is_on: bool | None = True, is_video: bool = True) -> GbChannel:
    return GbChannel(code, "东门", "ExampleCorp", "X1", RECORDER, is_video, is_on, {"CivilCode": "340200"})


async def tell(
    database: Database,
    channels: list[GbChannel],
    address: tuple[str, str] = ADDRESS,
    *,
    is_whole: bool = True,
) -> gb_devices.CatalogTaken:
    return await gb_devices.store_catalog(database, GATEWAY, address, channels, at=AT, is_whole=is_whole)


async def endpoints(database: Database) -> list[tuple[object, ...]]:
    found = await rows(
        database,
        "SELECT source_id, host, port, path, transport, confirmed_by FROM endpoint WHERE protocol = 'gb28181' "
        "ORDER BY source_id",
    )
    return [tuple(row.values()) for row in found]


@pytest.fixture
async def roll(database: Database) -> Seeded:
    return await seed_roll(database, count=4)


async def test_an_account_has_a_password_of_its_own_that_nobody_can_read(
    database: Database, roll: Seeded
) -> None:
    await add(database)
    await add(database, OTHER, "Another-Pass-62")
    found = await gb_devices.device(database, GATEWAY, RECORDER)
    assert found.credential.username == RECORDER
    stored = await rows(database, "SELECT password_encrypted FROM credential WHERE ref LIKE 'gb28181:%'")
    assert len(stored) == 2
    for row in stored:
        assert "Canary-Pass-61" not in str(row)
    assert not found.is_registered(AT)
    # Letting it in a second time changes nothing: not its password either, or it would be shut out.
    with pytest.raises(DeviceExists):
        await add(database, password="Canary-Pass-63")
    assert (await gb_devices.device(database, GATEWAY, RECORDER)).credential == found.credential


@pytest.mark.parametrize(
    ("code", "password"),
    [(RECORDER, "short"), ("3402000000118", "Canary-Pass-61"), ("34020000003000000001", "Canary-Pass-61")],
)
def test_what_cannot_be_an_account_is_refused(code: str, password: str) -> None:
    with pytest.raises(DeviceRefused) as refused:
        NewDevice(code, Secret(password))
    assert password not in str(refused.value)


async def test_a_device_that_is_unknown_is_said_to_be(database: Database, roll: Seeded) -> None:
    with pytest.raises(DeviceUnknown):
        await gb_devices.device(database, GATEWAY, RECORDER)
    with pytest.raises(DeviceUnknown):
        await gb_devices.remove_device(database, GATEWAY, RECORDER, by=PERSON)
    with pytest.raises(DeviceUnknown):
        await gb_devices.change_device(database, GATEWAY, RECORDER, name="x")
    with pytest.raises(DeviceUnknown):
        await gb_devices.set_device_password(
            database, VAULT, GATEWAY, (RECORDER, Secret("Canary-Pass-61")), by=PERSON, at=AT
        )


async def test_channels_of_the_roll_become_ways_to_their_sources_and_others_do_not(
    database: Database, roll: Seeded
) -> None:
    await add(database)
    alarm = channel("34020000001340000001", is_video=False)
    taken = await tell(
        database,
        [channel(roll.codes[0]), channel(roll.codes[2], is_on=False), channel("34020000001310000099"), alarm],
    )
    assert [way.source_id for way in taken.added] == [roll.source_ids[0], roll.source_ids[2]]
    assert await endpoints(database) == [
        (
            roll.source_ids[n],
            "192.0.2.10",
            5060,
            f"/{RECORDER}/{roll.codes[n]}?media=tcp_passive",
            "tcp",
            f"gb28181:{RECORDER}",
        )
        for n in (0, 2)
    ]
    listed = {each.channel_id: each for each in await gb_devices.channels(database, RECORDER)}
    assert listed[roll.codes[0]].source_id == roll.source_ids[0]
    assert listed["34020000001310000099"].source_id is None
    found = await gb_devices.device(database, GATEWAY, RECORDER)
    assert (found.channels, found.matched, found.catalog_whole) == (3, 2, True)
    ways = await gb_devices.ways(database, GATEWAY)
    assert [(way.device_id, way.channel_id, way.is_on) for way in ways] == [
        (RECORDER, roll.codes[0], True),
        (RECORDER, roll.codes[2], False),
    ]
    # Told again, nothing is added twice.
    assert (await tell(database, [channel(roll.codes[0])])).added == ()


async def test_a_camera_on_the_roll_under_its_own_code_is_its_only_channel(
    database: Database, roll: Seeded
) -> None:
    camera = roll.codes[1]
    await add(database, camera)
    taken = await tell(database, [channel(f"{HERE}00001310000077")], (camera, "192.0.2.11"))
    assert [(way.source_id, way.channel_id) for way in taken.added] == [
        (roll.source_ids[1], f"{HERE}00001310000077")
    ]


async def test_a_camera_without_channels_is_its_own(database: Database, roll: Seeded) -> None:
    camera = roll.codes[1]
    await add(database, camera)
    taken = await tell(database, [], (camera, "192.0.2.11"))
    assert [(way.source_id, way.channel_id) for way in taken.added] == [(roll.source_ids[1], camera)]


async def test_a_source_stays_with_the_device_that_it_came_over_first(
    database: Database, roll: Seeded
) -> None:
    await add(database)
    await add(database, OTHER)
    await tell(database, [channel(roll.codes[0])])
    taken = await tell(database, [channel(roll.codes[0])], (OTHER, "192.0.2.66"))
    assert taken.added == ()
    assert taken.conflicts == ((roll.source_ids[0], roll.codes[0]),)
    assert [row[1] for row in await endpoints(database)] == ["192.0.2.10"]
    assert all(each.is_shared for each in await gb_devices.channels(database, OTHER))


async def test_ways_follow_the_address_and_the_media_of_their_device(
    database: Database, roll: Seeded
) -> None:
    await add(database)
    await tell(database, [channel(roll.codes[0])])
    moved = GbRegistration(
        RECORDER, "tcp", "192.0.2.99", 40_000, 7, AT, AT + timedelta(hours=1), "3.0", "ExampleCam/1.0"
    )
    await gb_devices.store_registrations(database, [moved])
    await gb_devices.change_device(database, GATEWAY, RECORDER, media=MediaWay.UDP)
    [(_, host, port, path, transport, _)] = await endpoints(database)
    assert (host, port, transport) == ("192.0.2.99", 5060, "udp")
    assert str(path).endswith("?media=udp")
    await gb_devices.change_device(database, GATEWAY, RECORDER, stream=StreamKind.SUB)
    assert str((await endpoints(database))[0][3]).endswith("?media=udp&stream=sub")
    await gb_devices.change_device(database, GATEWAY, RECORDER, name="北门", media=MediaWay.TCP_ACTIVE)
    assert str((await endpoints(database))[0][3]).endswith("?media=tcp_active&stream=sub")
    await gb_devices.change_device(database, GATEWAY, RECORDER, stream=StreamKind.MAIN)
    assert str((await endpoints(database))[0][3]).endswith("?media=tcp_active")
    found = await gb_devices.device(database, GATEWAY, RECORDER)
    assert found.is_registered(AT)
    assert not found.is_registered(AT + timedelta(hours=1))
    await gb_devices.store_leaves(database, [(RECORDER, AT, "unregistered")])
    assert not (await gb_devices.device(database, GATEWAY, RECORDER)).is_registered(AT)


async def test_a_channel_that_whole_catalogs_lack_is_gone_and_one_that_a_part_lacks_is_not(
    database: Database, roll: Seeded
) -> None:
    await add(database)
    await tell(database, [channel(roll.codes[0]), channel(roll.codes[1])])
    await tell(database, [channel(roll.codes[0])], is_whole=False)
    assert not any(each.missing_since for each in await gb_devices.channels(database, RECORDER))
    await tell(database, [channel(roll.codes[0])])
    gone = [each.channel_id for each in await gb_devices.channels(database, RECORDER) if each.missing_since]
    assert gone == [roll.codes[1]]
    await tell(database, [channel(roll.codes[0]), channel(roll.codes[1])])
    assert not any(each.missing_since for each in await gb_devices.channels(database, RECORDER))


async def test_a_removed_device_leaves_its_sources_and_its_events(database: Database, roll: Seeded) -> None:
    await add(database)
    await tell(database, [channel(roll.codes[0])])
    await gb_devices.store_events(
        database, [GbEvent(RECORDER, "", AT, GbEventKind.REGISTERED, {"address": "x"})]
    )
    await gb_devices.remove_device(database, GATEWAY, RECORDER, by=PERSON)
    assert await endpoints(database) == []
    assert await rows(database, "SELECT 1 FROM credential WHERE ref LIKE 'gb28181:%'") == []
    assert [event.kind for event in await gb_devices.events(database, RECORDER)] == [GbEventKind.REGISTERED]
    async with database.raw_connection() as connection:
        with pytest.raises(asyncpg.PostgresError, match="append-only"):
            await connection.execute("DELETE FROM gb_event")


def stranger(code: str, *, why: str = "unknown_device", times: int = 1) -> Stranger:
    return Stranger(code, "udp", "192.0.2.66", 5060, why, "ExampleCam/1.0", times)


async def test_the_quarantine_counts_keeps_the_reason_and_empties_itself(
    database: Database, roll: Seeded
) -> None:
    await gb_devices.store_strangers(database, [stranger(RECORDER, times=3), stranger(OTHER)], at=AT)
    later = AT + timedelta(minutes=5)
    await gb_devices.store_strangers(database, [stranger(RECORDER, why="too_many_failures")], at=later)
    first, second = await gb_devices.strangers(database)
    assert (first.device_id, first.times, first.why) == (RECORDER, 4, "unknown_device")
    assert (first.first_at, first.last_at) == (AT, later)
    await gb_devices.refuse_stranger(database, RECORDER, by=PERSON, at=later)
    assert [each.device_id for each in await gb_devices.strangers(database)] == [OTHER, RECORDER]
    with pytest.raises(DeviceUnknown):
        await gb_devices.refuse_stranger(database, "34020000001180000077", by=PERSON, at=later)
    # An account settles it.
    await add(database, OTHER)
    assert [each.device_id for each in await gb_devices.strangers(database)] == [RECORDER]
    assert await gb_devices.forget_strangers(database, before=later) == 0
    assert await gb_devices.forget_strangers(database, before=later + timedelta(seconds=1)) == 1
    assert second.device_id == OTHER


async def test_a_flood_of_invented_codes_fills_no_disk(
    database: Database, roll: Seeded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gb_devices, "STRANGERS_KEPT", 10)
    for batch in range(4):
        codes = [f"3402000000118{batch:03d}{n:04d}" for n in range(5)]
        await gb_devices.store_strangers(database, [stranger(code) for code in codes], at=AT)
    kept = await gb_devices.strangers(database)
    assert len(kept) == 10
    # Who stands there already is still counted.
    await gb_devices.store_strangers(database, [stranger(kept[0].device_id)], at=AT)
    assert max(each.times for each in await gb_devices.strangers(database)) == 2


async def test_who_is_there_stays_in_sight_when_others_invent_codes(
    database: Database, roll: Seeded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gb_devices, "STRANGERS_KEPT", 10)
    for minute in range(4):
        at = AT + timedelta(minutes=minute)
        codes = [f"3402000000118{minute:03d}{n:04d}" for n in range(100, 107)]
        await gb_devices.store_strangers(database, [stranger(code) for code in codes], at=at)
        # The device tries again, as devices do.
        await gb_devices.store_strangers(database, [stranger(RECORDER)], at=at + timedelta(seconds=1))
    first, *others = await gb_devices.strangers(database)
    assert (first.device_id, first.times, first.first_at) == (RECORDER, 4, AT + timedelta(seconds=1))
    assert len(others) == 9


@pytest.mark.parametrize("why", ["too_many_failures", "busy"])
async def test_a_code_is_not_kept_because_its_address_or_everybody_came_too_often(
    database: Database, roll: Seeded, why: str
) -> None:
    await gb_devices.store_strangers(database, [stranger(RECORDER, why=why)], at=AT)
    assert await gb_devices.strangers(database) == []
    await gb_devices.store_strangers(database, [stranger(RECORDER)], at=AT)
    await gb_devices.store_strangers(database, [stranger(RECORDER, why=why)], at=AT)
    [found] = await gb_devices.strangers(database)
    assert (found.why, found.times) == ("unknown_device", 2)
