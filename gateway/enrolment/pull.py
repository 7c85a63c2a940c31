"""The live state of one source's pull, and what the words of a failed one mean."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from types import MappingProxyType
from typing import Final

from catalog.model.connectivity import DegradeReason
from catalog.model.plan import EndpointPlan, RelayMode, SourcePlan
from catalog.model.profile import LocationJudgement
from gateway.enrolment.admission import Hindrance, Obstacle
from gateway.enrolment.first_connection import Proof
from gateway.enrolment.specs import PullKey
from gateway.relay.limits import Priority, Shortage
from gateway.relay.protocol import SinkState


class Phase(Enum):
    """Where the pull of one source stands."""

    IDLE = auto()
    "Not wanted: not admitted, or on demand and not asked for."
    WAITING = auto()
    "Wanted; its turn or its next try has not come."
    VERIFYING = auto()
    "Runs its verification pull, in one of the few places for that."
    RUNNING = auto()
    STOPPING = auto()
    "Told to stop; what follows waits for its last event, so that nothing of two pulls is mixed."


RUNS: Final = frozenset({Phase.VERIFYING, Phase.RUNNING})

REFUSES_US: Final = frozenset(
    {"authentication_failed", "credential_missing", "weak_authentication", "tls_pin_mismatch"}
)
"""Causes after which the same try is not repeated soon: the device answers, but not to us."""

NO_PICTURE: Final = frozenset(
    {"refused", "unsupported_media", "protocol_error", "message_too_large", "no_media"}
)
"""Causes with which a source that answers gives no video."""

MEASURED_BY_PULLS: Final = (
    DegradeReason.NO_MEDIA,
    DegradeReason.AUTHENTICATION_FAILED,
    DegradeReason.BITRATE_LOW,
)
"""Degrade reasons that open and close by what a pull shows, and by nothing else."""

TRIES_WITHOUT_VIDEO: Final = 2
"""So many tries in a row without video, and a source with several endpoints is pulled from the next."""

_OBSTACLES: Final[Mapping[str, str]] = MappingProxyType(
    {"closed": "unreachable", "no_decodable_key_frame": "no_media", "no_steady_video": "no_media"}
)

_SUPERIOR_REFUSES: Final = REFUSES_US | {"refused"}


def obstacle_word(cause: str) -> str:
    """Return the stable word for a pull that ended with `cause`."""
    return _OBSTACLES.get(cause, cause)


def superior_word(cause: str) -> str:
    """Return the stable word for a push that failed with `cause`."""
    return "superior_refused" if cause in _SUPERIOR_REFUSES else "superior_away"


@dataclass(slots=True)
class Session:
    """What is known of a pull that runs now."""

    endpoint: EndpointPlan
    key: PullKey
    proof: Proof
    started_at: float
    "Monotonic; events from before belong to an earlier pull."
    quiet_since: float
    "Monotonic; video from after this instant shows that the pull delivers."
    deadline: float
    "Monotonic; a verification that is not over then has failed. Infinite for a pull that is not verified."
    codec: str = ""
    width: int = 0
    height: int = 0
    verified_seconds: float = 0.0
    verified_frames: int = 0
    verified_bitrate: int = 0
    "Bits per second of the verified video."
    sink: SinkState = SinkState.NONE
    video_told: bool = False
    "Whether the status has heard that this pull delivers."


@dataclass(slots=True)
class Pull:
    """One source of the roll and what is being done to pull it. Changed by one task alone."""

    plan: SourcePlan
    judgement: LocationJudgement
    phase: Phase = Phase.IDLE
    is_connected: bool = False
    "Whether the first connection was proven, ever."
    endpoints: tuple[EndpointPlan, ...] = ()
    "Those that admission let through, in order of priority."
    next_endpoint: int = 0
    "Which of them comes next, counted round."
    failures: int = 0
    "Tries in a row that brought no video."
    due_at: float = 0.0
    "Monotonic; not to be started before."
    ticket: int = 0
    "Counts its places in the queue; an older one is void."
    is_lined_up: bool = False
    "Whether it stands in line now, under its present ticket."
    wanted_until: float = 0.0
    "Monotonic; for a source on demand."
    session: Session | None = None
    blocked: Obstacle | None = None
    "What admission has against it."
    short: Shortage | None = None
    "Which limit of ours it waits for."
    failure: str | None = None
    "Why the last try brought no video."
    superior: str | None = None
    "Why the superior does not take it."
    open_reasons: set[DegradeReason] = field(default_factory=set)
    "Told to the status and not taken back."
    bitrate: int = 0
    "Bits a second as last measured and smoothed."
    measured_at: float = float("-inf")
    "Monotonic."
    stop_by: float = 0.0
    "Monotonic; a pull being stopped counts as ended then, whatever its worker says."

    @property
    def obstacle(self) -> str | None:
        """Return the one word to tell: admission's first, then our limit, the source's, the superior's."""
        if self.blocked is not None:
            return self.blocked.word.value
        if self.short is not None:
            return self.short.limit.value
        return self.failure or self.superior

    def is_wanted(self, now: float) -> bool:
        """Tell whether it shall run, or be verified, at monotonic `now`."""
        if self.blocked is not None or not self.endpoints:
            return False
        if not self.is_connected or self.plan.relay_mode is RelayMode.ALWAYS:
            return True
        return self.plan.relay_mode is RelayMode.ON_DEMAND and now < self.wanted_until

    @property
    def endpoint(self) -> EndpointPlan:
        """The one that comes next; only where admission let any through."""
        return self.endpoints[self.next_endpoint % len(self.endpoints)]

    def priority(self, now: float) -> Priority:
        """Return how important its place in the budget is at monotonic `now`."""
        if self.is_connected and self.plan.relay_mode is RelayMode.ALWAYS:
            return Priority.DUTY
        return Priority.ON_DEMAND if now < self.wanted_until else Priority.VERIFICATION

    @property
    def refuses_us(self) -> bool:
        """Tell whether what stands in the way is that the device does not take our credential."""
        if self.blocked is not None:
            return self.blocked.word is Hindrance.AUTHENTICATION_FAILED
        return self.failure in REFUSES_US


DeviceKey = tuple[str, int, int]
"""Host, port and credential: what a device counts wrong passwords by."""


def device_key(endpoint: EndpointPlan) -> DeviceKey | None:
    """Return the key, or None where no credential is sent."""
    if endpoint.credential is None or not endpoint.credential.is_stored:
        return None
    return (endpoint.host, endpoint.port, endpoint.credential.credential_id)


def differs(before: SourcePlan, after: SourcePlan) -> bool:
    """Tell whether more changed than counters of our own making."""
    if len(before.endpoints) != len(after.endpoints):
        return True
    return any(
        (a.endpoint_id, a.host, a.is_confirmed, a.credential, a.tls_pin_sha256)
        != (b.endpoint_id, b.host, b.is_confirmed, b.credential, b.tls_pin_sha256)
        for a, b in zip(before.endpoints, after.endpoints, strict=True)
    ) or (before.relay_mode, before.allow_basic) != (after.relay_mode, after.allow_basic)
