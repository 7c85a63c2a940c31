"""What a receiver knows of one RTP source: sequence, loss, jitter, sender reports (RFC 3550, A.1, A.3, A.8)."""

from typing import Final

from adapters.media.rtcp import ReportBlock, SenderReport
from adapters.media.rtp import MAX_JUMP

_HALF: Final = 0x8000
_MAX_LOST: Final = 0x7FFFFF


class ReceiverStatistics:
    """Statistics of one track, from the newest packet of each batch alone.

    Nothing here is called for every packet: whoever reads in batches feeds the newest packet of each
    and says how many came with it. Jitter is estimated from these packets alone, so it is coarser
    than a packet-wise one, and as fine as the arrival times are.

    Another SSRC, or a sequence number more than `MAX_JUMP` away, restarts the statistics, as A.1 does.

    Args:
        clock_rate: of the RTP timestamp, Hz.
    """

    def __init__(self, clock_rate: int) -> None:
        self._clock_rate = clock_rate
        self._report: tuple[int, int, float] | None = None
        "SSRC, LSR and arrival of the last sender report."
        self.ssrc: int | None = None
        "Of the source; None before its first packet."
        self.restarts = 0
        "How often the statistics began anew after their first beginning."
        self.highest = 0
        "Extended highest sequence number received."
        self.received = 0
        "Packets received, late and repeated ones included."
        self._base = 0
        self._jitter = 0.0
        self._transit: tuple[int, float] | None = None
        self._before = (0, 0)
        "Packets expected and received at the last report."

    def _begin(self, ssrc: int, sequence: int) -> None:
        if self.ssrc is not None:
            self.restarts += 1
        self.ssrc = ssrc
        self.highest = self._base = sequence
        self.received = 0
        self._jitter, self._transit = 0.0, None
        self._before = (0, 0)

    @property
    def expected(self) -> int:
        """Return how many packets were sent, as the sequence numbers tell."""
        return 0 if self.ssrc is None else self.highest - self._base + 1

    @property
    def lost(self) -> int:
        """Return how many packets are missing; negative where more came than were sent."""
        return self.expected - self.received

    @property
    def jitter(self) -> float:
        """Return the interarrival jitter in seconds."""
        return self._jitter / self._clock_rate

    def receive(
        self, ssrc: int, sequence: int, timestamp: int, at: float, packets: int | None = None
    ) -> None:
        """Take in the newest packet of a batch.

        Args:
            ssrc: of the packet.
            sequence: likewise, 0 to 65535.
            timestamp: likewise, 32 bits.
            at: when it arrived, monotonic seconds.
            packets: how many arrived since the last call, this one included. None on a transport that
                loses nothing: all up to this one.
        """
        step = (sequence - self.highest + _HALF & 0xFFFF) - _HALF
        if ssrc != self.ssrc or not -MAX_JUMP <= step <= MAX_JUMP:
            self._begin(ssrc, sequence)
            # What came before the first packet that is known was never expected.
            step, packets = 0, 1
        if step > 0:
            self.highest += step
        if packets is None:
            self.received = self.expected
        else:
            self.received += packets
        if step >= 0:
            self._note_transit(timestamp, at)

    def _note_transit(self, timestamp: int, at: float) -> None:
        """Bring the jitter up to date (A.8), by differences alone: both clocks begin anywhere."""
        if self._transit is not None:
            ticks = (timestamp - self._transit[0] + 0x80000000 & 0xFFFFFFFF) - 0x80000000
            difference = (at - self._transit[1]) * self._clock_rate - ticks
            self._jitter += (abs(difference) - self._jitter) / 16
        self._transit = (timestamp, at)

    def receive_report(self, report: SenderReport, at: float) -> None:
        """Take in a sender report that arrived at monotonic `at`."""
        self._report = (report.ssrc, report.lsr, at)

    def block(self, now: float) -> ReportBlock | None:
        """Return the report block at monotonic `now`, or None before the first packet.

        Each call begins the next interval of `fraction_lost`.
        """
        if self.ssrc is None:
            return None
        expected, received = self.expected - self._before[0], self.received - self._before[1]
        self._before = (self.expected, self.received)
        missing = expected - received
        fraction = min(255, (missing << 8) // expected) if expected > 0 and missing > 0 else 0
        lsr = dlsr = 0
        if self._report is not None and self._report[0] == self.ssrc:
            lsr = self._report[1]
            dlsr = min(0xFFFFFFFF, max(0, int((now - self._report[2]) * 65536)))
        return ReportBlock(
            self.ssrc,
            fraction,
            max(-_MAX_LOST - 1, min(_MAX_LOST, self.lost)),
            self.highest & 0xFFFFFFFF,
            min(0xFFFFFFFF, int(self._jitter)),
            lsr,
            dlsr,
        )
