"""The pull of a GB/T 28181 device: it is invited by the control plane, and its program stream comes to a port of ours.

    bind -> MediaOffered -> (INVITE, 200, ACK in the control plane) -> OfferAnswered -> media -> opened

One port serves one session. Only the addresses that the answer names, or that the device is registered from, count;
over UDP the first packet that begins a program stream latches its port, over TCP one connection is all there is. The
SSRC is learnt from what comes: devices send their own, or none, whatever was agreed.
"""

import asyncio
import contextlib
import itertools
import logging
import socket
from collections.abc import Callable
from typing import ClassVar, Final, TypeVar, cast

from adapters.base import Transport
from adapters.errors import (
    AdapterError,
    LocalResourcesExhausted,
    PeerClosed,
    PeerTimeout,
    PeerUnreachable,
    RequestRefused,
)
from adapters.media.receiver import ReceiverStatistics
from catalog.model.plan import MediaWay
from gateway.relay.chunk import HEADER, MediaChunk
from gateway.relay.facts import Reporter, Totals
from gateway.relay.intake import DatagramReader, Frames, RtpIntake, Sender
from gateway.relay.protocol import MediaOffered, OfferAnswered, OfferRefused
from gateway.relay.ps_media import CLOCK_RATE, PsMedia, PsTap
from gateway.relay.pull import Opened, Shared, Take
from gateway.relay.reorder import SsrcPin
from gateway.relay.rtp_framing import RtpFramer
from gateway.relay.spec import Invitation, RelaySpec

logger = logging.getLogger(__name__)

CONNECT_TRIES: Final = 3
CONNECT_PAUSE: Final = 1.0
"""Seconds between two tries to connect to a device (2022, Annex D)."""

MAX_CONNECTIONS: Final = 4
"""To one port; the device has one, and whoever else knocks is not kept."""

_offer_ids = itertools.count(1)

Answer = TypeVar("Answer")


class NotRegistered(AdapterError):
    """Raised when the device that a source comes over is not registered with us."""

    cause: ClassVar[str] = "not_registered"


