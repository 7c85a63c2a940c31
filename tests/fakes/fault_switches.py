"""The switches of the fault proxies: what one direction of a connection suffers, who gets in, and what was done."""

import asyncio
from dataclasses import dataclass
from enum import Enum
from random import Random
from typing import Final, Protocol

CATCH_UP: Final = 0.2
"""Seconds of a throttled way's time that may be made up for."""


class Cut(Enum):
    """How a connection is ended."""

    CLOSE = "close"
    "FIN to both sides, behind what was sent."
    RESET = "reset"
    "RST to both sides."


class Door(Enum):
    """What happens to who connects."""

    OPEN = "open"
    SILENT = "silent"
    "Accepted, read from, and never answered; nobody is connected behind."
    DEAF = "deaf"
    "Not accepted: the kernel leaves SYNs unanswered."
    SHUT = "shut"
    "Refused."


@dataclass
class Counts:
    """What a proxy did."""

    accepted: int = 0
    silenced: int = 0
    "Accepted at a silent door."
    bytes_passed: int = 0
    bytes_lost: int = 0
    resets: int = 0
    half_closes: int = 0


class Way:
    """What one direction suffers. A change holds for what is carried from then on."""

    def __init__(self) -> None:
        self.delay = 0.0
        "Seconds."
        self.jitter = 0.0
        "Up to so many seconds more; the order is kept, as TCP keeps it."
        self.rate = 0.0
        "Bytes a second, of all connections together; 0 is unlimited."
        self.is_lost = False
        "A black hole that acknowledges: whatever comes, ends included, is thrown away."
        self._free_at = 0.0
        "When the next bytes may follow at `rate`."
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._cut: tuple[int, Cut] | None = None
        self._cuts_frame = False

    def stall(self) -> None:
        """Carry nothing more: the sender's window closes, the receiver waits."""
        self._flowing.clear()

    def resume(self) -> None:
        """Go on after `stall`."""
        self._flowing.set()

    def cut_after(self, count: int, by: Cut = Cut.RESET) -> None:
        """End the connection that carries the next bytes behind `count` of them; once."""
        self._cut = (count, by)

    def reset_in_frame(self) -> None:
        """Reset the connection that carries the next `$` frame (RFC 2326, section 10.12) in its middle; once."""
        self._cuts_frame = True

    async def flows(self) -> None:
        """Wait until the way is not stalled."""
        await self._flowing.wait()

    def due(self, now: float, chance: Random) -> float:
        """Return when what is read at `now` may go on."""
        return now + self.delay + chance.uniform(0.0, self.jitter)

    def pause(self, count: int, now: float) -> float:
        """Return the seconds to wait behind `count` bytes; what a late wake-up cost is made up for."""
        self._free_at = max(self._free_at, now - CATCH_UP) + count / self.rate
        return self._free_at - now

    def take_cut(self, data: bytes) -> tuple[int, Cut] | None:
        """Return behind how many bytes of `data` to end the connection, and how; forget that."""
        if self._cuts_frame and 0 <= (at := data.find(b"$")) < len(data) - 6:
            self._cuts_frame = False
            length = int.from_bytes(data[at + 2 : at + 4], "big")
            return at + 4 + max(1, min(length, len(data) - at - 4) // 2), Cut.RESET
        if self._cut is None:
            return None
        count, by = self._cut
        if count <= len(data):
            self._cut = None
            return count, by
        self._cut = (count - len(data), by)
        return None


class Route(Protocol):
    """What may change the bytes of one connection on their way."""

    def to_client(self, data: bytes) -> bytes:
        """Return what goes on to the client in place of `data`."""
        ...

    def to_server(self, data: bytes) -> bytes:
        """Return what goes on to the server in place of `data`."""
        ...

    def close(self) -> None:
        """Let go of what belongs to the connection."""
        ...
