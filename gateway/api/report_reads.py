"""Handlers of the reports, and of the status query of the police."""

import asyncio
from dataclasses import dataclass
from typing import Any, Final, Literal

from aiohttp import web
from pydantic import BaseModel

from catalog.access import Role
from catalog.errors import DatabaseAway
from catalog.model.display import Displayed
from catalog.rate_report import (
    HowMany,
    PeriodInvalid,
    TooManySources,
    local_period,
    rate_report,
    report_days,
)
from catalog.reading import Counts, DistrictCounts, Page, Region, Selection, local_day
from gateway.api import police_schemas, schemas
from gateway.api.bodies import StatusQueryBody
from gateway.api.dispatch import record
from gateway.api.export import (
    CSV_MEDIA,
    NEVER_CONNECTED,
    OFFLINE,
    XLSX_MEDIA,
    Column,
    Exports,
    Sheet,
    send_file,
)
from gateway.api.problem import ApiProblem, Code
from gateway.api.rate_schemas import RATES, RateAnswer, RatesAnswer, RatesQuery, rates_answer, rates_page
from gateway.api.reads import items, look, select
from gateway.api.registry import JSON, Call, Registry, Result
from gateway.opening import counting_rules
from gateway.status_view import StatusView

registry: Final = Registry()

MOST_SOURCES: Final = 100_000
"""Sources of one report of rates: some 20 s of a thread beside the control plane."""

_EXPORTS: Final = Exports()
_ROWS: Final = "rows of the token's region"
_FILES: Final = (JSON, CSV_MEDIA, XLSX_MEDIA)


@dataclass(frozen=True)
class _Shape:
    """How a report looks to one role."""

    item: type[BaseModel]
    report: type[BaseModel]


_NEVER: Final = {
    Role.OPERATOR: _Shape(schemas.NeverConnectedAnswer, schemas.NeverConnectedReport),
    Role.POLICE_STATUS: _Shape(
        police_schemas.PoliceNeverConnectedAnswer, police_schemas.PoliceNeverConnectedReport
    ),
}
_OFFLINE: Final = {
    Role.OPERATOR: _Shape(schemas.OfflineAnswer, schemas.OfflineReport),
    Role.POLICE_STATUS: _Shape(police_schemas.PoliceOfflineAnswer, police_schemas.PoliceOfflineReport),
}


@registry.operation(
    "GET",
    "/api/v1/reports/never-connected",
    tag="reports",
    region_rule=_ROWS,
    answers={role: shape.report for role, shape in _NEVER.items()},
    query=schemas.NeverConnectedQuery,
    media=_FILES,
    problems=(Code.CURSOR_INVALID, Code.INVALID, Code.REGION_FORBIDDEN),
    cached=True,
)
async def report_never_connected(call: Call[schemas.NeverConnectedQuery, None]) -> Result:
    """Report who must connect and never did, the longest due first (WX-21.3, WX-34)."""
    query, shape = call.query, _NEVER[call.principal.role]
    view = await select(call, look(call, query.region), Selection(query.place_class, query.unit))

    async def read(cursor: str | None, limit: int) -> Page[Any]:
        return await call.services.reports.never_connected(
            view, cursor=cursor, limit=limit, overdue_only=query.overdue
        )

    if query.format != "json":
        return await _file(call, ("never-connected", NEVER_CONNECTED), shape, query.format, read)
    page = await read(query.cursor, query.limit)
    return shape.report(as_of=view.now, items=items(shape.item, page), next_cursor=page.next_cursor)


@registry.operation(
    "GET",
    "/api/v1/reports/offline",
    tag="reports",
    region_rule=_ROWS,
    answers={role: shape.report for role, shape in _OFFLINE.items()},
    query=schemas.ReportQuery,
    media=_FILES,
    problems=(Code.CURSOR_INVALID, Code.INVALID, Code.REGION_FORBIDDEN),
    cached=True,
)
async def report_offline(call: Call[schemas.ReportQuery, None]) -> Result:
    """Report what is offline while we can see, the longest first."""
    query, shape = call.query, _OFFLINE[call.principal.role]
    view = await select(call, look(call, query.region), Selection(query.place_class, query.unit))

    async def read(cursor: str | None, limit: int) -> Page[Any]:
        return await call.services.reports.offline(view, cursor=cursor, limit=limit)

    if query.format != "json":
        return await _file(call, ("offline", OFFLINE), shape, query.format, read)
    page = await read(query.cursor, query.limit)
    return shape.report(as_of=view.now, items=items(shape.item, page), next_cursor=page.next_cursor)


async def _file(
    call: Call[Any, None],
    what: tuple[str, tuple[Column, ...]],
    shape: _Shape,
    form: Literal["csv", "xlsx"],
    read: Any,
) -> web.StreamResponse:
    name, columns = what
    if call.request is None:
        raise ValueError("a file is written for a caller only")
    sheet = Sheet(name=name, columns=columns, model=shape.item, language=call.query.lang)
    with _EXPORTS.turn():
        # The first bytes leave before the handler returns, so the record comes first.
        await record(call.services, call.request, 200)
        return await send_file(call.request, sheet, form, read)


