"""The operator's page: rendered on the server from the same operations that the API answers with."""

import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from aiohttp import web
from pydantic import BaseModel, ValidationError

from catalog.access import Role
from catalog.errors import DatabaseAway
from catalog.model.secret import Secret
from gateway.api import (
    acting,
    case_acts,
    case_reads,
    compliance_acts,
    discovery_acts,
    dispute_acts,
    gb_acts,
    incident_reads,
    onvif_acts,
    reads,
    report_reads,
    stored_reports,
    suspension_acts,
)
from gateway.api.dispatch import (
    HAS_SESSION,
    PRINCIPAL,
    SCOPE,
    SERVICES,
    client_of,
    language_of,
    record,
    run,
)
from gateway.api.event_stream import last_event_id, send_events
from gateway.api.principal import Principal
from gateway.api.problem import KINDS, ApiProblem, Code, invalid, problem_of_http
from gateway.api.receiving import in_time
from gateway.api.registry import Call, Operation, Result
from gateway.api.services import ApiServices
from gateway.console.messages import text
from gateway.console.rendering import STATIC, render, static
from gateway.console.sessions import Session, Sessions
from gateway.opening import jurisdiction_of

logger = logging.getLogger(__name__)

SESSIONS: Final = web.AppKey("sessions", Sessions)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

OPERATIONS: Final[Mapping[str, Operation]] = {
    operation.operation_id: operation
    for registry in (
        reads.registry,
        report_reads.registry,
        incident_reads.registry,
        case_reads.registry,
        case_acts.registry,
        stored_reports.registry,
        discovery_acts.registry,
        acting.registry,
        onvif_acts.registry,
        gb_acts.registry,
        suspension_acts.registry,
        compliance_acts.registry,
        dispute_acts.registry,
    )
    for operation in registry.operations
}

_OWN: Final = ("lang", "format")
"""Parameters that are none of the operation's: the page has its own way for both."""

_TEASER: Final = {"limit": "8"}


@dataclass(frozen=True)
class Page:
    """One page: its address, its template, and which operations fill it under which names."""

    path: str
    template: str
    title: str
    parts: Mapping[str, tuple[str, Mapping[str, str]]]
    "Name in the template: operation id and fixed parameters; the request's own are added to the main part."
    main: str = ""


PAGES: Final = (
    Page(
        "/",
        "overview.html",
        "overview",
        {
            "summary": ("report_summary", {}),
            "never": ("report_never_connected", _TEASER),
            "offline": ("report_offline", _TEASER),
        },
    ),
    Page(
        "/never-connected", "never.html", "never_connected", {"page": ("report_never_connected", {})}, "page"
    ),
    Page(
        "/offline",
        "offline.html",
        "offline",
        {"page": ("report_offline", {}), "incidents": ("get_incidents", {"limit": "20"})},
        "page",
    ),
    Page("/rates", "rates.html", "rates", {"page": ("report_rates", {})}, "page"),
    Page("/reports", "reports.html", "stored_reports", {"page": ("list_stored_reports", {})}, "page"),
    Page(
        "/cases",
        "cases.html",
        "cases",
        {
            "page": ("get_cases", {}),
            "found": ("list_candidates", {}),
            "disputes": ("get_disputes", {"open": "true"}),
        },
        "page",
    ),
    Page("/compliance", "compliance.html", "compliance", {"page": ("get_compliance", {})}, "page"),
    Page("/suspensions", "suspensions.html", "suspensions", {"page": ("list_windows", {})}, "page"),
    Page("/sources", "sources.html", "sources", {"page": ("list_sources", {})}, "page"),
    Page(
        "/sources/{source_id}",
        "source.html",
        "source",
        {
            "detail": ("get_source", {}),
            "history": ("get_history", {}),
            "onvif": ("get_onvif", {}),
            "disputes": ("get_source_disputes", {}),
        },
        "history",
    ),
    Page(
        "/devices",
        "devices.html",
        "devices",
        {"page": ("list_gb_devices", {}), "quarantine": ("list_gb_quarantine", {})},
    ),
    Page("/devices/{device_id}", "device.html", "device", {"page": ("get_gb_device", {})}),
    Page("/sightings", "sightings.html", "sightings", {"page": ("list_sightings", {})}, "page"),
    Page("/relays", "relays.html", "relays", {"page": ("list_relays", {})}, "page"),
    Page(
        "/networks",
        "networks.html",
        "networks",
        {"records": ("list_networks", {}), "runs": ("list_runs", {"limit": "20"})},
    ),
    Page("/roll", "roll.html", "roll", {"proposals": ("list_proposals", {})}),
)

