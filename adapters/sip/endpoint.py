"""A SIP endpoint over UDP and TCP: owns the sockets and the timer, and hands whole requests to one handler.

    sockets -> parse / Framer -> Transactions -> handler (requests), waiting callers (responses)

Everything is handled in the order in which it came, in one task's callbacks; nothing here blocks.
"""

import asyncio
import contextlib
import logging
import secrets
import socket
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast

from adapters.errors import (
    AdapterError,
    LocalResourcesExhausted,
    PeerClosed,
    PeerTimeout,
    RemoteProtocolError,
)
from adapters.sip.dialog import Dialog
from adapters.sip.message import (
    Answer,
    Framer,
    Headers,
    Message,
    Request,
    Response,
    parse,
    render_answer,
    request,
)
from adapters.sip.quirks import Quirk
from adapters.sip.transaction import (
    MAGIC_COOKIE,
    Answered,
    Incoming,
    TimedOut,
    Transactions,
    TransactionsFull,
    Way,
)
from adapters.sip.values import Via

logger = logging.getLogger(__name__)

RECEIVE_BUFFER: Final = 8 * 1024 * 1024
"""Bytes asked of the kernel for each UDP socket: 20,000 devices may come back in the same second."""
TOGETHER: Final = 64
"""Datagrams whose answers go out together."""
DRAIN: Final = 8
"""Times so many read in one go; then others of the loop get their turn."""
TAGS: Final = 256
"""Tags made at once."""
REGISTERS: Final = 32
"""Registrations over UDP handled before others get their turn: some 5 ms."""
MAX_REGISTERS: Final = 8_192
"""Registrations over UDP that wait; of more the oldest are dropped and counted."""
MAX_DATAGRAM: Final = 65_535
MAX_CONNECTIONS: Final = 30_000
"""TCP connections of all peers together; one more is closed at once."""
MAX_EACH: Final = 64
"""TCP connections of one address: devices leave old ones half open."""
UNUSED: Final = 30.0
"""Seconds within which a new TCP connection must bring its first message."""
MAX_ACKS: Final = 4_096
"""Acknowledgements kept for answers that are repeated, and invitations taken back that may still be answered."""
BACKLOG: Final = 1024
_SO_RCVBUFFORCE: Final = 33


@dataclass(frozen=True)
class Listening:
    """Where an endpoint listens."""

    udp: tuple[tuple[str, int], ...]
    tcp: tuple[tuple[str, int], ...]


Handler = Callable[[Incoming], None]


