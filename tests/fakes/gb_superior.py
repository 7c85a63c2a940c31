"""A superior that listens on loopback for devices of known passwords, and notes what happens."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from adapters.gb28181.channels import ChannelNews
from adapters.gb28181.registration import Refused, RegistrationRules
from adapters.gb28181.superior import Alarm, Keepalive, Presence, Superior
from adapters.sip.endpoint import Listening
from catalog.model.secret import Secret

OWN_ID = "34020000002000000001"
DOMAIN = "3402000000"
PASSWORD = "Example-Pass-1"


class Accounts:
    """Devices and their passwords; None is an account without one."""

    def __init__(self, passwords: dict[str, str | None]) -> None:
        self.passwords = passwords

    def knows(self, device_id: str) -> bool:
        return device_id in self.passwords

    def password(self, device_id: str) -> Secret | None:
        text = self.passwords.get(device_id)
        return None if text is None else Secret(text)


@dataclass
class Noted:
    """A listener that notes everything in order."""

    registrations: list[tuple[Presence, bool]] = field(default_factory=list)
    leaves: list[tuple[str, str]] = field(default_factory=list)
    refusals: list[Refused] = field(default_factory=list)
    lives: list[str] = field(default_factory=list)
    keepalives: list[tuple[str, Keepalive]] = field(default_factory=list)
    told: list[tuple[str, ChannelNews]] = field(default_factory=list)
    alarms: list[Alarm] = field(default_factory=list)
    positions: list[dict[str, str]] = field(default_factory=list)

    def registered(self, presence: Presence, *, anew: bool) -> None:
        self.registrations.append((presence, anew))

    def left(self, device_id: str, why: str) -> None:
        self.leaves.append((device_id, why))

    def refused(self, refused: Refused) -> None:
        self.refusals.append(refused)

    def alive(self, presence: Presence) -> None:
        self.lives.append(presence.device_id)

    def keepalive(self, presence: Presence, keepalive: Keepalive) -> None:
        self.keepalives.append((presence.device_id, keepalive))

    def news(self, presence: Presence, news: Sequence[ChannelNews]) -> None:
        self.told += [(presence.device_id, each) for each in news]

    def alarm(self, presence: Presence, alarm: Alarm) -> None:
        self.alarms.append(alarm)

    def position(self, presence: Presence, fields: dict[str, str]) -> None:
        self.positions.append(fields)


@dataclass
class Listened:
    """A superior with what it noted."""

    superior: Superior
    noted: Noted

    @property
    def udp_port(self) -> int:
        return self.superior.endpoint.udp_ports[0]

    @property
    def tcp_port(self) -> int:
        return self.superior.endpoint.tcp_ports[0]


@asynccontextmanager
async def listening(
    passwords: dict[str, str | None], rules: RegistrationRules | None = None
) -> AsyncIterator[Listened]:
    """Listen on loopback, over UDP and TCP, on ports that the kernel chooses."""
    noted = Noted()
    rules = rules or RegistrationRules(realm=DOMAIN)
    superior = Superior(OWN_ID, Accounts(passwords), rules, noted, lambda: datetime.now(UTC))
    await superior.listen(Listening((("127.0.0.1", 0),), (("127.0.0.1", 0),)))
    try:
        yield Listened(superior, noted)
    finally:
        await superior.close()
