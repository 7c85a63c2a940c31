"""What a sweep will ask, and how fast: no socket, no task, no clock.

A plan exists only under a live authorisation record (CN-23.3); without one it is refused with what to do.
"""

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from catalog.model.network import (
    Authorisation,
    AuthorisedNetworks,
    Network,
    NetworkRefused,
    parse_network,
    refuse_public,
)
from catalog.model.profile import Bilingual

MAX_PORTS: Final = 16
"""Ports of one sweep."""

_IPV6_OFFSET: Final = 96
"""An IPv6 network of prefix length n + 96 has as many addresses as an IPv4 network of n."""


class SweepRefused(ValueError):
    """Raised when a sweep may not begin; nothing was sent.

    Attributes:
        cause: `network_refused`, `too_wide`, `not_authorised`, `ports_invalid`, `busy` or `not_started`.
        reason: why and what to do, for the operator.
    """

    def __init__(self, cause: str, zh: str, en: str) -> None:
        super().__init__(en)
        self.cause = cause
        self.reason = Bilingual(zh, en)


@dataclass(frozen=True)
class SweepRequest:
    """What somebody wants swept."""

    cidr: str
    requested_by: str
    "The person, for the log."
    ports: tuple[int, ...] | None = None
    "None means the configured ones."


@dataclass(frozen=True)
class SweepPlan:
    """A sweep that may begin now."""

    network: Network
    authorisation: Authorisation
    ports: tuple[int, ...]
    requested_by: str

    @property
    def total(self) -> int:
        """Return how many questions it is: one per address and port."""
        return self.network.num_addresses * len(self.ports)

    def targets(self) -> Iterator[tuple[str, int]]:
        """Yield address and port of every question.

        All addresses on one port, then all on the next, so that no device is asked twice in a row. The first
        and last address are asked too: a sweep may be a part of a wider subnet, where they are hosts.
        """
        for port in self.ports:
            for address in self.network:
                yield str(address), port


def plan_sweep(
    request: SweepRequest,
    networks: AuthorisedNetworks,
    *,
    at: datetime,
    default_ports: tuple[int, ...],
    max_prefix: int = 20,
) -> SweepPlan:
    """Return the plan of a sweep.

    Args:
        request: what is wanted.
        networks: the authorisation records.
        at: now, UTC.
        default_ports: where the request names none.
        max_prefix: the widest IPv4 network, as a prefix length; for IPv6 96 is added.

    Raises:
        SweepRefused: it may not begin, and what to do.
    """
    ports = tuple(dict.fromkeys(default_ports if request.ports is None else request.ports))
    if not 1 <= len(ports) <= MAX_PORTS or not all(1 <= port <= 65535 for port in ports):
        raise SweepRefused(
            "ports_invalid",
            f"端口须为 1 至 {MAX_PORTS} 个，范围 1–65535",
            f"give 1 to {MAX_PORTS} ports between 1 and 65535",
        )
    try:
        network = refuse_public(parse_network(request.cidr))
    except NetworkRefused as error:
        raise SweepRefused("network_refused", error.reason.zh, error.reason.en) from error
    widest = max_prefix + (_IPV6_OFFSET if isinstance(network, ipaddress.IPv6Network) else 0)
    if network.prefixlen < widest:
        raise SweepRefused(
            "too_wide",
            f"{network} 过大：一次最多 /{widest}，请分次进行",
            f"{network} is too wide: one sweep is /{widest} at most, ask for parts of it",
        )
    authorisation = networks.covering(network, at)
    if authorisation is None:
        raise _not_authorised(network, networks, at)
    return SweepPlan(network, authorisation, ports, request.requested_by)


def _not_authorised(network: Network, networks: AuthorisedNetworks, at: datetime) -> SweepRefused:
    zh, en = f"{network} 没有有效的授权记录", f"no live authorisation record covers {network}"
    last = networks.ended(network, at)
    if last is not None and last.revoked_at is not None and last.revoked_at <= at:
        zh += f"（第 {last.network_id} 号记录已撤销）"
        en += f" (record {last.network_id} was revoked)"
    elif last is not None and last.expires_at <= at:
        zh += f"（第 {last.network_id} 号记录已于 {last.expires_at:%Y-%m-%d} 到期）"
        en += f" (record {last.network_id} expired on {last.expires_at:%Y-%m-%d})"
    return SweepRefused(
        "not_authorised",
        f"{zh}。请先登记批准文件：muster network authorise {network}",
        f"{en}: enter the document that allows it first, with muster network authorise {network}",
    )


class Pace:
    """Spread questions evenly: at most `rate` a second, without bursts. Sans-IO: `now` is handed in."""

    def __init__(self, rate: float) -> None:
        """Set the rate, in questions a second; it must be above 0."""
        if rate <= 0:
            raise ValueError("the rate must be above 0")
        self._interval = 1.0 / rate
        self._free_at = float("-inf")

    def reserve(self, now: float) -> float:
        """Take the next free instant and return the seconds until then.

        Args:
            now: monotonic seconds; never smaller than before.
        """
        at = max(now, self._free_at)
        self._free_at = at + self._interval
        return at - now
