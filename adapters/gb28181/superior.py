"""We as the superior of devices and lower platforms (GB/T 28181-2022, 9): who is registered, what they tell and answer.

Owns a `SipEndpoint` and the presence of each device; what happens goes to a `Listener`. Whatever a device sends counts
only if it is registered and comes by the way it registered from; another address has to register again. Requests are
answered at once, and nothing here waits for a store.
"""

import asyncio
import logging
import random
import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Final, Protocol

from adapters.errors import (
    LocalResourcesExhausted,
    PeerClosed,
    PeerTimeout,
    RemoteProtocolError,
    RequestRefused,
)
from adapters.gb28181.channels import Channel, ChannelNews, Collection, read_catalog, read_news
from adapters.gb28181.manscdp import (
    CONTENT_TYPE,
    Fields,
    Manscdp,
    is_plain_keepalive,
    parse,
    render,
)
from adapters.gb28181.records import RecordCollection, Recording, question, read_instant
from adapters.gb28181.registration import (
    Accounts,
    Refused,
    Registrar,
    Registration,
    RegistrationRules,
    device_id_of,
)
from adapters.sip.endpoint import Listening, SipEndpoint
from adapters.sip.message import Headers, Request, Response, request
from adapters.sip.transaction import Incoming, Way

logger = logging.getLogger(__name__)

ANSWER: Final = 10.0
"""Seconds for the SIP answer to a request of ours."""
BUSINESS: Final = 15.0
"""Seconds for the MANSCDP response that follows it."""
PAGES: Final = 60.0
"""Seconds for all pages of the recordings of a day."""
SUBSCRIPTION: Final = 3_600
"""Seconds of a catalog subscription; renewed at half of it."""
EXPIRY_GRACE: Final = 60.0
"""Seconds by which a refresh may be late: devices retry a minute after a failure (9.1.2.2)."""
STILL_THERE: Final = 180.0
"""Seconds after the end of its registration, three keepalives by custom, in which a device that was heard within as
many is not gone. Its messages are refused meanwhile, so that it registers: some do that once and then keep alive alone
(Huawei)."""
MAX_PENDING: Final = 20_000
"""Queries that wait for their response."""
ALLOW: Final = "REGISTER, MESSAGE, NOTIFY, OPTIONS, BYE, ACK, CANCEL, INFO"


@dataclass
class Presence:
    """A registered device."""

    device_id: str
    way: Way
    contact: str
    registered_at: float
    "Monotonic seconds, of the last REGISTER."
    expires_at: float
    last_seen: float
    "Of the last valid message by its way."
    version: str = ""
    user_agent: str = ""
    is_lapsed: bool = False
    "Whether its registration ran out and it is there all the same; it has to register before anything else counts."


@dataclass(frozen=True)
class Keepalive:
    """What one keepalive says (9.6, A.2.5.2)."""

    is_well: bool
    faulty: tuple[str, ...]
    "Channels that the device says are faulty."


WELL: Final = Keepalive(is_well=True, faulty=())


@dataclass(frozen=True)
class Alarm:
    """What one alarm says (9.4, A.2.5.3)."""

    channel_id: str
    fields: dict[str, str]


class Listener(Protocol):
    """Takes what happens; never blocks."""

    def registered(self, presence: Presence, *, anew: bool) -> None:
        """Take in a registration; `anew` where it was unknown, expired or came from another address before."""

    def left(self, device_id: str, why: str) -> None:
        """Take in that a device unregistered (`unregistered`) or its registration ran out (`expired`)."""

    def refused(self, refused: Refused) -> None:
        """Take in that somebody was refused."""

    def alive(self, presence: Presence) -> None:
        """Take in a valid message of a registered device."""

    def keepalive(self, presence: Presence, keepalive: Keepalive) -> None:
        """Take in what a keepalive says; `alive` came before."""

    def news(self, presence: Presence, news: Sequence[ChannelNews]) -> None:
        """Take in what a NOTIFY says of channels."""

    def alarm(self, presence: Presence, alarm: Alarm) -> None:
        """Take in an alarm."""

    def position(self, presence: Presence, fields: dict[str, str]) -> None:
        """Take in a position."""


