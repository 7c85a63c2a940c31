"""Datagrams of one UDP socket, read in batches and framed as on TCP: `$`, channel, length, packet.

Each is read to where its frame belongs in the worker's buffer, so a packet in order costs no copy.
Where the kernel has UDP_GRO, one read brings a burst of datagrams, which are then framed one by one.
"""

import contextlib
import socket
import struct
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Final, Protocol

from adapters.errors import PeerClosed
from adapters.media.receiver import ReceiverStatistics
from adapters.media.rtp import HEADER as RTP_HEADER
from gateway.relay.chunk import HEADER, MARK
from gateway.relay.reader import BUFFER_SIZE, SharedBuffer
from gateway.relay.reception import Reception
from gateway.relay.reorder import ReorderWindow, SsrcPin

MAX_DATAGRAM: Final = 2048
"""Longer datagrams are dropped: RTP of cameras stays below an Ethernet frame."""
MAX_BURST: Final = 0xFFFF
"""Bytes that one read may bring."""
MAX_BATCH: Final = 512
"""Reads of one socket in one round; a flood leaves its neighbours their turn."""
RECEIVE_BUFFER: Final = 4 * 1024 * 1024
"""Bytes asked of the kernel; a key frame may be a burst of hundreds of packets."""

# Not in Python's socket module: linux/udp.h, asm-generic/socket.h.
_SOL_UDP: Final = 17
_UDP_GRO: Final = 104
_SO_RCVBUFFORCE: Final = 33
_SO_RXQ_OVFL: Final = 40
_NUMBER: Final = struct.Struct("=I")
_ANCILLARY_SIZE: Final = 2 * socket.CMSG_SPACE(_NUMBER.size)
_FRAME: Final = struct.Struct(">BBH")
_NEWEST: Final = struct.Struct(">2xHI")
_LAST_START: Final = BUFFER_SIZE - HEADER - MAX_BURST

Sender = tuple[str, int] | tuple[str, int, int, int]


def configure(rtp: socket.socket, *, gro: bool = True) -> None:
    """Ask for bursts, a large buffer, and to be told what did not fit in it; all as far as the kernel has it.

    Raises:
        OSError: the kernel refuses the buffer that every process may ask for.
    """
    with contextlib.suppress(OSError):
        rtp.setsockopt(socket.SOL_SOCKET, _SO_RXQ_OVFL, 1)
    if gro:
        with contextlib.suppress(OSError):
            rtp.setsockopt(_SOL_UDP, _UDP_GRO, 1)
    try:
        rtp.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, RECEIVE_BUFFER)
    except OSError:
        # Not allowed beyond net.core.rmem_max: as much as that gives.
        rtp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)


class FrameReader(Protocol):
    """Takes what was framed; a `ChunkReader`, or what stands in its place."""

    def begin(self) -> int:
        """Return the offset at which the next frame is to be written."""
        ...

    def end(self, end: int, at: float) -> None:
        """Handle the buffer up to `end`, received at monotonic `at`."""
        ...


class Frames:
    """Write frames into the shared buffer, behind what the reader kept; hand them on when it is full."""

    def __init__(self, shared: SharedBuffer, reader: FrameReader) -> None:
        self.bytes = shared.bytes
        self.view = shared.view
        self.at = 0
        "Where the next frame begins."
        self.now = 0.0
        "When this round began, monotonic."
        self._reader = reader

    def begin(self, now: float) -> None:
        """Begin a round."""
        self.now = now
        self.at = self._reader.begin()

    def write(self, channel: int, packet: bytes | memoryview) -> None:
        """Append one frame."""
        size = len(packet)
        if self.at + HEADER + size > BUFFER_SIZE:
            self.turn()
        start = self.at + HEADER
        self.view[start : start + size] = packet
        self.close(channel, size)

    def close(self, channel: int, size: int) -> None:
        """Put the header before a packet of `size` bytes that stands in its place already."""
        _FRAME.pack_into(self.bytes, self.at, MARK, channel, size)
        self.at += HEADER + size

    def turn(self) -> None:
        """Hand on what is there and go on in front: the buffer is full."""
        self.end()
        self.begin(self.now)

    def end(self) -> None:
        """End the round.

        Raises:
            RemoteProtocolError: of the reader.
        """
        self._reader.end(self.at, self.now)


