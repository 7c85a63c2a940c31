"""Devices kept open between commands: a device's clock and services need not be asked before each."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from adapters.onvif.client import OnvifDevice
from catalog.onvif_devices import DueDevice
from gateway.clock import Clock
from gateway.onvif.devices import OnvifDevices

KEPT_OPEN: Final = 60.0
"""Seconds; after them the catalog is asked again whose device it is and with which credential."""

MAX_OPEN: Final = 256


@dataclass(frozen=True)
class Opened:
    """A device of a source."""

    known: DueDevice
    device: OnvifDevice
    at: float
    "Monotonic seconds."

    def profile(self, *, with_ptz: bool = False) -> str | None:
        """Return the token of its first profile, or of the first that can be turned; None when there is none."""
        profiles = [] if self.known.report is None else self.known.report["profiles"]
        return next((each["token"] for each in profiles if each["has_ptz"] or not with_ptz), None)


class KeptOpen:
    """Opens devices and keeps the last `MAX_OPEN` of them for a while."""

    def __init__(self, devices: OnvifDevices, clock: Clock) -> None:
        self._devices = devices
        self._clock = clock
        self._open: OrderedDict[int, Opened] = OrderedDict()

    async def of_source(self, source_id: int) -> Opened:
        """Return the device of a source; raises as `OnvifDevices.of_source`."""
        now = self._clock.monotonic()
        opened = self._open.get(source_id)
        if opened is not None and now - opened.at < KEPT_OPEN:
            return opened
        known, device = await self._devices.of_source(source_id)
        opened = Opened(known, device, now)
        if known.report is None:
            # It was never interrogated: by the next command it may have been.
            return opened
        self._open[source_id] = opened
        self._open.move_to_end(source_id)
        if len(self._open) > MAX_OPEN:
            self._open.popitem(last=False)
        return opened

    def forget(self, source_id: int) -> None:
        """Open a device anew next time: it did not answer as one that is ready."""
        self._open.pop(source_id, None)
