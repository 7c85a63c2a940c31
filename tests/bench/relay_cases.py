"""The benchmark's cases: what sources, way and takers are like in each."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from tests.bench.relay_source import Mode

BITRATE: Final = 4_000_000

_SENDERS: Final = MappingProxyType(
    {
        Mode.FRAME: "a picture a send",
        Mode.PACKET: "a send a packet, spread over the picture's interval",
        Mode.BURST: "a send a packet, back to back",
    }
)


@dataclass(frozen=True)
class Case:
    """One piece of work, the same for every contender."""

    name: str
    streams: int
    mode: Mode = Mode.FRAME
    readers: int = 0
    "Readers of each stream, who pull from the contender; 0: the contender pushes to one sink each."
    udp: bool = False
    "UDP from the source; towards sinks and readers it is always TCP."
    loss: float = 0.0
    tls: bool = False
    "RTSPS on both sides."
    slow: bool = False
    "A quarter of the sinks read at half the rate."
    program_stream: bool = False
    "The sources are no RTSP servers but devices that are invited (GB/T 28181)."
    bitrate: int = BITRATE
    settle: float = 1.0
    "Seconds between the arrival of every stream and the first window's begin."

    def outgoing(self, streams: int) -> int:
        """Return how many streams leave a contender that takes `streams` in: what is counted."""
        return streams * max(1, self.readers)

    def __str__(self) -> str:
        way = "UDP" if self.udp else "RTSPS" if self.tls else "TCP"
        if self.program_stream:
            way = f"PS over {way}"
        loss = f" with {self.loss:.0%} loss" if self.loss else ""
        out = f"pulled by {self.readers} each" if self.readers else "pushed to a sink each"
        slow = ", a quarter of them at half the rate" if self.slow else ""
        return (
            f"{self.name}: {self.streams} of {self.bitrate / 1e6:g} Mbit/s over {way}{loss}"
            f" ({_SENDERS[self.mode]}), {out}{slow}"
        )


_ALL: Final = (
    Case("push-10", 10),
    Case("push-50", 50),
    Case("push-100", 100),
    Case("push-500", 500, bitrate=1_000_000),
    Case("push-packet-50", 50, Mode.PACKET),
    Case("push-packet-100", 100, Mode.PACKET),
    Case("push-burst-50", 50, Mode.BURST),
    Case("pull-10", 10, readers=1),
    Case("pull-50", 50, readers=1),
    Case("pull-100", 100, readers=1),
    Case("fan-out-200", 1, readers=200),
    Case("udp-50", 50, Mode.PACKET, udp=True),
    Case("udp-loss-50", 50, Mode.PACKET, udp=True, loss=0.01),
    Case("ps-tcp-50", 50, program_stream=True),
    Case("ps-udp-50", 50, Mode.PACKET, udp=True, program_stream=True),
    Case("rtsps-20", 20, tls=True),
    # Long enough for the queues of the slow sinks to be full.
    Case("slow-40", 40, slow=True, settle=12.0),
)
CASES: Final[Mapping[str, Case]] = MappingProxyType({case.name: case for case in _ALL})
SHORT: Final = ("push-50", "push-packet-50", "pull-50", "udp-50", "ps-tcp-50", "ps-udp-50")
"""What is run when nothing is chosen."""
