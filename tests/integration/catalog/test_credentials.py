"""Passwords in a real database: encrypted, versioned, and bound to their row."""

from datetime import UTC, datetime

import pytest

from catalog.credentials import Vault, credential, set_credential
from catalog.database import Database
from catalog.errors import CredentialUnreadable
from catalog.model.secret import Secret

pytestmark = pytest.mark.postgres

VAULT = Vault(bytes(range(32)))
AT = datetime(2026, 3, 1, 8, tzinfo=UTC)


async def set_password(database: Database, ref: str, password: str) -> int:
    return await set_credential(
        database, VAULT, ref=ref, login=("admin", Secret(password)), by="Duty officer", at=AT
    )


async def test_a_credential_is_stored_encrypted_and_read_back(database: Database) -> None:
    assert await set_password(database, "gate", "hunter2-hunter2") == 1
    found = await credential(database, VAULT, "gate")
    assert found is not None
    assert (found.ref, found.version, found.username) == ("gate", 1, "admin")
    assert found.password == Secret("hunter2-hunter2")
    async with database.raw_connection() as connection:
        rows = await connection.fetch("SELECT credential::text AS everything FROM credential")
    assert len(rows) == 1
    assert "hunter2" not in rows[0]["everything"]


async def test_setting_a_credential_again_counts_its_version(database: Database) -> None:
    await set_password(database, "gate", "first-password")
    assert await set_password(database, "gate", "second-password") == 2
    found = await credential(database, VAULT, "gate")
    assert found is not None
    assert found.password == Secret("second-password")


async def test_a_credential_nobody_typed_yet_is_none(database: Database) -> None:
    await database.execute("credential_ensure", "gate")
    assert await credential(database, VAULT, "gate") is None
    assert await credential(database, VAULT, "unheard-of") is None


async def test_a_password_moved_to_another_row_is_an_error(database: Database) -> None:
    await set_password(database, "gate", "password-of-the-gate")
    await set_password(database, "hall", "password-of-the-hall")
    async with database.raw_connection() as connection:
        await connection.execute(
            "UPDATE credential SET password_encrypted = (SELECT password_encrypted FROM credential"
            " WHERE ref = 'gate') WHERE ref = 'hall'"
        )
    with pytest.raises(CredentialUnreadable, match="moved"):
        await credential(database, VAULT, "hall")
    assert await credential(database, VAULT, "gate") is not None


async def test_another_key_cannot_read_it(database: Database) -> None:
    await set_password(database, "gate", "password-of-the-gate")
    with pytest.raises(CredentialUnreadable, match="holds key"):
        await credential(database, Vault(bytes(32)), "gate")
