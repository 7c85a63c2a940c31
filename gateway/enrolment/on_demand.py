"""What people ask to be relayed for a while: leases on the pulls of sources on demand. Synchronous."""

from catalog.model.plan import RelayMode
from gateway.enrolment.pull import Phase, Pull
from gateway.enrolment.pulls import Pulls
from gateway.relay.limits import Shortage


class OnDemand:
    """The leases; each call of `want` begins one anew, and `look` ends those that ran out."""

    def __init__(self, pulls: Pulls) -> None:
        self._pulls = pulls
        self._leased: set[int] = set()

    def want(self, source_id: int, duration: float) -> str | Shortage | None:
        """Have a source on demand run for the next `duration` seconds at least.

        Returns:
            None when it runs or will run as soon as it can, else the one word for what stands in the way, or the
            limit of ours that leaves no room; then nothing new was asked for.

        Raises:
            LookupError: the source is not on the roll.
        """
        pull = self._pulls.get(source_id)
        if pull is None:
            raise LookupError(f"there is no source {source_id} on the roll")
        if pull.plan.relay_mode is not RelayMode.ON_DEMAND:
            return self._obstacle(pull)
        before, is_new = pull.wanted_until, source_id not in self._leased
        pull.wanted_until = max(before, self._pulls.now() + duration)
        self._leased.add(source_id)
        if is_new and pull.phase is Phase.WAITING:
            # Somebody asks now: an earlier failure makes nobody wait. A refused credential still rests.
            pull.due_at = 0.0
        self._pulls.settle(pull, anew=is_new)
        obstacle = self._obstacle(pull)
        if isinstance(obstacle, Shortage):
            pull.wanted_until = before
            if is_new:
                self._leased.discard(source_id)
                self._wait_as_before(pull)
        return obstacle

    def release(self, source_id: int) -> None:
        """End what `want` asked for."""
        pull = self._pulls.get(source_id)
        if pull is not None:
            pull.wanted_until = 0.0
            self._pulls.settle(pull)

    def look(self) -> None:
        """End the leases that ran out."""
        now = self._pulls.now()
        for source_id in list(self._leased):
            pull = self._pulls.get(source_id)
            if pull is None or now >= pull.wanted_until:
                self._leased.discard(source_id)
                if pull is not None:
                    self._pulls.settle(pull)

    def _obstacle(self, pull: Pull) -> str | Shortage | None:
        """Return what stands in the way of a pull; one that is due takes its place now."""
        if pull.blocked is not None:
            return pull.blocked.word.value
        if pull.phase is Phase.WAITING and pull.due_at <= self._pulls.now():
            return self._pulls.ask_again(pull)
        return pull.short

    def _wait_as_before(self, pull: Pull) -> None:
        """Let what is wanted of a source without anybody's asking, its verification, wait for room again."""
        if pull.phase is Phase.WAITING:
            self._pulls.places.leave(pull)
            pull.phase = Phase.IDLE
            self._pulls.settle(pull)
