"""What is measured of the running pulls once a second, and what follows: room in the budget, and too low bitrates."""

from collections.abc import Mapping
from typing import Final

from catalog.model.connectivity import DegradeReason
from gateway.enrolment.low_bitrate import LowBitrate
from gateway.enrolment.places import Places
from gateway.enrolment.ports import Ports, PullRules
from gateway.enrolment.pull import Pull
from gateway.enrolment.telling import Telling
from gateway.relay.budget import Overrun

PERIOD: Final = 1.0
"""Seconds between two measurements."""


class Measuring:
    """Takes the bitrates of the relays to the budget and to the rule of low ones."""

    def __init__(self, ports: Ports, rules: PullRules, pulls: Mapping[int, Pull], places: Places) -> None:
        self._relays = ports.relays
        self._pulls = pulls
        self._places = places
        self._telling = Telling(ports)
        self._low = LowBitrate(rules.low_bitrate)
        self._measured_at = float("-inf")

    def look(self, now: float) -> Overrun | None:
        """Measure if it is time, at monotonic `now`; return the pull that must end because of what was measured."""
        if now - self._measured_at < PERIOD:
            return None
        self._measured_at = now
        bitrates = self._relays.bitrates()
        overrun = self._places.measure(bitrates, now)
        strained = self._relays.strained()
        judged = {
            source_id: pull.bitrate
            for source_id, bitrate in bitrates.items()
            if bitrate > 0
            and source_id not in strained
            and (pull := self._pulls.get(source_id)) is not None
            and pull.is_connected
        }
        for source_id, is_low in self._low.look(judged, now):
            pull = self._pulls.get(source_id)
            if pull is not None and is_low:
                self._telling.impair(pull, DegradeReason.BITRATE_LOW)
            elif pull is not None:
                self._telling.restore(pull, DegradeReason.BITRATE_LOW)
        return overrun
