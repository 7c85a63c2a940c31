"""The one writer of status: evidence and state in one transaction, in batches.

No other module writes the table `connectivity`, except the roll for a row's birth and retirement. The statements
stand in `sql/observations.sql`, the table of transitions in `catalog/model/connectivity.py`.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import asyncpg

from catalog.database import Database, Transaction
from catalog.errors import CatalogError
from catalog.model.connectivity import Connectivity, DegradeReason, State
from catalog.model.display import Lifecycle, SuspendedReason, UnknownReason
from catalog.model.incident import Incident

FLUSH_TIMEOUT: Final = 30.0
"""Seconds for one batch of a storm: 5,000 changes take about one."""

LOADED_AT_ONCE: Final = 2_000
"""Sources of which the status is read before others get their turn; 10 ms."""

MONTHS_AHEAD: Final = 3


class WriterReplaced(CatalogError):
    """Raised when a newer start of the same gateway id owns the status: this process must stop writing."""


@dataclass(frozen=True)
class StatusChange:
    """The whole status of one source after one fact, and the fact."""

    source_id: int
    seq: int
    "Order within the gateway; also the id of the live event."
    district: str
    kind: str
    "The evidence kind, or `unknown_opened`, `unknown_closed`, `flapping_changed`."
    at: datetime
    received_at: datetime
    connectivity: Connectivity
    reason: str | None = None
    unknown: UnknownReason | None = None
    unknown_at: datetime | None = None
    "When the present unknown began; when it ended, for a change that closes it."
    suspended: SuspendedReason | None = None
    suspended_at: datetime | None = None
    flapping: bool = False
    detail: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Contact:
    """What is worth knowing of a source beside its state."""

    source_id: int
    obstacle: str | None
    seen_at: datetime | None


@dataclass(frozen=True)
class StoredStatus:
    """The status of one source as the catalog holds it."""

    source_id: int
    district: str
    gb_id: str | None
    lifecycle: Lifecycle
    connectivity: Connectivity
    unknown: UnknownReason | None
    unknown_since: datetime | None
    suspended: SuspendedReason | None
    suspended_since: datetime | None
    flapping: bool
    obstacle: str | None
    seen_at: datetime | None

    @classmethod
    def from_row(cls, row: asyncpg.Record) -> "StoredStatus":
        """Build it from a row of `tracked_sources`."""
        since: datetime = row["since"]
        return cls(
            source_id=row["source_id"],
            district=row["district"],
            gb_id=row["gb_id"],
            lifecycle=Lifecycle(row["lifecycle"]),
            connectivity=Connectivity(
                state=State(row["state"]),
                since=since,
                # When each reason opened is in the evidence; live it only matters that it is open.
                reasons={DegradeReason(reason): since for reason in row["reasons"]},
                first_connected_at=row["first_connected_at"],
                last_positive_at=row["last_positive_at"],
            ),
            unknown=UnknownReason(row["unknown_reason"]) if row["unknown_reason"] else None,
            unknown_since=row["unknown_since"],
            suspended=SuspendedReason(row["suspended_reason"]) if row["suspended_reason"] else None,
            suspended_since=row["suspended_since"],
            flapping=row["flapping"],
            obstacle=row["obstacle"],
            seen_at=row["seen_at"],
        )


@dataclass(frozen=True)
class GatewayStart:
    """The new epoch of a gateway, and what went before it."""

    epoch: int
    observed_until: datetime | None
    "None at the very first start."


class Observations:
    """Write what one gateway observed."""

    def __init__(self, database: Database, gateway_id: str) -> None:
        self._database = database
        self._gateway_id = gateway_id
        self._epoch = 0

    async def latest_instant(self) -> datetime | None:
        """Return the latest instant the history holds, of any source."""
        latest: datetime | None = await self._database.fetchval("latest_instant")
        return latest

    async def start(self, at: datetime) -> GatewayStart:
        """Become the writer: open an epoch, and close the time nobody watched as `gateway_down`."""
        async with self._database.transaction() as transaction:
            row = await transaction.fetchrow("start_gateway", self._gateway_id, at)
            assert row is not None  # the statement always returns its row
            observed_until: datetime | None = row["observed_until"]
            # Nobody watched before the first start: what stood on the roll then is not charged for that time.
            blind_from = observed_until or await transaction.fetchval(
                "first_source_of_gateway", self._gateway_id
            )
            if blind_from is not None and at > blind_from:
                await transaction.execute(
                    "add_gateway_unknown",
                    self._gateway_id,
                    UnknownReason.GATEWAY_DOWN.value,
                    blind_from,
                    at,
                )
            await transaction.execute("make_history_partitions", at.date(), MONTHS_AHEAD)
            await transaction.execute("advance_observed_until", self._gateway_id, row["epoch"], at)
        self._epoch = row["epoch"]
        return GatewayStart(epoch=self._epoch, observed_until=observed_until)

    async def make_partitions(self, at: datetime) -> None:
        """Make the history's partitions ahead of time; call it daily."""
        await self._database.execute("make_history_partitions", at.date(), MONTHS_AHEAD)

    async def load(self) -> list[StoredStatus]:
        """Return the status of every counted source of this gateway."""
        rows = await self._database.fetch("tracked_sources", self._gateway_id, within=FLUSH_TIMEOUT)
        loaded: list[StoredStatus] = []
        for row in rows:
            loaded.append(StoredStatus.from_row(row))
            if len(loaded) % LOADED_AT_ONCE == 0:
                await asyncio.sleep(0)
        return loaded

    async def write(
        self, changes: Sequence[StatusChange], contacts: Sequence[Contact], *, observed_until: datetime
    ) -> None:
        """Store a batch, all of it or nothing; harmless when repeated after an unacknowledged commit.

        Raises:
            WriterReplaced: another start of this gateway id took over.
            DatabaseAway: not stored, or not known to be stored; repeat the same batch.
        """
        async with self._database.transaction() as transaction:
            advanced = await transaction.fetchval(
                "advance_observed_until", self._gateway_id, self._epoch, observed_until
            )
            if advanced is None:
                raise WriterReplaced(f"gateway {self._gateway_id} was started again elsewhere")
            missing = await self._not_applied(transaction, changes)
            for part in rounds(missing):
                await self._apply(transaction, part)
            if missing:
                await self._append(transaction, missing)
            if contacts:
                await transaction.execute(
                    "note_contacts",
                    [contact.source_id for contact in contacts],
                    [contact.obstacle for contact in contacts],
                    [contact.seen_at for contact in contacts],
                    within=FLUSH_TIMEOUT,
                )

    async def _not_applied(
        self, transaction: Transaction, changes: Sequence[StatusChange]
    ) -> Sequence[StatusChange]:
        """Return the changes that are not stored yet.

        After a commit that was not acknowledged the repeated batch may begin with what was stored and go on with
        what came since.
        """
        rows: Sequence[asyncpg.Record] = ()
        for few in (changes[:1], changes) if changes else ():
            rows = await transaction.fetch(
                "applied_changes", [each.source_id for each in few], [each.seq for each in few]
            )
            # What was committed is a beginning of what waits: if the first is not in, nothing of it is.
            if not rows:
                break
        applied = {row["seq"] for row in rows}
        return [change for change in changes if change.seq not in applied]

    async def note_incident(self, incident: Incident) -> None:
        """Keep what was decided about sources that went silent together; harmless when repeated."""
        await self._database.execute(
            "note_incident",
            self._gateway_id,
            incident.name,
            incident.silent_from,
            incident.suspected_at,
            incident.decided_at,
            incident.fault.value,
            incident.basis.value,
            incident.silent,
        )

    async def add_outage(self, reason: UnknownReason, start: datetime, end: datetime) -> None:
        """Lay a closed unknown interval over all sources of this gateway."""
        await self._database.execute("add_gateway_unknown", self._gateway_id, reason.value, start, end)

    async def _apply(self, transaction: Transaction, changes: Sequence[StatusChange]) -> None:
        await transaction.fetchval(
            "apply_changes",
            self._gateway_id,
            self._epoch,
            [change.source_id for change in changes],
            [change.connectivity.state.value for change in changes],
            [change.connectivity.since for change in changes],
            [",".join(sorted(change.connectivity.reasons)) for change in changes],
            [change.connectivity.last_positive_at for change in changes],
            [change.unknown.value if change.unknown else None for change in changes],
            [change.unknown_at for change in changes],
            [change.suspended.value if change.suspended else None for change in changes],
            [change.suspended_at for change in changes],
            [change.flapping for change in changes],
            within=FLUSH_TIMEOUT,
        )

    async def _append(self, transaction: Transaction, changes: Sequence[StatusChange]) -> None:
        await transaction.execute(
            "append_evidence",
            [change.source_id for change in changes],
            [change.seq for change in changes],
            [change.district for change in changes],
            [change.kind for change in changes],
            [change.at for change in changes],
            [change.received_at for change in changes],
            [change.connectivity.last_positive_at for change in changes],
            [change.reason for change in changes],
            [change.connectivity.state.value for change in changes],
            [change.unknown.value if change.unknown else None for change in changes],
            [json.dumps(dict(change.detail), ensure_ascii=False) for change in changes],
            self._gateway_id,
            within=FLUSH_TIMEOUT,
        )


def rounds(changes: Sequence[StatusChange]) -> list[list[StatusChange]]:
    """Split a batch into rounds in which each source occurs once, keeping the order per source.

    One statement that saw a source twice would lose its second change.
    """
    parts: list[list[StatusChange]] = []
    seen: dict[int, int] = {}
    for change in changes:
        turn = seen.get(change.source_id, 0)
        seen[change.source_id] = turn + 1
        if turn == len(parts):
            parts.append([])
        parts[turn].append(change)
    return parts
