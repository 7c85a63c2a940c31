"""Which networks may be asked: authorisation records and the one question put before every connection (CN-23.3).

Addresses only. A name is never authorised: whoever answers for the name's server could point it anywhere.
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias

from catalog.model.profile import Bilingual

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

PRIVATE_RANGES: Final[tuple[Network, ...]] = (
    ipaddress.ip_network("10.0.0.0/8"),
    ipaddress.ip_network("172.16.0.0/12"),
    ipaddress.ip_network("192.168.0.0/16"),
    ipaddress.ip_network("100.64.0.0/10"),
    ipaddress.ip_network("fc00::/7"),
)
"""What an authorisation may cover: RFC 1918, RFC 6598 (carriers' shared space) and RFC 4193 (ULA)."""

_LOOPBACK: Final[tuple[Network, ...]] = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
_LINK_LOCAL: Final[tuple[Network, ...]] = (
    ipaddress.ip_network("169.254.0.0/16"),
    ipaddress.ip_network("fe80::/10"),
)

_LONGEST_QUOTE: Final = 60


class NetworkRefused(ValueError):
    """Raised when a network cannot be authorised or swept.

    Attributes:
        reason: why, for the operator.
    """

    cause = "network_refused"

    def __init__(self, zh: str, en: str) -> None:
        super().__init__(en)
        self.reason = Bilingual(zh, en)


@dataclass(frozen=True, slots=True)
class Authorisation:
    """One record: who may ask which network, until when, and who allowed it."""

    network_id: int
    network: Network
    document: str
    "Number or title of the document that allows it."
    approver: str
    authorised_by: str
    "Who entered the record."
    authorised_at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None

    def is_live(self, at: datetime) -> bool:
        """Tell whether it holds at the present instant `at`: not revoked, and before its expiry.

        Entry and revocation are facts, not instants to wait for: a clock that was set back must neither suspend a
        record nor revive a revoked one.
        """
        return self.revoked_at is None and at < self.expires_at

    def contains(self, network: Network) -> bool:
        """Tell whether `network` lies wholly inside, whatever the time."""
        return is_inside(network, self.network)


class AuthorisedNetworks:
    """A set of authorisation records held in memory, asked before every connection.

    The cost of a question grows with the number of different prefix lengths, not of records. A record of a
    network that `refuse_public` refuses covers nothing, however it came into the catalog.
    """

    def __init__(self, authorisations: Iterable[Authorisation] = ()) -> None:
        self._by_network: dict[Network, list[Authorisation]] = {}
        for authorisation in authorisations:
            if may_be_authorised(authorisation.network):
                self._by_network.setdefault(authorisation.network, []).append(authorisation)
        lengths = {(network.version, network.prefixlen) for network in self._by_network}
        # The longest prefix first: the most specific record answers.
        self._lengths = sorted(lengths, key=lambda pair: -pair[1])

    def __len__(self) -> int:
        return sum(len(same) for same in self._by_network.values())

    def covers(self, host: str, at: datetime) -> Authorisation | None:
        """Return the live record that covers the address `host`, or None: then nothing may be sent there.

        The most specific network answers, of several records the one that lasts longest. Names, scoped and
        IPv4-mapped addresses are covered by nothing.

        Args:
            host: an IP address as text.
            at: the present instant, timezone-aware.
        """
        try:
            address = parse_address(host)
        except ValueError:
            return None
        return self.covering(ipaddress.ip_network(address), at)

    def covering(self, network: Network, at: datetime) -> Authorisation | None:
        """Return the one live record that covers the whole of `network`, or None."""
        for version, length in self._lengths:
            if version != network.version or length > network.prefixlen:
                continue
            live = [a for a in self._by_network.get(network.supernet(new_prefix=length), ()) if a.is_live(at)]
            if live:
                return max(live, key=lambda a: (a.expires_at, a.network_id))
        return None

    def ended(self, network: Network, at: datetime) -> Authorisation | None:
        """Return the record that covered `network` and ended last, to tell an operator what to renew, or None."""
        gone = [
            authorisation
            for same in self._by_network.values()
            for authorisation in same
            if authorisation.contains(network) and not authorisation.is_live(at)
        ]
        return max(gone, key=lambda a: (a.revoked_at or a.expires_at, a.network_id), default=None)


def is_inside(network: Network, outer: Network) -> bool:
    """Tell whether `network` lies wholly in `outer`, across IP versions too."""
    if isinstance(network, ipaddress.IPv4Network) and isinstance(outer, ipaddress.IPv4Network):
        return network.subnet_of(outer)
    if isinstance(network, ipaddress.IPv6Network) and isinstance(outer, ipaddress.IPv6Network):
        return network.subnet_of(outer)
    return False


def parse_address(host: str) -> Address:
    """Return the IP address `host`.

    Raises:
        ValueError: a name, a scoped address (`fd00::1%eth0`), or an IPv4 address written as IPv6: the system
            would connect to another address than the one that was checked. The text is not repeated: a whole URL
            with a password in it may have been given.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        raise ValueError("a host is an IP address, without scheme, port or user") from None
    if isinstance(address, ipaddress.IPv6Address) and (address.scope_id or address.ipv4_mapped):
        raise ValueError("write a plain address, without interface and not IPv4 inside IPv6")
    return address


def parse_network(text: str) -> Network:
    """Return the network `text`, e.g. `10.1.2.0/24`, or a single address.

    Raises:
        NetworkRefused: not a network in CIDR form, or with bits set after its prefix.
    """
    text = text.strip()
    # A whole URL may hold a password.
    shown = "…" if "@" in text else text[:_LONGEST_QUOTE]
    try:
        loose = ipaddress.ip_network(text, strict=False)
    except ValueError:
        zh = f"「{shown}」不是网段：请写 IP 地址或 CIDR，例如 10.1.2.0/24；不接受主机名"
        en = f"{shown!r} is no network: write an IP address or CIDR, e.g. 10.1.2.0/24; names are not accepted"
        raise NetworkRefused(zh, en) from None
    if "%" in text:
        raise NetworkRefused(f"「{shown}」:请去掉接口名", f"{shown!r}: leave the interface out")
    if str(loose.network_address) != str(ipaddress.ip_address(text.partition("/")[0])):
        zh = f"「{shown}」的主机位不为零：是否指 {loose}？"
        raise NetworkRefused(zh, f"{shown!r} has bits set after its prefix: did you mean {loose}?")
    return loose


def may_be_authorised(network: Network) -> bool:
    """Tell whether `refuse_public` lets `network` pass."""
    try:
        refuse_public(network)
    except NetworkRefused:
        return False
    return True


def refuse_public(cidr: str | Network) -> Network:
    """Return the network, provided that it may be authorised at all.

    Allowed are `PRIVATE_RANGES` and single loopback addresses: the rest of loopback is this machine's own.
    Public ranges are refused because their owner cannot be told from a record of ours. So are link-local
    ones: the same address means another device on every link, so no record can say which, and clouds keep
    their metadata there.

    Raises:
        NetworkRefused: with the reason.
    """
    network = parse_network(cidr) if isinstance(cidr, str) else cidr
    if any(is_inside(network, allowed) for allowed in PRIVATE_RANGES):
        return network
    if any(network.overlaps(loopback) for loopback in _LOOPBACK):
        if network.num_addresses == 1:
            return network
        raise NetworkRefused(
            f"{network}：本机回环地址只能逐个授权（例如 127.0.0.1/32）",
            f"{network}: this machine's loopback is authorised one address at a time, e.g. 127.0.0.1/32",
        )
    if any(network.overlaps(local) for local in _LINK_LOCAL):
        raise NetworkRefused(
            f"{network}：链路本地地址在每条链路上指不同设备，不能授权",
            f"{network}: a link-local address means another device on every link, so it cannot be authorised",
        )
    ranges = ", ".join(str(allowed) for allowed in PRIVATE_RANGES)
    raise NetworkRefused(
        f"{network}：不在专用地址范围内（{ranges}），不能授权",
        f"{network}: not inside one private range ({ranges}), so it cannot be authorised",
    )