NAVIGATION: Final = tuple(page for page in PAGES if "{" not in page.path)


def add_console(app: web.Application) -> None:
    """Add the pages to the application."""
    from gateway.console.downloads import export, send_evidence, send_report
    from gateway.console.forms import act
    from gateway.console.live_picture import look, show_ptz, turn

    services = app[SERVICES]
    app[SESSIONS] = Sessions(services.config.api.session_lifetime)
    app[HAS_SESSION] = _has_session
    for page in PAGES:
        app.router.add_get(page.path, _show(page))
    app.router.add_get("/login", show_login)
    app.router.add_post("/login", log_in)
    app.router.add_post("/logout", log_out)
    app.router.add_post("/act/{verb}", act)
    app.router.add_get("/console/events", follow)
    app.router.add_post("/console/looks/{source_id}", look)
    app.router.add_get("/console/ptz/{source_id}", show_ptz)
    app.router.add_post("/console/ptz/{source_id}", turn)
    app.router.add_get("/export/{report}", export)
    app.router.add_get("/sources/{source_id}/evidence.{form:html|json}", send_evidence)
    app.router.add_get("/reports/{number}.{form:pdf|xlsx|json}", send_report)
    app.router.add_get("/static/{name}", send_static)


def _has_session(request: web.Request) -> bool:
    services = request.app[SERVICES]
    session_id = request.cookies.get(cookie_name(services), "")
    return request.app[SESSIONS].get(session_id, services.clock.monotonic()) is not None


def cookie_name(services: ApiServices) -> str:
    """Return the cookie's name; with TLS the prefix binds it to this host."""
    return "__Host-muster" if services.config.api.tls_cert is not None else "muster"


def console_language(request: web.Request) -> str:
    """Return the language of a page: as asked, as chosen before, or the browser's; Chinese first."""
    chosen = request.cookies.get("muster_lang")
    if "lang" not in request.query and chosen in ("zh", "en"):
        return chosen
    return language_of(request)


async def logged_in(request: web.Request) -> tuple[Session, Principal]:
    """Return session and person of a request, the token checked anew.

    Raises:
        web.HTTPFound: nobody is logged in.
    """
    services = request.app[SERVICES]
    session_id = request.cookies.get(cookie_name(services), "")
    session = request.app[SESSIONS].get(session_id, services.clock.monotonic())
    if session is None:
        raise web.HTTPFound("/login")
    try:
        token = await services.authentication.token(session.token, client=client_of(request))
    except ApiProblem as problem:
        if problem.code is not Code.UNAUTHENTICATED:
            raise
        request.app[SESSIONS].close(session_id)
        raise web.HTTPFound("/login") from problem
    except DatabaseAway as error:
        raise ApiProblem(Code.DATABASE_AWAY, retry_after=5) from error
    principal = Principal.of(token, client=client_of(request), purpose="console")
    request[PRINCIPAL] = principal
    wait = services.rate.wait_for(str(token.token_id), services.clock.monotonic())
    if wait:
        raise ApiProblem(Code.TOO_MANY, retry_after=wait)
    return session, principal


