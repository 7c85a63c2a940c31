"""All pulls of this gateway: starts, verifies, retries and stops what the plans call for.

Synchronous; owns no task and no socket. The service calls `update` and `forget` as the catalog changes, `look` a few
times a second, and `reassert` once a minute; `events` takes in what the relay workers report.
"""

import logging
from collections.abc import Iterator
from contextlib import closing
from typing import Final

from adapters.base import SourceKey
from catalog.errors import CredentialUnreadable
from catalog.model.plan import RelayMode, SourcePlan
from catalog.model.profile import LocationJudgement
from gateway.enrolment.admission import Admission, Hindrance, admit
from gateway.enrolment.first_connection import Proof
from gateway.enrolment.measuring import Measuring
from gateway.enrolment.places import Places
from gateway.enrolment.ports import Conditions, Ports, PullRules
from gateway.enrolment.pull import (
    RUNS,
    Phase,
    Pull,
    Session,
    differs,
    obstacle_word,
)
from gateway.enrolment.refusals import Refusals
from gateway.enrolment.specs import pull_key
from gateway.enrolment.telling import Telling
from gateway.enrolment.turns import Turns
from gateway.relay.limits import Priority, Shortage

logger = logging.getLogger(__name__)

STARTS_AT_A_LOOK: Final = 50
"""Pulls begun at once: a thousand cameras are not all called in the same second after a start."""

TRIES_AT_A_LOOK: Final = 200
"""Pulls whose turn comes at once, most of which may find no room; 10 ms."""

DEVICE_BUSY: Final = 1.0
"""Seconds until a source asks again whether its device's credential has been tried through another one."""

STOP_PATIENCE: Final = 5.0
"""Seconds that a stopped pull's last event is waited for; a worker that died sends none."""


