"""SIP transactions, client and server, INVITE and others (RFC 3261, 17): retransmission, repetition, time-out.

Sans-IO: monotonic seconds go in, bytes and events come out. Two tables say how a transaction of each side goes; the
retransmission of a 2xx to INVITE, which the RFC leaves to the user (13.3.1.4), is kept here as well, so that whoever
answers need not know about datagrams.
"""

import heapq
from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

from adapters.sip.message import Message, Request, Response, render, request
from adapters.sip.values import NameAddress, Via

T1: Final = 0.5
"""Seconds: estimate of a round trip (RFC 3261, 17.1.1.1)."""
T2: Final = 4.0
"""Seconds: longest wait between two retransmissions of what is no INVITE."""
T4: Final = 5.0
"""Seconds for which a message stays in the network."""
LIFETIME: Final = 64 * T1
"""Seconds: timers B, D, F, H and J."""
MAX_SERVED: Final = 65_536
"""Transactions of others that are remembered: of more the oldest are forgotten, their repetitions handled anew."""
MAX_CLIENTS: Final = 16_384
"""Transactions of ours under way; one more is refused."""
MAGIC_COOKIE: Final = "z9hG4bK"


class Way(NamedTuple):
    """The way to a peer."""

    transport: str
    "`udp` or `tcp`."
    host: str
    port: int
    link: int
    "Which socket or connection of ours; the endpoint's."

    @property
    def is_reliable(self) -> bool:
        """Whether nothing is retransmitted."""
        return self.transport == "tcp"

    @property
    def peer(self) -> str:
        """Return `host:port` for logs."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Client(StrEnum):
    """Where a request of ours stands."""

    CALLING = "calling"
    "Nothing has come back; it is retransmitted."
    PROCEEDING = "proceeding"
    "A provisional response came."
    COMPLETED = "completed"
    "The final one came; its repetitions are absorbed, those of an INVITE acknowledged."
    TERMINATED = "terminated"


class Got(StrEnum):
    """What happens to a request of ours."""

    PROVISIONAL = "provisional"
    SUCCESS = "success"
    FAILURE = "failure"
    TIMEOUT = "timeout"


CLIENT: Final[Mapping[tuple[Client, Got], Client]] = MappingProxyType(
    {
        (Client.CALLING, Got.PROVISIONAL): Client.PROCEEDING,
        (Client.CALLING, Got.SUCCESS): Client.COMPLETED,
        (Client.CALLING, Got.FAILURE): Client.COMPLETED,
        (Client.CALLING, Got.TIMEOUT): Client.TERMINATED,
        (Client.PROCEEDING, Got.PROVISIONAL): Client.PROCEEDING,
        (Client.PROCEEDING, Got.SUCCESS): Client.COMPLETED,
        (Client.PROCEEDING, Got.FAILURE): Client.COMPLETED,
        (Client.PROCEEDING, Got.TIMEOUT): Client.TERMINATED,
        (Client.COMPLETED, Got.PROVISIONAL): Client.COMPLETED,
        (Client.COMPLETED, Got.SUCCESS): Client.COMPLETED,
        (Client.COMPLETED, Got.FAILURE): Client.COMPLETED,
        (Client.COMPLETED, Got.TIMEOUT): Client.TERMINATED,
    }
)
"""RFC 3261, figures 5 and 6, their timers apart."""


class Server(StrEnum):
    """Where a request of a peer stands."""

    TRYING = "trying"
    PROCEEDING = "proceeding"
    COMPLETED = "completed"
    CONFIRMED = "confirmed"
    "The final response to an INVITE was acknowledged."


class Did(StrEnum):
    """What happens to a request of a peer."""

    PROVISIONAL = "provisional"
    FINAL = "final"
    ACK = "ack"


SERVER: Final[Mapping[tuple[Server, Did], Server]] = MappingProxyType(
    {
        (Server.TRYING, Did.PROVISIONAL): Server.PROCEEDING,
        (Server.TRYING, Did.FINAL): Server.COMPLETED,
        (Server.PROCEEDING, Did.PROVISIONAL): Server.PROCEEDING,
        (Server.PROCEEDING, Did.FINAL): Server.COMPLETED,
        (Server.COMPLETED, Did.ACK): Server.CONFIRMED,
        (Server.CONFIRMED, Did.ACK): Server.CONFIRMED,
    }
)
"""RFC 3261, figures 7 and 8. What is not in it is refused: a request is answered finally once."""


@dataclass(frozen=True)
class Incoming:
    """A request that is to be handled: no repetition."""

    request: Request
    way: Way
    key: tuple[str, ...]
    "Of its transaction."


@dataclass(frozen=True)
class Answered:
    """A response to a request of ours: each provisional one, the first final one, and each repeated 2xx to INVITE."""

    branch: str
    response: Response
    way: Way


@dataclass(frozen=True)
class TimedOut:
    """A request of ours that nobody answered finally."""

    branch: str


@dataclass(frozen=True)
class Unacknowledged:
    """A 2xx of ours to an INVITE that nobody acknowledged: the session it began is to be ended (13.3.1.4)."""

    key: tuple[str, ...]


Event = Incoming | Answered | TimedOut | Unacknowledged


class _Client:
    __slots__ = ("data", "deadline", "interval", "request", "state", "way")

    def __init__(self, sent: Request, data: bytes, way: Way, deadline: float) -> None:
        self.request = sent
        self.data = data
        self.way = way
        self.deadline = deadline
        self.interval = T1
        self.state = Client.CALLING


class _Server:
    __slots__ = ("deadline", "interval", "is_success", "response", "state", "way")

    def __init__(self, way: Way, deadline: float) -> None:
        self.way = way
        self.deadline = deadline
        self.interval = T1
        self.response = b""
        self.is_success = False
        self.state = Server.TRYING


class TransactionsFull(Exception):
    """Raised when no further request of ours may be under way."""


class Transactions:
    """All transactions of one endpoint.

    Args:
        max_served: of others that are remembered.
    """

    def __init__(self, *, max_served: int = MAX_SERVED) -> None:
        self._max_served = max_served
        self._clients: dict[str, _Client] = {}
        self._servers: OrderedDict[tuple[str, ...], _Server] = OrderedDict()
        self._expiry: deque[tuple[float, tuple[str, ...]]] = deque()
        self._timers: list[tuple[float, int, str | tuple[str, ...]]] = []
        self._count = 0
        self._out: list[tuple[Way, bytes]] = []
        self.repeated = 0
        "Repetitions answered from memory."
        self.forgotten = 0
        "Transactions of others forgotten before their time."

    def __len__(self) -> int:
        return len(self._clients) + len(self._servers)

    def outgoing(self) -> list[tuple[Way, bytes]]:
        """Return what is to be sent now, in order."""
        out, self._out = self._out, []
        return out

    # -- what comes in ---------------------------------------------------------------------------------------------

    def receive(self, message: Message, way: Way, now: float) -> Incoming | Answered | None:
        """Take a message in; return what its user must see of it, or None for a repetition or a stray."""
        if isinstance(message, Response):
            return self._receive_response(message, way, now)
        key = _key(message)
        served = self._servers.get(key)
        if message.method == "ACK":
            if served is not None and (served.state, Did.ACK) in SERVER:
                served.state = SERVER[served.state, Did.ACK]
            return None
        if served is not None:
            self.repeated += 1
            # By the way it came this time: a device that changed its port repeats itself from the new one.
            if served.response and served.state is not Server.CONFIRMED:
                self._out.append((way, served.response))
            return None
        self._serve(key, way, now)
        return Incoming(message, way, key)

    def _serve(self, key: tuple[str, ...], way: Way, now: float) -> None:
        # A little late, so that the timer of an unacknowledged 2xx comes first.
        self._expire(now - T1)
        if len(self._servers) >= self._max_served:
            self._servers.popitem(last=False)
            self.forgotten += 1
        self._servers[key] = _Server(way, now + LIFETIME)
        self._expiry.append((now + LIFETIME, key))

    def _expire(self, now: float) -> None:
        while self._expiry and self._expiry[0][0] <= now:
            deadline, key = self._expiry.popleft()
            served = self._servers.get(key)
            if served is None:
                continue
            if served.deadline <= deadline:
                del self._servers[key]
            else:
                # Answered later than it came: it stays for as long behind its answer.
                self._expiry.append((served.deadline, key))

    def _receive_response(self, response: Response, way: Way, now: float) -> Answered | None:
        via = Via.parse(response.get("via") or "")
        client = self._clients.get(via.branch) if via is not None else None
        if via is None or client is None or response.cseq[1] != client.request.method:
            return None
        got = _got(response.status)
        before, client.state = client.state, CLIENT[client.state, got]
        is_invite = client.request.method == "INVITE"
        if is_invite and got is Got.FAILURE:
            self._out.append((client.way, render(_ack_of(client.request, response))))
        if before is not Client.COMPLETED and client.state is Client.COMPLETED:
            linger = LIFETIME if is_invite else T4
            client.deadline = now + (linger if is_invite or not client.way.is_reliable else 0.0)
            self._arm(client.deadline, via.branch)
        elif before is Client.COMPLETED and not (is_invite and got is Got.SUCCESS):
            return None
        return Answered(via.branch, response, way)

    # -- what goes out ---------------------------------------------------------------------------------------------

    def request(
        self, message: Request, branch: str, way: Way, now: float, *, within: float = LIFETIME
    ) -> None:
        """Send a request of ours, whose topmost Via has `branch`; it is given up after `within` seconds.

        Raises:
            TransactionsFull: `MAX_CLIENTS` are under way.
        """
        if len(self._clients) >= MAX_CLIENTS:
            raise TransactionsFull(f"{MAX_CLIENTS} requests are under way")
        client = _Client(message, render(message), way, now + min(within, LIFETIME))
        self._clients[branch] = client
        self._out.append((way, client.data))
        if not way.is_reliable:
            self._arm(min(now + client.interval, client.deadline), branch)
        else:
            self._arm(client.deadline, branch)

    def respond(self, incoming: Incoming, status: int, data: bytes, now: float) -> None:
        """Send a response of ours to a request; once it is final, no other follows.

        Args:
            incoming: the request.
            status: of the response.
            data: the response.
            now: monotonic seconds.

        Raises:
            KeyError: it was answered finally before.
        """
        is_final = status >= 200
        served = self._servers.get(incoming.key)
        if served is not None:
            served.state = SERVER[served.state, Did.FINAL if is_final else Did.PROVISIONAL]
            served.response = data
            if is_final:
                served.deadline = now + LIFETIME
                served.is_success = status < 300
                if incoming.request.method == "INVITE":
                    self._arm(now + served.interval, incoming.key)
        self._out.append((incoming.way, data))

    def send(self, message: Request, way: Way) -> None:
        """Send what begins no transaction: the ACK of a 2xx."""
        self._out.append((way, render(message)))

    # -- time ------------------------------------------------------------------------------------------------------

    def deadline(self) -> float | None:
        """Return when `handle_timers` shall be called next; None for never."""
        return self._timers[0][0] if self._timers else None

    def handle_timers(self, now: float) -> list[Event]:
        """Retransmit and give up what is due."""
        events: list[Event] = []
        while self._timers and self._timers[0][0] <= now:
            due, _, key = heapq.heappop(self._timers)
            event = self._client_due(key, now) if isinstance(key, str) else self._server_due(key, due, now)
            if event is not None:
                events.append(event)
        self._expire(now)
        return events

    def _client_due(self, branch: str, now: float) -> Event | None:
        client = self._clients.get(branch)
        if client is None:
            return None
        if now >= client.deadline:
            del self._clients[branch]
            was_answered = client.state is Client.COMPLETED
            client.state = CLIENT[client.state, Got.TIMEOUT]
            return None if was_answered else TimedOut(branch)
        if client.state is Client.COMPLETED or client.way.is_reliable:
            self._arm(client.deadline, branch)
            return None
        is_invite = client.request.method == "INVITE"
        if client.state is Client.CALLING or not is_invite:
            self._out.append((client.way, client.data))
            doubled = 2 * client.interval
            client.interval = doubled if is_invite else min(doubled, T2)
            if client.state is Client.PROCEEDING:
                client.interval = T2
            self._arm(min(now + client.interval, client.deadline), branch)
        else:
            self._arm(client.deadline, branch)
        return None

    def _server_due(self, key: tuple[str, ...], due: float, now: float) -> Event | None:
        served = self._servers.get(key)
        if served is None or served.state is not Server.COMPLETED:
            return None
        if now >= served.deadline:
            return Unacknowledged(key) if served.is_success else None
        # Over TCP a 2xx is repeated, too: it is the user's, end to end (RFC 3261, 13.3.1.4).
        if not served.way.is_reliable or served.is_success:
            self._out.append((served.way, served.response))
        served.interval = min(2 * served.interval, T2)
        self._arm(min(due + served.interval, served.deadline), key)
        return None

    def _arm(self, at: float, key: str | tuple[str, ...]) -> None:
        self._count += 1
        heapq.heappush(self._timers, (at, self._count, key))


def _got(status: int) -> Got:
    if status < 200:
        return Got.PROVISIONAL
    return Got.SUCCESS if status < 300 else Got.FAILURE


def _key(message: Request) -> tuple[str, ...]:
    """Return what tells a request's transaction (RFC 3261, 17.2.3)."""
    if message.method in ("INVITE", "ACK"):
        # The ACK of a 2xx has a branch of its own: what it shares with its INVITE is the call.
        return _call_key(message, "INVITE")
    via = message.get("via") or ""
    branch = via.partition("branch=")[2].partition(";")[0]
    if branch.startswith(MAGIC_COOKIE):
        # Transport and sent-by as written: a repetition is the same to the octet.
        return (branch, via.partition(";")[0], message.method)
    return (branch, *_call_key(message, message.method))


def _call_key(message: Request, method: str) -> tuple[str, ...]:
    return (message.call_id, str(message.cseq[0]), NameAddress.parse(message.get("from") or "").tag, method)


def _ack_of(invite: Request, response: Response) -> Request:
    """Return the ACK of a response that is no 2xx (RFC 3261, 17.1.1.3)."""
    headers = [("Via", invite.get("via") or "")]
    headers += [("Route", value) for value in invite.all("route")]
    headers += [
        ("From", invite.get("from") or ""),
        ("To", response.get("to") or ""),
        ("Call-ID", invite.call_id),
        ("CSeq", f"{invite.cseq[0]} ACK"),
        ("Max-Forwards", "70"),
    ]
    return request("ACK", invite.uri, headers)
