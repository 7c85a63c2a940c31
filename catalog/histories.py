"""Whole histories of sources, a part of them at a time: what recomputation, rates and evidence sheets start from.

Each part is read from one snapshot, so that what is written meanwhile never looks like a difference.
"""

import json
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import asyncpg

from catalog.database import Database, Transaction
from catalog.model.connectivity import State
from catalog.model.display import Lifecycle, SuspendedReason, UnknownReason
from catalog.model.history import Fact, Span
from catalog.model.late import observable, revised
from catalog.model.period import Period, without
from catalog.model.rates import Duty, Laid
from catalog.reading import LOCAL
from catalog.reports import View
from catalog.selection import entries_of

AT_ONCE: Final = 250
"""Sources of one part: some 10 ms of the event loop, which others share."""

WITHIN: Final = 60.0
"""Seconds for one statement."""

FOREVER: Final = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class SeenElsewhere:
    """A time in which another gateway than the one that looks after a source had answers of it (4.7, E14)."""

    gateway_id: str
    period: Period


@dataclass(frozen=True)
class SourceHistory:
    """One source and all that was stored of it."""

    source_id: int
    district: str
    gb_id: str | None
    site: str
    site_id: int
    place_class: str
    unit: str
    system: str
    gateway_id: str
    lifecycle: Lifecycle
    existed: Period
    "From its birth on the roll until it was retired; `FOREVER` while it is not."
    duties: Sequence[Duty]
    stored: Sequence[Span]
    "States as stored, oldest first, the present one last."
    late: Sequence[Period]
    "When it was shown late to have been running."
    elsewhere: Sequence[SeenElsewhere]
    "When another gateway had answers of it."
    unknowns: Sequence[Span]
    "Of the source itself, as stored."
    suspensions: Sequence[Laid]
    blind: Sequence[Laid]
    "When its gateway could not see."
    facts: Sequence[Fact] = field(default_factory=tuple)
    "Its evidence; empty unless asked for."
    seen_at: datetime | None = None
    "When its device was in contact first without being connected."

    @property
    def states(self) -> Sequence[Span]:
        """Return the states as they are told: as stored, revised by what came late and what others saw."""
        told = revised(self.stored, self.late) if self.late else self.stored
        return revised(told, self._seen, is_open_too=True) if self.elsewhere else told

    def laid(self, until: datetime) -> list[Laid]:
        """Return everything that is laid over it, what goes on ending at `until`."""
        unknown = [
            Laid(span.what, Period(span.start, span.end or until))
            for span in self.unknowns
            if isinstance(span.what, UnknownReason) and span.start < (span.end or until)
        ]
        hidden = [*unknown, *self.blind]
        if self.elsewhere:
            seen = observable(self.stored, self._seen)
            hidden = [replace(each, period=part) for each in hidden for part in without([each.period], seen)]
        return [*self.suspensions, *hidden]

    @property
    def _seen(self) -> list[Period]:
        return [each.period for each in self.elsewhere]


class Histories:
    """Read histories of what a view selects."""

    def __init__(self, database: Database, view: View) -> None:
        self._database = database
        self._view = view

    async def of_region(
        self, *, after: datetime, with_facts: bool = False, source_id: int | None = None
    ) -> AsyncIterator[list[SourceHistory]]:
        """Yield all sources of the view's region and selection by district, a part at a time.

        Where an edition is selected, only the duties that it lists bind them.

        Args:
            after: closed intervals that ended before are left out.
            with_facts: whether the evidence is wanted, all of it.
            source_id: only this one.

        Raises:
            SelectionUnknown: there is no such edition.
            DatabaseAway: no answer.
        """
        first, last = self._view.region.first, self._view.region.last
        selection = self._view.selection
        listed = None if selection.edition is None else await entries_of(self._database, selection.edition)
        cursor: tuple[str | None, int | None] = (None, None)
        while True:
            async with self._database.snapshot() as snapshot:
                rows = await snapshot.fetch(
                    "history_sources",
                    *(first, last, *cursor, AT_ONCE, source_id, selection.place_class, selection.unit),
                    within=WITHIN,
                )
                part = await _whole(snapshot, rows, self._view, after, with_facts=with_facts) if rows else []
                if listed is not None:
                    part = [_as_listed(each, listed) for each in part]
            if part:
                yield part
            if len(rows) < AT_ONCE:
                return
            cursor = (rows[-1]["district"], rows[-1]["source_id"])


async def whole_histories(
    snapshot: Transaction, source_ids: Sequence[int], view: View, after: datetime
) -> list[SourceHistory]:
    """Return the histories of some sources, in whatever region; `after` as for `Histories.of_region`.

    Raises:
        DatabaseAway: no answer.
    """
    rows = await snapshot.fetch("history_sources_named", source_ids, within=WITHIN)
    return await _whole(snapshot, rows, view, after, with_facts=False)


