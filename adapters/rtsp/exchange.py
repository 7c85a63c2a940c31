"""One request at a time on an RTSP connection: CSeq, authentication and answers, sans-IO."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from adapters.base import Credential, RtspTarget, Transport
from adapters.digest import Authenticator, choose_challenge, parse_challenges
from adapters.errors import AuthenticationFailed, CredentialMissing, RemoteProtocolError
from adapters.rtsp.message import Headers, Request, Response
from adapters.rtsp.quirks import Leniency, Quirk
from catalog.model.secret import MASK

USER_AGENT: Final = "Muster"
MAX_PEER_REQUESTS: Final = 64
"""Requests that a peer may send between two of ours, which are 25 s apart at most."""
MAX_QUOTED: Final = 160
"""Characters of a peer's own words in a message of ours."""


@dataclass(frozen=True, kw_only=True)
class SessionOptions:
    """How one session shall be led."""

    transport: Transport = Transport.TCP
    audio: bool = False
    "Pull only: whether audio is set up beside video."
    allow_basic: bool = False
    "Whether Basic is answered outside TLS; inside TLS it always is."
    udp_ports: tuple[int, ...] = ()
    "Our RTP ports, one per track, bound by the caller; RTCP is on the next port. For UDP only."
    answer_timeout: float = 10.0
    "Seconds that the peer has for each answer."
    random_bytes: Callable[[int], bytes] = secrets.token_bytes
    "Source of Digest client nonces."


@dataclass
class _Pending:
    method: str
    uri: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    cseq: int
    is_authorised: bool
    challenges: int = 0
    "How many 401 this request has had."


class Exchange:
    """Number, authorise and match requests; at most one is under way.

    A request gets one retry after a challenge and one more when that answer is refused as stale; the
    credential is never sent a third time.

    Attributes:
        refusals: how often the peer has refused our credential on this connection.
        challenged: whether the peer has asked for a credential.
    """

    def __init__(
        self, target: RtspTarget, credential: Credential | None, options: SessionOptions, leniency: Leniency
    ) -> None:
        self._target = target
        self._credential = credential
        self._options = options
        self._leniency = leniency
        self._allow_basic = options.allow_basic or target.tls is not None
        self._authenticator: Authenticator | None = None
        self._pending: _Pending | None = None
        self._cseq = 0
        self._replies = 0
        self._out = bytearray()
        self.session_id: str | None = None
        self.refusals = 0
        self.challenged = False

    @property
    def pending_method(self) -> str | None:
        """Return the method of the request under way, or None."""
        return self._pending.method if self._pending is not None else None

    def quoted(self, text: str) -> str:
        """Return a short text of the peer as a message may hold it: printable, and without our password.

        A device that was sent Basic knows the password and may repeat it anywhere.
        """
        if self._credential is not None and (password := self._credential.password.reveal()):
            for form in (password, password.encode().decode("latin-1"), repr(password)[1:-1]):
                text = text.replace(form, MASK)
        return "".join(character for character in text if character.isprintable())[:MAX_QUOTED]

    def bytes_to_send(self) -> bytes:
        """Return what shall be written now, and forget it."""
        out = bytes(self._out)
        self._out.clear()
        return out

    def send(self, method: str, uri: str, headers: Sequence[tuple[str, str]] = (), body: bytes = b"") -> None:
        """Write a request; one still under way is given up."""
        self._replies = 0
        self._pending = _Pending(method, uri, tuple(headers), body, 0, is_authorised=False)
        self._write(self._pending)

    def abandon(self) -> None:
        """Give up the request under way; its late answer is passed over."""
        self._pending = None

    def reply(self, request: Request) -> None:
        """Answer a request of the peer: keepalives with 200, all else with 501.

        Raises:
            RemoteProtocolError: more than `MAX_PEER_REQUESTS` came since our last one.
        """
        self._replies += 1
        if self._replies > MAX_PEER_REQUESTS:
            raise RemoteProtocolError("the peer floods us with requests", peer=self._target.peer)
        known = request.method in ("OPTIONS", "GET_PARAMETER", "SET_PARAMETER", "TEARDOWN")
        fields = [("CSeq", value) for value in request.headers.get_all("CSeq")[:1]]
        if request.method == "OPTIONS":
            fields.append(("Public", "OPTIONS, GET_PARAMETER, SET_PARAMETER, TEARDOWN"))
        status, reason = (200, "OK") if known else (501, "Not Implemented")
        self._out += bytes(Response(status, reason, Headers(fields)))

    def receive(self, response: Response) -> Response | None:
        """Return `response` when it answers the request under way, else None.

        A challenge is answered here: the request is written again and None is returned.

        Raises:
            RemoteProtocolError: no request can have this answer.
            CredentialMissing: the peer wants a credential and there is none.
            AuthenticationFailed: the peer refused the credential.
            WeakAuthentication: only Basic is offered, and it is not allowed here.
        """
        pending = self._pending
        if not self._matches(response) or pending is None or response.status < 200:
            return None
        if response.status == 401:
            self._answer_challenge(pending, response)
            return None
        self._pending = None
        if pending.is_authorised and response.status < 400:
            self.refusals = 0
        return response

    def _matches(self, response: Response) -> bool:
        text = response.headers.get("CSeq")
        if text is None:
            self._leniency.meet(Quirk.MISSING_CSEQ)
            return self._pending is not None
        digits = text.strip()
        if not digits.isascii() or not digits.isdigit() or len(digits) > 10:
            raise RemoteProtocolError(
                "CSeq is not a number", peer=self._target.peer, received=text.encode("latin-1", "replace")
            )
        cseq = int(digits)
        if cseq > self._cseq:
            raise RemoteProtocolError(
                f"an answer to request {cseq}, which was never sent", peer=self._target.peer
            )
        return self._pending is not None and cseq == self._pending.cseq

    def _answer_challenge(self, pending: _Pending, response: Response) -> None:
        self.challenged = True
        peer = self._target.peer
        challenges = parse_challenges(response.headers.get_all("WWW-Authenticate"), peer=peer)
        is_stale = any(challenge.is_stale for challenge in challenges)
        pending.challenges += 1
        if pending.is_authorised and not is_stale:
            self.refusals += 1
        if self._credential is None:
            raise CredentialMissing(f"{pending.method} needs a credential", peer=peer)
        if pending.challenges > 2 or (pending.challenges == 2 and not is_stale):
            raise AuthenticationFailed(f"{pending.method}: the credential was refused", peer=peer)
        chosen = choose_challenge(challenges, allow_basic=self._allow_basic, peer=peer)
        if chosen.scheme == "basic" and pending.is_authorised:
            # Basic has no nonce that could have expired: this is the same answer refused again.
            raise AuthenticationFailed(f"{pending.method}: the credential was refused", peer=peer)
        self._authenticator = Authenticator(chosen, self._credential, self._options.random_bytes)
        self._write(pending)

    def _write(self, pending: _Pending) -> None:
        self._cseq += 1
        pending.cseq = self._cseq
        fields = [("CSeq", str(self._cseq)), ("User-Agent", USER_AGENT)]
        if self._authenticator is not None:
            fields.append(("Authorization", self._authenticator.authorization(pending.method, pending.uri)))
            pending.is_authorised = True
        if self.session_id is not None:
            fields.append(("Session", self.session_id))
        self._out += bytes(
            Request(pending.method, pending.uri, Headers([*fields, *pending.headers]), pending.body)
        )
