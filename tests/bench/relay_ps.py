"""The benchmark's stream as devices of GB/T 28181 send it: program streams in RTP, over UDP or a connection they make.

An invitation is a line to the sources' port, `PS <source> <tcp|udp> <port>`; whoever sent it hangs up to end it.
"""

import socket
from collections.abc import Iterator
from typing import Final

from adapters.simulator.ps_mux import PsWriter, stamp_of
from tests.bench.relay_stream import SEI, mark, stamp

MOST_BEHIND: Final = 8 * 1024 * 1024
"""Bytes that may wait for a peer that does not read; of more the connection is closed, as a device would."""
_SEQUENCE_AT: Final = 2
_CODE: Final = b"\0\0\0\1"


class RenderedPack:
    """One picture as a pack in framed RTP packets, made once; a sender only writes its numbers into it.

    Args:
        units: NAL units of the picture.
        head: octets of length before each packet: 2 over TCP (RFC 4571), 4 where `$` and a channel stand in front.
    """

    def __init__(self, units: list[bytes], head: int) -> None:
        writer = PsWriter("H264")
        is_key = any(unit[0] & 0x1F == 5 for unit in units)
        pack = writer.picture(_CODE + _CODE.join([SEI, *units]), 0, is_key=is_key)
        data, offsets = bytearray(), [0]
        for packet in writer.rtp(pack, 0, 0, 0):
            data += (b"$\0" if head == 4 else b"") + len(packet).to_bytes(2, "big") + packet
            offsets.append(len(data))
        self.data: Final = data
        self.view: Final = memoryview(data)
        self.offsets: Final = tuple(offsets)
        self._head = head
        self._pts_at = data.index(b"\0\0\1\xe0") + 9
        self._mark_at = data.index(SEI) + 3

    @property
    def packets(self) -> int:
        """Return how many packets the picture has."""
        return len(self.offsets) - 1

    def mark(self, source: int, number: int, now: float) -> None:
        """Write source, number and send time into the SEI."""
        text = mark(source, number) + stamp(now)
        self.data[self._mark_at : self._mark_at + len(text)] = text

    def number(self, first: int, last: int, sequence: int, timestamp: int, source: int) -> None:
        """Write the numbers of packets `first` to `last - 1`, and the picture's time where it begins."""
        data, at_number = self.data, self._head + _SEQUENCE_AT
        numbers = timestamp.to_bytes(4, "big") + source.to_bytes(4, "big")
        for at in self.offsets[first:last]:
            data[at + at_number : at + at_number + 10] = (sequence & 0xFFFF).to_bytes(2, "big") + numbers
            sequence += 1
        if first == 0:
            data[self._pts_at : self._pts_at + 5] = stamp_of(0x2, timestamp)

    def all(self) -> Iterator[memoryview]:
        """Return every packet with what stands before it."""
        return (self.view[begin:end] for begin, end in zip(self.offsets, self.offsets[1:], strict=False))


class ConnectionOfDevice:
    """A connection that a device makes for its media."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=5.0)
        self._socket.setblocking(False)
        self._behind = bytearray()

    def send(self, frames: memoryview) -> None:
        """Send packets at once; what the peer does not take is kept, bounded."""
        self._behind += frames
        try:
            sent = self._socket.send(self._behind)
        except BlockingIOError:
            sent = 0
        except OSError:
            # It is over, as whoever sent the invitation will tell.
            self._behind.clear()
            return
        del self._behind[:sent]
        if len(self._behind) > MOST_BEHIND:
            self.close()

    def close(self) -> None:
        self._behind.clear()
        self._socket.close()
