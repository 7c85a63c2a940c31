"""Small fittings between the API's narrow interfaces and the parts behind them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from adapters.base import SourceKey
from catalog.credentials import Vault
from catalog.database import Database
from catalog.model.secret import Secret
from catalog.sources import SourceUnknown
from gateway.api.services import StatusBoard
from gateway.clock import Clock
from gateway.config import RtspServerConfig
from gateway.credential_trial import try_credential
from gateway.enrolment.service import Enrolment
from gateway.relay.limits import Shortage
from gateway.serving.grants import Grant, Grants, Viewer
from gateway.viewing.desk import Shown, ViewingDesk, look_of
from gateway.viewing.process import Still

_UNCODED: Final = re.compile(r"source-([0-9]{1,18})")


@dataclass(frozen=True)
class OnDemandRelays:
    """Starts and stops relays on demand, through enrolment alone."""

    enrolment: Enrolment
    idle_stop: float
    "Seconds that one call keeps a relay running."

    async def start(self, source_id: int) -> str | Shortage | None:
        """Ask for a relay, or say that it is still wanted; return None, the obstacle in one word, or our limit.

        Raises:
            SourceUnknown: no such source is on the roll of this gateway.
        """
        try:
            return self.enrolment.start_on_demand(source_id, self.idle_stop)
        except LookupError as error:
            raise SourceUnknown(str(error)) from error

    async def stop(self, source_id: int) -> bool:
        """Say that a relay is wanted no more; return whether it is a source of ours."""
        if self.enrolment.phase_of(source_id) is None:
            return False
        self.enrolment.stop_on_demand(source_id)
        return True


@dataclass(frozen=True)
class CredentialTrials:
    """Tries a stored credential for the API."""

    database: Database
    vault: Vault
    gateway_id: str
    clock: Clock

    async def try_credential(self, ref: str) -> Sequence[tuple[str, str]]:
        """Return address and outcome of each device tried."""
        return await try_credential(self.database, self.vault, self.gateway_id, ref, at=self.clock.now())


class Codes(Protocol):
    """Knows under which code a source goes out."""

    def code_of(self, source_id: int) -> str:
        """Return the code; raises `SourceUnknown`."""
        ...


@dataclass(frozen=True)
class SourceCodes:
    """Finds the sources of this gateway by the code under which they go out, and the other way round."""

    status: StatusBoard

    def find(self, code: str) -> SourceKey | None:
        """Return the source of `code`, or None: its 20 digits, or `source-<id>` where it has none."""
        uncoded = _UNCODED.fullmatch(code)
        if uncoded is None:
            view = self.status.view_by_code(code)
        else:
            view = self.status.view(int(uncoded[1]))
            view = view if view is not None and view.gb_id is None else None
        return None if view is None else SourceKey(view.source_id)

    def code_of(self, source_id: int) -> str:
        """Return under which code a source goes out.

        Raises:
            SourceUnknown: it is none of this gateway's.
        """
        view = self.status.view(source_id)
        if view is None:
            raise SourceUnknown(f"source {source_id} is not on the roll of this gateway")
        return view.gb_id or f"source-{source_id}"


@dataclass(frozen=True)
class LivePictures:
    """Live pictures for browsers, by the same logins as players'."""

    grants: Grants
    codes: Codes
    desk: ViewingDesk
    clock: Clock

    def code_of(self, source_id: int) -> str:
        """Return under which code a source goes out; raises `SourceUnknown`."""
        return self.codes.code_of(source_id)

    def look(self, source_id: int, viewer: Viewer) -> Secret:
        """Return a login for one look, to be used soon; raises `TooManyGrants`."""
        return look_of(self.grants.issue(source_id, viewer, self.clock.monotonic()))

    async def view(self, look: str, code: str, sdp: str, *, client: str, addresses: tuple[str, ...]) -> Shown:
        """Begin a view; raises as `ViewingDesk.view`."""
        return await self.desk.view(look, code, sdp, client=client, addresses=addresses)

    async def still(self, look: str, code: str, *, client: str) -> Still:
        """Return a single picture; raises as `ViewingDesk.view`."""
        return await self.desk.still(look, code, client=client)

    def leave(self, handle: str) -> bool:
        """End a view; return whether there was one."""
        return self.desk.leave(handle)


@dataclass(frozen=True)
class Viewing:
    """Gives out logins for one look each."""

    grants: Grants
    codes: Codes
    server: RtspServerConfig
    clock: Clock

    def grant(self, source_id: int, viewer: Viewer) -> Grant:
        """Return a login for one look, to be used soon; raises `TooManyGrants`."""
        return self.grants.issue(source_id, viewer, self.clock.monotonic())

    def addresses(self, source_id: int) -> Sequence[str]:
        """Return the URLs under which the source can be pulled, RTSPS first; raises `SourceUnknown`."""
        code = self.codes.code_of(source_id)
        host = self.server.public_host or self.server.host
        host = f"[{host}]" if ":" in host else host
        ports = (("rtsps", self.server.tls_port), ("rtsp", self.server.port))
        return [f"{scheme}://{host}:{port}/{code}" for scheme, port in ports if port]
