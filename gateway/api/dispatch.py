"""From a request to its answer: who calls, may they, is it well-formed; then the handler; then the record of it.

Every call is recorded before it is answered. While the database is away reads are answered with the last good
answer, marked stale; writes get 503.
"""

import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, Final
from urllib.parse import unquote

from aiohttp import web
from pydantic import BaseModel, ValidationError

from catalog.access import AccessEntry, Role, looks_like_token
from catalog.errors import (
    CatalogError,
    ConstraintViolated,
    CredentialUnreadable,
    DatabaseAway,
    TransactionConflict,
)
from catalog.model.network import NetworkRefused
from catalog.model.sighting_states import DecisionRefused
from catalog.reading import CursorInvalid
from gateway.api.access_recorder import AccessLogFull
from gateway.api.authentication import bearer
from gateway.api.door import note_request
from gateway.api.principal import Principal
from gateway.api.problem import ApiProblem, Code, Fault, invalid, problem_of_http, problem_response
from gateway.api.receiving import read_body
from gateway.api.registry import BODY_LIMIT, JSON, Call, Operation
from gateway.api.services import ApiServices
from gateway.supervisor import isolated

logger = logging.getLogger(__name__)

SERVICES: Final = web.AppKey("services", ApiServices)

HAS_SESSION: Final[web.AppKey[Callable[[web.Request], bool]]] = web.AppKey("has_session")
"""Tells whether a request belongs to a login of the operator's page."""

PRINCIPAL: Final = web.RequestKey("principal", Principal)
SCOPE: Final = web.RequestKey("scope", str)
RECORDED: Final = web.RequestKey("recorded", bool)

_RETRY_AFTER: Final = 5.0
_PURPOSE_LIMIT: Final = 500
_UNRECORDED: Final = ("/healthz", "/readyz", "/static/{name}")
"""Routes that show nothing of anybody; a monitor asks them every few seconds."""

_BY_TOKEN: Final = ("/api/", "/metrics", "/public/")
"""Where bearer tokens are looked at: the operations, and none of the pages."""

_HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not "no-referrer": browsers would then send `Origin: null` with our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def language_of(request: web.BaseRequest) -> str:
    """Return `zh` or `en`: what `?lang=` says, else the first of the two in Accept-Language, else Chinese."""
    asked = request.query.get("lang", "").lower()
    for part in (asked, *request.headers.get("Accept-Language", "").lower()[:200].split(",")):
        tag = part.split(";")[0].strip()
        if tag.startswith("zh"):
            return "zh"
        if tag.startswith("en"):
            return "en"
    return "zh"


def client_of(request: web.BaseRequest) -> str:
    """Return the network address of the caller; headers that claim another one are not believed."""
    return request.remote or "unknown"


