"""Who answered when: decides which source is due a probe, which is lost, and when we merely cannot see.

Sans-IO: monotonic seconds go in, verdicts come out; nothing here sleeps, sends or stores. A source is lost only
when the allowed number of consecutive probes stayed unanswered while we were able to see (status model 4.1, 4.3;
edge cases E1 to E3).
"""

import heapq
import math
from collections.abc import Sequence
from typing import Final

from catalog.model.display import UnknownReason
from catalog.model.incident import Basis, Fault
from gateway.common_cause import CommonCause
from gateway.verdict import BecameKnown, BecameUnknown, Decided, Lost, SelfTest, Verdict
from gateway.watch import LivenessRules, Watch

__all__ = ["BecameKnown", "BecameUnknown", "Liveness", "LivenessRules", "Lost", "SelfTest", "Verdict"]

SAMPLES_AT_ONCE: Final = 10_000
"""Sources looked at in one tick for having been asked; 5 ms."""


class Liveness:
    """The watch over all sources of this gateway."""

    def __init__(self, rules: LivenessRules, *, started: float) -> None:
        self._rules = rules
        self._watches: dict[int, Watch] = {}
        self._queue: list[tuple[float, int]] = []
        self._missing: set[int] = set()
        self._grace: set[int] = set()
        self._unseen: set[int] = set()
        "Sources that we could not ask at their last turn because our own path to them is lost."
        self._own_network_ok = True
        self._blind_from = math.inf
        "Since when our own network is down; infinite while it is not, and once its loss was told for all."
        self._next_grace_check = started
        self._next_sample_check = started
        self._to_sample: list[int] = []
        "Those not looked at yet in the present round."
        self._causes = CommonCause(rules)
        self._decided: list[Decided] = []

    def __len__(self) -> int:
        return len(self._watches)

    def __contains__(self, source_id: int) -> bool:
        return source_id in self._watches

    @property
    def suspects_common_cause(self) -> bool:
        """Whether many sources went silent together and no self-test has decided yet."""
        return self._causes.open is not None

    # -- who is watched ------------------------------------------------------------------------------------------

    def track(
        self,
        source_id: int,
        *,
        connected: bool,
        down: bool,
        now: float,
        unknown: UnknownReason | None = None,
    ) -> None:
        """Begin to watch a source.

        Args:
            source_id: the source.
            connected: it had its first connection at some time.
            down: it is offline as far as is stored.
            now: monotonic seconds.
            unknown: why nobody watched it just before, after a first connection: unknown until it answers or the
                restart grace ends.
        """
        # Spread over one interval, so that 100,000 sources are not probed in the same second after a start.
        spread = (source_id * 2_654_435_761 % 4096) / 4096 * self._rules.probe_interval
        watch = Watch(due=now + spread, observable_from=now, connected=connected, down=down)
        if unknown is not None:
            watch.unknown = unknown
            self._begin_grace(source_id, watch, now)
        self._watches[source_id] = watch
        heapq.heappush(self._queue, (watch.due, source_id))

    def forget(self, source_id: int) -> None:
        """Stop watching a source (retired)."""
        watch = self._watches.pop(source_id, None)
        if watch is not None:
            self._missing.discard(source_id)
            self._grace.discard(source_id)
            self._unseen.discard(source_id)
            if self._causes.open is not None:
                self._causes.open.members.discard(source_id)

    def doubtful(self) -> list[int]:
        """Return the connected sources that did not answer when they were asked last, or are gone or not seen."""
        return [
            source_id
            for source_id, watch in self._watches.items()
            if watch.connected and (watch.misses or watch.down or watch.unknown is not None)
        ]

    def unknown_of(self, source_id: int) -> UnknownReason | None:
        """Return why the source cannot be seen, or None."""
        watch = self._watches.get(source_id)
        return None if watch is None else watch.unknown

    # -- what comes in -------------------------------------------------------------------------------------------

    def alive(self, source_id: int, at: float) -> list[Verdict]:
        """Take in positive evidence; return what it ends. The source is up from now on."""
        watch = self._watches.get(source_id)
        if watch is None or (watch.last_positive is not None and at < watch.last_positive):
            return []
        watch.last_positive = at
        watch.down = False
        self._unseen.discard(source_id)
        if watch.misses:
            watch.misses = 0
            self._missing.discard(source_id)
        if watch.unknown is None:
            return []
        return [self._known(source_id, watch, at)]

    def connected(self, source_id: int, at: float) -> list[Verdict]:
        """Take in the first connection: from now on missing answers count."""
        watch = self._watches.get(source_id)
        if watch is None:
            return []
        watch.connected = True
        return self.alive(source_id, at)

    def left(self, source_id: int) -> None:
        """Take in a good-bye: the source is down without any further miss."""
        watch = self._watches.get(source_id)
        if watch is not None:
            watch.down = True
            watch.misses = 0
            self._missing.discard(source_id)

    def missed(self, source_id: int, at: float, cause: str) -> None:
        """Take in one unanswered probe. Nothing is decided here, see `judge`."""
        watch = self._watches.get(source_id)
        if watch is None:
            return
        watch.last_attempt = at
        if watch.last_positive is not None and at < watch.last_positive:
            return  # the answer came by another way while this probe was waiting
        watch.cause = cause
        if self._own_network_ok:
            watch.misses += 1
        if watch.unknown is UnknownReason.NO_SAMPLES and source_id not in self._grace:
            watch.observable_from = at
            watch.misses = 1
            self._begin_grace(source_id, watch, at - self._rules.restart_grace)
        elif source_id in self._unseen:
            # Our path to it is back: from here on its silence is its own.
            self._unseen.discard(source_id)
            watch.observable_from = at
            watch.misses = 1
            if watch.unknown is UnknownReason.OWN_NETWORK_DOWN:
                self._begin_grace(source_id, watch, at)
        if watch.connected and not watch.down:
            self._missing.add(source_id)

    def unseen(self, source_id: int, at: float) -> None:
        """Take in that the source was due but our own path to it is lost: its silence is ours, not a miss."""
        watch = self._watches.get(source_id)
        if watch is not None:
            watch.last_attempt = at
            self._unseen.add(source_id)
            self._missing.discard(source_id)

    def own_network(self, ok: bool, now: float) -> None:
        """Take in what the standing check of our own interfaces and references says.

        While it is not ok no miss counts, and after as long as a source is given to answer nobody is known to be
        offline any more either. When it is ok again the silent ones have the restart grace to answer, and whoever
        stays silent counts as offline from the recovery on, not from before it (E2).
        """
        if ok and not self._own_network_ok:
            for source_id in self._missing:
                watch = self._watches[source_id]
                watch.observable_from = now
                watch.misses = 0
            for source_id, watch in self._watches.items():
                if watch.unknown is UnknownReason.OWN_NETWORK_DOWN:
                    self._begin_grace(source_id, watch, now)
        if not ok and self._own_network_ok:
            self._blind_from = now
        elif ok:
            self._blind_from = math.inf
        self._own_network_ok = ok

    def due(self, now: float, limit: int) -> list[int]:
        """Return at most `limit` sources to probe now, and book their next turn.

        A source that gave any sign of life within the interval needs no probe.
        """
        chosen: list[int] = []
        while self._queue and self._queue[0][0] <= now and len(chosen) < limit:
            due, source_id = heapq.heappop(self._queue)
            watch = self._watches.get(source_id)
            if watch is None or watch.due != due:
                continue  # forgotten, or booked anew
            if watch.last_positive is not None and watch.last_positive + self._rules.probe_interval > now:
                watch.due = watch.last_positive + self._rules.probe_interval
            else:
                watch.due = now + self._rules.probe_interval
                chosen.append(source_id)
            heapq.heappush(self._queue, (watch.due, source_id))
        return chosen

    def attempted(self, source_id: int, at: float) -> None:
        """Note that a probe was really sent (an answer is reported by `alive`)."""
        watch = self._watches.get(source_id)
        if watch is not None:
            watch.last_attempt = at

    # -- what comes out ------------------------------------------------------------------------------------------

    def judge(self, now: float) -> list[Verdict]:
        """Return the verdicts that hold at `now`; call it at least once a second."""
        verdicts: list[Verdict] = []
        verdicts += self._end_grace(now)
        ripe = sorted(
            source_id for source_id in self._missing if self._is_ripe(self._watches[source_id], now)
        )
        verdicts += self._suspect(ripe, now)
        for source_id in ripe:
            watch = self._watches[source_id]
            if watch.unknown is None:
                if self._own_network_ok:
                    incident = self._causes.incident_of(watch.base, now)
                    verdicts.append(self._lost(source_id, watch, incident))
                else:
                    verdicts.append(self._unknown(source_id, watch, UnknownReason.OWN_NETWORK_DOWN))
        verdicts += self._behind_lost_paths(now)
        verdicts += self._blind_to_the_offline(now)
        verdicts += self._without_samples(now)
        suspicion = self._causes.open
        if suspicion is not None and now - suspicion.opened >= self._rules.common_cause_limit:
            verdicts += self.conclude(SelfTest.NOT_OURS, now, Basis.TIME_LIMIT)
        return verdicts

    def conclude(self, result: SelfTest, now: float, basis: Basis = Basis.SELF_TEST) -> list[Verdict]:
        """Close the open suspicion with the self-test's result.

        Not our fault: the silent ones are offline, back-dated, as one incident. Ours: they stay unknown as
        `own_network_down` until the standing check is ok again (`own_network`).
        """
        suspicion = self._causes.close()
        if suspicion is None:
            return []
        verdicts: list[Verdict] = []
        for source_id in sorted(suspicion.members):
            watch = self._watches[source_id]
            if watch.unknown is not UnknownReason.COMMON_CAUSE_SUSPECTED:
                continue  # it answered meanwhile
            if result is SelfTest.OURS:
                verdicts.append(self._unknown(source_id, watch, UnknownReason.OWN_NETWORK_DOWN))
            else:
                verdicts.append(self._known(source_id, watch, now, void=True))
                verdicts.append(self._lost(source_id, watch, suspicion.incident))
        if verdicts:
            fault = Fault.OURS if result is SelfTest.OURS else Fault.NOT_OURS
            silent = sum(isinstance(each, Lost | BecameUnknown) for each in verdicts)
            times = (suspicion.base, suspicion.opened, now)
            self._decided.append(Decided(suspicion.incident, *times, fault, basis, silent))
        if result is SelfTest.OURS:
            self.own_network(False, now)
        return verdicts

    def take_decided(self) -> list[Decided]:
        """Return the suspicions that were closed since the last call."""
        decided, self._decided = self._decided, []
        return decided

    def _is_ripe(self, watch: Watch, now: float) -> bool:
        if not watch.connected or watch.down or watch.unknown is not None:
            return False
        rules = self._rules
        silent_for = now - watch.base
        if not self._own_network_ok:
            return silent_for >= rules.probe_interval * rules.probe_misses
        return watch.misses >= rules.probe_misses and silent_for >= rules.probe_interval * (
            rules.probe_misses - 1
        )

    def _suspect(self, ripe: Sequence[int], now: float) -> list[Verdict]:
        """Open or widen the suspicion of a common cause around the sources that are about to be lost (E3)."""
        causes, watches = self._causes, self._watches
        if not ripe or not self._own_network_ok:
            return []
        if causes.open is None:
            up = sum(watch.connected and not watch.down for watch in watches.values())
            silent = (watches[source_id].base for source_id in self._missing)
            causes.suspect((watches[source_id].base for source_id in ripe), silent, up, now)
        if causes.open is None:
            return []
        verdicts: list[Verdict] = []
        for source_id in ripe:
            watch = watches[source_id]
            if causes.is_around(causes.open, watch.base):
                causes.open.members.add(source_id)
                verdicts.append(self._unknown(source_id, watch, UnknownReason.COMMON_CAUSE_SUSPECTED))
        return verdicts

    def _behind_lost_paths(self, now: float) -> list[Verdict]:
        """Find sources that we could not ask for as long as a source is given to answer."""
        patience = self._rules.probe_interval * self._rules.probe_misses
        verdicts: list[Verdict] = []
        for source_id in sorted(self._unseen):
            watch = self._watches[source_id]
            is_up = watch.connected and not watch.down and watch.unknown is None
            if is_up and now - watch.base >= patience:
                verdicts.append(self._unknown(source_id, watch, UnknownReason.OWN_NETWORK_DOWN))
        return verdicts

    def _blind_to_the_offline(self, now: float) -> list[Verdict]:
        """Find those that were offline when our own network went: they may be back without our seeing it."""
        rules = self._rules
        lost_at = self._blind_from
        if now - lost_at < rules.probe_interval * rules.probe_misses:
            return []
        self._blind_from = math.inf
        verdicts: list[Verdict] = []
        for source_id, watch in self._watches.items():
            if watch.connected and watch.down and watch.unknown is None:
                watch.unknown = UnknownReason.OWN_NETWORK_DOWN
                verdicts.append(BecameUnknown(source_id, UnknownReason.OWN_NETWORK_DOWN, from_=lost_at))
        return verdicts

    def _begin_grace(self, source_id: int, watch: Watch, start: float) -> None:
        watch.grace_until = start + self._rules.restart_grace
        self._next_grace_check = min(self._next_grace_check, watch.grace_until)
        self._grace.add(source_id)

    def _end_grace(self, now: float) -> list[Verdict]:
        """End the grace of whoever did not answer all through it.

        Whether it is lost is then decided like any other silence; one that was offline before simply shows offline
        again, and one that nobody could ask has no samples.
        """
        if now < self._next_grace_check:
            return []
        rules = self._rules
        verdicts: list[Verdict] = []
        for source_id in sorted(self._grace):
            watch = self._watches[source_id]
            if now < watch.grace_until:
                continue
            if watch.misses >= rules.probe_misses or watch.down:
                verdicts.append(self._known(source_id, watch, now))
            elif now - (watch.last_attempt or watch.grace_until) > rules.probe_interval * rules.probe_misses:
                self._grace.discard(source_id)
                if watch.unknown is not UnknownReason.NO_SAMPLES:
                    watch.unknown = UnknownReason.NO_SAMPLES
                    verdicts.append(
                        BecameUnknown(source_id, UnknownReason.NO_SAMPLES, from_=watch.grace_until)
                    )
        waiting = [self._watches[source_id].grace_until for source_id in self._grace]
        self._next_grace_check = max(min(waiting), now + 1.0) if waiting else math.inf
        return verdicts

    def _without_samples(self, now: float) -> list[Verdict]:
        """Find sources that nobody asked for so long that their silence says nothing."""
        rules = self._rules
        if not self._to_sample and now >= self._next_sample_check:
            self._next_sample_check = now + rules.probe_interval / 4
            self._to_sample = list(self._watches)
        turn = self._to_sample[-SAMPLES_AT_ONCE:]
        del self._to_sample[-SAMPLES_AT_ONCE:]
        patience = rules.probe_interval * (rules.probe_misses + 1)
        verdicts: list[Verdict] = []
        for source_id in turn:
            watch = self._watches.get(source_id)
            if watch is None or not watch.connected or watch.down or watch.unknown is not None:
                continue
            if now - max(watch.base, watch.last_attempt or watch.base) > patience:
                verdicts.append(self._unknown(source_id, watch, UnknownReason.NO_SAMPLES))
        return verdicts

    def _lost(self, source_id: int, watch: Watch, incident: str | None = None) -> Lost:
        watch.down = True
        self._missing.discard(source_id)
        return Lost(
            source_id,
            from_=self._offline_from(watch),
            last_positive=watch.last_positive,
            cause=watch.cause,
            incident=incident,
        )

    def _offline_from(self, watch: Watch) -> float:
        if watch.last_positive is None:
            return watch.observable_from
        return max(watch.last_positive + self._rules.probe_interval, watch.observable_from)

    def _unknown(self, source_id: int, watch: Watch, reason: UnknownReason) -> BecameUnknown:
        watch.unknown = reason
        return BecameUnknown(source_id, reason, from_=self._offline_from(watch))

    def _known(self, source_id: int, watch: Watch, at: float, *, void: bool = False) -> BecameKnown:
        watch.unknown = None
        self._grace.discard(source_id)
        return BecameKnown(source_id, at, void=void)
