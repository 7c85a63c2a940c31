"""Handlers that read the catalog: sites, sources, histories, sightings, relays."""

import re
from dataclasses import replace
from typing import Any, Final, Protocol, TypeVar

from pydantic import BaseModel

from catalog.access import Role
from catalog.reading import Page, Region, Selection, SourceRow
from catalog.reports import View
from catalog.selection import SelectionUnknown, require_selection
from gateway.api import police_schemas, schemas
from gateway.api.principal import Principal
from gateway.api.problem import ApiProblem, Code
from gateway.api.registry import Call, NoQuery, Registry
from gateway.api.services import ApiServices
from gateway.relay.budget import Usage
from gateway.relay.placement import WorkerLoad
from gateway.relay.view import RelaySnapshot

registry: Final = Registry()

Item = TypeVar("Item", bound=BaseModel)

_OPERATOR: Final = Role.OPERATOR
_POLICE: Final = Role.POLICE_STATUS
_CODE: Final = re.compile(r"[0-9]{20}")
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,18}")
_ROWS: Final = "rows of the token's region"
_ONE: Final = "404 outside the token's region"


class Looking(Protocol):
    """Who looks: a call, or who acts."""

    @property
    def services(self) -> ApiServices:
        """What there is to look at."""
        ...

    @property
    def principal(self) -> Principal:
        """Who looks."""
        ...


def look(call: Looking, region: str = "") -> View:
    """Return from where the caller looks: the region asked for, within that of the token.

    Raises:
        ApiProblem: the region asked for lies outside.
    """
    own = call.principal.region
    if not region:
        return call.services.view(own)
    asked = Region(region)
    if own.covers(asked):
        return call.services.view(asked)
    if asked.covers(own):
        return call.services.view(own)
    raise ApiProblem(Code.REGION_FORBIDDEN)


async def select(call: Looking, view: View, selection: Selection) -> View:
    """Return the view of a part of what is looked at.

    Raises:
        ApiProblem: there is no such class, unit or edition.
        DatabaseAway: no answer.
    """
    try:
        await require_selection(call.services.database, selection)
    except SelectionUnknown as error:
        raise ApiProblem(Code.INVALID, str(error)) from error
    return replace(view, selection=selection)


def items(model: type[Item], page: Page[object]) -> tuple[Item, ...]:
    """Return the rows of a page through an allow-list."""
    return tuple(model.model_validate(row) for row in page.items)


def number_of(text: str) -> int:
    """Return an id of the path.

    Raises:
        ApiProblem: nothing can have this id.
    """
    if _NUMBER.fullmatch(text) is None or int(text) >= 2**63:
        raise ApiProblem(Code.NOT_FOUND)
    return int(text)


async def source_of(call: Call[Any, Any]) -> SourceRow:
    """Return the source of the path, by its number or its 20-digit code.

    Raises:
        ApiProblem: there is none in the caller's region; the police may ask by code only.
    """
    view, text = look(call), call.path["source_id"]
    source_id: int | None = None
    if _CODE.fullmatch(text):
        [answer] = await call.services.reports.statuses(view, [text])
        source_id = answer.source_id
    elif call.principal.role is _OPERATOR:
        source_id = number_of(text)
    found = await call.services.reports.source(view, source_id) if source_id is not None else None
    if found is None:
        raise ApiProblem(Code.NOT_FOUND)
    return found


@registry.operation(
    "GET",
    "/api/v1/sites",
    tag="catalog",
    region_rule=_ROWS,
    answers={_OPERATOR: schemas.SitesAnswer},
    query=schemas.PageQuery,
    problems=(Code.CURSOR_INVALID, Code.REGION_FORBIDDEN),
    cached=True,
)
async def list_sites(call: Call[schemas.PageQuery, None]) -> BaseModel:
    """List sites with their status and roll-up."""
    query = call.query
    view = look(call, query.region)
    page = await call.services.reports.sites(view, cursor=query.cursor, limit=query.limit)
    return schemas.SitesAnswer(
        as_of=view.now, items=items(schemas.SiteAnswer, page), next_cursor=page.next_cursor
    )


