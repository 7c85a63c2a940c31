"""Media over UDP: socket pairs, and reads on a tick that all of them share. Owns its sockets."""

import asyncio
import contextlib
import errno
import itertools
import secrets
import socket
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from adapters.errors import AdapterError, LocalResourcesExhausted
from adapters.media.receiver import ReceiverStatistics
from adapters.rtsp.session import Track
from gateway.relay.chunk import ChunkWalker
from gateway.relay.intake import DatagramReader, Frames, Intake, RtcpIntake, RtpIntake, configure
from gateway.relay.pace import ReadTick
from gateway.relay.reader import ChunkReader, SharedBuffer
from gateway.relay.reception import Reception
from gateway.relay.reorder import SsrcPin

QUARANTINE: Final = 60.0
"""Seconds for which a port that carried a stream is not used again: its sender may not have noticed."""


TRIES: Final = 64
"""Ports of the kernel's choice that are tried for one that serves."""


def share_of(ports: range | None, index: int, count: int) -> range | None:
    """Return the even ports of `ports` that worker `index` of `count` may use; None means the kernel's choice.

    Each worker has its own: only it knows which ports of its carried a stream a short while ago.

    Raises:
        ValueError: fewer pairs than workers.
    """
    if ports is None:
        return None
    pairs = range(ports.start + ports.start % 2, ports.stop - 1, 2)
    if len(pairs) < count:
        raise ValueError(f"{len(pairs)} pairs of ports for {count} workers")
    return pairs[len(pairs) * index // count : len(pairs) * (index + 1) // count]


class PortPool:
    """Bind ports for media, in pairs for RTP and RTCP, never one that carried another stream a short while ago.

    Args:
        ports: even ports, each the first of a pair; None takes what the kernel gives.
        gro: whether the kernel may hand on bursts of datagrams in one piece, where it can.
    """

    def __init__(self, ports: range | None = None, *, gro: bool = True) -> None:
        self._ports = ports
        # Not the same after each start: whoever still sends to a process before us shall not meet another stream.
        self._next = secrets.randbelow(len(ports)) if ports else 0
        self._gro = gro
        self._used: deque[tuple[float, int]] = deque()

    def bind(self, address: str, now: float) -> tuple[socket.socket, socket.socket]:
        """Return bound sockets on an even port and the next.

        Raises:
            LocalResourcesExhausted: no pair was free, or no descriptor for it.
        """
        quarantined = self._quarantined(now)
        for port in self._candidates(quarantined):
            try:
                pair = _bind_pair(address, port, quarantined, gro=self._gro)
            except OSError as error:
                raise LocalResourcesExhausted(error.strerror or type(error).__name__) from error
            if pair is not None:
                return pair
        raise LocalResourcesExhausted("no pair of UDP ports is free")

    def listen(self, address: str, now: float) -> socket.socket:
        """Return a socket that listens for TCP connections, on a port that carried no other stream lately.

        Raises:
            LocalResourcesExhausted: none was free, or no descriptor for it.
        """
        quarantined = self._quarantined(now)
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        for port in self._candidates(quarantined):
            try:
                listening = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            except OSError as error:
                raise LocalResourcesExhausted(error.strerror or type(error).__name__) from error
            try:
                # A connection that ended leaves its port waiting (TIME_WAIT) about as long as the quarantine.
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listening.bind((address, port))
                if listening.getsockname()[1] not in quarantined:
                    listening.listen(4)
                    return listening
            except OSError as error:
                listening.close()
                if error.errno != errno.EADDRINUSE:
                    raise LocalResourcesExhausted(error.strerror or type(error).__name__) from error
            listening.close()
        raise LocalResourcesExhausted("no TCP port is free")

    def _candidates(self, quarantined: set[int]) -> Iterator[int]:
        """Yield the ports to try, 0 for the kernel's choice; each of a range comes as late as possible again."""
        if self._ports is None:
            yield from itertools.repeat(0, TRIES)
            return
        for _ in range(len(self._ports)):
            port, self._next = self._ports[self._next], (self._next + 1) % len(self._ports)
            if port not in quarantined:
                yield port

    def _quarantined(self, now: float) -> set[int]:
        while self._used and self._used[0][0] < now - QUARANTINE:
            self._used.popleft()
        return {port for _, port in self._used}

    def retire(self, port: int, now: float) -> None:
        """Keep `port` (of RTP) out of use for `QUARANTINE` seconds."""
        self._used.append((now, port))


def _bind_pair(
    address: str, wanted: int, quarantined: set[int], *, gro: bool
) -> tuple[socket.socket, socket.socket] | None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    rtp = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        rtcp = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    except OSError:
        rtp.close()
        raise
    try:
        rtp.bind((address, wanted))
        port = rtp.getsockname()[1]
        if port % 2 == 0 and port not in quarantined:
            rtcp.bind((address, port + 1))
            configure(rtp, gro=gro)
            return rtp, rtcp
    except OSError:
        # This one or the next is taken: try another pair.
        pass
    rtp.close()
    rtcp.close()
    return None


class UdpMedia:
    """The datagrams of one pull session, framed for the same walker as TCP's.

    Only datagrams from the peer's address (and port, where it told one) count, and of one SSRC a track
    (`SsrcPin`), in order (`ReorderWindow`). So the late packets of another stream on a used port never
    get through. A picture that lost packets is passed on: its sequence numbers show the gap, and every
    decoder conceals one; to drop up to the next key picture would make one lost packet seconds of no
    picture.

    Args:
        shared: the worker's receive buffer.
        reader: is given the framed datagrams.
        peer: the peer's address as connected to.
        on_failure: is told what ends the session.
        reception: counts what is lost, late, foreign.
    """

    def __init__(
        self,
        shared: SharedBuffer,
        reader: ChunkReader,
        peer: str,
        on_failure: Callable[[AdapterError], None],
        reception: Reception,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._frames = Frames(shared, reader)
        self._reader = reader
        self._peer = peer
        self._on_failure = on_failure
        self._reception = reception
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._rtcp: dict[int, tuple[socket.socket, RtcpIntake, Track]] = {}
        self._tick: ReadTick | None = None

    def bind(self, pool: PortPool, address: str, tracks: int) -> tuple[int, ...]:
        """Bind a pair of ports for each of `tracks`; return the RTP ports."""
        for _ in range(tracks):
            self._pairs.append(pool.bind(address, self._loop.time()))
        return tuple(rtp.getsockname()[1] for rtp, _ in self._pairs)

    def start(
        self,
        tracks: tuple[Track, ...],
        walker: ChunkWalker,
        tick: ReadTick,
        statistics: Sequence[ReceiverStatistics],
    ) -> None:
        """Begin to read; track n's packets are framed as channels 2n and 2n + 1, and counted in its statistics."""
        self._reader.walker = walker
        self._tick = tick
        now = self._loop.time()
        for index, ((rtp, rtcp), track, kept) in enumerate(
            zip(self._pairs, tracks, statistics, strict=False)
        ):
            pin = SsrcPin(track.ssrc, now)
            reports = RtcpIntake(2 * index + 1, self._reception)
            self._rtcp[2 * index + 1] = (rtcp, reports, track)
            ports = track.server_ports or (None, None)
            self._watch(rtp, ports[0], tick, RtpIntake(2 * index, pin, kept, self._reception))
            self._watch(rtcp, ports[1], tick, reports)

    def send(self, channel: int, packet: bytes) -> None:
        """Send an RTCP packet to where the track's RTCP comes from; dropped where that is unknown."""
        found = self._rtcp.get(channel)
        if found is None:
            return
        rtcp, reports, track = found
        with contextlib.suppress(OSError):
            if track.server_ports is not None:
                rtcp.send(packet)
            elif reports.sender is not None:
                rtcp.sendto(packet, reports.sender)

    def close(self, pool: PortPool) -> None:
        """Close all sockets; ports that carried a stream go into quarantine."""
        for rtp, rtcp in self._pairs:
            if self._tick is not None:
                pool.retire(rtp.getsockname()[1], self._loop.time())
                self._tick.remove(rtp.fileno())
                self._tick.remove(rtcp.fileno())
            rtp.close()
            rtcp.close()
        self._pairs.clear()
        self._rtcp.clear()

    def _watch(self, sock: socket.socket, port: int | None, tick: ReadTick, intake: Intake) -> None:
        if port is not None:
            # The kernel then drops whatever comes from elsewhere.
            with contextlib.suppress(OSError):
                sock.connect((self._peer, port))
        reader = DatagramReader(sock, (frozenset((self._peer,)), port), self._frames, intake, self._reception)
        tick.add(sock.fileno(), lambda: self._read(sock, reader, tick))

    def _read(self, sock: socket.socket, reader: DatagramReader, tick: ReadTick) -> None:
        fd = sock.fileno()
        if fd < 0:
            return
        try:
            reader.read(self._loop.time())
        except AdapterError as error:
            error.peer = error.peer or self._peer
            self._on_failure(error)
        if reader.is_waiting:
            tick.again(fd)
