"""ONVIF in the gateway, whole: who announces itself, who is interrogated, who is turned."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from adapters.onvif.client import OnvifClients
from catalog.credentials import Vault
from catalog.database import Database
from gateway.clock import Clock
from gateway.config import Config
from gateway.interfaces import LinuxKernel
from gateway.onvif.announcements import AnnouncementRules, Announcements, Surroundings
from gateway.onvif.devices import OnvifDevices
from gateway.onvif.interrogation import Interrogation, InterrogationRules
from gateway.onvif.kept_open import KeptOpen
from gateway.onvif.key_frames import KeyFrames
from gateway.onvif.ptz_desk import PtzCommand, PtzDesk, PtzView
from gateway.status import StatusService
from gateway.turning import FirstOf, Turnables


@dataclass(frozen=True)
class Outside:
    """What of the gateway this part works with."""

    database: Database
    vault: Vault
    status: StatusService
    clock: Clock
    others: Turnables | None = None
    "Devices of other protocols that are turned at the same desk; asked first."


class OnvifService:
    """The parts and their work; for the API also the desk at which devices are asked and turned."""

    def __init__(self, outside: Outside, clients: OnvifClients, config: Config) -> None:
        database, clock, status = outside.database, outside.clock, outside.status
        gateway_id, onvif = config.gateway.id, config.onvif
        self._devices = OnvifDevices(database, gateway_id, clients, outside.vault, clock)
        self._interrogation = Interrogation(
            database,
            gateway_id,
            self._devices,
            status,
            clock,
            InterrogationRules(onvif.interrogate_interval, onvif.concurrency, onvif.clock_tolerance),
        )
        self._announcements = Announcements(
            Surroundings(database, clock, status, LinuxKernel().own_addresses, self._interrogation.wake),
            AnnouncementRules(onvif.interfaces, onvif.probe_interval, onvif.unicast_rate),
        )
        opened: Turnables = KeptOpen(self._devices, clock)
        if outside.others is not None:
            opened = FirstOf(outside.others, opened)
        self._ptz = PtzDesk(database, opened, clock)
        self._key_frames = KeyFrames(opened, clock)

    def works(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """Return what is to be kept running, by name."""
        return {
            "onvif devices": self._interrogation.run,
            "onvif announcements": self._announcements.run,
            "ptz": self._ptz.run,
            "key frames": self._key_frames.run,
        }

    def events(self) -> dict[str, int]:
        """Return how often what happened since the start, for the metrics."""
        counted = {f"datagram_{fate}": count for fate, count in self._announcements.fates.items()}
        return counted | {
            "announcement_dropped": self._announcements.dropped,
            "interrogation_answered": self._interrogation.answered,
            "interrogation_failed": self._interrogation.failed,
            "key_frame_asked": self._key_frames.asked,
            "key_frame_failed": self._key_frames.failed,
            "key_frame_dropped": self._key_frames.dropped,
        }

    def wake(self) -> None:
        """Look at devices and authorisations anew: the catalog changed."""
        self._interrogation.wake()
        self._announcements.wake()

    async def interrogate(self, source_id: int) -> None:
        """Interrogate the device of a source now; raises `NoDevice`."""
        device, _ = await self._devices.of_source(source_id)
        await self._interrogation.interrogate(device)

    def want_key_frame(self, source_id: int) -> None:
        """Have the camera of a source send a key picture soon: somebody waits for one."""
        self._key_frames.want(source_id)

    async def ptz_view(self, source_id: int) -> PtzView:
        """Return where the camera looks; raises `NoDevice` and `AdapterError`."""
        return await self._ptz.view(source_id)

    async def turn(self, source_id: int, command: PtzCommand, *, person: str, purpose: str) -> object:
        """Carry a command out; raises as `PtzDesk.command`."""
        return await self._ptz.command(source_id, command, person=person, purpose=purpose)