@registry.operation(
    "GET",
    "/api/v1/sources",
    tag="catalog",
    region_rule=_ROWS,
    answers={_OPERATOR: schemas.SourcesAnswer},
    query=schemas.SourcesQuery,
    problems=(Code.CURSOR_INVALID, Code.REGION_FORBIDDEN),
    cached=True,
)
async def list_sources(call: Call[schemas.SourcesQuery, None]) -> BaseModel:
    """List sources with their displayed state."""
    query = call.query
    view = look(call, query.region)
    page = await call.services.reports.sources(
        view, cursor=query.cursor, limit=query.limit, shown=query.state, site_id=query.site_id
    )
    return schemas.SourcesAnswer(
        as_of=view.now, items=items(schemas.SourceAnswer, page), next_cursor=page.next_cursor
    )


@registry.operation(
    "GET",
    "/api/v1/sources/{source_id}",
    tag="catalog",
    region_rule=_ONE,
    answers={_OPERATOR: schemas.SourceDetailAnswer},
    problems=(Code.NOT_FOUND,),
    cached=True,
)
async def get_source(call: Call[NoQuery, None]) -> BaseModel:
    """Show one source with its endpoints; its id is its number or its 20-digit code."""
    source = await source_of(call)
    endpoints = await call.services.reports.endpoints(source.source_id)
    return schemas.SourceDetailAnswer(
        as_of=call.services.clock.now(),
        source=schemas.SourceAnswer.model_validate(source),
        endpoints=tuple(schemas.EndpointAnswer.model_validate(row) for row in endpoints),
    )


@registry.operation(
    "GET",
    "/api/v1/sources/{source_id}/history",
    tag="catalog",
    region_rule=_ONE,
    answers={_OPERATOR: schemas.HistoryAnswer, _POLICE: police_schemas.PoliceHistoryAnswer},
    query=schemas.PageQuery,
    problems=(Code.NOT_FOUND, Code.CURSOR_INVALID),
    cached=True,
)
async def get_history(call: Call[schemas.PageQuery, None]) -> BaseModel:
    """Show the history of one source, the newest interval first; the police ask by 20-digit code."""
    source = await source_of(call)
    view = look(call, call.query.region)
    history = await call.services.reports.history(
        view, source.source_id, cursor=call.query.cursor, limit=call.query.limit
    )
    rows = history.intervals
    overlays = tuple(schemas.OverlayAnswer.model_validate(row) for row in history.overlays)
    if call.principal.role is _POLICE:
        return police_schemas.PoliceHistoryAnswer(
            as_of=view.now,
            code=call.path["source_id"],
            items=items(police_schemas.PoliceIntervalAnswer, rows),
            overlays=overlays,
            next_cursor=rows.next_cursor,
        )
    return schemas.HistoryAnswer(
        as_of=view.now,
        source_id=source.source_id,
        items=items(schemas.IntervalAnswer, rows),
        overlays=overlays,
        next_cursor=rows.next_cursor,
    )


@registry.operation(
    "GET",
    "/api/v1/sightings",
    tag="discovery",
    region_rule="matched ones of the token's region; unmatched ones only without a region",
    answers={_OPERATOR: schemas.SightingsAnswer},
    query=schemas.SightingsQuery,
    problems=(Code.CURSOR_INVALID, Code.REGION_FORBIDDEN),
    cached=True,
)
async def list_sightings(call: Call[schemas.SightingsQuery, None]) -> BaseModel:
    """List what discoveries saw, the newest first."""
    query = call.query
    view = look(call, query.region)
    state = query.state.value if query.state is not None else None
    page = await call.services.reports.sightings(view, cursor=query.cursor, limit=query.limit, state=state)
    return schemas.SightingsAnswer(
        as_of=view.now, items=items(schemas.SightingAnswer, page), next_cursor=page.next_cursor
    )


