"""How the benchmark's source sends by UDP: packet by packet, in bursts (GSO), out of order, with losses."""

import socket
from contextlib import suppress
from itertools import groupby
from types import TracebackType
from typing import Final, Self

DISTURBANCES: Final = ("", "gso", "reordered", "lossy")
"""In order; likewise but by the kernel's GSO, as a network card's GRO brings it; every 16th packet three
places late; every 100th packet missing."""
SOL_UDP: Final = 17
UDP_SEGMENT: Final = 103
_MOST_SEGMENTS: Final = 40
"""Below the kernel's bounds of 64 segments and 64 kB."""


class DatagramSender:
    """The datagrams of one source to one receiver."""

    def __init__(self, disturbance: str) -> None:
        if disturbance not in DISTURBANCES:
            raise ValueError(f"no disturbance {disturbance!r}")
        self._disturbance = disturbance
        self._rtp: socket.socket | None = None
        self._sent = 0
        self._late: list[tuple[int, bytes]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._rtp is not None:
            self._rtp.close()

    @property
    def is_open(self) -> bool:
        """Whether UDP was asked for."""
        return self._rtp is not None

    def open(self, client_port: int) -> tuple[int, int]:
        """Send to `client_port` from now on; return our RTP and RTCP port."""
        self._rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._rtp.bind(("127.0.0.1", 0))
        self._rtp.connect(("127.0.0.1", client_port))
        self._rtp.setblocking(False)
        port = self._rtp.getsockname()[1]
        return port, port + 1

    def send(self, frames: bytes) -> None:
        """Send what stands in interleaved `frames`, as disturbed as asked for."""
        assert self._rtp is not None
        packets = list(_packets(frames))
        with suppress(BlockingIOError, ConnectionRefusedError):
            if self._disturbance == "gso":
                self._send_bursts(packets)
                return
            for packet in self._disturbed(packets):
                self._rtp.send(packet)

    def _send_bursts(self, packets: list[bytes]) -> None:
        assert self._rtp is not None
        for size, group in groupby(packets, len):
            same = list(group)
            for at in range(0, len(same), _MOST_SEGMENTS):
                segment = size.to_bytes(2, "little")
                self._rtp.sendmsg(
                    [b"".join(same[at : at + _MOST_SEGMENTS])], [(SOL_UDP, UDP_SEGMENT, segment)]
                )

    def _disturbed(self, packets: list[bytes]) -> list[bytes]:
        if not self._disturbance:
            return packets
        sent: list[bytes] = []
        for packet in packets:
            self._sent += 1
            if self._disturbance == "lossy" and self._sent % 100 == 0:
                continue
            if self._disturbance == "reordered" and self._sent % 16 == 0:
                self._late.append((self._sent + 3, packet))
                continue
            sent.append(packet)
            while self._late and self._late[0][0] <= self._sent:
                sent.append(self._late.pop(0)[1])
        return sent


def _packets(frames: bytes) -> list[bytes]:
    packets, at = [], 0
    while at < len(frames):
        after = at + 4 + (frames[at + 2] << 8 | frames[at + 3])
        packets.append(frames[at + 4 : after])
        at = after
    return packets
