"""How much may be pulled: reservations against limits of number and bandwidth, by priority; sans-IO.

A pull asks for its place before it begins and holds it until it leaves: first with the bitrate that is expected of
it, then with the smoothed measured one. A higher priority may take the place of a lower one, never of its own kind.
Who finds no room stands in line and is told by which limit.

Nothing flaps at a limit. Up to the limit pulls begin; above it none does; and only a measured excess beyond
`OVERRUN` that lasts `OVERRUN_SECONDS` ends one. Between the two nothing happens.
"""

import math
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from gateway.relay.limits import Claim, Limit, Limits, Priority, Shortage

OVERRUN: Final = 1.1
"""Measured share of a bandwidth limit above which pulls are ended: cameras vary by some per cent around a mean."""
OVERRUN_SECONDS: Final = 10.0
"""How long it must last, before the first pull and before each further one: a key frame is no overrun."""
SMOOTHING: Final = 10.0
"""Seconds, the time constant of a measured bitrate: longer than any sensible distance of key frames."""


@dataclass(frozen=True, slots=True)
class Granted:
    """There is room, once these have left: their places are given away already."""

    victims: tuple[int, ...] = ()
    "All of lower priority, and none that need not leave."
    shortage: Shortage | None = None
    "Why they must; None when nobody must."


@dataclass(frozen=True, slots=True)
class Overrun:
    """A pull that must end because more is pulled than a limit allows."""

    key: int
    shortage: Shortage


@dataclass(slots=True)
class _Place:
    """What one pull holds."""

    claim: Claim
    order: int
    "Counts the grants."
    rate: int
    "Bits a second that it counts with now."
    measured_at: float | None = None
    "Monotonic."


@dataclass(frozen=True, slots=True)
class NetworkUse:
    """What is pulled from one network."""

    pulls: int = 0
    bitrate: int = 0


@dataclass(frozen=True)
class Usage:
    """How the budget stands."""

    limits: Limits
    pulls: int
    bitrate: int
    "Bits a second, reserved or measured."
    networks: Mapping[str, NetworkUse]
    waiting: Mapping[Limit, int]
    "How many stand in line, by the limit that stopped them last."


@dataclass
class _Excess:
    """Since when each limit is overrun."""

    since: dict[tuple[Limit, str], float] = field(default_factory=dict)

    def keep_to(self, limits: set[tuple[Limit, str]]) -> None:
        """Forget all other limits: of networks from which nothing is pulled any longer."""
        for gone in self.since.keys() - limits:
            del self.since[gone]

    def lasts(self, limit: tuple[Limit, str], now: float, *, is_over: bool) -> bool:
        """Note whether `limit` is overrun at `now`; tell whether it has been for long enough."""
        if not is_over:
            self.since.pop(limit, None)
            return False
        return now - self.since.setdefault(limit, now) >= OVERRUN_SECONDS


