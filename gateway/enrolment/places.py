"""The places of the pulls in the relay's budget: what is claimed for each, measured, and given away."""

import logging
from collections.abc import Mapping
from typing import Final

from gateway.enrolment.ports import PullRules
from gateway.enrolment.pull import Phase, Pull
from gateway.relay.budget import Budget, Granted, Overrun
from gateway.relay.limits import Claim, Priority, Shortage

logger = logging.getLogger(__name__)

GAVE_WAY_REST: Final = 30.0
"""Seconds until a pull that gave way asks for a place again: no two pulls shall drive each other out in turns."""

BITRATE_HOLDS: Final = 3600.0
"""Seconds that a measured bitrate is expected again; a camera that is set otherwise meanwhile gets its chance then."""

BRIEF_WAIT: Final = 2.0
"""Seconds that any pull may wait and keep its place."""


class Places:
    """Who holds a place, who waits for one, and who had to give way."""

    def __init__(self, pulls: Mapping[int, Pull], rules: PullRules) -> None:
        self.budget = Budget(rules.limits)
        self.gave_way = 0
        "Pulls that ended for another one or because of a limit."
        self._pulls = pulls
        self._rules = rules

    def ask(self, pull: Pull, network: str, now: float) -> Granted | Shortage:
        """Take a place for a pull from `network` at monotonic `now`, or let it stand in line and know why."""
        is_known = now - pull.measured_at < BITRATE_HOLDS
        bitrate = pull.bitrate if is_known else self._rules.expected_bitrate
        answer = self.budget.ask(pull.plan.source_id, Claim(pull.priority(now), network, bitrate))
        if isinstance(answer, Shortage):
            pull.phase, pull.ticket, pull.is_lined_up = Phase.WAITING, pull.ticket + 1, False
            pull.short = answer
        else:
            pull.short = None
        return answer

    def leave(self, pull: Pull) -> None:
        """Take note that a pull needs no place, nor one in line."""
        self.budget.leave(pull.plan.source_id)
        pull.short = None

    def wait(self, pull: Pull, now: float) -> None:
        """Let a pull that waits until `due_at` keep its place if that is soon.

        A duty keeps it for as long as it reconnects: what is less important would only begin and end in between.
        """
        is_duty = pull.priority(now) is Priority.DUTY
        if pull.due_at - now > (1.25 * self._rules.reconnect_longest if is_duty else BRIEF_WAIT):
            self.budget.leave(pull.plan.source_id)

    def give_way(self, pull: Pull, shortage: Shortage | None, reason: str, now: float) -> None:
        """Note that a pull's place is gone, and when it may ask again."""
        self.gave_way += 1
        pull.short, pull.due_at = shortage, now + GAVE_WAY_REST
        logger.info(
            "source %d gives way: %s%s",
            pull.plan.source_id,
            reason,
            "" if shortage is None else f"; {shortage.explain().en}",
            extra={"action": "relay_gave_way", "source_id": pull.plan.source_id},
        )

    def forgets_bitrate(self, pull: Pull, now: float) -> bool:
        """Forget an old bitrate of a pull that waits for room; tell whether there was one, so that it asks anew."""
        is_old = pull.bitrate > 0 and now - pull.measured_at >= BITRATE_HOLDS
        if pull.phase is not Phase.WAITING or pull.short is None or not is_old:
            return False
        pull.bitrate = 0
        return True

    def measure(self, bitrates: Mapping[int, int], now: float) -> Overrun | None:
        """Take in the measured bits a second of each source; return who must end because of them."""
        self.budget.measure(bitrates, now)
        for source_id, bitrate in bitrates.items():
            pull, rate = self._pulls.get(source_id), self.budget.rate(source_id)
            if pull is not None and rate is not None and bitrate > 0:
                pull.bitrate, pull.measured_at = rate, now
        return self.budget.overrun(now)
