"""What of the datagrams on the multicast group is worth reading: bounded per sender and in all (sans-IO).

Anybody in a network can send any number of datagrams, under any sender's address. So a datagram is first judged by
its sender alone: authorised or not, too many or not; and only then waits to be parsed.
"""

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

MAX_WAITING: Final = 4_096
"""Datagrams; 2,000 Hellos in one second all find room, and 16 MB bound what a flood can hold."""

MAX_BYTES: Final = 16 * 1024 * 1024

WINDOW: Final = 1.0
"""Seconds over which a sender's datagrams are counted."""

MAX_EACH: Final = 16
"""Datagrams of one sender in a window: a Hello is repeated up to four times, a recorder speaks for some channels."""

MAX_SENDERS: Final = 20_000
"""Senders remembered within a window; a network of a /20 has 4,096."""

FORGET_VERDICTS: Final = 5.0
"""Seconds that the answer to "is this address authorised" is kept."""


class Fate(StrEnum):
    """What became of a datagram."""

    TAKEN = "taken"
    UNAUTHORISED = "unauthorised"
    "From an address outside every live authorisation: it is not even read."
    TOO_MANY = "too_many"
    "From a sender beyond its share."
    FULL = "full"
    "There was no room left."


@dataclass(frozen=True, slots=True)
class Heard:
    """One datagram that waits."""

    data: bytes
    sender: str
    "IP address."
    at: float
    "Monotonic seconds."


class Intake:
    """Takes datagrams in and hands them out in order.

    Args:
        is_authorised: tells of an IP address whether it lies in a live authorised network.

    Attributes:
        fates: how many datagrams met which fate.
    """

    def __init__(self, is_authorised: Callable[[str], bool]) -> None:
        self.fates: Counter[Fate] = Counter()
        self._is_authorised = is_authorised
        self._waiting: deque[Heard] = deque()
        self._bytes = 0
        self._window_from = float("-inf")
        self._of_sender: Counter[str] = Counter()
        self._verdicts: dict[str, bool] = {}
        self._verdicts_from = float("-inf")

    def __len__(self) -> int:
        return len(self._waiting)

    def take(self, data: bytes, sender: str, now: float) -> Fate:
        """Take a datagram from `sender` in at monotonic `now`, or drop it; return and count which."""
        fate = self._judge(data, sender, now)
        self.fates[fate] += 1
        if fate is Fate.TAKEN:
            self._waiting.append(Heard(data, sender, now))
            self._bytes += len(data)
        return fate

    def networks_changed(self) -> None:
        """Ask anew who is authorised."""
        self._verdicts.clear()

    def drain(self, most: int) -> list[Heard]:
        """Return up to `most` datagrams, the oldest first; they wait no longer."""
        drained = [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]
        self._bytes -= sum(len(heard.data) for heard in drained)
        return drained

    def _judge(self, data: bytes, sender: str, now: float) -> Fate:
        if not self._may_be_read(sender, now):
            return Fate.UNAUTHORISED
        if now - self._window_from >= WINDOW:
            self._window_from = now
            self._of_sender.clear()
        if sender not in self._of_sender and len(self._of_sender) >= MAX_SENDERS:
            return Fate.FULL
        self._of_sender[sender] += 1
        if self._of_sender[sender] > MAX_EACH:
            return Fate.TOO_MANY
        if len(self._waiting) >= MAX_WAITING or self._bytes + len(data) > MAX_BYTES:
            return Fate.FULL
        return Fate.TAKEN

    def _may_be_read(self, sender: str, now: float) -> bool:
        if now - self._verdicts_from >= FORGET_VERDICTS or len(self._verdicts) >= MAX_SENDERS:
            self._verdicts_from = now
            self._verdicts.clear()
        verdict = self._verdicts.get(sender)
        if verdict is None:
            verdict = self._verdicts[sender] = self._is_authorised(sender)
        return verdict
