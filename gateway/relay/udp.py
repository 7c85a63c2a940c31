"""Media over UDP: socket pairs, batched reads on a tick, datagrams framed as on TCP. Owns its sockets."""

import asyncio
import contextlib
import select
import socket
from collections import deque
from collections.abc import Callable
from typing import Final

from adapters.errors import LocalResourcesExhausted, RemoteProtocolError
from adapters.rtsp.session import Track
from gateway.relay.chunk import HEADER, MARK, ChunkWalker
from gateway.relay.reader import BUFFER_SIZE, ChunkReader, SharedBuffer

TICK: Final = 0.01
"""Seconds between two rounds of reading: far cheaper than a wake-up per packet, and little delay."""
MAX_DATAGRAM: Final = 2048
"""Longer datagrams are cut and then dropped: RTP of cameras stays below an Ethernet frame."""
MAX_BATCH: Final = 512
"""Datagrams that one socket may bring in one round; a flood leaves its neighbours their turn."""
RECEIVE_BUFFER: Final = 4 * 1024 * 1024
"""Bytes asked of the kernel; a key frame may be a burst of hundreds of packets."""
QUARANTINE: Final = 60.0
"""Seconds for which a port that carried a stream is not used again: its sender may not have noticed."""

_RTP_HEADER: Final = 12


class PortPool:
    """Bind pairs of ports for RTP and RTCP, never one that carried another stream a short while ago."""

    def __init__(self) -> None:
        self._used: deque[tuple[float, int]] = deque()

    def bind(self, address: str, now: float) -> tuple[socket.socket, socket.socket]:
        """Return bound sockets on an even port and the next.

        Raises:
            LocalResourcesExhausted: no pair was free, or no descriptor for it.
        """
        while self._used and self._used[0][0] < now - QUARANTINE:
            self._used.popleft()
        quarantined = {port for _, port in self._used}
        for _ in range(64):
            try:
                pair = _bind_pair(address, quarantined)
            except OSError as error:
                raise LocalResourcesExhausted(error.strerror or type(error).__name__) from error
            if pair is not None:
                return pair
        raise LocalResourcesExhausted("no pair of UDP ports is free")

    def retire(self, port: int, now: float) -> None:
        """Keep `port` (of RTP) out of use for `QUARANTINE` seconds."""
        self._used.append((now, port))


def _bind_pair(address: str, quarantined: set[int]) -> tuple[socket.socket, socket.socket] | None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    rtp = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        rtcp = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    except OSError:
        rtp.close()
        raise
    try:
        rtp.bind((address, 0))
        port = rtp.getsockname()[1]
        if port % 2 == 0 and port not in quarantined:
            rtcp.bind((address, port + 1))
            rtp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            return rtp, rtcp
    except OSError:
        # The next port is taken: try another pair.
        pass
    rtp.close()
    rtcp.close()
    return None


class UdpTick:
    """Ask the kernel once per tick which of all the worker's UDP sockets have datagrams."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._poll = select.epoll()
        self._readers: dict[int, Callable[[], None]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, fd: int, read: Callable[[], None]) -> None:
        """Call `read` in each round in which `fd` has datagrams."""
        self._poll.register(fd, select.EPOLLIN)
        self._readers[fd] = read
        if self._timer is None:
            self._timer = self._loop.call_later(TICK, self._round)

    def remove(self, fd: int) -> None:
        """Forget `fd`, before it is closed."""
        if self._readers.pop(fd, None) is not None:
            self._poll.unregister(fd)

    def close(self) -> None:
        """Stop ticking."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._readers.clear()
        self._poll.close()

    def _round(self) -> None:
        self._timer = self._loop.call_later(TICK, self._round) if self._readers else None
        for fd, _ in self._poll.poll(0):
            read = self._readers.get(fd)
            if read is not None:
                # In a callback of its own: a bug in one session's reading leaves the others their round.
                self._loop.call_soon(read)