class SipEndpoint:
    """One endpoint: `listen`, then `close`.

    Args:
        handler: is given each request that is no repetition; it answers by `respond`, at once or later.
        on_closed: is told the way of a TCP connection that ended.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        on_closed: Callable[[Way], None] = lambda _: None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._handler = handler
        self._on_closed = on_closed
        self._transactions = Transactions()
        self._sockets: list[socket.socket] = []
        self._servers: list[asyncio.Server] = []
        self._connections: dict[int, _Connection] = {}
        self._by_host: Counter[str] = Counter()
        self._waiting: dict[str, asyncio.Queue[Response | AdapterError]] = {}
        self._acks: OrderedDict[str, tuple[Request, Way]] = OrderedDict()
        self._abandoned: OrderedDict[str, tuple[Request, Way]] = OrderedDict()
        "INVITEs of ours that nobody waits for any more, by branch."
        self._local: dict[str, str] = {}
        self._registers: deque[tuple[bytes, Way]] = deque()
        self._is_draining = False
        "Whether what is to be sent waits until some more was read."
        self._tags: list[str] = []
        self._has_turn = False
        "Whether registrations that wait have their turn in the next round of the loop."
        self._links = 1_000
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self.counts: Counter[str] = Counter()
        "What happened since the start, for the metrics: `received`, `unreadable`, `refused_connections`, quirks …"

    async def listen(self, where: Listening) -> None:
        """Bind all sockets.

        Raises:
            LocalResourcesExhausted: an address cannot be had; names it.
        """
        try:
            for host, port in where.udp:
                self._listen_udp(host, port)
            for host, port in where.tcp:
                server = await self._loop.create_server(
                    lambda: _Connection(self), host, port, backlog=BACKLOG, reuse_address=True
                )
                self._servers.append(server)
        except OSError as error:
            await self.close()
            raise LocalResourcesExhausted(f"cannot listen for SIP: {error.strerror or error}") from error

    @property
    def udp_ports(self) -> list[int]:
        """Return the ports of the UDP sockets."""
        return [each.getsockname()[1] for each in self._sockets]

    @property
    def tcp_ports(self) -> list[int]:
        """Return the ports listened on for TCP."""
        return [each.getsockname()[1] for server in self._servers for each in server.sockets]

    async def close(self) -> None:
        """Close everything; whoever waits for a response is told."""
        for each in self._sockets:
            self._loop.remove_reader(each.fileno())
            each.close()
        self._sockets.clear()
        for server in self._servers:
            server.close()
        self._servers.clear()
        for connection in list(self._connections.values()):
            connection.abort()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for queue in self._waiting.values():
            queue.put_nowait(PeerClosed("this endpoint was closed"))

    # -- requests of ours --------------------------------------------------------------------------------------------

    def via(self, way: Way, branch: str) -> str:
        """Return the Via of a request of ours."""
        return f"SIP/2.0/{way.transport.upper()} {self.address(way)};rport;branch={branch}"

    @staticmethod
    def new_branch() -> str:
        """Return a branch that nobody used."""
        return MAGIC_COOKIE + secrets.token_hex(10)

    def address(self, way: Way) -> str:
        """Return `host:port` under which the peer reaches us."""
        if way.transport == "tcp":
            connection = self._connections.get(way.link)
            host, port = connection.local if connection is not None else ("127.0.0.1", 5060)
        else:
            host, port = self._sockets[way.link].getsockname()[:2]
        if host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
            host = self._local_towards(way.host)
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def _local_towards(self, host: str) -> str:
        """Return our address on the way to `host`, as the kernel routes; nothing is sent."""
        if host not in self._local:
            if len(self._local) > 4096:
                self._local.clear()
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            with socket.socket(family, socket.SOCK_DGRAM) as asking:
                try:
                    asking.connect((host, 9))
                    self._local[host] = asking.getsockname()[0]
                except OSError:
                    return "127.0.0.1"
        return self._local[host]

    async def request(
        self,
        way: Way,
        make: Callable[[str], Request],
        *,
        within: float,
        on_provisional: Callable[[Response], None] = lambda _: None,
    ) -> Response:
        """Send a request and return its final response, whatever its status.

        Args:
            way: to the peer.
            make: is given the Via and returns the request.
            within: seconds for the final response.
            on_provisional: is given each provisional one.

        Raises:
            PeerTimeout: none came.
            PeerClosed: the connection ended, or this endpoint was closed.
            LocalResourcesExhausted: too many requests are under way.
        """
        branch = self.new_branch()
        message = make(self.via(way, branch))
        queue: asyncio.Queue[Response | AdapterError] = asyncio.Queue()
        try:
            self._transactions.request(message, branch, way, self._loop.time(), within=within)
        except TransactionsFull as error:
            raise LocalResourcesExhausted(str(error), peer=way.peer) from error
        self._waiting[branch] = queue
        try:
            self._pump()
            while True:
                answer = await queue.get()
                if isinstance(answer, AdapterError):
                    raise answer
                if answer.is_final:
                    return answer
                on_provisional(answer)
        except (asyncio.CancelledError, PeerTimeout):
            if message.method == "INVITE":
                self._cancel(message, way)
                self._abandoned[branch] = (message, way)
                if len(self._abandoned) > MAX_ACKS:
                    self._abandoned.popitem(last=False)
            raise
        finally:
            self._waiting.pop(branch, None)

    def _cancel(self, invite: Request, way: Way) -> None:
        """Take an INVITE back that was not answered yet (RFC 3261, 9.1); what becomes of that is not waited for."""
        kept = [
            pair for pair in invite.headers if pair[0] in ("Via", "From", "To", "Call-ID", "Max-Forwards")
        ]
        headers = (*kept, ("CSeq", f"{invite.cseq[0]} CANCEL"))
        self.send(request("CANCEL", invite.uri, headers), way)

    def _late(self, answer: Response) -> None:
        """Take a 2xx that nobody waits for: a repeated one is acknowledged again, a late one begins no session.

        A device may have answered before it heard of the CANCEL, or took its time: it hears ACK and BYE, for otherwise
        it would send its media for ever (RFC 3261, 13.2.2.4 and 15).
        """
        via = Via.parse(answer.get("via") or "")
        branch = via.branch if via is not None else ""
        if branch in self._acks:
            self._transactions.send(*self._acks[branch])
        elif branch in self._abandoned and answer.cseq[1] == "INVITE":
            invite, way = self._abandoned.pop(branch)
            dialog = Dialog.begun(invite, answer)
            self.acknowledge(dialog.ack(self.via(way, self.new_branch())), way, answer)
            self.counts["late_sessions"] += 1
            branch = self.new_branch()
            bye = dialog.request("BYE", self.via(way, branch))
            with contextlib.suppress(TransactionsFull):
                self._transactions.request(bye, branch, way, self._loop.time())

    def respond(
        self,
        incoming: Incoming,
        status: int,
        reason: str,
        headers: Headers = (),
        body: bytes = b"",
    ) -> None:
        """Answer a request."""
        answer = Answer(status, reason, headers, body)
        origin = incoming.way.host, incoming.way.port
        data = render_answer(incoming.request, answer, tag=self._new_tag(), origin=origin)
        with contextlib.suppress(KeyError):
            self._transactions.respond(incoming, status, data, self._loop.time())
        if not self._is_draining:
            self._pump()

    def _new_tag(self) -> str:
        """Return a tag that nobody used; the kernel is asked for many at once."""
        if not self._tags:
            text = secrets.token_hex(5 * TAGS)
            self._tags = [text[at : at + 10] for at in range(0, len(text), 10)]
        return self._tags.pop()

    def send(self, message: Request, way: Way) -> None:
        """Send a request whose answer nobody waits for."""
        self._transactions.send(message, way)
        self._pump()

    def acknowledge(self, message: Request, way: Way, answer: Response) -> None:
        """Send the ACK of the 2xx `answer`, now and whenever that is repeated (RFC 3261, 13.2.2.4)."""
        via = Via.parse(answer.get("via") or "")
        if via is not None:
            self._acks[via.branch] = (message, way)
            if len(self._acks) > MAX_ACKS:
                self._acks.popitem(last=False)
        self._transactions.send(message, way)
        self._pump()

    def is_open(self, way: Way) -> bool:
        """Return whether something can be sent that way: a TCP connection may be gone."""
        return way.link in self._connections if way.transport == "tcp" else way.link < len(self._sockets)

    # -- UDP -----------------------------------------------------------------------------------------------------------

    def _listen_udp(self, host: str, port: int) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            sock.bind((host, port))
        except OSError:
            sock.close()
            raise
        try:
            sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, RECEIVE_BUFFER)
        except OSError:
            # Not allowed beyond net.core.rmem_max: as much as that gives.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        link = len(self._sockets)
        self._sockets.append(sock)
        self._loop.add_reader(sock.fileno(), lambda: self._drain(sock, link))

    def _drain(self, sock: socket.socket, link: int) -> None:
        for _ in range(DRAIN):
            self._is_draining = True
            try:
                is_more = self._receive_some(sock, link)
            finally:
                self._is_draining = False
            self._pump()
            if not is_more:
                break

    def _receive_some(self, sock: socket.socket, link: int) -> bool:
        """Take in some datagrams; return whether there may be more."""
        receive = sock.recvfrom
        for _ in range(TOGETHER):
            try:
                data, sender = receive(MAX_DATAGRAM)
            except BlockingIOError:
                return False
            except OSError:
                # The ICMP error of an earlier answer, delivered here.
                continue
            if len(data) < 12:
                # Keep-alives through a NAT: CRLF, or four zero octets.
                continue
            way = Way("udp", sender[0], sender[1], link)
            if data.startswith(b"REGISTER"):
                self._line_up(data, way)
            else:
                self._read(data, way)
        return True

    def _read(self, data: bytes, way: Way) -> None:
        try:
            message = parse(data, peer=way.peer)
        except RemoteProtocolError as error:
            self._note_unreadable(error)
        else:
            self._take(message, way)

    def _line_up(self, data: bytes, way: Way) -> None:
        """Let a registration wait behind everything else that is here: keepalives have a lane of their own."""
        self._registers.append((data, way))
        if len(self._registers) > MAX_REGISTERS:
            # Its device repeats it.
            self._registers.popleft()
            self.counts["registers_dropped"] += 1
        if not self._has_turn:
            self._has_turn = True
            self._loop.call_soon(self._register_some)

    def _register_some(self) -> None:
        self._has_turn = False
        for _ in range(min(REGISTERS, len(self._registers))):
            self._read(*self._registers.popleft())
        self._pump()
        if self._registers and not self._has_turn:
            # In the next round of the loop, after whatever else arrived meanwhile.
            self._has_turn = True
            self._loop.call_soon(self._register_some)

    def _note_unreadable(self, error: RemoteProtocolError) -> None:
        self.counts["unreadable"] += 1
        logger.debug("unreadable SIP: %s", error, extra={"action": "sip_unreadable"})

    # -- what came -----------------------------------------------------------------------------------------------------

    def _take(self, message: Message, way: Way) -> None:
        self.counts["received"] += 1
        for quirk in message.quirks:
            self.counts[f"quirk_{quirk.value}"] += 1
        if "z9hG4bK" not in (message.get("via") or ""):
            self.counts[f"quirk_{Quirk.BRANCH_WITHOUT_COOKIE.value}"] += 1
        event = self._transactions.receive(message, way, self._loop.time())
        if isinstance(event, Incoming):
            self._handler(event)
        elif isinstance(event, Answered) and event.branch in self._waiting:
            self._waiting[event.branch].put_nowait(event.response)
        elif isinstance(message, Response) and message.status // 100 == 2:
            self._late(message)

    def _pump(self) -> None:
        """Send what is to be sent, and set the timer."""
        for way, data in self._transactions.outgoing():
            if way.transport == "tcp":
                connection = self._connections.get(way.link)
                if connection is not None:
                    connection.send(data)
                continue
            try:
                self._sockets[way.link].sendto(data, (way.host, way.port))
            except BlockingIOError:
                # The peer repeats what was not answered, and so do we.
                self.counts["unsent"] += 1
            except (OSError, IndexError):
                self.counts["unsent"] += 1
        due = self._transactions.deadline()
        if due is None or (self._timer is not None and self._timer_at <= due):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = due
        self._timer = self._loop.call_at(due, self._handle_timers)

    def _handle_timers(self) -> None:
        self._timer = None
        for event in self._transactions.handle_timers(self._loop.time()):
            if isinstance(event, TimedOut):
                queue = self._waiting.get(event.branch)
                if queue is not None:
                    queue.put_nowait(PeerTimeout("a SIP request was not answered"))
        self._pump()

    # -- TCP -----------------------------------------------------------------------------------------------------------

    def _admit(self, connection: "_Connection", host: str) -> int | None:
        """Return the link of a new connection, or None where no more are allowed."""
        if len(self._connections) >= MAX_CONNECTIONS or self._by_host[host] >= MAX_EACH:
            self.counts["refused_connections"] += 1
            return None
        self._by_host[host] += 1
        self._links += 1
        self._connections[self._links] = connection
        return self._links

    def _ended(self, way: Way) -> None:
        if self._connections.pop(way.link, None) is None:
            return
        self._by_host[way.host] -= 1
        if self._by_host[way.host] <= 0:
            del self._by_host[way.host]
        self._on_closed(way)


class _Connection(asyncio.Protocol):
    """One TCP connection, accepted or made."""

    def __init__(self, endpoint: SipEndpoint) -> None:
        self._endpoint = endpoint
        self._framer = Framer()
        self._transport: asyncio.Transport | None = None
        self._is_full = False
        self._is_used = False
        self.way: Way | None = None
        self.local = ("", 0)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        host, port = transport.get_extra_info("peername")[:2]
        self.local = transport.get_extra_info("sockname")[:2]
        link = self._endpoint._admit(self, host)  # noqa: SLF001 - one machine in two classes
        if link is None:
            self._transport.abort()
            return
        # The kernel finds out about a peer that is gone without a word.
        sock = transport.get_extra_info("socket")
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 20)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
        self.way = Way("tcp", host, port, link)
        self._framer = Framer(self.way.peer)
        asyncio.get_running_loop().call_later(UNUSED, self._end_unused)

    def _end_unused(self) -> None:
        if not self._is_used:
            self.abort()

    def data_received(self, data: bytes) -> None:
        if self.way is None:
            return
        try:
            for message in self._framer.receive(data):
                self._is_used = True
                self._endpoint._take(message, self.way)  # noqa: SLF001
        except RemoteProtocolError as error:
            self._endpoint._note_unreadable(error)  # noqa: SLF001
            self.abort()
        self._endpoint._pump()  # noqa: SLF001

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - either way it is gone
        if self.way is not None:
            self._endpoint._ended(self.way)  # noqa: SLF001

    def pause_writing(self) -> None:
        self._is_full = True

    def resume_writing(self) -> None:
        self._is_full = False

    def send(self, data: bytes) -> None:
        """Send; a peer that takes nothing loses its connection rather than our memory."""
        if self._transport is None or self._transport.is_closing():
            return
        if self._is_full:
            self.abort()
            return
        self._transport.write(data)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()
