"""Passwords of devices and superiors: encrypted in the database, the key outside it.

Stored is `enc:v1:<key id>:<base64>` with AES-256-GCM over a random 96-bit nonce. Table, column, row and key id are
authenticated with it, so a ciphertext that is moved to another row, changed, or met with another key is an error
and never a password. Nothing is ever stored or read in the clear.
"""

import base64
import binascii
import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from catalog.database import Database, Statements
from catalog.errors import CredentialUnreadable, KeyUnusable
from catalog.key_file import KEY_BYTES, read_key
from catalog.model.secret import Secret

NONCE_BYTES: Final = 12

_STORED: Final = re.compile(r"enc:v1:(?P<key_id>[0-9a-f]{8}):(?P<payload>[A-Za-z0-9+/]+={0,2})")
_TABLE: Final = "credential"
_COLUMN: Final = "password_encrypted"


class Vault:
    """Encrypt and decrypt with one key."""

    def __init__(self, key: bytes) -> None:
        """Take the key itself; `open` and `from_text` are the usual ways.

        Raises:
            KeyUnusable: it is not 32 bytes.
        """
        if len(key) != KEY_BYTES:
            raise KeyUnusable(f"the credential key has {len(key)} bytes, {KEY_BYTES} are needed")
        self._cipher = AESGCM(key)
        self.key_id: Final = hashlib.sha256(b"muster credential key id\0" + key).hexdigest()[:8]

    def __repr__(self) -> str:
        return f"Vault({self.key_id})"

    @classmethod
    def open(cls, path: Path, *, create: bool = False) -> Self:
        """Read the key file: 32 bytes, for its owner alone.

        Args:
            path: the file; keep a copy of it, but never beside a copy of the database.
            create: make a new key, mode 0600, if the file is missing.

        Raises:
            KeyUnusable: missing, of another size, or open to other users.
        """
        return cls(read_key(path, what="credential key", create=create))

    @classmethod
    def from_text(cls, text: Secret) -> Self:
        """Read the key from base64, as it comes in an environment variable.

        Raises:
            KeyUnusable: no base64, or another size.
        """
        try:
            return cls(base64.b64decode(text.reveal(), validate=True))
        except (binascii.Error, ValueError):
            raise KeyUnusable("the credential key is no base64 of 32 bytes") from None

    def encrypt(self, table: str, column: str, row_id: int, secret: Secret) -> str:
        """Return the text to store in `column` of the row `row_id` of `table`, and only there."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        bound_to = _bound_to(table, column, row_id, self.key_id)
        payload = nonce + self._cipher.encrypt(nonce, secret.reveal().encode(), bound_to)
        return f"enc:v1:{self.key_id}:{base64.b64encode(payload).decode('ascii')}"

    def decrypt(self, table: str, column: str, row_id: int, stored: str) -> Secret:
        """Return what `encrypt` was given for this very place.

        Raises:
            CredentialUnreadable: not of our making, another key, another place, or changed bytes.
        """
        place = f"{table} {row_id}"
        match = _STORED.fullmatch(stored)
        if match is None:
            raise CredentialUnreadable(f"{place}: {column} holds nothing that Muster encrypted")
        if match["key_id"] != self.key_id:
            raise CredentialUnreadable(
                f"{place}: encrypted with key {match['key_id']}, this gateway holds key {self.key_id}"
            )
        try:
            payload = base64.b64decode(match["payload"], validate=True)
            nonce, sealed = payload[:NONCE_BYTES], payload[NONCE_BYTES:]
            clear = self._cipher.decrypt(nonce, sealed, _bound_to(table, column, row_id, self.key_id))
            return Secret(clear.decode())
        except (InvalidTag, ValueError):
            raise CredentialUnreadable(f"{place}: changed, or moved here from another row") from None


@dataclass(frozen=True)
class Credential:
    """What a device asks for, readable."""

    credential_id: int
    ref: str
    "Name under which the roll speaks of it."
    version: int
    "Counts changes; a refused credential is tried again when it moved."
    username: str
    password: Secret


@dataclass(frozen=True)
class ListedCredential:
    """What may be shown of a credential."""

    credential_id: int
    ref: str
    username: str | None
    is_set: bool
    "Whether somebody typed the password."
    version: int
    changed_at: datetime | None
    changed_by: str | None


async def list_credentials(statements: Statements) -> list[ListedCredential]:
    """Return every credential, oldest first, never with its password; raises `DatabaseAway`."""
    return [ListedCredential(**dict(row)) for row in await statements.fetch("credential_refs")]


async def set_credential(
    database: Database,
    vault: Vault,
    *,
    ref: str,
    login: tuple[str, Secret],
    by: str,
    at: datetime,
) -> int:
    """Store user name and password under `ref`, which need not exist yet, and return the new version.

    Args:
        database: the catalog.
        vault: encrypts the password.
        ref: name of the credential, as the roll gives it; not empty.
        login: user name and password.
        by: the named person who sets it.
        at: when, timezone-aware.

    Raises:
        DatabaseAway: not stored, or not known to be stored; setting it again is harmless.
    """
    async with database.transaction() as transaction:
        _, version = await put_credential(transaction, vault, ref=ref, login=login, by=by, at=at)
        return version


async def put_credential(
    transaction: Statements, vault: Vault, *, ref: str, login: tuple[str, Secret], by: str, at: datetime
) -> tuple[int, int]:
    """Store user name and password as `set_credential`, with what else the transaction does or not at all.

    Returns:
        Its id and the new version.
    """
    username, password = login
    # The row comes first: the password is bound to its id.
    await transaction.execute("credential_ensure", ref)
    credential_id = int(await transaction.fetchval("credential_lock", ref))
    sealed = vault.encrypt(_TABLE, _COLUMN, credential_id, password)
    return credential_id, int(
        await transaction.fetchval("credential_set", credential_id, username, sealed, at, by)
    )


async def credential(statements: Statements, vault: Vault, ref: str) -> Credential | None:
    """Return the credential `ref`, or None when it is unknown or nobody typed its password yet.

    Raises:
        CredentialUnreadable: stored, but not readable with this key.
        DatabaseAway: no answer.
    """
    row = await statements.fetchrow("credential_by_ref", ref)
    return None if row is None else unlock(vault, dict(row))


def unlock(vault: Vault, row: Mapping[str, object]) -> Credential:
    """Return the credential of a row with `credential_id, ref, version, username, password_encrypted`.

    Raises:
        CredentialUnreadable: not readable with this key; also when there is no password in the row.
    """
    credential_id = int(str(row["credential_id"]))
    return Credential(
        credential_id=credential_id,
        ref=str(row["ref"]),
        version=int(str(row["version"])),
        username=str(row["username"] or ""),
        password=vault.decrypt(_TABLE, _COLUMN, credential_id, str(row["password_encrypted"] or "")),
    )


def _bound_to(table: str, column: str, row_id: int, key_id: str) -> bytes:
    return f"{table}|{column}|{row_id}|{key_id}".encode()
