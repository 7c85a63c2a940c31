"""What of the status waits to be stored, in order; bounded, and patient with a database that is away.

Owns no task: the status service calls `flush` once a second. What is acknowledged here is what others may see.
"""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from catalog.errors import ConstraintViolated, DatabaseAway, QueryFailed, TransactionConflict
from catalog.model.display import UnknownReason
from catalog.model.incident import Incident
from catalog.observations import Contact, Observations, StatusChange
from gateway.clock import Clock
from gateway.steady_time import SteadyTime

logger = logging.getLogger(__name__)

BATCH: Final = 5_000
"""Changes in one transaction at most."""

PENDING_LIMIT: Final = 200_000
"""Changes that wait for a database that is away; beyond it the oldest are dropped, counted and logged.

The time itself is never wrong by that: the whole outage is an unknown interval."""

INCIDENTS_LIMIT: Final = 1_000
"""Incidents that wait: one an hour for six weeks."""

Acknowledge = Callable[[Sequence[StatusChange], Sequence[Contact]], None]


class StatusJournal:
    """The changes on their way to the catalog."""

    def __init__(
        self, observations: Observations, clock: Clock, *, heartbeat: float, limit: int = PENDING_LIMIT
    ) -> None:
        """Begin empty.

        Args:
            observations: the one writer.
            clock: tells monotonic time.
            heartbeat: seconds between two writes of `observed_until` when nothing changes; an outage of the
                database that lasts longer is unknown time.
            limit: changes that may wait.
        """
        self._observations = observations
        self._clock = clock
        self._heartbeat = heartbeat
        self._limit = limit
        self._pending: deque[StatusChange] = deque()
        self._contacts: dict[int, Contact] = {}
        self._incidents: deque[Incident] = deque()
        self._stored_at = clock.monotonic()
        self._away_since: float | None = None
        self.dropped = 0
        "Changes dropped because the database was away for too long."

    def __len__(self) -> int:
        return len(self._pending)

    @property
    def is_stored(self) -> bool:
        """Whether the database took the last batch: false while it is away."""
        return self._away_since is None

    def add(self, change: StatusChange) -> None:
        """Put a change at the end of what waits."""
        self._pending.append(change)
        if len(self._pending) > self._limit:
            self._pending.popleft()
            self.dropped += 1
            if self.dropped == 1 or self.dropped % 10_000 == 0:
                logger.error(
                    "the database is away and %d waiting changes were dropped",
                    self.dropped,
                    extra={"action": "status_dropped"},
                )

    def note_incident(self, incident: Incident) -> None:
        """Have an incident stored; of too many that wait the oldest is dropped, and that is logged."""
        if len(self._incidents) == INCIDENTS_LIMIT:
            dropped = self._incidents.popleft()
            logger.error(
                "the database is away and incident %s was dropped",
                dropped.name,
                extra={"action": "incident_dropped"},
            )
        self._incidents.append(incident)

    def note(self, contact: Contact) -> None:
        """Have the newest contact of a source stored; an older one that waits is replaced."""
        self._contacts[contact.source_id] = contact

    def forget(self, source_id: int) -> None:
        """Drop the contact of a source that is watched no more."""
        self._contacts.pop(source_id, None)

    def sources(self) -> set[int]:
        """Return the sources of which changes wait."""
        return {change.source_id for change in self._pending}

    async def flush(self, time: SteadyTime, acknowledge: Acknowledge) -> None:
        """Store what waits and hand it to `acknowledge`; while the database is away it goes on waiting.

        Raises:
            WriterReplaced: another start of this gateway owns the status; stop.
        """
        is_due = (
            self._pending
            or self._contacts
            or self._incidents
            or self._clock.monotonic() - self._stored_at >= self._heartbeat
        )
        if not is_due and self._away_since is None:
            return
        try:
            await self._end_outage(time)
            while True:
                batch = [self._pending[index] for index in range(min(BATCH, len(self._pending)))]
                contacts = list(self._contacts.values())[:BATCH]
                stored = await self._write(batch, contacts, time)
                self._take_out(batch, contacts)
                acknowledge(stored, contacts)
                if not self._pending and not self._contacts:
                    break
            await self._write_incidents()
        except DatabaseAway as error:
            if self._away_since is None:
                self._away_since = self._stored_at
                logger.warning("the database is away: %s", error, extra={"action": "database_away"})
        except TransactionConflict as error:
            # An import or an edit was preferred; the same batch follows in a second.
            logger.info("the status waits for another change: %s", error, extra={"action": "status_conflict"})

    async def _write(
        self, batch: Sequence[StatusChange], contacts: Sequence[Contact], time: SteadyTime
    ) -> Sequence[StatusChange]:
        """Store a batch; when the database refuses it, store its changes one by one, leaving out the culprits."""
        try:
            await self._observations.write(batch, contacts, observed_until=time.now())
        except (ConstraintViolated, QueryFailed) as error:
            logger.error(  # noqa: TRY400 - the database's words tell more than our stack
                "a batch of %d changes was refused: %s", len(batch), error, extra={"action": "status_refused"}
            )
        else:
            return batch
        stored: list[StatusChange] = []
        for change in batch:
            try:
                await self._observations.write([change], [], observed_until=time.now())
            except (ConstraintViolated, QueryFailed) as error:
                logger.error(  # noqa: TRY400 - as above
                    "change %d (%s) of source %d is not stored: %s",
                    change.seq,
                    change.kind,
                    change.source_id,
                    error,
                    extra={"action": "status_refused", "source_id": change.source_id},
                )
            else:
                stored.append(change)
        return stored

    async def _write_incidents(self) -> None:
        """Store the incidents that wait; one that the database refuses is left out, and holds up nothing."""
        while self._incidents:
            incident = self._incidents[0]
            try:
                await self._observations.note_incident(incident)
            except (ConstraintViolated, QueryFailed) as error:
                logger.error(  # noqa: TRY400 - the database's words tell more than our stack
                    "incident %s is not stored: %s",
                    incident.name,
                    error,
                    extra={"action": "incident_refused"},
                )
            if self._incidents and self._incidents[0] is incident:
                self._incidents.popleft()

    def _take_out(self, batch: Sequence[StatusChange], contacts: Sequence[Contact]) -> None:
        self._stored_at = self._clock.monotonic()
        # The limit may have taken some of them out already, while they were being written.
        while batch and self._pending and self._pending[0].seq <= batch[-1].seq:
            self._pending.popleft()
        for contact in contacts:
            if self._contacts.get(contact.source_id) is contact:
                del self._contacts[contact.source_id]

    async def _end_outage(self, time: SteadyTime) -> None:
        """Close an outage of the database that lasted longer than a heartbeat as unknown, charged to nobody."""
        if self._away_since is None:
            return
        now = self._clock.monotonic()
        if now - self._away_since >= self._heartbeat:
            await self._observations.add_outage(
                UnknownReason.DATABASE_AWAY, time.at(self._away_since), time.at(now)
            )
            self._stored_at = now
        logger.info(
            "the database is back after %.0f s", now - self._away_since, extra={"action": "database_back"}
        )
        self._away_since = None
