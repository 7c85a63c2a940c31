"""The RTP packets of one track in the order they were sent, and of one sender alone. Sans-IO.

Over UDP packets come out of order, twice, late or never, and now and then from somebody else. What
leaves here is in order and nothing twice; a gap is passed on as a gap once waiting would help no more.
"""

from dataclasses import dataclass
from typing import Final

from adapters.media.rtp import MAX_JUMP
from gateway.relay.reception import Reception

DEPTH: Final = 64
"""Packets of a track that wait for a missing one at most: 160 ms at 4 Mbit/s, but see `PATIENCE`."""
PATIENCE: Final = 0.03
"""Seconds that they wait at most: three ticks. Networks that deliver by several paths differ by less."""
MAX_MISORDER: Final = 1000
"""Steps back that are a late packet and no new beginning. RFC 3550, A.1 has 100: 25 ms at 40 Mbit/s."""
MAX_GIVEN_UP: Final = 256
"""Sequence numbers remembered as given up, to tell a late packet from one that came twice."""
TAKEOVER_SILENCE: Final = 2.0
"""Seconds of silence of a track's SSRC after which another one may take its place."""
TAKEOVER_PACKETS: Final = 8
"""Packets near each other that the other one must have sent by then."""


class ReorderWindow:
    """Put one track's packets in order; bounded by `DEPTH` packets and `PATIENCE` seconds.

    Policy of jumps: up to `DEPTH` ahead a packet waits for those before it. One that is further away,
    ahead or back, is believed when a second one near it follows, and dropped otherwise: a stray packet
    must not make everything after it look late. Then a step of at most `MAX_JUMP` ahead is loss, and
    any other one a restart of the source.

    Attributes:
        expected: the next sequence number, -1 before the first packet. With nothing `held`, a caller
            may pass a packet of this number on by itself: `expected` and `passed` tell it here.
        held: packets that wait, by sequence number, with their arrival.
    """

    def __init__(self, reception: Reception) -> None:
        self.expected = -1
        self.held: dict[int, tuple[float, bytes]] = {}
        self._reception = reception
        self._top = 0
        "The latest of what is held."
        self._far: tuple[int, bytes] | None = None
        self._given_up: dict[int, None] = {}

    def receive(self, sequence: int, packet: bytes, at: float) -> list[bytes]:
        """Take in a packet; return what can be passed on now, in order."""
        if self.expected < 0:
            self.expected = sequence
        step = _steps(self.expected, sequence)
        if step == 0:
            self._reception.reordered += bool(self.held)
            return self._pass(packet)
        if 0 < step <= DEPTH:
            self._hold(sequence, packet, at)
            return []
        if -MAX_MISORDER <= step < 0:
            self._drop_late(sequence)
            return []
        return self._receive_far(sequence, step, packet, at)

    def expire(self, now: float) -> list[bytes]:
        """Return what has waited for `PATIENCE` seconds, and what follows it in order."""
        passed: list[bytes] = []
        while self.held and now - min(at for at, _ in self.held.values()) >= PATIENCE:
            passed += self._give_up()
        return passed

    def _hold(self, sequence: int, packet: bytes, at: float) -> None:
        if sequence in self.held:
            self._reception.duplicates += 1
            return
        if self.held and _steps(self._top, sequence) < 0:
            self._reception.reordered += 1
        else:
            self._top = sequence
        self.held[sequence] = (at, packet)

    def _drop_late(self, sequence: int) -> None:
        if sequence in self._given_up:
            del self._given_up[sequence]
            self._reception.late += 1
        else:
            self._reception.duplicates += 1

    def _receive_far(self, sequence: int, step: int, packet: bytes, at: float) -> list[bytes]:
        passed: list[bytes] = []
        while self.held and 0 < step <= 2 * DEPTH:
            # The window is full: what is missing in it is lost.
            passed += self._give_up()
            step = _steps(self.expected, sequence)
        if 0 <= step <= DEPTH:
            return passed + self.receive(sequence, packet, at)
        far, self._far = self._far, (sequence, packet)
        if far is None:
            return passed
        distance = _steps(far[0], sequence)
        if distance == 0:
            self._reception.duplicates += 1
            return passed
        if abs(distance) > DEPTH:
            # The one before was a stray.
            self._reception.late += 1
            return passed
        while self.held:
            passed += self._give_up()
        lower, upper = sorted((far, (sequence, packet)), key=lambda each: _steps(far[0], each[0]))
        self._far = None
        self._jump(lower[0])
        return passed + self._pass(lower[1]) + self.receive(*upper, at)

    def _jump(self, sequence: int) -> None:
        step = _steps(self.expected, sequence)
        if 0 < step <= MAX_JUMP:
            self._lose(step)
        else:
            self._reception.restarts += 1
            self._given_up.clear()
        self.expected = sequence

    def _give_up(self) -> list[bytes]:
        """Pass over what is missing before the first packet held; return that one and its followers."""
        step = min((each - self.expected) & 0xFFFF for each in self.held)
        self._lose(step)
        self.expected = (self.expected + step) & 0xFFFF
        return self._pass(self.held.pop(self.expected)[1])

    def _lose(self, count: int) -> None:
        self._reception.lost += count
        for step in range(max(0, count - MAX_GIVEN_UP), count):
            self._given_up[(self.expected + step) & 0xFFFF] = None
        while len(self._given_up) > MAX_GIVEN_UP:
            del self._given_up[next(iter(self._given_up))]

    def _pass(self, packet: bytes) -> list[bytes]:
        passed = [packet]
        self.expected = (self.expected + 1) & 0xFFFF
        while self.held and self.expected in self.held:
            passed.append(self.held.pop(self.expected)[1])
            self.expected = (self.expected + 1) & 0xFFFF
        self._reception.passed += len(passed)
        return passed