@web.middleware
async def guard(request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> Any:
    """Answer every request: errors become problems, bugs too, and nothing leaves without its record."""
    note_request(request)
    services = request.app[SERVICES]
    language = language_of(request)

    async def answer() -> web.StreamResponse:
        try:
            _require_public_rate(services, request)
            return await handler(request)
        except ApiProblem as problem:
            return problem_response(problem, instance=request.path, language=language)
        except web.HTTPException as error:
            if error.status < 400:
                return _redirection(error)
            response = problem_response(problem_of_http(error), instance=request.path, language=language)
            if "Allow" in error.headers:
                response.headers["Allow"] = error.headers["Allow"]
            return response
        except AccessLogFull:
            return _log_full(request, language)
        except ConnectionResetError:
            # The caller hung up; there is nobody left to answer.
            return web.Response(status=499)

    def bug() -> web.StreamResponse:
        return problem_response(ApiProblem(Code.INTERNAL), instance=request.path, language=language)

    response = await isolated(f"{request.method} {route_of(request)}", answer, bug)
    return await isolated("access log", lambda: _recorded(services, request, response, language), bug)


def _require_public_rate(services: ApiServices, request: web.Request) -> None:
    """Slow anonymous callers down, whatever they ask for: each call costs a row of the log."""
    if route_of(request) in _UNRECORDED or _brings_token(request) or request.app[HAS_SESSION](request):
        return
    wait = services.public_rate.wait_for(client_of(request), services.clock.monotonic())
    if wait:
        raise ApiProblem(Code.TOO_MANY, retry_after=wait)


def _brings_token(request: web.Request) -> bool:
    """Tell whether the token of a request will be looked at, so that a wrong one counts as a failed login."""
    if request.match_info.http_exception is not None or not request.path.startswith(_BY_TOKEN):
        return False
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return scheme.lower() == "bearer" and looks_like_token(token.strip())


def _redirection(error: web.HTTPException) -> web.Response:
    location = error.headers.get("Location", "/")
    return web.Response(status=error.status, headers={"Location": location})


async def harden(_request: web.BaseRequest, response: web.StreamResponse) -> None:
    """Add the security headers, also to streams."""
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers.pop("Server", None)


def route_of(request: web.Request) -> str:
    """Return the pattern of the matched route, never the path with what is in it."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "unknown"


async def _recorded(
    services: ApiServices, request: web.Request, response: web.StreamResponse, language: str
) -> web.StreamResponse:
    if request.get(RECORDED) or route_of(request) in _UNRECORDED:
        return response
    if response.status == 429 and PRINCIPAL not in request:
        # Nothing was looked at for them, and a flood of refusals must not become a flood of rows.
        return response
    try:
        await record(services, request, response.status)
    except AccessLogFull:
        return _log_full(request, language)
    return response


def _log_full(request: web.Request, language: str) -> web.Response:
    problem = ApiProblem(Code.LOG_FULL, retry_after=_RETRY_AFTER)
    return problem_response(problem, instance=request.path, language=language)


async def record(services: ApiServices, request: web.Request, status: int) -> None:
    """Record the call now; raises `AccessLogFull` when that is not possible."""
    principal = request.get(PRINCIPAL) or Principal(client=client_of(request))
    services.recorder.require_room(principal.role)
    entry = AccessEntry(
        at=services.clock.now(),
        role=principal.role,
        client=principal.client,
        method=request.method,
        route=route_of(request),
        scope=request.get(SCOPE, ""),
        status=status,
        person=principal.person,
        token_prefix=principal.token_prefix,
        purpose=principal.purpose,
    )
    request[RECORDED] = True
    await services.recorder.record(entry)


def endpoint(operation: Operation) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Return the aiohttp handler of an operation."""

    async def answer(request: web.Request) -> web.StreamResponse:
        services = request.app[SERVICES]
        principal = await identify(services, request)
        if principal.token_id is not None:
            request[PRINCIPAL] = principal
        _require_role(operation, principal)
        _require_rate(services, principal)
        is_large = operation.body_limit > BODY_LIMIT
        with services.large_bodies.turn() if is_large else nullcontext():
            return await _carry_out(services, operation, request, principal)

    return answer


async def _carry_out(
    services: ApiServices, operation: Operation, request: web.Request, principal: Principal
) -> web.StreamResponse:
    call = await _parse(services, operation, request, principal)
    principal = call.principal
    request[PRINCIPAL] = principal
    if principal.role is Role.POLICE_STATUS and not principal.purpose:
        raise ApiProblem(
            Code.PURPOSE_MISSING,
            "say what it is for: header X-Purpose (percent-encoded UTF-8) or the body's purpose",
        )
    request[SCOPE] = _scope(call)
    services.recorder.require_room(principal.role)
    result = await run(operation, call)
    request[SCOPE] = _scope(call)
    if isinstance(result, BaseModel):
        return web.json_response(
            status=operation.status, body=result.model_dump_json().encode(), content_type=JSON
        )
    return result


async def run(operation: Operation, call: Call[Any, Any]) -> BaseModel | web.StreamResponse:
    """Run the handler; while the database is away, the last good answer or 503.

    Raises:
        ApiProblem: whatever went wrong, in the vocabulary of the API.
    """
    key, stale, clock = _key(operation, call), call.services.stale, call.services.clock
    if operation.cached and stale.is_away(clock.monotonic()):
        remembered = stale.recall(key)
        if remembered is not None:
            return remembered
    try:
        result = await operation.handler(call)
    except DatabaseAway as error:
        stale.note_away(clock.monotonic())
        remembered = stale.recall(key) if operation.cached else None
        if remembered is not None:
            return remembered
        logger.warning("%s: %s", operation.operation_id, error, extra={"action": "database_away"})
        raise ApiProblem(Code.DATABASE_AWAY, retry_after=_RETRY_AFTER) from error
    except (CatalogError, CursorInvalid, NetworkRefused, DecisionRefused) as error:
        raise problem_of_catalog(error) from error
    if operation.cached and isinstance(result, BaseModel):
        stale.keep(key, result)
    return result


def problem_of_catalog(error: CatalogError | ValueError) -> ApiProblem:  # noqa: PLR0911 - one line a kind
    """Return the problem of a refusal of the catalog; a bug passes on as it is."""
    match error:
        case CursorInvalid():
            return ApiProblem(Code.CURSOR_INVALID, str(error))
        case ConstraintViolated():
            return ApiProblem(Code.CONFLICT, error.constraint)
        case TransactionConflict():
            return ApiProblem(Code.CONFLICT, "somebody else changed it at the same moment", retry_after=1)
        case CredentialUnreadable():
            return ApiProblem(Code.CONFLICT, str(error))
        case CatalogError() if error.cause.endswith("_unknown"):
            return ApiProblem(Code.NOT_FOUND, str(error))
        case CatalogError() if error.cause.endswith("_busy"):
            return ApiProblem(Code.CONFLICT, str(error), retry_after=_RETRY_AFTER)
        case CatalogError():
            raise error
        case _:
            return ApiProblem(Code.INVALID, str(error))


async def identify(services: ApiServices, request: web.Request) -> Principal:
    """Return who calls by the bearer token; anonymous without one.

    Raises:
        ApiProblem: the token is none of ours, or nobody can tell now.
    """
    client = client_of(request)
    purpose = _purpose(request.headers.get("X-Purpose"))
    secret = bearer(request.headers.get("Authorization"))
    if secret is None:
        return Principal(client=client, purpose=purpose)
    try:
        token = await services.authentication.token(secret, client=client)
    except DatabaseAway as error:
        raise ApiProblem(Code.DATABASE_AWAY, retry_after=_RETRY_AFTER) from error
    return Principal.of(token, client=client, purpose=purpose)


def _purpose(text: str | None) -> str | None:
    if text is None:
        return None
    text = " ".join(unquote(text, errors="replace").split())
    return text[:_PURPOSE_LIMIT] or None


def _require_role(operation: Operation, principal: Principal) -> None:
    if principal.role in operation.answers:
        return
    if principal.role is Role.PUBLIC:
        if Role.PUBLIC not in operation.answers:
            raise ApiProblem(Code.UNAUTHENTICATED)
    else:
        # Who has a token may see what everybody may see.
        if Role.PUBLIC in operation.answers:
            return
        raise ApiProblem(Code.FORBIDDEN)


def _require_rate(services: ApiServices, principal: Principal) -> None:
    if principal.token_id is None:
        return
    wait = services.rate.wait_for(str(principal.token_id), services.clock.monotonic())
    if wait:
        raise ApiProblem(Code.TOO_MANY, retry_after=wait)


async def _parse(
    services: ApiServices, operation: Operation, request: web.Request, principal: Principal
) -> Call[Any, Any]:
    repeated = [name for name in request.query if len(request.query.getall(name)) > 1]
    if repeated:
        raise ApiProblem(
            Code.INVALID, faults=[Fault(pointer=name, detail="given twice") for name in repeated]
        )
    try:
        query = operation.query.model_validate(dict(request.query))
    except ValidationError as error:
        raise invalid(error) from error
    call: Call[Any, Any] = Call(
        services=services,
        principal=principal,
        query=query,
        body=None,
        path=dict(request.match_info),
        request=request,
        media_type=request.content_type,
    )
    if operation.body is not None or operation.body_types:
        call.raw = await read_body(request, operation.body_limit)
    if operation.body_types and request.content_type not in operation.body_types:
        raise ApiProblem(Code.MEDIA_TYPE, f"send {' or '.join(operation.body_types)}")
    if operation.body is not None:
        call.body = _body(operation.body, request, call.raw)
        purpose = _purpose(getattr(call.body, "purpose", None))
        if purpose is not None:
            call.principal = replace(principal, purpose=purpose)
    return call


def _body(model: type[BaseModel], request: web.Request, raw: bytes) -> BaseModel:
    if request.content_type != JSON:
        raise ApiProblem(Code.MEDIA_TYPE, f"send {JSON}")
    try:
        json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ApiProblem(Code.MALFORMED, "the body is not JSON") from error
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        raise invalid(error) from error


def _scope(call: Call[Any, Any]) -> str:
    """Return what was asked for: path, parameters, and what the handler added."""
    parts = [f"{name}={value}" for name, value in call.path.items()]
    if isinstance(call.query, BaseModel):
        asked = call.query.model_dump(mode="json", exclude_defaults=True, exclude={"cursor"})
        parts += [f"{name}={value}" for name, value in asked.items()]
    if call.scope:
        parts.append(call.scope)
    if call.principal.region.prefix:
        parts.append(f"region<{call.principal.region.prefix}")
    return " ".join(parts)


def _key(operation: Operation, call: Call[Any, Any]) -> tuple[str, ...]:
    asked = call.query.model_dump_json() if isinstance(call.query, BaseModel) else ""
    principal = call.principal
    return (
        operation.operation_id,
        principal.role.value,
        principal.region.prefix,
        asked,
        *(f"{name}={value}" for name, value in sorted(call.path.items())),
    )