class InvitedPull:
    """Pull from an invited device; see `gateway.relay.pull.Pull`.

    Args:
        spec: what to pull.
        invitation: of `spec`.
        shared: the worker's.
        totals: of the relay.
        reporter: of the relay.
        take: is given the media.
    """

    refusals: Final = 0

    def __init__(
        self,
        spec: RelaySpec,
        invitation: Invitation,
        shared: Shared,
        totals: Totals,
        reporter: Reporter,
        take: Take,
    ) -> None:
        self._spec = spec
        self._invitation = invitation
        self._shared = shared
        self._totals = totals
        self._reporter = reporter
        self._loop = asyncio.get_running_loop()
        self._is_udp = invitation.media is MediaWay.UDP
        self._media = PsMedia(
            shared, Transport.UDP if self._is_udp else Transport.TCP, audio=spec.audio, take=take
        )
        self._offer_id = next(_offer_ids)
        self._answered: asyncio.Future[OfferAnswered] = self._loop.create_future()
        self._begun: asyncio.Future[None] = self._loop.create_future()
        self.ended: Final[asyncio.Future[None]] = self._loop.create_future()
        self._pair: tuple[socket.socket, socket.socket] | None = None
        self._is_ticked = False
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()
        self._hosts: frozenset[str] = frozenset()
        self._frames: Frames | None = None

    # -- from the offer to the first picture ----------------------------------------------------------------

    async def open(self, opened: Callable[[Opened], None]) -> None:
        """Offer a port, wait until the device was invited, and for its first picture.

        Raises:
            AdapterError: it was not invited, or sends nothing that can be decoded.
        """
        bounds = self._spec.bounds

        def begin(known: Opened) -> None:
            opened(known)
            if not self._begun.done():
                self._begun.set_result(None)

        self._media.opened = begin
        port = await self._bind()
        self._reporter.report(MediaOffered(*self._reporter.times(), self._offer_id, port))
        answer = await self._wait(self._answered, bounds.handshake, "the invitation was not answered")
        await self._receive(answer)
        await self._wait(self._begun, bounds.first_media, "no video after the invitation")

    async def _wait(self, future: asyncio.Future[Answer], within: float, what: str) -> Answer:
        await asyncio.wait((future, self.ended), timeout=within, return_when=asyncio.FIRST_COMPLETED)
        if future.done():
            return future.result()
        if self.ended.done():
            self.ended.result()
        raise PeerTimeout(f"{what} within {within:g} s", peer=self._spec.target.peer)

    def answer(self, answer: OfferAnswered | OfferRefused) -> None:
        """Take in what became of the offer; one of another session is passed over."""
        if answer.offer_id != self._offer_id:
            return
        if isinstance(answer, OfferAnswered):
            if not self._answered.done():
                # Now, not once `open` goes on: the device may connect in between.
                self._hosts = frozenset(answer.hosts)
                self._answered.set_result(answer)
        else:
            self.fail(_error_of(answer, self._spec.target.peer))

    async def _bind(self) -> int:
        """Bind what the media come to; return the port, 0 where we connect."""
        address = self._invitation.bind
        match self._invitation.media:
            case MediaWay.UDP:
                self._pair = self._shared.ports.bind(address, self._loop.time())
                return int(self._pair[0].getsockname()[1])
            case MediaWay.TCP_PASSIVE:
                listening = self._shared.ports.listen(address, self._loop.time())
                self._server = await self._loop.create_server(lambda: _Connection(self), sock=listening)
                return int(listening.getsockname()[1])
            case MediaWay.TCP_ACTIVE:
                return 0

    async def _receive(self, answer: OfferAnswered) -> None:
        match self._invitation.media:
            case MediaWay.UDP:
                self._read_datagrams()
            case MediaWay.TCP_PASSIVE:
                for connection in list(self._connections):
                    connection.judge()
            case MediaWay.TCP_ACTIVE:
                await self._connect(answer)

    async def _connect(self, answer: OfferAnswered) -> None:
        """Connect to the device, which may need a moment to listen."""
        host, port = answer.hosts[0], answer.port
        if not port:
            raise PeerUnreachable("its answer names no port to connect to", peer=host)
        for left in reversed(range(CONNECT_TRIES)):
            try:
                async with asyncio.timeout(self._spec.bounds.connect):
                    await self._loop.create_connection(lambda: _Connection(self), host, port)
            except OSError as error:  # a TimeoutError is one
                if not left:
                    reason = error.strerror or "no connection"
                    raise PeerUnreachable(reason, peer=f"{host}:{port}") from error
                await self._reporter.clock.sleep(CONNECT_PAUSE)
            else:
                return

    # -- UDP ------------------------------------------------------------------------------------------------

    def _read_datagrams(self) -> None:
        if self._pair is None:
            return
        rtp = self._pair[0]
        frames = self._frames = Frames(self._shared.buffer, PsTap(self._shared, self._media))
        pin = SsrcPin(None, self._loop.time())
        intake = RtpIntake(0, pin, ReceiverStatistics(CLOCK_RATE), self._totals.reception)
        latch = _Latch(intake, rtp, self._totals)
        reader = DatagramReader(rtp, (self._hosts, None), frames, latch, self._totals.reception)
        self._shared.tick.add(rtp.fileno(), lambda: self._read(reader, rtp))
        self._is_ticked = True

    def _read(self, reader: DatagramReader, rtp: socket.socket) -> None:
        if rtp.fileno() < 0:
            return
        try:
            reader.read(self._loop.time())
        except AdapterError as error:
            self.fail(error)
        if reader.is_waiting:
            self._shared.tick.again(rtp.fileno())

    # -- TCP ------------------------------------------------------------------------------------------------

    def admits(self, connection: "_Connection") -> bool | None:
        """Return whether a connection may bring the media; None while that cannot be told."""
        if self._invitation.media is MediaWay.TCP_PASSIVE and not self._answered.done():
            return None
        if connection.host not in self._hosts or any(each.is_judged for each in self._connections):
            self._totals.reception.foreign += 1
            return False
        return True

    @property
    def has_room(self) -> bool:
        """Whether another connection may wait to be judged."""
        return len(self._connections) < MAX_CONNECTIONS

    def connected(self, connection: "_Connection") -> None:
        """Take note of a connection."""
        self._connections.add(connection)

    def lost(self, connection: "_Connection") -> None:
        """Take note that a connection ended; the one that brings the media takes the session with it."""
        self._connections.discard(connection)
        if connection.is_judged:
            self.fail(PeerClosed("closed its media connection", peer=connection.host))

    def take(self, framer: RtpFramer, data: bytes) -> None:
        """Take in what a connection brought."""
        media = self._media
        media.begin(self._loop.time())
        try:
            media.packets(framer.receive(data))
        except AdapterError as error:
            error.peer = error.peer or self._spec.target.peer
            self.fail(error)
        media.end()

    # -- while it plays, and the end ------------------------------------------------------------------------

    def note(self, chunk: MediaChunk) -> None:
        """Do nothing: nobody here reads control packets."""

    def tick(self, now: float, *, is_silent: bool, last_at: float) -> None:
        """Do nothing: the control plane hears the device's BYE."""

    def fail(self, error: BaseException) -> None:
        """End at once because of `error`; the first one counts."""
        if not self.ended.done():
            self.ended.set_exception(error)
            # Whoever waits sees it; nobody waits once the session is being torn down.
            self.ended.exception()

    async def close(self, within: float) -> None:  # noqa: ARG002 - the control plane takes leave
        """Close all sockets; ports that carried a stream go into quarantine."""
        if not self.ended.done():
            self.ended.set_result(None)
        if self._server is not None:
            self._shared.ports.retire(self._server.sockets[0].getsockname()[1], self._loop.time())
            self._server.close()
        for connection in list(self._connections):
            connection.abort()
        if self._pair is not None:
            rtp, rtcp = self._pair
            if self._is_ticked:
                self._shared.tick.remove(rtp.fileno())
                self._shared.ports.retire(rtp.getsockname()[1], self._loop.time())
            rtp.close()
            rtcp.close()
        if self._media.oddities:
            met = ", ".join(f"{name} {count}" for name, count in sorted(self._media.oddities.items()))
            logger.info(
                "%s deviates from the standard: %s", self._spec.origin, met, extra={"action": "ps_oddities"}
            )


