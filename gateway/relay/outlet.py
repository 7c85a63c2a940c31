"""What one taker of a stream is sent: over its connection while that keeps up, through its queue when it does not."""

import asyncio
import socket
from collections.abc import Iterable
from typing import Any, Final

from adapters.errors import PeerTimeout
from gateway.relay.chunk import MediaChunk, remap
from gateway.relay.connection import RtspConnection
from gateway.relay.queue import SinkQueue

WRITE_BUFFER: Final = 256 * 1024
"""Bytes in the transport above which chunks wait in the queue, where they can still be dropped."""
KERNEL_BUFFER: Final = 512 * 1024
"""SO_SNDBUF: what lies in the kernel can be dropped no more, so it is kept short."""


class Outlet:
    """The media way out to one taker; open while its connection may be sent media.

    Args:
        queue: what waits; its counters outlive this object.
        stalled: seconds in which a taker takes not one byte of what waits before its connection is given up.
        peer: `host:port` of the taker, for errors.
    """

    def __init__(self, queue: SinkQueue, stalled: float, peer: str) -> None:
        self.queue: Final = queue
        self._stalled = stalled
        self._peer = peer
        self._connection: RtspConnection[Any] | None = None
        self._channels: dict[int, int] = {}
        self._progress = (0, 0.0)
        "Bytes that the kernel has taken, and when that last grew."

    def open(
        self,
        connection: RtspConnection[Any],
        channels: dict[int, int],
        first: Iterable[MediaChunk],
        now: float,
    ) -> None:
        """Send media over `connection` from now on.

        Args:
            connection: to the taker, ready for media.
            channels: which channel of the chunks becomes which; empty when all stay as they are.
            first: the group of pictures under way, for a start on a key picture at once; may be empty.
            now: monotonic seconds.
        """
        self.queue.clear()
        self._channels = channels
        self._progress = (self.queue.bytes_out, now)
        self._connection = connection
        for chunk in first:
            self.offer(chunk)

    def close(self) -> None:
        """Send no more media; what waits is forgotten."""
        self._connection = None
        self.queue.clear()

    def offer(self, chunk: MediaChunk) -> None:
        """Send `chunk`, let it wait, or drop it; never blocks, never raises."""
        connection = self._connection
        if connection is None or connection.ended.done():
            return
        if self._channels:
            chunk = remap(chunk, self._channels)
        if not connection.is_congested and self.queue.passes(chunk):
            connection.transport.write(chunk.data)
            return
        self.queue.offer(chunk)
        self.flush()

    def flush(self) -> None:
        """Send what waits, as far as the connection takes it."""
        connection = self._connection
        while connection is not None and not connection.is_congested and not connection.ended.done():
            chunk = self.queue.take()
            if chunk is None:
                return
            connection.transport.write(chunk.data)

    def tick(self, now: float) -> None:
        """Give up a taker that has taken nothing of what waits for too long."""
        connection = self._connection
        if connection is None or connection.ended.done():
            return
        left = connection.transport.get_write_buffer_size()
        taken, since = self.queue.bytes_out - left, self._progress[1]
        if left == 0 or taken > self._progress[0]:
            self._progress = (taken, now)
        elif now - since >= self._stalled:
            connection.fail(PeerTimeout(f"took nothing for {self._stalled:g} s", peer=self._peer))


def configure(transport: asyncio.Transport) -> None:
    """Keep short what a slow taker can make us hold beyond its queue, and notice one that is gone."""
    transport.set_write_buffer_limits(high=WRITE_BUFFER, low=WRITE_BUFFER // 4)
    sock = transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BUFFER)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
