"""What the desk that turns cameras, and whoever asks for a key picture, need of a device, whatever its protocol."""

from collections.abc import Sequence
from typing import Protocol

from adapters.onvif.report import PanTilt, Preset, PtzStatus
from gateway.onvif.devices import NoDevice


class Turnable(Protocol):
    """A device; `profile` names which of its pictures, by its own token. All raise `AdapterError`."""

    async def continuous_move(self, profile: str, velocity: PanTilt, *, stop_after: float) -> None:
        """Begin to move; a device that can stops by itself after `stop_after` seconds."""

    async def absolute_move(self, profile: str, position: PanTilt) -> None:
        """Move to `position`."""

    async def relative_move(self, profile: str, translation: PanTilt) -> None:
        """Move by `translation`."""

    async def stop(self, profile: str) -> None:
        """Stop every movement."""

    async def presets(self, profile: str) -> Sequence[Preset]:
        """Return the stored positions."""
        ...

    async def go_to_preset(self, profile: str, preset: str) -> None:
        """Move to a stored position."""

    async def set_preset(self, profile: str, name: str) -> str:
        """Store the present position and return its token."""
        ...

    async def remove_preset(self, profile: str, preset: str) -> None:
        """Forget a stored position."""

    async def go_to_home(self, profile: str) -> None:
        """Move to the home position."""

    async def set_home(self, profile: str) -> None:
        """Make the present position the home position."""

    async def ptz_status(self, profile: str) -> PtzStatus:
        """Return where the camera looks and whether it moves."""
        ...

    async def set_synchronization_point(self, profile: str) -> None:
        """Ask for a key picture now."""


class OpenTurnable(Protocol):
    """A device that is ready to be asked."""

    @property
    def device(self) -> Turnable:
        """Return the device."""
        ...

    def profile(self, *, with_ptz: bool = False) -> str | None:
        """Return the token of the source's picture, None where there is none that fits."""
        ...


class Turnables(Protocol):
    """The devices of sources."""

    async def of_source(self, source_id: int) -> OpenTurnable:
        """Return the device of a source; raises `NoDevice`."""
        ...

    def forget(self, source_id: int) -> None:
        """Open a device anew next time."""


class FirstOf:
    """Several kinds of devices as one: the first that has a source's device gives it."""

    def __init__(self, *kinds: Turnables) -> None:
        self._kinds = kinds

    async def of_source(self, source_id: int) -> OpenTurnable:
        """Return the device of a source.

        Raises:
            NoDevice: no kind has one; as the last one says.
        """
        missing = NoDevice("no_device", f"source {source_id} has no device that can be asked")
        for kind in self._kinds:
            try:
                return await kind.of_source(source_id)
            except NoDevice as error:
                missing = error
        raise missing

    def forget(self, source_id: int) -> None:
        """Open a device anew next time, whichever it is."""
        for kind in self._kinds:
            kind.forget(source_id)
