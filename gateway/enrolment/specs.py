"""Builds what a relay worker is asked to do. The one place where a stored credential is unlocked for a pull."""

import re
from dataclasses import dataclass, replace
from typing import Final

from adapters.base import RtspTarget, SourceKey, TlsPolicy, Transport
from catalog.credentials import Vault
from catalog.model.plan import EndpointPlan, MediaWay, RelayMode, SourcePlan, StreamKind
from catalog.model.sighting import Protocol
from catalog.sinks import Sink
from gateway.relay.spec import Invitation, RelayBounds, RelaySpec, SinkSpec
from gateway.unlocking import unlock

_INVITED: Final = re.compile(
    r"/([0-9]{20})/([0-9]{2,20})\?media=(udp|tcp_passive|tcp_active)(?:&stream=(sub))?"
)

PullKey = tuple[object, ...]
"""Equal for two pulls that would be asked for the same thing; holds no secret."""


@dataclass(frozen=True)
class SpecBuilder:
    """Makes relay specifications.

    A credential goes into a specification only together with the endpoint that it belongs to, and the callers hand
    over only endpoints that `admit` let through: confirmed, in an authorised network, not refused.
    """

    vault: Vault
    bounds: RelayBounds
    verify_media: float = 10.0
    "Seconds of video a verification pull needs."
    media_address: str = "127.0.0.1"
    "Our address that the media of invited devices come to."

    def build(
        self, plan: SourcePlan, endpoint: EndpointPlan, sink: Sink | None, *, verify: bool
    ) -> RelaySpec:
        """Return the specification for pulling `plan` from `endpoint`.

        Raises:
            CredentialUnreadable: a stored credential cannot be unlocked with the present key.
            ValueError: the endpoint is not one of the plan's.
        """
        if endpoint.endpoint_id not in {each.endpoint_id for each in plan.endpoints}:
            raise ValueError(f"endpoint {endpoint.endpoint_id} does not lead to source {plan.source_id}")
        return RelaySpec(
            source_id=SourceKey(plan.source_id),
            source_code=plan.code,
            target=target_of(endpoint),
            credential=unlock(self.vault, endpoint.credential),
            transport=Transport(endpoint.transport),
            audio=plan.audio_enabled,
            allow_basic=plan.allow_basic,
            sink=None if sink is None else self._sink(sink, plan.code),
            on_demand=plan.relay_mode is RelayMode.ON_DEMAND,
            verify=self.verify_media if verify else 0.0,
            invitation=invitation_of(endpoint, self.media_address),
            bounds=self.bounds,
        )

    @property
    def patience(self) -> float:
        """Return how many seconds a verification may take: two windows of video, once it is there."""
        bounds = self.bounds
        return bounds.connect + bounds.handshake + bounds.first_media + 2 * self.verify_media + 30.0

    def _sink(self, sink: Sink, code: str) -> SinkSpec:
        tls = TlsPolicy(pin_sha256=sink.tls_pin_sha256) if sink.tls else None
        return SinkSpec(
            target=RtspTarget(sink.host, sink.port, sink.path_of(code), tls),
            credential=unlock(self.vault, sink.credential),
            allow_basic=sink.allow_basic,
        )


def target_of(endpoint: EndpointPlan) -> RtspTarget:
    """Return where `endpoint` leads, without any credential."""
    tls = TlsPolicy(pin_sha256=endpoint.tls_pin_sha256) if endpoint.protocol is Protocol.RTSPS else None
    return RtspTarget(endpoint.host, endpoint.port, endpoint.path, tls)


def invitation_of(endpoint: EndpointPlan, address: str) -> Invitation | None:
    """Return how a GB/T 28181 device is invited, None for an endpoint of another protocol.

    Raises:
        ValueError: its path is not `/<device>/<channel>?media=<way>`, `&stream=sub` behind it or not.
    """
    if endpoint.protocol is not Protocol.GB28181:
        return None
    match = _INVITED.fullmatch(endpoint.path)
    if match is None:
        raise ValueError(f"endpoint {endpoint.endpoint_id}: {endpoint.path!r} names no device and channel")
    return Invitation(match[1], match[2], MediaWay(match[3]), address, StreamKind(match[4] or "main"))


def pull_key(plan: SourcePlan, endpoint: EndpointPlan, sink: Sink | None) -> PullKey:
    """Return what a running pull depends on; when it changes, the pull begins anew."""
    # The refusals of an endpoint change nothing about the pull.
    address = replace(endpoint, refusals=0, refused_at=None, refused_version=None)
    return (plan.code, plan.audio_enabled, plan.allow_basic, plan.relay_mode, address, sink)
