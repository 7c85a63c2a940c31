"""The benchmark's sources, one process for all: `python -m tests.bench.relay_source OPTIONS`.

Serves any number of sources at `/<number>`. A picture is rendered once for all of them, so that what
a source costs is the kernel's send. Prints its port; then obeys `reset` and `report`.
"""

import asyncio
import base64
import dataclasses
import heapq
import json
import os
import random
import socket
import ssl
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol, cast

import uvloop

from gateway.descriptors import raise_file_limit
from tests.bench.relay_dialogue import Dialogue, obey
from tests.bench.relay_ps import ConnectionOfDevice, RenderedPack
from tests.bench.relay_stream import HEADER, MARK, RATE, Rendered, parameter_sets, split, timestamp_of

TICK: Final = 0.001
"""Seconds between two looks at who is due, at least: the finest that libuv's timers allow."""
SPREAD: Final = 0.9
"""Part of a picture's interval over which its packets are spread."""
MOST_AT_ONCE: Final = 500
"""Sends in one go."""
MOST_LATE: Final = 0.2
"""Seconds after which a source does not catch up with its plan any more: no camera sends a second's worth at once."""
MOST_BEHIND: Final = 8 * 1024 * 1024
"""Bytes that may wait for a peer that does not read; then it is cut off, as a camera would."""


class Mode(StrEnum):
    """How a source sends a picture's packets."""

    FRAME = "frame"
    "All in one send."
    PACKET = "packet"
    "One send a packet, spread over the picture's interval."
    BURST = "burst"
    "One send a packet, back to back."


@dataclass(frozen=True)
class SourceOptions:
    """What the sources of one process are like."""

    stream: str
    "File of `relay_stream.encode_raw`."
    mode: Mode = Mode.FRAME
    loss: float = 0.0
    "Part of the datagrams that are lost on the way; UDP only."
    certificate: str | None = None
    "PEM file of certificate and key: RTSPS."

    def __str__(self) -> str:
        return json.dumps(dataclasses.asdict(self))


Picture = Rendered | RenderedPack


class Wire(Protocol):
    """Where a source's packets go."""

    def send(self, frames: memoryview) -> None:
        """Send interleaved frames at once; what the peer does not take is kept, bounded."""
        ...


class TcpWire:
    """A plain connection: the kernel is given the shared bytes themselves."""

    def __init__(self, transport: asyncio.Transport, *, is_plain: bool) -> None:
        self._transport = transport
        self._socket: socket.socket | None = None
        if is_plain:
            sock = transport.get_extra_info("socket")
            self._socket = socket.socket(fileno=os.dup(sock.fileno()))

    def send(self, frames: memoryview) -> None:
        transport, sent = self._transport, 0
        behind = transport.get_write_buffer_size()
        if behind > MOST_BEHIND:
            transport.abort()
            return
        if self._socket is not None and not behind:
            try:
                sent = self._socket.send(frames)
            except BlockingIOError:
                pass
            except OSError:
                transport.abort()
                return
        if sent < len(frames):
            transport.write(bytes(frames[sent:]))

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()


class UdpWire:
    """A pair of UDP ports; loses what the seeded dice say."""

    def __init__(self, peer: str, loss: float, seed: int) -> None:
        self._loss = loss
        self._dice = random.Random(seed)
        self._pair = _pair()
        self._peer = peer
        self.lost_marks = 0
        "Lost packets that hold a mark: as many pictures the other end cannot see."

    def bind(self, port: int) -> int:
        """Send to the peer's `port` from now on; return our own."""
        self._pair[0].connect((self._peer, port))
        return int(self._pair[0].getsockname()[1])

    def send(self, frames: memoryview) -> None:
        at = 0
        while at < len(frames):
            end = at + HEADER + int.from_bytes(frames[at + 2 : at + HEADER], "big")
            if self._loss and self._dice.random() < self._loss:
                self.lost_marks += MARK in bytes(frames[at:end])
            else:
                try:
                    self._pair[0].send(frames[at + HEADER : end])
                except OSError:
                    # The peer is gone, as its RTSP connection will tell, or the kernel has no room.
                    return
            at = end

    def close(self) -> None:
        for sock in self._pair:
            sock.close()


def _pair() -> tuple[socket.socket, socket.socket]:
    while True:
        rtp, rtcp = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        rtp.bind(("127.0.0.1", 0))
        port = rtp.getsockname()[1]
        if port % 2 == 0:
            try:
                rtcp.bind(("127.0.0.1", port + 1))
            except OSError:
                pass
            else:
                rtp.setblocking(False)
                return rtp, rtcp
        rtp.close()
        rtcp.close()


class Sender:
    """Send one source's pictures to one peer."""

    def __init__(
        self, source: int, pictures: Sequence[Picture], mode: Mode, wire: Wire, begin: float
    ) -> None:
        self._source = source
        self._pictures = pictures
        self._mode = mode
        self._wire = wire
        self._begin = begin
        self._number = 0
        self._packet = 0
        self._sequence = 0
        self.is_ended = False

    def postpone(self, duration: float) -> None:
        """Send all that is still to come `duration` seconds later than planned."""
        self._begin += duration

    def step(self, now: float) -> float:
        """Send what is due at `now`, a picture or a packet; return when the next one is."""
        picture = self._pictures[self._number % len(self._pictures)]
        first, last = 0, picture.packets
        if self._mode is Mode.PACKET:
            first, last = self._packet, self._packet + 1
        if first == 0:
            picture.mark(self._source, self._number, now)
        picture.number(first, last, self._sequence, timestamp_of(self._number), self._source)
        self._sequence += last - first
        if self._mode is Mode.BURST:
            for packet in picture.all():
                self._wire.send(packet)
        else:
            self._wire.send(picture.view[picture.offsets[first] : picture.offsets[last]])
        if last == picture.packets:
            self._number, self._packet = self._number + 1, 0
            return self._begin + self._number / RATE
        self._packet = last
        return self._begin + (self._number + SPREAD * last / picture.packets) / RATE