class Budget:
    """All places taken and the line of those that wait. Keys are the caller's, one a source."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._places: dict[int, _Place] = {}
        self._of: Final = {priority: dict[int, None]() for priority in Priority}
        "Who holds a place, by priority, in order of the grants."
        self._bitrate = 0
        self._networks: dict[str, NetworkUse] = {}
        self._line: dict[tuple[Priority, str], dict[int, Shortage]] = {}
        "In order of arrival."
        self._waits: dict[int, Claim] = {}
        self._is_freed = False
        "Whether somebody in line may find room that was not there at the last look."
        self._orders = 0
        self._excess = _Excess()

    # -- asking and leaving ---------------------------------------------------------------------------------------

    def ask(self, key: int, claim: Claim) -> Granted | Shortage:
        """Take a place, or one in line. Who holds a place keeps it, with the new priority."""
        if self.holds(key) and self._places[key].claim.network == claim.network:
            self.prefer(key, claim.priority)
            return Granted()
        self._vacate(key)
        found = self.judge(claim)
        if isinstance(found, Shortage):
            self._line_up(key, claim, found)
            return found
        self._leave_line(key)
        for victim in found.victims:
            self._vacate(victim)
        self._orders += 1
        self._places[key] = _Place(claim, self._orders, claim.bitrate)
        self._of[claim.priority][key] = None
        self._count(claim.network, 1, claim.bitrate)
        return found

    def judge(self, claim: Claim) -> Granted | Shortage:
        """Tell what `ask` of a newcomer would answer, and change nothing."""
        shortage = self._shortage(claim, ())
        if shortage is None:
            return Granted()
        victims = self._victims(claim)
        return shortage if victims is None else Granted(victims, shortage)

    def holds(self, key: int) -> bool:
        """Tell whether `key` has a place."""
        return key in self._places

    def waits(self, key: int) -> bool:
        """Tell whether `key` stands in line."""
        return key in self._waits

    def rate(self, key: int) -> int | None:
        """Return the bits a second that `key` counts with, or None when it has no place."""
        place = self._places.get(key)
        return None if place is None else place.rate

    def prefer(self, key: int, priority: Priority) -> None:
        """Let a place, if there is one, count with another priority from now on."""
        place = self._places.get(key)
        if place is not None and place.claim.priority is not priority:
            del self._of[place.claim.priority][key]
            self._of[priority][key] = None
            place.claim = replace(place.claim, priority=priority)
            self._is_freed = True

    def leave(self, key: int) -> None:
        """Give up a place, or one in line."""
        self._vacate(key)
        self._leave_line(key)

    def line(self) -> Generator[tuple[int, Priority], None, None]:
        """Go through those in line for whom there is room now, the highest priority first, each network in order.

        Whoever is named must `ask` or `leave` before the next one is looked for; else its network is passed over.
        Where nothing was freed since the last time, nobody is looked at.
        """
        is_freed, self._is_freed = self._is_freed, False
        keys = sorted(self._line, key=lambda each: -each[0]) if is_freed else []
        is_done = False
        try:
            for priority, network in keys:
                yield from self._first_in(priority, network)
            is_done = True
        finally:
            self._is_freed = self._is_freed or not is_done

    def _first_in(self, priority: Priority, network: str) -> Iterator[tuple[int, Priority]]:
        waiting = self._line.get((priority, network), {})
        while waiting:
            key = next(iter(waiting))
            found = self.judge(self._waits[key])
            if isinstance(found, Shortage):
                waiting[key] = found
                return
            yield key, priority
            if key in waiting:
                self._is_freed = True
                return

    # -- measuring ------------------------------------------------------------------------------------------------

    def measure(self, bitrates: Mapping[int, int], now: float) -> None:
        """Take in measured bits a second at monotonic `now`.

        A pull without media keeps what it counts with: its place is there when the source is back.
        """
        for key, place in self._places.items():
            bitrate = bitrates.get(key, 0)
            if bitrate <= 0:
                continue
            passed = now - place.measured_at if place.measured_at is not None else 1.0
            place.measured_at = now
            share = 1.0 - math.exp(-max(passed, 0.0) / SMOOTHING)
            rate = place.rate + round(share * (bitrate - place.rate))
            self._is_freed = self._is_freed or rate < place.rate
            self._count(place.claim.network, 0, rate - place.rate)
            place.rate = rate

    def overrun(self, now: float) -> Overrun | None:
        """Return the next pull that must end because of a lasting excess, and give its place up.

        Of the lowest priority concerned it is the one that most exceeds what was expected of it.
        """
        bounds = [(Limit.BANDWIDTH, "", self.limits.bandwidth, self._bitrate)]
        if self.limits.network_bandwidth:
            most = self.limits.network_bandwidth
            bounds += [
                (Limit.NETWORK_BANDWIDTH, name, most, use.bitrate) for name, use in self._networks.items()
            ]
        self._excess.keep_to({(limit, network) for limit, network, *_ in bounds})
        due = None
        for limit, network, most, used in bounds:
            is_over = bool(most) and used > OVERRUN * most
            if self._excess.lasts((limit, network), now, is_over=is_over):
                due = due or Shortage(limit, most, used, 0, network)
        if due is None:
            return None
        self._excess.since[due.limit, due.network] = now
        concerned = [
            (place.claim.priority, place.claim.bitrate - place.rate, -place.order, key)
            for key, place in self._places.items()
            if due.network in ("", place.claim.network)
        ]
        key = min(concerned)[-1]
        self._vacate(key)
        return Overrun(key, due)

    def usage(self) -> Usage:
        """Return how the budget stands."""
        waiting: dict[Limit, int] = {}
        for line in self._line.values():
            for shortage in line.values():
                waiting[shortage.limit] = waiting.get(shortage.limit, 0) + 1
        return Usage(self.limits, len(self._places), self._bitrate, dict(self._networks), waiting)

    # -- within ---------------------------------------------------------------------------------------------------

    def _shortage(self, claim: Claim, without: Sequence[int]) -> Shortage | None:
        """Return the first limit that `claim` breaks once the places of `without` are free."""
        limits = self.limits
        left = [self._places[key] for key in without]
        local = sum(place.rate for place in left if place.claim.network == claim.network)
        here = self._networks.get(claim.network, NetworkUse()).bitrate - local
        total = self._bitrate - sum(place.rate for place in left)
        pulls = len(self._places) - len(left)
        if limits.network_bandwidth and here + claim.bitrate > limits.network_bandwidth:
            most = limits.network_bandwidth
            return Shortage(Limit.NETWORK_BANDWIDTH, most, here, claim.bitrate, claim.network)
        if limits.bandwidth and total + claim.bitrate > limits.bandwidth:
            return Shortage(Limit.BANDWIDTH, limits.bandwidth, total, claim.bitrate)
        if limits.pulls and pulls >= limits.pulls:
            return Shortage(Limit.PULLS, limits.pulls, pulls, 1)
        return None

    def _victims(self, claim: Claim) -> tuple[int, ...] | None:
        """Return who must leave for `claim`, the lowest and latest first; None: that would not help."""
        lower = [
            key for priority in Priority if priority < claim.priority for key in reversed(self._of[priority])
        ]
        chosen: list[int] = []
        while (shortage := self._shortage(claim, chosen)) is not None:
            is_local = shortage.limit is Limit.NETWORK_BANDWIDTH
            helping = (
                key for key in lower if not is_local or self._places[key].claim.network == claim.network
            )
            victim = next(helping, None)
            if victim is None:
                return None
            lower.remove(victim)
            chosen.append(victim)
        # The last ones may have freed enough for an earlier one to stay; the most important one is spared first.
        for key in sorted(chosen, key=lambda each: -self._places[each].claim.priority):
            others = [each for each in chosen if each != key]
            if self._shortage(claim, others) is None:
                chosen = others
        return tuple(chosen)

    def _line_up(self, key: int, claim: Claim, shortage: Shortage) -> None:
        known = self._waits.get(key)
        if known is not None and (known.priority, known.network) != (claim.priority, claim.network):
            self._leave_line(key)
        self._waits[key] = claim
        self._line.setdefault((claim.priority, claim.network), {})[key] = shortage

    def _leave_line(self, key: int) -> None:
        claim = self._waits.pop(key, None)
        if claim is not None:
            line = self._line[claim.priority, claim.network]
            del line[key]
            self._is_freed = True
            if not line:
                del self._line[claim.priority, claim.network]

    def _vacate(self, key: int) -> None:
        place = self._places.pop(key, None)
        if place is not None:
            del self._of[place.claim.priority][key]
            self._count(place.claim.network, -1, -place.rate)
            self._is_freed = True

    def _count(self, network: str, pulls: int, bitrate: int) -> None:
        self._bitrate += bitrate
        use = self._networks.get(network, NetworkUse())
        use = NetworkUse(use.pulls + pulls, use.bitrate + bitrate)
        if use.pulls:
            self._networks[network] = use
        else:
            self._networks.pop(network, None)
