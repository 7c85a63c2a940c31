"""Makes, signs and stores the reports of a region and period, for whoever asks: the API, the page, the command line."""

from dataclasses import replace
from datetime import date, datetime

from catalog.database import Database
from catalog.incidents import quarantined
from catalog.period_report import period_report
from catalog.publication import list_editions
from catalog.rate_report import local_period
from catalog.report_document import Making, Scope
from catalog.reports import View
from catalog.stored_reports import ReportHead, read_report, revise_report, store_report
from gateway.config import Config
from gateway.opening import counting_rules, jurisdiction_of, muster_version, open_signing_key


async def make_report(
    database: Database, config: Config, view: View, days: tuple[date, date], person: str
) -> ReportHead:
    """Tell, sign and store a new report of the view's region and the days from the first to the last.

    Raises:
        PeriodInvalid: the days are reversed, or have not begun.
        TooManySources: the region has more than a report holds.
        KeyUnusable: the signing key cannot be used.
        DatabaseAway: no answer.
    """
    scope = Scope(view.region, *days, local_period(*days, view.now))
    key, rules = open_signing_key(config), counting_rules(config)
    report = await period_report(database, view, scope.period, rules)
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
        TooManySources: the region has more than a report holds.
        KeyUnusable: the signing key cannot be used.
        DatabaseAway: no answer.
    """
    last, _ = await read_report(database, view.region, number)
    key, rules = open_signing_key(config), counting_rules(config)
    seen = View(now=view.now, region=last.region, stale_after=view.stale_after)
    report = await period_report(database, seen, last.period, rules)
    making = await _making(database, config, view.now, person, last=last.last, reason=reason)
    making = replace(making, quarantine=await quarantined(database, last.region))
    return await revise_report(database, key, report, last, making)


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
