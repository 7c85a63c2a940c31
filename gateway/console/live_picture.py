"""The page's live picture: a look for the browser, and the buttons that turn a camera; answered as JSON."""

from typing import Any, Final

from aiohttp import web
from pydantic import BaseModel, ValidationError

from gateway.api.bodies import PlayBody
from gateway.api.dispatch import PRINCIPAL, SCOPE, SERVICES, run
from gateway.api.onvif_schemas import PtzBody
from gateway.api.principal import Principal
from gateway.api.problem import ApiProblem, Code, invalid
from gateway.api.registry import JSON, Call, NoQuery
from gateway.console.pages import OPERATIONS, logged_in, read_form, require_own_origin

_NUMBERS: Final = ("pan", "tilt", "zoom", "seconds")


async def look(request: web.Request) -> web.StreamResponse:
    """Give the person who is logged in a look at a source."""
    principal, fields = await _form(request)
    return await _answer(request, principal, "look_at_source", PlayBody, fields)


async def turn(request: web.Request) -> web.StreamResponse:
    """Turn a camera for the person who is logged in."""
    principal, fields = await _form(request)
    request[SCOPE] = f"source {request.match_info['source_id']} {fields.get('command', '')}"[:200]
    return await _answer(request, principal, "turn", PtzBody, fields)


async def show_ptz(request: web.Request) -> web.StreamResponse:
    """Tell where a camera looks, and its stored positions."""
    _, principal = await logged_in(request)
    request[PRINCIPAL] = principal
    return await _answer(request, principal, "get_ptz", None, {})


async def _form(request: web.Request) -> tuple[Principal, dict[str, str]]:
    require_own_origin(request)
    session, principal = await logged_in(request)
    request[PRINCIPAL] = principal
    fields = await read_form(request)
    if session.is_forged(fields.pop("csrf", "")):
        raise ApiProblem(Code.CSRF)
    return principal, fields


async def _answer(
    request: web.Request,
    principal: Principal,
    operation_id: str,
    model: type[BaseModel] | None,
    fields: dict[str, str],
) -> web.Response:
    services = request.app[SERVICES]
    services.recorder.require_room(principal.role)
    try:
        body = None if model is None else model.model_validate(_numbered(fields))
    except ValidationError as error:
        raise invalid(error) from error
    call: Call[Any, Any] = Call(
        services=services,
        principal=principal,
        query=NoQuery(),
        body=body,
        path=dict(request.match_info),
        request=request,
    )
    operation = OPERATIONS[operation_id]
    result = await run(operation, call)
    if not isinstance(result, BaseModel):
        raise TypeError("an answer of the API is a model")
    return web.Response(status=operation.status, body=result.model_dump_json().encode(), content_type=JSON)


def _numbered(fields: dict[str, str]) -> dict[str, object]:
    """Return the fields with numbers where the model wants numbers; what is none is the model's to refuse."""
    numbered: dict[str, object] = {name: value for name, value in fields.items() if value}
    for name in _NUMBERS:
        text = fields.get(name)
        if text:
            try:
                numbered[name] = float(text)
            except ValueError:
                numbered[name] = text
    return numbered
