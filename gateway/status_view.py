"""What is held of one source while it is watched, and the acknowledged view of it that others get."""

from collections import deque
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
