"""What the police are answered: state, reason and times; never address, endpoint, type or position (WX-23 to WX-26).

Allow-lists apart from the operator's: nothing gets here by standing there.
"""

from datetime import date

from catalog.model.display import Displayed, NeverConnected
from gateway.api.registry import Answer
from gateway.api.schemas import Dated, Instant, OverlayAnswer


class PublicPlaceAnswer(Answer):
    """Where a source stands, without its install position (WX-29.1)."""

    unit: str
    site: str
    place_class: str
    district: str


class PoliceEvidenceAnswer(Answer):
    """The fact that opened an interval: what, when and why."""

    kind: str
    at: Instant
    received_at: Instant
    last_positive_at: Instant | None
    reason: str | None


class PoliceIntervalAnswer(Answer):
    """One interval, half-open; the present one has no end."""

    state: str
    reasons: tuple[str, ...]
    started_at: Instant
    ended_at: Instant | None
    last_positive_at: Instant | None
    evidence: tuple[PoliceEvidenceAnswer, ...]


class PoliceHistoryAnswer(Dated):
    """A page of the history of the source asked for by its code."""

    code: str
    items: tuple[PoliceIntervalAnswer, ...]
    overlays: tuple[OverlayAnswer, ...]
    next_cursor: str | None


class PoliceNeverConnectedAnswer(Answer):
    """One source that must connect and never did: whose, where by name, and how long overdue."""

    place: PublicPlaceAnswer
    due_on: date
    basis: str
    days_overdue: int
    substate: NeverConnected
    shown: Displayed
    site_sources: int
    site_never_connected: int
    incomplete_connection: bool


class PoliceNeverConnectedReport(Dated):
    """A page of the report of what never connected."""

    items: tuple[PoliceNeverConnectedAnswer, ...]
    next_cursor: str | None


class PoliceOfflineAnswer(Answer):
    """One source that is offline: whose, where by name, since when and why."""

    place: PublicPlaceAnswer
    since: Instant
    last_positive_at: Instant | None
    cause: str | None
    noticed_at: Instant | None
    flapping: bool


class PoliceOfflineReport(Dated):
    """A page of the report of what is offline."""

    items: tuple[PoliceOfflineAnswer, ...]
    next_cursor: str | None
