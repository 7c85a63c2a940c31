"""The devices that may register, as the catalog has them; the one place where their passwords are unlocked."""

import logging
from collections.abc import Iterable

from catalog.credentials import Vault
from catalog.errors import CredentialUnreadable
from catalog.gb_devices import GbDevice
from catalog.model.secret import Secret
from gateway.unlocking import unlock

logger = logging.getLogger(__name__)


class DeviceAccounts:
    """What the registrar asks; `take` follows the catalog."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._devices: dict[str, GbDevice] = {}

    def take(self, devices: Iterable[GbDevice]) -> tuple[list[GbDevice], list[str]]:
        """Take in every account of the gateway; return those that are new and the codes of those that are gone."""
        before, self._devices = self._devices, {each.device_id: each for each in devices}
        new = [each for code, each in self._devices.items() if code not in before]
        return new, [code for code in before if code not in self._devices]

    def get(self, device_id: str) -> GbDevice | None:
        """Return an account as last read, or None."""
        return self._devices.get(device_id)

    def knows(self, device_id: str) -> bool:
        """Return whether there is an account."""
        return device_id in self._devices

    def password(self, device_id: str) -> Secret | None:
        """Return the password of a device; None where nobody typed one or it cannot be read."""
        device = self._devices.get(device_id)
        try:
            credential = None if device is None else unlock(self._vault, device.credential)
        except CredentialUnreadable as error:
            logger.warning("device %s: %s", device_id, error, extra={"action": "credential_unreadable"})
            return None
        return None if credential is None else credential.password
