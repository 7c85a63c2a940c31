"""The whole report of a region and period: rates, who never connected, who was offline, when we could not see.

Everything in it is told of the period alone, as of its end, so that the same catalog tells it again at any later time:
what is stored of it can be told anew and compared (status model T-4, T-5).
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from catalog.database import Database
from catalog.histories import Histories, SourceHistory
from catalog.incidents import IncidentRow, incidents_of
from catalog.model.connectivity import State
from catalog.model.display import Lifecycle, SuspendedReason, UnknownReason, days_overdue
from catalog.model.history import Span
from catalog.model.period import Period
from catalog.model.rates import Account, CountingRules, Duty, binding_on, taken_out
from catalog.rate_report import KEYS, By, RateRow, account_of, require_size
from catalog.reading import local_day
from catalog.reports import View

TOLD_BY: Final = (By.DISTRICT, By.CLASS, By.UNIT)
"""What there are rates by."""

REMOVAL_SUSPECTED_AFTER: Final = timedelta(days=10)
"""Offline for so long at the end of a period, seen and in no window, a source may have been removed; a design decision
after the days by which a removal is reported before (WX-17)."""

MOST_SOURCES: Final = 100_000
"""Sources of one report."""

_TICK: Final = timedelta(microseconds=1)


@dataclass(frozen=True)
class NeverConnected:
    """A source that must connect and had never done so at the end of the period (WX-21, WX-34)."""

    history: SourceHistory
    duty: Duty
    days_overdue: int
    "At the end of the period; 0 while it is in time."
    hidden: UnknownReason | SuspendedReason | None
    "What was laid over it at the end: never connected behind a blind gateway is never connected all the same."
    site_required: int = 0
    "Sources of its site that had to connect."
    site_never: int = 0


@dataclass(frozen=True)
class WasOffline:
    """A source that was offline in the period for a while that counts."""

    history: SourceHistory
    account: Account
    since: datetime | None
    "Since when it is offline at the end of the period; None where it is not, or we cannot see."


@dataclass(frozen=True)
class SuspectedRemoval:
    """A source on the roll that is offline for so long that somebody must look whether it still is there (WX-17)."""

    history: SourceHistory
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
        last = self.period.end - _TICK
        hidden = _hidden_at(history, last, self.period.end)
        at_end = next((span for span in history.states if _holds(span, last)), None)
        if own.outages:
            is_offline = at_end is not None and at_end.what is State.OFFLINE and hidden is None
            since = at_end.start if at_end is not None and is_offline else None
            self.offline.append(WasOffline(history, own, since))
        duty = binding_on(history.duties, local_day(last))
        if duty is None or history.lifecycle is Lifecycle.REJECTED or not _existed_at(history, last):
            return
        self.required_of[history.site_id] += 1
        if at_end is not None and at_end.what is State.NEVER_CONNECTED:
            overdue = days_overdue(today=local_day(last), due_on=duty.due_on)
            self.never.append(NeverConnected(history, duty, overdue, hidden))

    def _note_blind(self, history: SourceHistory) -> None:
        self.looked_after[history.gateway_id] += 1
        if history.gateway_id in self.not_seen:
            return
        self.not_seen[history.gateway_id] = [
            NotSeen(each.reason, Period(start, end))
            for each in history.blind
            if isinstance(each.reason, UnknownReason)
            and (start := max(each.period.start, self.period.start))
            < (end := min(each.period.end, self.period.end))
        ]

    def finish(self, watermark: datetime | None, incidents: Sequence[IncidentRow]) -> PeriodReport:
        """Return the report of all that was taken in."""
        never_of = Counter(line.history.site_id for line in self.never)
        never = [
            replace(
                line,
                site_required=self.required_of[line.history.site_id],
                site_never=never_of[line.history.site_id],
            )
            for line in self.never
        ]
        never.sort(key=lambda line: (line.duty.due_on, line.history.district, line.history.source_id))
        return PeriodReport(
            period=self.period,
            all=self.all,
            rates={
                by: tuple(RateRow(*key, accounts[key]) for key in sorted(accounts))
                for by, accounts in self.by.items()
            },
            never_connected=tuple(never),
            offline=tuple(self.offline),
            suspected_removals=self._suspected_removals(),
            incidents=incidents,
            not_seen=tuple(
                replace(each, sources=self.looked_after[gateway])
                for gateway in sorted(self.not_seen)
                for each in sorted(self.not_seen[gateway], key=lambda of: (of.period.start, of.reason))
            ),
            watermark=watermark,
        )

    def _suspected_removals(self) -> tuple[SuspectedRemoval, ...]:
        found = [
            SuspectedRemoval(line.history, line.since, (self.period.end - line.since).days)
            for line in self.offline
            if line.since is not None
            and self.period.end - line.since >= REMOVAL_SUSPECTED_AFTER
            and _existed_at(line.history, self.period.end - _TICK)
        ]
        return tuple(sorted(found, key=lambda each: (each.since, each.history.source_id)))


def _hidden_at(
    history: SourceHistory, at: datetime, until: datetime
) -> UnknownReason | SuspendedReason | None:
    """Return what is displayed over a source at an instant, in the order of display (4.2)."""
    _, taken = taken_out([Period(at, at + _TICK)], history.laid(until))
    return next(iter(taken), None)


def _holds(span: Span, at: datetime) -> bool:
    return span.start <= at and (span.end is None or at < span.end)


def _existed_at(history: SourceHistory, at: datetime) -> bool:
    return history.existed.start <= at < history.existed.end
