"""Live pictures for a browser: WHEP (draft-ietf-wish-whep), and a single JPEG where that does not work.

A look is asked for with a token of the API and says what it is for; the two routes here take the look alone, once.
They stand outside the registry because their bearer is no token of the API.
"""

import ipaddress
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from aiohttp import web

from catalog.sources import SourceUnknown
from gateway.api.dispatch import SCOPE, SERVICES, client_of
from gateway.api.problem import ApiProblem, Code
from gateway.api.reads import number_of
from gateway.api.receiving import read_body
from gateway.api.services import LiveDesk
from gateway.interfaces import LinuxKernel
from gateway.serving.admission import Refused
from gateway.viewing.process import NotShown

SDP: Final = "application/sdp"
MAX_OFFER: Final = 64 * 1024
"""Bytes; browsers send some 5 KB."""

_REFUSALS: Final = {
    401: Code.UNAUTHENTICATED,
    403: Code.FORBIDDEN,
    404: Code.NOT_FOUND,
    453: Code.RELAY_LIMIT,
    503: Code.NOT_RUNNING,
}
_CAUSES: Final = {"no_h264": Code.NOT_ACCEPTABLE, "bad_offer": Code.MALFORMED, "no_stream": Code.NOT_RUNNING}


def add_live_pictures(app: web.Application) -> None:
    """Add the routes to the application."""
    app.router.add_post("/api/v1/sources/{source_id}/whep", begin_view)
    app.router.add_delete("/api/v1/views/{handle}", end_view)
    app.router.add_get("/api/v1/sources/{source_id}/snapshot", get_snapshot)


async def begin_view(request: web.Request) -> web.StreamResponse:
    """Answer a browser's offer; the view begins."""
    desk, code = _desk(request), _code(request)
    if request.content_type != SDP:
        raise ApiProblem(Code.MEDIA_TYPE, f"send the offer as {SDP}")
    offer = (await read_body(request, MAX_OFFER)).decode("utf-8", "replace")
    with _told():
        shown = await desk.view(
            _look(request), code, offer, client=client_of(request), addresses=_our_addresses(request)
        )
    return web.Response(
        status=201,
        text=shown.sdp,
        content_type=SDP,
        headers={"Location": f"/api/v1/views/{shown.handle}"},
    )


async def end_view(request: web.Request) -> web.StreamResponse:
    """End a view; whoever has its address may."""
    request[SCOPE] = "view"
    if not _desk(request).leave(request.match_info["handle"]):
        raise ApiProblem(Code.NOT_FOUND)
    return web.Response(status=200)


async def get_snapshot(request: web.Request) -> web.StreamResponse:
    """Return a single picture."""
    desk, code = _desk(request), _code(request)
    with _told():
        still = await desk.still(_look(request), code, client=client_of(request))
    return web.Response(body=still.jpeg, content_type="image/jpeg")


@contextmanager
def _told() -> Iterator[None]:
    """Turn what the desk says into problems."""
    try:
        yield
    except Refused as error:
        code = _REFUSALS.get(error.status, Code.NOT_RUNNING)
        raise ApiProblem(code, error.reason, retry_after=error.retry_after) from error
    except NotShown as error:
        raise ApiProblem(_CAUSES.get(error.cause, Code.DEVICE_FAILED), error.cause) from error


def _desk(request: web.Request) -> LiveDesk:
    desk = request.app[SERVICES].live_desk
    if desk is None:
        raise ApiProblem(Code.NOT_RUNNING, "live pictures are switched off: set enabled in [viewing]")
    return desk


def _code(request: web.Request) -> str:
    source_id = number_of(request.match_info["source_id"])
    request[SCOPE] = f"source {source_id}"
    try:
        return _desk(request).code_of(source_id)
    except SourceUnknown as error:
        raise ApiProblem(Code.NOT_FOUND) from error


def _look(request: web.Request) -> str:
    scheme, _, look = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not look.strip():
        raise ApiProblem(Code.UNAUTHENTICATED, "send the look as a bearer token")
    return look.strip()[:200]


def _our_addresses(request: web.Request) -> tuple[str, ...]:
    """Return the addresses that the browser may be told: the one at which it reached us.

    A browser on this very machine may not send from loopback, so it is told the others as well.
    """
    local = request.transport.get_extra_info("sockname") if request.transport is not None else None
    here = str(local[0]) if isinstance(local, tuple) else "127.0.0.1"
    if ipaddress.ip_address(here).is_loopback:
        return (here, *(address for address in LinuxKernel().own_addresses() if address != here))
    return (here,)
