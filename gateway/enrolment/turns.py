"""Whose turn it is to be pulled: those due later, and those due now in three lanes. Synchronous."""

import heapq
from collections import deque
from collections.abc import Mapping
from typing import Final

from gateway.enrolment.pull import Phase, Pull


class Turns:
    """The order in which waiting pulls begin.

    Args:
        pulls: all pulls by source; whatever left it has no turn any more.
    """

    def __init__(self, pulls: Mapping[int, Pull]) -> None:
        self._pulls = pulls
        self._later: list[tuple[float, int, int]] = []
        self._lanes: Final = (deque[tuple[int, int]](), deque[tuple[int, int]](), deque[tuple[int, int]]())
        "Connected sources, first tries, further tries."

    def put(self, pull: Pull, due_at: float, now: float) -> None:
        """Let a pull wait for monotonic `due_at`, or for its turn when that has come; an earlier place is void."""
        pull.phase, pull.due_at, pull.ticket, pull.is_lined_up = Phase.WAITING, due_at, pull.ticket + 1, False
        if due_at > now:
            heapq.heappush(self._later, (due_at, pull.plan.source_id, pull.ticket))
        else:
            self._line_up(pull.plan.source_id, pull.ticket)

    def come(self, now: float) -> None:
        """Line up whatever is due at monotonic `now`."""
        while self._later and self._later[0][0] <= now:
            _, source_id, ticket = heapq.heappop(self._later)
            self._line_up(source_id, ticket)

    def next(self, *, may_verify: bool) -> Pull | None:
        """Take out who comes next, or None; of the connected sources alone where no more may be verified."""
        for lane in self._lanes if may_verify else self._lanes[:1]:
            while lane:
                source_id, ticket = lane.popleft()
                pull = self._pulls.get(source_id)
                if pull is not None and pull.phase is Phase.WAITING and pull.ticket == ticket:
                    pull.is_lined_up = False
                    return pull
        return None

    def _line_up(self, source_id: int, ticket: int) -> None:
        pull = self._pulls.get(source_id)
        if pull is None or pull.ticket != ticket:
            return
        lane = 0 if pull.is_connected else (2 if pull.failures else 1)
        pull.is_lined_up = True
        self._lanes[lane].append((source_id, ticket))