class Pulls:
    """The set of pulls. Every method runs in the one task that owns it."""

    def __init__(self, ports: Ports, rules: PullRules) -> None:
        self.ports = ports
        self.rules = rules
        self.conditions = Conditions()
        self.refusals = Refusals()
        self._pulls: dict[int, Pull] = {}
        self._verifying: set[int] = set()
        self._stopping: set[int] = set()
        self._awaiting: set[int] = set()
        "Verified sources on demand that the superior has not taken yet."
        self._turns = Turns(self._pulls)
        self.places = Places(self._pulls, rules)
        self.telling = Telling(ports)
        self._measuring = Measuring(ports, rules, self._pulls, self.places)

    def __len__(self) -> int:
        return len(self._pulls)

    def __iter__(self) -> Iterator[Pull]:
        return iter(list(self._pulls.values()))

    def ids(self) -> set[int]:
        """Return the ids of all sources known here."""
        return set(self._pulls)

    def get(self, source_id: int) -> Pull | None:
        """Return the pull of a source, or None when it is not on the roll."""
        return self._pulls.get(source_id)

    # -- what shall be --------------------------------------------------------------------------------------------

    def update(self, plan: SourcePlan, judgement: LocationJudgement, *, anew: bool = False) -> None:
        """Take in the plan of a source, new or changed or the same.

        Args:
            plan: the plan.
            judgement: of its location by the profile of its district.
            anew: whether something outside the plan changed that may help, so that a waiting try is made now.
        """
        pull = self._pulls.get(plan.source_id)
        if pull is None:
            pull = self._pulls[plan.source_id] = Pull(plan, judgement)
            anew = True
        elif (pull.plan, pull.judgement) != (plan, judgement):
            anew = anew or differs(pull.plan, plan) or pull.judgement != judgement
            pull.plan, pull.judgement = plan, judgement
        elif not anew:
            # Nine of ten reloads bring nothing new for a source; time alone works through `look` and `reassert`.
            self.ports.status.obstacle(plan.source_id, pull.obstacle)
            return
        # What was proven here may not be stored yet.
        pull.is_connected = pull.is_connected or plan.has_connected
        if anew and pull.phase not in RUNS:
            pull.failures, pull.due_at = 0, 0.0
        self.settle(pull, anew=anew)

    def forget(self, source_id: int) -> None:
        """Stop a source that left the roll, and know nothing more of it."""
        pull = self._pulls.pop(source_id, None)
        if pull is None:
            return
        if pull.session is not None:
            self._leave(pull, pull.session)
            self.ports.relays.stop(SourceKey(source_id), "off_the_roll")
        self.places.leave(pull)
        for known in (self._verifying, self._stopping, self._awaiting):
            known.discard(source_id)

    def settle(self, pull: Pull, *, anew: bool = False) -> None:
        """Bring what is done for a source in line with what its plan and the conditions allow."""
        self._admit(pull)
        if pull.phase is not Phase.STOPPING:
            now = self.now()
            if pull.is_wanted(now):
                self._settle_wanted(pull, anew=anew)
            elif pull.session is not None:
                self.stop(pull, pull.blocked.word.value if pull.blocked is not None else "not_wanted")
            else:
                self._settle_idle(pull)
        self.telling.tell(pull)

    def _settle_wanted(self, pull: Pull, *, anew: bool) -> None:
        if pull.session is None:
            if anew and pull.phase is Phase.WAITING and self.places.budget.waits(pull.plan.source_id):
                # Not through the turns again: of a hundred thousand that wait, most would for nothing.
                self.ask_again(pull)
            elif pull.phase is Phase.IDLE or (anew and not pull.is_lined_up):
                self._enqueue(pull, pull.due_at)
            return
        session = pull.session
        self.places.budget.prefer(pull.plan.source_id, pull.priority(self.now()))
        keys = {pull_key(pull.plan, each, self.conditions.sink) for each in pull.endpoints}
        if session.key not in keys:
            pull.due_at, pull.next_endpoint = 0.0, 0
            self.stop(pull, "changed")

    def _settle_idle(self, pull: Pull) -> None:
        self.places.leave(pull)
        again_at = pull.blocked.again_at if pull.blocked is not None else None
        if again_at is None:
            pull.phase, pull.ticket, pull.is_lined_up = Phase.IDLE, pull.ticket + 1, False
            return
        due_at = self.now() + max((again_at - self.ports.clock.now()).total_seconds(), 1.0)
        if pull.phase is not Phase.WAITING or pull.is_lined_up or abs(due_at - pull.due_at) > 1.0:
            self._enqueue(pull, due_at)

    def _admit(self, pull: Pull) -> None:
        plan = self.refusals.merged(pull.plan)
        now = self.ports.clock.now()
        decision = admit(plan, pull.judgement, self.conditions.networks, now, self.ports.is_lost)
        if isinstance(decision, Admission):
            pull.endpoints, pull.blocked = decision.endpoints, None
            return
        pull.endpoints, pull.blocked = (), decision
        if decision.word is Hindrance.LOCATION_FORBIDDEN:
            self.ports.ledger.forbidden(plan.source_id, decision.requirements)

    # -- starting and stopping --------------------------------------------------------------------------------------

    def now(self) -> float:
        """Return the monotonic time."""
        return self.ports.clock.monotonic()

    def look(self) -> None:
        """Do what is due: begin pulls whose turn has come, give up what takes too long, end idle ones."""
        now = self.now()
        for source_id in list(self._stopping):
            pull = self._pulls[source_id]
            if now >= pull.stop_by:
                self.ended(pull)
        for source_id in list(self._verifying):
            pull = self._pulls[source_id]
            if pull.session is not None and now >= pull.session.deadline:
                self.fail(pull, "timeout")
        for source_id in list(self._awaiting):
            self._look_at_awaiting(self._pulls[source_id], now)
        self._turns.come(now)
        self._begin_ready()
        self._look_at_places(now)

    def _look_at_awaiting(self, pull: Pull, now: float) -> None:
        if pull.is_connected or pull.session is None:
            self._awaiting.discard(pull.plan.source_id)
        elif now >= pull.session.deadline:
            self._awaiting.discard(pull.plan.source_id)
            self.fail(pull, "")

    def _begin_ready(self) -> None:
        begun = 0
        for _ in range(TRIES_AT_A_LOOK):
            pull = self._turns.next(may_verify=self._may_verify)
            if pull is None:
                return
            self._begin(pull)
            begun += pull.session is not None
            if begun >= STARTS_AT_A_LOOK:
                return

    @property
    def _may_verify(self) -> bool:
        return len(self._verifying) < self.rules.verify_at_once

    def _enqueue(self, pull: Pull, due_at: float) -> None:
        now = self.now()
        self._turns.put(pull, due_at, now)
        self.places.wait(pull, now)

    def _begin(self, pull: Pull) -> None:
        """Begin a pull whose turn has come, if it is still admitted."""
        pull.phase = Phase.IDLE
        self._admit(pull)
        now = self.now()
        if not pull.is_wanted(now):
            self.settle(pull)
            return
        plan = pull.plan
        endpoint = pull.endpoint
        if self._take_place(pull) is not None:
            return
        if not self.refusals.may_try(endpoint, plan.source_id):
            self._enqueue(pull, now + DEVICE_BUSY * self.ports.random.uniform(0.75, 1.25))
            return
        sink, verify = self.conditions.sink, not pull.is_connected
        pull.superior = None if sink is None else pull.superior
        try:
            spec = self.ports.specs.build(plan, endpoint, sink, verify=verify)
        except CredentialUnreadable as error:
            logger.warning("source %d: %s", plan.source_id, error, extra={"action": "credential_unreadable"})
            self.refusals.left(endpoint, plan.source_id)
            pull.failure = error.cause
            self._enqueue(pull, now + self.rules.refused_rest)
            self.telling.tell(pull)
            return
        pull.session = Session(
            endpoint=endpoint,
            key=pull_key(plan, endpoint, sink),
            proof=Proof(is_matched=True, is_confirmed=endpoint.is_confirmed, needs_superior=sink is not None),
            started_at=now,
            quiet_since=now,
            deadline=now + self.ports.specs.patience if verify else float("inf"),
        )
        pull.phase = Phase.VERIFYING if verify else Phase.RUNNING
        if verify:
            self._verifying.add(plan.source_id)
        self.ports.relays.start(spec)
        self.telling.tell(pull)

    def verified(self, pull: Pull) -> None:
        """Make room for the next verification; the pull itself goes on, on demand only for a while."""
        self._verifying.discard(pull.plan.source_id)
        pull.phase = Phase.RUNNING
        if pull.session is not None and pull.plan.relay_mode is RelayMode.ON_DEMAND:
            pull.session.deadline = self.now() + self.rules.superior_patience
            self._awaiting.add(pull.plan.source_id)

    def stop(self, pull: Pull, reason: str) -> None:
        """Stop a running pull; whatever is wanted then begins after its last event."""
        if pull.session is None:
            return
        self._leave(pull, pull.session)
        pull.session, pull.phase = None, Phase.STOPPING
        pull.stop_by = self.now() + STOP_PATIENCE + self.ports.specs.bounds.teardown
        self._stopping.add(pull.plan.source_id)
        self.ports.relays.stop(SourceKey(pull.plan.source_id), reason)

    def ended(self, pull: Pull) -> None:
        """Take in that a pull told to stop is over."""
        self._stopping.discard(pull.plan.source_id)
        pull.phase = Phase.IDLE
        self.settle(pull)

    def fail(self, pull: Pull, cause: str, *, is_over: bool = False, rest: float | None = None) -> None:
        """Give the present try up and line the source up for its next one, from its next endpoint.

        Args:
            pull: a running pull.
            cause: why, in the adapter's word; empty when the fault is ours.
            is_over: whether the worker tries no more by itself.
            rest: seconds until the next try, instead of the growing wait.
        """
        source_id, session = pull.plan.source_id, pull.session
        if session is None:
            return
        pull.failure = obstacle_word(cause) if cause else pull.failure
        pull.failures += 1
        pull.next_endpoint += 1
        spread = self.ports.random.uniform(0.75, 1.25)
        pull.due_at = self.now() + (spread * self.rules.wait(pull) if rest is None else rest)
        if is_over:
            self._leave(pull, session)
            # Ended by itself, but the manager would begin it again after the loss of its worker.
            self.ports.relays.stop(SourceKey(source_id), cause or "failed")
            pull.session, pull.phase = None, Phase.IDLE
        else:
            self.stop(pull, cause or "failed")
        self.settle(pull)

    def _leave(self, pull: Pull, session: Session) -> None:
        self._verifying.discard(pull.plan.source_id)
        self.refusals.left(session.endpoint, pull.plan.source_id)

    # -- places in the budget -----------------------------------------------------------------------------------------

    def _take_place(self, pull: Pull) -> Shortage | None:
        """Take a place for a pull that is due; who must give way for it does. Else return the limit."""
        now, endpoint = self.now(), pull.endpoint
        record = self.conditions.networks.covers(endpoint.host, self.ports.clock.now())
        answer = self.places.ask(pull, "" if record is None else str(record.network), now)
        if isinstance(answer, Shortage):
            self.telling.tell(pull)
            return answer
        for victim in answer.victims:
            self._give_way(self._pulls[victim], answer.shortage, f"source {pull.plan.source_id} goes first")
        return None

    def ask_again(self, pull: Pull) -> Shortage | None:
        """Ask for the place of a pull that is due, wherever it stands; with it, its turn has come."""
        shortage = self._take_place(pull)
        if shortage is None and not pull.is_lined_up:
            self._enqueue(pull, self.now())
        return shortage

    def _give_way(self, pull: Pull, shortage: Shortage | None, reason: str) -> None:
        """End a pull whose place is gone. The fault is ours: nothing of it is charged to the source."""
        self.places.give_way(pull, shortage, reason, self.now())
        if pull.session is not None:
            self.stop(pull, "gave_way")
        elif pull.phase is Phase.WAITING:
            self._enqueue(pull, pull.due_at)
        self.telling.tell(pull)

    def _look_at_places(self, now: float) -> None:
        """Measure what is pulled, end what goes beyond a limit, and let in whoever there is room for."""
        overrun = self._measuring.look(now)
        if overrun is not None:
            self._give_way(self._pulls[overrun.key], overrun.shortage, "more is pulled than was expected")
        with closing(self.places.budget.line()) as line:
            for number, (source_id, priority) in enumerate(line):
                if number >= STARTS_AT_A_LOOK or (priority is Priority.VERIFICATION and not self._may_verify):
                    return
                if self._pulls[source_id].phase is Phase.WAITING:
                    self._begin(self._pulls[source_id])

    # -- telling ----------------------------------------------------------------------------------------------------

    def reassert(self) -> Iterator[None]:
        """Look anew at every running pull, and tell again what is open; pauses after each pull for others' turns.

        An authorisation may have ended meanwhile.
        """
        for pull in self:
            if self._pulls.get(pull.plan.source_id) is not pull:
                continue  # forgotten in a pause
            if pull.session is not None:
                self.settle(pull)
            elif self.places.forgets_bitrate(pull, self.now()):
                self.ask_again(pull)
            self.telling.again(pull)
            yield
