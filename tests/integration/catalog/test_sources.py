"""The stores of sources and sinks on a real PostgreSQL."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from catalog.credentials import Vault, list_credentials, set_credential
from catalog.database import Database
from catalog.errors import ConstraintViolated
from catalog.model.display import Lifecycle
from catalog.model.plan import RelayMode, SourcePlan
from catalog.model.secret import Secret
from catalog.model.sighting import Protocol
from catalog.sinks import NewSink, SinkUnknown, add_sink, enable_sink, list_sinks, remove_sink
from catalog.sources import (
    NewEndpoint,
    SourceEdit,
    SourceUnknown,
    add_endpoint,
    clear_refusals,
    confirm_endpoint,
    edit_source,
    load_plans,
    pin_endpoint,
    record_refusal,
    reject_source,
    remove_endpoint,
    retire_source,
    set_endpoint_credential,
    stream_plans,
)
from tests.seed import GATEWAY, NOW, Change, apply, seed_roll

pytestmark = pytest.mark.postgres


async def plan_of(database: Database, source_id: int) -> SourcePlan:
    (found,) = await load_plans(database, GATEWAY, [source_id])
    return found


async def rows(database: Database, sql: str, *args: object) -> Sequence[dict[str, Any]]:
    async with database.raw_connection() as connection:
        return [dict(row) for row in await connection.fetch(sql, *args)]


async def counts(database: Database) -> list[tuple[int, int]]:
    found = await rows(database, "SELECT n_must, n_online FROM district_rollup")
    return [(row["n_must"], row["n_online"]) for row in found]


async def test_a_plan_holds_all_that_decides_about_the_relay(database: Database) -> None:
    seeded = await seed_roll(database, count=3)
    source_id = seeded.source_ids[0]
    found = await plan_of(database, source_id)
    assert (found.code, found.profile, found.base_profile) == (seeded.codes[0], "wuxi-2019", "cn-2025")
    assert (found.relay_mode, found.has_connected, str(found.due_on)) == (
        RelayMode.ALWAYS,
        False,
        "2026-11-01",
    )
    (endpoint,) = found.endpoints
    assert (endpoint.protocol, endpoint.is_confirmed, endpoint.port) == (Protocol.RTSP, False, 8554)
    assert endpoint.credential is not None
    assert endpoint.credential.is_stored
    assert str(endpoint.credential.password_encrypted) not in repr(found)


async def test_plans_come_in_chunks_in_order_and_once_each(database: Database) -> None:
    seeded = await seed_roll(database, count=7)
    chunks = [[plan.source_id for plan in chunk] async for chunk in stream_plans(database, GATEWAY, chunk=3)]
    assert [len(chunk) for chunk in chunks] == [3, 3, 1]
    assert [number for chunk in chunks for number in chunk] == sorted(seeded.source_ids)
    assert await load_plans(database, "another-gateway") == []


async def test_a_source_without_a_code_goes_out_under_its_number(database: Database) -> None:
    seeded = await seed_roll(database, count=1)
    await rows(database, "UPDATE source SET gb_id = NULL RETURNING 1 AS one")
    assert (await plan_of(database, seeded.source_ids[0])).code == f"source-{seeded.source_ids[0]}"


async def test_only_what_is_named_is_edited(database: Database) -> None:
    seeded = await seed_roll(database, count=1)
    source_id = seeded.source_ids[0]
    edit = SourceEdit(location_type="lobby", relay_mode=RelayMode.ON_DEMAND, mac="02:00:00:00:00:09")
    await edit_source(database, source_id, edit, person="Wang")
    await edit_source(database, source_id, SourceEdit(audio_enabled=True, serial=None), person="Wang")
    found = await plan_of(database, source_id)
    assert (found.location_type, found.relay_mode) == ("lobby", RelayMode.ON_DEMAND)
    assert (found.audio_enabled, found.allow_basic) == (True, False)
    (row,) = await rows(database, "SELECT mac, serial FROM source")
    assert row == {"mac": "02:00:00:00:00:09", "serial": None}


async def test_a_retired_source_is_counted_nowhere_and_keeps_its_history(database: Database) -> None:
    seeded = await seed_roll(database, count=4)
    await apply(database, [Change(seeded.source_ids[0], "online", NOW)])
    assert await counts(database) == [(4, 1)]
    await retire_source(database, seeded.source_ids[0], person="Wang", at=NOW + timedelta(days=1))
    assert await counts(database) == [(3, 0)]
    assert len(await load_plans(database, GATEWAY)) == 3
    (row,) = await rows(database, "SELECT lifecycle, retired_at FROM source WHERE retired_at IS NOT NULL")
    assert row == {"lifecycle": "removed", "retired_at": NOW + timedelta(days=1)}
    with pytest.raises(SourceUnknown):
        await retire_source(database, seeded.source_ids[0], person="Wang", at=NOW)
    with pytest.raises(SourceUnknown):
        await edit_source(database, seeded.source_ids[0], SourceEdit(audio_enabled=True), person="Wang")


async def test_a_rejected_source_returns_with_another_attested_location(database: Database) -> None:
    seeded = await seed_roll(database, count=2)
    source_id = seeded.source_ids[0]
    assert await reject_source(database, source_id, requirement="WX-9,CN-8.1(3)")
    assert not await reject_source(database, source_id, requirement="WX-9")
    (row,) = await rows(database, "SELECT lifecycle_reason FROM source WHERE lifecycle = 'rejected'")
    assert row["lifecycle_reason"] == "WX-9,CN-8.1(3)"
    assert await counts(database) == [(1, 0)]
    await edit_source(database, source_id, SourceEdit(relay_mode=RelayMode.OFF), person="Wang")
    assert await counts(database) == [(1, 0)]
    await edit_source(database, source_id, SourceEdit(location_type="lobby"), person="Wang")
    assert await counts(database) == [(2, 0)]
    assert (await plan_of(database, source_id)).lifecycle is Lifecycle.REQUIRED


async def test_a_retirement_beside_the_writing_of_status_loses_no_count(database: Database) -> None:
    seeded = await seed_roll(database, count=40)
    changes = [Change(source_id, "online", NOW) for source_id in seeded.source_ids[20:]]
    async with asyncio.TaskGroup() as group:
        for change in changes:
            group.create_task(apply(database, [change]))
        for source_id in seeded.source_ids[:10]:
            group.create_task(retire_source(database, source_id, person="Wang", at=NOW))
    assert await counts(database) == [(30, 20)]
    sites = await rows(database, "SELECT sum(n_must) AS must, sum(n_online) AS online FROM site_rollup")
    assert sites == [{"must": 30, "online": 20}]


async def test_endpoints_are_added_confirmed_pinned_and_removed(database: Database) -> None:
    seeded = await seed_roll(database, count=1)
    source_id = seeded.source_ids[0]
    new = NewEndpoint(Protocol.RTSPS, "10.1.0.5", 322, "/live?x=1", credential_ref="new-ref")
    endpoint_id = await add_endpoint(database, source_id, new, confirmed_by=None, at=NOW)
    with pytest.raises(ConstraintViolated):
        await add_endpoint(database, source_id, new, confirmed_by="Wang", at=NOW)
    await pin_endpoint(database, source_id, endpoint_id, "ab" * 32)
    before = (await plan_of(database, source_id)).endpoints[1]
    assert (before.is_confirmed, before.tls_pin_sha256, before.path) == (False, "ab" * 32, "/live?x=1")
    assert before.credential is not None
    assert not before.credential.is_stored
    await confirm_endpoint(database, source_id, endpoint_id, person="Wang", at=NOW)
    await set_endpoint_credential(database, source_id, endpoint_id, None)
    after = (await plan_of(database, source_id)).endpoints[1]
    assert (after.is_confirmed, after.credential) == (True, None)
    await remove_endpoint(database, source_id, endpoint_id)
    assert len((await plan_of(database, source_id)).endpoints) == 1
    with pytest.raises(SourceUnknown):
        await confirm_endpoint(database, source_id, endpoint_id, person="Wang", at=NOW)


@pytest.mark.parametrize(
    "values",
    [
        {"host": "camera.example"},
        {"host": "::ffff:10.1.0.5"},
        {"port": 0},
        {"path": "live"},
        {"path": "/a b"},
        {"transport": "sctp"},
        {"tls_pin_sha256": "AB"},
    ],
)
def test_an_endpoint_that_could_lead_elsewhere_is_refused(values: dict[str, Any]) -> None:
    sound: dict[str, Any] = {"protocol": Protocol.RTSP, "host": "10.1.0.5", "port": 554}
    with pytest.raises(ValueError, match=r"\w"):
        NewEndpoint(**{**sound, **values})


async def test_refusals_count_for_every_channel_of_the_device_until_it_accepts(database: Database) -> None:
    seeded = await seed_roll(database, count=3)
    first, second, third = seeded.source_ids
    await rows(database, "UPDATE endpoint SET port = 9000 WHERE source_id = $1 RETURNING 1 AS one", third)
    endpoint_id = (await plan_of(database, first)).endpoints[0].endpoint_id
    await record_refusal(database, endpoint_id, 1, at=NOW)
    await record_refusal(database, endpoint_id, 1, at=NOW + timedelta(seconds=9))
    other = (await plan_of(database, second)).endpoints[0]
    assert (other.refusals, other.refused_version, other.refused_at) == (2, 1, NOW + timedelta(seconds=9))
    assert (await plan_of(database, third)).endpoints[0].refusals == 0
    await record_refusal(database, endpoint_id, 2, at=NOW)
    assert (await plan_of(database, second)).endpoints[0].refusals == 1
    await clear_refusals(database, endpoint_id)
    assert (await plan_of(database, second)).endpoints[0].refusals == 0


async def test_sinks_are_kept_by_name_with_a_credential_typed_later(database: Database) -> None:
    await add_sink(database, NewSink("platform", "127.0.0.1", 8555, "/in/", credential_ref="up"), person="Li")
    vault = Vault(bytes(32))
    await set_credential(
        database, vault, ref="up", login=("muster", Secret("secret-of-the-sink")), by="Li", at=NOW
    )
    (sink,) = await list_sinks(database)
    assert (sink.path_of("x"), sink.enabled) == ("/in/x", True)
    assert sink.credential is not None
    assert sink.credential.is_stored
    (listed,) = await list_credentials(database)
    assert (listed.ref, listed.username, listed.is_set, listed.changed_by) == ("up", "muster", True, "Li")
    assert "secret-of-the-sink" not in repr(listed)
    await enable_sink(database, "platform", enabled=False, person="Li")
    assert [each.enabled for each in await list_sinks(database)] == [False]
    with pytest.raises(ConstraintViolated):
        await add_sink(database, NewSink("platform", "127.0.0.1", 1), person="Li")
    await remove_sink(database, "platform", person="Li")
    assert await list_sinks(database) == []
    with pytest.raises(SinkUnknown):
        await remove_sink(database, "platform", person="Li")


@pytest.mark.parametrize(
    "values",
    [
        {"host": "a b"},
        {"host": "user:pass@host"},
        {"port": 70000},
        {"path_prefix": "in"},
        {"tls_pin_sha256": "ab" * 32},
    ],
)
def test_a_sink_that_cannot_be_reached_is_refused(values: dict[str, Any]) -> None:
    sound: dict[str, Any] = {"name": "platform", "host": "10.0.0.1", "port": 554}
    with pytest.raises(ValueError, match=r"\w"):
        NewSink(**{**sound, **values})