class UdpMedia:
    """The datagrams of one pull session, framed for the same walker as TCP's.

    Only datagrams from the peer's address (and port, where it told one) count, and of one SSRC a track:
    the announced one, or the first seen. So the late packets of another stream on a used port never get through.

    Args:
        shared: the worker's receive buffer.
        reader: is given the framed datagrams.
        peer: the peer's address as connected to.
        on_failure: is told what the reader raises.
    """

    def __init__(
        self,
        shared: SharedBuffer,
        reader: ChunkReader,
        peer: str,
        on_failure: Callable[[RemoteProtocolError], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._shared = shared
        self._reader = reader
        self._peer = peer
        self._on_failure = on_failure
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._ssrcs: dict[int, int] = {}
        self._sender_ports: dict[int, int] = {}
        "Of each channel, where the peer told it."
        self._tick: UdpTick | None = None
        self.foreign_packets = 0
        "Datagrams dropped: another sender's, another SSRC's, no RTP, or too long."

    def bind(self, pool: PortPool, address: str, tracks: int) -> tuple[int, ...]:
        """Bind a pair of ports for each of `tracks`; return the RTP ports."""
        for _ in range(tracks):
            self._pairs.append(pool.bind(address, self._loop.time()))
        return tuple(rtp.getsockname()[1] for rtp, _ in self._pairs)

    def start(self, tracks: tuple[Track, ...], walker: ChunkWalker, tick: UdpTick) -> None:
        """Begin to read; track n's packets are framed as channels 2n and 2n + 1."""
        self._reader.walker = walker
        self._tick = tick
        for index, ((rtp, rtcp), track) in enumerate(zip(self._pairs, tracks, strict=False)):
            for offset, sock in enumerate((rtp, rtcp)):
                channel = 2 * index + offset
                if track.server_ports is not None:
                    # The kernel then drops whatever comes from elsewhere, but for what waits already:
                    # another stream of the same host may have been sending to this port.
                    with contextlib.suppress(OSError):
                        sock.connect((self._peer, track.server_ports[offset]))
                        self._sender_ports[channel] = track.server_ports[offset]
                if offset == 0 and track.ssrc is not None:
                    self._ssrcs[channel] = track.ssrc
                tick.add(sock.fileno(), lambda sock=sock, channel=channel: self._read(sock, channel))  # type: ignore[misc]

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

    def _read(self, sock: socket.socket, channel: int) -> None:
        """Read what waits on `sock` into the shared buffer, each datagram behind a frame header."""
        if sock.fileno() < 0:
            return
        buffer, view = self._shared.bytes, self._shared.view
        at = self._reader.begin()
        for _ in range(MAX_BATCH):
            if at + HEADER + MAX_DATAGRAM > BUFFER_SIZE:
                break
            try:
                size, sender = sock.recvfrom_into(view[at + HEADER : at + HEADER + MAX_DATAGRAM])
            except BlockingIOError:
                break
            except OSError:
                # An ICMP error of an earlier send, delivered here; media say themselves when they stop.
                continue
            start = at + HEADER
            if not self._is_from_peer(sender, channel) or not self._is_ours(buffer, start, size, channel):
                self.foreign_packets += 1
                continue
            buffer[at : at + HEADER] = bytes((MARK, channel, size >> 8, size & 0xFF))
            at = start + size
        try:
            self._reader.end(at, self._loop.time())
        except RemoteProtocolError as error:
            self._on_failure(error)

    def _is_from_peer(self, sender: tuple[str, int], channel: int) -> bool:
        return sender[0] == self._peer and sender[1] == self._sender_ports.get(channel, sender[1])

    def _is_ours(self, buffer: bytearray, start: int, size: int, channel: int) -> bool:
        if size >= MAX_DATAGRAM:
            return False
        if channel % 2:
            return True
        if size < _RTP_HEADER or buffer[start] >> 6 != 2:
            return False
        ssrc = int.from_bytes(buffer[start + 8 : start + 12], "big")
        return self._ssrcs.setdefault(channel, ssrc) == ssrc
