"""Who may steer which camera now, and when a movement must end (sans-IO).

A camera is steered by one person at a time, for as long as they keep sending commands. A continuous movement lasts
only as long as its last command said: who lets go, closes the page or loses the line does not leave it turning.
"""

from dataclasses import dataclass
from typing import Final

HOLD: Final = 5.0
"""Seconds after the last command during which nobody else may steer."""

LONGEST_MOVE: Final = 10.0
"""Seconds of one continuous movement without another command."""

MAX_STEERED: Final = 1_000
"""Cameras steered at a time."""


class Steered(Exception):
    """Raised when somebody else steers the camera.

    Attributes:
        person: who.
        wait: seconds until they lose it, if they do nothing.
    """

    def __init__(self, person: str, wait: float) -> None:
        super().__init__(f"{person} steers this camera; free in {wait:.0f} s")
        self.person = person
        self.wait = wait


class TooManySteered(Exception):
    """Raised when so many cameras are steered at once that something must be wrong."""


@dataclass
class Hold:
    """One camera in somebody's hands."""

    person: str
    until: float
    "Monotonic seconds: nobody else before."
    stops_at: float | None = None
    "Monotonic seconds: when the movement must be stopped; None while it does not move."


class Steering:
    """The cameras in somebody's hands; times are monotonic seconds, handed in."""

    def __init__(self) -> None:
        self._holds: dict[int, Hold] = {}

    def take(self, source_id: int, person: str, now: float) -> bool:
        """Let `person` steer from `now` on; return whether they begin to, and do not merely go on.

        Raises:
            Steered: somebody else does.
            TooManySteered: no more at a time.
        """
        hold = self._holds.get(source_id)
        is_held = hold is not None and (now < hold.until or hold.stops_at is not None)
        if hold is not None and is_held and hold.person != person:
            raise Steered(hold.person, max(hold.until - now, 0.0))
        if hold is None and len(self._holds) >= MAX_STEERED:
            self._forget(now)
            if len(self._holds) >= MAX_STEERED:
                raise TooManySteered(f"{MAX_STEERED} cameras are steered at once")
        stops_at = hold.stops_at if hold is not None else None
        self._holds[source_id] = Hold(person, now + HOLD, stops_at)
        return not is_held

    def moves(self, source_id: int, seconds: float, now: float) -> None:
        """Note that the camera moves until `seconds` from `now`."""
        hold = self._holds[source_id]
        hold.stops_at = now + min(seconds, LONGEST_MOVE)
        hold.until = max(hold.until, hold.stops_at)

    def stopped(self, source_id: int) -> None:
        """Note that the camera does not move any more."""
        hold = self._holds.get(source_id)
        if hold is not None:
            hold.stops_at = None

    def is_moving(self, source_id: int) -> bool:
        """Tell whether a continuous movement is under way."""
        hold = self._holds.get(source_id)
        return hold is not None and hold.stops_at is not None

    def due(self, now: float) -> list[int]:
        """Return the cameras whose movement must be stopped now."""
        return [
            source_id
            for source_id, hold in self._holds.items()
            if hold.stops_at is not None and hold.stops_at <= now
        ]

    def moving(self) -> list[int]:
        """Return every camera that moves."""
        return [source_id for source_id, hold in self._holds.items() if hold.stops_at is not None]

    def next_stop(self) -> float | None:
        """Return when the next movement must be stopped; None while nothing moves."""
        return min(
            (hold.stops_at for hold in self._holds.values() if hold.stops_at is not None), default=None
        )

    def _forget(self, now: float) -> None:
        over = [
            source_id
            for source_id, hold in self._holds.items()
            if hold.until <= now and hold.stops_at is None
        ]
        for source_id in over:
            del self._holds[source_id]
