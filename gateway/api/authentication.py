"""From a request's bearer token to its principal."""

import logging
from collections.abc import Mapping
from typing import Final

from catalog.access import AccessToken, Tokens, hash_token
from catalog.errors import DatabaseAway
from catalog.model.secret import Secret
from gateway.api.limits import FailureLimit
from gateway.api.problem import ApiProblem, Code
from gateway.api.stale import PAUSE
from gateway.clock import Clock

logger = logging.getLogger(__name__)

MOST_AWAY: Final = 24 * 3600.0
"""Seconds that tokens read earlier go on to be taken while the database is away."""

_HEADER_LIMIT: Final = 200


class Authentication:
    """Tells whose token it is; goes on from memory while the database is away."""

    def __init__(self, tokens: Tokens, clock: Clock) -> None:
        self._tokens = tokens
        self._clock = clock
        self._live: Mapping[bytes, AccessToken] = {}
        self._live_at: float | None = None
        self._failures = FailureLimit()
        self._away_until = float("-inf")

    async def refresh(self) -> None:
        """Read all valid tokens; raises `DatabaseAway`."""
        self._live = await self._tokens.live(self._clock.now())
        self._live_at = self._clock.monotonic()

    @property
    def regions(self) -> set[tuple[str, str]]:
        """Roles and region prefixes of the tokens in memory."""
        return {(token.role.value, token.region.prefix) for token in self._live.values()}

    async def token(self, secret: Secret, *, client: str) -> AccessToken:
        """Return the token this secret is.

        Args:
            secret: as the caller sent it.
            client: its network address; too many failures of one address are refused for a while.

        Raises:
            ApiProblem: it is none of ours, expired or revoked, or the address failed too often.
            DatabaseAway: nobody can tell now.
        """
        wait = self._failures.wait_for(client, self._clock.monotonic())
        # Who is known already is let in: nobody can lock the operator out by guessing beside him.
        if wait and hash_token(secret) not in self._live:
            raise ApiProblem(Code.TOO_MANY, "too many failed logins from this address", retry_after=wait)
        found = await self._find(secret)
        if found is None:
            self._failures.failed(client, self._clock.monotonic())
            logger.warning("refused a token from %s", client, extra={"action": "token_refused"})
            raise ApiProblem(Code.UNAUTHENTICATED, "the token is not valid")
        return found

    async def _find(self, secret: Secret) -> AccessToken | None:
        if self._clock.monotonic() < self._away_until and self._live_at is not None:
            return self._remembered(secret)
        try:
            return await self._tokens.verify(secret, now=self._clock.now())
        except DatabaseAway:
            self._away_until = self._clock.monotonic() + PAUSE
            return self._remembered(secret)

    def _remembered(self, secret: Secret) -> AccessToken | None:
        if self._live_at is None or self._clock.monotonic() - self._live_at > MOST_AWAY:
            raise DatabaseAway("nobody can tell whose token it is while the database is away")
        found = self._live.get(hash_token(secret))
        return found if found is not None and found.is_valid(self._clock.now()) else None


def bearer(header: str | None) -> Secret | None:
    """Return the token of an `Authorization` header, None without one.

    Raises:
        ApiProblem: the header is not `Bearer TOKEN`.
    """
    if header is None:
        return None
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token.strip() or len(header) > _HEADER_LIMIT:
        raise ApiProblem(Code.UNAUTHENTICATED, "write Authorization: Bearer and the token")
    return Secret(token.strip())
