"""The limits of what is pulled, what a pull claims of them, and how a shortage is told; pure values."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Final

from catalog.model.profile import Bilingual


class Priority(IntEnum):
    """Who goes before whom."""

    VERIFICATION = 1
    "A source that never connected is looked at; it comes again, whenever that is."
    ON_DEMAND = 2
    "Somebody asked for it and waits."
    DUTY = 3
    "Connected and always on: its absence is what the decree forbids."


class Limit(StrEnum):
    """The limits; their words are obstacles of the status and the API."""

    PULLS = "pull_limit"
    BANDWIDTH = "bandwidth_limit"
    NETWORK_BANDWIDTH = "network_bandwidth_limit"


SETTINGS: Final[Mapping[Limit, str]] = MappingProxyType(
    {
        Limit.PULLS: "max_pulls",
        Limit.BANDWIDTH: "max_bandwidth",
        Limit.NETWORK_BANDWIDTH: "max_network_bandwidth",
    }
)
"""The key in `[relay]` of each limit."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What may be pulled at once; 0 is no limit."""

    pulls: int = 0
    bandwidth: int = 0
    "Bits a second, of all pulls together."
    network_bandwidth: int = 0
    "Bits a second, of the pulls from one authorised network."


@dataclass(frozen=True, slots=True)
class Claim:
    """What one pull asks for."""

    priority: Priority
    network: str
    "The authorised network it goes to, in CIDR form."
    bitrate: int
    "Bits a second that are expected of it."


@dataclass(frozen=True, slots=True)
class Shortage:
    """Why a claim finds no room."""

    limit: Limit
    most: int
    "The limit: pulls, or bits a second."
    used: int
    "What is taken of it already."
    asked: int
    "What was asked for beyond that; 0 where a pull that ran already was ended."
    network: str = ""
    "Of which network, in CIDR form; empty for a limit of the whole gateway."

    def explain(self) -> Bilingual:
        """Return what is short, by which numbers, and what an operator can do."""
        setting = SETTINGS[self.limit]
        if self.limit is Limit.PULLS:
            return Bilingual(
                f"拉流数量已达上限：{self.used} / {self.most} 路。可停止其他按需转发、稍后重试，"
                f"或调高 [relay] {setting}。",
                f"All pulls are taken: {self.used} of {self.most}. Stop a relay on demand, try again later, "
                f"or raise [relay] {setting}.",
            )
        where = f"网络 {self.network} " if self.network else ""
        of = f" of the network {self.network}" if self.network else ""
        used, most, asked = _mbit(self.used), _mbit(self.most), _mbit(self.asked)
        zh = f"，另需 {asked} Mbit/s" if self.asked else ""
        en = f", and {asked} more are needed" if self.asked else ""
        return Bilingual(
            f"{where}带宽不足：已占用 {used} / {most} Mbit/s{zh}。"
            f"可停止其他按需转发、稍后重试，或调高 [relay] {setting}。",
            f"The bandwidth{of} does not suffice: {used} of {most} Mbit/s are taken{en}. "
            f"Stop a relay on demand, try again later, or raise [relay] {setting}.",
        )


def _mbit(bits: int) -> str:
    return f"{bits / 1e6:.1f}"
