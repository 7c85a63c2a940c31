"""Handlers of cases and evidence sheets."""

from typing import Final

from pydantic import BaseModel

from catalog.access import Role
from catalog.cases import list_cases
from catalog.rate_report import PeriodInvalid, report_days
from catalog.reading import decode_cursor, encode_cursor, local_day
from gateway.api.case_schemas import CaseAnswer, CasesAnswer, CasesQuery, SheetQuery, SignedAnswer
from gateway.api.problem import ApiProblem, Code
from gateway.api.reads import look, number_of
from gateway.api.registry import Call, Registry
from gateway.evidence_sheets import signed_sheet

registry: Final = Registry()


@registry.operation(
    "GET",
    "/api/v1/cases",
    tag="cases",
    region_rule="rows of the token's region",
    answers={Role.OPERATOR: CasesAnswer},
    query=CasesQuery,
    problems=(Code.REGION_FORBIDDEN, Code.CURSOR_INVALID),
)
async def get_cases(call: Call[CasesQuery, None]) -> BaseModel:
    """List cases of what must connect and never did, as they stand today (WX-21, WX-34)."""
    query = call.query
    view = look(call, query.region)
    before = int(decode_cursor(query.cursor, (int,))[0]) if query.cursor else None
    cases = await list_cases(
        call.services.database, view, with_ended=query.ended, before=before, limit=query.limit + 1
    )
    shown = cases[: query.limit]
    following = encode_cursor(shown[-1].case_id) if len(cases) > query.limit else None
    return CasesAnswer(
        as_of=view.now, items=tuple(CaseAnswer.of(case) for case in shown), next_cursor=following
    )


@registry.operation(
    "GET",
    "/api/v1/sources/{source_id}/evidence",
    tag="cases",
    region_rule="404 outside the token's region",
    answers={Role.OPERATOR: SignedAnswer},
    query=SheetQuery,
    problems=(Code.NOT_FOUND, Code.INVALID),
)
async def get_evidence_sheet(call: Call[SheetQuery, None]) -> BaseModel:
    """Give the signed evidence sheet of a source: every fact that its status in a period rests on."""
    services, view = call.services, look(call)
    source_id = number_of(call.path["source_id"])
    call.scope = f"source {source_id}"
    try:
        days = report_days(call.query.first, call.query.last, local_day(view.now))
        signed = await signed_sheet(services.database, services.config, view, source_id, days)
    except PeriodInvalid as error:
        raise ApiProblem(Code.INVALID, str(error)) from error
    if signed is None:
        raise ApiProblem(Code.NOT_FOUND)
    return SignedAnswer.model_validate_json(signed)
