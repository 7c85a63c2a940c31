"""Decides whether an RTSP client may pull a source from us: who it is, which source, what stands in the way.

Nothing is shown before it is on record: each admission is written to the access log first (WX-29.1, SX-16.6).
"""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from adapters.base import SourceKey
from catalog.access import AccessEntry, Role
from catalog.credentials import Vault, credential
from catalog.database import Statements
from catalog.errors import CatalogError, CredentialUnreadable
from catalog.model.secret import Secret
from catalog.sources import SourceUnknown
from gateway.api.access_recorder import AccessLogFull
from gateway.clock import Clock
from gateway.relay.limits import Shortage
from gateway.serving.grants import Grant, Grants, Viewer

logger = logging.getLogger(__name__)

ACCOUNTS_KEPT: Final = 30.0
"""Seconds for which the standing accounts are remembered: a flood of wrong names costs the database nothing."""
PLAYING_WITHIN: Final = 8.0
"""Seconds that a client waits for a relay on demand to play; the door lets nobody stand longer than 10 s in all."""
_POLL: Final = 0.1

_CODE: Final = re.compile(r"/([A-Za-z0-9\-_.]{1,64})")


class Sources(Protocol):
    """Knows the sources of this gateway by the codes under which they go out."""

    def find(self, code: str) -> SourceKey | None:
        """Return the source that goes out under `code`, relayed now or not, or None."""
        ...


class Relays(Protocol):
    """The relay manager, as far as clients concern it."""

    def is_playing(self, source_id: SourceKey) -> bool:
        """Return whether the source plays now."""
        ...

    def readers(self) -> Mapping[SourceKey, int]:
        """Return how many clients each source serves."""
        ...


class OnDemand(Protocol):
    """Begins relays that run only while somebody asks for them."""

    async def start(self, source_id: int) -> str | Shortage | None:
        """Ask for a relay, or say that it is still wanted; return None, or what stands in the way.

        Raises:
            SourceUnknown: no such source is on the roll of this gateway.
        """
        ...


class Accounts(Protocol):
    """Knows the standing accounts."""

    async def find(self, username: str) -> "Account | None":
        """Return the account, or None."""
        ...


class Recorder(Protocol):
    """Writes the access log."""

    def require_room(self, role: Role) -> None:
        """Refuse what could not be recorded; raises `AccessLogFull`."""
        ...

    async def record(self, entry: AccessEntry) -> None:
        """Return when the row is committed, or waits because the database is away."""
        ...


@dataclass(frozen=True)
class ReaderLimits:
    """How many clients may be served."""

    readers: int = 1000
    "In all."
    readers_each: int = 200
    "Of one source."


@dataclass(frozen=True)
class Account:
    """Who logs in: the holder of a grant, or a standing account such as the central platform's."""

    password: Secret
    viewer: Viewer
    grant: Grant | None = None
    "None: a standing account, which may pull every source again and again."


class Refused(Exception):
    """Raised when a client may not pull.

    Args:
        status: RTSP status code (RFC 2326, section 7.1.1).
        reason: for the status line; names no source and no person.
        retry_after: seconds after which it may help to ask again.
    """

    def __init__(self, status: int, reason: str, *, retry_after: int | None = None) -> None:
        super().__init__(f"{status} {reason}")
        self.status = status
        self.reason = reason
        self.retry_after = retry_after


@dataclass
class StandingAccounts:
    """The accounts whose names the configuration lists; their passwords lie encrypted in the catalog."""

    statements: Statements
    vault: Vault
    refs: Sequence[str]
    clock: Clock
    _known: dict[str, Account] = field(default_factory=dict)
    _read_at: float = float("-inf")

    async def find(self, username: str) -> Account | None:
        """Return the account, or None; while the database is away, what was last known holds."""
        if self.refs and self.clock.monotonic() - self._read_at >= ACCOUNTS_KEPT:
            self._read_at = self.clock.monotonic()
            try:
                self._known = await self._read()
            except CatalogError as error:
                logger.warning("standing accounts not read: %s", error, extra={"action": "accounts_unread"})
        return self._known.get(username)

    async def _read(self) -> dict[str, Account]:
        found: dict[str, Account] = {}
        for ref in self.refs:
            try:
                stored = await credential(self.statements, self.vault, ref)
            except CredentialUnreadable as error:
                logger.warning("account %s: %s", ref, error, extra={"action": "credential_unreadable"})
                continue
            if stored is None:
                logger.warning(
                    "account %s has no password yet: set it with `muster credential set %s`",
                    ref,
                    ref,
                    extra={"action": "account_unset"},
                )
                continue
            # A system, not a person, pulls here: the record names its account.
            viewer = Viewer(ref, Role.POLICE_STATUS, purpose="standing account")
            found[stored.username] = Account(stored.password, viewer)
        return found


