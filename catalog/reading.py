"""What the reading side is made of: regions, pages with cursors, and the rows the reports hand out.

Nothing here knows SQL: `catalog/reports.py` fills these. Instants are UTC, days are local days (Asia/Shanghai).
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone
from typing import Final, Generic, Self, TypeVar

from catalog.model.display import Displayed, NeverConnected
from catalog.model.rollup import SiteCounts, SiteStatus

Row = TypeVar("Row", covariant=True)

LOCAL: Final = timezone(timedelta(hours=8), "Asia/Shanghai")
"""The zone in which a day begins; it has known no daylight saving since 1991."""

MAX_LIMIT: Final = 1000
"""Rows of one page at most."""

MAX_CODES: Final = 1000
"""Codes of one status query at most."""

_CURSOR_BYTES: Final = 400


class CursorInvalid(ValueError):
    """Raised when a cursor is not one of ours."""


class RegionInvalid(ValueError):
    """Raised when a region is not 0, 2, 4 or 6 digits."""


@dataclass(frozen=True)
class Region:
    """A prefix of administrative codes; the empty one is everything."""

    prefix: str = ""

    def __post_init__(self) -> None:
        if re.fullmatch(r"([0-9]{2}){0,3}", self.prefix) is None:
            raise RegionInvalid("a region is 2, 4 or 6 digits of an administrative code, or empty")

    @property
    def first(self) -> str:
        """The first six-digit code in it."""
        return self.prefix.ljust(6, "0")

    @property
    def last(self) -> str:
        """The last six-digit code in it."""
        return self.prefix.ljust(6, "9")

    def covers(self, other: "Region") -> bool:
        """Tell whether `other` lies wholly in this region."""
        return other.prefix.startswith(self.prefix)

    def holds(self, district: str) -> bool:
        """Tell whether the six-digit `district` lies in this region."""
        return district.startswith(self.prefix)


@dataclass(frozen=True)
class Selection:
    """Which part of a region is looked at; all of it where nothing is named."""

    place_class: str | None = None
    unit: str | None = None
    edition: str | None = None
    "Number of a published edition: only what it lists."

    def __bool__(self) -> bool:
        return self != Selection()


@dataclass(frozen=True)
class Page(Generic[Row]):
    """One page of a list."""

    items: tuple[Row, ...]
    next_cursor: str | None
    "What to ask the next page with; None on the last."


def local_day(at: datetime) -> date:
    """Return the local day of an instant."""
    return at.astimezone(LOCAL).date()


def local_midnight(day: date) -> datetime:
    """Return when a local day begins.

    Raises:
        OverflowError: the calendar knows no such day.
    """
    return datetime.combine(day, time(), LOCAL)


def encode_cursor(*parts: str | int) -> str:
    """Return an opaque cursor for the key of the last row of a page."""
    return base64.urlsafe_b64encode(json.dumps(parts, separators=(",", ":")).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, kinds: Sequence[type]) -> list[str | int]:
    """Return the parts of a cursor made by `encode_cursor`.

    Args:
        cursor: as the caller sent it.
        kinds: `str` or `int` for each part.

    Raises:
        CursorInvalid: it is not one of ours.
    """
    try:
        if len(cursor) > _CURSOR_BYTES:
            raise CursorInvalid("the cursor is too long")
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        parts = json.loads(text)
    except (binascii.Error, ValueError, RecursionError) as error:
        raise CursorInvalid("this is not a cursor of ours") from error
    if not isinstance(parts, list) or len(parts) != len(kinds):
        raise CursorInvalid("this is not a cursor of this list")
    if not all(type(part) is kind for part, kind in zip(parts, kinds, strict=True)):
        raise CursorInvalid("this is not a cursor of this list")
    if any(isinstance(part, int) and not -(2**63) <= part < 2**63 for part in parts):
        raise CursorInvalid("this is not a cursor of this list")
    return parts


def cursor_instant(text: str | int) -> datetime:
    """Return the instant written in a part of a cursor.

    Raises:
        CursorInvalid: it is not an instant with a zone.
    """
    try:
        at = datetime.fromisoformat(str(text))
    except ValueError as error:
        raise CursorInvalid("this is not a cursor of this list") from error
    if at.tzinfo is None:
        raise CursorInvalid("this is not a cursor of this list")
    return at


def cursor_day(text: str | int) -> date:
    """Return the day written in a part of a cursor.

    Raises:
        CursorInvalid: it is not a day.
    """
    try:
        return date.fromisoformat(str(text))
    except ValueError as error:
        raise CursorInvalid("this is not a cursor of this list") from error


@dataclass(frozen=True)
class Place:
    """Where a row stands: the words that say it to people, and the confidential address."""

    unit: str
    system: str
    site_id: int
    site: str
    place_class: str
    district: str
    address: str | None
    "Install position: confidential (WX-29.1)."


@dataclass(frozen=True)
class SiteRow:
    """One site with its status and its roll-up."""

    place: Place
    status: SiteStatus
    counts: SiteCounts
    "Displayed states; all but the suspended are unknown while its gateway is blind."
    incomplete_connection: bool
    due_on: date | None
    first_connected_at: datetime | None
    offline_since: datetime | None
    unknown_reason: str | None


@dataclass(frozen=True)
class SourceStatus:
    """What is shown of one source, and what was measured."""

    shown: Displayed
    since: datetime | None
    "Since when it is shown so; None where no instant is known (rejected)."
    state: str
    state_since: datetime
    reasons: tuple[str, ...]
    "Of what is shown: degrade reasons, the reason of unknown or suspended, the article of rejected."
    first_connected_at: datetime | None
    last_positive_at: datetime | None
    flapping: bool


@dataclass(frozen=True)
class SourceRow:
    """One source of the roll, for the operator."""

    source_id: int
    gb_id: str | None
    name: str | None
    place: Place
    status: SourceStatus
    lifecycle: str
    location_type: str | None
    relay_mode: str
    audio_enabled: bool
    allow_basic: bool
    obstacle: str | None
    seen_at: datetime | None


@dataclass(frozen=True)
class EndpointRow:
    """One way to reach a source; holds no secret."""

    endpoint_id: int
    protocol: str
    host: str
    port: int
    path: str
    transport: str
    origin: str
    confirmed_at: datetime | None
    confirmed_by: str | None
    priority: int
    refusals: int
    credential_ref: str | None
    pinned: bool


@dataclass(frozen=True)
class EvidenceRow:
    """One fact that opened an interval."""

    seq: int
    kind: str
    at: datetime
    received_at: datetime
    last_positive_at: datetime | None
    reason: str | None
    state_after: str
    unknown_after: str | None
    gateway_id: str
    detail: Mapping[str, object] = field(default_factory=dict)
    "What was measured, e.g. codec and bitrate of the first connection: device type, confidential (WX-26.1)."


@dataclass(frozen=True)
class IntervalRow:
    """One interval of the history, half-open; `ended_at` is None for the present one."""

    state: str
    reasons: tuple[str, ...]
    started_at: datetime
    ended_at: datetime | None
    last_positive_at: datetime | None
    evidence: tuple[EvidenceRow, ...]


@dataclass(frozen=True)
class OverlayRow:
    """One interval of unknown or suspended laid over the history."""

    of_what: str
    "`source` or `gateway`."
    kind: str
    reason: str
    started_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True)
class History:
    """One page of a source's history, with all that is laid over the span of the page."""

    intervals: Page[IntervalRow]
    overlays: tuple[OverlayRow, ...]