@registry.operation(
    "GET",
    "/api/v1/reports/rates",
    tag="reports",
    region_rule=_ROWS,
    answers={Role.OPERATOR: RatesAnswer, Role.POLICE_STATUS: RatesAnswer},
    query=RatesQuery,
    media=_FILES,
    problems=(Code.REGION_FORBIDDEN, Code.INVALID, Code.TOO_MANY),
)
async def report_rates(call: Call[RatesQuery, None]) -> Result:
    """Report online, access and intact rates of whole local days by every formula, with what was excluded and why."""
    query, services = call.query, call.services
    selection = Selection(query.place_class, query.unit, query.edition)
    view = await select(call, look(call, query.region), selection)
    try:
        days = report_days(query.first, query.last, local_day(view.now))
        period = local_period(*days, view.now)
    except PeriodInvalid as error:
        raise ApiProblem(Code.INVALID, str(error)) from error
    with services.long_reports.turn():
        try:
            report = await rate_report(
                services.database,
                view,
                period,
                by=query.by,
                rules=counting_rules(services.config),
                how_many=HowMany(most=MOST_SOURCES),
            )
        except TooManySources as error:
            raise ApiProblem(Code.INVALID, f"{error}, or use `muster report rates`") from error
    if query.format == "json":
        return await asyncio.to_thread(rates_answer, report, days)

    async def read(cursor: str | None, limit: int) -> Page[Any]:
        return await asyncio.to_thread(rates_page, report, int(cursor or 0), limit)

    return await _file(call, ("rates", RATES), _Shape(RateAnswer, RatesAnswer), query.format, read)


@registry.operation(
    "GET",
    "/api/v1/reports/summary",
    tag="reports",
    region_rule=_ROWS,
    answers={Role.OPERATOR: schemas.SummaryReport, Role.POLICE_STATUS: schemas.SummaryReport},
    query=schemas.RegionQuery,
    problems=(Code.REGION_FORBIDDEN,),
    cached=True,
)
async def report_summary(call: Call[schemas.RegionQuery, None]) -> BaseModel:
    """Report the chain of counts, in all and by district."""
    view = look(call, call.query.region)
    districts = await call.services.reports.counts(view)
    return summary(view.now, view.region, districts)


def summary(now: Any, region: Region, districts: tuple[DistrictCounts, ...]) -> schemas.SummaryReport:
    """Return the chains of some districts and their sum."""
    total = sum((row.counts for row in districts), Counts())
    return schemas.SummaryReport(
        as_of=now,
        region=region.prefix,
        total=chain(total),
        districts=tuple(
            schemas.DistrictAnswer(district=row.district, name=row.name, chain=chain(row.counts))
            for row in districts
        ),
    )


def chain(counts: Counts) -> schemas.ChainAnswer:
    """Return the chain of counts with each share of what is required."""
    names = set(schemas.ChainAnswer.model_fields) - {"required", "without_duty"}
    shares = {
        name: schemas.CountAnswer(count=getattr(counts, name), share=counts.share(getattr(counts, name)))
        for name in names
    }
    return schemas.ChainAnswer(required=counts.required, without_duty=counts.without_duty, **shares)


@registry.operation(
    "POST",
    "/api/v1/status/query",
    tag="status",
    region_rule="codes outside the token's region are unknown to it",
    answers={Role.OPERATOR: schemas.StatusQueryAnswer, Role.POLICE_STATUS: schemas.StatusQueryAnswer},
    body=StatusQueryBody,
    survives_outage=True,
)
async def query_status(call: Call[None, StatusQueryBody]) -> BaseModel:
    """Answer for up to 1,000 codes: state, reason and times; an unknown code is not known, never offline."""
    view = look(call)
    codes = tuple(dict.fromkeys(call.body.codes))
    call.scope = f"{len(codes)} codes: {' '.join(codes[:20])}"
    stale, clock = call.services.stale, call.services.clock
    is_away = stale.is_away(clock.monotonic())
    try:
        found = None if is_away else await call.services.reports.statuses(view, codes)
    except DatabaseAway:
        stale.note_away(clock.monotonic())
        found = None
    if found is None:
        seen = {code: call.services.status.view_by_code(code) for code in codes}
        answers = tuple(_from_memory(code, seen[code], view.region) for code in codes)
        # Memory holds what was acknowledged last; how long ago that was, the database knew last.
        as_of = stale.confirmed_at or view.now
        return schemas.StatusQueryAnswer(as_of=as_of, stale=True, items=answers)
    stale.confirmed_at = view.now
    return schemas.StatusQueryAnswer(
        as_of=view.now,
        items=tuple(
            schemas.CodeAnswer(
                code=row.code,
                known=row.status is not None,
                status=None if row.status is None else schemas.StatusAnswer.model_validate(row.status),
            )
            for row in found
        ),
    )


def _from_memory(code: str, view: StatusView | None, region: Region) -> schemas.CodeAnswer:
    """Answer from the acknowledged status in memory, while the database is away."""
    if view is None or not region.holds(view.district):
        return schemas.CodeAnswer(code=code, known=False, status=None)
    is_unknown = view.displayed is Displayed.UNKNOWN
    reasons: tuple[str, ...] = ()
    if is_unknown:
        reasons = (view.unknown.value,) if view.unknown is not None else ()
    elif view.displayed is Displayed.DEGRADED:
        reasons = tuple(reason.value for reason in view.reasons)
    status = schemas.StatusAnswer(
        shown=view.displayed,
        since=view.unknown_since if is_unknown else view.since,
        reasons=reasons,
        first_connected_at=view.first_connected_at,
        last_positive_at=view.last_positive_at,
        flapping=view.flapping,
    )
    return schemas.CodeAnswer(code=code, known=True, status=status)
