"""Asks sources that gave no sign of life for an interval whether they are there: OPTIONS, nothing more.

Owns its connections. Who is due, and what becomes of an outcome, others say: `Liveness` and the status service for our
own sources, `second_sight` for those of other gateways. Only endpoints that may be contacted now (confirmed, inside a
live authorisation) are asked, and never with a credential.
"""

import asyncio
import errno
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from adapters.base import RtspTarget
from adapters.errors import AdapterError
from adapters.rtsp.client import probe
from gateway.clock import Clock
from gateway.metrics import Metrics
from gateway.supervisor import isolated

logger = logging.getLogger(__name__)

OUR_ERRORS: Final = frozenset(
    {
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.EADDRNOTAVAIL,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOBUFS,
        errno.ENOMEM,
    }
)
"""What the kernel says when it is us who cannot ask: no sample then, and never a miss."""

PAUSE: Final = 0.25
"""Seconds between two looks at the schedule."""


class Schedule(Protocol):
    """Says who is due; `gateway.liveness.Liveness` is one."""

    def due(self, now: float, limit: int) -> list[int]:
        """Return at most `limit` sources to ask now, and book their next turn."""
        ...

    def attempted(self, source_id: int, at: float) -> None:
        """Note that a probe was really sent."""
        ...


class ProbeOutcomes(Protocol):
    """Takes what the probes found; the status service."""

    def alive(self, source_id: int, *, at: float) -> None:
        """Take in a sign of life."""

    def missed(self, source_id: int, *, at: float, cause: str) -> None:
        """Take in an unanswered probe."""

    def seen(self, source_id: int, *, at: float) -> None:
        """Take in contact with the device."""

    def unseen(self, source_id: int, *, at: float) -> None:
        """Take in that our own path to the source is lost, so that it was not asked."""


def _no_fault(_: str) -> str | None:
    return None


def _nothing_is_lost(_: str) -> bool:
    return False


@dataclass(frozen=True)
class ProbeLimits:
    """How probes are bounded, and when an unanswered one says nothing."""

    timeout: float = 10.0
    "Seconds for one probe, connection included."
    concurrency: int = 2048
    "Probes at once: so many can time out every `timeout` seconds before the others are asked late."
    is_lost: Callable[[str], bool] = _nothing_is_lost
    "Tells of an IP address whether our own path to it is lost; then it is not asked."
    own_fault: Callable[[str], str | None] = _no_fault
    "Tells what is wrong with our own way to a host."


class Prober:
    """Runs the probes that are due."""

    def __init__(
        self,
        schedule: Schedule,
        outcomes: ProbeOutcomes,
        target_of: Callable[[int], RtspTarget | None],
        clock: Clock,
        metrics: Metrics,
        limits: ProbeLimits,
    ) -> None:
        """Prepare; `target_of` gives the endpoint of a source that may be contacted now, or None."""
        self._schedule = schedule
        self._outcomes = outcomes
        self._target_of = target_of
        self._clock = clock
        self._metrics = metrics
        self._limits = limits
        self._running = 0

    async def run(self) -> None:
        """Probe for ever; ends only by cancellation."""
        self._running = 0
        async with asyncio.TaskGroup() as group:
            while True:
                room = self._limits.concurrency - self._running
                for source_id in self._schedule.due(self._clock.monotonic(), room):
                    target = self._target_of(source_id)
                    if target is not None and self._limits.is_lost(target.host):
                        self._metrics.probes.labels(result="own_fault").inc()
                        self._outcomes.unseen(source_id, at=self._clock.monotonic())
                    elif target is not None:
                        self._running += 1
                        group.create_task(self._isolated(source_id, target), name=f"probe-{source_id}")
                await self._clock.sleep(PAUSE)

    async def _isolated(self, source_id: int, target: RtspTarget) -> None:
        """Ask one source; a bug that its answer meets in us is no miss of its own, and stops nobody else's probe."""

        def unseen() -> None:
            self._metrics.probes.labels(result="own_fault").inc()
            self._outcomes.unseen(source_id, at=self._clock.monotonic())

        await isolated(f"probe of source {source_id}", lambda: self._ask(source_id, target), unseen)

    async def _ask(self, source_id: int, target: RtspTarget) -> None:
        try:
            await probe(target, timeout=self._limits.timeout)
        except AdapterError as error:
            self._failed(source_id, target, error)
        else:
            now = self._clock.monotonic()
            self._metrics.probes.labels(result="answered").inc()
            self._schedule.attempted(source_id, now)
            self._outcomes.seen(source_id, at=now)
            self._outcomes.alive(source_id, at=now)
        finally:
            self._running -= 1

    def _failed(self, source_id: int, target: RtspTarget, error: AdapterError) -> None:
        fault = str(error) if _is_ours(error) else self._limits.own_fault(target.host)
        if fault is not None:
            self._metrics.probes.labels(result="own_fault").inc()
            logger.error(
                "source %d could not be asked: %s",
                source_id,
                fault,
                extra={"action": "probe_impossible", "source_id": source_id},
            )
            self._outcomes.unseen(source_id, at=self._clock.monotonic())
            return
        self._metrics.probes.labels(result=error.cause).inc()
        logger.debug(
            "source %d did not answer: %s",
            source_id,
            error,
            extra={"action": "probe_missed", "source_id": source_id},
        )
        self._outcomes.missed(source_id, at=self._clock.monotonic(), cause=error.cause)


def _is_ours(error: BaseException) -> bool:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in OUR_ERRORS:
            return True
        cause = cause.__cause__
    return False
