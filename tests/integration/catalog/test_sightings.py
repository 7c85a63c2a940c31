"""Sightings in a real database: taken in, matched, decided, forgotten."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from catalog.database import Database
from catalog.model.matching import Rule
from catalog.model.sighting import Protocol, Sighting, SightingState
from catalog.model.sighting_states import DecisionRefused
from catalog.sighting_decisions import (
    SightingUnknown,
    accept_sighting,
    confirm_sighting,
    refuse_sighting,
)
from catalog.sightings import BATCH, Recorded, forget_old, record_sightings, split_reason
from catalog.sources import SourceUnknown
from tests.discovery import PERSON, authorise, identify, place, rows
from tests.seed import Seeded, seed_roll

pytestmark = pytest.mark.postgres

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SEEN = Sighting(Protocol.RTSP, "10.0.0.5", 554, NOW, server="Camera/1.0")
MAC = "00:11:22:33:44:55"


async def see(database: Database, sighting: Sighting = SEEN) -> Recorded:
    (recorded,) = await record_sightings(database, [sighting])
    return recorded


async def stored(database: Database) -> dict[str, object]:
    (row,) = await rows(database, "SELECT * FROM sighting")
    return dict(row)


async def confirmed_endpoints(database: Database) -> list[tuple[object, ...]]:
    found = await rows(
        database,
        "SELECT source_id, host, port, path, origin, confirmed_by FROM endpoint WHERE confirmed_at IS NOT NULL "
        "ORDER BY source_id, path",
    )
    return [tuple(row.values()) for row in found]


@pytest.fixture
async def roll(database: Database) -> Seeded:
    """Four sources that the sighting has nothing in common with."""
    seeded = await seed_roll(database, count=4)
    for source_id in seeded.source_ids:
        await identify(database, source_id, None, None)
    return seeded


async def test_what_the_roll_does_not_know_goes_into_quarantine(database: Database, roll: Seeded) -> None:
    network = await authorise(database, "10.0.0.0/24", NOW)
    (recorded,) = await record_sightings(database, [SEEN], network_id=network.network_id)
    assert (recorded.state, recorded.match, recorded.contacts) == (SightingState.QUARANTINED, None, ())
    row = await stored(database)
    assert row["state"] == "quarantined"
    assert row["source_id"] is None
    assert row["network_id"] == network.network_id
    assert row["server"] == "Camera/1.0"
    assert await confirmed_endpoints(database) == []


async def test_seeing_a_device_again_moves_only_when_it_was_last_seen(
    database: Database, roll: Seeded
) -> None:
    first = await see(database)
    again = await see(database, replace(SEEN, seen_at=NOW + timedelta(hours=1), server=None))
    late = await see(database, replace(SEEN, seen_at=NOW - timedelta(hours=1)))
    assert first.sighting_id == again.sighting_id == late.sighting_id
    row = await stored(database)
    assert (row["first_seen_at"], row["last_seen_at"]) == (NOW, NOW + timedelta(hours=1))
    assert row["server"] == "Camera/1.0"


async def test_an_address_attested_by_the_roll_matches_and_counts_as_contact(
    database: Database, roll: Seeded
) -> None:
    source = roll.source_ids[1]
    await place(database, source, "10.0.0.5", confirmed_by="roll:someone")
    recorded = await see(database)
    assert (recorded.state, recorded.contacts) == (SightingState.MATCHED, (source,))
    row = await stored(database)
    assert (row["source_id"], row["match_rule"]) == (source, "attested_address")
    assert "attested" in split_reason(str(row["match_reason"])).en
    assert "确认" in split_reason(str(row["match_reason"])).zh


async def test_an_address_alone_waits_for_the_operator_and_is_no_contact(
    database: Database, roll: Seeded
) -> None:
    source = roll.source_ids[1]
    await place(database, source, "10.0.0.5")
    recorded = await see(database)
    assert (recorded.state, recorded.contacts) == (SightingState.AWAITING_CONFIRMATION, ())
    assert (await stored(database))["source_id"] == source
    assert await confirmed_endpoints(database) == []


async def test_confirming_attests_the_rolls_own_path_and_credential(database: Database, roll: Seeded) -> None:
    source = roll.source_ids[1]
    await place(database, source, "10.0.0.5", path="/Streaming/Channels/101")
    recorded = await see(database)
    decided = await confirm_sighting(database, recorded.sighting_id, person=PERSON, at=NOW)
    assert (decided.state, decided.source_id) == (SightingState.ACCEPTED, source)
    # Its origin stays: the roll must find its own row again.
    assert await confirmed_endpoints(database) == [
        (source, "10.0.0.5", 554, "/Streaming/Channels/101", "roll", PERSON)
    ]
    row = await stored(database)
    assert (row["state"], row["decided_by"], row["decided_at"]) == ("accepted", PERSON, NOW)
    again = await see(database, replace(SEEN, seen_at=NOW + timedelta(minutes=1)))
    assert (again.state, again.contacts) == (SightingState.ACCEPTED, (source,))
    assert (await stored(database))["decided_by"] == PERSON


async def test_a_device_found_on_another_port_gets_an_endpoint_like_the_one_it_has(
    database: Database, roll: Seeded
) -> None:
    source = roll.source_ids[1]
    await place(database, source, "10.0.0.5", port=8554, path="/live")
    async with database.raw_connection() as connection:
        await connection.execute(
            "UPDATE endpoint SET transport = 'udp', credential_id = (SELECT min(credential_id) FROM credential) "
            "WHERE source_id = $1 AND host = '10.0.0.5'",
            source,
        )
    recorded = await see(database)
    assert recorded.match is not None
    assert recorded.match.rule is Rule.HOST
    await confirm_sighting(database, recorded.sighting_id, person=PERSON, at=NOW)
    (row,) = await rows(database, "SELECT * FROM endpoint WHERE origin = 'sighting'")
    assert (row["port"], row["path"], row["transport"]) == (554, "/live", "udp")
    assert row["credential_id"] is not None


async def test_an_ambiguous_sighting_names_both_and_cannot_be_confirmed(
    database: Database, roll: Seeded
) -> None:
    one, two = roll.source_ids[:2]
    await identify(database, one, MAC, None)
    await identify(database, two, MAC, None)
    recorded = await see(database, replace(SEEN, mac=MAC))
    assert recorded.state is SightingState.AWAITING_CONFIRMATION
    row = await stored(database)
    assert row["source_id"] is None
    assert f"(#{one})" in str(row["match_reason"])
    assert f"(#{two})" in str(row["match_reason"])
    with pytest.raises(DecisionRefused) as caught:
        await confirm_sighting(database, recorded.sighting_id, person=PERSON, at=NOW)
    assert caught.value.cause == "ambiguous"
    await accept_sighting(database, recorded.sighting_id, two, person=PERSON, at=NOW, path="/2")
    assert await confirmed_endpoints(database) == [(two, "10.0.0.5", 554, "/2", "sighting", PERSON)]


async def test_a_quarantined_device_can_be_given_to_a_source(database: Database, roll: Seeded) -> None:
    recorded = await see(database)
    decided = await accept_sighting(
        database, recorded.sighting_id, roll.source_ids[0], person=PERSON, at=NOW, path="/live?channel=1"
    )
    assert decided.state is SightingState.ACCEPTED
    assert await confirmed_endpoints(database) == [
        (roll.source_ids[0], "10.0.0.5", 554, "/live?channel=1", "sighting", PERSON)
    ]
    assert (await stored(database))["match_rule"] == "operator"


async def test_channels_of_a_recorder_are_accepted_one_after_the_other(
    database: Database, roll: Seeded
) -> None:
    one, two, three = roll.source_ids[:3]
    recorded = await see(database)
    await accept_sighting(database, recorded.sighting_id, one, person=PERSON, at=NOW, path="/1")
    await accept_sighting(database, recorded.sighting_id, two, person=PERSON, at=NOW, path="/2")
    with pytest.raises(DecisionRefused) as caught:
        await accept_sighting(database, recorded.sighting_id, three, person=PERSON, at=NOW, path="/2")
    assert caught.value.cause == "address_taken"
    assert f"#{two}" in str(caught.value)
    again = await see(database)
    assert again.contacts == (one, two)


async def test_a_refused_device_is_never_brought_back_by_being_seen(database: Database, roll: Seeded) -> None:
    recorded = await see(database)
    await refuse_sighting(database, recorded.sighting_id, person=PERSON, reason="私人设备", at=NOW)
    await place(database, roll.source_ids[0], "10.0.0.5", confirmed_by="roll:someone")
    again = await see(database, replace(SEEN, seen_at=NOW + timedelta(days=1)))
    assert (again.state, again.contacts) == (SightingState.REFUSED, ())
    row = await stored(database)
    assert (row["state"], row["match_reason"], row["decided_by"]) == ("refused", "私人设备", PERSON)
    assert row["last_seen_at"] == NOW + timedelta(days=1)


async def test_refusing_takes_back_what_was_confirmed_by_way_of_it(database: Database, roll: Seeded) -> None:
    source = roll.source_ids[0]
    recorded = await see(database)
    await accept_sighting(database, recorded.sighting_id, source, person=PERSON, at=NOW)
    await refuse_sighting(database, recorded.sighting_id, person=PERSON, reason="mistaken", at=NOW)
    assert await confirmed_endpoints(database) == []
    await accept_sighting(database, recorded.sighting_id, roll.source_ids[1], person=PERSON, at=NOW)
    assert [row[0] for row in await confirmed_endpoints(database)] == [roll.source_ids[1]]


async def test_what_the_roll_attests_cannot_be_refused_here(database: Database, roll: Seeded) -> None:
    await place(database, roll.source_ids[0], "10.0.0.5", confirmed_by="roll:someone")
    recorded = await see(database)
    with pytest.raises(DecisionRefused) as caught:
        await refuse_sighting(database, recorded.sighting_id, person=PERSON, reason="not ours", at=NOW)
    assert caught.value.cause == "attested_elsewhere"
    assert len(await confirmed_endpoints(database)) == 1
    assert (await stored(database))["state"] == "matched"


@pytest.mark.parametrize("reason", ["", "   ", "a\nb", "x" * 301])
async def test_a_refusal_needs_a_reason(database: Database, roll: Seeded, reason: str) -> None:
    recorded = await see(database)
    with pytest.raises(DecisionRefused) as caught:
        await refuse_sighting(database, recorded.sighting_id, person=PERSON, reason=reason, at=NOW)
    assert caught.value.cause == "reason_missing"


@pytest.mark.parametrize("path", ["live", "", "/a b", "/\n", "/" + "x" * 1024])
async def test_a_malformed_path_changes_nothing(database: Database, roll: Seeded, path: str) -> None:
    recorded = await see(database)
    with pytest.raises(DecisionRefused) as caught:
        await accept_sighting(
            database, recorded.sighting_id, roll.source_ids[0], person=PERSON, at=NOW, path=path
        )
    assert caught.value.cause == "path_invalid"
    assert await confirmed_endpoints(database) == []


async def test_a_source_refused_by_law_gets_no_device(database: Database, roll: Seeded) -> None:
    async with database.raw_connection() as connection:
        await connection.execute(
            "UPDATE source SET lifecycle = 'rejected', lifecycle_reason = 'WX-9' WHERE source_id = $1",
            roll.source_ids[0],
        )
    recorded = await see(database)
    with pytest.raises(DecisionRefused, match="WX-9") as caught:
        await accept_sighting(database, recorded.sighting_id, roll.source_ids[0], person=PERSON, at=NOW)
    assert caught.value.cause == "source_rejected"


async def test_a_source_refused_by_law_is_recognised_but_never_in_contact(
    database: Database, roll: Seeded
) -> None:
    await place(database, roll.source_ids[0], "10.0.0.5", confirmed_by="roll:someone")
    async with database.raw_connection() as connection:
        await connection.execute(
            "UPDATE source SET lifecycle = 'rejected', lifecycle_reason = 'WX-9' WHERE source_id = $1",
            roll.source_ids[0],
        )
    recorded = await see(database)
    assert (recorded.state, recorded.contacts) == (SightingState.MATCHED, ())


async def test_unknown_sightings_and_sources_are_named_so(database: Database, roll: Seeded) -> None:
    recorded = await see(database)
    with pytest.raises(SightingUnknown):
        await confirm_sighting(database, 999, person=PERSON, at=NOW)
    with pytest.raises(SourceUnknown):
        await accept_sighting(database, recorded.sighting_id, 999, person=PERSON, at=NOW)


async def test_a_device_whose_source_left_the_roll_is_judged_anew(database: Database, roll: Seeded) -> None:
    recorded = await see(database)
    await accept_sighting(database, recorded.sighting_id, roll.source_ids[0], person=PERSON, at=NOW)
    async with database.raw_connection() as connection:
        await connection.execute(
            "UPDATE source SET lifecycle = 'removed', retired_at = now() WHERE source_id = $1",
            roll.source_ids[0],
        )
    again = await see(database)
    assert again.state is SightingState.QUARANTINED
    row = await stored(database)
    assert (row["source_id"], row["decided_by"]) == (None, None)


async def test_only_what_stayed_in_quarantine_is_forgotten(database: Database, roll: Seeded) -> None:
    await place(database, roll.source_ids[0], "10.0.0.6")
    old, fresh, waiting, refused = await record_sightings(
        database,
        [
            SEEN,
            replace(SEEN, port=8554, seen_at=NOW + timedelta(days=1)),
            replace(SEEN, host="10.0.0.6"),
            replace(SEEN, host="10.0.0.7"),
        ],
    )
    await refuse_sighting(database, refused.sighting_id, person=PERSON, reason="not ours", at=NOW)
    assert waiting.state is SightingState.AWAITING_CONFIRMATION
    assert await forget_old(database, at=NOW + timedelta(days=30)) == 0
    assert await forget_old(database, at=NOW + timedelta(days=30, seconds=1)) == 1
    kept = {row["sighting_id"] for row in await rows(database, "SELECT sighting_id FROM sighting")}
    assert old.sighting_id not in kept
    assert kept == {fresh.sighting_id, waiting.sighting_id, refused.sighting_id}


async def test_a_batch_is_bounded_and_an_address_counts_once(database: Database, roll: Seeded) -> None:
    assert await record_sightings(database, []) == []
    with pytest.raises(ValueError, match="at most"):
        await record_sightings(database, [SEEN] * (BATCH + 1))
    twice = await record_sightings(
        database, [replace(SEEN, seen_at=NOW + timedelta(seconds=5), server="new"), SEEN]
    )
    assert [each.sighting.server for each in twice] == ["new"]


async def test_a_full_batch_is_taken_in_at_once(database: Database, roll: Seeded) -> None:
    batch = [replace(SEEN, host=f"10.0.{number // 250}.{number % 250}") for number in range(BATCH)]
    recorded = await record_sightings(database, batch)
    assert {each.sighting.host for each in recorded} == {each.host for each in batch}
    assert len({each.sighting_id for each in recorded}) == BATCH


async def test_words_of_a_device_are_cut_and_cleaned(database: Database, roll: Seeded) -> None:
    await see(database, replace(SEEN, server="A\x00B\r\n" + "x" * 500))
    assert str((await stored(database))["server"]).startswith("ABxxx")
    assert len(str((await stored(database))["server"])) <= 200


async def test_two_batches_and_a_decision_at_the_same_time_disturb_nothing(
    database: Database, roll: Seeded
) -> None:
    recorded = await see(database)
    async with asyncio.TaskGroup() as group:
        for number in range(4):
            group.create_task(see(database, replace(SEEN, seen_at=NOW + timedelta(seconds=number))))
            group.create_task(see(database, replace(SEEN, host="10.0.0.9")))
        group.create_task(
            refuse_sighting(database, recorded.sighting_id, person=PERSON, reason="not ours", at=NOW)
        )
    found = await rows(database, "SELECT host, state FROM sighting ORDER BY host")
    assert [tuple(row.values()) for row in found] == [("10.0.0.5", "refused"), ("10.0.0.9", "quarantined")]
