"""Handlers of stored reports: made, told anew, listed, and given as signed document, PDF or workbook."""

import asyncio
from pathlib import Path
from typing import Final

from aiohttp import web
from pydantic import BaseModel

from catalog.access import Role
from catalog.signing import verify
from catalog.stored_reports import NoSuchReport, list_reports, read_report
from gateway.api import verbs
from gateway.api.acting import REFUSALS, acting
from gateway.api.case_schemas import SignedAnswer
from gateway.api.export import XLSX_MEDIA
from gateway.api.problem import ApiProblem, Code
from gateway.api.reads import look
from gateway.api.registry import JSON, Call, NoQuery, Registry, Result
from gateway.api.stored_report_schemas import (
    MakeReportBody,
    RemakeReportBody,
    StoredReportAnswer,
    StoredReportQuery,
    StoredReportsAnswer,
    StoredReportsQuery,
)
from gateway.reporting.pdf import FontMissing, write_pdf
from gateway.reporting.tables import lay_out
from gateway.reporting.workbook import write_workbook

registry: Final = Registry()

PDF_MEDIA: Final = "application/pdf"
_MEDIA: Final = {"json": JSON, "pdf": PDF_MEDIA, "xlsx": XLSX_MEDIA}
_WITHIN: Final = "reports about regions within the token's"
_BOTH: Final = (Role.OPERATOR, Role.POLICE_STATUS)


@registry.operation(
    "GET",
    "/api/v1/reports/stored",
    tag="reports",
    region_rule=_WITHIN,
    answers=dict.fromkeys(_BOTH, StoredReportsAnswer),
    query=StoredReportsQuery,
    problems=(Code.CURSOR_INVALID, Code.REGION_FORBIDDEN),
)
async def list_stored_reports(call: Call[StoredReportsQuery, None]) -> BaseModel:
    """List the stored reports and their revisions, the newest first."""
    query, view = call.query, look(call, call.query.region)
    page = await list_reports(call.services.database, view.region, cursor=query.cursor, limit=query.limit)
    return StoredReportsAnswer(
        as_of=view.now,
        items=tuple(StoredReportAnswer.of(head) for head in page.items),
        next_cursor=page.next_cursor,
    )


@registry.operation(
    "GET",
    "/api/v1/reports/stored/{number}",
    tag="reports",
    region_rule="404 unless it is about a region within the token's",
    answers=dict.fromkeys(_BOTH, SignedAnswer),
    query=StoredReportQuery,
    media=(JSON, PDF_MEDIA, XLSX_MEDIA),
    problems=(Code.NOT_FOUND, Code.NOT_RUNNING, Code.TOO_MANY),
)
async def get_stored_report(call: Call[StoredReportQuery, None]) -> Result:
    """Give a stored report as it was signed, or laid out for people as PDF or workbook."""
    query, number = call.query, call.path["number"][:100]
    try:
        head, signed = await read_report(call.services.database, look(call).region, number, query.revision)
    except NoSuchReport as error:
        raise ApiProblem(Code.NOT_FOUND, str(error)) from error
    body = signed
    if query.format != "json":
        with call.services.printing.turn():
            font = call.services.config.reports.font
            try:
                body = await asyncio.to_thread(_written, signed, query.format, query.lang, font)
            except FontMissing as error:
                raise ApiProblem(Code.NOT_RUNNING, str(error)) from error
    name = f"{head.number}-{head.revision}.{query.format}"
    return web.Response(
        body=body,
        content_type=_MEDIA[query.format],
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _written(signed: bytes, form: str, language: str, font: Path) -> bytes:
    laid_out = lay_out(verify(signed), language)
    return write_pdf(laid_out, font) if form == "pdf" else write_workbook(laid_out)


@registry.operation(
    "POST",
    "/api/v1/reports/stored",
    tag="reports",
    region_rule=_WITHIN,
    answers={Role.OPERATOR: StoredReportAnswer},
    body=MakeReportBody,
    status=201,
    problems=(Code.INVALID, Code.REGION_FORBIDDEN, Code.TOO_MANY),
)
async def make_report(call: Call[NoQuery, MakeReportBody]) -> BaseModel:
    """Tell whole local days of a region, sign and store the report; it never changes."""
    head = await verbs.make_report(acting(call), call.body)
    call.scope = f"report {head.number}"
    return StoredReportAnswer.of(head)


@registry.operation(
    "POST",
    "/api/v1/reports/stored/{number}/revisions",
    tag="reports",
    region_rule="404 unless it is about a region within the token's",
    answers={Role.OPERATOR: StoredReportAnswer},
    body=RemakeReportBody,
    status=201,
    problems=(*REFUSALS, Code.TOO_MANY),
)
async def remake_report(call: Call[NoQuery, RemakeReportBody]) -> BaseModel:
    """Tell a stored report anew as its next revision; 409 where nothing would change."""
    number = call.path["number"][:100]
    return StoredReportAnswer.of(await verbs.remake_report(acting(call), number, call.body.reason))
