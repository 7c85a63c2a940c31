"""What the API answers, role by role: allow-lists. A new column of the catalog shows nowhere until it stands here."""

from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal

from pydantic import Field, PlainSerializer

from catalog.model.display import Displayed, NeverConnected
from catalog.model.rollup import SiteStatus
from catalog.model.sighting import SightingState
from gateway.api.registry import Answer, Schema

Instant = Annotated[
    datetime,
    PlainSerializer(
        lambda at: at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        return_type=str,
        when_used="json",
    ),
    Field(json_schema_extra={"format": "date-time"}),
]
RegionText = Annotated[
    str, Field(pattern=r"^([0-9]{2}){0,3}$", description="Prefix of the administrative code.")
]
Limit = Annotated[int, Field(ge=1, le=1000)]
CursorText = Annotated[str, Field(max_length=400)]


class PageQuery(Schema):
    """Parameters of a list."""

    region: RegionText = ""
    cursor: CursorText | None = None
    limit: Limit = 100


ClassText = Annotated[str, Field(min_length=1, max_length=40, description="Only places of this class.")]
UnitText = Annotated[
    str, Field(min_length=1, max_length=200, description="Only places of this unit, by its name.")
]
EditionText = Annotated[
    str,
    Field(
        min_length=1, max_length=60, description="Only what this edition of the catalog lists, by its number."
    ),
]


class ReportQuery(PageQuery):
    """Parameters of a report."""

    place_class: ClassText | None = None
    unit: UnitText | None = None
    format: Literal["json", "csv", "xlsx"] = "json"
    lang: Literal["zh", "en"] = "zh"


class NeverConnectedQuery(ReportQuery):
    """Parameters of the report of what never connected."""

    overdue: bool = False


class SourcesQuery(PageQuery):
    """Parameters of the list of sources."""

    state: Displayed | None = None
    site_id: Annotated[int, Field(ge=1, lt=2**63)] | None = None


class SightingsQuery(PageQuery):
    """Parameters of the list of sightings."""

    state: SightingState | None = None


class RegionQuery(Schema):
    """A region."""

    region: RegionText = ""


class Dated(Answer):
    """An answer that says of when it is."""

    as_of: Instant
    "When it was read."
    stale: bool = False
    "True while the database is away: the answer is that of `as_of`."


class PlaceAnswer(Answer):
    """Where a source stands, as the operator sees it."""

    unit: str
    system: str
    site_id: int
    site: str
    place_class: str
    district: str
    address: str | None


class SiteCountsAnswer(Answer):
    """How many sources of a site display which state."""

    eligible: int
    online: int
    degraded: int
    offline: int
    unknown: int
    suspended: int
    never: int


class SiteAnswer(Answer):
    """One site."""

    place: PlaceAnswer
    status: SiteStatus
    counts: SiteCountsAnswer
    incomplete_connection: bool
    due_on: date | None
    first_connected_at: Instant | None
    offline_since: Instant | None
    unknown_reason: str | None


class SitesAnswer(Dated):
    """A page of sites."""

    items: tuple[SiteAnswer, ...]
    next_cursor: str | None


class StatusAnswer(Answer):
    """What is shown of a source: state, reason and times."""

    shown: Displayed
    since: Instant | None
    reasons: tuple[str, ...]
    first_connected_at: Instant | None
    last_positive_at: Instant | None
    flapping: bool


class MeasuredAnswer(StatusAnswer):
    """What is shown of a source, and what was measured below it."""

    state: str
    state_since: Instant


class SourceAnswer(Answer):
    """One source."""

    source_id: int
    gb_id: str | None
    name: str | None
    place: PlaceAnswer
    status: MeasuredAnswer
    lifecycle: str
    location_type: str | None
    relay_mode: str
    audio_enabled: bool
    allow_basic: bool
    obstacle: str | None
    seen_at: Instant | None


class SourcesAnswer(Dated):
    """A page of sources."""

    items: tuple[SourceAnswer, ...]
    next_cursor: str | None


class EndpointAnswer(Answer):
    """One way to reach a source; a credential is a name here, never more."""

    endpoint_id: int
    protocol: str
    host: str
    port: int
    path: str
    transport: str
    origin: str
    confirmed_at: Instant | None
    confirmed_by: str | None
    priority: int
    refusals: int
    credential_ref: str | None
    pinned: bool


class SourceDetailAnswer(Dated):
    """One source with its endpoints."""

    source: SourceAnswer
    endpoints: tuple[EndpointAnswer, ...]


class EvidenceAnswer(Answer):
    """The fact that opened an interval."""

    seq: int
    kind: str
    at: Instant
    received_at: Instant
    last_positive_at: Instant | None
    reason: str | None
    unknown_after: str | None
    gateway_id: str
    detail: dict[str, Any]
    "What was measured, e.g. codec, picture size and bitrate of the first connection."


class IntervalAnswer(Answer):
    """One interval, half-open; the present one has no end."""

    state: str
    reasons: tuple[str, ...]
    started_at: Instant
    ended_at: Instant | None
    last_positive_at: Instant | None
    evidence: tuple[EvidenceAnswer, ...]


