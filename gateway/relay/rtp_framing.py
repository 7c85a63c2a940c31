"""RTP packets in a TCP connection (RFC 4571), and in the framings that devices use in its place. Sans-IO.

Two octets of length stand before each packet. Some devices send RTSP's `$` and a channel in front of them, and some a
private preamble of 256 octets first (GB/T 28181 devices of old, EHOME): both are told by the first packet.
"""

from collections.abc import Iterator
from typing import Final

from adapters.errors import RemoteProtocolError

MAX_PACKET: Final = 0xFFFF
PREAMBLE: Final = 256
_SEARCHED: Final = 2_048
"""Octets in which the first packet must be found."""


class RtpFramer:
    """Cut one connection's bytes into RTP packets."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._skip = -1
        "Octets before each length; -1 until the first packet told."

    def receive(self, data: bytes) -> Iterator[memoryview]:
        """Yield the packets that are whole now; each stays valid.

        Raises:
            RemoteProtocolError: what comes is no RTP in any framing that we know.
        """
        self._held += data
        if self._skip < 0 and not self._find():
            return
        held, skip, at = bytes(self._held), self._skip, 0
        view = memoryview(held)
        while at + skip + 2 <= len(held):
            begin = at + skip + 2
            size = held[begin - 2] << 8 | held[begin - 1]
            if begin + size > len(held):
                break
            if size >= 12:
                if held[begin] >> 6 != 2:
                    raise RemoteProtocolError("no RTP where a packet should be", received=held[at : at + 64])
                yield view[begin : begin + size]
            at = begin + size
        del self._held[:at]

    def _find(self) -> bool:
        """Find the first packet and with it the framing; return whether it is known."""
        for begin in (0, PREAMBLE):
            found = self._framing(begin)
            if found is None:
                return False
            if found >= 0:
                self._skip = found
                del self._held[:begin]
                return True
        if len(self._held) >= _SEARCHED:
            raise RemoteProtocolError("no RTP on this connection", received=bytes(self._held))
        return False

    def _framing(self, begin: int) -> int | None:
        """Return how many octets stand before each length if frames begin at `begin`, -1 for none, None for unknown."""
        held = self._held
        if len(held) < begin + 6:
            return None
        if held[begin] == 0x24 and held[begin + 4] >> 6 == 2:
            return 2
        size = held[begin] << 8 | held[begin + 1]
        return 0 if held[begin + 2] >> 6 == 2 and size >= 12 else -1