@dataclass(frozen=True)
class SightingRow:
    """What a discovery saw at one address."""

    sighting_id: int
    protocol: str
    host: str
    port: int
    server: str | None
    mac: str | None
    serial: str | None
    gb_id: str | None
    first_seen_at: datetime
    last_seen_at: datetime
    state: str
    source_id: int | None
    source_gb_id: str | None
    site: str | None
    match_rule: str | None
    match_reason: str | None
    decided_at: datetime | None
    decided_by: str | None


@dataclass(frozen=True)
class NeverConnectedRow:
    """One source that must connect and never did."""

    source_id: int
    gb_id: str | None
    name: str | None
    place: Place
    due_on: date
    site_due_on: date
    "The first due day of its site, by which the list is ordered: that of a duty that does not bind yet among them."
    basis: str
    days_overdue: int
    substate: NeverConnected
    shown: Displayed
    "Never connected, or unknown or suspended while that is laid over it."
    obstacle: str | None
    seen_at: datetime | None
    site_sources: int
    site_never_connected: int

    @property
    def incomplete_connection(self) -> bool:
        """Whether other sources of the site did connect."""
        return 0 < self.site_never_connected < self.site_sources


@dataclass(frozen=True)
class OfflineRow:
    """One source that is offline while we can see."""

    source_id: int
    gb_id: str | None
    name: str | None
    place: Place
    since: datetime
    last_positive_at: datetime | None
    cause: str | None
    "The word of the fact that made it so; None where the fact is not on record."
    noticed_at: datetime | None
    flapping: bool


@dataclass(frozen=True)
class CodeStatus:
    """The answer about one 20-digit code; `status` is None when nobody here knows the code."""

    code: str
    source_id: int | None
    district: str | None
    status: SourceStatus | None


@dataclass(frozen=True)
class Counts:
    """The chain of counts of what is under an active duty: `required` is the sum of what is displayed."""

    required: int = 0
    connected_ever: int = 0
    never_connected: int = 0
    "By the first connection, whatever is displayed: required = connected_ever + never_connected."
    online: int = 0
    degraded: int = 0
    offline: int = 0
    unknown: int = 0
    suspended: int = 0
    shown_never_connected: int = 0
    without_duty: int = 0
    "Counted sources outside the chain: no duty of theirs is active today."

    def __add__(self, other: "Counts") -> Self:
        names = self.__dataclass_fields__
        return type(self)(**{name: getattr(self, name) + getattr(other, name) for name in names})

    def share(self, count: int) -> float | None:
        """Return `count` as a share of what is required, 4 places; None where nothing is required."""
        return round(count / self.required, 4) if self.required else None


@dataclass(frozen=True)
class DistrictCounts:
    """The chain of counts of one district."""

    district: str
    name: str
    counts: Counts


@dataclass(frozen=True)
class ChangeRow:
    """One committed fact, as the live events show it."""

    seq: int
    source_id: int
    site_id: int
    district: str
    gb_id: str | None
    kind: str
    at: datetime
    received_at: datetime
    reason: str | None
    state_after: str
    unknown_after: str | None