class Intake(Protocol):
    """What becomes of the datagrams of one socket."""

    @property
    def is_waiting(self) -> bool:
        """Whether something is due though nothing more arrives."""
        ...

    def take(self, frames: Frames, size: int, sender: Sender) -> None:
        """Take the datagram of `size` bytes that lies behind the next frame's header; frame it or drop it.

        Raises:
            PeerClosed: it tells that the stream is over.
        """
        ...

    def end(self, frames: Frames) -> None:
        """Do what is due at the end of a round."""
        ...


class RtpIntake:
    """The RTP of one track: pinned to one SSRC, in order, counted."""

    def __init__(
        self, channel: int, pin: SsrcPin, statistics: ReceiverStatistics, reception: Reception
    ) -> None:
        self._channel = channel
        self._pin = pin
        self._window = ReorderWindow(reception)
        self._statistics = statistics
        self._reception = reception
        self._arrived = 0
        self._newest: tuple[int, int] | None = None
        "Sequence number and timestamp of what was passed on last in this round."

    @property
    def is_waiting(self) -> bool:
        """Whether packets wait for a missing one."""
        return bool(self._window.held)

    def take(self, frames: Frames, size: int, sender: Sender) -> None:
        """Frame a packet that is next, let one that is early wait, drop what is not ours."""
        if not RTP_HEADER.size <= size <= MAX_DATAGRAM:
            self._reception.foreign += 1
            return
        first, _, sequence, timestamp, ssrc = RTP_HEADER.unpack_from(frames.bytes, frames.at + HEADER)
        if first >> 6 != 2 or (ssrc != self._pin.ssrc and not self._admits(ssrc, sequence, sender, frames)):
            self._reception.foreign += 1
            return
        self._arrived += 1
        window = self._window
        if sequence == window.expected and not window.held:
            # The way of nearly every packet.
            window.expected = (sequence + 1) & 0xFFFF
            self._reception.passed += 1
            self._newest = (sequence, timestamp)
            frames.close(self._channel, size)
            return
        if self._pin.sender is None:
            self._pin.sender = sender
        start = frames.at + HEADER
        packet = bytes(frames.view[start : start + size])
        self._write(frames, window.receive(sequence, packet, frames.now))

    def end(self, frames: Frames) -> None:
        """Pass on what has waited too long, and bring the statistics up to date."""
        window, pin = self._window, self._pin
        if window.held:
            self._write(frames, window.expire(frames.now))
        if self._newest is not None and pin.ssrc is not None:
            pin.last_at = frames.now
            # What is held counts as arrived once it has been passed on.
            packets, self._arrived = self._arrived - len(window.held), len(window.held)
            self._statistics.receive(pin.ssrc, *self._newest, frames.now, packets)
            self._newest = None

    def _admits(self, ssrc: int, sequence: int, sender: Sender, frames: Frames) -> bool:
        """Return whether another SSRC than the pinned one is taken.

        Raises:
            PeerClosed: it would be, but media of the pinned one went on already. What the source restarts
                with are other sequence numbers, times and perhaps sizes: a new session's, as on TCP.
        """
        if not self._pin.admits(ssrc, sequence, sender, frames.now):
            return False
        if self._window.expected >= 0:
            self._reception.restarts += 1
            raise PeerClosed("restarted its stream under another SSRC")
        return True

    def _write(self, frames: Frames, packets: list[bytes]) -> None:
        for packet in packets:
            frames.write(self._channel, packet)
        if packets:
            self._newest = _NEWEST.unpack_from(packets[-1])