@registry.operation(
    "GET",
    "/api/v1/relays",
    tag="relay",
    region_rule=_ROWS,
    answers={_OPERATOR: schemas.RelaysAnswer},
    query=schemas.RegionQuery,
    problems=(Code.REGION_FORBIDDEN,),
    survives_outage=True,
)
async def list_relays(call: Call[schemas.RegionQuery, None]) -> BaseModel:
    """List the relays of this gateway, from memory."""
    view = look(call, call.query.region)
    board = call.services.relays
    rows = sorted(board.snapshot(), key=lambda row: row.source_id) if board is not None else []
    items = tuple(relay_answer(row) for row in rows if _is_in(call, row, view.region))
    if call.principal.region.prefix or board is None:
        # Workers and budget concern the whole installation.
        return schemas.RelaysAnswer(as_of=view.now, items=items)
    budget = call.services.budget
    return schemas.RelaysAnswer(
        as_of=view.now,
        items=items,
        workers=tuple(worker_answer(load) for load in board.loads()),
        budget=budget_answer(budget.budget()) if budget is not None else None,
    )


def _is_in(call: Call[schemas.RegionQuery, None], row: RelaySnapshot, region: Region) -> bool:
    if not region.prefix:
        return True
    known = call.services.status.view(row.source_id)
    return known is not None and region.holds(known.district)


def worker_answer(load: WorkerLoad) -> schemas.WorkerAnswer:
    """Return a relay process through its allow-list."""
    return schemas.WorkerAnswer(
        index=load.index, pid=load.pid, relays=load.relays, bitrate=load.bitrate, busy=round(load.busy, 3)
    )


def budget_answer(usage: Usage) -> schemas.BudgetAnswer:
    """Return the budget through its allow-list."""
    return schemas.BudgetAnswer(
        pulls=usage.pulls,
        max_pulls=usage.limits.pulls,
        bitrate=usage.bitrate,
        max_bandwidth=usage.limits.bandwidth,
        max_network_bandwidth=usage.limits.network_bandwidth,
        networks=tuple(
            schemas.NetworkUseAnswer(network=name, pulls=use.pulls, bitrate=use.bitrate)
            for name, use in sorted(usage.networks.items())
        ),
        waiting={limit.value: number for limit, number in sorted(usage.waiting.items())},
    )


def relay_answer(row: RelaySnapshot) -> schemas.RelayAnswer:
    """Return a relay through its allow-list: neither addresses nor the detail that names a peer."""
    counters = row.counters
    return schemas.RelayAnswer(
        source_id=row.source_id,
        code=row.source_code,
        state=row.state.value,
        since=row.since,
        cause=row.cause,
        sink_state=row.sink_state.value,
        sink_since=row.sink_since,
        sink_cause=row.sink_cause,
        on_demand=row.on_demand,
        codec=row.codec,
        transport=row.transport.value if row.transport is not None else None,
        width=row.width,
        height=row.height,
        in_gap=row.in_gap,
        bitrate=counters.bitrate,
        frames=counters.frames,
        key_frames=counters.key_frames,
        frames_out=counters.frames_out,
        dropped_frames=counters.dropped_frames,
        drops=counters.drops,
        bytes_in=counters.bytes_in,
        bytes_out=counters.bytes_out,
        sessions=counters.sessions,
        skipped_frames=counters.skipped_frames,
        damaged_frames=counters.damaged_frames,
        queue_bytes=counters.queue_bytes,
        queue_seconds=round(counters.queue_seconds, 3),
        delay=round(counters.delay, 3),
        readers=row.readers,
        lost=counters.lost,
        loss=round(counters.loss, 4),
        jitter=round(counters.jitter, 4),
        lost_packets=counters.lost_packets,
        discontinuities=counters.discontinuities,
        worker=row.worker,
    )