class Schedule:
    """All senders, in the order in which they are due."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, Sender]] = []
        self._entries = 0
        self._loop = asyncio.get_running_loop()
        self.late: list[float] = []
        "By how many seconds sends came too late."

    def add(self, sender: Sender, due: float) -> None:
        if not self._due:
            self._loop.call_later(TICK, self._tick)
        self._entries += 1
        heapq.heappush(self._due, (due, self._entries, sender))

    def _tick(self) -> None:
        due, monotonic = self._due, time.monotonic
        # At most so many: a process that is short of CPU must still answer requests.
        for _ in range(MOST_AT_ONCE):
            if not due or due[0][0] > (now := monotonic()):
                break
            at, entry, sender = due[0]
            if sender.is_ended:
                heapq.heappop(due)
                continue
            self.late.append(now - at)
            if now - at > MOST_LATE:
                sender.postpone(now - at)
            heapq.heapreplace(due, (sender.step(now), entry, sender))
        if due:
            self._loop.call_later(max(TICK, due[0][0] - monotonic()), self._tick)


class SourceConnection(asyncio.Protocol):
    """One peer that pulls one source."""

    def __init__(self, sources: "Sources") -> None:
        self._sources = sources
        self._dialogue = Dialogue(sources.sdp, self._bind)
        self._transport: asyncio.Transport | None = None
        self._udp: UdpWire | None = None
        self._tcp: TcpWire | None = None
        self._device: ConnectionOfDevice | None = None
        self._sender: Sender | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        if data.startswith(b"PS "):
            self._invited(data)
            return
        out = self._dialogue.receive(data)
        if out:
            self._transport.write(out)
        if self._dialogue.method == b"PLAY" and self._sender is None:
            if self._udp is None:
                self._tcp = TcpWire(self._transport, is_plain=self._sources.options.certificate is None)
            wire = self._udp or self._tcp
            assert wire is not None
            self._sender = self._sources.play(self._dialogue.source, wire)

    def _invited(self, line: bytes) -> None:
        """Send a program stream to whoever invites, from before the answer on, as many devices do."""
        assert self._transport is not None
        _, source, over, port = line.split()
        self._dialogue.source = int(source)
        if over == b"udp":
            self._bind(int(port))
        else:
            self._device = ConnectionOfDevice(int(port))
        wire = self._udp or self._device
        assert wire is not None
        self._sender = self._sources.play(int(source), wire, head=4 if over == b"udp" else 2)
        self._transport.write(b"OK\n")

    def connection_lost(self, exc: Exception | None) -> None:
        if self._sender is not None:
            self._sender.is_ended = True
        for wire in (self._udp, self._tcp, self._device):
            if wire is not None:
                wire.close()

    def _bind(self, port: int) -> int:
        assert self._transport is not None
        peer = self._transport.get_extra_info("peername")[0]
        self._udp = UdpWire(peer, self._sources.options.loss, seed=self._dialogue.source)
        self._sources.udp.append(self._udp)
        return self._udp.bind(port)


class Sources:
    """All sources of this process."""

    def __init__(self, options: SourceOptions) -> None:
        pictures = split(Path(options.stream).read_bytes())
        sets = ",".join(base64.b64encode(unit).decode() for unit in parameter_sets(pictures))
        self.options = options
        self.sdp = (
            "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=bench\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n"
            "a=rtpmap:96 H264/90000\r\n"
            f"a=fmtp:96 packetization-mode=1;sprop-parameter-sets={sets}\r\na=control:track1\r\n"
        ).encode()
        self.udp: list[UdpWire] = []
        self._pictures: list[Picture] = [Rendered(units) for units in pictures]
        self._packed: dict[int, list[Picture]] = {}
        self._units = pictures
        self._schedule = Schedule()

    def play(self, source: int, wire: Wire, *, head: int = 0) -> Sender:
        """Let a source play; with `head` as a program stream with so many octets before each packet."""
        pictures = self._packs(head) if head else self._pictures
        # Spread over the interval (by the golden ratio): cameras do not send at the same instant.
        begin = time.monotonic() + (source * 0.618 % 1) / RATE
        sender = Sender(source, pictures, self.options.mode, wire, begin)
        self._schedule.add(sender, begin)
        return sender

    def _packs(self, head: int) -> list[Picture]:
        if head not in self._packed:
            self._packed[head] = [RenderedPack(units, head) for units in self._units]
        return self._packed[head]

    def reset(self, _: object) -> object:
        self._schedule.late.clear()
        for wire in self.udp:
            wire.lost_marks = 0
        return None

    def report(self, _: object) -> object:
        late = sorted(self._schedule.late) or [0.0]
        return {
            "late_p99": late[int(len(late) * 0.99)],
            "lost_marks": sum(wire.lost_marks for wire in self.udp),
        }


async def main() -> None:
    fields = json.loads(sys.argv[1])
    options = SourceOptions(**{**fields, "mode": Mode(fields["mode"])})
    sources = Sources(options)
    context = None
    if options.certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.certificate)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SourceConnection(sources), "127.0.0.1", 0, ssl=context, backlog=1024
    )
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201 - the benchmark reads it
    await obey({"reset": sources.reset, "report": sources.report})


if __name__ == "__main__":
    raise_file_limit()
    uvloop.run(main())
