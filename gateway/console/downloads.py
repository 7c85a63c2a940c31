"""Files that the page offers: reports, evidence sheets, stored reports; the same operations as the API."""

from collections.abc import Mapping
from typing import Final

from aiohttp import web
from pydantic import BaseModel

from catalog.evidence_sheet import check
from catalog.signing import verify
from gateway.api.dispatch import SCOPE
from gateway.api.problem import ApiProblem, Code
from gateway.api.registry import Result
from gateway.console.evidence_page import evidence_page
from gateway.console.pages import ask, console_language, logged_in

_EXPORTS: Final = {"never-connected": "report_never_connected", "offline": "report_offline"}


async def export(request: web.Request) -> web.StreamResponse:
    """Send a report as a file."""
    name, _, form = request.match_info["report"].rpartition(".")
    if name not in _EXPORTS or form not in ("csv", "xlsx"):
        raise ApiProblem(Code.NOT_FOUND)
    asked = {"format": form, "lang": console_language(request)}
    return _file(await _asked_for(request, _EXPORTS[name], asked, form))


async def send_report(request: web.Request) -> web.StreamResponse:
    """Send a stored report: as it was signed, as PDF or as workbook."""
    number, form = request.match_info["number"], request.match_info["form"]
    asked = {"format": form, "lang": console_language(request), **_given(request, "revision")}
    scope = f"report {number[:100]} {form}"
    return _file(await _asked_for(request, "get_stored_report", asked, scope, number=number))


async def send_evidence(request: web.Request) -> web.StreamResponse:
    """Send a source's evidence sheet as a file: signed, or as a page to be printed."""
    source_id, form = request.match_info["source_id"], request.match_info["form"]
    days = _given(request, "first", "last")
    scope = f"source {source_id}"
    answer = await _asked_for(request, "get_evidence_sheet", days, scope, source_id=source_id)
    if not isinstance(answer, BaseModel):
        raise TypeError("an evidence sheet is a document")
    signed = answer.model_dump_json(indent=1).encode()
    if form == "html":
        verified = verify(signed)
        page = evidence_page(verified, check(verified.document), console_language(request))
        body, media = page.encode(), "text/html"
    else:
        body, media = signed, "application/json"
    headers = {"Content-Disposition": f'attachment; filename="evidence-{source_id}.{form}"'}
    return web.Response(body=body, content_type=media, charset="utf-8", headers=headers)


def _given(request: web.Request, *names: str) -> dict[str, str]:
    return {name: value for name in names if (value := request.query.get(name))}


async def _asked_for(
    request: web.Request, operation_id: str, asked: Mapping[str, str], scope: str, **path: str
) -> Result:
    """Return what an operation gives to who is logged in; the log says `scope`.

    Raises:
        ApiProblem: as the operation.
        web.HTTPFound: nobody is logged in.
    """
    _, principal = await logged_in(request)
    request[SCOPE] = scope
    return await ask(request, principal, operation_id, asked, path, as_file=True)


def _file(result: Result) -> web.StreamResponse:
    if not isinstance(result, web.StreamResponse):
        raise TypeError("what is sent is a file")
    return result
