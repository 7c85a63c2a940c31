"""The published catalog, for everybody: HTML, JSON and CSV from the allow-list of the publication (WX-21.3)."""

import asyncio
from collections import OrderedDict
from typing import Annotated, Final, Literal

from aiohttp import web
from pydantic import Field

from catalog.access import Role
from catalog.errors import DatabaseAway
from catalog.public_rendering import render_csv, render_json
from catalog.publication import PublicView, Published, fetch_public
from gateway.api.dispatch import language_of
from gateway.api.problem import ApiProblem, Code
from gateway.api.registry import JSON, Call, Registry, Schema
from gateway.api.services import ApiServices
from gateway.console.public_page import Shown, render_html
from gateway.opening import jurisdiction_of

registry: Final = Registry()

MOST_EDITIONS: Final = 20
"""Editions kept for while the database is away."""

_HTML: Final = "text/html"
_CSV: Final = "text/csv"


class CatalogQuery(Schema):
    """Parameters of the public catalog."""

    format: Literal["html", "json", "csv"] | None = None
    lang: Literal["zh", "en"] | None = None
    edition: Annotated[str, Field(max_length=100)] | None = None
    page: Annotated[int, Field(ge=1, le=10_000, description="Of the HTML page, from 1.")] = 1


class LastViews:
    """What the public saw last, by edition."""

    def __init__(self) -> None:
        self._newest: PublicView | None = None
        self._views: OrderedDict[str, PublicView] = OrderedDict()

    async def read(self, services: ApiServices, edition: str | None) -> tuple[PublicView, bool]:
        """Return the edition and whether it is from memory because the database is away.

        Raises:
            DatabaseAway: nothing is remembered either.
        """
        try:
            view = await fetch_public(services.database, jurisdiction_of(services.config), edition)
        except DatabaseAway:
            remembered = self._newest if edition is None else self._views.get(edition)
            if remembered is None:
                raise
            return remembered, True
        if edition is None:
            self._newest = view
        elif isinstance(view, Published):
            self._views.pop(edition, None)
            self._views[edition] = view
            if len(self._views) > MOST_EDITIONS:
                self._views.popitem(last=False)
        return view, False


LAST_VIEWS: Final = web.AppKey("last_views", LastViews)


@registry.operation(
    "GET",
    "/public/catalog",
    tag="public",
    region_rule="none: what is published is for everybody",
    answers={Role.PUBLIC: None},
    query=CatalogQuery,
    media=(_HTML, JSON, _CSV),
    problems=(Code.NOT_ACCEPTABLE,),
    survives_outage=True,
)
async def get_public_catalog(call: Call[CatalogQuery, None]) -> web.StreamResponse:
    """Show the published catalog of who must connect, or why there is none."""
    request = call.request
    if request is None:
        raise ValueError("the public catalog is for a caller only")
    form = call.query.format or _wanted(request.headers.get("Accept", ""))
    view, is_stale = await request.app[LAST_VIEWS].read(call.services, call.query.edition)
    headers = {"Warning": '110 - "Response is Stale"'} if is_stale else {}
    match form:
        case "json":
            body = await asyncio.to_thread(render_json, view)
            return web.Response(body=body, content_type=JSON, headers=headers)
        case "csv":
            headers["Content-Disposition"] = 'attachment; filename="catalog.csv"'
            body = await asyncio.to_thread(render_csv, view)
            return web.Response(body=body, content_type=_CSV, charset="utf-8", headers=headers)
        case _:
            page = Shown(call.query.page, is_stale=is_stale, edition=call.query.edition)
            text = render_html(view, language_of(request), page)
            return web.Response(text=text, content_type=_HTML, headers=headers)


def _wanted(accept: str) -> Literal["html", "json", "csv"]:
    """Return the first of our formats in an Accept header; HTML where everything is welcome.

    Raises:
        ApiProblem: none of ours is.
    """
    kinds: dict[str, Literal["html", "json", "csv"]] = {
        "": "html",
        "*/*": "html",
        "text/*": "html",
        _HTML: "html",
        JSON: "json",
        _CSV: "csv",
    }
    for part in accept[:500].split(","):
        kind = kinds.get(part.split(";")[0].strip().lower())
        if kind is not None:
            return kind
    raise ApiProblem(Code.NOT_ACCEPTABLE)
