"""How often somebody may call: token buckets and counted failures, all bounded. Owns no clock."""

from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from gateway.api.problem import ApiProblem, Code

MOST_KEYS: Final = 10_000
"""Callers remembered at once; beyond it the one not seen for longest is forgotten."""


@dataclass
class _Bucket:
    tokens: float
    at: float


class RateLimit:
    """At most `rate` calls a second and key, `burst` of them at once."""

    def __init__(self, rate: float, burst: int, *, most_keys: int = MOST_KEYS) -> None:
        self._rate = rate
        self._burst = burst
        self._most_keys = most_keys
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def wait_for(self, key: str, now: float) -> float:
        """Take one call of `key` and return 0.0, or the seconds after which there would be one to take."""
        bucket = self._buckets.pop(key, None) or _Bucket(self._burst, now)
        bucket.tokens = min(self._burst, bucket.tokens + max(0.0, now - bucket.at) * self._rate)
        bucket.at = now
        self._buckets[key] = bucket
        if len(self._buckets) > self._most_keys:
            self._buckets.popitem(last=False)
        if bucket.tokens >= 1:
            bucket.tokens -= 1
            return 0.0
        return (1 - bucket.tokens) / self._rate


class Turns:
    """At most `most` pieces of heavy work at once; nobody waits.

    Attributes:
        running: how much runs now.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.running = 0

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Hold one of the places.

        Raises:
            ApiProblem: all are taken.
        """
        if self.running >= self._most:
            raise ApiProblem(Code.TOO_MANY, "wait for what runs to end", retry_after=10)
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1


class FailureLimit:
    """Refuse a client that failed `most` times within `window` seconds, until the oldest failure is that old."""

    def __init__(self, most: int = 20, window: float = 60.0, *, most_keys: int = MOST_KEYS) -> None:
        self._most = most
        self._window = window
        self._most_keys = most_keys
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def wait_for(self, key: str, now: float) -> float:
        """Return 0.0, or the seconds for which `key` is refused."""
        failures = self._failures.get(key)
        if failures is None:
            return 0.0
        while failures and now - failures[0] >= self._window:
            failures.popleft()
        if not failures:
            del self._failures[key]
            return 0.0
        return 0.0 if len(failures) < self._most else self._window - (now - failures[0])

    def failed(self, key: str, now: float) -> None:
        """Count a failure of `key`."""
        failures = self._failures.pop(key, None)
        if failures is None:
            failures = deque(maxlen=self._most)
        failures.append(now)
        self._failures[key] = failures
        if len(self._failures) > self._most_keys:
            self._failures.popitem(last=False)
