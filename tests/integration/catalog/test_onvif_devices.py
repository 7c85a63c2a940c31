"""ONVIF devices in a real database: adopted, due, learned from, taken back, and their dated history."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from catalog.credentials import Vault, set_credential
from catalog.database import Database
from catalog.model.secret import Secret
from catalog.model.sighting import Protocol, Sighting, SightingState
from catalog.onvif_devices import (
    DeviceEvent,
    DeviceEventKind,
    DueDevice,
    StreamAddress,
    add_events,
    add_fresh_events,
    adopt_matched,
    device_records,
    due_devices,
    hasten,
    learn_stream,
    note_answer,
    note_failure,
    recent_events,
    sources_at,
    withdraw_match,
)
from catalog.sighting_decisions import accept_sighting, refuse_sighting
from catalog.sightings import record_sightings
from catalog.sources import set_endpoint_credential
from tests.discovery import PERSON, identify, place, rows
from tests.seed import GATEWAY, Seeded, seed_roll

pytestmark = pytest.mark.postgres

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
SEEN = Sighting(
    Protocol.ONVIF, "10.0.0.5", 8000, NOW, is_claimed=True, detail={"path": "/onvif/device", "heard": "match"}
)
STREAM = StreamAddress(Protocol.RTSP, "10.0.0.5", 554, "/main")


@pytest.fixture
async def seeded(database: Database) -> Seeded:
    return await seed_roll(database)


async def see(database: Database, sighting: Sighting = SEEN) -> SightingState:
    recorded = await record_sightings(database, [sighting])
    await adopt_matched(database, recorded, at=NOW)
    return recorded[0].state


async def endpoints(database: Database, protocol: str) -> list[tuple[object, ...]]:
    found = await rows(
        database,
        "SELECT host, port, path, confirmed_by FROM endpoint WHERE protocol = $1 AND confirmed_at IS NOT NULL "
        "ORDER BY endpoint_id",
        protocol,
    )
    return [tuple(row.values()) for row in found]


async def attested(database: Database, source_id: int) -> DueDevice:
    """Attest the host of a source in the roll, see its device there, and return it."""
    await place(database, source_id, "10.0.0.5", confirmed_by="roll:li")
    assert await see(database) is SightingState.MATCHED
    [device] = await due(database)
    return device


async def due(database: Database, at: datetime = NOW, source_id: int | None = None) -> list[DueDevice]:
    return await due_devices(database, GATEWAY, at=at, source_id=source_id)


async def answer(database: Database, device: DueDevice, *, minutes: float = 60.0) -> None:
    await note_answer(
        database,
        device,
        at=NOW,
        next_at=NOW + timedelta(minutes=minutes),
        clock_offset=1.5,
        report={"identity": {"model": "X"}},
    )


async def test_a_device_at_an_attested_host_becomes_the_way_to_its_source(
    database: Database, seeded: Seeded
) -> None:
    device = await attested(database, seeded.source_ids[0])
    assert await endpoints(database, "onvif") == [("10.0.0.5", 8000, "/onvif/device", "match:attested_host")]
    assert (device.source_id, device.path) == (seeded.source_ids[0], "/onvif/device")
    await see(database)
    assert len(await endpoints(database, "onvif")) == 1
    assert await sources_at(database, ["10.0.0.5", "10.0.0.6"]) == [("10.0.0.5", seeded.source_ids[0])]


async def test_a_claimed_mac_address_brings_no_device_and_so_no_password(
    database: Database, seeded: Seeded
) -> None:
    await identify(database, seeded.source_ids[0], "00:11:22:33:44:55", None)
    state = await see(database, replace(SEEN, mac="00:11:22:33:44:55"))
    assert state is SightingState.AWAITING_CONFIRMATION
    assert await endpoints(database, "onvif") == []
    assert await due(database) == []


async def test_a_device_that_a_person_accepts_is_reached_where_it_said(
    database: Database, seeded: Seeded
) -> None:
    recorded = await record_sightings(database, [SEEN])
    assert recorded[0].state is SightingState.QUARANTINED
    await accept_sighting(database, recorded[0].sighting_id, seeded.source_ids[1], person=PERSON, at=NOW)
    assert await endpoints(database, "onvif") == [("10.0.0.5", 8000, "/onvif/device", PERSON)]
    [device] = await due(database)
    assert device.source_id == seeded.source_ids[1]


async def test_a_refused_device_is_left_alone(database: Database, seeded: Seeded) -> None:
    await place(database, seeded.source_ids[0], "10.0.0.5", confirmed_by="roll:li")
    recorded = await record_sightings(database, [SEEN])
    await adopt_matched(database, recorded, at=NOW)
    await refuse_sighting(database, recorded[0].sighting_id, person=PERSON, reason="not ours", at=NOW)
    assert await see(database) is SightingState.REFUSED
    assert await endpoints(database, "onvif") == []


async def test_a_device_that_moved_is_looked_for_at_its_new_place_alone(
    database: Database, seeded: Seeded
) -> None:
    await attested(database, seeded.source_ids[0])
    await see(database, replace(SEEN, port=8080))
    assert [row[1] for row in await endpoints(database, "onvif")] == [8080]


async def test_it_is_due_again_when_its_hour_comes(database: Database, seeded: Seeded) -> None:
    device = await attested(database, seeded.source_ids[0])
    await answer(database, device)
    assert await due(database) == []
    [again] = await due(database, NOW + timedelta(minutes=60))
    assert (again.report, again.clock_offset) == ({"identity": {"model": "X"}}, 1.5)
    [asked_for] = await due(database, NOW, seeded.source_ids[0])
    assert asked_for.endpoint_id == device.endpoint_id


async def test_another_password_makes_it_due_at_once(database: Database, seeded: Seeded) -> None:
    device = await attested(database, seeded.source_ids[0])
    await set_endpoint_credential(database, seeded.source_ids[0], device.endpoint_id, "gate")
    vault = Vault(b"k" * 32)
    for password in ("first", "second"):
        await set_credential(
            database, vault, ref="gate", login=("admin", Secret(password)), by=PERSON, at=NOW
        )
        [now_due] = await due(database)
        await note_failure(
            database,
            now_due,
            at=NOW,
            next_at=NOW + timedelta(hours=6),
            cause="authentication_failed",
            failure="refused",
        )
        assert await due(database) == []
        # Announcing itself does not make it take the password that it refused.
        await hasten(database, ["10.0.0.5"], at=NOW + timedelta(minutes=5), rest=timedelta(seconds=30))
        assert await due(database, NOW + timedelta(minutes=5)) == []


async def test_a_device_that_announces_itself_is_asked_sooner(database: Database, seeded: Seeded) -> None:
    device = await attested(database, seeded.source_ids[0])
    await answer(database, device)
    later = NOW + timedelta(minutes=5)
    await hasten(database, ["10.0.0.5"], at=NOW + timedelta(seconds=10), rest=timedelta(seconds=30))
    assert await due(database, NOW + timedelta(seconds=10)) == []
    await hasten(database, ["10.0.0.5"], at=later, rest=timedelta(seconds=30))
    assert len(await due(database, later)) == 1


async def test_a_failure_keeps_what_was_told_before(database: Database, seeded: Seeded) -> None:
    device = await attested(database, seeded.source_ids[0])
    await answer(database, device)
    for _ in range(2):
        await note_failure(
            database,
            device,
            at=NOW,
            next_at=NOW + timedelta(minutes=1),
            cause="timeout",
            failure="no answer " * 100,
        )
    [record] = await device_records(database, seeded.source_ids[0])
    assert (record.failures, record.cause, record.report) == (2, "timeout", {"identity": {"model": "X"}})
    assert record.failure is not None
    assert len(record.failure) <= 300


async def test_the_stream_that_a_device_tells_is_a_way_to_its_source(
    database: Database, seeded: Seeded
) -> None:
    await place(database, seeded.source_ids[0], "10.0.0.5", confirmed_by=None)
    recorded = await record_sightings(database, [SEEN])
    await accept_sighting(database, recorded[0].sighting_id, seeded.source_ids[0], person=PERSON, at=NOW)
    [device] = await due(database)
    told_by = f"onvif:{device.endpoint_id}"
    assert await learn_stream(database, device, [STREAM, replace(STREAM, path="/sub")], at=NOW)
    assert await endpoints(database, "rtsp") == [("10.0.0.5", 554, "/main", told_by)]
    assert not await learn_stream(database, device, [STREAM], at=NOW)
    assert await learn_stream(database, device, [replace(STREAM, path="/new")], at=NOW)
    assert await endpoints(database, "rtsp") == [("10.0.0.5", 554, "/new", told_by)]


async def test_a_device_found_on_another_port_keeps_its_streams_and_on_another_host_loses_them(
    database: Database, seeded: Seeded
) -> None:
    device = await attested(database, seeded.source_ids[0])
    async with database.raw_connection() as connection:
        # Of the roll an address of another host is left, so that the device's own word counts.
        await connection.execute("UPDATE endpoint SET host = '10.0.0.9' WHERE origin = 'roll'")
    await learn_stream(database, device, [STREAM], at=NOW)
    async with database.raw_connection() as connection:
        await connection.execute("UPDATE endpoint SET host = '10.0.0.5' WHERE origin = 'roll'")
    await see(database, replace(SEEN, port=8080))
    [moved] = await due(database)
    assert (moved.port, moved.endpoint_id) != (device.port, device.endpoint_id)
    told = [row for row in await endpoints(database, "rtsp") if str(row[3]).startswith("onvif:")]
    assert told == [("10.0.0.5", 554, "/main", f"onvif:{moved.endpoint_id}")]
    async with database.raw_connection() as connection:
        await connection.execute("UPDATE endpoint SET host = '10.0.0.7' WHERE origin = 'roll'")
    await see(database, replace(SEEN, host="10.0.0.7"))
    assert [row[0] for row in await endpoints(database, "onvif")] == ["10.0.0.7"]
    assert all(row[0] != "10.0.0.5" for row in await endpoints(database, "rtsp"))


async def test_refusing_a_device_takes_its_streams_back_too(database: Database, seeded: Seeded) -> None:
    recorded = await record_sightings(database, [SEEN])
    await accept_sighting(database, recorded[0].sighting_id, seeded.source_ids[0], person=PERSON, at=NOW)
    [device] = await due(database)
    await learn_stream(database, device, [STREAM], at=NOW)
    assert len(await endpoints(database, "rtsp")) == 1
    await refuse_sighting(database, recorded[0].sighting_id, person=PERSON, reason="not ours", at=NOW)
    assert await endpoints(database, "onvif") == []
    assert await endpoints(database, "rtsp") == []


async def test_the_address_that_a_person_attested_stays_the_one(database: Database, seeded: Seeded) -> None:
    device = await attested(database, seeded.source_ids[0])
    assert not await learn_stream(database, device, [STREAM], at=NOW)
    assert await endpoints(database, "rtsp") == [("10.0.0.5", 554, "/1", "roll:li")]


async def test_what_only_a_rule_found_is_taken_back_with_its_streams(
    database: Database, seeded: Seeded
) -> None:
    device = await attested(database, seeded.source_ids[0])
    elsewhere = replace(device, host="10.0.0.6")
    await learn_stream(database, elsewhere, [replace(STREAM, host="10.0.0.6")], at=NOW)
    assert len(await endpoints(database, "rtsp")) == 2
    await withdraw_match(database, device)
    assert await endpoints(database, "onvif") == []
    assert await endpoints(database, "rtsp") == [("10.0.0.5", 554, "/1", "roll:li")]


async def test_dated_facts_are_kept_in_order_and_never_changed(database: Database, seeded: Seeded) -> None:
    source = seeded.source_ids[0]
    hello = DeviceEvent(source, NOW, DeviceEventKind.ANNOUNCED)
    await add_fresh_events(database, [hello])
    await add_fresh_events(database, [replace(hello, at=NOW + timedelta(minutes=9))])
    await add_fresh_events(database, [replace(hello, at=NOW + timedelta(minutes=11))])
    turned = DeviceEvent(
        source, NOW + timedelta(minutes=12), DeviceEventKind.DIRECTION_CHANGED, {"pan": 0.5}, PERSON
    )
    await add_events(database, [turned])
    found = await recent_events(database, source)
    assert [event.kind for event in found] == [
        DeviceEventKind.DIRECTION_CHANGED,
        DeviceEventKind.ANNOUNCED,
        DeviceEventKind.ANNOUNCED,
    ]
    assert found[0] == turned
    async with database.raw_connection() as connection:
        with pytest.raises(asyncpg.RaiseError, match="append-only"):
            await connection.execute("DELETE FROM device_event")


async def test_two_batches_at_once_adopt_one_device(database: Database, seeded: Seeded) -> None:
    await place(database, seeded.source_ids[0], "10.0.0.5", confirmed_by="roll:li")
    recorded = await record_sightings(database, [SEEN])
    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(adopt_matched(database, recorded, at=NOW))
    assert len(await endpoints(database, "onvif")) == 1
