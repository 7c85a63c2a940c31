from datetime import timedelta

import pytest

from catalog.access import AccessEntry, AccessLog, Role, TokenInvalid, Tokens
from catalog.database import Database
from catalog.errors import QueryFailed
from catalog.model.secret import Secret
from catalog.reading import Region
from tests.seed import NOW

pytestmark = pytest.mark.postgres


async def test_a_token_opens_the_door_until_it_expires(database: Database) -> None:
    tokens = Tokens(database)
    kept, secret = await tokens.create(
        person="张三",
        role=Role.POLICE_STATUS,
        region=Region("3202"),
        created_at=NOW,
        expires_at=NOW + timedelta(days=1),
    )

    assert await tokens.verify(secret, now=NOW) == kept
    assert await tokens.verify(secret, now=NOW + timedelta(days=1)) is None
    assert secret.reveal().startswith(kept.prefix)
    assert len(secret.reveal()) == len("muster_") + 43


async def test_a_revoked_token_is_refused_and_stays_revoked(database: Database) -> None:
    tokens = Tokens(database)
    kept, secret = await tokens.create(person="李四", role=Role.OPERATOR, region=Region(), created_at=NOW)

    assert await tokens.revoke(kept.token_id, at=NOW)
    assert await tokens.revoke(kept.token_id, at=NOW + timedelta(hours=1))

    assert await tokens.verify(secret, now=NOW) is None
    assert [token.revoked_at for token in await tokens.list()] == [NOW]
    assert await tokens.live(NOW) == {}
    assert not await tokens.revoke(999, at=NOW)


async def test_only_the_hash_is_kept(database: Database) -> None:
    _, secret = await Tokens(database).create(
        person="王五", role=Role.OPERATOR, region=Region(), created_at=NOW
    )

    async with database.raw_connection() as connection:
        row = await connection.fetchval("SELECT row_to_json(t)::text FROM access_token t")

    assert secret.reveal()[16:] not in row
    assert "***" in repr(secret)


@pytest.mark.parametrize("text", ["", "muster_short", "muster_" + "x" * 43, "\0", "x" * 100_000])
async def test_anything_else_is_no_token(database: Database, text: str) -> None:
    assert await Tokens(database).verify(Secret(text), now=NOW) is None


@pytest.mark.parametrize(
    ("person", "role", "days"),
    [(" ", Role.OPERATOR, 1), ("x", Role.PUBLIC, 1), ("x", Role.OPERATOR, 0)],
)
async def test_a_token_that_makes_no_sense_is_refused(
    database: Database, person: str, role: Role, days: int
) -> None:
    with pytest.raises(TokenInvalid):
        await Tokens(database).create(
            person=person,
            role=role,
            region=Region(),
            created_at=NOW,
            expires_at=NOW + timedelta(days=days),
        )


async def test_the_access_log_keeps_what_was_asked_and_cannot_be_changed(database: Database) -> None:
    log = AccessLog(database)
    entry = AccessEntry(
        at=NOW,
        role=Role.POLICE_STATUS,
        client="127.0.0.1",
        method="POST",
        route="/api/v1/status/query",
        scope="3 codes",
        status=200,
        person="张三",
        token_prefix="muster_abc",
        purpose="case \0 12",
    )

    await log.append([entry, entry])

    first, second = await log.recent()
    assert first == second
    assert first.purpose == "case \N{REPLACEMENT CHARACTER} 12"
    async with database.raw_connection() as connection:
        with pytest.raises(Exception, match="append-only"):
            await connection.execute("DELETE FROM access_log")


async def test_a_wrong_parameter_is_an_error_of_ours(database: Database) -> None:
    with pytest.raises(QueryFailed):
        await database.fetch("access_log_recent", "many")