class OverlayAnswer(Answer):
    """Unknown or suspended laid over the history."""

    of_what: str
    kind: str
    reason: str
    started_at: Instant
    ended_at: Instant | None


class HistoryAnswer(Dated):
    """A page of a source's history, the newest first."""

    source_id: int
    items: tuple[IntervalAnswer, ...]
    overlays: tuple[OverlayAnswer, ...]
    next_cursor: str | None


class SightingAnswer(Answer):
    """What a discovery saw at one address."""

    sighting_id: int
    protocol: str
    host: str
    port: int
    server: str | None
    mac: str | None
    serial: str | None
    gb_id: str | None
    first_seen_at: Instant
    last_seen_at: Instant
    state: SightingState
    source_id: int | None
    source_gb_id: str | None
    site: str | None
    match_rule: str | None
    match_reason: str | None
    decided_at: Instant | None
    decided_by: str | None


class SightingsAnswer(Dated):
    """A page of sightings."""

    items: tuple[SightingAnswer, ...]
    next_cursor: str | None


class RelayAnswer(Answer):
    """One relay."""

    source_id: int
    code: str
    state: str
    since: Instant
    cause: str
    sink_state: str
    sink_since: Instant
    sink_cause: str
    on_demand: bool
    codec: str
    transport: str | None
    width: int
    height: int
    in_gap: bool
    bitrate: int
    frames: int
    key_frames: int
    frames_out: int
    dropped_frames: int
    drops: int
    bytes_in: int
    bytes_out: int
    sessions: int
    skipped_frames: int
    "Before the first key frame of a connection to the sink."
    damaged_frames: int
    "Of which the beginning went out and the end did not."
    queue_bytes: int
    queue_seconds: float
    "Age of the oldest media that waits for the sink."
    delay: float
    readers: int
    lost: int
    loss: float
    jitter: float
    lost_packets: int
    discontinuities: int
    "The longest wait from receipt to hand-over in the last second."
    worker: int | None
    "Process id; null while the process is being replaced."


class WorkerAnswer(Answer):
    """One relay process."""

    index: int
    pid: int | None
    relays: int
    bitrate: int
    "Bits a second received."
    busy: float
    "Share of one core, over the last ten seconds."


class NetworkUseAnswer(Answer):
    """What is pulled from one authorised network."""

    network: str
    pulls: int
    bitrate: int


class BudgetAnswer(Answer):
    """What is pulled against which limits; 0 is no limit, bandwidths are bits a second."""

    pulls: int
    max_pulls: int
    bitrate: int
    "Measured, or expected where nothing was measured yet."
    max_bandwidth: int
    max_network_bandwidth: int
    networks: tuple[NetworkUseAnswer, ...]
    waiting: dict[str, int]
    "How many sources wait for room, by the limit."


class RelaysAnswer(Dated):
    """All relays of this gateway."""

    items: tuple[RelayAnswer, ...]
    workers: tuple[WorkerAnswer, ...] = ()
    "Only without a region, as the budget."
    budget: BudgetAnswer | None = None


class NeverConnectedAnswer(Answer):
    """One source that must connect and never did."""

    source_id: int
    gb_id: str | None
    name: str | None
    place: PlaceAnswer
    due_on: date
    basis: str
    days_overdue: int
    substate: NeverConnected
    shown: Displayed
    obstacle: str | None
    seen_at: Instant | None
    site_sources: int
    site_never_connected: int
    incomplete_connection: bool


class NeverConnectedReport(Dated):
    """A page of the report of what never connected."""

    items: tuple[NeverConnectedAnswer, ...]
    next_cursor: str | None


class OfflineAnswer(Answer):
    """One source that is offline while we can see."""

    source_id: int
    gb_id: str | None
    name: str | None
    place: PlaceAnswer
    since: Instant
    last_positive_at: Instant | None
    cause: str | None
    noticed_at: Instant | None
    flapping: bool


class OfflineReport(Dated):
    """A page of the report of what is offline."""

    items: tuple[OfflineAnswer, ...]
    next_cursor: str | None


class CountAnswer(Answer):
    """A count and its share of what is required; null where nothing is required."""

    count: int
    share: float | None


class ChainAnswer(Answer):
    """The chain of counts: required = connected_ever + never_connected = the sum of what is displayed."""

    required: int
    connected_ever: CountAnswer
    never_connected: CountAnswer
    online: CountAnswer
    degraded: CountAnswer
    offline: CountAnswer
    unknown: CountAnswer
    suspended: CountAnswer
    shown_never_connected: CountAnswer
    without_duty: int


class DistrictAnswer(Answer):
    """The chain of one district."""

    district: str
    name: str
    chain: ChainAnswer


class SummaryReport(Dated):
    """The chain of the region asked for, and of each district in it."""

    region: str
    total: ChainAnswer
    districts: tuple[DistrictAnswer, ...]


class CodeAnswer(Answer):
    """The answer about one code; `status` is null when nobody here knows the code."""

    code: str
    known: bool
    status: StatusAnswer | None


class StatusQueryAnswer(Dated):
    """One answer a code, in the order asked; a code asked twice is answered once."""

    items: tuple[CodeAnswer, ...]
