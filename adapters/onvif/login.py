"""One device's way of being asked: which authentication it takes, and how far its clock is ahead (sans-IO).

States and what an answer does to them:

* `scheme`: unknown → WS-UsernameToken first; a Digest challenge of HTTP moves on to that, once.
* `offset`: unknown → learned from GetSystemDateAndTime or any answer's Date header.

A credential that was refused is not tried in another guise than these two: accounts lock.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum

from lxml import etree

from adapters.base import Credential
from adapters.digest import Authenticator, choose_challenge, parse_challenges
from adapters.errors import AuthenticationFailed, ClockRejected, CredentialMissing
from adapters.onvif.envelope import Fault
from adapters.onvif.http_message import Answer
from adapters.onvif.security import TOLERATED, blames_clock, offset_of_date, username_token


class Scheme(Enum):
    """How requests are signed."""

    MESSAGE = "WS-UsernameToken"
    HTTP = "HTTP Digest"
    BOTH = "HTTP Digest and WS-UsernameToken"


@dataclass
class Login:
    """Signs requests to one device, and learns from its refusals.

    Args:
        credential: the credential of exactly this device, or None.
        peer: `host:port`, for errors.
        allow_basic: whether Basic is answered; only ever over TLS.
    """

    credential: Credential | None
    peer: str
    allow_basic: bool = False
    random_bytes: Callable[[int], bytes] = secrets.token_bytes
    scheme: Scheme = field(default=Scheme.MESSAGE, init=False)
    offset: timedelta | None = field(default=None, init=False)
    _authenticator: Authenticator | None = field(default=None, init=False)

    def token(self, now: datetime) -> etree._Element | None:
        """Return the WS-Security header for a message sent at `now`, or None when this device takes none."""
        if self.credential is None or self.scheme is Scheme.HTTP:
            return None
        created = now + (self.offset or timedelta())
        return username_token(self.credential, created=created, nonce=self.random_bytes(16))

    def authorization(self, method: str, uri: str) -> str | None:
        """Return the Authorization header of one request, or None."""
        return None if self._authenticator is None else self._authenticator.authorization(method, uri)

    def learn_clock(self, answer: Answer, now: datetime) -> None:
        """Take the device's clock from an answer's Date header, unless it told better."""
        if self.offset is None:
            self.offset = offset_of_date(answer.date, now)

    def after_refusal(self, answer: Answer, fault: Fault | None, now: datetime, tries: int) -> None:
        """Decide what a refused request is worth: return to ask again, raise to give up.

        Args:
            answer: the refusal.
            fault: the SOAP fault in it, if any.
            now: our wall time.
            tries: requests that were refused before this one.

        Raises:
            CredentialMissing: we have none.
            ClockRejected: the device blames our time stamp, or its clock, which it will not tell, may be the reason.
            AuthenticationFailed: user name or password is wrong.
            WeakAuthentication: only Basic is offered.
            RemoteProtocolError: the challenge is none.
        """
        if self.credential is None:
            raise CredentialMissing("asks for user name and password", peer=self.peer)
        if tries < 2 and (self._takes_challenge(answer) or self._takes_clock(answer, now)):
            return
        if tries < 2 and self.scheme is Scheme.HTTP and answer.status != 401:
            # It took the Digest of HTTP, and wants the message signed as well.
            self.scheme = Scheme.BOTH
            return
        if fault is not None and blames_clock(fault.code, fault.reason):
            seconds = None if self.offset is None else self.offset.total_seconds()
            raise ClockRejected("refuses our time stamps", peer=self.peer, offset=seconds)
        unsure = "" if self.offset is not None else ", or our time stamp: its clock could not be learned"
        raise AuthenticationFailed(f"refused user name or password{unsure}", peer=self.peer)

    def _takes_challenge(self, answer: Answer) -> bool:
        if answer.status != 401 or not answer.challenges or self.credential is None:
            return False
        challenges = parse_challenges(answer.challenges, peer=self.peer)
        if self._authenticator is not None and not any(each.is_stale for each in challenges):
            return False
        chosen = choose_challenge(challenges, allow_basic=self.allow_basic, peer=self.peer)
        self._authenticator = Authenticator(chosen, self.credential, self.random_bytes)
        if self.scheme is Scheme.MESSAGE:
            self.scheme = Scheme.HTTP
        return True

    def _takes_clock(self, answer: Answer, now: datetime) -> bool:
        if self.scheme is Scheme.HTTP:
            return False
        told = offset_of_date(answer.date, now)
        if told is None or abs(told - (self.offset or timedelta())) <= TOLERATED:
            return False
        self.offset = told
        return True
