"""What is read of the catalog: sites, sources, histories and the reports (status model 4.2 to 4.6).

Reads only. Every call names the region it may see, so the rows are filtered in SQL, never by a caller. Which
sources display `unknown` because their gateway is blind is decided by the SQL function `source_status` alone.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, TypeVar

import asyncpg

from catalog.database import Statements
from catalog.model.connectivity import State
from catalog.model.display import Displayed, days_overdue, never_connected_substate
from catalog.model.rollup import SiteCounts, site_status
from catalog.reading import (
    MAX_CODES,
    MAX_LIMIT,
    ChangeRow,
    CodeStatus,
    Counts,
    DistrictCounts,
    EndpointRow,
    EvidenceRow,
    History,
    IntervalRow,
    NeverConnectedRow,
    OfflineRow,
    OverlayRow,
    Page,
    Place,
    Region,
    Selection,
    SightingRow,
    SiteRow,
    SourceRow,
    SourceStatus,
    cursor_day,
    cursor_instant,
    decode_cursor,
    encode_cursor,
    local_day,
)

Record = asyncpg.Record
Item = TypeVar("Item")

_OVERLAYS: Final = 500
_EVIDENCE: Final = 5000


@dataclass(frozen=True)
class View:
    """From where somebody looks: which region, at which instant, and when a silent gateway counts as blind."""

    now: datetime
    region: Region = field(default_factory=Region)
    stale_after: timedelta = timedelta(seconds=60)
    "`gateway_heartbeat` times `gateway_misses` of the configuration."
    selection: Selection = field(default_factory=Selection)
    "Lists know its class and its unit; reports of a period its edition, too."


class Reports:
    """The reading store; a page holds at most `MAX_LIMIT` rows."""

    def __init__(self, database: Statements) -> None:
        self._database = database

    async def sites(
        self, view: View, *, cursor: str | None = None, limit: int = 100, site_id: int | None = None
    ) -> Page[SiteRow]:
        """Return sites by district.

        Raises:
            CursorInvalid: the cursor is not of this list.
            DatabaseAway: no answer.
        """
        key = decode_cursor(cursor, (str, int)) if cursor else [None, None]
        rows = await self._database.fetch(
            "report_sites", *_scope(view), *key, _limit(limit) + 1, _id(site_id)
        )
        return _page(rows, limit, _site, lambda row: encode_cursor(row.place.district, row.place.site_id))

    async def sources(
        self,
        view: View,
        *,
        cursor: str | None = None,
        limit: int = 100,
        shown: Displayed | None = None,
        site_id: int | None = None,
    ) -> Page[SourceRow]:
        """Return sources by district; removed and rejected ones only when asked for by `shown`.

        Raises:
            CursorInvalid: the cursor is not of this list.
            DatabaseAway: no answer.
        """
        key = decode_cursor(cursor, (str, int)) if cursor else [None, None]
        state = shown.value if shown is not None else None
        rows = await self._database.fetch(
            "report_sources", *_scope(view), *key, _limit(limit) + 1, state, _id(site_id), None, None
        )
        return _page(rows, limit, _source, lambda row: encode_cursor(row.place.district, row.source_id))

    async def source(self, view: View, source_id: int) -> SourceRow | None:
        """Return one source, retired ones too; None when there is none in the region."""
        row = await self._database.fetchrow(
            "report_sources", *_scope(view), None, None, 1, None, None, _id(source_id), None
        )
        return _source(row) if row is not None else None

    async def endpoints(self, source_id: int) -> tuple[EndpointRow, ...]:
        """Return the ways to reach a source, the preferred first, without any secret."""
        rows = await self._database.fetch("report_endpoints", _id(source_id))
        return tuple(EndpointRow(**row) for row in rows)

    async def history(
        self, view: View, source_id: int, *, cursor: str | None = None, limit: int = 100
    ) -> History:
        """Return the intervals of a source, the newest first, with the facts that opened them.

        The caller has made sure that the source lies in the region (`source` or `statuses`).

        Raises:
            CursorInvalid: the cursor is not of this list.
            DatabaseAway: no answer.
        """
        before = cursor_instant(decode_cursor(cursor, (str,))[0]) if cursor else None
        rows = await self._database.fetch("report_intervals", source_id, before, _limit(limit) + 1)
        starts = [row["started_at"] for row in rows[:limit]]
        facts: dict[datetime, list[EvidenceRow]] = {}
        overlays: tuple[OverlayRow, ...] = ()
        if starts:
            for fact in await self._database.fetch("report_evidence", source_id, starts, _EVIDENCE):
                facts.setdefault(fact["at"], []).append(
                    EvidenceRow(**{**fact, "detail": json.loads(fact["detail"])})
                )
            overlays = await self._overlays(view, source_id, starts[-1], before)
        page = _page(
            rows,
            limit,
            lambda row: _interval(row, facts.get(row["started_at"], [])),
            lambda row: encode_cursor(row.started_at.isoformat()),
        )
        return History(intervals=page, overlays=overlays)

    async def _overlays(
        self, view: View, source_id: int, begin: datetime, until: datetime | None
    ) -> tuple[OverlayRow, ...]:
        rows = await self._database.fetch(
            "report_overlays", source_id, begin, until, _OVERLAYS, view.now, view.stale_after
        )
        return tuple(OverlayRow(**row) for row in rows)

    async def sightings(
        self, view: View, *, cursor: str | None = None, limit: int = 100, state: str | None = None
    ) -> Page[SightingRow]:
        """Return sightings, the newest first; unmatched ones only to who may see every region.

        Raises:
            CursorInvalid: the cursor is not of this list.
            DatabaseAway: no answer.
        """
        key = decode_cursor(cursor, (int,))[0] if cursor else None
        region = view.region
        rows = await self._database.fetch(
            "report_sightings", region.first, region.last, key, _limit(limit) + 1, state, not region.prefix
        )
        return _page(rows, limit, lambda row: SightingRow(**row), lambda row: encode_cursor(row.sighting_id))

    async def never_connected(
        self, view: View, *, cursor: str | None = None, limit: int = 100, overdue_only: bool = False
    ) -> Page[NeverConnectedRow]:
        """Return who must connect and never did, the longest due first (WX-21, WX-34).

        Raises:
            CursorInvalid: the cursor is not of this list.
            DatabaseAway: no answer.
        """
        due, *rest = decode_cursor(cursor, (str, int, int)) if cursor else (None, None, None)
        today = local_day(view.now)
        key = (cursor_day(due) if due is not None else None, *rest)
        rows = await self._database.fetch(
            "report_never_connected",
            *_scope(view),
            *key,
            _limit(limit) + 1,
            today,
            overdue_only,
            view.selection.place_class,
            view.selection.unit,
        )

        def row_of(row: Record) -> NeverConnectedRow:
            seen_at = row["seen_at"]
            return NeverConnectedRow(
                source_id=row["source_id"],
                gb_id=row["gb_id"],
                name=row["name"],
                place=_place(row),
                due_on=row["due_on"],
                site_due_on=row["site_due_on"],
                basis=row["basis"],
                days_overdue=days_overdue(today=today, due_on=row["due_on"]),
                substate=never_connected_substate(
                    today=today, due_on=row["due_on"], seen=seen_at is not None
                ),
                shown=Displayed(row["shown"]),
                obstacle=row["obstacle"],
                seen_at=seen_at,
                site_sources=row["site_sources"],
                site_never_connected=row["site_never"],
            )

        return _page(
            rows,
            limit,
            row_of,
            lambda row: encode_cursor(row.site_due_on.isoformat(), row.place.site_id, row.source_id),
        )

    async def offline(self, view: View, *, cursor: str | None = None, limit: int = 100) -> Page[OfflineRow]:
        """Return what is offline while we can see, the longest first.

        Raises:
            CursorInvalid: the cursor is not of this list.
            DatabaseAway: no answer.
        """
        since, source_id = decode_cursor(cursor, (str, int)) if cursor else (None, None)
        key = (cursor_instant(since) if since is not None else None, source_id)
        chosen = (view.selection.place_class, view.selection.unit)
        rows = await self._database.fetch("report_offline", *_scope(view), *key, _limit(limit) + 1, *chosen)
        return _page(rows, limit, _offline, lambda row: encode_cursor(row.since.isoformat(), row.source_id))

    async def statuses(self, view: View, codes: Sequence[str]) -> tuple[CodeStatus, ...]:
        """Return the status of each 20-digit code, in the order asked, each code once.

        Args:
            view: codes outside its region are unknown to the caller.
            codes: at most `MAX_CODES`; a repeated one is answered once.

        Raises:
            ValueError: more than `MAX_CODES`.
            DatabaseAway: no answer.
        """
        if len(codes) > MAX_CODES:
            raise ValueError(f"at most {MAX_CODES} codes in one query")
        asked = list(dict.fromkeys(codes))
        rows = await self._database.fetch("report_statuses", *_scope(view), asked)
        known = {row["gb_id"]: row for row in rows}
        return tuple(_code_status(code, known.get(code)) for code in asked)

    async def counts(self, view: View) -> tuple[DistrictCounts, ...]:
        """Return the chain of counts of each district of the region; add them up for the whole."""
        rows = await self._database.fetch("report_counts", *_scope(view), local_day(view.now))
        return tuple(DistrictCounts(row["district"], row["name"], _counts(row)) for row in rows)

    async def changes(self, view: View, after: int, *, limit: int = 500) -> tuple[ChangeRow, ...]:
        """Return committed facts after `after` (a `seq`), in order."""
        region = view.region
        rows = await self._database.fetch("report_changes", after, region.first, region.last, _limit(limit))
        return tuple(ChangeRow(**row) for row in rows)

    async def last_change(self) -> int:
        """Return the newest committed `seq`, 0 when there is none."""
        return int(await self._database.fetchval("report_last_change") or 0)


def _limit(limit: int) -> int:
    if not 1 <= limit <= MAX_LIMIT:
        raise ValueError(f"a page holds 1 to {MAX_LIMIT} rows")
    return limit


def _id(number: int | None) -> int | None:
    """Return an id that PostgreSQL can compare; no row has a number beyond its bigint."""
    return number if number is None or -(2**63) <= number < 2**63 else -1


def _scope(view: View) -> tuple[datetime, timedelta, str, str]:
    return (view.now, view.stale_after, view.region.first, view.region.last)


def _page(
    rows: Sequence[Record], limit: int, make: Callable[[Record], Item], cursor_of: Callable[[Item], str]
) -> Page[Item]:
    """Cut the row that was read ahead, and make the cursor from the last row that stays."""
    items = tuple(make(row) for row in rows[:limit])
    return Page(items, cursor_of(items[-1]) if len(rows) > limit else None)


def _place(row: Record) -> Place:
    return Place(
        unit=row["unit"],
        system=row["system"],
        site_id=row["site_id"],
        site=row["site"],
        place_class=row["class"],
        district=row["district"],
        address=row["address"],
    )


def _site(row: Record) -> SiteRow:
    counts = SiteCounts(
        never=row["n_never"],
        online=row["n_online"],
        degraded=row["n_degraded"],
        offline=row["n_offline"],
        unknown=row["n_unknown"],
        suspended=row["n_suspended"],
    )
    measured = counts
    if row["blind_reason"] is not None:
        counts = counts.unobservable(row["seen_online"], row["seen_degraded"])
    status = site_status(
        counts,
        removal_approved=row["removal_approved_on"] is not None,
        ever_connected=row["first_connected_at"] is not None,
    )
    return SiteRow(
        place=_place(row),
        status=status,
        counts=counts,
        incomplete_connection=0 < measured.never < measured.eligible,
        due_on=row["due_on"],
        first_connected_at=row["first_connected_at"],
        offline_since=row["offline_since"] if row["blind_reason"] is None else None,
        unknown_reason=row["blind_reason"],
    )


def _status(row: Record) -> SourceStatus:
    shown = Displayed(row["shown"])
    return SourceStatus(
        shown=shown,
        since=row["shown_since"],
        state=row["state"],
        state_since=row["state_since"],
        reasons=_reasons(shown, row),
        first_connected_at=row["first_connected_at"],
        last_positive_at=row["last_positive_at"],
        flapping=row["flapping"],
    )


def _reasons(shown: Displayed, row: Record) -> tuple[str, ...]:
    """Return the reasons of what is shown, not of what lies hidden below it."""
    one: str | None = None
    if shown is Displayed.UNKNOWN:
        one = row["unknown_reason"]
    elif shown is Displayed.SUSPENDED:
        one = row["suspended_reason"]
    elif shown in (Displayed.REJECTED, Displayed.REMOVED):
        one = row["lifecycle_reason"]
    elif row["state"] == State.DEGRADED:
        return tuple(row["reasons"])
    return (one,) if one is not None else ()


def _source(row: Record) -> SourceRow:
    return SourceRow(
        source_id=row["source_id"],
        gb_id=row["gb_id"],
        name=row["name"],
        place=_place(row),
        status=_status(row),
        lifecycle=row["lifecycle"],
        location_type=row["location_type"],
        relay_mode=row["relay_mode"],
        audio_enabled=row["audio_enabled"],
        allow_basic=row["allow_basic"],
        obstacle=row["obstacle"],
        seen_at=row["seen_at"],
    )


def _interval(row: Record, facts: Sequence[EvidenceRow]) -> IntervalRow:
    return IntervalRow(
        state=row["state"],
        reasons=tuple(row["reasons"]),
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        last_positive_at=row["last_positive_at"],
        evidence=tuple(fact for fact in facts if fact.state_after == row["state"]),
    )


def _offline(row: Record) -> OfflineRow:
    return OfflineRow(
        source_id=row["source_id"],
        gb_id=row["gb_id"],
        name=row["name"],
        place=_place(row),
        since=row["state_since"],
        last_positive_at=row["last_positive_at"],
        cause=row["evidence_reason"] or row["evidence_kind"],
        noticed_at=row["evidence_received_at"],
        flapping=row["flapping"],
    )


def _code_status(code: str, row: Record | None) -> CodeStatus:
    if row is None:
        return CodeStatus(code, None, None, None)
    return CodeStatus(code, row["source_id"], row["district"], _status(row))


def _counts(row: Record) -> Counts:
    return Counts(
        required=row["required"],
        connected_ever=row["required"] - row["never_connected"],
        never_connected=row["never_connected"],
        online=row["online"],
        degraded=row["degraded"],
        offline=row["offline"],
        unknown=row["unknown"],
        suspended=row["suspended"],
        shown_never_connected=row["shown_never"],
        without_duty=row["without_duty"],
    )