def _error_of(refused: OfferRefused, peer: str) -> AdapterError:
    """Return the error that ends a session for `refused`."""
    match refused.cause:
        case "not_registered":
            return NotRegistered(refused.detail, peer=peer)
        case "refused":
            return RequestRefused(refused.detail, peer=peer, status=refused.status)
        case "timeout":
            return PeerTimeout(refused.detail, peer=peer)
        case "local_error":
            return LocalResourcesExhausted(refused.detail, peer=peer)
        case _:
            return PeerClosed(refused.detail, peer=peer)


class _Latch:
    """Let no datagram through before one begins a program stream, then only those of its sender."""

    def __init__(self, intake: RtpIntake, rtp: socket.socket, totals: Totals) -> None:
        self._intake = intake
        self._rtp = rtp
        self._totals = totals
        self._sender: Sender | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether packets wait for a missing one."""
        return self._intake.is_waiting

    def take(self, frames: Frames, size: int, sender: Sender) -> None:
        """Pass on what comes from the latched port."""
        if sender != self._sender and not self._latches(frames, size, sender):
            self._totals.reception.foreign += 1
            return
        self._intake.take(frames, size, sender)

    def end(self, frames: Frames) -> None:
        """Pass on what has waited too long."""
        self._intake.end(frames)

    def _latches(self, frames: Frames, size: int, sender: Sender) -> bool:
        begin = frames.at + HEADER
        if (
            self._sender is not None
            or size < 16
            or b"\0\0\1\xba" not in frames.bytes[begin + 12 : begin + size]
        ):
            return False
        self._sender = sender
        # The kernel then drops whatever comes from elsewhere.
        with contextlib.suppress(OSError):
            self._rtp.connect(sender)
        return True


class _Connection(asyncio.Protocol):
    """One media connection; looked at only once it is known whose it is.

    Until then nothing of it is read, or one read at most: uvloop begins to read after `connection_made` whatever was
    said there, so what comes meanwhile is held and reading paused again.
    """

    def __init__(self, pull: InvitedPull) -> None:
        self._pull = pull
        self._framer = RtpFramer()
        self._transport: asyncio.Transport | None = None
        self._held = b""
        self.host = ""
        self.is_judged = False
        "Whether it may bring the media."

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.host = transport.get_extra_info("peername")[0]
        self._transport.pause_reading()
        if not self._pull.has_room:
            self.abort()
            return
        self.judge()
        if not self._transport.is_closing():
            self._pull.connected(self)

    def judge(self) -> None:
        """Read on, or close, or wait for the answer to the invitation."""
        if self.is_judged or self._transport is None:
            return
        admitted = self._pull.admits(self)
        if admitted is None:
            return
        if admitted:
            self.is_judged = True
            held, self._held = self._held, b""
            self._pull.take(self._framer, held)
            self._transport.resume_reading()
        else:
            self.abort()

    def data_received(self, data: bytes) -> None:
        if self.is_judged:
            self._pull.take(self._framer, data)
        elif self._transport is not None and not self._transport.is_closing():
            self._held += data
            self._transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - either way it is gone
        self._pull.lost(self)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()
