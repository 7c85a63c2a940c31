"""A signed report without a database: a district whose sources never connected, or were offline."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from catalog.histories import FOREVER, SourceHistory
from catalog.incidents import IncidentRow
from catalog.jurisdictions import Jurisdiction
from catalog.model.connectivity import State
from catalog.model.display import Lifecycle, UnknownReason
from catalog.model.history import Span
from catalog.model.incident import Basis, Fault, Incident
from catalog.model.period import Period
from catalog.model.rates import CountingRules, Duty, Laid
from catalog.period_report import PeriodReport, Telling, ToldBy, WasOffline
from catalog.reading import LOCAL, Region
from catalog.report_document import Making, Numbered, Scope, content_of, report_document
from catalog.signing import SigningKey, Verified, verify

KEY = SigningKey(bytes(range(32)))
START = datetime(2026, 10, 31, 16, tzinfo=UTC)
END = datetime(2026, 11, 20, 4, tzinfo=UTC)
RULES = CountingRules(LOCAL, timedelta(hours=24))
DUTY = Duty(date(2026, 1, 1), date(2026, 10, 1), None, "WX-21.2")

CUT = END - timedelta(days=1)
INCIDENTS = (
    IncidentRow(
        "gateway-1",
        Incident("2-incident-1", CUT, CUT, CUT + timedelta(minutes=3), Fault.NOT_OURS, Basis.SELF_TEST, 24),
        lost=20,
        sites=4,
        back=18,
        last_back=END,
        districts=("320299",),
    ),
)
"""A power cut."""


def history(number: int, *states: Span) -> SourceHistory:
    """Return a source of its own site, whose gateway was down for the first hour; it never connected by default."""
    return SourceHistory(
        source_id=number,
        district="320299",
        gb_id=f"32029900001320{number:06d}",
        site=f"示例公园 {number}",
        site_id=number,
        place_class="WX8_07",
        unit="示例单位",
        system="一号系统",
        gateway_id="gateway-1",
        lifecycle=Lifecycle.REQUIRED,
        existed=Period(START, FOREVER),
        duties=(DUTY,),
        stored=states or (Span(State.NEVER_CONNECTED, START, None),),
        late=(),
        elsewhere=(),
        unknowns=(),
        suspensions=(),
        blind=(Laid(UnknownReason.GATEWAY_DOWN, Period(START, START + timedelta(hours=1))),),
    )


def outage(number: int, hours: int) -> SourceHistory:
    """Return a source that is offline at the end, and has been for so many hours."""
    since = END - timedelta(hours=hours)
    return history(number, Span(State.ONLINE, START, since), Span(State.OFFLINE, since, None))


def signed_report(
    *histories: SourceHistory,
    region: str = "3202",
    reason: str | None = None,
    incidents: Sequence[IncidentRow] = (),
) -> Verified:
    """Return the report of some sources, signed and verified."""
    telling = Telling(Period(START, END), RULES)
    telling.take(histories)
    return _signed(telling.finish(END, incidents), region, reason)


def signed_site_report(*histories: SourceHistory) -> Verified:
    """Return the report of some sources, each of its own site, with a line for each site."""
    telling = Telling(Period(START, END), RULES)
    telling.take(histories)
    told = telling.finish(END, ())
    report = replace(
        told,
        told_by=ToldBy.SITE,
        never_connected=[
            replace(line, where=replace(line.where, source_id=None), hidden=None)
            for line in told.never_connected
        ],
        offline=[WasOffline(replace(line.where, source_id=None), line.account) for line in told.offline],
    )
    return _signed(report, "3202", None)


def _signed(report: PeriodReport, region: str, reason: str | None) -> Verified:
    here = Jurisdiction("320200", "示例市", "wuxi-2019", "cn-2025")
    making = Making(END, "Li", reason, "0.1.0", here, "320200-2026-001", RULES, quarantine=(3, 1))
    numbered = Numbered("320200-2026-R0001", 2 if reason else 1, "a" * 64 if reason else None)
    scope = Scope(Region(region), date(2026, 11, 1), date(2026, 11, 20), report.period, report.told_by)
    return verify(KEY.sign(report_document(numbered, scope, making, content_of(report), END)))
