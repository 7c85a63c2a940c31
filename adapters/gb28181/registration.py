"""Judge REGISTER requests (GB/T 28181-2022, 9.1; RFC 3261, 10.3 and 22): every one is challenged. Sans-IO.

A device is known by an account that a person made for it; its password is its own. An unknown id is challenged like a
known one, so that nobody learns which ids exist, and is told to whoever shows the quarantine. A nonce is ours, lives
for a minute, belongs to one id at one address, and is spent by its first use.
"""

import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from enum import StrEnum
from typing import Final, Protocol

from adapters.digest_server import Authorization, Nonces, parse_authorization
from adapters.errors import AdapterError
from adapters.sip.message import Headers, Request, shown
from adapters.sip.transaction import Way
from adapters.sip.values import NameAddress, user_in
from catalog.model.codes import GbId
from catalog.model.secret import Secret

VERSION: Final = "3.0"
"""X-GB-ver of GB/T 28181-2022 (Annex I)."""
SHORTEST_EXPIRY: Final = 60
LONGEST_EXPIRY: Final = 86_400
"""Seconds; the default of the standard."""
MAX_SPENT: Final = 65_536
MAX_ADDRESSES: Final = 16_384
"""Source addresses whose failures are counted; of more the longest quiet are forgotten."""
BEIJING: Final = timezone(timedelta(hours=8))


class Refusal(StrEnum):
    """Why a REGISTER was refused; stable words of the quarantine and the log."""

    UNKNOWN_DEVICE = "unknown_device"
    "Nobody made an account for its id."
    NO_DEVICE_ID = "no_device_id"
    "It gives no 20-digit code."
    WRONG_PASSWORD = "wrong_password"  # noqa: S105 - a word of the log
    CREDENTIAL_MISSING = "credential_missing"
    "Its account has no password yet, or one that this gateway cannot read."
    MALFORMED = "malformed"
    TOO_MANY_FAILURES = "too_many_failures"
    "Its address failed too often in a short time."
    BUSY = "busy"
    "More registrations in this second than are taken."


class Accounts(Protocol):
    """The devices that may register."""

    def knows(self, device_id: str) -> bool:
        """Return whether there is an account for `device_id`."""
        ...

    def password(self, device_id: str) -> Secret | None:
        """Return the password of a device, or None where nobody typed one or it cannot be read."""
        ...


@dataclass(frozen=True)
class RegistrationRules:
    """How registrations are taken."""

    realm: str
    "By custom the domain: the first ten digits of our own id."
    algorithms: tuple[str, ...] = ("MD5",)
    "As challenged, in this order. Devices in the field know MD5 alone, and some fail on a second challenge."
    qop: bool = False
    "Whether qop=auth is offered; some devices fail on it. A nonce without it is good for one use."
    longest_expiry: int = LONGEST_EXPIRY
    date: bool = True
    "Whether the 200 carries our Date, by which devices set their clocks (9.10)."
    rate: float = 1_000.0
    "Registrations a second that are taken, and as many again at once; more are asked to come back."
    failures: int = 20
    "Unknown ids and failed digests that one address may have at once; one more is allowed every three seconds."


@dataclass(frozen=True)
class Registration:
    """A device proved who it is."""

    device_id: str
    way: Way
    contact: str
    "URI as it gave it; private addresses are common, so requests go where it came from."
    expires: int
    "Seconds as granted; 0: it unregistered."
    version: str
    "X-GB-ver, empty where it gave none (2016 and before)."
    user_agent: str


@dataclass(frozen=True)
class Refused:
    """A device was refused."""

    device_id: str
    "As it gave it; may be anything printable."
    way: Way
    why: Refusal
    user_agent: str


@dataclass(frozen=True)
class Judged:
    """The answer to a REGISTER, and what follows from it."""

    status: int
    reason: str
    headers: Headers = ()
    outcome: Registration | Refused | None = None


