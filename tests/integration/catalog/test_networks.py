"""Authorisation records in a real database."""

import ipaddress
from datetime import UTC, datetime, timedelta

import pytest

from catalog.database import Database
from catalog.model.network import NetworkRefused
from catalog.networks import (
    NetworkUnknown,
    NewAuthorisation,
    authorise_network,
    list_networks,
    load_authorised,
    revoke_network,
)
from tests.discovery import PERSON, authorise

pytestmark = pytest.mark.postgres

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
LATER = NOW + timedelta(days=30)


async def test_a_record_comes_back_as_it_was_entered(database: Database) -> None:
    record = NewAuthorisation("10.1.0.0/16", " 批准文件 [2026] 12 ", "王局长", LATER)
    entered = await authorise_network(database, record, authorised_by=PERSON, at=NOW)
    assert await list_networks(database) == [entered]
    assert entered.network == ipaddress.ip_network("10.1.0.0/16")
    assert (entered.document, entered.approver, entered.authorised_by) == (
        "批准文件 [2026] 12",
        "王局长",
        PERSON,
    )
    assert (entered.authorised_at, entered.expires_at, entered.revoked_at) == (NOW, LATER, None)


@pytest.mark.parametrize(
    ("record", "person", "words"),
    [
        (NewAuthorisation("8.8.8.0/24", "document", "approver", LATER), PERSON, "private range"),
        (NewAuthorisation("10.1.0.0/16", "  ", "approver", LATER), PERSON, "document"),
        (NewAuthorisation("10.1.0.0/16", "document", "", LATER), PERSON, "approver"),
        (NewAuthorisation("10.1.0.0/16", "a\nb", "approver", LATER), PERSON, "printable"),
        (NewAuthorisation("10.1.0.0/16", "document", "approver", LATER), "", "person"),
        (NewAuthorisation("10.1.0.0/16", "document", "approver", NOW), PERSON, "future"),
        (
            NewAuthorisation("10.1.0.0/16", "document", "approver", LATER.replace(tzinfo=None)),
            PERSON,
            "time zone",
        ),
    ],
)
async def test_an_incomplete_record_is_refused_and_nothing_is_stored(
    database: Database, record: NewAuthorisation, person: str, words: str
) -> None:
    with pytest.raises(NetworkRefused, match=words):
        await authorise_network(database, record, authorised_by=person, at=NOW)
    assert await list_networks(database) == []


HOSTS = ("10.1.2.3", "10.2.0.1", "fd00::5", "127.0.0.7", "127.0.0.8", "camera.example", "8.8.8.8")


@pytest.mark.parametrize("seconds", [-1, 0, 1800, 3600])
async def test_the_narrowest_live_record_covers_an_address(database: Database, seconds: float) -> None:
    await authorise(database, "10.0.0.0/8", NOW)
    narrow = await authorise(database, "10.1.0.0/16", NOW, seconds=1800)
    await authorise(database, "fd00::/64", NOW)
    await authorise(database, "127.0.0.7", NOW)
    at = NOW + timedelta(seconds=seconds)
    authorised = await load_authorised(database)
    covered = {host for host in HOSTS if authorised.covers(host, at) is not None}
    assert covered == (set() if seconds >= 3600 else {"10.1.2.3", "10.2.0.1", "fd00::5", "127.0.0.7"})
    assert (authorised.covers("10.1.2.3", at) == narrow) == (seconds < 1800)


async def test_a_revoked_record_stays_on_record_and_covers_nothing(database: Database) -> None:
    entered = await authorise(database, "10.1.0.0/16", NOW)
    ended = NOW + timedelta(seconds=10)
    await revoke_network(database, entered.network_id, person=PERSON, at=ended)
    await revoke_network(database, entered.network_id, person=PERSON, at=ended + timedelta(seconds=99))
    assert (await list_networks(database))[0].revoked_at == ended
    assert (await load_authorised(database)).covers("10.1.0.1", ended) is None
    # Nor does it revive when the clock is set back.
    assert (await load_authorised(database)).covers("10.1.0.1", ended - timedelta(seconds=1)) is None


async def test_an_unknown_record_cannot_be_revoked(database: Database) -> None:
    with pytest.raises(NetworkUnknown):
        await revoke_network(database, 77, person=PERSON, at=NOW)


async def test_a_public_record_written_past_us_covers_nothing(database: Database) -> None:
    async with database.raw_connection() as connection:
        await connection.execute(
            "INSERT INTO network (cidr, document, approver, authorised_by, authorised_at, expires_at) "
            "VALUES ('0.0.0.0/0', 'd', 'a', 'p', $1, $2)",
            NOW,
            LATER,
        )
    assert (await load_authorised(database)).covers("8.8.8.8", NOW) is None
    assert (await load_authorised(database)).covers("10.0.0.1", NOW) is None
