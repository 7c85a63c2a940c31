"""What is laid over the measured state, and which of all of it is shown (status model 4.2)."""

from datetime import date
from enum import StrEnum

from catalog.model.connectivity import State


class Lifecycle(StrEnum):
    """Where a source stands administratively."""

    REQUIRED = "required"
    REGISTERED = "registered"
    REMOVED = "removed"
    REJECTED = "rejected"


class UnknownReason(StrEnum):
    """Why we cannot know; no second of it is charged to a site."""

    GATEWAY_DOWN = "gateway_down"
    OWN_NETWORK_DOWN = "own_network_down"
    DATABASE_AWAY = "database_away"
    RESTART_GRACE = "restart_grace"
    COMMON_CAUSE_SUSPECTED = "common_cause_suspected"
    NO_SAMPLES = "no_samples"


class SuspendedReason(StrEnum):
    """Kinds of approved suspension."""

    PLANNED_MAINTENANCE = "planned_maintenance"
    FORCE_MAJEURE = "force_majeure"
    MUNICIPAL_WORKS = "municipal_works"
    ORDERED_BY_AUTHORITY = "ordered_by_authority"
    OUTSIDE_OPERATION = "outside_operation"
    "Hours in which the source does not operate (4.7, E13)."


class Displayed(StrEnum):
    """The status that people and the police's queries see."""

    REMOVED = "removed"
    REJECTED = "rejected"
    SUSPENDED = "suspended"
    UNKNOWN = "unknown"
    NEVER_CONNECTED = "never_connected"
    OFFLINE = "offline"
    DEGRADED = "degraded"
    ONLINE = "online"


class NeverConnected(StrEnum):
    """Sub-states of never connected."""

    NOT_DUE = "not_due"
    DUE = "due"
    SEEN_NOT_CONNECTED = "seen_not_connected"


def displayed(
    lifecycle: Lifecycle, suspended: SuspendedReason | None, unknown: UnknownReason | None, state: State
) -> Displayed:
    """Return the displayed status; the first match wins: removed, rejected, suspended, unknown, measured."""
    if lifecycle is Lifecycle.REMOVED:
        return Displayed.REMOVED
    if lifecycle is Lifecycle.REJECTED:
        return Displayed.REJECTED
    if suspended is not None:
        return Displayed.SUSPENDED
    if unknown is not None:
        return Displayed.UNKNOWN
    return Displayed(state.value)


def never_connected_substate(*, today: date, due_on: date | None, seen: bool) -> NeverConnected:
    """Return the sub-state of a source that never connected; `today` is the local day.

    A device that was in contact is `seen_not_connected` whether or not it is due: the next step is ours or the
    operator's, and the report says which.
    """
    if seen:
        return NeverConnected.SEEN_NOT_CONNECTED
    if due_on is None or today <= due_on:
        return NeverConnected.NOT_DUE
    return NeverConnected.DUE


def days_overdue(*, today: date, due_on: date | None) -> int:
    """Return whole local days since the due day; the due day itself is in time, so 0 on it and before it."""
    return 0 if due_on is None else max(0, (today - due_on).days)
