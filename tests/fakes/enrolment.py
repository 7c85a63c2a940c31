"""What enrolment works with in tests: plans, a relay runner that runs nothing, a status that writes down."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from ipaddress import ip_network
from typing import Any

from adapters.base import SourceKey, Transport
from catalog.credentials import Vault
from catalog.model.connectivity import DegradeReason
from catalog.model.display import Lifecycle
from catalog.model.network import Authorisation, AuthorisedNetworks
from catalog.model.plan import EndpointPlan, RelayMode, SourcePlan, StoredCredential
from catalog.model.profile import LocationJudgement, judge_location
from catalog.model.secret import Secret
from catalog.model.sighting import Protocol
from catalog.profiles.load import effective_profile
from catalog.sinks import Sink
from gateway.enrolment.events import PullEvents
from gateway.enrolment.on_demand import OnDemand
from gateway.enrolment.ports import Conditions, Ports, PullRules
from gateway.enrolment.pull import Pull
from gateway.enrolment.pulls import Pulls
from gateway.enrolment.specs import SpecBuilder
from gateway.relay.protocol import (
    Event,
    MediaAlive,
    Playing,
    RelayEnded,
    RelayState,
    RelayStateChanged,
    SinkState,
    SinkStateChanged,
    VerificationFinished,
)
from gateway.relay.spec import RelayBounds, RelaySpec
from gateway.relay.view import RelaySnapshot
from tests.clock import HandClock

NOW = HandClock().now()
PASSWORD = "CANARY-PASSWORD-7731"
VAULT = Vault(bytes(range(32)))
SINK = Sink(1, "platform", "127.0.0.9", 8555, "/in", False, None, False, True, None)


def stored(credential_id: int = 1, version: int = 1, *, typed: bool = True) -> StoredCredential:
    """A credential of the catalog; `typed` tells whether it has a password."""
    sealed = VAULT.encrypt("credential", "password_encrypted", credential_id, Secret(PASSWORD))
    return StoredCredential(
        credential_id,
        f"ref-{credential_id}",
        version,
        "admin" if typed else None,
        sealed if typed else None,
    )


def endpoint(endpoint_id: int = 1, host: str = "10.1.0.5", **changes: Any) -> EndpointPlan:
    """A confirmed RTSP endpoint inside the authorised network."""
    plain = EndpointPlan(endpoint_id, Protocol.RTSP, host, 554, "/live", "tcp", True)
    return replace(plain, **changes)


def plan(source_id: int = 7, *endpoints: EndpointPlan, **changes: Any) -> SourcePlan:
    """A source of a lobby that may be pulled."""
    plain = SourcePlan(
        source_id=source_id,
        code=f"3202990000132{source_id:07d}",
        lifecycle=Lifecycle.REQUIRED,
        location_type="lobby",
        site_class="WX8_07",
        district="320299",
        profile="wuxi-2019",
        base_profile="cn-2025",
        relay_mode=RelayMode.ALWAYS,
        audio_enabled=False,
        allow_basic=False,
        due_on=None,
        has_connected=False,
        endpoints=endpoints or (endpoint(),),
    )
    return replace(plain, **changes)


def networks(*cidrs: str, expires_at: datetime | None = None) -> AuthorisedNetworks:
    """Live authorisations."""
    end = expires_at or NOW + timedelta(days=30)
    begun = NOW - timedelta(days=1)
    return AuthorisedNetworks(
        Authorisation(index, ip_network(cidr), "doc", "chief", "operator", begun, end)
        for index, cidr in enumerate(cidrs or ("10.1.0.0/24",))
    )


def judged(of: SourcePlan) -> LocationJudgement:
    """The judgement of the plan's own profile."""
    return judge_location(effective_profile(of.profile, of.base_profile), of.location_type)


@dataclass
class RelayRunner:
    """Keeps what it was told to run."""

    running: dict[int, RelaySpec] = field(default_factory=dict)
    started: list[RelaySpec] = field(default_factory=list)
    stopped: list[tuple[int, str]] = field(default_factory=list)
    shown: list[RelaySnapshot] = field(default_factory=list)
    carried: dict[int, int] = field(default_factory=dict)
    slow: set[int] = field(default_factory=set)
    happened: asyncio.Queue[Event] = field(default_factory=asyncio.Queue)

    async def take(self) -> list[Event]:
        return [await self.happened.get()]

    def start(self, spec: RelaySpec) -> None:
        self.running[spec.source_id] = spec
        self.started.append(spec)

    def stop(self, source_id: SourceKey, reason: str) -> bool:
        self.stopped.append((source_id, reason))
        return self.running.pop(source_id, None) is not None

    def snapshot(self) -> Sequence[RelaySnapshot]:
        return self.shown

    def bitrates(self) -> Mapping[int, int]:
        return self.carried

    def strained(self) -> frozenset[int]:
        return frozenset(self.slow)