@dataclass
class Admission:
    """Lets clients in.

    Args:
        grants: the short-lived logins.
        accounts: the standing ones.
        sources: finds a source by its code.
        relays: what is relayed now.
        on_demand: begins what is relayed when asked for; None where nothing begins.
        recorder: the access log.
        clock: the gateway's.
        limits: how many clients at most.
    """

    grants: Grants
    accounts: Accounts
    sources: Sources
    relays: Relays
    on_demand: OnDemand | None
    recorder: Recorder
    clock: Clock
    limits: ReaderLimits = field(default_factory=ReaderLimits)

    async def account_of(self, username: str) -> Account | None:
        """Return whose login `username` is, or None."""
        grant = self.grants.find(username, self.clock.monotonic())
        if grant is not None:
            return Account(grant.password, grant.viewer, grant)
        return await self.accounts.find(username)

    async def admit(self, account: Account, path: str, client: str) -> SourceKey:
        """Return the source that a client which proved to be `account` may pull; it plays now.

        Args:
            account: who it is.
            path: of the URL that it asked for.
            client: its address, for the record.

        Raises:
            Refused: it may not, or not now.
        """
        code = code_of(path)
        asked = self.sources.find(code) if code is not None else None
        refusal = None
        try:
            source_id = _granted(account, asked)
            self._require_room(source_id)
            await self._require_playing(source_id)
            self._redeem(account)
        except Refused as refused:
            refusal = refused
        await self._record(account, asked, client, 200 if refusal is None else refusal.status)
        if refusal is not None or asked is None:
            raise refusal or Refused(404, "Not Found")
        return asked

    def _require_room(self, source_id: SourceKey) -> None:
        readers = self.relays.readers()
        of_source, of_all = readers.get(source_id, 0), sum(readers.values())
        if of_source >= self.limits.readers_each or of_all >= self.limits.readers:
            logger.warning(
                "a client was refused: source %d serves %d of %d, all sources %d of %d",
                source_id,
                of_source,
                self.limits.readers_each,
                of_all,
                self.limits.readers,
                extra={"action": "reader_limit"},
            )
            raise Refused(453, "Not Enough Bandwidth")

    async def _require_playing(self, source_id: SourceKey) -> None:
        if self.relays.is_playing(source_id):
            return
        try:
            obstacle = await self.on_demand.start(source_id) if self.on_demand is not None else None
        except SourceUnknown:
            # It left the roll since it was found.
            raise Refused(404, "Not Found") from None
        if isinstance(obstacle, Shortage):
            raise Refused(453, "Not Enough Bandwidth")
        if obstacle is not None:
            raise Refused(503, "Service Unavailable", retry_after=60)
        deadline = self.clock.monotonic() + PLAYING_WITHIN
        while not self.relays.is_playing(source_id):
            if self.clock.monotonic() >= deadline:
                raise Refused(503, "Service Unavailable", retry_after=10)
            await self.clock.sleep(_POLL)

    def _redeem(self, account: Account) -> None:
        if account.grant is not None and not self.grants.redeem(account.grant, self.clock.monotonic()):
            raise Refused(403, "Forbidden")

    async def _record(self, account: Account, asked: SourceKey | None, client: str, status: int) -> None:
        viewer = account.viewer
        entry = AccessEntry(
            at=self.clock.now(),
            role=viewer.role,
            client=client,
            method="PLAY",
            route="rtsp",
            scope=f"source {asked}" if asked is not None else "no source",
            status=status,
            person=viewer.person,
            token_prefix=viewer.token_prefix,
            purpose=viewer.purpose,
        )
        try:
            self.recorder.require_room(viewer.role)
        except AccessLogFull:
            raise Refused(503, "Service Unavailable", retry_after=5) from None
        await self.recorder.record(entry)


def _granted(account: Account, asked: SourceKey | None) -> SourceKey:
    """Return the source that was asked for, if the account may pull it."""
    granted = account.grant.source_id if account.grant is not None else asked
    # Whoever has a grant learns of no other source whether it exists.
    if asked is None or granted != asked:
        raise Refused(404, "Not Found")
    return asked


def code_of(path: str) -> str | None:
    """Return the source's code in the path of a URL, or None where there is none."""
    match = _CODE.fullmatch(path)
    return match[1] if match is not None else None