class RtcpIntake:
    """The RTCP of one track; remembers who sends it, for our reports go there."""

    is_waiting: Final = False

    def __init__(self, channel: int, reception: Reception) -> None:
        self._channel = channel
        self._reception = reception
        self.sender: Sender | None = None

    def take(self, frames: Frames, size: int, sender: Sender) -> None:
        """Frame what is RTCP version 2."""
        if not 4 <= size <= MAX_DATAGRAM or frames.bytes[frames.at + HEADER] >> 6 != 2:
            self._reception.foreign += 1
            return
        self.sender = sender
        frames.close(self._channel, size)

    def end(self, frames: Frames) -> None:
        """Nothing is due."""


class DatagramReader:
    """Read one socket; only what comes from the peer's address counts, and port where it told one.

    Args:
        sock: bound, non-blocking.
        peer: the peer's addresses, and its port or None. The kernel holds a connected socket to both, but
            what waited before the connection may be of another stream of the same host.
        frames: of the session.
        intake: takes the datagrams.
        reception: counts.
    """

    def __init__(
        self,
        sock: socket.socket,
        peer: tuple[AbstractSet[str], int | None],
        frames: Frames,
        intake: Intake,
        reception: Reception,
    ) -> None:
        self._sock = sock
        self._hosts, self._port = peer
        self._frames = frames
        self._intake = intake
        self._reception = reception
        self._dropped = 0
        "By the kernel, as it last told."

    @property
    def is_waiting(self) -> bool:
        """Whether another round is due though nothing more arrives."""
        return self._intake.is_waiting

    def read(self, now: float) -> None:
        """Read what waits, and pass it on.

        Raises:
            RemoteProtocolError: of the reader behind `frames`.
            PeerClosed: the stream is over.
        """
        frames, intake, view = self._frames, self._intake, self._frames.view
        frames.begin(now)
        for _ in range(MAX_BATCH):
            start = frames.at + HEADER
            if frames.at > _LAST_START:
                break
            try:
                size, ancillary, _, sender = self._sock.recvmsg_into(
                    [view[start : start + MAX_BURST]], _ANCILLARY_SIZE
                )
            except BlockingIOError:
                break
            except OSError:
                # An ICMP error of an earlier send, delivered here; media say themselves when they stop.
                continue
            segment = self._note(ancillary) if ancillary else 0
            if sender[0] not in self._hosts or self._port not in (None, sender[1]):
                self._reception.foreign += 1
            elif 0 < segment < size:
                self._take_burst(bytes(view[start : start + size]), segment, sender)
            else:
                intake.take(frames, size, sender)
        intake.end(frames)
        frames.end()

    def _take_burst(self, burst: bytes, segment: int, sender: Sender) -> None:
        """Take datagrams of `segment` bytes each, the last perhaps shorter, that were read as one."""
        frames = self._frames
        whole = memoryview(burst)
        for at in range(0, len(burst), segment):
            packet = whole[at : at + segment]
            start = frames.at + HEADER
            if start + len(packet) > BUFFER_SIZE:
                frames.end()
                frames.begin(frames.now)
                start = frames.at + HEADER
            frames.view[start : start + len(packet)] = packet
            self._intake.take(frames, len(packet), sender)

    def _note(self, ancillary: Sequence[tuple[int, int, bytes]]) -> int:
        """Note what the kernel tells beside a read; return the size of a burst's segments, else 0."""
        segment = 0
        for level, kind, data in ancillary:
            if len(data) != _NUMBER.size:
                continue
            number = _NUMBER.unpack(data)[0]
            if (level, kind) == (_SOL_UDP, _UDP_GRO):
                segment = number
            elif (level, kind) == (socket.SOL_SOCKET, _SO_RXQ_OVFL):
                self._reception.kernel_drops += (number - self._dropped) & 0xFFFFFFFF
                self._dropped = number
        return segment
