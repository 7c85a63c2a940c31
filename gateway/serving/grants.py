"""Grants: short-lived, single-use logins with which one named person may pull one source once.

Pure; owns no clock. A grant lives in this process alone: after a restart it is void, and a new one is asked for.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from catalog.access import Role
from catalog.model.secret import Secret

LIFETIME: Final = 60.0
"""Seconds from the issue of a grant to its first use."""
MAX_OPEN: Final = 10_000
"""Grants that may wait for their use; one more is refused."""
MAX_OPEN_EACH: Final = 100
"""The same for one person."""


class TooManyGrants(Exception):
    """Raised when so many grants wait for their use that another would only help an attacker."""


@dataclass(frozen=True)
class Viewer:
    """Who looks, and what for: what the access log wants to know (WX-29.1, SX-16.6, CN-16.3)."""

    person: str
    role: Role
    token_prefix: str | None = None
    purpose: str | None = None


@dataclass(frozen=True)
class Grant:
    """Lets `viewer` pull one source, once."""

    username: str
    password: Secret
    source_id: int
    viewer: Viewer
    expires_at: float
    "Monotonic seconds."


class Grants:
    """The grants that wait for their use.

    Args:
        random_text: makes an unguessable text of so many random bytes, for URLs.
    """

    def __init__(self, random_text: Callable[[int], str] = secrets.token_urlsafe) -> None:
        self._random_text = random_text
        self._open: dict[str, Grant] = {}

    def __len__(self) -> int:
        return len(self._open)

    def issue(self, source_id: int, viewer: Viewer, now: float) -> Grant:
        """Return a new grant for one use within `LIFETIME` seconds of monotonic `now`.

        Raises:
            TooManyGrants: too many wait for their use, of this person or in all.
        """
        self._forget_expired(now)
        of_person = sum(1 for grant in self._open.values() if grant.viewer.person == viewer.person)
        if len(self._open) >= MAX_OPEN or of_person >= MAX_OPEN_EACH:
            raise TooManyGrants(f"{of_person} logins wait for their use: use them, or wait {LIFETIME:g} s")
        # 8 and 24 random bytes: the name is no secret, the password can be tried for a minute at most.
        username = f"view-{self._random_text(8)}"
        grant = Grant(username, Secret(self._random_text(24)), source_id, viewer, now + LIFETIME)
        self._open[username] = grant
        return grant

    def find(self, username: str, now: float) -> Grant | None:
        """Return the grant of `username`, or None when there is none or its time is over."""
        grant = self._open.get(username)
        return grant if grant is not None and now < grant.expires_at else None

    def redeem(self, grant: Grant, now: float) -> bool:
        """Use `grant` up; return whether it could still be used. Of two at the same time one succeeds."""
        return self.find(grant.username, now) is grant and self._open.pop(grant.username, None) is grant

    def _forget_expired(self, now: float) -> None:
        # In order of issue, which is the order of expiry.
        for username, grant in list(self._open.items()):
            if grant.expires_at > now:
                return
            del self._open[username]
