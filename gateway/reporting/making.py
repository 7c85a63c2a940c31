"""Makes, signs and stores the reports of a region and period, for whoever asks: the API, the page, the command line."""

from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Final

from catalog.database import Database
from catalog.day_closing import DayClosing
from catalog.errors import TransactionConflict
from catalog.incidents import quarantined
from catalog.period_report import MOST_SOURCES, PeriodReport, ToldBy, period_report
from catalog.publication import list_editions
from catalog.rate_report import PeriodInvalid, TooManySources, local_period, require_size
from catalog.reading import local_day
from catalog.report_document import Making, Scope
from catalog.reports import View
from catalog.selection import require_selection
from catalog.site_report import site_report
from catalog.stored_reports import ReportHead, read_report, revise_report, store_report
from gateway.config import Config
from gateway.opening import counting_rules, jurisdiction_of, muster_version, open_signing_key

MENDINGS: Final = 20
"""Turns of telling sites anew before a report of them is told."""


async def make_report(
    database: Database,
    config: Config,
    view: View,
    days: tuple[date, date],
    person: str,
    told_by: ToldBy | None = None,
) -> ReportHead:
    """Tell, sign and store a new report of the view's region and the days from the first to the last.

    Args:
        database: the catalog.
        config: of the installation.
        view: region and present instant.
        days: the first and the last; told by site, a day that goes on is left out.
        person: who asks.
        told_by: what its lines stand for; None for what the size of the region allows.

    Raises:
        PeriodInvalid: the days are reversed, or have not begun.
        TooManySources: the region has more than a report by source holds.
        DaysMissing: by site, and not all of the days are closed.
        SelectionUnknown: there is no such class, unit or edition.
        KeyUnusable: the signing key cannot be used.
        DatabaseAway: no answer.
    """
    await require_selection(database, view.selection)
    if told_by is None:
        is_large = await _is_large(database, view)
        told_by = ToldBy.SITE if is_large else ToldBy.SOURCE
    if told_by is ToldBy.SITE:
        days = _over(days, view.now)
    scope = Scope(view.region, *days, local_period(*days, view.now), told_by, view.selection)
    key = open_signing_key(config)
    report = await _told(database, config, view, scope)
    making = await _making(database, config, view.now, person, last=scope.last)
    making = replace(making, quarantine=await quarantined(database, view.region))
    return await store_report(database, key, report, scope, making)


async def remake_report(
    database: Database, config: Config, view: View, number: str, *, person: str, reason: str
) -> ReportHead:
    """Tell a stored report anew, of the same region and period, and store it as its next revision.

    Args:
        database: the catalog.
        config: of the installation.
        view: of whoever asks; the report must lie in its region.
        number: of the report.
        person: who asks.
        reason: why it is told anew; shown with the revision.

    Raises:
        NoSuchReport: there is none of this number in the region.
        RevisionRefused: it would say what its last revision says, or somebody else has revised it meanwhile.
        ValueError: the reason is missing or too long.
        TooManySources: the region has more than a report by source holds.
        DaysMissing: by site, and not all of the days are closed.
        KeyUnusable: the signing key cannot be used.
        DatabaseAway: no answer.
    """
    last, _ = await read_report(database, view.region, number)
    key = open_signing_key(config)
    seen = View(view.now, last.region, view.stale_after, last.selection)
    report = await _told(database, config, seen, last.scope)
    making = await _making(database, config, view.now, person, last=last.last, reason=reason)
    making = replace(making, quarantine=await quarantined(database, last.region))
    return await revise_report(database, key, report, last, making)


async def _is_large(database: Database, view: View) -> bool:
    """Tell whether what is selected is too much for a report by source."""
    try:
        await require_size(database, view, MOST_SOURCES)
    except TooManySources:
        return True
    return False


def _over(days: tuple[date, date], now: datetime) -> tuple[date, date]:
    """Return those of the days that are over."""
    first, last = days
    yesterday = local_day(now) - timedelta(days=1)
    if first > yesterday:
        raise PeriodInvalid(f"a report by site tells days that are over, and {first} is not")
    return first, min(last, yesterday)


async def _told(database: Database, config: Config, view: View, scope: Scope) -> PeriodReport:
    rules = counting_rules(config)
    if scope.told_by is ToldBy.SOURCE:
        return await period_report(database, view, scope.period, rules)
    closing = DayClosing(database, rules, view.stale_after)
    try:
        for _ in range(MENDINGS):
            if not await closing.mend(now=view.now):
                break
    except TransactionConflict:
        # The gateway tells days right now; what it has not got round to the report says itself.
        pass
    return await site_report(database, view, scope.period, rules)


async def _making(
    database: Database, config: Config, at: datetime, person: str, *, last: date, reason: str | None = None
) -> Making:
    here = jurisdiction_of(config)
    editions = await list_editions(database, here)
    counting = (each for each in editions if each.withdrawn_at is None and each.effective_from <= last)
    edition = next(counting, None)
    return Making(
        at=at,
        by=person,
        reason=reason,
        muster=muster_version(),
        jurisdiction=here,
        edition=edition.number if edition is not None else None,
        rules=counting_rules(config),
    )
