"""The rule of the degrade reason `bitrate_low`: from when on a source delivers too little, and until when; pure.

Too little is a smoothed bitrate below the configured one for a minute; enough is a quarter above it for a minute.
Only what flows is judged, and only while we keep up: where no video comes another reason holds, and where we are the
narrow place nothing can be said.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

LASTING: Final = 60.0
"""Seconds that a bitrate must stay on the other side."""
RECOVERED: Final = 1.25
"""Share of the configured bitrate above which it is enough again: at the threshold nothing shall flap."""
SILENCE: Final = 10.0
"""Seconds without a bitrate that can be judged, after which nothing is claimed any longer."""


@dataclass(slots=True)
class _Watch:
    judged_at: float
    "Monotonic."
    is_low: bool | None = None
    "None until it has been told once: what an earlier run of ours found may still stand."
    side: bool | None = None
    "Whether it is below now where that would be a change; None where nothing would."
    since: float = 0.0
    "Since when."


class LowBitrate:
    """Watches the bitrates of all sources.

    Args:
        threshold: bits a second; 0 switches the rule off.
    """

    def __init__(self, threshold: int) -> None:
        self._threshold = threshold
        self._watches: dict[int, _Watch] = {}

    def look(self, bitrates: Mapping[int, int], now: float) -> list[tuple[int, bool]]:
        """Take in bitrates; return the sources that are low now (True), or of which that does not hold (False).

        Each is told when it changes, and once at first.

        Args:
            bitrates: smoothed bits a second of the sources that deliver now and that we keep up with.
            now: monotonic; called about once a second.
        """
        changes: list[tuple[int, bool]] = []
        for source_id, bitrate in bitrates.items():
            watch = self._watches.setdefault(source_id, _Watch(now))
            watch.judged_at = now
            if self._turns(watch, bitrate, now):
                changes.append((source_id, bool(watch.is_low)))
        for source_id, watch in list(self._watches.items()):
            if now - watch.judged_at >= SILENCE:
                del self._watches[source_id]
                if watch.is_low:
                    changes.append((source_id, False))
        return changes

    def _turns(self, watch: _Watch, bitrate: int, now: float) -> bool:
        """Tell whether the watch changed."""
        if not self._threshold:
            is_first, watch.is_low = watch.is_low is None, False
            return is_first
        is_between = self._threshold <= bitrate <= RECOVERED * self._threshold
        below = bitrate < self._threshold
        side = None if is_between or below is watch.is_low else below
        if side is not watch.side:
            watch.side, watch.since = side, now
        if side is None or now - watch.since < LASTING:
            return False
        watch.is_low, watch.side = side, None
        return True
