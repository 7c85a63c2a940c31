"""Decides whether a source may be pulled, from which of its endpoints, or what stands in the way; pure.

The order of the questions is the order of the reasons: what the law says first (E18), then what the operator wants,
then whether this address is the source and may be asked at all (E17), and last the credential.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol, assert_never

from catalog.model.network import Authorisation
from catalog.model.plan import EndpointPlan, RelayMode, SourcePlan
from catalog.model.profile import Forbidden, LocationJudgement, NeedsPerson, Permitted, Unattested
from catalog.model.sighting import Protocol as Speech

MOST_REFUSALS: Final = 2
"""So many refusals in a row, and the credential rests."""

CREDENTIAL_REST: Final = timedelta(minutes=30)
"""How long a refused credential rests, unless it changes: devices lock accounts after a few wrong passwords."""

LOST_PATH_REST: Final = timedelta(seconds=5)
"""Until a source behind a lost interface of ours is looked at again."""

CLOCK_TOLERANCE: Final = timedelta(minutes=1)


class Hindrance(StrEnum):
    """Why a source is not pulled; stable words of the status and the API."""

    LOCATION_FORBIDDEN = "location_forbidden"
    LOCATION_UNATTESTED = "location_unattested"
    LOCATION_NEEDS_PERSON = "location_needs_person"
    RELAY_OFF = "relay_off"
    NO_ENDPOINT = "no_endpoint"
    NOT_CONFIRMED = "not_confirmed"
    NETWORK_NOT_AUTHORISED = "network_not_authorised"
    CREDENTIAL_MISSING = "credential_missing"
    AUTHENTICATION_FAILED = "authentication_failed"
    STREAM_UNKNOWN = "stream_unknown"
    "Its ONVIF device is known and may be asked, but has not told its stream yet."
    OWN_NETWORK_DOWN = "own_network_down"


_NEARNESS: Final = (
    Hindrance.NOT_CONFIRMED,
    Hindrance.NETWORK_NOT_AUTHORISED,
    Hindrance.STREAM_UNKNOWN,
    Hindrance.CREDENTIAL_MISSING,
    Hindrance.AUTHENTICATION_FAILED,
)
"""What can be wrong with an endpoint, from far to near: of several endpoints the nearest to success is told."""


@dataclass(frozen=True, slots=True)
class Admission:
    """The source may be pulled, from these endpoints alone."""

    endpoints: tuple[EndpointPlan, ...]
    "At least one, in order of priority."

    @property
    def endpoint(self) -> EndpointPlan:
        """The first one to be tried."""
        return self.endpoints[0]


@dataclass(frozen=True, slots=True)
class Obstacle:
    """The source may not be pulled now."""

    word: Hindrance
    requirements: tuple[str, ...] = ()
    "Requirement ids of the provisions, for a location."
    again_at: datetime | None = None
    "When it is worth asking again without any change; None: only a change helps."


class Networks(Protocol):
    """Answers whether an address may be asked."""

    def covers(self, host: str, at: datetime) -> Authorisation | None:
        """Return the live authorisation that covers the IP address `host`, or None."""


def nothing_is_lost(_: str) -> bool:
    """Answer that our own path to an address is not lost."""
    return False


def admit(
    plan: SourcePlan,
    judgement: LocationJudgement,
    networks: Networks,
    now: datetime,
    is_lost: Callable[[str], bool] = nothing_is_lost,
) -> Admission | Obstacle:
    """Decide whether `plan` may be pulled at `now` (UTC).

    Args:
        plan: of the source.
        judgement: of its location.
        networks: what may be asked.
        now: timezone-aware.
        is_lost: tells of an IP address whether our own path to it is lost: no credential goes there by another way.
    """
    obstacle = _location_obstacle(judgement)
    if obstacle is not None:
        return obstacle
    if plan.relay_mode is RelayMode.OFF:
        return Obstacle(Hindrance.RELAY_OFF)
    if not plan.endpoints:
        return Obstacle(Hindrance.NO_ENDPOINT)
    resting = _resting_credentials(plan.endpoints)
    verdicts = [(e, _endpoint_obstacle(e, resting, networks, now)) for e in plan.endpoints]
    admitted = tuple(endpoint for endpoint, verdict in verdicts if verdict is None)
    ways = tuple(endpoint for endpoint in admitted if not is_lost(endpoint.host))
    if ways:
        return Admission(ways)
    if admitted:
        return Obstacle(Hindrance.OWN_NETWORK_DOWN, again_at=now + LOST_PATH_REST)
    return max((v for _, v in verdicts if v is not None), key=lambda v: _NEARNESS.index(v.word))


def contactable(
    plan: SourcePlan, judgement: LocationJudgement, networks: Networks, now: datetime
) -> EndpointPlan | None:
    """Return the first endpoint that may be asked OPTIONS without a credential, or None.

    A source that is not relayed, because its location is not attested or an operator switched its relay off, may
    still be asked whether it is there; one that the law forbids is left alone.
    """
    if isinstance(judgement, Forbidden):
        return None
    # A device that registers is asked over its registration, for all its channels at once.
    askable = (e for e in plan.endpoints if e.protocol in (Speech.RTSP, Speech.RTSPS))
    return next((e for e in askable if _address_obstacle(e, networks, now) is None), None)


def _location_obstacle(judgement: LocationJudgement) -> Obstacle | None:
    match judgement:
        case Permitted():
            return None
        case Unattested():
            return Obstacle(Hindrance.LOCATION_UNATTESTED)
        case Forbidden():
            cited = tuple(requirement.id for requirement in judgement.requirements)
            return Obstacle(Hindrance.LOCATION_FORBIDDEN, cited)
        case NeedsPerson():
            cited = tuple(requirement.id for requirement in judgement.requirements)
            return Obstacle(Hindrance.LOCATION_NEEDS_PERSON, cited)
        case _:
            assert_never(judgement)


def _address_obstacle(endpoint: EndpointPlan, networks: Networks, now: datetime) -> Hindrance | None:
    if not endpoint.is_confirmed:
        return Hindrance.NOT_CONFIRMED
    if endpoint.protocol is Speech.GB28181:
        # Nobody went looking for it: it registered by itself and proved the password that a person gave it.
        return None
    if networks.covers(endpoint.host, now) is None:
        return Hindrance.NETWORK_NOT_AUTHORISED
    return None


def _endpoint_obstacle(
    endpoint: EndpointPlan, resting: dict[int, EndpointPlan], networks: Networks, now: datetime
) -> Obstacle | None:
    hindrance = _address_obstacle(endpoint, networks, now)
    if hindrance is not None:
        return Obstacle(hindrance)
    obstacle = _credential_obstacle(endpoint, resting, now)
    if obstacle is None and endpoint.protocol is Speech.ONVIF:
        # It is asked, not pulled: its stream gets an endpoint of its own.
        return Obstacle(
            Hindrance.AUTHENTICATION_FAILED if _is_refused(endpoint) else Hindrance.STREAM_UNKNOWN
        )
    return obstacle


def _credential_obstacle(
    endpoint: EndpointPlan, resting: dict[int, EndpointPlan], now: datetime
) -> Obstacle | None:
    if endpoint.credential is None:
        return None
    if not endpoint.credential.is_stored:
        return Obstacle(Hindrance.CREDENTIAL_MISSING)
    refused = resting.get(endpoint.credential.credential_id)
    return None if refused is None else _refusal_obstacle(endpoint, refused, now)


def _refusal_obstacle(endpoint: EndpointPlan, refused: EndpointPlan, now: datetime) -> Obstacle | None:
    if (refused.host, refused.port) != (endpoint.host, endpoint.port):
        # A credential that one device refused is never tried on another by itself.
        return Obstacle(Hindrance.AUTHENTICATION_FAILED)
    again_at = _rests_until(endpoint)
    # A refusal from the future was noted before somebody set the clock back: it must not rest for a year.
    if again_at is not None and now < again_at <= now + CREDENTIAL_REST + CLOCK_TOLERANCE:
        return Obstacle(Hindrance.AUTHENTICATION_FAILED, again_at=again_at)
    return None


def _resting_credentials(endpoints: Iterable[EndpointPlan]) -> dict[int, EndpointPlan]:
    """Return for each credential that was refused in its present version the first endpoint that refused it.

    An ONVIF service says nothing about streams: cameras keep other users for it, and its refusal is its own.
    """
    found: dict[int, EndpointPlan] = {}
    for endpoint in endpoints:
        if endpoint.credential is None or endpoint.protocol is Speech.ONVIF:
            continue
        if _is_refused(endpoint):
            found.setdefault(endpoint.credential.credential_id, endpoint)
    return found


def _is_refused(endpoint: EndpointPlan) -> bool:
    credential = endpoint.credential
    return (
        credential is not None
        and endpoint.refusals > 0
        and endpoint.refused_at is not None
        and endpoint.refused_version == credential.version
    )


def _rests_until(endpoint: EndpointPlan) -> datetime | None:
    if endpoint.refused_at is None or endpoint.refusals < MOST_REFUSALS or not _is_refused(endpoint):
        return None
    return endpoint.refused_at + CREDENTIAL_REST
