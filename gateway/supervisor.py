"""The one restart loop: keeps a piece of work running, for ever, with jittered back-off."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random, SystemRandom
from typing import TypeVar

from adapters.errors import AdapterError
from catalog.errors import CatalogError
from gateway.clock import Clock

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")


@dataclass
class Backoff:
    """Waiting times that double from `first` to `longest` seconds, each spread by ± `jitter`.

    The spread keeps a thousand cameras from returning in the same second after a power cut.
    """

    first: float = 1.0
    longest: float = 60.0
    jitter: float = 0.25
    random: Random = field(default_factory=SystemRandom)
    _step: int = 0

    def next(self) -> float:
        """Return the seconds to wait now, and double the next."""
        # 2**16 times any sensible `first` is past any sensible `longest`: the bound only stops overflow.
        plain = min(self.longest, self.first * (1 << min(self._step, 16)))
        self._step += 1
        return plain * self.random.uniform(1 - self.jitter, 1 + self.jitter)

    @classmethod
    def between(cls, first: float, longest: float) -> "Backoff":
        """Return one whose waits, spread included, stay between about `first` and `longest` seconds."""
        return cls(first=min(first, longest), longest=longest / (1 + cls.jitter))

    def reset(self) -> None:
        """Begin again at `first`."""
        self._step = 0


async def keep_running(
    name: str,
    run_once: Callable[[], Awaitable[None]],
    *,
    clock: Clock,
    backoff: Backoff | None = None,
    healthy_after: float = 60.0,
) -> None:
    """Run `run_once` again and again until cancelled or until it fails for good.

    Args:
        name: what runs, for the log.
        run_once: a straight line of work that raises when it cannot go on; returning means "again".
        clock: tells and waits.
        backoff: waiting times between runs.
        healthy_after: seconds of running after which the back-off begins anew.
    """
    backoff = backoff or Backoff()
    while True:
        started = clock.monotonic()
        try:
            await run_once()
        except AdapterError as error:
            logger.warning(
                "%s stopped: %s", name, error, extra={"action": "work_stopped", "cause": error.cause}
            )
            if not error.retryable:
                return
        except CatalogError as error:
            logger.warning(
                "%s stopped: %s", name, error, extra={"action": "work_stopped", "cause": error.cause}
            )
        except Exception:  # the isolation boundary between sources
            logger.exception("%s hit a bug", name, extra={"action": "work_failed"})
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            # Cancelled, and an error on the way out took the cancellation's place: the work must end all the same.
            raise asyncio.CancelledError
        if clock.monotonic() - started >= healthy_after:
            backoff.reset()
        await clock.sleep(backoff.next())


async def isolated(
    name: str, work: Callable[[], Awaitable[Answer]], otherwise: Callable[[], Answer]
) -> Answer:
    """Run one caller's work once; a bug in it is logged and answered with `otherwise()`, and nobody else notices.

    Args:
        name: what runs, for the log.
        work: the work; errors that it expects it handles itself.
        otherwise: makes the answer after a bug.
    """
    try:
        return await work()
    except Exception:  # the isolation boundary between callers
        logger.exception("%s hit a bug", name, extra={"action": "work_failed"})
        return otherwise()