def _show(page: Page) -> Handler:
    async def show(request: web.Request) -> web.StreamResponse:
        session, principal = await logged_in(request)
        language = console_language(request)
        services = request.app[SERVICES]
        services.recorder.require_room(principal.role)
        asked = {name: value for name, value in request.query.items() if name not in _OWN and value}
        request[SCOPE] = _scope(page, asked)
        template, parts, problem = page.template, {}, None
        try:
            parts = await _parts(request, page, principal, asked)
        except ApiProblem as error:
            template, problem = "problem.html", error
        body = render(
            template,
            language,
            page_title=page.title,
            path=request.path,
            navigation=NAVIGATION,
            person=principal.person,
            jurisdiction=services.config.jurisdiction.name,
            csrf=session.csrf,
            notices=session.take_notices(),
            asked=defaultdict(str, asked),
            link=_link(request),
            kinds=_kinds(services, language),
            places=_places(services, language),
            problem=problem,
            kind=None if problem is None else KINDS[problem.code],
            **parts,
        )
        status = 200 if problem is None else KINDS[problem.code].status
        response = web.Response(text=body, content_type="text/html", status=status)
        if "lang" in request.query:
            response.set_cookie("muster_lang", language, samesite="Strict", httponly=True, max_age=31_536_000)
        return response

    return show


def _scope(page: Page, asked: Mapping[str, str]) -> str:
    """Return what was asked for, as far as the page knows the parameter: others may hold anything, a token too."""
    known = OPERATIONS[page.parts[page.main][0]].query.model_fields if page.main else {}
    words = (f"{name}={value}" for name, value in asked.items() if name in known and name != "cursor")
    return " ".join(words)[:200]


async def _parts(
    request: web.Request, page: Page, principal: Principal, asked: Mapping[str, str]
) -> dict[str, BaseModel]:
    """Return what fills the page, each by its operation, with the rights of who looks.

    Raises:
        ApiProblem: as the operation.
    """
    parts: dict[str, BaseModel] = {}
    for name, (operation_id, fixed) in page.parts.items():
        query = {**(asked if name == page.main else {}), **fixed}
        answer = await ask(request, principal, operation_id, query, request.match_info)
        if isinstance(answer, BaseModel):
            parts[name] = answer
    return parts


async def ask(
    request: web.Request,
    principal: Principal,
    operation_id: str,
    asked: Mapping[str, str],
    path: Mapping[str, str],
    *,
    as_file: bool = False,
) -> Result:
    """Return what an operation gives to who looks at a page, with his rights.

    Raises:
        ApiProblem: as the operation.
    """
    operation = OPERATIONS[operation_id]
    try:
        query = operation.query.model_validate(asked)
    except ValidationError as error:
        raise invalid(error) from error
    call: Call[Any, Any] = Call(
        services=request.app[SERVICES],
        principal=principal,
        query=query,
        body=None,
        path=dict(path),
        request=request if as_file else None,
    )
    return await run(operation, call)


def _kinds(services: ApiServices, language: str) -> dict[str, str]:
    """Return the titles of the place classes that the profile here knows."""
    classes = jurisdiction_of(services.config).effective().place_classes
    return {item.code: item.title.en if language == "en" else item.title.zh for item in classes}


def _places(services: ApiServices, language: str) -> dict[str, str]:
    """Return the titles of the location types, permitted or not, that the profile here knows."""
    profile = jurisdiction_of(services.config).effective()
    titles = {item.value: item.title for item in profile.location_types}
    titles |= {item.value: item.title for item in profile.forbidden_locations}
    return {value: title.en if language == "en" else title.zh for value, title in titles.items()}


def _link(request: web.Request) -> Callable[..., str]:
    """Return what makes a link to the same page with other parameters; an empty one drops out."""

    def link(path: str | None = None, **changes: str | None) -> str:
        kept = (
            {} if path is not None else {key: value for key, value in request.query.items() if key != "lang"}
        )
        merged = {**kept, **changes}
        query = urlencode({name: value for name, value in merged.items() if value})
        return f"{path or request.path}{f'?{query}' if query else ''}"

    return link


