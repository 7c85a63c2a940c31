"""The whole report of a region and period: rates, who never connected, who was offline, when we could not see.

It is told by source, from the histories; of a large region by site, from closed days (`site_report.py`). Everything in
it is told of the period alone, as of its end, so that the same catalog tells it again at any later time: what is stored
of it can be told anew and compared (status model T-4, T-5).
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from catalog.database import Database
from catalog.histories import Histories, SourceHistory
from catalog.incidents import IncidentRow, incidents_of
from catalog.model.connectivity import State
from catalog.model.display import (
    Lifecycle,
    SuspendedReason,
    UnknownReason,
    days_overdue,
    never_connected_substate,
)
from catalog.model.display import NeverConnected as Substate
from catalog.model.history import Span
from catalog.model.period import Period
from catalog.model.rates import Account, CountingRules, Duty, Laid, binding_on, taken_out
from catalog.rate_report import KEYS, By, RateRow, account_of, require_size
from catalog.reading import local_day
from catalog.reports import View

TOLD_BY: Final = (By.DISTRICT, By.CLASS, By.UNIT)
"""What there are rates by."""

REMOVAL_SUSPECTED_AFTER: Final = timedelta(days=10)
"""Offline for so long at the end of a period, seen and in no window, a source may have been removed; a design decision
after the days by which a removal is reported before (WX-17)."""

MOST_SOURCES: Final = 100_000
"""Sources of one report that is told by source."""

TICK: Final = timedelta(microseconds=1)
"""What the last instant of a period lies before its end."""


class ToldBy(StrEnum):
    """What a line of a report stands for."""

    SOURCE = "source"
    SITE = "site"


@dataclass(frozen=True, slots=True)
class Where:
    """What a line of a report is about."""

    source_id: int | None
    "None where it is about a whole site."
    unit: str
    site: str
    place_class: str
    district: str

    @classmethod
    def of(cls, history: SourceHistory) -> "Where":
        """Return where a source stands."""
        return cls(history.source_id, history.unit, history.site, history.place_class, history.district)


@dataclass(frozen=True)
class NeverConnected:
    """A source that must connect and had never done so at the end of the period, or a site with some (WX-21, WX-34)."""

    where: Where
    site_id: int
    duty: Duty
    days_overdue: int
    "At the end of the period; 0 while it is in time."
    hidden: UnknownReason | SuspendedReason | None = None
    """What was laid over a source at the end: never connected behind a blind gateway is never connected all the same.
    None of a site."""
    site_required: int = 0
    "Sources of its site that had to connect."
    site_never: int = 0
    substate: Substate | None = None
    "At the end of the period; None of a site."
    site_seen: int = 0
    "Of a site: how many of `site_never` had been in contact by then."


@dataclass(frozen=True)
class WasOffline:
    """A source that was offline in the period for a while that counts, or a site with some."""

    where: Where
    account: Account
    since: datetime | None = None
    "Since when a source is offline at the end of the period; None where it is not, or we cannot see, and of a site."


@dataclass(frozen=True)
class SuspectedRemoval:
    """A source on the roll that is offline for so long that somebody must look whether it still is there (WX-17)."""

    where: Where
    since: datetime
    days: int
    "Whole days, at the end of the period."


@dataclass(frozen=True)
class NotSeen:
    """When one of our gateways could not see; nobody is charged for it."""

    reason: UnknownReason
    period: Period
    sources: int = 0
    "That it looks after, as far as the report tells of them."


@dataclass(frozen=True)
class PeriodReport:
    """What is told of a region and a period."""

    told_by: ToldBy
    period: Period
    all: Account
    rates: Mapping[By, Sequence[RateRow]]
    never_connected: Sequence[NeverConnected]
    "The longest due first."
    offline: Sequence[WasOffline]
    "By district."
    suspected_removals: Sequence[SuspectedRemoval]
    "The longest first."
    incidents: Sequence[IncidentRow]
    not_seen: Sequence[NotSeen]
    watermark: datetime | None
    "Until when every gateway of the region had seen and stored; None without one, and where one never did."


async def period_report(
    database: Database, view: View, period: Period, rules: CountingRules, *, most: int | None = MOST_SOURCES
) -> PeriodReport:
    """Tell a period of the view's region.

    Args:
        database: the catalog.
        view: region and present instant.
        period: ended.
        rules: how time is counted.
        most: sources that the region may have; None for any number.

    Raises:
        TooManySources: it has more.
        DatabaseAway: no answer.
    """
    await require_size(database, view, most)
    telling = Telling(period, rules)
    async for part in Histories(database, view).of_region(after=period.start):
        # In a thread: some hundredths of a second, which the event loop has not.
        await asyncio.to_thread(telling.take, part)
    watermark = await database.fetchval("history_watermark", view.region.first, view.region.last)
    incidents = await incidents_of(database, view, period)
    return await asyncio.to_thread(telling.finish, watermark, incidents)


@dataclass
class Telling:
    """A report under way: takes histories, a part at a time, and owns nothing else."""

    period: Period
    rules: CountingRules
    all: Account = field(default_factory=Account)
    by: dict[By, dict[tuple[str, str], Account]] = field(default_factory=lambda: {by: {} for by in TOLD_BY})
    never: list[NeverConnected] = field(default_factory=list)
    offline: list[WasOffline] = field(default_factory=list)
    removals: list[SuspectedRemoval] = field(default_factory=list)
    required_of: Counter[int] = field(default_factory=Counter)
    looked_after: Counter[str] = field(default_factory=Counter)
    not_seen: dict[str, list[NotSeen]] = field(default_factory=dict)

    def take(self, part: Sequence[SourceHistory]) -> None:
        """Take in some sources, each of them once."""
        for history in part:
            own = account_of(history, self.period, self.rules)
            if own.sources:
                self._count(history, own)
                self._look_at_end(history, own)
                self._note_blind(history)

    def _count(self, history: SourceHistory, own: Account) -> None:
        self.all += own
        for by, accounts in self.by.items():
            key = KEYS[by](history)
            accounts[key] = accounts.get(key, Account()) + own

    def _look_at_end(self, history: SourceHistory, own: Account) -> None:
        last = self.period.end - TICK
        hidden = _hidden_at(history, last, self.period.end)
        at_end = next((span for span in history.states if _holds(span, last)), None)
        if own.outages:
            is_offline = at_end is not None and at_end.what is State.OFFLINE and hidden is None
            since = at_end.start if at_end is not None and is_offline else None
            self.offline.append(WasOffline(Where.of(history), own, since))
            if since is not None and _existed_at(history, last):
                self._suspect_removal(history, since)
        duty = binding_on(history.duties, local_day(last))
        if duty is None or history.lifecycle is Lifecycle.REJECTED or not _existed_at(history, last):
            return
        self.required_of[history.site_id] += 1
        if at_end is not None and at_end.what is State.NEVER_CONNECTED:
            overdue = days_overdue(today=local_day(last), due_on=duty.due_on)
            seen = history.seen_at is not None and history.seen_at <= last
            self.never.append(
                NeverConnected(
                    where=Where.of(history),
                    site_id=history.site_id,
                    duty=duty,
                    days_overdue=overdue,
                    hidden=hidden,
                    substate=never_connected_substate(today=local_day(last), due_on=duty.due_on, seen=seen),
                )
            )

    def _suspect_removal(self, history: SourceHistory, since: datetime) -> None:
        if self.period.end - since >= REMOVAL_SUSPECTED_AFTER:
            days = (self.period.end - since).days
            self.removals.append(SuspectedRemoval(Where.of(history), since, days))

    def _note_blind(self, history: SourceHistory) -> None:
        self.looked_after[history.gateway_id] += 1
        if history.gateway_id in self.not_seen:
            return
        self.not_seen[history.gateway_id] = blind_in(self.period, history.blind)

    def finish(self, watermark: datetime | None, incidents: Sequence[IncidentRow]) -> PeriodReport:
        """Return the report of all that was taken in."""
        never_of = Counter(line.site_id for line in self.never)
        never = [
            replace(line, site_required=self.required_of[line.site_id], site_never=never_of[line.site_id])
            for line in self.never
        ]
        never.sort(key=lambda line: (line.duty.due_on, line.where.district, line.where.source_id))
        return PeriodReport(
            told_by=ToldBy.SOURCE,
            period=self.period,
            all=self.all,
            rates={
                by: tuple(RateRow(*key, accounts[key]) for key in sorted(accounts))
                for by, accounts in self.by.items()
            },
            never_connected=tuple(never),
            offline=tuple(self.offline),
            suspected_removals=self.suspected_removals(),
            incidents=incidents,
            not_seen=tuple(
                replace(each, sources=self.looked_after[gateway])
                for gateway in sorted(self.not_seen)
                for each in self.not_seen[gateway]
            ),
            watermark=watermark,
        )

    def suspected_removals(self) -> tuple[SuspectedRemoval, ...]:
        """Return who is offline for so long that it may be gone, the longest first."""
        return tuple(sorted(self.removals, key=lambda each: (each.since, each.where.source_id)))


def blind_in(period: Period, blind: Iterable[Laid], sources: int = 0) -> list[NotSeen]:
    """Return when a gateway could not see in a period, the earliest first."""
    found = [
        NotSeen(each.reason, Period(start, end), sources)
        for each in blind
        if isinstance(each.reason, UnknownReason)
        and (start := max(each.period.start, period.start)) < (end := min(each.period.end, period.end))
    ]
    return sorted(found, key=lambda of: (of.period.start, of.reason))


def _hidden_at(
    history: SourceHistory, at: datetime, until: datetime
) -> UnknownReason | SuspendedReason | None:
    """Return what is displayed over a source at an instant, in the order of display (4.2)."""
    _, taken = taken_out([Period(at, at + TICK)], history.laid(until))
    return next(iter(taken), None)


def _holds(span: Span, at: datetime) -> bool:
    return span.start <= at and (span.end is None or at < span.end)


def _existed_at(history: SourceHistory, at: datetime) -> bool:
    return history.existed.start <= at < history.existed.end
