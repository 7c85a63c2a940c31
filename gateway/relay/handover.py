"""Hands accepted connections to a worker: one packet each on a socket pair of its own, the descriptor beside it.

The door in the control plane decides who may pull what; the media then flow between the client and the worker that
holds the source, without another process in between. A descriptor crosses by SCM_RIGHTS (unix(7)); the pair is
SOCK_SEQPACKET, so that a packet and its descriptor arrive together or not at all.
"""

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Final

from gateway.relay.protocol import ServeReader, Shutdown
from gateway.relay.wire import decode_command, encode

logger = logging.getLogger(__name__)

MAX_PACKET: Final = 64 * 1024
"""Bytes of one packet; what a client may have sent before it was admitted fits four times."""
_AT_ONCE: Final = 32
"""Connections taken in one round; others get their turn."""


def make_pair() -> tuple[socket.socket, socket.socket]:
    """Return the control plane's end and the worker's, neither of which ever blocks."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    theirs.setblocking(False)
    return ours, theirs


def hand_over(way: socket.socket, reader: ServeReader, connection: socket.socket) -> bool:
    """Give `connection` to the worker at the other end of `way`; the caller closes its own copy in any case.

    Returns:
        Whether the worker was given it; false when too many wait there already, or it is gone.
    """
    try:
        socket.send_fds(way, [encode(reader)], [connection.fileno()])
    except OSError as error:
        logger.warning(
            "reader %d not handed over: %s", reader.reader_id, error, extra={"action": "handover_failed"}
        )
        return False
    return True


class Receiver:
    """The worker's end.

    Args:
        way: the socket; closed by `close`.
        take: is given each connection, and owns it from then on; None where this process had no descriptor left
            for it, and the client sees its connection closed.
    """

    def __init__(self, way: socket.socket, take: Callable[[ServeReader, socket.socket | None], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._way = way
        self._take = take
        self._loop.add_reader(way.fileno(), self._read)

    def close(self) -> None:
        """Take no more."""
        if self._way.fileno() >= 0:
            self._loop.remove_reader(self._way.fileno())
            self._way.close()

    def _read(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                packet, descriptors, _, _ = socket.recv_fds(self._way, MAX_PACKET, 1)
            except BlockingIOError:
                return
            except OSError as error:
                logger.warning("no client handed over: %s", error, extra={"action": "handover_lost"})
                return
            if not packet:
                self.close()
                return
            self._receive(packet, descriptors)

    def _receive(self, packet: bytes, descriptors: list[int]) -> None:
        connections = [socket.socket(fileno=descriptor) for descriptor in descriptors]
        try:
            command = decode_command(packet)
        except ValueError:
            command = Shutdown()
        if isinstance(command, ServeReader) and len(connections) < 2:
            for connection in connections:
                connection.setblocking(False)
            self._take(command, connections[0] if connections else None)
            return
        logger.error("a packet that hands nothing over", extra={"action": "handover_wrong"})
        for connection in connections:
            connection.close()
