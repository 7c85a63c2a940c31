"""Logins to the operator's page: kept in memory, bounded, each with a token against forged forms."""

import hmac
import secrets
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from catalog.model.secret import Secret

MOST_SESSIONS: Final = 1_000
_ID_BYTES: Final = 32
_MOST_NOTICES: Final = 20


@dataclass(frozen=True)
class Notice:
    """What came of an action, shown once."""

    is_good: bool
    text: str
    lines: tuple[str, ...] = ()


@dataclass
class Session:
    """One login. It holds the token, so that a revoked one ends it with the next call."""

    token: Secret
    csrf: str
    ends_at: float
    "Monotonic."
    notices: list[Notice] = field(default_factory=list)

    def is_forged(self, csrf: str) -> bool:
        """Tell whether a form did not come from our page."""
        return not hmac.compare_digest(self.csrf.encode(), csrf.encode("utf-8", "replace"))

    def tell(self, notice: Notice) -> None:
        """Show a notice with the next page."""
        self.notices = [*self.notices, notice][-_MOST_NOTICES:]

    def take_notices(self) -> list[Notice]:
        """Return what is to be shown, once."""
        taken, self.notices = self.notices, []
        return taken


class Sessions:
    """The logins of this process; a restart ends them."""

    def __init__(self, lifetime: float) -> None:
        """Prepare.

        Args:
            lifetime: seconds that a login lasts.
        """
        self._lifetime = lifetime
        self._sessions: OrderedDict[str, Session] = OrderedDict()

    def open(self, token: Secret, now: float) -> str:
        """Open a session with a new id and return that; beyond `MOST_SESSIONS` the oldest ends."""
        session_id = secrets.token_urlsafe(_ID_BYTES)
        self._sessions[session_id] = Session(token, secrets.token_urlsafe(_ID_BYTES), now + self._lifetime)
        if len(self._sessions) > MOST_SESSIONS:
            self._sessions.popitem(last=False)
        return session_id

    def get(self, session_id: str, now: float) -> Session | None:
        """Return the session of this id, None when it ended."""
        session = self._sessions.get(session_id)
        if session is not None and now >= session.ends_at:
            self.close(session_id)
            return None
        return session

    def close(self, session_id: str) -> None:
        """End a session."""
        self._sessions.pop(session_id, None)