@dataclass
class WrittenStatus:
    """Writes down what it is told."""

    facts: list[tuple[str, int, str]] = field(default_factory=list)
    obstacles: dict[int, str | None] = field(default_factory=dict)
    details: dict[int, Mapping[str, object]] = field(default_factory=dict)
    watches: bool = True

    def alive(self, source_id: int, *, at: float) -> None:
        self.facts.append(("alive", source_id, ""))

    def seen(self, source_id: int, *, at: float) -> None:
        self.facts.append(("seen", source_id, ""))

    def connected(self, source_id: int, *, at: float, detail: Mapping[str, object] | None = None) -> None:
        self.facts.append(("connected", source_id, ""))
        self.details[source_id] = detail or {}

    def impaired(self, source_id: int, reason: DegradeReason, *, at: float) -> None:
        self.facts.append(("impaired", source_id, reason.value))

    def restored(self, source_id: int, reason: DegradeReason, *, at: float) -> None:
        self.facts.append(("restored", source_id, reason.value))

    def obstacle(self, source_id: int, word: str | None) -> None:
        self.obstacles[source_id] = word

    def view(self, source_id: int) -> object | None:
        return self if self.watches else None

    def kinds(self, source_id: int = 7) -> list[str]:
        """What was told of a source, repetitions and signs of life left out."""
        told = [f"{kind} {reason}".strip() for kind, of, reason in self.facts if of == source_id]
        return [word for index, word in enumerate(told) if word != "alive" and word not in told[:index]]


@dataclass
class WrittenLedger:
    """Keeps the notes for the catalog."""

    notes: list[tuple[object, ...]] = field(default_factory=list)

    def refused(self, endpoint_id: int, version: int, count: int, at: datetime) -> None:
        self.notes.append(("refused", endpoint_id, version, count))

    def accepted(self, endpoint_id: int) -> None:
        self.notes.append(("accepted", endpoint_id))

    def forbidden(self, source_id: int, requirements: tuple[str, ...]) -> None:
        self.notes.append(("forbidden", source_id, requirements))


class Bench:
    """Pulls on a hand-moved clock, with the events of their workers made by hand."""

    def __init__(self, *, sink: Sink | None = None, rules: PullRules | None = None) -> None:
        self.clock = HandClock()
        self.relays = RelayRunner()
        self.status = WrittenStatus()
        self.ledger = WrittenLedger()
        specs = SpecBuilder(VAULT, RelayBounds())
        self.lost: set[str] = set()
        ports = Ports(
            self.relays, self.status, self.ledger, specs, self.clock, is_lost=lambda host: host in self.lost
        )
        self.pulls = Pulls(ports, rules or PullRules())
        self.pulls.conditions = Conditions(networks(), sink)
        self.on_demand = OnDemand(self.pulls)
        self.events = PullEvents(self.pulls)

    def put(self, *plans: SourcePlan, anew: bool = False) -> None:
        """Give plans, and let what is due begin."""
        for each in plans:
            self.pulls.update(each, judged(each), anew=anew)
        self.pulls.look()

    def reassert(self) -> None:
        """Let the minute's look at all pulls happen."""
        for _ in self.pulls.reassert():
            pass

    def pass_time(self, seconds: float) -> None:
        """Let time pass, looking as the service does."""
        for _ in range(int(seconds * 2)):
            self.clock.advance(0.5)
            self.on_demand.look()
            self.pulls.look()

    def pull(self, source_id: int = 7) -> Pull:
        found = self.pulls.get(source_id)
        assert found is not None
        return found

    def obstacle(self, source_id: int = 7) -> str | None:
        """The word that the status was told last."""
        return self.status.obstacles[source_id]

    def times(self, source_id: int) -> tuple[SourceKey, float, datetime]:
        """The first fields of an event that happens now."""
        self.clock.advance(0.01)
        return SourceKey(source_id), self.clock.monotonic(), self.clock.now()

    def play(self, source_id: int = 7, *, authenticated: bool = False) -> None:
        times = self.times(source_id)
        self.events.take(Playing(*times, "H264", Transport.TCP, False, authenticated))

    def verify(self, source_id: int = 7, *, passed: bool = True, received: float = 10.4) -> None:
        cause = "" if passed else "no_decodable_key_frame"
        self.events.take(
            VerificationFinished(*self.times(source_id), passed, cause, 10.0, received, 260, 5_200_000)
        )

    def sink(self, state: SinkState, source_id: int = 7, *, cause: str = "") -> None:
        self.events.take(SinkStateChanged(*self.times(source_id), state, cause))

    def end(self, cause: str, source_id: int = 7, **values: Any) -> None:
        """A session ends, and the worker goes on or not as it would."""
        retryable = bool(values.pop("retryable", True))
        self.events.take(RelayEnded(*self.times(source_id), cause, retryable, **values))
        if not retryable:
            self.over(source_id)

    def over(self, source_id: int = 7) -> None:
        """The last event of a relay."""
        self.events.take(RelayStateChanged(*self.times(source_id), RelayState.ENDED))

    def media(self, *source_ids: int) -> None:
        self.clock.advance(1.5)
        ids = tuple(SourceKey(each) for each in source_ids or (7,))
        at = self.clock.monotonic()
        self.events.take(MediaAlive(at, self.clock.now(), ids, tuple(at for _ in ids)))

    def connect(self, source_id: int = 7) -> None:
        """The whole way to a first connection without a superior."""
        self.play(source_id)
        self.verify(source_id)
