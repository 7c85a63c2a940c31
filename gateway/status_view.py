"""What is held of one source while it is watched, and the acknowledged view of it that others get."""

from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from catalog.model.connectivity import Connectivity, DegradeReason, State
from catalog.model.display import Displayed, Lifecycle, SuspendedReason, UnknownReason, displayed
from catalog.observations import StatusChange


@dataclass(slots=True)
class Tracked:
    """The live status of one source, ahead of what is stored by at most one flush."""

    source_id: int
    district: str
    gb_id: str | None
    lifecycle: Lifecycle
    connectivity: Connectivity
    unknown: UnknownReason | None
    unknown_since: datetime | None
    suspended: SuspendedReason | None
    suspended_since: datetime | None
    flapping: bool
    obstacle: str | None
    seen_at: datetime | None
    turns: deque[float] = field(default_factory=deque)
    known_from: datetime | None = None
    "End of the last unknown interval: the next one begins no earlier, so that no second counts twice."
    waiting: dict[DegradeReason, float] = field(default_factory=dict)
    "Degrade reasons reported but not yet confirmed by a later sign of life."


@dataclass(frozen=True)
class StatusView:
    """The acknowledged status of one source, for answers while the database is away."""

    source_id: int
    district: str
    gb_id: str | None
    displayed: Displayed
    state: State
    since: datetime
    reasons: tuple[DegradeReason, ...]
    unknown: UnknownReason | None
    unknown_since: datetime | None
    first_connected_at: datetime | None
    last_positive_at: datetime | None
    flapping: bool
    obstacle: str | None


class StatusViews:
    """All views, found by source and by code, and counted as they change."""

    def __init__(self) -> None:
        self._views: dict[int, StatusView] = {}
        self._by_code: dict[str, int] = {}
        self._shown: Counter[Displayed] = Counter()
        self._unknown: Counter[UnknownReason] = Counter()

    def __iter__(self) -> Iterator[StatusView]:
        return iter(list(self._views.values()))

    def put(self, view: StatusView) -> None:
        """Show `view` in place of an earlier one of its source."""
        self.forget(view.source_id)
        self._views[view.source_id] = view
        if view.gb_id is not None:
            self._by_code[view.gb_id] = view.source_id
        self._count(view, 1)

    def forget(self, source_id: int) -> None:
        """Show nothing of a source any longer."""
        view = self._views.pop(source_id, None)
        if view is None:
            return
        # Another source may bear the code by now.
        if view.gb_id is not None and self._by_code.get(view.gb_id) == source_id:
            del self._by_code[view.gb_id]
        self._count(view, -1)

    def of(self, source_id: int) -> StatusView | None:
        """Return the view of a source, or None."""
        return self._views.get(source_id)

    def by_code(self, gb_id: str) -> StatusView | None:
        """Return the view of the source with this 20-digit code, or None."""
        source_id = self._by_code.get(gb_id)
        return None if source_id is None else self._views.get(source_id)

    @property
    def shown(self) -> Mapping[Displayed, int]:
        """How many sources display which status; none is left out."""
        return {status: number for status, number in self._shown.items() if number}

    @property
    def unknown(self) -> Mapping[UnknownReason, int]:
        """How many sources cannot be seen, by reason, whatever they display."""
        return {reason: number for reason, number in self._unknown.items() if number}

    def _count(self, view: StatusView, by: int) -> None:
        self._shown[view.displayed] += by
        if view.unknown is not None:
            self._unknown[view.unknown] += by


def view_of_tracked(tracked: Tracked) -> StatusView:
    """Return the view of the live status (only where nothing of it waits to be stored)."""
    return _view(
        tracked,
        tracked.connectivity,
        tracked.unknown,
        tracked.unknown_since,
        tracked.suspended,
        tracked.flapping,
    )


def view_of_change(change: StatusChange, tracked: Tracked) -> StatusView:
    """Return the view after a stored change."""
    since = change.unknown_at if change.unknown else None
    return _view(tracked, change.connectivity, change.unknown, since, change.suspended, change.flapping)


def _view(
    tracked: Tracked,
    connectivity: Connectivity,
    unknown: UnknownReason | None,
    unknown_since: datetime | None,
    suspended: SuspendedReason | None,
    flapping: bool,
) -> StatusView:
    return StatusView(
        source_id=tracked.source_id,
        district=tracked.district,
        gb_id=tracked.gb_id,
        displayed=displayed(tracked.lifecycle, suspended, unknown, connectivity.state),
        state=connectivity.state,
        since=connectivity.since,
        reasons=tuple(sorted(connectivity.reasons)),
        unknown=unknown,
        unknown_since=unknown_since,
        first_connected_at=connectivity.first_connected_at,
        last_positive_at=connectivity.last_positive_at,
        flapping=flapping,
        obstacle=tracked.obstacle,
    )
