"""The live status over Server-Sent Events: committed changes only, each with its `seq` as id.

A reader that comes back with Last-Event-ID gets what it missed, from the ring or the evidence on record; when that
is too much it gets `resync` and reads anew. A reader that does not keep up is cut and comes back the same way.
"""

import asyncio
import json
from datetime import datetime
from typing import Final

from aiohttp import web

from catalog.access import Role
from catalog.errors import DatabaseAway
from catalog.model.display import Displayed
from catalog.reading import ChangeRow, Region
from catalog.reports import View
from gateway.api.dispatch import record
from gateway.api.problem import ApiProblem, Code
from gateway.api.reads import look
from gateway.api.registry import Call, Registry, Schema
from gateway.api.schemas import RegionText
from gateway.api.services import ApiServices
from gateway.status_feed import Listener, StatusEvent

registry: Final = Registry()

HEARTBEAT: Final = 15.0
"""Seconds of silence after which a comment shows that the line is up."""

LIFETIME: Final = 600.0
"""Seconds after which a stream ends and the reader logs in anew: so a revoked token is not heard for long."""

WRITE_TIMEOUT: Final = 10.0
"""Seconds in which a reader must take what was written, else it is cut."""

MOST_STREAMS: Final = 200
MOST_PER_TOKEN: Final = 20

REPLAY: Final = 2_000
"""Events at most that are replayed; beyond it the reader reads anew."""

_REPLAY_PAGE: Final = 500


class EventStreams:
    """The streams that are open now."""

    def __init__(self) -> None:
        self._open: dict[asyncio.Task[object], str] = {}

    def join(self, key: str) -> None:
        """Count the running task as a stream of `key`.

        Raises:
            ApiProblem: there are too many.
        """
        if len(self._open) >= MOST_STREAMS or list(self._open.values()).count(key) >= MOST_PER_TOKEN:
            raise ApiProblem(Code.TOO_MANY, "too many event streams", retry_after=30)
        task = asyncio.current_task()
        if task is not None:
            self._open[task] = key

    def leave(self) -> None:
        """Forget the running task."""
        task = asyncio.current_task()
        if task is not None:
            self._open.pop(task, None)

    async def close(self, _app: web.Application) -> None:
        """End all streams, when the server stops."""
        for task in list(self._open):
            task.cancel()


STREAMS: Final = web.AppKey("streams", EventStreams)


class EventsQuery(Schema):
    """Parameters of the stream."""

    region: RegionText = ""


@registry.operation(
    "GET",
    "/api/v1/events",
    tag="status",
    region_rule="events of the token's region",
    answers={Role.OPERATOR: None},
    query=EventsQuery,
    media=("text/event-stream",),
    problems=(Code.REGION_FORBIDDEN, Code.TOO_MANY),
    survives_outage=True,
)
async def stream_events(call: Call[EventsQuery, None]) -> web.StreamResponse:
    """Stream committed status changes; Last-Event-ID continues where the reader was."""
    view, request = look(call, call.query.region), call.request
    if request is None:
        raise ValueError("a stream is for a caller only")
    after = last_event_id(request.headers.get("Last-Event-ID"))
    await record(call.services, request, 200)
    return await send_events(request, call.services, view, str(call.principal.token_id), after)


def last_event_id(text: str | None) -> int | None:
    """Return the `seq` a reader had last, None when it is new or says nothing we gave it."""
    if text is None or not text.isdecimal() or len(text) > 19 or int(text) >= 2**63:
        return None
    return int(text)


async def send_events(
    request: web.Request, services: ApiServices, view: View, key: str, after: int | None
) -> web.StreamResponse:
    """Send events until the reader leaves, does not keep up, or the stream is old.

    Args:
        request: the call.
        services: the gateway.
        view: whose region is shown.
        key: whose streams are counted together.
        after: the last `seq` the reader has; None for a new one.
    """
    streams = request.app[STREAMS]
    streams.join(key)
    response = web.StreamResponse()
    response.headers["Content-Type"] = "text/event-stream; charset=utf-8"
    response.headers["X-Accel-Buffering"] = "no"
    try:
        await response.prepare(request)
        with services.status.feed.listen() as listener:
            await _write(response, b"retry: 3000\n: muster\n\n")
            sent = await _replay(response, services, view, after)
            await _follow(response, listener, view.region, sent)
    except (TimeoutError, ConnectionResetError):
        # The reader left or does not read: it comes back with its last id, or not at all.
        pass
    finally:
        streams.leave()
    return response


async def _replay(response: web.StreamResponse, services: ApiServices, view: View, after: int | None) -> int:
    """Send what the reader missed and return the last `seq` it has."""
    if after is None:
        return 0
    remembered = services.status.feed.after(after)
    if remembered is not None:
        for event in remembered:
            if view.region.holds(event.district):
                await _write(response, frame_of_event(event))
        return remembered[-1].seq if remembered else after
    try:
        missed = await _missed(services, view, after)
    except DatabaseAway:
        missed = None
    if missed is None:
        await _write(response, b"event: resync\ndata: {}\n\n")
        return 0
    for row in missed:
        await _write(response, frame_of_change(row))
    return missed[-1].seq if missed else after


async def _missed(services: ApiServices, view: View, after: int) -> list[ChangeRow] | None:
    """Return the committed changes after `after`, or None when they are too many."""
    missed: list[ChangeRow] = []
    while len(missed) <= REPLAY:
        page = await services.reports.changes(view, after, limit=_REPLAY_PAGE)
        missed += page
        if len(page) < _REPLAY_PAGE:
            return missed
        after = page[-1].seq
    return None


async def _follow(response: web.StreamResponse, listener: Listener, region: Region, sent: int) -> None:
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + LIFETIME
    while loop.time() < ends_at and not listener.is_cut:
        try:
            async with asyncio.timeout(HEARTBEAT):
                event = await listener.queue.get()
        except TimeoutError:
            await _write(response, b": heartbeat\n\n")
            continue
        # What was replayed also waited in the queue.
        if event.seq > sent and region.holds(event.district):
            await _write(response, frame_of_event(event))


async def _write(response: web.StreamResponse, frame: bytes) -> None:
    async with asyncio.timeout(WRITE_TIMEOUT):
        await response.write(frame)


def frame_of_event(event: StatusEvent) -> bytes:
    """Return the frame of a live event."""
    return _frame(
        event.seq,
        {
            "source_id": event.source_id,
            "code": event.gb_id,
            "district": event.district,
            "kind": event.kind,
            "shown": event.displayed.value,
            "state": event.state.value,
            "at": _text(event.at),
            "reason": event.reason,
        },
    )


def frame_of_change(row: ChangeRow) -> bytes:
    """Return the frame of a change read from the record."""
    return _frame(
        row.seq,
        {
            "source_id": row.source_id,
            "code": row.gb_id,
            "district": row.district,
            "kind": row.kind,
            "shown": Displayed.UNKNOWN.value if row.unknown_after is not None else row.state_after,
            "state": row.state_after,
            "at": _text(row.at),
            "reason": row.reason,
        },
    )


def _frame(seq: int, data: dict[str, object]) -> bytes:
    # JSON without line breaks: what a frame holds can never end it.
    return f"id: {seq}\nevent: status\ndata: {json.dumps({'seq': seq, **data})}\n\n".encode()


def _text(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
