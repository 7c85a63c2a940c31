"""Lets browsers look: who it is and what for, which source, on record; then a view or a single picture.

A look is a login of `gateway.serving.grants`, as for a player: one person, one source, one purpose, a minute, once.
"""

import hmac
import logging
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from adapters.base import SourceKey
from catalog.model.secret import Secret
from gateway.clock import Clock
from gateway.serving.admission import Account, Admission, Refused
from gateway.serving.grants import Grant
from gateway.viewing.messages import Left
from gateway.viewing.process import NotShown, Still, ViewingProcess

logger = logging.getLogger(__name__)

STILL_KEPT: Final = 2.0
"""Seconds that a picture serves whoever asks next: it costs a pull and a decoding."""

MAX_STILLS: Final = 100
"""Pictures kept."""


class Relays(Protocol):
    """Serves an admitted client (`gateway.relay.manager.RelayManager`)."""

    def serve(
        self, source_id: SourceKey, connection: socket.socket, peer: str, received: bytes
    ) -> int | None:
        """Have the worker that holds the source serve `connection`; return None when it cannot."""
        ...

    def codec(self, source_id: SourceKey) -> str:
        """Return what the source sends, or ""."""
        ...


@dataclass(frozen=True)
class Shown:
    """A view that was begun."""

    handle: str
    "Unguessable; whoever has it may end the view."
    sdp: str
    "The answer to the browser's offer."


class ViewingDesk:
    """Begins and ends views.

    Args:
        admission: decides and records, as for players.
        relays: serves the source.
        clock: the gateway's.
        most: views at once.
        want_key_frame: called with a source that plays and that a view cannot begin with: no key picture came.
    """

    def __init__(
        self,
        admission: Admission,
        relays: Relays,
        clock: Clock,
        *,
        most: int,
        want_key_frame: Callable[[SourceKey], None],
    ) -> None:
        self._admission = admission
        self._relays = relays
        self._clock = clock
        self._most = most
        self._want_key_frame = want_key_frame
        self._process = ViewingProcess(clock, self._left)
        self._handles: dict[str, int] = {}
        self._stills: dict[SourceKey, tuple[float, Still]] = {}

    @property
    def views(self) -> int:
        """Return how many views are under way."""
        return self._process.views

    async def run(self) -> None:
        """Keep the process that makes the pictures; runs until cancelled."""
        await self._process.run()

    async def view(self, look: str, code: str, sdp: str, *, client: str, addresses: tuple[str, ...]) -> Shown:
        """Begin a view.

        Args:
            look: the login, see `look_of`.
            code: under which the source goes out.
            sdp: the browser's offer.
            client: its address, for the record.
            addresses: our own that it may be told.

        Raises:
            Refused: the login does not hold, or the source does not play.
            NotShown: there is no picture.
        """
        if self._process.views >= self._most:
            raise Refused(453, "Not Enough Bandwidth")
        source_id = await self._admit(look, code, client)
        if self._relays.codec(source_id) not in ("H264", ""):
            # Before the browser is answered: it would wait for pictures that it cannot play.
            raise NotShown("no_h264")
        ours = self._connect(source_id, client)
        with ours:
            viewer_id, answer = await self._process.view(
                code, sdp, addresses, ours, lambda: self._want_key_frame(source_id)
            )
        if not self._process.is_under_way(viewer_id):
            # It ended before we could tell of it.
            raise NotShown("closed")
        handle = secrets.token_urlsafe(24)
        self._handles[handle] = viewer_id
        logger.info(
            "view %d of source %d for %s begins",
            viewer_id,
            source_id,
            client,
            extra={"action": "view_begun", "source_id": source_id},
        )
        return Shown(handle, answer)

    async def still(self, look: str, code: str, *, client: str) -> Still:
        """Return a single picture, some seconds old at most; arguments and errors as `view`."""
        source_id = await self._admit(look, code, client)
        now = self._clock.monotonic()
        kept = self._stills.get(source_id)
        if kept is not None and now - kept[0] < STILL_KEPT:
            return kept[1]
        ours = self._connect(source_id, client)
        with ours:
            still = await self._process.snap(code, ours, lambda: self._want_key_frame(source_id))
        if len(self._stills) >= MAX_STILLS:
            self._stills.clear()
        self._stills[source_id] = (self._clock.monotonic(), still)
        return still

    def leave(self, handle: str) -> bool:
        """End a view; return whether there was one."""
        viewer_id = self._handles.pop(handle, None)
        if viewer_id is None:
            return False
        self._process.leave(viewer_id)
        return True

    async def _admit(self, look: str, code: str, client: str) -> SourceKey:
        account = await self._account(look)
        return await self._admission.admit(account, f"/{code}", client)

    async def _account(self, look: str) -> Account:
        username, _, password = look.partition(".")
        account = await self._admission.account_of(username)
        # Standing accounts are for players: their password does not travel in a header.
        if account is None or account.grant is None:
            raise Refused(401, "Unauthorized")
        if not hmac.compare_digest(account.password.reveal().encode(), password.encode()):
            raise Refused(401, "Unauthorized")
        return account

    def _connect(self, source_id: SourceKey, client: str) -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs:
            theirs.setblocking(False)
            if self._relays.serve(source_id, theirs, f"browser {client}", b"") is None:
                ours.close()
                raise NotShown("no_stream")
        return ours

    def _left(self, left: Left) -> None:
        self._handles = {
            handle: viewer_id for handle, viewer_id in self._handles.items() if viewer_id != left.viewer_id
        }
        if left.cause != "done":
            logger.info(
                "view %d ended: %s, %d pictures, %d bytes",
                left.viewer_id,
                left.cause,
                left.pictures,
                left.size,
                extra={"action": "view_ended", "cause": left.cause},
            )


def look_of(grant: Grant) -> Secret:
    """Return a grant as one text, for a header."""
    return Secret(f"{grant.username}.{grant.password.reveal()}")
