"""Turns cameras for operators: one at a time each, every command noted, no movement left running (WX-30.7, SX-16.3)."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from adapters.errors import AdapterError
from adapters.onvif.report import PanTilt, Preset, PtzStatus
from catalog.database import Database
from catalog.errors import CatalogError
from catalog.onvif_devices import DeviceEvent, DeviceEventKind, add_events
from gateway.clock import Clock
from gateway.onvif.devices import NoDevice
from gateway.onvif.steering import LONGEST_MOVE, Steering
from gateway.turning import Turnable, Turnables

logger = logging.getLogger(__name__)

STOP_TRIES: Final = 3
"""A camera that does not take Stop is told again; its own timeout stands behind that."""

LEAVING: Final = 3.0
"""Seconds in which everything that moves is stopped when the gateway ends."""


@dataclass(frozen=True)
class PtzCommand:
    """One command; which fields count depends on `verb`."""

    verb: str
    "A key of `VERBS`."
    where: PanTilt = field(default_factory=PanTilt)
    "Velocity, position or translation: -1 to 1, zoom positions 0 to 1."
    seconds: float = 1.0
    "Of a continuous movement, unless another command comes."
    preset: str = ""
    "Token of a stored position."
    name: str = ""
    "Of a position to be stored."


@dataclass(frozen=True)
class PtzView:
    """What a camera's mechanism says."""

    profile: str
    status: PtzStatus | None
    "None where the device does not tell."
    presets: Sequence[Preset]


_Turn = Callable[[Turnable, str, PtzCommand], Awaitable[object]]

VERBS: Final[Mapping[str, _Turn]] = MappingProxyType(
    {
        "move": lambda device, profile, of: device.continuous_move(
            profile, of.where, stop_after=min(of.seconds, LONGEST_MOVE)
        ),
        "move_to": lambda device, profile, of: device.absolute_move(profile, of.where),
        "move_by": lambda device, profile, of: device.relative_move(profile, of.where),
        "stop": lambda device, profile, _: device.stop(profile),
        "go_to_preset": lambda device, profile, of: device.go_to_preset(profile, of.preset),
        "set_preset": lambda device, profile, of: device.set_preset(profile, of.name),
        "remove_preset": lambda device, profile, of: device.remove_preset(profile, of.preset),
        "go_to_home": lambda device, profile, _: device.go_to_home(profile),
        "set_home": lambda device, profile, _: device.set_home(profile),
    }
)
"""What an operator may do, and which call of the PTZ service it is."""


class PtzDesk:
    """Takes commands; `run` stops what nobody stops."""

    def __init__(self, database: Database, opened: Turnables, clock: Clock) -> None:
        self._database = database
        self._open = opened
        self._clock = clock
        self._steering = Steering()
        self._changed = asyncio.Event()

    async def command(self, source_id: int, command: PtzCommand, *, person: str, purpose: str) -> object:
        """Carry a command out and note it; return what the device answers (the token of a stored position).

        Raises:
            NoDevice: the source has no device that can be turned.
            Steered: somebody else steers it.
            TooManySteered: too many at once.
            AdapterError: the device did not do it.
            CatalogError: the catalog did not answer; nothing was sent.
        """
        device, profile = await self._opened(source_id)
        now = self._clock.monotonic()
        goes_on = command.verb == "move" and self._steering.is_moving(source_id)
        begins = self._steering.take(source_id, person, now)
        if begins or not goes_on:
            # Before it is sent: a camera that was turned without a trace is what the law is about.
            await self._note(source_id, command, person, purpose)
        if command.verb == "move":
            self._steering.moves(source_id, command.seconds, now)
            self._changed.set()
        try:
            answer = await VERBS[command.verb](device, profile, command)
        except AdapterError:
            self._open.forget(source_id)
            raise
        if command.verb != "move":
            # Every other movement takes the place of a continuous one.
            self._steering.stopped(source_id)
        return answer

    async def view(self, source_id: int) -> PtzView:
        """Return where the camera looks and its stored positions.

        Raises:
            NoDevice: the source has no device that can be turned.
            AdapterError: the device did not answer.
        """
        device, profile = await self._opened(source_id)
        presets = await device.presets(profile)
        try:
            status = await device.ptz_status(profile)
        except AdapterError:
            status = None
        return PtzView(profile, status, presets)

    async def run(self) -> None:
        """Stop what moved for as long as it was told to; runs until cancelled, and stops everything then."""
        try:
            while True:
                await self._wait()
                for source_id in self._steering.due(self._clock.monotonic()):
                    await self._stop(source_id)
        finally:
            await self._stop_all()

    async def _wait(self) -> None:
        self._changed.clear()
        stop_at = self._steering.next_stop()
        wait = None if stop_at is None else max(0.0, stop_at - self._clock.monotonic())
        try:
            async with asyncio.timeout(wait):
                await self._changed.wait()
        except TimeoutError:
            return

    async def _stop(self, source_id: int) -> None:
        self._steering.stopped(source_id)
        for _ in range(STOP_TRIES):
            try:
                device, profile = await self._opened(source_id)
                await device.stop(profile)
            except (AdapterError, NoDevice, CatalogError) as error:
                self._open.forget(source_id)
                logger.warning(
                    "source %d may still move: %s",
                    source_id,
                    error,
                    extra={"action": "ptz_stop_failed", "source_id": source_id},
                )
            else:
                return

    async def _stop_all(self) -> None:
        moving = self._steering.moving()
        if not moving:
            return
        try:
            async with asyncio.timeout(LEAVING), asyncio.TaskGroup() as group:
                for source_id in moving:
                    group.create_task(self._stop(source_id), name=f"ptz-stop-{source_id}")
        except TimeoutError:
            logger.warning("the gateway ends while cameras move", extra={"action": "ptz_stop_failed"})

    async def _opened(self, source_id: int) -> tuple[Turnable, str]:
        opened = await self._open.of_source(source_id)
        profile = opened.profile(with_ptz=True)
        if profile is None:
            self._open.forget(source_id)
            raise NoDevice("no_ptz", f"source {source_id} has no camera that can be turned")
        return opened.device, profile

    async def _note(self, source_id: int, command: PtzCommand, person: str, purpose: str) -> None:
        detail: dict[str, object] = {"command": command.verb, "purpose": purpose}
        for name in ("pan", "tilt", "zoom"):
            value = getattr(command.where, name)
            if value is not None:
                detail[name] = value
        detail |= {
            name: value for name, value in (("preset", command.preset), ("name", command.name)) if value
        }
        event = DeviceEvent(
            source_id, self._clock.now(), DeviceEventKind.DIRECTION_CHANGED, detail, person=person
        )
        await add_events(self._database, [event])
        logger.info(
            "source %d: %s by %s",
            source_id,
            command.verb,
            person,
            extra={"action": "ptz", "source_id": source_id, "verb": command.verb},
        )