Calls = Callable[[Incoming], bool]
"""Takes a request within a media session (BYE, INFO, MESSAGE); returns whether it was of one."""


@dataclass(frozen=True)
class Draft:
    """A request of ours to a device, or to a channel of it, before it has a way."""

    method: str
    target: str
    "Code of the device or channel."
    headers: Headers = ()
    body: bytes = b""


@dataclass
class _Pending:
    """A query that waits for its business response."""

    found: asyncio.Queue[Manscdp] = field(default_factory=lambda: asyncio.Queue(maxsize=2_000))


class Superior:
    """The server side of GB/T 28181; use `run` to keep it listening.

    Args:
        own_id: our own 20-digit code.
        accounts: of the devices that may register.
        rules: how registrations are taken.
        listener: is told what happens.
        wall: tells the UTC time.
    """

    def __init__(
        self,
        own_id: str,
        accounts: Accounts,
        rules: RegistrationRules,
        listener: Listener,
        wall: Callable[[], datetime],
    ) -> None:
        self.own_id: Final = own_id
        self._rules = rules
        self._accounts = accounts
        self._registrar = Registrar(rules, accounts)
        self._listener = listener
        self._wall = wall
        self._present: dict[str, Presence] = {}
        self._by_way: dict[tuple[str, str, int], str] = {}
        self._pending: dict[tuple[str, str, int], _Pending] = {}
        self._serial = random.randrange(1, 1_000_000)  # noqa: S311 - ties answers to queries across our restarts
        self._cseq = 0
        self._endpoint: SipEndpoint | None = None
        self.in_call: Calls = lambda _: False
        self.counts: Counter[str] = Counter()

    # -- life ------------------------------------------------------------------------------------------------------

    async def listen(self, where: Listening) -> None:
        """Listen; call `close` at the end.

        Raises:
            LocalResourcesExhausted: an address cannot be had.
        """
        self._endpoint = SipEndpoint(self._handle, on_closed=self._closed)
        await self._endpoint.listen(where)

    async def close(self) -> None:
        """Close all sockets. Devices stay registered: that they will hear from us again is the point."""
        if self._endpoint is not None:
            await self._endpoint.close()

    @property
    def endpoint(self) -> SipEndpoint:
        """Return the endpoint.

        Raises:
            LocalResourcesExhausted: it does not listen.
        """
        if self._endpoint is None:
            raise LocalResourcesExhausted("SIP is not listening")
        return self._endpoint

    def restore(self, presence: Presence) -> None:
        """Take in a registration of before our restart; over TCP its connection is gone, and it will come anew."""
        if presence.way.transport == "udp" and presence.device_id not in self._present:
            self._put(presence)

    def forget(self, device_id: str) -> None:
        """Forget a device whose account was removed."""
        self._remove(device_id)

    def presence(self, device_id: str) -> Presence | None:
        """Return a registered device, or None."""
        return self._present.get(device_id)

    def present(self) -> list[Presence]:
        """Return all registered devices."""
        return list(self._present.values())

    def tick(self, now: float) -> None:
        """Let registrations run out; called once a second."""
        over = now - EXPIRY_GRACE
        for presence in [each for each in self._present.values() if each.expires_at <= over]:
            is_there = now - presence.last_seen < STILL_THERE and now < presence.expires_at + STILL_THERE
            if is_there:
                presence.is_lapsed = True
            else:
                self._remove(presence.device_id)
                self._listener.left(presence.device_id, "expired")

    # -- what comes in ---------------------------------------------------------------------------------------------

    def _handle(self, incoming: Incoming) -> None:
        message = incoming.request
        if message.method == "REGISTER":
            self._register(incoming)
        elif message.method == "CANCEL":
            self.endpoint.respond(incoming, 481, "Call/Transaction Does Not Exist")
        elif self.in_call(incoming):
            pass
        else:
            self._from_device(incoming)

    def _register(self, incoming: Incoming) -> None:
        now = asyncio.get_running_loop().time()
        judged = self._registrar.judge(incoming.request, incoming.way, now, self._wall())
        self.endpoint.respond(incoming, judged.status, judged.reason, judged.headers)
        self.counts[f"register_{judged.status}"] += 1
        match judged.outcome:
            case Registration(expires=0) as registration:
                self._remove(registration.device_id)
                self._listener.left(registration.device_id, "unregistered")
            case Registration() as registration:
                self._registered(registration, now)
            case Refused() as refused:
                self._listener.refused(refused)
            case None:
                pass

    def _registered(self, registration: Registration, now: float) -> None:
        before = self._present.get(registration.device_id)
        presence = Presence(
            registration.device_id,
            registration.way,
            registration.contact,
            now,
            now + registration.expires,
            now,
            registration.version,
            registration.user_agent,
        )
        self._remove(registration.device_id)
        self._put(presence)
        anew = before is None or before.way != presence.way
        self._listener.registered(presence, anew=anew)
        self._listener.alive(presence)

    def _put(self, presence: Presence) -> None:
        self._present[presence.device_id] = presence
        self._by_way[_address(presence.way)] = presence.device_id

    def _remove(self, device_id: str) -> None:
        presence = self._present.pop(device_id, None)
        if presence is not None and self._by_way.get(_address(presence.way)) == device_id:
            del self._by_way[_address(presence.way)]

    def _from_device(self, incoming: Incoming) -> None:
        presence = self._sender(incoming)
        if presence is None or presence.is_lapsed:
            self.counts["stranger" if presence is None else "lapsed"] += 1
            # Known or not, it has to register: a device that hears this does, and others learn nothing.
            self.endpoint.respond(incoming, 403, "Forbidden")
            return
        presence.last_seen = asyncio.get_running_loop().time()
        self._listener.alive(presence)
        match incoming.request.method:
            case "MESSAGE" | "NOTIFY":
                self._read(incoming, presence)
            case "OPTIONS":
                self.endpoint.respond(incoming, 200, "OK", (("Allow", ALLOW),))
            case "BYE" | "INFO":
                self.endpoint.respond(incoming, 481, "Call/Transaction Does Not Exist")
            case "INVITE":
                self.endpoint.respond(incoming, 488, "Not Acceptable Here")
            case _:
                self.endpoint.respond(incoming, 405, "Method Not Allowed", (("Allow", ALLOW),))

    def _sender(self, incoming: Incoming) -> Presence | None:
        """Return the registered device that sent a request, by its id and by its way; None for anybody else."""
        way = incoming.way
        presence = self._present.get(device_id_of(incoming.request))
        if presence is None:
            # Some send under a channel's id, or the platform's: then the way alone tells.
            named = self._by_way.get(_address(way))
            presence = None if named is None else self._present.get(named)
        return presence if presence is not None and _address(presence.way) == _address(way) else None

    def _read(self, incoming: Incoming, presence: Presence) -> None:
        if is_plain_keepalive(incoming.request.body):
            # Of all that comes, nine of ten: no tree is built for it.
            self.endpoint.respond(incoming, 200, "OK")
            self.counts["notify_keepalive"] += 1
            self._listener.keepalive(presence, WELL)
            return
        try:
            body = parse(incoming.request.body, peer=incoming.way.peer)
        except RemoteProtocolError as error:
            self.counts["unreadable_body"] += 1
            logger.info("device %s: %s", presence.device_id, error, extra={"action": "gb28181_unreadable"})
            self.endpoint.respond(incoming, 400, "Bad Request")
            return
        self.endpoint.respond(incoming, 200, "OK")
        self.counts[
            f"{body.root.lower()}_{body.command.lower()}"[:60] if len(self.counts) < 500 else "other"
        ] += 1
        if body.root == "Response":
            pending = self._pending.get((presence.device_id, body.command, body.serial))
            if pending is not None and not pending.found.full():
                pending.found.put_nowait(body)
            return
        if body.root == "Notify":
            self._notified(body, presence)

    def _notified(self, body: Manscdp, presence: Presence) -> None:
        match body.command:
            case "Keepalive":
                listed = body.child("Info")
                faulty = (
                    tuple(each.element.text or "" for each in listed.children("DeviceID")) if listed else ()
                )
                is_well = body.text("Status").upper() in ("OK", "")
                self._listener.keepalive(presence, Keepalive(is_well, tuple(each.strip() for each in faulty)))
            case "Catalog":
                self._listener.news(presence, read_news(body))
            case "Alarm":
                info = body.child("Info")
                fields = body.fields() | (info.fields() if info is not None else {})
                self._listener.alarm(presence, Alarm(body.device_id, fields))
            case "MobilePosition":
                self._listener.position(presence, body.fields())
            case _:
                pass

    def _closed(self, way: Way) -> None:
        """Note that a TCP connection ended: its device is suspect, and is found silent when it is asked."""
        device_id = self._by_way.get(_address(way))
        if device_id is not None:
            logger.info(
                "device %s closed its connection", device_id, extra={"action": "gb28181_connection_closed"}
            )

    # -- what we ask -----------------------------------------------------------------------------------------------

    async def check(self, device_id: str, *, within: float = ANSWER) -> None:
        """Ask a registered device whether it is there, by OPTIONS; whatever it answers in time, it is.

        Raises:
            PeerTimeout, PeerClosed: it did not answer, or is not registered.
        """
        presence = self._reachable(device_id)
        draft = Draft("OPTIONS", device_id, (("Accept", CONTENT_TYPE),))
        await self._send(draft, presence, within)
        presence.last_seen = asyncio.get_running_loop().time()

    async def query(
        self, device_id: str, command: str, about: str = "", fields: Fields = (), *, within: float = BUSINESS
    ) -> Manscdp:
        """Ask something and return the first business response.

        Args:
            device_id: whom.
            command: e.g. `DeviceInfo`.
            about: the channel; empty for the device itself.
            fields: further elements.
            within: seconds for the business response.

        Raises:
            AdapterError: it refused or did not answer.
        """
        serial, pending = self._expect(device_id, command)
        try:
            await self._message(device_id, render("Query", command, serial, about or device_id, fields))
            try:
                async with asyncio.timeout(within):
                    return await pending.found.get()
            except TimeoutError:
                raise PeerTimeout(f"no answer to {command}", peer=device_id) from None
        finally:
            self._pending.pop((device_id, command, serial), None)

    async def catalog(self, device_id: str, *, patience: float = 150.0) -> tuple[list[Channel], bool]:
        """Ask for all channels; return them and whether the answer was whole.

        Raises:
            AdapterError: it refused, or told nothing within `patience` seconds.
        """
        loop = asyncio.get_running_loop()
        serial, pending = self._expect(device_id, "Catalog")
        collection = Collection(loop.time(), patience)
        try:
            await self._message(device_id, render("Query", "Catalog", serial, device_id))
            while not collection.is_over(loop.time()):
                try:
                    async with asyncio.timeout(1.0):
                        total, channels = read_catalog(await pending.found.get())
                except TimeoutError:
                    continue
                collection.take(total, channels, loop.time())
        finally:
            self._pending.pop((device_id, "Catalog", serial), None)
        if collection.total is None:
            raise PeerTimeout("no answer to Catalog", peer=device_id)
        return collection.channels, collection.is_complete

    async def records(self, device_id: str, channel_id: str, day: date) -> tuple[Sequence[Recording], bool]:
        """Ask which recordings a channel has of one local day; return them and whether the answer was whole.

        Raises:
            AdapterError: it refused, or told nothing within `BUSINESS` seconds.
        """
        serial, pending = self._expect(device_id, "RecordInfo")
        collection = RecordCollection(day)
        try:
            await self._message(device_id, render("Query", "RecordInfo", serial, channel_id, question(day)))
            with suppress(TimeoutError):
                async with asyncio.timeout(PAGES):
                    while not collection.is_complete:
                        async with asyncio.timeout(BUSINESS):
                            collection.take(await pending.found.get())
        finally:
            self._pending.pop((device_id, "RecordInfo", serial), None)
        if collection.total is None:
            raise PeerTimeout("no answer to RecordInfo", peer=device_id)
        return collection.recordings, collection.is_complete

    async def control(self, device_id: str, channel_id: str, fields: Fields) -> None:
        """Send a DeviceControl, which has no business response (A.2.3.1).

        Raises:
            AdapterError: the device did not take it.
        """
        self._serial += 1
        await self._message(device_id, render("Control", "DeviceControl", self._serial, channel_id, fields))

    async def subscribe_catalog(self, device_id: str) -> float:
        """Subscribe to changes of the catalog (9.11); return for how many seconds it holds.

        Raises:
            RequestRefused: the device has no subscriptions.
            AdapterError: it did not answer.
        """
        presence = self._reachable(device_id)
        self._serial += 1
        body = render("Query", "Catalog", self._serial, device_id)
        headers = (
            ("Event", f"Catalog;id={self._serial}"),
            ("Expires", str(SUBSCRIPTION)),
            ("Content-Type", CONTENT_TYPE),
        )
        answer = await self._send(Draft("SUBSCRIBE", device_id, headers, body), presence)
        if answer.status >= 300:
            raise RequestRefused(
                f"SUBSCRIBE was refused: {answer.status}", peer=device_id, status=answer.status
            )
        told = (answer.get("expires") or "").strip()
        return float(told) if told.isascii() and told.isdecimal() and 0 < int(told) < 1_000_000 else 600.0

    def _expect(self, device_id: str, command: str) -> tuple[int, _Pending]:
        if len(self._pending) >= MAX_PENDING:
            raise LocalResourcesExhausted(f"{MAX_PENDING} queries wait for their answers", peer=device_id)
        self._serial += 1
        pending = self._pending[device_id, command, self._serial] = _Pending()
        return self._serial, pending

    async def _message(self, device_id: str, body: bytes) -> None:
        presence = self._reachable(device_id)
        draft = Draft("MESSAGE", device_id, (("Content-Type", CONTENT_TYPE),), body)
        answer = await self._send(draft, presence)
        if answer.status >= 300:
            raise RequestRefused(
                f"refused: {answer.status} {answer.reason}"[:200], peer=device_id, status=answer.status
            )

    async def _send(self, draft: Draft, presence: Presence, within: float = ANSWER) -> Response:
        return await self.endpoint.request(
            presence.way, lambda via: self.new_request(draft, presence, via), within=within
        )

    def new_request(self, draft: Draft, presence: Presence, via: str) -> Request:
        """Return a request outside any dialog, under a Call-ID of its own."""
        self._cseq += 1
        own = f"sip:{self.own_id}@{self._rules.realm}"
        headers = (
            ("Via", via),
            ("From", f"<{own}>;tag={secrets.token_hex(6)}"),
            ("To", f"<sip:{draft.target}@{self._rules.realm}>"),
            ("Call-ID", secrets.token_hex(12)),
            ("CSeq", f"{self._cseq} {draft.method}"),
            ("Contact", f"<sip:{self.own_id}@{self.endpoint.address(presence.way)}>"),
            ("Max-Forwards", "70"),
            *draft.headers,
        )
        return request(draft.method, f"sip:{draft.target}@{presence.way.peer}", headers, draft.body)

    def reachable(self, device_id: str) -> Presence:
        """Return a registered device to which there is a way.

        Raises:
            PeerClosed: it is not registered, or its TCP connection is gone.
        """
        return self._reachable(device_id)

    def _reachable(self, device_id: str) -> Presence:
        presence = self._present.get(device_id)
        if presence is None:
            raise PeerClosed("not registered", peer=device_id)
        if not self.endpoint.is_open(presence.way):
            raise PeerClosed("its connection is closed", peer=device_id)
        return presence


def beijing_seconds(text: str, now: datetime) -> float | None:
    """Return how many seconds a device's clock is ahead of `now`, from a time as GB/T 28181 writes it.

    Zones, blanks for the T and milliseconds are met in the field; without a zone it is Beijing's.
    """
    told = read_instant(text)
    return None if told is None else (told - now).total_seconds()


def _address(way: Way) -> tuple[str, str, int]:
    """Return what must be the same in all that a registered device sends; of TCP it is the very connection."""
    return (way.transport, way.host, way.port if way.transport == "udp" else way.link)
