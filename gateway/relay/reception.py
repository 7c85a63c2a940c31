"""How well one relay's source is received over all its sessions: packets lost, late, foreign; jitter; loss rate."""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

WINDOW: Final = 60.0
"""Seconds over which the share of lost packets is told."""
_SLOT: Final = 5.0
"""Seconds between two marks in that window: a dozen marks a relay are enough."""


@dataclass
class Reception:
    """Running totals of the RTP packets over UDP; over TCP nothing but the jitter is known.

    A packet is counted once: passed on, or as one of `duplicates`, `late` and `foreign`. `lost` counts
    what was passed over, so a packet that is late is lost as well.
    """

    passed: int = 0
    "Passed on."
    lost: int = 0
    "Never came, or too late to be passed on."
    late: int = 0
    "Came when they had been given up; dropped."
    reordered: int = 0
    "Came behind a later one and in time; passed on in order."
    duplicates: int = 0
    "Came twice; dropped."
    foreign: int = 0
    "Datagrams dropped: another sender's, another SSRC's, no RTP, or too long."
    kernel_drops: int = 0
    "Datagrams that the kernel dropped because this worker was too slow; they are among `lost`."
    restarts: int = 0
    "How often the source restarted its stream: a jump of its sequence, or another SSRC, which ends the session."
    jitter: float = 0.0
    "Seconds (RFC 3550, 6.4.1), of the video."
    _marks: deque[tuple[float, int, int]] = field(default_factory=deque)

    def loss(self, now: float) -> float:
        """Return the share of packets lost in the last `WINDOW` seconds, 0 to 1; call it about once a second."""
        marks = self._marks
        if not marks or now - marks[-1][0] >= _SLOT:
            marks.append((now, self.passed, self.lost))
        # The oldest mark kept is the newest of those that are `WINDOW` old, so the window is never shorter.
        while len(marks) > 1 and now - marks[1][0] >= WINDOW:
            marks.popleft()
        _, passed, lost = marks[0]
        lost = self.lost - lost
        expected = self.passed - passed + lost
        return lost / expected if expected > 0 else 0.0
