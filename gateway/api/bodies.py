"""What callers send to the acting operations, and what these answer."""

from datetime import date
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, SecretStr, StringConstraints

from catalog.access import Role
from catalog.model.plan import RelayMode
from catalog.model.sighting import Protocol, SightingState
from gateway.api.registry import Answer, Schema
from gateway.api.schemas import Instant, RegionText

Text = Annotated[str, Field(min_length=1, max_length=300)]
Host = Annotated[str, Field(min_length=2, max_length=253)]
Port = Annotated[int, Field(ge=1, le=65535)]
Number = Annotated[int, Field(ge=1, lt=2**63)]
Path = Annotated[str, Field(min_length=1, max_length=1024)]
Pin = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the certificate in hex.")]


class DoneAnswer(Answer):
    """It is done."""

    done: bool = True


class ConfirmBody(Schema):
    """Confirm a sighting for the source it was matched with."""

    path: Path | None = None


class AcceptBody(Schema):
    """Accept a sighting for a source."""

    source_id: Number
    path: Path | None = None


class RefuseBody(Schema):
    """Refuse a sighting."""

    reason: Text


class DecidedAnswer(Answer):
    """A sighting after a person's decision."""

    sighting_id: int
    state: SightingState
    source_id: int | None
    host: str
    port: int


class NetworkBody(Schema):
    """An authorisation record (CN-23.3)."""

    cidr: Annotated[str, Field(max_length=50)]
    document: Text
    approver: Text
    expires_at: AwareDatetime


class NetworkAnswer(Answer):
    """An authorisation record."""

    network_id: int
    cidr: str
    document: str
    approver: str
    authorised_by: str
    authorised_at: Instant
    expires_at: Instant
    revoked_at: Instant | None
    is_live: bool


class NetworksAnswer(Answer):
    """All authorisation records, the newest first."""

    items: tuple[NetworkAnswer, ...]


class RunBody(Schema):
    """A sweep of an authorised network."""

    cidr: Annotated[str, Field(max_length=50)]
    ports: Annotated[tuple[Port, ...], Field(min_length=1, max_length=16)] | None = None


class RunStartedAnswer(Answer):
    """A sweep that began."""

    run_id: int


class RunAnswer(Answer):
    """A sweep with its progress."""

    run_id: int
    network_id: int
    cidr: str
    ports: tuple[int, ...]
    requested_by: str
    started_at: Instant
    finished_at: Instant | None
    addresses: int
    probed: int
    answered: int
    outcome: str


class RunsAnswer(Answer):
    """Sweeps, the newest first."""

    items: tuple[RunAnswer, ...]
    next_cursor: str | None


class RollQuery(Schema):
    """Parameters of the import of a roll."""

    dry_run: bool = True
    allow_mass_retirement: bool = False


class RollChangeAnswer(Answer):
    """One row that the file changes; the changed columns by name, without their content."""

    row: int
    source_id: int
    columns: tuple[str, ...]


class RollAnswer(Answer):
    """What an import does, or would do."""

    dry_run: bool
    added: int
    changed: int
    retired: int
    unchanged: int
    rejected: int
    retires_too_many: bool
    changes: tuple[RollChangeAnswer, ...]
    "The first 200."
    retired_source_ids: tuple[int, ...]
    "The first 200."


class EditionBody(Schema):
    """Publish the roll as it stands as the next edition."""

    effective_from: date | None = None
    dry_run: bool = False


class EditionAnswer(Answer):
    """A published edition, or what would be published."""

    number: str | None
    effective_from: date
    entries: int
    withheld: int
    "Site names that are not published."


class ProposalBody(Schema):
    """Propose the roll as it stands as the next edition."""

    effective_from: date | None = None


class RejectBody(Schema):
    """Why a proposal is turned down."""

    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]


class ReviewAnswer(Answer):
    """What a second person should look at."""

    entries: int
    withheld: dict[str, int]
    "Site names that are not published, by reason."
    natural_persons: int
    sensitive: int
    "Entries of classes whose places are not named."
    future_due: int
    "Entries whose due day is still to come."


class ProposalMadeAnswer(Answer):
    """A proposal that waits for a second person."""

    proposal_id: int
    review: ReviewAnswer


class ApprovedAnswer(Answer):
    """The edition that a proposal became."""

    number: str
    effective_from: date


class ProposalAnswer(Answer):
    """A proposed edition and what became of it."""

    proposal_id: int
    effective_from: date
    entries: int
    proposed_at: Instant
    proposed_by: str
    decision: str | None
    "`approved`, `rejected`; null while it waits."
    decided_at: Instant | None
    decided_by: str | None
    reason: str | None
    edition: str | None


