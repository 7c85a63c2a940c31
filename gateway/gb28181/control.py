"""Devices of GB/T 28181 as the desk turns them: PTZCmd, presets, a key picture wanted (2022, A.2.3.1 and A.3)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from adapters.errors import RequestRefused
from adapters.gb28181 import ptz
from adapters.gb28181.superior import Superior
from adapters.onvif.report import PanTilt, Preset, PtzStatus
from gateway.onvif.devices import NoDevice

NOT_IMPLEMENTED = 501
MOST_LISTED = 256


class ControlledDevice:
    """One registered device; `profile` is the code of its channel.

    A continuous movement never ends by itself there: the desk sends the stop, repeated until it is taken.
    """

    def __init__(self, superior: Superior, device_id: str) -> None:
        self._superior = superior
        self._device_id = device_id

    async def continuous_move(self, profile: str, velocity: PanTilt, *, stop_after: float) -> None:  # noqa: ARG002
        """Begin to move."""
        await self._ptz(profile, ptz.move(velocity.pan or 0.0, velocity.tilt or 0.0, velocity.zoom or 0.0))

    async def stop(self, profile: str) -> None:
        """Stop every movement."""
        await self._ptz(profile, ptz.STOP)

    async def presets(self, profile: str) -> Sequence[Preset]:
        """Return the stored positions."""
        answer = await self._superior.query(self._device_id, "PresetQuery", profile)
        listed = answer.child("PresetList")
        items = [] if listed is None else list(listed.children("Item"))[:MOST_LISTED]
        return tuple(
            Preset(item.text("PresetID"), item.text("PresetName")) for item in items if item.text("PresetID")
        )

    async def go_to_preset(self, profile: str, preset: str) -> None:
        """Move to a stored position."""
        await self._preset(profile, ptz.CALL, preset)

    async def set_preset(self, profile: str, name: str) -> str:
        """Store the present position under the number that is its name."""
        await self._preset(profile, ptz.SET, name)
        return name

    async def remove_preset(self, profile: str, preset: str) -> None:
        """Forget a stored position."""
        await self._preset(profile, ptz.DELETE, preset)

    async def set_synchronization_point(self, profile: str) -> None:
        """Ask for a key picture, in the spelling of the device's version: that of 2016 is a slip that stayed."""
        presence = self._superior.reachable(self._device_id)
        name = "IFrameCmd" if presence.version == "3.0" else "IFameCmd"
        await self._superior.control(self._device_id, profile, ((name, "Send"),))

    async def absolute_move(self, profile: str, position: PanTilt) -> None:  # noqa: ARG002 - always refused
        """Refuse: only few devices of 2022 know PTZPreciseCtrl."""
        raise self._unknown("absolute movements")

    async def relative_move(self, profile: str, translation: PanTilt) -> None:  # noqa: ARG002 - always refused
        """Refuse: there is none."""
        raise self._unknown("relative movements")

    async def go_to_home(self, profile: str) -> None:  # noqa: ARG002 - always refused
        """Refuse: its home position is a preset to which it returns by itself."""
        raise self._unknown("a home position to go to")

    async def set_home(self, profile: str) -> None:  # noqa: ARG002 - always refused
        """Refuse: it is a setting of the device, and none is changed from here."""
        raise self._unknown("a home position to be set")

    async def ptz_status(self, profile: str) -> PtzStatus:  # noqa: ARG002 - always refused
        """Refuse: where it looks is told by few devices of 2022."""
        raise self._unknown("a position to be asked for")

    def _unknown(self, what: str) -> RequestRefused:
        return RequestRefused(
            f"GB/T 28181 devices have no {what}", peer=self._device_id, status=NOT_IMPLEMENTED
        )

    async def _preset(self, profile: str, code: int, text: str) -> None:
        try:
            number = int(text)
            command = ptz.preset(code, number)
        except ValueError:
            raise RequestRefused(
                f"a preset of a GB/T 28181 device is a number from 1 to {ptz.MOST_PRESETS}",
                peer=self._device_id,
                status=400,
            ) from None
        await self._ptz(profile, command)

    async def _ptz(self, profile: str, command: str) -> None:
        await self._superior.control(self._device_id, profile, (("PTZCmd", command),))


@dataclass(frozen=True)
class Controlled:
    """A channel that is ready to be turned."""

    device: ControlledDevice
    channel_id: str

    def profile(self, *, with_ptz: bool = False) -> str | None:  # noqa: ARG002 - catalogs tell it too seldom to refuse
        """Return the code of the channel."""
        return self.channel_id


class ControlledDevices:
    """The devices of sources that come over GB/T 28181.

    Args:
        superior: where they are registered.
        way_of: returns device and channel of a source, None where it comes another way.
    """

    def __init__(self, superior: Superior, way_of: Callable[[int], tuple[str, str] | None]) -> None:
        self._superior = superior
        self._way_of = way_of

    async def of_source(self, source_id: int) -> Controlled:
        """Return the device of a source.

        Raises:
            NoDevice: it comes over none.
        """
        way = self._way_of(source_id)
        if way is None:
            raise NoDevice("no_device", f"source {source_id} comes over no device that registers")
        device_id, channel_id = way
        return Controlled(ControlledDevice(self._superior, device_id), channel_id)

    def forget(self, source_id: int) -> None:
        """Do nothing: nothing is kept."""