async def show_login(request: web.Request) -> web.Response:
    """Show the form that takes a token."""
    return _login_page(request, "")


def _login_page(request: web.Request, problem: str, status: int = 200) -> web.Response:
    language = console_language(request)
    services = request.app[SERVICES]
    body = render(
        "login.html",
        language,
        problem=text(problem, language) if problem else "",
        jurisdiction=services.config.jurisdiction.name,
    )
    return web.Response(text=body, content_type="text/html", status=status)


async def log_in(request: web.Request) -> web.StreamResponse:
    """Take a token and open a session."""
    require_own_origin(request)
    services = request.app[SERVICES]
    form = await read_form(request)
    secret = Secret(form.get("token", "").strip())
    try:
        token = await services.authentication.token(secret, client=client_of(request))
    except ApiProblem as problem:
        word = "login_wait" if problem.code is Code.TOO_MANY else "login_failed"
        return _login_page(request, word, status=429 if problem.code is Code.TOO_MANY else 401)
    except DatabaseAway as error:
        raise ApiProblem(Code.DATABASE_AWAY, retry_after=5) from error
    request[PRINCIPAL] = Principal.of(token, client=client_of(request), purpose="console")
    if token.role is not Role.OPERATOR:
        return _login_page(request, "login_role", status=403)
    response = web.Response(status=303, headers={"Location": "/"})
    response.set_cookie(
        cookie_name(services),
        request.app[SESSIONS].open(secret, services.clock.monotonic()),
        httponly=True,
        samesite="Strict",
        secure=services.config.api.tls_cert is not None,
        path="/",
        max_age=int(services.config.api.session_lifetime),
    )
    logger.info("%s logged in from %s", token.person, client_of(request), extra={"action": "console_login"})
    return response


async def log_out(request: web.Request) -> web.StreamResponse:
    """End the session."""
    require_own_origin(request)
    session, _ = await logged_in(request)
    form = await read_form(request)
    if session.is_forged(form.get("csrf", "")):
        raise ApiProblem(Code.CSRF)
    services = request.app[SERVICES]
    request.app[SESSIONS].close(request.cookies.get(cookie_name(services), ""))
    response = web.Response(status=303, headers={"Location": "/login"})
    response.del_cookie(cookie_name(services), path="/")
    return response


async def read_form(request: web.Request, limit: int = 65_536) -> dict[str, str]:
    """Return the text fields of a form.

    Raises:
        ApiProblem: it is larger than `limit` bytes, or no form.
    """
    if request.content_length is None or request.content_length > limit:
        raise ApiProblem(Code.TOO_LARGE)
    try:
        async with in_time(limit):
            form = await request.post()
    except ValueError as error:
        raise ApiProblem(Code.MALFORMED) from error
    except web.HTTPException as error:
        raise problem_of_http(error) from error
    return {name: value for name, value in form.items() if isinstance(value, str)}


def require_own_origin(request: web.Request) -> None:
    """Refuse a form that another site sent; browsers say from where it comes.

    Raises:
        ApiProblem: it came from elsewhere.
    """
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != request.host:
        raise ApiProblem(Code.CSRF)


async def follow(request: web.Request) -> web.StreamResponse:
    """Stream the live changes to the page."""
    _, principal = await logged_in(request)
    services = request.app[SERVICES]
    await record(services, request, 200)
    after = last_event_id(request.headers.get("Last-Event-ID"))
    view = services.view(principal.region)
    return await send_events(request, services, view, str(principal.token_id), after)


async def send_static(request: web.Request) -> web.StreamResponse:
    """Send the style sheet or the script."""
    name = request.match_info["name"]
    try:
        body = static(name)
    except KeyError as error:
        raise ApiProblem(Code.NOT_FOUND) from error
    headers = {"Cache-Control": "no-cache"}
    return web.Response(body=body, content_type=STATIC[name], charset="utf-8", headers=headers)
