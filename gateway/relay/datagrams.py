"""The way out over UDP to one client: RTP and RTCP of each track from a pair of ports of our own. Owns its sockets.

Nothing waits here: what the kernel's send buffer does not take is lost, as it would be on the way. So that no torn
picture goes out, everything up to the next key picture is left out then, and counted.
"""

import asyncio
import errno
import socket
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from gateway.relay.chunk import HEADER, MediaChunk
from gateway.relay.udp import PortPool

SEND_BUFFER: Final = 1024 * 1024
"""Bytes asked of the kernel: a key picture goes out in one go."""
MAX_SEGMENTS: Final = 64
"""Packets that the kernel takes in one call (UDP_MAX_SEGMENTS of older kernels)."""
MAX_BURST: Final = 65_000
"""Bytes that it takes in one call."""
UDP_SEGMENT: Final = 103
"""udp(7): cut what is sent into datagrams of so many bytes; absent from Python's socket module."""
MAX_PACKET: Final = 65_000
_SIZE: Final = struct.Struct("=H")
_DRAINED_AT_ONCE: Final = 64

_NO_SEGMENTS: Final = frozenset({errno.EINVAL, errno.EIO, errno.ENOPROTOOPT, errno.EOPNOTSUPP})
"""What a kernel or an interface without segmentation answers."""


class DatagramOutlet:
    """Send the media of one client by datagrams.

    It starts on the next key picture that comes, not on the kept group of pictures: that would be a burst of a
    megabyte, which few receivers have the buffer for.

    Args:
        pool: gives ports, and keeps those of an ended client out of use for a while.
        local: our address on the client's connection.
        remote: the client's.
        on_report: is called when the client reports by RTCP: a sign of life.
    """

    def __init__(self, pool: PortPool, local: str, remote: str, on_report: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._pool = pool
        self._local = local
        self._remote = remote
        self._on_report = on_report
        self._pairs: dict[int, tuple[socket.socket, socket.socket]] = {}
        self._sockets: Mapping[int, socket.socket] = {}
        "Where the packets of each channel of the stream go; empty while nothing is sent."
        self._waits_for_key = True
        self._has_segments = True
        self.frames_out = 0
        self.bytes_out = 0
        self.dropped_frames = 0

    def bind(self, track: int) -> tuple[int, int]:
        """Return our RTP and RTCP port for `track`.

        Raises:
            LocalResourcesExhausted: none is free.
        """
        if track not in self._pairs:
            pair = self._pairs[track] = self._pool.bind(self._local, self._loop.time())
            pair[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
            self._loop.add_reader(pair[1].fileno(), self._read_reports, pair[1])
        rtp, rtcp = self._pairs[track]
        return rtp.getsockname()[1], rtcp.getsockname()[1]

    def open(self, ports: Mapping[int, tuple[int, int]], channels: Mapping[int, tuple[int, int]]) -> None:
        """Send from now on.

        Args:
            ports: the client's RTP and RTCP port of each track.
            channels: RTP and RTCP channel of each track in the chunks.
        """
        sockets: dict[int, socket.socket] = {}
        for track, pair in self._pairs.items():
            for sock, port, channel in zip(pair, ports.get(track, ()), channels[track], strict=False):
                # The kernel then also drops whatever comes from elsewhere.
                sock.connect((self._remote, port))
                sockets[channel] = sock
        self._sockets = sockets
        self._waits_for_key = True

    def pause(self) -> None:
        """Send nothing until the next `open`."""
        self._sockets = {}

    def close(self) -> None:
        """Close the sockets; their ports rest."""
        self._sockets = {}
        for rtp, rtcp in self._pairs.values():
            self._pool.retire(rtp.getsockname()[1], self._loop.time())
            self._loop.remove_reader(rtcp.fileno())
            rtp.close()
            rtcp.close()
        self._pairs.clear()

    def offer(self, chunk: MediaChunk) -> None:
        """Send `chunk` now, or leave it out."""
        if not self._sockets:
            return
        if self._waits_for_key:
            if not chunk.keys:
                self.dropped_frames += len(chunk.pictures) if self.frames_out else 0
                return
            chunk = chunk.since(chunk.keys[-1])
            self._waits_for_key = False
        try:
            for sock, packets in bursts(chunk.data, self._sockets):
                self._send(sock, packets)
        except OSError as error:
            # Full, or the client's port is closed: its reports, or the connection, tell when it is gone.
            if error.errno in (errno.EAGAIN, errno.ENOBUFS):
                self._waits_for_key = True
                self.dropped_frames += len(chunk.pictures)
            return
        self.frames_out += len(chunk.pictures)
        self.bytes_out += len(chunk.data)

    def _send(self, sock: socket.socket, packets: list[memoryview]) -> None:
        if len(packets) > 1 and self._has_segments:
            size = _SIZE.pack(len(packets[0]))
            try:
                sock.sendmsg(packets, [(socket.SOL_UDP, UDP_SEGMENT, size)])
            except OSError as error:
                if error.errno not in _NO_SEGMENTS:
                    raise
                self._has_segments = False
            else:
                return
        for packet in packets:
            sock.send(packet)

    def _read_reports(self, sock: socket.socket) -> None:
        for _ in range(_DRAINED_AT_ONCE):
            try:
                data, (host, *_) = sock.recvfrom(2048)
            except OSError:
                return
            if host == self._remote and data:
                self._on_report()


def bursts(
    data: bytes, sockets: Mapping[int, socket.socket]
) -> Iterator[tuple[socket.socket, list[memoryview]]]:
    """Yield the packets in interleaved frames, as many together as the kernel cuts apart again.

    Packets of one call go to one socket and have the size of the first; only the last may be shorter.
    """
    view, at = memoryview(data), 0
    target: socket.socket | None = None
    packets: list[memoryview] = []
    total = 0
    while at < len(data):
        length = data[at + 2] << 8 | data[at + 3]
        sock = sockets.get(data[at + 1])
        packet = view[at + HEADER : at + HEADER + length]
        at += HEADER + length
        if sock is None or not 0 < length <= MAX_PACKET:
            continue
        fits = (
            sock is target
            and len(packets[-1]) == len(packets[0]) >= length
            and len(packets) < MAX_SEGMENTS
            and total + length <= MAX_BURST
        )
        if not fits:
            if target is not None:
                yield target, packets
            target, packets, total = sock, [], 0
        packets.append(packet)
        total += length
    if target is not None:
        yield target, packets
