"""What the status is told of the pulls: the obstacle of a source, and what a pull alone can see to be wrong."""

from catalog.model.connectivity import DegradeReason
from gateway.enrolment.ports import Ports
from gateway.enrolment.pull import MEASURED_BY_PULLS, TRIES_WITHOUT_VIDEO, Pull


class Telling:
    """Tells the status service about pulls; decides nothing."""

    def __init__(self, ports: Ports) -> None:
        self._status = ports.status
        self._clock = ports.clock

    def tell(self, pull: Pull) -> None:
        """Tell what stands in the way of a source, that it answers but refuses us, or that nobody looks."""
        self._status.obstacle(pull.plan.source_id, pull.obstacle)
        if pull.short is not None or not (pull.refuses_us or pull.is_wanted(self._clock.monotonic())):
            # What only a pull can see is not known to be so any longer. That a limit of ours leaves no room for
            # the pull is our doing, and is charged to no source.
            for reason in MEASURED_BY_PULLS:
                self.restore(pull, reason)
        elif pull.refuses_us:
            self.impair(pull, DegradeReason.AUTHENTICATION_FAILED)

    def impair(self, pull: Pull, reason: DegradeReason) -> None:
        """Tell that a degrade reason of a connected source is open."""
        if pull.is_connected:
            pull.open_reasons.add(reason)
            self._status.impaired(pull.plan.source_id, reason, at=self._clock.monotonic())

    def restore(self, pull: Pull, reason: DegradeReason) -> None:
        """Tell that a degrade reason of a connected source is closed, also one from before our start."""
        if pull.is_connected:
            pull.open_reasons.discard(reason)
            self._status.restored(pull.plan.source_id, reason, at=self._clock.monotonic())

    def again(self, pull: Pull) -> None:
        """Tell again what is open: a source that was offline between has lost its reasons.

        One that gives no video try after try, for whatever cause, is degraded as soon as it answers a probe.
        """
        is_tried = pull.short is None and pull.is_wanted(self._clock.monotonic())
        if pull.failure is not None and pull.failures >= TRIES_WITHOUT_VIDEO and is_tried:
            self.impair(pull, DegradeReason.NO_MEDIA)
        for reason in sorted(pull.open_reasons):
            self._status.impaired(pull.plan.source_id, reason, at=self._clock.monotonic())
