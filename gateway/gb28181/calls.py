"""Invitations to devices: one for each session that waits for media, and a BYE for each that ends.

    offered -> INVITE -> 200 -> ACK -> answer to the worker ... ended -> BYE
                      -> refused, timed out -> answer to the worker
    BYE of the device -> 200 -> the worker ends its session

Whatever happens, a device that took an invitation hears BYE: recorders have few places, and never give one back by
themselves.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from adapters.base import SourceKey
from adapters.errors import AdapterError, PeerTimeout, RequestRefused
from adapters.gb28181.play import CONTENT_TYPE, Answer, Offer, Serials, read_answer
from adapters.gb28181.superior import Draft, Presence, Superior
from adapters.sip.dialog import Dialog
from adapters.sip.message import Request, Response
from adapters.sip.transaction import Incoming, Way
from gateway.relay.protocol import MediaOffered, OfferAnswered, OfferRefused
from gateway.relay.spec import Invitation
from gateway.supervisor import isolated

logger = logging.getLogger(__name__)

INVITE_WITHIN: Final = 15.0
"""Seconds for the final answer to an INVITE; a session waits for 20."""
BYE_WITHIN: Final = 5.0
MAX_WAITING: Final = 20_000
"""Invitations and goodbyes that wait for a task; of more the oldest are dropped, and their sessions begin anew."""
CALLERS: Final = 64
"""Invitations under way at once."""


@dataclass
class _Call:
    source_id: SourceKey
    offer_id: int
    device_id: str
    serial: str
    task: asyncio.Task[None] | None = None
    "While the INVITE is under way."
    dialog: Dialog | None = None
    way: Way | None = None


class Calls:
    """The invitations of this gateway; the relay manager's `Caller`.

    Args:
        superior: where the devices are registered.
        answer: takes what became of an offer; `RelayManager.answer`.
        media_host: our address for media where it is another one than the device reaches for SIP; empty: that one.
    """

    def __init__(
        self, superior: Superior, answer: Callable[[OfferAnswered | OfferRefused], None], media_host: str
    ) -> None:
        self._superior = superior
        self._answer = answer
        self._media_host = media_host
        self._serials = Serials(superior.own_id)
        self._calls: dict[SourceKey, _Call] = {}
        self._by_call_id: dict[str, SourceKey] = {}
        self._offered: dict[SourceKey, int] = {}
        "The offer of each source's present session, until it is taken up."
        self._waiting: asyncio.Queue[tuple[Invitation, MediaOffered] | _Call] = asyncio.Queue(MAX_WAITING)
        self.counts: Counter[str] = Counter()
        superior.in_call = self._in_call

    async def run(self) -> None:
        """Invite and take leave until cancelled."""
        async with asyncio.TaskGroup() as group:
            for index in range(CALLERS):
                group.create_task(self._work(), name=f"gb28181-call-{index}")

    def leave_all(self) -> None:
        """Take leave of every device that was invited, without waiting: the sockets are about to be closed."""
        for call in list(self._calls.values()):
            self._send_bye(call)

    # -- what the relay manager says -----------------------------------------------------------------------------

    def offered(self, invitation: Invitation, offer: MediaOffered) -> None:
        """Invite a device."""
        self._offered[offer.source_id] = offer.offer_id
        self._put((invitation, offer))

    def ended(self, source_id: SourceKey) -> None:
        """Take leave of the device of a source, or take an invitation under way back."""
        self._offered.pop(source_id, None)
        call = self._calls.pop(source_id, None)
        if call is None:
            return
        if call.task is not None:
            call.task.cancel()
        elif call.dialog is not None:
            self._put(call)
        else:
            self._serials.give_back(call.serial)

    def _put(self, job: tuple[Invitation, MediaOffered] | _Call) -> None:
        if self._waiting.full():
            self._waiting.get_nowait()
            self.counts["dropped"] += 1
        self._waiting.put_nowait(job)

    async def _work(self) -> None:
        while True:
            job = await self._waiting.get()
            if isinstance(job, _Call):
                await isolated(f"BYE to device {job.device_id}", partial(self._take_leave, job), _nothing)
            else:
                invitation, _ = job
                await isolated(f"INVITE of {invitation.channel_id}", partial(self._invite, *job), _nothing)

    # -- INVITE --------------------------------------------------------------------------------------------------

    async def _invite(self, invitation: Invitation, offer: MediaOffered) -> None:
        if self._offered.get(offer.source_id) != offer.offer_id:
            # Its session ended while it waited: whoever invited a device now would never take leave of it.
            return
        serial = self._serials.take()
        if serial is None:
            self._refuse(offer, "local_error", "10,000 sessions are under way, more cannot be numbered")
            return
        self.ended(offer.source_id)
        call = _Call(offer.source_id, offer.offer_id, invitation.device_id, serial)
        self._calls[offer.source_id] = call
        async with asyncio.TaskGroup() as group:
            # A task of its own, so that the end of the session can take the invitation back.
            call.task = group.create_task(self._call(call, invitation, offer))

    async def _call(self, call: _Call, invitation: Invitation, offer: MediaOffered) -> None:
        try:
            presence = self._superior.presence(invitation.device_id)
            if presence is None or not self._superior.endpoint.is_open(presence.way):
                raise _NotRegistered
            answer = await self._dial(call, presence, invitation, offer)
        except _NotRegistered:
            self._give_up(call, offer, "not_registered", f"device {invitation.device_id} is not registered")
        except RequestRefused as error:
            self._give_up(call, offer, error.cause, str(error), error.status)
        except AdapterError as error:
            self._give_up(call, offer, error.cause, str(error))
        except asyncio.CancelledError:
            self._serials.give_back(call.serial)
            raise
        else:
            call.task = None
            hosts = tuple(dict.fromkeys(filter(None, (answer.host, presence.way.host))))
            self._answer(OfferAnswered(call.source_id, call.offer_id, hosts, answer.port))

    async def _dial(
        self, call: _Call, presence: Presence, invitation: Invitation, offer: MediaOffered
    ) -> Answer:
        """Send the INVITE and acknowledge its 200.

        Raises:
            RequestRefused: the device refused.
            AdapterError: it did not answer, or answered nonsense.
        """
        superior, endpoint = self._superior, self._superior.endpoint
        self.counts["invited"] += 1
        host = self._media_host or endpoint.address(presence.way).rpartition(":")[0].strip("[]")
        offered = Offer(
            superior.own_id,
            invitation.channel_id,
            call.serial,
            host,
            offer.port,
            invitation.media,
            invitation.stream,
        )
        headers = (("Subject", offered.subject), ("Content-Type", CONTENT_TYPE))
        draft = Draft("INVITE", invitation.channel_id, headers, offered.render())
        sent: list[Request] = []

        def make(via: str) -> Request:
            sent.append(superior.new_request(draft, presence, via))
            return sent[-1]

        answer = await endpoint.request(presence.way, make, within=INVITE_WITHIN)
        if answer.status >= 300:
            raise RequestRefused(_words(answer), peer=presence.device_id, status=answer.status)
        dialog = call.dialog = Dialog.begun(sent[0], answer)
        call.way = presence.way
        self._by_call_id[dialog.call_id] = call.source_id
        # The ACK of a 2xx is a request of its own (RFC 3261, 13.2.2.4): another branch.
        endpoint.acknowledge(
            dialog.ack(endpoint.via(presence.way, endpoint.new_branch())), presence.way, answer
        )
        try:
            return read_answer(answer.body, peer=presence.way.peer)
        except AdapterError:
            self._send_bye(call)
            raise

    def _give_up(self, call: _Call, offer: MediaOffered, cause: str, detail: str, status: int = 0) -> None:
        self.counts[f"failed_{cause}"] += 1
        call.task = None
        if self._calls.get(call.source_id) is call:
            del self._calls[call.source_id]
        self._serials.give_back(call.serial)
        self._refuse(offer, cause, detail, status)

    def _refuse(self, offer: MediaOffered, cause: str, detail: str, status: int = 0) -> None:
        self._answer(OfferRefused(offer.source_id, offer.offer_id, cause, detail[:300], status))

    # -- BYE -----------------------------------------------------------------------------------------------------

    async def _take_leave(self, call: _Call) -> None:
        """Send BYE and wait for its answer, so that it is repeated until the device has heard it."""
        dialog, way = call.dialog, self._way_of(call)
        if dialog is None or way is None:
            return
        self._forget(call)
        try:
            await self._superior.endpoint.request(
                way, lambda via: dialog.request("BYE", via), within=BYE_WITHIN
            )
        except PeerTimeout:
            self.counts["bye_unanswered"] += 1
        except AdapterError:
            # Its connection is gone, and the session with it.
            self.counts["bye_unsent"] += 1

    def _send_bye(self, call: _Call) -> None:
        """Send one BYE without waiting: we are leaving, or the session never was one."""
        dialog, way = call.dialog, self._way_of(call)
        if dialog is None or way is None:
            return
        self._forget(call)
        endpoint = self._superior.endpoint
        endpoint.send(dialog.request("BYE", endpoint.via(way, endpoint.new_branch())), way)

    def _way_of(self, call: _Call) -> Way | None:
        """Return the way to the device of a call: as it is registered now, for its connection may be another one."""
        presence = self._superior.presence(call.device_id)
        return call.way if presence is None else presence.way

    def _forget(self, call: _Call) -> None:
        if call.dialog is not None:
            self._by_call_id.pop(call.dialog.call_id, None)
            call.dialog = None
        self._serials.give_back(call.serial)
        if self._calls.get(call.source_id) is call:
            del self._calls[call.source_id]

    def _in_call(self, incoming: Incoming) -> bool:
        """Take a device's request within a session: by its Call-ID, for some send it under other codes."""
        request = incoming.request
        source_id = self._by_call_id.get(request.call_id)
        call = None if source_id is None else self._calls.get(source_id)
        if call is None or call.way is None or incoming.way.host != call.way.host:
            return False
        if call.dialog is None or call.dialog.call_id != request.call_id:
            # Of the source's session before: its own BYE is on the way.
            return False
        self._superior.endpoint.respond(incoming, 200, "OK")
        is_over = request.method == "BYE" or (request.method == "MESSAGE" and b"MediaStatus" in request.body)
        if is_over:
            self.counts["ended_by_device"] += 1
            refused = OfferRefused(call.source_id, call.offer_id, "closed", "the device ended the session")
            if request.method == "BYE":
                self._forget(call)
            self._answer(refused)
        return True


class _NotRegistered(Exception):
    """Raised where a device cannot be invited because it is not registered."""


def _words(answer: Response) -> str:
    """Return why a device refused: recorders say in Warning that all their places are taken."""
    warning = answer.get("warning") or ""
    return f"refused: {answer.status} {answer.reason} {warning}".strip()[:200]


def _nothing() -> None:
    """Return nothing: a bug in one call is logged, and its session's patience ends it."""
