"""Muster's RTSP server on loopback, for tests: the real door, the real workers, the real access log."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from adapters.base import SourceKey
from catalog.access import AccessEntry, AccessLog, Role
from catalog.credentials import Vault
from catalog.database import Database
from catalog.sources import SourceUnknown
from gateway.api.access_recorder import AccessRecorder
from gateway.clock import SystemClock
from gateway.relay.manager import RelayManager
from gateway.serving.admission import Admission, ReaderLimits, StandingAccounts
from gateway.serving.grants import Grant, Grants, Viewer
from gateway.serving.listener import open_listener
from gateway.serving.server import Listeners, RtspServer, keep_wanted
from gateway.serving.tls import server_context
from gateway.viewing.desk import ViewingDesk

WANG = Viewer("Wang", Role.OPERATOR, "mst_abc", "incident 4711")
VAULT = Vault(bytes(32))


@dataclass(frozen=True)
class Codes:
    """The sources of the test, by code."""

    known: Mapping[str, SourceKey]

    def find(self, code: str) -> SourceKey | None:
        return self.known.get(code)


@dataclass
class Asked:
    """Notes which relays on demand were asked for."""

    sources: list[int] = field(default_factory=list)
    obstacle: str | None = None
    is_unknown: bool = False

    async def start(self, source_id: int) -> str | None:
        self.sources.append(source_id)
        if self.is_unknown:
            raise SourceUnknown(f"source {source_id}")
        return self.obstacle


@dataclass
class Serving:
    """A running server."""

    grants: Grants
    asked: Asked
    port: int
    tls_port: int
    viewing: ViewingDesk
    wanted_key_frames: list[SourceKey]
    _log: AccessLog

    def grant(self, source_id: int) -> Grant:
        """Return a login for one look."""
        return self.grants.issue(source_id, WANG, SystemClock().monotonic())

    def url(self, code: str, login: tuple[str, str] | Grant | None = None, scheme: str = "rtsp") -> str:
        """Return the URL of a source as a player is given it, login included."""
        if isinstance(login, Grant):
            login = (login.username, login.password.reveal())
        user = f"{login[0]}:{login[1]}@" if login is not None else ""
        port = self.tls_port if scheme == "rtsps" else self.port
        return f"{scheme}://{user}127.0.0.1:{port}/{code}"

    async def looks(self) -> list[AccessEntry]:
        """Return what the access log says of looks, oldest first."""
        return [entry for entry in reversed(await self._log.recent()) if entry.route == "rtsp"]


@asynccontextmanager
async def serving(
    database: Database,
    relays: RelayManager,
    codes: Mapping[str, SourceKey],
    *,
    accounts: tuple[str, ...] = (),
    limits: ReaderLimits | None = None,
    certificate: Path | None = None,
) -> AsyncIterator[Serving]:
    """Serve the sources of `codes` for the length of the block, on free ports."""
    clock, log, wanted = SystemClock(), AccessLog(database), list[SourceKey]()
    grants, asked = Grants(), Asked()
    admission = Admission(
        grants=grants,
        accounts=StandingAccounts(database, VAULT, accounts, clock),
        sources=Codes(codes),
        relays=relays,
        on_demand=asked,
        recorder=AccessRecorder(log, clock),
        clock=clock,
        limits=limits or ReaderLimits(),
    )
    server = RtspServer(admission, relays, clock)
    viewing = ViewingDesk(admission, relays, clock, most=3, want_key_frame=wanted.append)
    with ExitStack() as stack:
        listeners = Listeners(plain=stack.enter_context(open_listener("127.0.0.1", 0)))
        if certificate is not None:
            secure = stack.enter_context(open_listener("127.0.0.1", 0))
            listeners = replace(listeners, secure=secure, context=server_context(certificate, certificate))
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(server.run(listeners), name="rtsp server")
            keeping = tasks.create_task(keep_wanted(relays, asked, clock, 0.2), name="relays on demand")
            showing = tasks.create_task(viewing.run(), name="live pictures")
            ports = _port(listeners, "plain"), _port(listeners, "secure")
            yield Serving(grants, asked, *ports, viewing, wanted, log)
            running.cancel()
            keeping.cancel()
            showing.cancel()


def _port(listeners: Listeners, name: str) -> int:
    listening = getattr(listeners, name)
    return int(listening.getsockname()[1]) if listening is not None else 0