@dataclass
class SsrcPin:
    """Which SSRC a track takes: the announced one or the first seen, until it is silent for long.

    Policy: another SSRC is foreign. Once the pinned one has been silent for `TAKEOVER_SILENCE` and the
    other has sent `TAKEOVER_PACKETS` near each other from the very port that the pinned one sent from,
    it takes its place: the camera had announced a wrong SSRC, or has restarted its encoder. A stream
    of another session that still comes to a port of ours has another port at its sender's, or comes
    while ours goes on.

    Args:
        ssrc: as announced, None where it is not.
        last_at: when it was last heard; at first, when PLAY was answered. The caller keeps it.
        sender: where its packets come from, None before the first. The caller keeps it.
    """

    ssrc: int | None
    last_at: float
    sender: object = None
    _other: tuple[int, int, int] = (-1, 0, 0)
    "The other SSRC, its newest sequence number and how many were near each other."

    def admits(self, ssrc: int, sequence: int, sender: object, at: float) -> bool:
        """Return whether a packet of `ssrc`, which is not the pinned one or the first, is taken."""
        if self.ssrc is None:
            self._take_over(ssrc, sender)
            return True
        if at - self.last_at < TAKEOVER_SILENCE or self.sender not in (None, sender):
            self._other = (-1, 0, 0)
            return False
        other, newest, count = self._other
        is_near = other == ssrc and 0 < abs(_steps(newest, sequence)) <= DEPTH
        count = count + 1 if is_near else 1
        self._other = (ssrc, sequence, count)
        if count < TAKEOVER_PACKETS:
            return False
        self._take_over(ssrc, sender)
        return True

    def _take_over(self, ssrc: int, sender: object) -> None:
        self.ssrc, self.sender, self._other = ssrc, sender, (-1, 0, 0)


def _steps(origin: int, sequence: int) -> int:
    """Return the signed way from one sequence number to another, -32768 to 32767."""
    return ((sequence - origin + 0x8000) & 0xFFFF) - 0x8000
