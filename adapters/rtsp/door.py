"""The first requests of a client that would pull from us, until it is known who wants which path, sans-IO.

The owner listens, looks at what came without taking it (MSG_PEEK) and hands it to `receive`, which
says how many bytes of it are settled; those alone the owner then reads off the socket. Once a request
is admitted nothing more is settled, and the socket goes, with that request still in it, to whoever
holds the source: `ServerSession` there begins with exactly this request.

    while True:
        data = peek(MAX_MESSAGE)                      # waits; SO_RCVLOWAT of `needed` spares idle wake-ups
        read_off(door.receive(data, now))
        write(door.bytes_to_send())
        ...                                           # events: Wanted -> prove, then admit or refuse; again

A peek that is woken by fewer than `needed` bytes has met the end of a client that left: `close`.
Whoever set SO_RCVLOWAT sets it back to 1 before the socket goes on. After `Ended` the owner peeks and
reads off once more before it closes: a socket closed over unread bytes is reset, and the client never
sees the last answer.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from adapters.digest_server import Authorization, Nonces, Verdict, parse_authorization
from adapters.errors import (
    LocalProtocolError,
    MessageTooLarge,
    RemoteProtocolError,
    WeakAuthentication,
)
from adapters.rtsp.guard import Guard
from adapters.rtsp.message import MessageParser, Request
from adapters.rtsp.quirks import Leniency
from adapters.rtsp.reply import refusal, reply, reply_to_options
from adapters.rtsp.resource import Resource
from catalog.model.secret import Secret

MAX_MESSAGE: Final = 16 * 1024
"""Longest request, bytes, and thereby the most that need be peeked at."""
MAX_REQUESTS: Final = 8
MAX_TRIES: Final = 3
"""Wrong answers to a challenge."""
TIME: Final = 10.0
"""Seconds in all, from the connection to the admission."""
RETRY_AFTER: Final = 10
"""Seconds after which a client may come again whom we could not serve in time."""

REFUSALS: Final = frozenset({403, 404, 453, 503})
"""What an owner may answer to a client that proved who it is."""

_HEAD_END: Final = re.compile(rb"\n\r?\n")
_BEGINNING: Final = re.compile(rb"[A-Z_]{1,32}(?: [!-~]*(?: (?:R(?:T(?:S(?:P[!-~]*)?)?)?)?\r?)?)?")
_START_LINE: Final = re.compile(rb"[A-Z_]{1,32} [!-~]+ (RTSP|HTTP)/([0-9])\.[0-9]\r?\n")
_HTTP: Final = re.compile(rb"[A-Z_]{1,32} [!-~]* H")
_TLS_HANDSHAKE: Final = 0x16
_LINE_BREAKS: Final = b"\r\n"


class DoorState(StrEnum):
    """Where a connection stands at the door."""

    READING = "reading"
    JUDGING = "judging"
    "`Wanted` is out; the owner looks up the user."
    PROVEN = "proven"
    "The password was right; the owner admits or refuses."
    ADMITTED = "admitted"
    OVER = "over"


class EndReason(StrEnum):
    """Why a connection ended at the door; one stable word for logs and counters."""

    TLS = "tls"
    "A TLS ClientHello on the plain port."
    HTTP = "http"
    VERSION = "version"
    "RTSP 2.0."
    GARBAGE = "garbage"
    MALFORMED = "malformed"
    "An RTSP start line, and then no RTSP message or no readable Authorization."
    TOO_LARGE = "too_large"
    TOO_MANY_REQUESTS = "too_many_requests"
    TOO_SLOW = "too_slow"
    "The client did not come to the point in time."
    OURS_TOO_SLOW = "ours_too_slow"
    "We did not decide in time."
    AUTHENTICATION_FAILED = "authentication_failed"
    REFUSED = "refused"
    LEFT = "left"
    "The client closed, or the owner did."


@dataclass(frozen=True)
class Wanted:
    """A client asks for a stream and has answered a challenge: look up the user, then call `prove`."""

    path: str
    "Of the stream, as `Resource.path`; not yet known to exist, and not yet granted."
    username: str
    "Nobody may be known by it."


@dataclass(frozen=True)
class Ended:
    """The connection is to be closed once `bytes_to_send` is written."""

    reason: EndReason


@dataclass(frozen=True)
class _Pending:
    request: Request
    authorization: Authorization
    length: int
    "Bytes of the request, which still lie in the socket."


class DoorSession:
    """Lead one connection from its first byte to its admission or end.

    No method raises for anything that the client sends.

    Args:
        peer: `address:port` of the client.
        nonces: of this process.
        now: monotonic seconds.
        leniency: the deviations that are accepted, and which have been met.
    """

    def __init__(self, peer: str, nonces: Nonces, *, now: float, leniency: Leniency | None = None) -> None:
        self.peer = peer
        self.state = DoorState.READING
        self.leniency = leniency if leniency is not None else Leniency(peer=peer)
        self.wrong_answers = 0
        "Answers to a challenge that were not right, for whoever counts the attempts of an address."
        self.needed = 1
        "Bytes that must wait in the socket before `receive` can find anything new."
        self._guard = Guard(nonces, peer.rpartition(":")[0], self.leniency)
        self._deadline = now + TIME
        self._requests = 0
        self._pending: _Pending | None = None
        self._settled = 0
        self._out = bytearray()
        self._events: list[Wanted | Ended] = []

    def bytes_to_send(self) -> bytes:
        """Return what shall be written now, and forget it."""
        out = bytes(self._out)
        self._out.clear()
        return out

    def events(self) -> list[Wanted | Ended]:
        """Return what happened since the last call, oldest first."""
        events, self._events = self._events, []
        return events

    def deadline(self) -> float | None:
        """Return when `handle_timer` shall be called, monotonic seconds, or None."""
        return None if self.state in (DoorState.ADMITTED, DoorState.OVER) else self._deadline

    def handle_timer(self, now: float) -> None:
        """End a connection whose time is up."""
        deadline = self.deadline()
        if deadline is None or now < deadline:
            return
        if self._pending is not None:
            self._answer(self._pending.request, 503, ("Retry-After", str(RETRY_AFTER)))
            self._end(EndReason.OURS_TOO_SLOW)
        else:
            self._end(EndReason.TOO_SLOW)

    def receive(self, data: bytes | bytearray | memoryview, now: float) -> int:
        """Look at all that waits in the socket, from its first byte that was not settled.

        Returns:
            How many bytes are settled and to be read off the socket. None of a request that is being
            judged or was admitted; all of them once the connection has ended.
        """
        view = bytes(data)
        at = min(self._settled, len(view))
        self._settled -= at
        while self.state is DoorState.READING and self._settled == 0:
            at, request, length = self._next(view, at)
            if request is None:
                break
            if not self._take(request, length, now):
                break
            at += length
        self.needed = len(view) - at + 1
        return len(view) if self.state is DoorState.OVER else at

    def prove(self, password: Secret | None, now: float) -> bool:
        """Judge the answer that `Wanted` reported; false when the client was challenged again, or ended.

        After a true answer, `admit` or `refuse`. After a false one, `receive` again what still waits.

        Args:
            password: of the user; None where there is no such user, which costs the same work.
            now: monotonic seconds.

        Raises:
            LocalProtocolError: nothing is being judged.
        """
        if self.state is DoorState.OVER:
            return False
        pending = self._pending
        if pending is None or self.state is not DoorState.JUDGING:
            raise LocalProtocolError(f"nothing to prove while {self.state}", peer=self.peer)
        try:
            verdict = self._guard.judge(pending.authorization, pending.request, password, now)
        except RemoteProtocolError:
            verdict = Verdict.WRONG
        if verdict is Verdict.RIGHT:
            self.state = DoorState.PROVEN
            return True
        self._settled, self._pending = pending.length, None
        self.state = DoorState.READING
        self._challenge(pending.request, verdict, now)
        return False

    def admit(self) -> bool:
        """Let the client in; false when the connection has ended meanwhile.

        Raises:
            LocalProtocolError: the client has not proved who it is.
        """
        if self.state is DoorState.OVER:
            return False
        if self.state is not DoorState.PROVEN:
            raise LocalProtocolError(f"no admission while {self.state}", peer=self.peer)
        self._pending = None
        self.state = DoorState.ADMITTED
        return True

    def refuse(self, status: int, *, retry_after: int | None = None) -> None:
        """Turn away a client that has proved who it is.

        Args:
            status: one of `REFUSALS`.
            retry_after: seconds, for 503.

        Raises:
            LocalProtocolError: another status, or the client has not proved who it is: whoever has
                not shall not learn which paths exist.
        """
        if self.state is DoorState.OVER:
            return
        if self._pending is None or self.state is not DoorState.PROVEN or status not in REFUSALS:
            raise LocalProtocolError(f"no refusal {status} while {self.state}", peer=self.peer)
        fields = [("Retry-After", str(retry_after))] if retry_after is not None else []
        self._answer(self._pending.request, status, *fields)
        self._end(EndReason.REFUSED)

    def close(self) -> None:
        """End a connection that the client closed or that the owner gives up."""
        if self.state not in (DoorState.ADMITTED, DoorState.OVER):
            self._end(EndReason.LEFT)

    # -- reading -----------------------------------------------------------------------------------

    def _next(self, data: bytes, at: int) -> tuple[int, Request | None, int]:
        """Return where the next request begins and, once it is whole, the request and its length."""
        while at < len(data) and data[at] in _LINE_BREAKS:
            at += 1
        if at == len(data) or not self._begins_request(data, at):
            return at, None, 0
        part = data[at : at + MAX_MESSAGE]
        try:
            if _HEAD_END.search(part) is not None:
                message, length = MessageParser(self.leniency, peer=self.peer).receive(part)
                if isinstance(message, Request):
                    return at, message, length
        except MessageTooLarge:
            self._turn_away(EndReason.TOO_LARGE, 413)
        except RemoteProtocolError:
            self._turn_away(EndReason.MALFORMED, 400)
        else:
            if len(part) == MAX_MESSAGE:
                self._turn_away(EndReason.TOO_LARGE, 413)
        return at, None, 0

    def _begins_request(self, data: bytes, at: int) -> bool:
        """Return whether an RTSP request may begin here, and end the connection where none can."""
        end = data.find(b"\n", at, at + MAX_MESSAGE) + 1
        line = data[at : end or at + MAX_MESSAGE]
        start = _START_LINE.fullmatch(line)
        if start is None and not end and _BEGINNING.fullmatch(line) is not None:
            return True
        if start is not None and start[1] == b"RTSP" and start[2] == b"1":
            return True
        if data[at] == _TLS_HANDSHAKE:
            self._turn_away(EndReason.TLS)
        elif _HTTP.match(line) is not None:
            self._turn_away(EndReason.HTTP)
        elif start is not None:
            self._turn_away(EndReason.VERSION, 505)
        else:
            self._turn_away(EndReason.GARBAGE)
        return False

    def _turn_away(self, reason: EndReason, status: int | None = None) -> None:
        if status is not None:
            self._answer(None, status)
        self._end(reason)

    # -- answering ---------------------------------------------------------------------------------

    def _take(self, request: Request, length: int, now: float) -> bool:
        """Take in one whole request; return whether it is settled, or waits to be judged."""
        self._requests += 1
        if self._requests > MAX_REQUESTS:
            self._end(EndReason.TOO_MANY_REQUESTS)
            return True
        refused = refusal(request)
        if refused is not None:
            self._out += bytes(refused)
        elif request.method == "OPTIONS":
            self._out += bytes(reply_to_options(request))
        elif request.method in ("DESCRIBE", "SETUP"):
            return not self._ask(request, length, now)
        elif request.method in ("GET_PARAMETER", "SET_PARAMETER") and not request.headers.get("Session"):
            self._answer(request, 200)  # a ping: RFC 2326, 10.8
        else:
            self._answer(request, 454)
        return True

    def _ask(self, request: Request, length: int, now: float) -> bool:
        """Return whether the owner is to judge `request`; else it is answered."""
        values = request.headers.get_all("Authorization")
        try:
            path = Resource.parse(request.uri).path
            if path == "*" or len(values) > 1:
                raise RemoteProtocolError("no stream, or two answers to one challenge", peer=self.peer)
            authorization = parse_authorization(values[0], peer=self.peer) if values else None
        except WeakAuthentication:
            self._challenge(request, Verdict.WRONG, now)
            return False
        except RemoteProtocolError:
            self._answer(request, 400)
            self._end(EndReason.MALFORMED)
            return False
        if authorization is None:
            self._challenge(request, None, now)
            return False
        self._pending = _Pending(request, authorization, length)
        self.state = DoorState.JUDGING
        self._events.append(Wanted(path, authorization.user))
        return True

    def _challenge(self, request: Request, verdict: Verdict | None, now: float) -> None:
        """Answer 401; the third wrong answer is the last."""
        values = self._guard.challenges(now, stale=verdict is Verdict.STALE)
        self._answer(request, 401, *(("WWW-Authenticate", value) for value in values))
        self.wrong_answers += verdict is Verdict.WRONG
        if self.wrong_answers >= MAX_TRIES:
            self._end(EndReason.AUTHENTICATION_FAILED)

    def _answer(self, request: Request | None, status: int, *fields: tuple[str, str]) -> None:
        self._out += bytes(reply(request, status, fields))

    def _end(self, reason: EndReason) -> None:
        self.state = DoorState.OVER
        self._pending = None
        self._events.append(Ended(reason))
