"""The status of every source of this gateway: takes facts in, keeps the live state, has it stored, tells who listens.

All methods that take facts are synchronous and never block; `run` judges and stores once a second. What listeners
and views get is what the catalog has acknowledged, never more. Owns one task's state; no lock is needed.
"""

import logging
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from catalog.model.connectivity import DegradeReason, Evidence, EvidenceKind, State
from catalog.model.display import Displayed, Lifecycle, SuspendedReason, UnknownReason
from catalog.model.incident import Incident
from catalog.observations import Contact, Observations, StatusChange, StoredStatus
from gateway.clock import Clock
from gateway.liveness import BecameKnown, BecameUnknown, Liveness, Lost, SelfTest, Verdict
from gateway.status_feed import StatusEvent, StatusFeed
from gateway.status_journal import PENDING_LIMIT, StatusJournal
from gateway.status_view import StatusView, StatusViews, Tracked, view_of_change, view_of_tracked
from gateway.steady_time import SteadyTime

logger = logging.getLogger(__name__)

INSTANT: Final = timedelta(microseconds=1)
"""The shortest interval that the history can hold."""


@dataclass
class FlappingRule:
    """How many changes to or from offline within how many seconds make a source flapping."""

    transitions: int = 6
    window: float = 3600.0


class StatusService:
    """The single place where a source's status changes."""

    def __init__(
        self,
        observations: Observations,
        liveness: Liveness,
        clock: Clock,
        *,
        flapping: FlappingRule | None = None,
        heartbeat: float = 15.0,
        pending_limit: int = PENDING_LIMIT,
    ) -> None:
        self._observations = observations
        self._liveness = liveness
        self._clock = clock
        self._time = SteadyTime(clock)
        self._flapping = flapping or FlappingRule()
        self._tracked: dict[int, Tracked] = {}
        self.views = StatusViews()
        "The acknowledged status of every watched source."
        self._journal = StatusJournal(observations, clock, heartbeat=heartbeat, limit=pending_limit)
        self._transitions: Counter[tuple[State, State]] = Counter()
        self._sequence = 0
        self._epoch = 0
        self._flapping_checked = clock.monotonic()
        self.feed = StatusFeed()

    # -- life ----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open a new epoch, load what is stored and begin to watch.

        Every source that was connected before is unknown (restart_grace) until it answers or the grace ends.

        Raises:
            DatabaseAway: the catalog does not answer.
        """
        self._time = SteadyTime(self._clock, not_before=await self._observations.latest_instant())
        started = await self._observations.start(self._time.now())
        self._epoch = started.epoch
        self._sequence = 0
        now = self._clock.monotonic()
        for stored in await self._observations.load():
            self._adopt(stored, now, UnknownReason.RESTART_GRACE)
        await self.flush()
        logger.info(
            "watching %d sources, %d of them unknown until they answer, epoch %d",
            len(self._tracked),
            self.views.shown.get(Displayed.UNKNOWN, 0),
            self._epoch,
            extra={"action": "status_started"},
        )

    async def reload(self) -> None:
        """Take in what the roll added or retired since; states already watched stay as they are live."""
        stored = {status.source_id: status for status in await self._observations.load()}
        now = self._clock.monotonic()
        for source_id in self._tracked.keys() - stored.keys():
            del self._tracked[source_id]
            self.views.forget(source_id)
            self._journal.forget(source_id)
            self._liveness.forget(source_id)
        for source_id, status in stored.items():
            known = self._tracked.get(source_id)
            if known is None:
                # New on the roll, or let in again: whatever was known of it is as old as it was away.
                self._adopt(status, now, UnknownReason.NO_SAMPLES)
            elif _names(known) != _names(status):
                self._rename(known, status)

    def _rename(self, known: Tracked, status: StoredStatus) -> None:
        known.district, known.gb_id, known.lifecycle = status.district, status.gb_id, status.lifecycle
        self._show(known)

    def _adopt(self, stored: StoredStatus, now: float, unseen: UnknownReason) -> None:
        """Watch a source; one that connected before is unknown by `unseen` until it answers."""
        tracked = Tracked(
            source_id=stored.source_id,
            district=stored.district,
            gb_id=stored.gb_id,
            lifecycle=stored.lifecycle,
            connectivity=stored.connectivity,
            unknown=stored.unknown,
            unknown_since=stored.unknown_since,
            suspended=stored.suspended,
            suspended_since=stored.suspended_since,
            flapping=stored.flapping,
            # Its turns before our start are not known one by one; it settles no earlier for our restart.
            turns=deque([now] * self._flapping.transitions if stored.flapping else ()),
            obstacle=stored.obstacle,
            seen_at=stored.seen_at,
        )
        self._tracked[stored.source_id] = tracked
        state = stored.connectivity.state
        has_connected = state is not State.NEVER_CONNECTED
        self._liveness.track(
            stored.source_id,
            connected=has_connected,
            down=state is State.OFFLINE,
            now=now,
            unknown=unseen if has_connected else None,
        )
        if has_connected:
            at = self._time.now()
            tracked.unknown, tracked.unknown_since = unseen, at
            self._record(tracked, "unknown_opened", at, at, reason=unseen.value)
        # Ahead of what is stored where it is unknown: a state from before our start is never shown as the present.
        self._show(tracked)

    # -- facts ---------------------------------------------------------------------------------------------------

    def alive(self, source_id: int, *, at: float, cause: str | None = None) -> None:
        """Take in a sign of life at monotonic `at`: a probe's answer, media, or what `cause` says."""
        verdicts = self._liveness.alive(source_id, at)
        tracked = self._tracked.get(source_id)
        if tracked is None:
            return
        if verdicts or tracked.connectivity.state is State.OFFLINE or tracked.waiting:
            self._came_alive(tracked, Evidence(EvidenceKind.ALIVE, self._time.at(at)), at, cause=cause)

    def connected(self, source_id: int, *, at: float, detail: Mapping[str, object] | None = None) -> None:
        """Take in the proven first connection (status model 4.3)."""
        self._liveness.connected(source_id, at)
        tracked = self._tracked.get(source_id)
        if tracked is not None:
            self._set_obstacle(tracked, None)
            # Its row may have been born by another machine's clock: no disagreement of clocks takes this fact away.
            instant = max(self._time.at(at), tracked.connectivity.since + INSTANT)
            self._came_alive(tracked, Evidence(EvidenceKind.CONNECTED, instant), at, detail)

    def _came_alive(
        self,
        tracked: Tracked,
        evidence: Evidence,
        at: float,
        detail: Mapping[str, object] | None = None,
        *,
        cause: str | None = None,
    ) -> None:
        was_unknown = tracked.unknown
        if was_unknown is not None:
            # What we could not see began no later than it ended, whatever the wall clock did between.
            evidence = _moved(evidence, max(evidence.at, tracked.unknown_since or evidence.at))
            tracked.unknown, tracked.unknown_since, tracked.known_from = None, None, evidence.at
        if tracked.connectivity.state is State.OFFLINE or was_unknown is not None:
            # What went wrong while it or we were away says nothing about it now; whoever measures it tells it again.
            tracked.waiting.clear()
        self._take(tracked, evidence, at, cause=cause, unknown_closed=was_unknown, detail=detail)
        for reason, since in list(tracked.waiting.items()):
            if at >= since and tracked.connectivity.state is not State.NEVER_CONNECTED:
                del tracked.waiting[reason]
                self._quality(tracked, EvidenceKind.IMPAIRED, reason, since)

    def doubtful(self) -> Sequence[int]:
        """Return the connected sources that did not answer us last."""
        return self._liveness.doubtful()

    def left(self, source_id: int, *, at: float, cause: str | None = None) -> None:
        """Take in a good-bye of the source itself, or of the device over which alone it comes (`cause`)."""
        self._liveness.left(source_id)
        tracked = self._tracked.get(source_id)
        if tracked is not None:
            self._take(tracked, Evidence(EvidenceKind.LEFT, self._time.at(at)), at, cause=cause)

    def impaired(self, source_id: int, reason: DegradeReason, *, at: float) -> None:
        """Take in that a degrade reason opened.

        It counts from `at` as soon as a sign of life at or after `at` shows that the source itself is there:
        a source whose media stopped because it went away is on its way to offline, not degraded.
        """
        tracked = self._tracked.get(source_id)
        if tracked is None or reason in tracked.connectivity.reasons:
            return
        tracked.waiting.setdefault(reason, at)

    def restored(self, source_id: int, reason: DegradeReason, *, at: float) -> None:
        """Take in that a degrade reason closed; one that is not open changes nothing."""
        tracked = self._tracked.get(source_id)
        if tracked is None:
            return
        tracked.waiting.pop(reason, None)
        if reason in tracked.connectivity.reasons:
            self._quality(tracked, EvidenceKind.RESTORED, reason, at)

    def suspended(self, source_id: int, reason: SuspendedReason | None, *, at: datetime) -> None:
        """Take in that an approved window began or ended at `at` (UTC); None: the source is in none any more.

        What was measured goes on beneath it. Repeated, it changes nothing.
        """
        tracked = self._tracked.get(source_id)
        if tracked is None or tracked.suspended is reason:
            return
        before = tracked.suspended
        # A window is never shorter than an instant, and begins no earlier than the source.
        if before is not None and tracked.suspended_since is not None:
            at = max(at, tracked.suspended_since + INSTANT)
        tracked.suspended, tracked.suspended_since = reason, at if reason is not None else None
        kind = "suspended_closed" if reason is None else "suspended_opened"
        word = reason or before
        self._record(tracked, kind, at, self._time.now(), reason=word.value if word is not None else None)

    def suspensions(self) -> dict[int, SuspendedReason]:
        """Return which sources are suspended now, and why."""
        return {
            each.source_id: each.suspended for each in self._tracked.values() if each.suspended is not None
        }

    def seen(self, source_id: int, *, at: float) -> None:
        """Take in contact with the device that is no connection."""
        tracked = self._tracked.get(source_id)
        if tracked is not None and tracked.seen_at is None:
            tracked.seen_at = self._time.at(at)
            self._journal.note(Contact(source_id, tracked.obstacle, tracked.seen_at))

    def obstacle(self, source_id: int, word: str | None) -> None:
        """Take in why the source is not relayed or not connected, in one stable word; None when nothing is."""
        tracked = self._tracked.get(source_id)
        if tracked is not None:
            self._set_obstacle(tracked, word)

    def _set_obstacle(self, tracked: Tracked, word: str | None) -> None:
        if tracked.obstacle != word:
            tracked.obstacle = word
            self._journal.note(Contact(tracked.source_id, word, tracked.seen_at))

    def missed(self, source_id: int, *, at: float, cause: str) -> None:
        """Take in an unanswered probe."""
        self._liveness.missed(source_id, at, cause)

    def unseen(self, source_id: int, *, at: float) -> None:
        """Take in that a source was due but our own path to it is lost."""
        self._liveness.unseen(source_id, at)

    def own_network(self, ok: bool) -> None:
        """Take in the standing check of our own side."""
        self._liveness.own_network(ok, self._clock.monotonic())

    def conclude(self, result: SelfTest) -> None:
        """Take in the self-test's answer to an open suspicion."""
        self._apply(self._liveness.conclude(result, self._clock.monotonic()))
        self._note_decided()

    @property
    def suspects_common_cause(self) -> bool:
        """Whether many sources went silent together and the self-test has not answered yet."""
        return self._liveness.suspects_common_cause

    # -- judging -------------------------------------------------------------------------------------------------

    def judge(self) -> None:
        """Let missing evidence speak; called once a second."""
        now = self._clock.monotonic()
        self._apply(self._liveness.judge(now))
        self._note_decided()
        if now - self._flapping_checked >= 60:
            self._flapping_checked = now
            for tracked in self._tracked.values():
                if tracked.flapping:
                    self._mark_flapping(tracked, now)

    def _note_decided(self) -> None:
        for decided in self._liveness.take_decided():
            self._journal.note_incident(
                Incident(
                    name=f"{self._epoch}-{decided.incident}",
                    silent_from=self._time.at(decided.silent_from),
                    suspected_at=self._time.at(decided.suspected),
                    decided_at=self._time.at(decided.decided),
                    fault=decided.fault,
                    basis=decided.basis,
                    silent=decided.silent,
                )
            )

    def _apply(self, verdicts: Iterable[Verdict]) -> None:
        for verdict in verdicts:
            tracked = self._tracked.get(verdict.source_id)
            if tracked is None:
                continue
            match verdict:
                case Lost():
                    self._lose(tracked, verdict)
                case BecameUnknown():
                    self._open_unknown(tracked, verdict)
                case BecameKnown():
                    self._close_unknown(tracked, verdict)

    def _lose(self, tracked: Tracked, lost: Lost) -> None:
        tracked.waiting.clear()
        last = tracked.connectivity.last_positive_at
        if lost.last_positive is not None:
            last = self._time.at(lost.last_positive)
        # A step of the wall clock may have moved `since`, or the last sign of life, past it; the history knows no
        # negative interval, and the stored facts must tell the same state again.
        before = tracked.connectivity
        floors = (before.since + INSTANT, before.newest_at, before.last_positive_at)
        instant = max(self._time.at(lost.from_), *(floor for floor in floors if floor is not None))
        evidence = Evidence(EvidenceKind.LOST, instant, last_positive_at=last)
        detail = {"incident": f"{self._epoch}-{lost.incident}"} if lost.incident else None
        self._take(tracked, evidence, self._clock.monotonic(), cause=lost.cause, detail=detail)

    def _open_unknown(self, tracked: Tracked, verdict: BecameUnknown) -> None:
        # It may not reach back into an unknown that was closed already: no second counts twice.
        floors = (tracked.connectivity.since, tracked.unknown_since, tracked.known_from)
        at = max(self._time.at(verdict.from_), *(floor for floor in floors if floor is not None))
        tracked.unknown, tracked.unknown_since = verdict.reason, at
        self._record(tracked, "unknown_opened", at, self._time.now(), reason=verdict.reason.value)

    def _close_unknown(self, tracked: Tracked, verdict: BecameKnown) -> None:
        if tracked.unknown is None:
            return
        reason, since = tracked.unknown, tracked.unknown_since
        # A void suspicion ends where it began: the silence is charged from its beginning, as for any other source.
        at = since if verdict.void and since is not None else self._time.at(verdict.at)
        tracked.unknown, tracked.unknown_since, tracked.known_from = None, None, at
        self._record(tracked, "unknown_closed", at, self._time.now(), reason=reason.value)

    def _quality(self, tracked: Tracked, kind: EvidenceKind, reason: DegradeReason, at: float) -> None:
        instant = max(self._time.at(at), tracked.connectivity.since + INSTANT)
        self._take(tracked, Evidence(kind, instant, reason=reason), at)

    def _take(
        self,
        tracked: Tracked,
        evidence: Evidence,
        at: float,
        *,
        cause: str | None = None,
        unknown_closed: UnknownReason | None = None,
        detail: Mapping[str, object] | None = None,
    ) -> None:
        """Run the transition table, and record whatever it or the end of an unknown interval changed."""
        before = tracked.connectivity
        after = before.after(evidence)
        if after.state is not before.state and after.since <= before.since:
            after = before.after(_moved(evidence, before.since + INSTANT))
        tracked.connectivity = after
        if after.same_state_as(before) and unknown_closed is None:
            return
        if after.state is not before.state:
            self._transitions[before.state, after.state] += 1
            if State.OFFLINE in (before.state, after.state):
                tracked.turns.append(at)
                self._mark_flapping(tracked, at)
        reason = cause or (evidence.reason.value if evidence.reason else None)
        if reason is None and unknown_closed is not None:
            reason = unknown_closed.value
        self._record(
            tracked,
            evidence.kind.value,
            after.since if after.state is not before.state else evidence.at,
            self._time.now(),
            reason=reason,
            detail=detail,
        )

    def _mark_flapping(self, tracked: Tracked, now: float) -> None:
        while tracked.turns and now - tracked.turns[0] > self._flapping.window:
            tracked.turns.popleft()
        is_flapping = len(tracked.turns) >= self._flapping.transitions
        if is_flapping != tracked.flapping:
            tracked.flapping = is_flapping
            at = self._time.now()
            self._record(tracked, "flapping_changed", at, at, reason="flapping" if is_flapping else "settled")

    def _record(
        self,
        tracked: Tracked,
        kind: str,
        at: datetime,
        received_at: datetime,
        *,
        reason: str | None = None,
        detail: Mapping[str, object] | None = None,
    ) -> None:
        self._sequence += 1
        self._journal.add(
            StatusChange(
                source_id=tracked.source_id,
                seq=(self._epoch << 32) + self._sequence,
                district=tracked.district,
                kind=kind,
                at=at,
                received_at=received_at,
                connectivity=tracked.connectivity,
                reason=reason,
                unknown=tracked.unknown,
                unknown_at=tracked.unknown_since if tracked.unknown else at,
                suspended=tracked.suspended,
                suspended_at=tracked.suspended_since if tracked.suspended else at,
                flapping=tracked.flapping,
                detail=detail or {},
            )
        )
        logger.log(
            # A restart opens and closes an unknown interval of every source: that is one line, not 100,000.
            logging.DEBUG
            if kind.startswith("unknown_") or reason == UnknownReason.RESTART_GRACE
            else logging.INFO,
            "source %d: %s%s -> %s%s since %s",
            tracked.source_id,
            kind,
            f" ({reason})" if reason else "",
            tracked.connectivity.state.value,
            f", unknown ({tracked.unknown.value})" if tracked.unknown else "",
            tracked.connectivity.since.isoformat(timespec="seconds"),
            extra={"action": "status_changed", "source_id": tracked.source_id},
        )

    # -- storing -------------------------------------------------------------------------------------------------

    async def flush(self) -> None:
        """Store what waits; while the database is away it goes on waiting.

        Raises:
            WriterReplaced: another start of this gateway owns the status; stop.
        """
        await self._journal.flush(self._time, self._acknowledged)

    @property
    def is_stored(self) -> bool:
        """Whether the database took the last batch: false while it is away."""
        return self._journal.is_stored

    @property
    def waiting(self) -> int:
        """Return how many changes wait to be stored."""
        return len(self._journal)

    @property
    def dropped(self) -> int:
        """Return how many changes were dropped because the database was away for too long."""
        return self._journal.dropped

    def take_transitions(self) -> Mapping[tuple[State, State], int]:
        """Return how often which state followed which since the last call."""
        taken, self._transitions = self._transitions, Counter()
        return taken

    def _acknowledged(self, batch: Sequence[StatusChange], contacts: Sequence[Contact]) -> None:
        for change in batch:
            tracked = self._tracked.get(change.source_id)
            if tracked is None:
                continue
            view = view_of_change(change, tracked)
            self.views.put(view)
            self.feed.publish(StatusEvent.of(change, view.displayed, tracked.gb_id))
        # A contact may be shown at once unless newer, unacknowledged changes of its source wait.
        waiting = self._journal.sources()
        for contact in contacts:
            tracked = self._tracked.get(contact.source_id)
            if tracked is not None and contact.source_id not in waiting:
                self._show(tracked)

    # -- views ---------------------------------------------------------------------------------------------------

    def _show(self, tracked: Tracked) -> None:
        self.views.put(view_of_tracked(tracked))

    def view(self, source_id: int) -> StatusView | None:
        """Return the acknowledged status of a source, or None if it is not watched here."""
        return self.views.of(source_id)

    def view_by_code(self, gb_id: str) -> StatusView | None:
        """Return the acknowledged status of the source with this 20-digit code, or None."""
        return self.views.by_code(gb_id)


def _names(status: Tracked | StoredStatus) -> tuple[str, str | None, Lifecycle]:
    return status.district, status.gb_id, status.lifecycle


def _moved(evidence: Evidence, at: datetime) -> Evidence:
    return Evidence(evidence.kind, at, evidence.reason, evidence.last_positive_at)
