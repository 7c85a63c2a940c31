"""Keeps one wrong password from being tried again and again: per device, not per channel of it.

In memory, ahead of what the catalog holds; the catalog's counters carry it over a restart.
"""

from dataclasses import replace
from datetime import datetime

from catalog.model.plan import EndpointPlan, SourcePlan
from gateway.enrolment.pull import DeviceKey, device_key


class Refusals:
    """What each device said to the credential that is stored for it."""

    def __init__(self) -> None:
        self._counts: dict[DeviceKey, tuple[int, int, datetime | None]] = {}
        "Version, refusals in a row, when last."
        self._accepted: dict[DeviceKey, int] = {}
        "The version that the device took last."
        self._trying: dict[DeviceKey, int] = {}
        "The one source through which a credential is tried that the device has not taken yet."

    def refused(self, endpoint: EndpointPlan, count: int, at: datetime) -> None:
        """Note `count` refusals at `at` (UTC)."""
        key = device_key(endpoint)
        if key is None or endpoint.credential is None:
            return
        version = endpoint.credential.version
        known, before, _ = self._counts.get(key, (endpoint.refused_version, endpoint.refusals, None))
        self._counts[key] = (version, (before if known == version else 0) + count, at)
        self._accepted.pop(key, None)

    def accepted(self, endpoint: EndpointPlan) -> bool:
        """Note that the device took the credential; return whether it had refused it before."""
        key = device_key(endpoint)
        if key is None or endpoint.credential is None:
            return False
        version = endpoint.credential.version
        _, before, _ = self._counts.get(key, (endpoint.refused_version, endpoint.refusals, None))
        self._counts[key] = (version, 0, None)
        self._accepted[key] = version
        self._trying.pop(key, None)
        return before > 0

    def merged(self, plan: SourcePlan) -> SourcePlan:
        """Return `plan` with what is known here and not yet read back from the catalog."""
        endpoints = tuple(self._merged(endpoint) for endpoint in plan.endpoints)
        return plan if endpoints == plan.endpoints else replace(plan, endpoints=endpoints)

    def _merged(self, endpoint: EndpointPlan) -> EndpointPlan:
        key = device_key(endpoint)
        if key is None or endpoint.credential is None or key not in self._counts:
            return endpoint
        version, count, at = self._counts[key]
        if version < endpoint.credential.version:
            return endpoint
        return replace(endpoint, refusals=count, refused_at=at, refused_version=version)

    def may_try(self, endpoint: EndpointPlan, source_id: int) -> bool:
        """Tell whether `source_id` may send the credential now.

        One the device has not taken yet is tried through one source at a time: the sixteen channels of a recorder
        would otherwise lock its account together before the first refusal is heard.
        """
        key = device_key(endpoint)
        if key is None or endpoint.credential is None:
            return True
        if self._accepted.get(key) == endpoint.credential.version:
            return True
        return self._trying.setdefault(key, source_id) == source_id

    def left(self, endpoint: EndpointPlan, source_id: int) -> None:
        """Note that `source_id` tries no longer."""
        key = device_key(endpoint)
        if key is not None and self._trying.get(key) == source_id:
            del self._trying[key]
