"""What the catalog knows of a source that decides whether and how it may be pulled; pure values."""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from catalog.model.display import Lifecycle
from catalog.model.sighting import Protocol


class RelayMode(StrEnum):
    """When a source is relayed."""

    ALWAYS = "always"
    ON_DEMAND = "on_demand"
    OFF = "off"


class MediaWay(StrEnum):
    """How the media of a GB/T 28181 device come (2022, Annex D and G)."""

    UDP = "udp"
    TCP_PASSIVE = "tcp_passive"
    "The device connects to us."
    TCP_ACTIVE = "tcp_active"
    "We connect to the device."


class StreamKind(StrEnum):
    """Which of the streams of a channel is asked for (2022, Annex G: `streamnumber`)."""

    MAIN = "main"
    SUB = "sub"
    "Smaller, and often H.264 where the main stream is H.265."


@dataclass(frozen=True, slots=True)
class StoredCredential:
    """A credential as it lies in the catalog: locked, and perhaps not typed in yet."""

    credential_id: int
    ref: str
    "The name under which the roll speaks of it."
    version: int
    "Counts changes; 0 before anybody typed the password."
    username: str | None
    password_encrypted: str | None
    "As the vault wrote it; unlocked only where a pull of the matched device begins."

    @property
    def is_stored(self) -> bool:
        """Whether somebody typed it in."""
        return self.username is not None and self.password_encrypted is not None

    def __repr__(self) -> str:
        # The locked text too stays out of logs: it is what a stolen key would open.
        return f"StoredCredential({self.ref!r}, version={self.version}, is_stored={self.is_stored})"


@dataclass(frozen=True, slots=True)
class EndpointPlan:
    """One way to reach a source."""

    endpoint_id: int
    protocol: Protocol
    host: str
    port: int
    path: str
    "Absolute, with query."
    transport: str
    "`tcp` or `udp`."
    is_confirmed: bool
    "Whether a person attested that this address is this source."
    credential: StoredCredential | None = None
    tls_pin_sha256: str | None = None
    refusals: int = 0
    "Consecutive refusals of the credential of `refused_version` by this device."
    refused_at: datetime | None = None
    "Of the last refusal, UTC."
    refused_version: int | None = None

    @property
    def peer(self) -> str:
        """Return `host:port` for logs."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class SourcePlan:
    """One counted source of the roll with everything that decides about its relay."""

    source_id: int
    code: str
    "The id under which it goes out: its 20-digit code, or `source-<id>`."
    lifecycle: Lifecycle
    location_type: str | None
    site_class: str
    district: str
    profile: str
    "Name of the jurisdiction profile of its district."
    base_profile: str | None
    "Name of the national profile laid under it, None when switched off."
    relay_mode: RelayMode
    audio_enabled: bool
    allow_basic: bool
    due_on: date | None
    "Last day to connect in time; None without a duty."
    has_connected: bool
    "Whether its first connection is on record."
    endpoints: tuple[EndpointPlan, ...]
    "In order of priority."
