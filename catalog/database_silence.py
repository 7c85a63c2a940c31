"""What to do about a server that takes connections and answers nothing: let one caller ask, and nobody else wait.

A dead line is not a refused one: each call would wait out its whole timeout, several times over. Owns no socket, no
task and no clock.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from catalog.errors import CatalogError, DatabaseAway

PAUSE: Final = 1.0
"""Seconds between two calls that ask a silent server whether it is back."""

SHARE: Final = 0.5
"""Part of the usual patience that such a call gets to open its connection."""


class Silence:
    """Whether the server is silent, and whose turn it is to ask."""

    def __init__(self) -> None:
        self.is_silent = False
        self._is_asked = False
        self._again_at = 0.0

    def begin(self, now: float) -> None:
        """Take in at monotonic `now` that the server did not answer in time."""
        self.is_silent, self._again_at = True, now + PAUSE

    @contextmanager
    def turn(self, now: float, place: str, patience: float) -> Iterator[float]:
        """Lend a turn at the server; yields the seconds that opening a connection may take.

        Raises:
            DatabaseAway: the server is silent, and somebody else asks it or did so a moment ago.
        """
        if not self.is_silent:
            yield patience
            return
        if self._is_asked or now < self._again_at:
            raise DatabaseAway(f"{place}: it does not answer")
        self._is_asked = True
        try:
            yield patience * SHARE
        except DatabaseAway:
            raise
        except CatalogError:
            self.is_silent = False
            raise
        else:
            self.is_silent = False
        finally:
            self._is_asked = False