class ProposalsAnswer(Answer):
    """The proposals, the newest first, 100 at most."""

    second_approver: bool
    "Whether an edition needs one."
    items: tuple[ProposalAnswer, ...]


class EndpointBody(Schema):
    """A way to reach a source."""

    protocol: Protocol = Protocol.RTSP
    host: Host
    port: Port
    path: Path = "/"
    transport: Literal["tcp", "udp"] = "tcp"
    credential_ref: Text | None = None
    tls_pin_sha256: Pin | None = None


class EndpointCredentialBody(Schema):
    """Which credential an endpoint asks for."""

    endpoint_id: Number
    credential_ref: Text | None


class EndpointPinBody(Schema):
    """Which certificate an endpoint must show."""

    endpoint_id: Number
    tls_pin_sha256: Pin | None


class SourceBody(Schema):
    """What changes on a source; what is not named stays."""

    location_type: Text | None = None
    relay_mode: RelayMode | None = None
    audio_enabled: bool | None = None
    allow_basic: bool | None = None
    mac: Annotated[str, Field(max_length=17)] | None = None
    serial: Text | None = None
    add_endpoint: EndpointBody | None = None
    confirm_endpoint: Number | None = None
    remove_endpoint: Number | None = None
    endpoint_credential: EndpointCredentialBody | None = None
    endpoint_pin: EndpointPinBody | None = None


class CredentialBody(Schema):
    """User name and password; nobody can read them again."""

    username: Annotated[str, Field(max_length=255)]
    password: Annotated[SecretStr, Field(max_length=255)]


class CredentialAnswer(Answer):
    """A stored credential: its name and how often it was changed."""

    ref: str
    version: int


class TriedAnswer(Answer):
    """What one device said to a credential."""

    address: str
    outcome: str


class CredentialTestAnswer(Answer):
    """What the matched devices said to a credential."""

    items: tuple[TriedAnswer, ...]


class RelayBody(Schema):
    """Which source is to be relayed on demand."""

    source_id: Number


class RelayAskedAnswer(Answer):
    """A relay on demand: ask again before `idle_stop` seconds have passed, else it ends."""

    source_id: int
    idle_stop: float


class PlayBody(Schema):
    """A look at a source; each is recorded with what it is for (WX-29.1, SX-16.6)."""

    purpose: Text


class PlayAnswer(Answer):
    """A login for one look: RTSP with Digest, at one of the addresses, within `expires_in` seconds."""

    source_id: int
    addresses: tuple[str, ...]
    username: str
    password: str
    expires_in: float


class LookAnswer(Answer):
    """A login for one look in a browser: the bearer token of one of the two addresses, for `expires_in` seconds."""

    source_id: int
    token: str
    whep: str
    snapshot: str
    expires_in: float


class SinkBody(Schema):
    """A central platform that takes our streams."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    host: Host
    port: Port
    path_prefix: Annotated[str, Field(max_length=256)] = "/"
    tls: bool = False
    tls_pin_sha256: Pin | None = None
    credential_ref: Text | None = None
    allow_basic: bool = False


class SinkEnabledBody(Schema):
    """Whether a sink is used."""

    enabled: bool


class SinkAnswer(Answer):
    """A sink; its credential is a name."""

    name: str
    host: str
    port: int
    path_prefix: str
    tls: bool
    pinned: bool
    allow_basic: bool
    enabled: bool
    credential_ref: str | None


class SinksAnswer(Answer):
    """All sinks."""

    items: tuple[SinkAnswer, ...]


class TokenBody(Schema):
    """A new token of a named person."""

    person: Text
    role: Literal[Role.POLICE_STATUS, Role.OPERATOR]
    region: RegionText = ""
    expires_at: AwareDatetime | None = None


class TokenAnswer(Answer):
    """A token, without its secret."""

    token_id: int
    prefix: str
    person: str
    role: Role
    region: str
    created_at: Instant
    expires_at: Instant | None
    revoked_at: Instant | None


class NewTokenAnswer(Answer):
    """A new token; the secret is shown this once."""

    token: TokenAnswer
    secret: str


class TokensAnswer(Answer):
    """All tokens, the newest first."""

    items: tuple[TokenAnswer, ...]


class StatusQueryBody(Schema):
    """Which codes are asked for, and what for."""

    codes: Annotated[
        tuple[Annotated[str, Field(pattern=r"^[0-9]{20}$")], ...], Field(min_length=1, max_length=1000)
    ]
    purpose: Annotated[str, Field(max_length=500)] | None = None