@dataclass
class Bucket:
    """Tokens that come back with time."""

    rate: float
    size: float
    level: float = field(default=-1.0)
    at: float = 0.0

    def take(self, now: float) -> bool:
        """Take one token; return whether there was one."""
        self._fill(now)
        if self.level < 1.0:
            return False
        self.level -= 1.0
        return True

    def has(self, now: float) -> bool:
        """Return whether there is one, without taking it."""
        self._fill(now)
        return self.level >= 1.0

    def _fill(self, now: float) -> None:
        if self.level < 0:
            self.level = self.size
        else:
            self.level = min(self.size, self.level + self.rate * max(0.0, now - self.at))
        self.at = now


FAILURE_RATE: Final = 1 / 3
"""Failures a second that one address may go on having."""


class Registrar:
    """Judges every REGISTER.

    Args:
        rules: how.
        accounts: of the devices that may register.
        random_bytes: source of nonces.
    """

    def __init__(
        self,
        rules: RegistrationRules,
        accounts: Accounts,
        *,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._rules = rules
        self._accounts = accounts
        self._nonces = Nonces(max_spent=MAX_SPENT, random_bytes=random_bytes)
        self._random_bytes = random_bytes
        self._admission = Bucket(rules.rate, 2 * rules.rate)
        self._failures: OrderedDict[str, Bucket] = OrderedDict()

    def judge(self, request: Request, way: Way, now: float, wall: datetime) -> Judged:
        """Return the answer to one REGISTER.

        Args:
            request: the REGISTER.
            way: it came by.
            now: monotonic seconds.
            wall: UTC.
        """
        attempt = _Attempt(device_id_of(request), way, shown(request.get("user-agent") or "")[:200])
        if not is_device_id(attempt.device_id):
            return attempt.refused(403, "Forbidden", Refusal.NO_DEVICE_ID)
        attempt.is_known = self._accounts.knows(attempt.device_id)
        if not self._may_fail(attempt, now):
            wait = (("Retry-After", "60"),)
            return attempt.refused(503, "Service Unavailable", Refusal.TOO_MANY_FAILURES, wait)
        if not self._admission.take(now):
            wait = (("Retry-After", str(5 + self._random_bytes(1)[0] % 30)),)
            return attempt.refused(503, "Service Unavailable", Refusal.BUSY, wait)
        answer = request.get("authorization")
        if answer is None:
            return self._challenge(attempt, now)
        try:
            authorization = parse_authorization(answer, peer=way.peer)
        except AdapterError:
            return attempt.refused(400, "Bad Request", Refusal.MALFORMED)
        return self._judge_answer(request, authorization, attempt, now, wall)

    def _judge_answer(
        self, request: Request, authorization: Authorization, attempt: "_Attempt", now: float, wall: datetime
    ) -> Judged:
        if not self._nonces.is_fresh(authorization.nonce, attempt.bound, now):
            # Nothing is held against the address: who cannot read our challenge may have forged it.
            return self._challenge(attempt, now, stale=True)
        password = self._accounts.password(attempt.device_id) if attempt.is_known else None
        if attempt.is_known and password is None:
            return attempt.refused(403, "Forbidden", Refusal.CREDENTIAL_MISSING)
        # An unknown id costs the same work as a known one with a wrong password.
        is_right = authorization.proves("REGISTER", password or self._nonces.decoy, self._rules.realm)
        if not (attempt.is_known and is_right and self._is_for(authorization, attempt.device_id)):
            self._failed(attempt, now)
            why = Refusal.WRONG_PASSWORD if attempt.is_known else Refusal.UNKNOWN_DEVICE
            return attempt.refused(403, "Forbidden", why)
        count = None if authorization.count is None else int(authorization.count, 16)
        if not self._nonces.spend(authorization.nonce, attempt.bound, count, now):
            return self._challenge(attempt, now, stale=True)
        return self._registered(request, attempt, wall)

    def _is_for(self, authorization: Authorization, device_id: str) -> bool:
        """Return whether the answer speaks for this device: its own id as user name, a SIP URI as hashed."""
        return authorization.user == device_id and authorization.uri.lower().startswith(("sip:", "sips:"))

    def _registered(self, request: Request, attempt: "_Attempt", wall: datetime) -> Judged:
        contact = request.get("contact") or ""
        parsed = NameAddress.parse(contact)
        asked = _expiry(request.get("expires"), parsed.parameters.get("expires"))
        expires = 0 if asked == 0 else min(max(asked, SHORTEST_EXPIRY), self._rules.longest_expiry)
        headers = [("X-GB-ver", VERSION), ("Expires", str(expires))]
        if contact:
            headers.append(("Contact", f"<{parsed.uri}>;expires={expires}"))
        if self._rules.date:
            headers.append(("Date", beijing_time(wall)))
        version = (request.get("x-gb-ver") or "").strip()
        registration = Registration(
            attempt.device_id,
            attempt.way,
            parsed.uri,
            expires,
            version if version in ("1.0", "1.1", "2.0", "3.0") else "",
            attempt.user_agent,
        )
        return Judged(200, "OK", tuple(headers), registration)

    def _challenge(self, attempt: "_Attempt", now: float, *, stale: bool = False) -> Judged:
        nonce = self._nonces.issue(attempt.bound, now)
        tail = (', qop="auth"' if self._rules.qop else "") + (", stale=true" if stale else "")
        challenges = [
            (
                "WWW-Authenticate",
                f'Digest realm="{self._rules.realm}", nonce="{nonce}", algorithm={algorithm}{tail}',
            )
            for algorithm in self._rules.algorithms
        ]
        outcome = None
        if not attempt.is_known:
            self._failed(attempt, now)
            outcome = attempt.told(Refusal.UNKNOWN_DEVICE)
        return Judged(401, "Unauthorized", (*challenges, ("X-GB-ver", VERSION)), outcome)

    # -- failures by address -----------------------------------------------------------------------------------------

    def _may_fail(self, attempt: "_Attempt", now: float) -> bool:
        bucket = self._failures.get(attempt.culprit)
        return bucket is None or bucket.has(now)

    def _failed(self, attempt: "_Attempt", now: float) -> None:
        bucket = self._failures.get(attempt.culprit)
        if bucket is None:
            bucket = self._failures[attempt.culprit] = Bucket(FAILURE_RATE, self._rules.failures)
            if len(self._failures) > MAX_ADDRESSES:
                self._failures.popitem(last=False)
        self._failures.move_to_end(attempt.culprit)
        bucket.take(now)


@dataclass
class _Attempt:
    """Who tries to register, from where."""

    device_id: str
    way: Way
    user_agent: str
    is_known: bool = False

    @property
    def bound(self) -> str:
        """Return what a nonce belongs to."""
        return f"{self.device_id}@{self.way.host}"

    @property
    def culprit(self) -> str:
        """Return whose failures are counted: an address; a known device apart, for its neighbours behind a NAT."""
        return self.bound if self.is_known else self.way.host

    def told(self, why: Refusal) -> Refused:
        """Return the refusal as it is told."""
        return Refused(shown(self.device_id)[:40], self.way, why, self.user_agent)

    def refused(self, status: int, reason: str, why: Refusal, headers: Headers = ()) -> Judged:
        """Return the answer that refuses it."""
        return Judged(status, reason, (*headers, ("X-GB-ver", VERSION)), self.told(why))


def device_id_of(request: Request) -> str:
    """Return the code of whoever sent a request: the user part of From, for a REGISTER that of To."""
    own = request.get("from") or ""
    return (user_in(request.get("to") or "") if request.method == "REGISTER" else "") or user_in(own)


def is_device_id(text: str) -> bool:
    """Return whether `text` is a 20-digit code (2022, Annex E)."""
    try:
        GbId(text)
    except ValueError:
        return False
    return True


def beijing_time(wall: datetime) -> str:
    """Return an instant as GB/T 28181 writes it: local time of Beijing, milliseconds, no zone (9.10)."""
    return wall.astimezone(BEIJING).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]


def _expiry(header: str | None, parameter: str | None) -> int:
    """Return the seconds asked for (RFC 3261, 10.2.1.1: Contact's own parameter counts first)."""
    for text in (parameter, header):
        if text is not None and (text := text.strip()).isascii() and text.isdecimal() and len(text) < 10:
            return int(text)
    return LONGEST_EXPIRY
