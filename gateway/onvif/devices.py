"""The door to the ONVIF devices of sources: the matched device, its own credential, inside authorised networks."""

from typing import Final

from adapters.base import OnvifTarget, TlsPolicy
from adapters.onvif.client import OnvifClients, OnvifDevice
from catalog.credentials import Vault
from catalog.database import Database
from catalog.model.network import AuthorisedNetworks
from catalog.networks import load_authorised
from catalog.onvif_devices import DueDevice, due_devices
from gateway.clock import Clock
from gateway.unlocking import unlock

HTTPS_PORT: Final = 443


class NoDevice(Exception):
    """Raised when a source has no ONVIF device that may be asked.

    Attributes:
        cause: `no_onvif_device` or `network_not_authorised`.
    """

    def __init__(self, cause: str, message: str) -> None:
        super().__init__(message)
        self.cause = cause


class OnvifDevices:
    """Opens devices.

    Args:
        database: the catalog.
        gateway_id: whose sources.
        clients: what all devices share; open.
        vault: unlocks their credentials.
        clock: tells the time.
    """

    def __init__(
        self, database: Database, gateway_id: str, clients: OnvifClients, vault: Vault, clock: Clock
    ) -> None:
        self._database = database
        self._gateway_id = gateway_id
        self._clients = clients
        self._vault = vault
        self._clock = clock
        self._networks = AuthorisedNetworks()

    async def refresh(self) -> None:
        """Read the authorisations anew; what is asked from then on follows them.

        Raises:
            DatabaseAway: no answer.
        """
        self._networks = await load_authorised(self._database)

    def may_reach(self, host: str) -> bool:
        """Tell whether the IP address `host` lies in a live authorised network now."""
        return self._networks.covers(host, self._clock.now()) is not None

    def open(self, device: DueDevice) -> OnvifDevice:
        """Return the device with its own credential; nothing is sent yet.

        Raises:
            CredentialUnreadable: the credential cannot be unlocked.
        """
        is_tls = device.tls_pin_sha256 is not None or device.port == HTTPS_PORT
        tls = TlsPolicy(pin_sha256=device.tls_pin_sha256) if is_tls else None
        target = OnvifTarget(device.host, device.port, device.path, tls)
        return self._clients.device(target, unlock(self._vault, device.credential), may_reach=self.may_reach)

    async def of_source(self, source_id: int) -> tuple[DueDevice, OnvifDevice]:
        """Return the device of a source, for an operator's command.

        Raises:
            NoDevice: there is none, or it lies outside the authorised networks.
            CredentialUnreadable: its credential cannot be unlocked.
            DatabaseAway: no answer.
        """
        await self.refresh()
        found = await due_devices(self._database, self._gateway_id, at=self._clock.now(), source_id=source_id)
        if not found:
            raise NoDevice("no_onvif_device", f"source {source_id} has no confirmed ONVIF device")
        reachable = [device for device in found if self.may_reach(device.host)]
        if not reachable:
            raise NoDevice(
                "network_not_authorised", f"the device at {found[0].host} lies in no authorised network"
            )
        # Of several the one that answered last.
        best = max(reachable, key=lambda device: (device.report is not None, -device.failures))
        return best, self.open(best)
