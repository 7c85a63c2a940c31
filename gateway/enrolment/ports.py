"""What the pulls ask of the rest of the gateway, as narrow as they need it, and the numbers they go by."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from random import Random, SystemRandom
from typing import Protocol

from adapters.base import SourceKey
from catalog.model.connectivity import DegradeReason
from catalog.model.network import AuthorisedNetworks
from catalog.sinks import Sink
from gateway.clock import Clock
from gateway.enrolment.admission import Networks, nothing_is_lost
from gateway.enrolment.pull import Pull
from gateway.enrolment.specs import SpecBuilder
from gateway.relay.limits import Limits
from gateway.relay.spec import RelaySpec
from gateway.relay.view import RelaySnapshot


class Status(Protocol):
    """Takes in what the pulls show; the status service."""

    def alive(self, source_id: int, *, at: float) -> None:
        """Take in a sign of life."""

    def seen(self, source_id: int, *, at: float) -> None:
        """Take in contact that is no connection."""

    def connected(self, source_id: int, *, at: float, detail: Mapping[str, object] | None = None) -> None:
        """Take in the proven first connection."""

    def impaired(self, source_id: int, reason: DegradeReason, *, at: float) -> None:
        """Take in that a degrade reason opened."""

    def restored(self, source_id: int, reason: DegradeReason, *, at: float) -> None:
        """Take in that a degrade reason closed."""

    def obstacle(self, source_id: int, word: str | None) -> None:
        """Take in why a source is not relayed or connected."""

    def view(self, source_id: int) -> object | None:
        """Return something if the source is watched, else None."""


class Relays(Protocol):
    """Runs pulls in workers; the relay manager."""

    def start(self, spec: RelaySpec) -> None:
        """Begin a relay, in place of another one of the source."""

    def stop(self, source_id: SourceKey, reason: str) -> bool:
        """End a relay; unknown ones are ignored. Its state `ended` follows as its last event."""

    def snapshot(self) -> Sequence[RelaySnapshot]:
        """Return every relay as it stands."""

    def bitrates(self) -> Mapping[int, int]:
        """Return the bits a second received of each relay, as last counted."""

    def strained(self) -> frozenset[int]:
        """Return the sources that we ourselves are slow with: what they deliver says nothing about them."""


class Ledger(Protocol):
    """Has facts written to the catalog in its own time."""

    def refused(self, endpoint_id: int, version: int, count: int, at: datetime) -> None:
        """Note refusals of a credential."""

    def accepted(self, endpoint_id: int) -> None:
        """Note that a refused credential is taken again."""

    def forbidden(self, source_id: int, requirements: tuple[str, ...]) -> None:
        """Note that the law refuses a source."""


@dataclass(frozen=True)
class PullRules:
    """Times in seconds and numbers."""

    verify_at_once: int = 32
    "Verification pulls at the same time."
    retry_first: float = 5.0
    "Before the second try of a source that gave no picture; doubled each round, spread by a quarter."
    retry_longest: float = 300.0
    "The longest such wait of a source that never connected."
    reconnect_longest: float = 60.0
    "The longest such wait of a connected source whose endpoints all fail."
    refused_rest: float = 1800.0
    "Before another try where the device does not take us and nothing counts its refusals."
    superior_patience: float = 60.0
    "How long a verified source on demand runs on for the superior to take it."
    limits: Limits = field(default_factory=Limits)
    "What may be pulled at once."
    expected_bitrate: int = 4_000_000
    "Bits a second that are reserved for a pull until it is measured."
    low_bitrate: int = 0
    "Bits a second below which a source that delivers is degraded; 0: never."

    def wait(self, pull: Pull) -> float:
        """Return how long a pull that failed waits for its next try, before it is spread."""
        rounds = (pull.failures - 1) // max(len(pull.endpoints), 1)
        longest = self.reconnect_longest if pull.is_connected else self.retry_longest
        return min(longest, self.retry_first * (1 << min(rounds, 10)))


@dataclass(frozen=True)
class Ports:
    """What the pulls work with."""

    relays: Relays
    status: Status
    ledger: Ledger
    specs: SpecBuilder
    clock: Clock
    random: Random = field(default_factory=SystemRandom)
    is_lost: Callable[[str], bool] = nothing_is_lost
    "Tells of an IP address whether our own path to it is lost; then no credential goes there by another way."


@dataclass(frozen=True)
class Conditions:
    """What holds for all sources alike."""

    networks: Networks = field(default_factory=AuthorisedNetworks)
    sink: Sink | None = None
    "The enabled central platform; None: Muster is the shared platform itself."
