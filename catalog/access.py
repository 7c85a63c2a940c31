"""Who may call, and what was called: access tokens and the access log.

Owns no task and no clock: callers give the instants. The batching of the log is the caller's work
(`gateway/api/access_log.py`); this module writes what it is given in one statement.
"""

import hashlib
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

import asyncpg

from catalog.database import Statements
from catalog.model.secret import Secret
from catalog.reading import Region

TOKEN_BYTES: Final = 32
"""Random bytes of a token: at 256 bits a slow hash would protect nothing more."""

_START: Final = "muster_"
_TOKEN: Final = re.compile(r"muster_[A-Za-z0-9_-]{43}")
_PREFIX_LENGTH: Final = len(_START) + 8
_MAX_TEXT: Final = 500


class Role(StrEnum):
    """What a caller may do."""

    PUBLIC = "public"
    "Anonymous: the published catalog, health and readiness."
    POLICE_STATUS = "police_status"
    "State, reason and times of what it asks for; never address, endpoint, type or position."
    OPERATOR = "operator"
    "Everything but secrets."


class TokenInvalid(ValueError):
    """Raised when a token cannot be made as asked."""


@dataclass(frozen=True)
class AccessToken:
    """A token of one named person, as the catalog holds it: without the token itself."""

    token_id: int
    prefix: str
    "First characters, to recognise it in a list."
    person: str
    role: Role
    region: Region
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None

    def is_valid(self, now: datetime) -> bool:
        """Tell whether it opens the door at `now`."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True)
class AccessEntry:
    """One call: who, what, what for, with what result (WX-29.1, SX-16.6, CN-16.3)."""

    at: datetime
    role: Role
    client: str
    "Network address of the caller."
    method: str
    route: str
    "The route's pattern, never the path with ids in it."
    scope: str
    "What was asked for: ids, filter or count; never a secret."
    status: int
    person: str | None = None
    token_prefix: str | None = None
    purpose: str | None = None


def hash_token(token: Secret) -> bytes:
    """Return what is kept of a token: its SHA-256."""
    return hashlib.sha256(token.reveal().encode("utf-8", "surrogatepass")).digest()


def looks_like_token(text: str) -> bool:
    """Tell whether `text` has the form of a token of ours, whoever made it."""
    return _TOKEN.fullmatch(text) is not None


class Tokens:
    """The store of access tokens."""

    def __init__(self, database: Statements) -> None:
        self._database = database

    async def create(
        self,
        *,
        person: str,
        role: Role,
        region: Region,
        created_at: datetime,
        expires_at: datetime | None = None,
    ) -> tuple[AccessToken, Secret]:
        """Make a token and return it with the secret, which nobody can read again.

        Raises:
            TokenInvalid: no person, a public token, or it would never be valid.
            DatabaseAway: no answer.
        """
        person = person.strip()
        if not person or len(person) > _MAX_TEXT:
            raise TokenInvalid("a token belongs to a named person")
        if role is Role.PUBLIC:
            raise TokenInvalid("the public needs no token")
        if expires_at is not None and expires_at <= created_at:
            raise TokenInvalid("the token would have expired before it is made")
        token = Secret(_START + secrets.token_urlsafe(TOKEN_BYTES))
        row = await self._database.fetchrow(
            "token_insert",
            token.reveal()[:_PREFIX_LENGTH],
            hash_token(token),
            person,
            role.value,
            region.prefix,
            created_at,
            expires_at,
        )
        assert row is not None  # INSERT ... RETURNING gives its row or raises
        return _token(row), token

    async def list(self) -> tuple[AccessToken, ...]:
        """Return all tokens, the newest first, revoked and expired ones too."""
        return tuple(_token(row) for row in await self._database.fetch("token_list"))

    async def revoke(self, token_id: int, *, at: datetime) -> bool:
        """Revoke a token for good; tell whether there is one with this id."""
        if not 0 <= token_id < 2**63:
            return False
        await self._database.execute("token_revoke", token_id, at)
        return bool(await self._database.fetchval("token_exists", token_id))

    async def verify(self, token: Secret, *, now: datetime) -> AccessToken | None:
        """Return the valid token that this secret is, or None.

        Raises:
            DatabaseAway: no answer; `live` read earlier can answer then.
        """
        if not looks_like_token(token.reveal()):
            return None
        row = await self._database.fetchrow("token_by_hash", hash_token(token))
        found = _token(row) if row is not None else None
        return found if found is not None and found.is_valid(now) else None

    async def live(self, now: datetime) -> Mapping[bytes, AccessToken]:
        """Return every valid token by its hash, to go on while the database is away."""
        return {row["token_hash"]: _token(row) for row in await self._database.fetch("token_live", now)}


class AccessLog:
    """The store of the access log: append-only."""

    def __init__(self, database: Statements) -> None:
        self._database = database

    async def append(self, entries: Sequence[AccessEntry]) -> None:
        """Commit `entries` in one statement.

        Raises:
            DatabaseAway: no answer; whether they were committed is not known.
        """
        await self._database.execute(
            "access_log_append",
            [entry.at for entry in entries],
            [_text(entry.person) for entry in entries],
            [entry.role.value for entry in entries],
            [entry.token_prefix for entry in entries],
            [entry.client for entry in entries],
            [entry.method for entry in entries],
            [_text(entry.route) for entry in entries],
            [_text(entry.scope) for entry in entries],
            [_text(entry.purpose) for entry in entries],
            [entry.status for entry in entries],
        )

    async def recent(self, limit: int = 100) -> tuple[AccessEntry, ...]:
        """Return the newest entries, the newest first."""
        rows = await self._database.fetch("access_log_recent", limit)
        return tuple(AccessEntry(**{**row, "role": Role(row["role"])}) for row in rows)


def _text(text: str | None) -> str | None:
    """Bound a text, and take out what PostgreSQL cannot hold."""
    if text is None:
        return None
    return text[:_MAX_TEXT].replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def _token(row: asyncpg.Record) -> AccessToken:
    return AccessToken(
        token_id=row["token_id"],
        prefix=row["prefix"],
        person=row["person"],
        role=Role(row["role"]),
        region=Region(row["region"]),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
    )
