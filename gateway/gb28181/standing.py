"""Which sources come over which device, and what a device's word means for each of them. Sans-IO.

A source follows its device: whatever the device sends shows that the device is there, and so is each channel that it
does not call off. What a device says of a channel is its word, often stale: `OFF` counts only when a catalog that was
asked for says it again, and media that arrive show more than any word. A source that can be reached in another way as
well is online while any way is (4.7, E11): one way's good-bye leaves it to the other, and counts as one missed answer.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from adapters.gb28181.channels import Channel, ChannelEvent
from catalog.gb_devices import GbWay
from catalog.model.connectivity import DegradeReason

_NONE: Final[frozenset[str]] = frozenset()
ALIVE_EVERY: Final = 1.0
"""Seconds in which several messages of a device are one sign of life: a large platform has thousands of channels."""


DEVICE_LEFT: Final = "device_left"
"""Why a source is offline: the device over which it comes is, a recorder with all its channels."""
CHANNEL_OFF: Final = "channel_off"
"""Its device is there and calls it off."""


class Status(Protocol):
    """Takes the facts; the status service."""

    def alive(self, source_id: int, *, at: float) -> None:
        """Take in a sign of life."""

    def seen(self, source_id: int, *, at: float) -> None:
        """Take in contact that is no connection."""

    def left(self, source_id: int, *, at: float, cause: str) -> None:
        """Take in a good-bye."""

    def missed(self, source_id: int, *, at: float, cause: str) -> None:
        """Take in that it was asked in vain."""

    def unseen(self, source_id: int, *, at: float) -> None:
        """Take in that our own path to it is lost."""

    def impaired(self, source_id: int, reason: DegradeReason, *, at: float) -> None:
        """Take in that a degrade reason opened."""

    def restored(self, source_id: int, reason: DegradeReason, *, at: float) -> None:
        """Take in that a degrade reason closed."""


@dataclass(slots=True)
class _Source:
    source_id: int
    channel_id: str
    is_off: bool
    "Its device called it off, twice."
    is_doubted: bool = False
    "Its device called it off once: the next catalog decides."


class Standing:
    """What the devices tell, as facts about sources."""

    def __init__(self, status: Status, has_other_way: Callable[[int], bool] = lambda _: False) -> None:
        """Begin to know.

        Args:
            status: takes the facts.
            has_other_way: tells of a source whether it may be asked without its device.
        """
        self._status = status
        self._has_other_way = has_other_way
        self._devices: dict[str, dict[int, _Source]] = {}
        self._alive_at: dict[str, float] = {}
        self._faulty: dict[str, frozenset[str]] = {}

    def take_ways(self, ways: Iterable[GbWay]) -> None:
        """Take in which sources come over which device; what is known of those that stay is kept."""
        devices: dict[str, dict[int, _Source]] = {}
        for way in ways:
            before = self._devices.get(way.device_id, {}).get(way.source_id)
            kept = before if before is not None and before.channel_id == way.channel_id else None
            source = kept or _Source(way.source_id, way.channel_id, way.is_on is False)
            devices.setdefault(way.device_id, {})[way.source_id] = source
        self._devices = devices
        self._alive_at = {code: at for code, at in self._alive_at.items() if code in devices}

    def devices(self) -> list[str]:
        """Return the devices over which sources come."""
        return list(self._devices)

    def sources(self, device_id: str) -> list[int]:
        """Return the sources that come over a device."""
        return list(self._devices.get(device_id, ()))

    def way_of(self, source_id: int) -> tuple[str, str] | None:
        """Return device and channel of a source, None where it comes over no device."""
        for device_id, sources in self._devices.items():
            source = sources.get(source_id)
            if source is not None:
                return device_id, source.channel_id
        return None

    # -- the device itself ---------------------------------------------------------------------------------------------

    def alive(self, device_id: str, at: float) -> None:
        """Take in a sign of life of a device: it is one of each channel that it does not call off."""
        if at - self._alive_at.get(device_id, -ALIVE_EVERY) < ALIVE_EVERY:
            return
        sources = self._devices.get(device_id)
        if not sources:
            return
        self._alive_at[device_id] = at
        for source in sources.values():
            self._status.seen(source.source_id, at=at)
            if not source.is_off:
                self._status.alive(source.source_id, at=at)

    def missed(self, device_id: str, at: float, cause: str) -> None:
        """Take in that a device was asked in vain."""
        for source in self._devices.get(device_id, {}).values():
            self._status.missed(source.source_id, at=at, cause=cause)

    def unseen(self, device_id: str, at: float) -> None:
        """Take in that our own path to a device is lost."""
        for source in self._devices.get(device_id, {}).values():
            self._status.unseen(source.source_id, at=at)

    def left(self, device_id: str, at: float) -> None:
        """Take in that a device said good-bye or let its registration run out: its channels are gone with it (E12)."""
        self._alive_at.pop(device_id, None)
        for source in self._devices.get(device_id, {}).values():
            self._gone(source, at, DEVICE_LEFT)

    def clock(self, device_id: str, *, is_wrong: bool, at: float) -> None:
        """Take in whether a device's clock is further off than is tolerated."""
        tell = self._status.impaired if is_wrong else self._status.restored
        for source in self._devices.get(device_id, {}).values():
            tell(source.source_id, DegradeReason.CLOCK_SKEW, at=at)

    def faults(
        self, device_id: str, faulty: Collection[str], at: float
    ) -> tuple[frozenset[str], frozenset[str]]:
        """Take in which channels a keepalive calls faulty; return those that are it anew and those that are no more."""
        if not faulty and device_id not in self._faulty:
            # What nearly every keepalive says.
            return _NONE, _NONE
        now, before = frozenset(faulty), self._faulty.get(device_id, _NONE)
        if now == before:
            return _NONE, _NONE
        if now:
            self._faulty[device_id] = now
        else:
            self._faulty.pop(device_id, None)
        for source in self._devices.get(device_id, {}).values():
            if source.channel_id in now - before:
                self._status.impaired(source.source_id, DegradeReason.DEVICE_FAULT, at=at)
            elif source.channel_id in before - now:
                self._status.restored(source.source_id, DegradeReason.DEVICE_FAULT, at=at)
        return now - before, before - now

    # -- its channels --------------------------------------------------------------------------------------------------

    def told(self, device_id: str, channel_id: str, event: ChannelEvent, at: float) -> bool:
        """Take in one event of a channel; return whether the catalog is to be asked again because of it."""
        source = self._find(device_id, channel_id)
        match event:
            case ChannelEvent.ON:
                if source is not None:
                    self._turn_on(source, at)
                return source is None
            case ChannelEvent.OFF | ChannelEvent.DEL:
                if source is None:
                    return event is ChannelEvent.DEL
                # Platforms tell false OFFs: nothing follows before the catalog says so, too.
                source.is_doubted = not source.is_off
                return source.is_doubted
            case ChannelEvent.VLOST | ChannelEvent.DEFECT:
                if source is not None:
                    lost = event is ChannelEvent.VLOST
                    reason = DegradeReason.VIDEO_LOST if lost else DegradeReason.DEVICE_FAULT
                    self._status.impaired(source.source_id, reason, at=at)
                return False
            case ChannelEvent.ADD | ChannelEvent.UPDATE:
                return True

    def catalog(self, device_id: str, channels: Sequence[Channel], at: float, *, is_whole: bool) -> bool:
        """Take in a catalog that was asked for; return whether it is to be asked again soon.

        A channel is off when two looks in a row say so: an event and this catalog, or two catalogs. A channel that a
        whole catalog lacks counts as one that it calls off.
        """
        told = {channel.channel_id: channel for channel in channels}
        is_doubtful = False
        for source in self._devices.get(device_id, {}).values():
            channel = told.get(source.channel_id)
            if channel is None and (not is_whole or source.channel_id == device_id):
                continue
            if channel is not None and channel.is_on is not False:
                self._turn_on(source, at)
            elif source.is_doubted:
                source.is_doubted, source.is_off = False, True
                self._gone(source, at, CHANNEL_OFF)
            elif not source.is_off:
                source.is_doubted = is_doubtful = True
        return is_doubtful

    def _gone(self, source: _Source, at: float, cause: str) -> None:
        if self._has_other_way(source.source_id):
            self._status.missed(source.source_id, at=at, cause=cause)
        else:
            self._status.left(source.source_id, at=at, cause=cause)

    def _turn_on(self, source: _Source, at: float) -> None:
        was_off, source.is_off, source.is_doubted = source.is_off, False, False
        if was_off:
            self._status.alive(source.source_id, at=at)
        for reason in (DegradeReason.VIDEO_LOST, DegradeReason.DEVICE_FAULT):
            self._status.restored(source.source_id, reason, at=at)

    def _find(self, device_id: str, channel_id: str) -> _Source | None:
        sources = self._devices.get(device_id, {}).values()
        return next((source for source in sources if source.channel_id == channel_id), None)