async def _whole(
    snapshot: Transaction, rows: Sequence[asyncpg.Record], view: View, after: datetime, *, with_facts: bool
) -> list[SourceHistory]:
    ids = [row["source_id"] for row in rows]
    gateways = sorted({row["gateway_id"] for row in rows})
    sites, systems = {row["site_id"] for row in rows}, {row["system_id"] for row in rows}
    intervals = await _by(snapshot, "source_id", "history_intervals", ids, after)
    overlays = await _by(snapshot, "source_id", "history_overlays", ids, after)
    late = await _by(snapshot, "source_id", "history_late", ids, after)
    elsewhere = await _by(snapshot, "source_id", "history_elsewhere", ids, after)
    # The cap of a month counts from its beginning, wherever the period begins.
    month = after.astimezone(LOCAL).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    windows = await _by(snapshot, "source_id", "history_suspensions", ids, month, view.now)
    blind = await _by(
        snapshot,
        "gateway_id",
        "history_gateway_overlays",
        gateways,
        after,
        view.now,
        view.stale_after,
    )
    duties = await snapshot.fetch("history_duties", sorted(sites), sorted(systems), within=WITHIN)
    of_site: defaultdict[int, list[Duty]] = defaultdict(list)
    of_system: defaultdict[int, list[Duty]] = defaultdict(list)
    for duty in duties:
        bound = of_site[duty["site_id"]] if duty["site_id"] is not None else of_system[duty["system_id"]]
        bound.append(
            Duty(
                duty["effective_from"], duty["due_on"], duty["withdrawn_on"], duty["basis"], duty["entry_id"]
            )
        )
    facts = await _by(snapshot, "source_id", "history_facts", ids) if with_facts else {}
    return [
        SourceHistory(
            source_id=row["source_id"],
            district=row["district"],
            gb_id=row["gb_id"],
            site=row["site"],
            site_id=row["site_id"],
            place_class=row["class"],
            unit=row["unit"],
            system=row["system"],
            gateway_id=row["gateway_id"],
            lifecycle=Lifecycle(row["lifecycle"]),
            existed=_existed(row),
            duties=(*of_site[row["site_id"]], *of_system[row["system_id"]]),
            stored=_states(row, intervals.get(row["source_id"], ())),
            late=[Period(each["started_at"], each["ended_at"]) for each in late.get(row["source_id"], ())],
            elsewhere=[
                SeenElsewhere(each["gateway_id"], Period(each["started_at"], each["ended_at"]))
                for each in elsewhere.get(row["source_id"], ())
            ],
            unknowns=_unknowns(row, overlays.get(row["source_id"], ())),
            suspensions=_suspensions(windows.get(row["source_id"], ())),
            blind=[
                Laid(UnknownReason(each["reason"]), Period(each["started_at"], each["ended_at"]))
                for each in blind.get(row["gateway_id"], ())
            ],
            facts=[_fact(each) for each in facts.get(row["source_id"], ())],
            seen_at=row["seen_at"],
        )
        for row in rows
    ]


def _as_listed(history: SourceHistory, entries: frozenset[UUID]) -> SourceHistory:
    return replace(history, duties=[duty for duty in history.duties if duty.entry_id in entries])


async def _by(
    snapshot: Transaction, key: str, statement: str, *arguments: object
) -> Mapping[object, Sequence[asyncpg.Record]]:
    found: defaultdict[object, list[asyncpg.Record]] = defaultdict(list)
    for row in await snapshot.fetch(statement, *arguments, within=WITHIN):
        found[row[key]].append(row)
    return found


def _existed(row: asyncpg.Record) -> Period:
    born, retired = row["created_at"], row["retired_at"] or FOREVER
    return Period(born, max(retired, born + timedelta(microseconds=1)))


def _states(row: asyncpg.Record, intervals: Sequence[asyncpg.Record]) -> list[Span]:
    closed = [Span(State(each["state"]), each["started_at"], each["ended_at"]) for each in intervals]
    return [*closed, Span(State(row["state"]), row["since"], None)]


def _unknowns(row: asyncpg.Record, overlays: Sequence[asyncpg.Record]) -> list[Span]:
    closed = [Span(UnknownReason(each["reason"]), each["started_at"], each["ended_at"]) for each in overlays]
    if row["unknown_reason"] is not None:
        closed.append(Span(UnknownReason(row["unknown_reason"]), row["unknown_since"], None))
    return closed


def _suspensions(windows: Sequence[asyncpg.Record]) -> list[Laid]:
    return [
        Laid(
            SuspendedReason(each["reason"]),
            Period(each["started_at"], each["ended_at"]),
            is_retroactive=each["retroactive"],
        )
        for each in windows
    ]


def _fact(row: asyncpg.Record) -> Fact:
    unknown = row["unknown_after"]
    return Fact(
        seq=row["seq"],
        kind=row["kind"],
        at=row["at"],
        received_at=row["received_at"],
        last_positive_at=row["last_positive_at"],
        reason=row["reason"],
        unknown_after=UnknownReason(unknown) if unknown is not None else None,
        gateway_id=row["gateway_id"],
        incident=json.loads(row["detail"]).get("incident"),
    )
