"""What a device or lower platform tells of its channels: Catalog items and events (A.2.1.9, Annex N). Sans-IO."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from adapters.gb28181.manscdp import Item, Manscdp
from catalog.model.codes import GbId

MAX_ITEMS: Final = 10_000
"""Items read of one message (Annex M)."""

_ON: Final = frozenset({"ON", "ONLINE", "OK", "1"})
_OFF: Final = frozenset({"OFF", "OFFLINE", "0"})
_NUMBERED: Final = ("Longitude", "Latitude")


class ChannelEvent(StrEnum):
    """What a NOTIFY says of a channel (Annex N)."""

    ON = "ON"
    OFF = "OFF"
    VLOST = "VLOST"
    "It gives no video."
    DEFECT = "DEFECT"
    ADD = "ADD"
    DEL = "DEL"
    UPDATE = "UPDATE"


@dataclass(frozen=True)
class Channel:
    """One entry of a catalog: a camera, or what lies between it and its device."""

    channel_id: str
    name: str = ""
    is_on: bool | None = None
    "What Status says; None where it says nothing that we know."
    parent_id: str = ""
    "The first ParentID, empty where there is none or it is the channel itself."
    manufacturer: str = ""
    model: str = ""
    detail: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    "Every other field, and those of Info, as sent."

    @property
    def may_deliver_video(self) -> bool:
        """Whether its type code is one of a video source."""
        try:
            return GbId(self.channel_id).may_deliver_video
        except ValueError:
            return False


@dataclass(frozen=True)
class ChannelNews:
    """One entry of a NOTIFY."""

    event: ChannelEvent
    channel: Channel


_OWN: Final = frozenset({"deviceid", "name", "status", "parentid", "manufacturer", "model", "event", "info"})
"""Fields with a place of their own."""


def read_channel(item: Item) -> Channel | None:
    """Return the channel of one Item; None where it has no usable DeviceID."""
    channel_id = item.text("DeviceID")
    if not (channel_id.isascii() and channel_id.isdecimal() and 2 <= len(channel_id) <= 20):
        return None
    info = item.child("Info")
    told = item.fields() | (info.fields() if info is not None else {})
    status = item.text("Status").upper()
    parents = [each for each in item.text("ParentID").split("/") if each and each != channel_id]
    return Channel(
        channel_id=channel_id,
        name=item.text("Name"),
        is_on=True if status in _ON else False if status in _OFF else None,
        parent_id=parents[0] if parents else "",
        manufacturer=item.text("Manufacturer"),
        model=item.text("Model"),
        detail=MappingProxyType({k: v for k, v in told.items() if k.lower() not in _OWN}),
    )


def _items(message: Manscdp) -> list[Item]:
    listed = message.child("DeviceList")
    if listed is None:
        return []
    return [item for _, item in zip(range(MAX_ITEMS), listed.children("Item"), strict=False)]


def read_catalog(message: Manscdp) -> tuple[int, list[Channel]]:
    """Return SumNum and the channels of one Catalog response.

    SumNum counts all parts of the answer. Where it is missing, what the message holds is all.
    """
    channels = [channel for item in _items(message) if (channel := read_channel(item)) is not None]
    total = message.number("SumNum")
    return (len(channels) if total is None else total), channels


def read_news(message: Manscdp) -> list[ChannelNews]:
    """Return the events of one Catalog NOTIFY; an entry without a known event is left out."""
    news = []
    for item in _items(message):
        channel = read_channel(item)
        word = item.text("Event").upper()
        if channel is not None and word in ChannelEvent.__members__:
            news.append(ChannelNews(ChannelEvent[word], channel))
    return news


@dataclass
class Collection:
    """One Catalog answer in the making: parts arrive in any order, some twice (Annex M). Sans-IO.

    Args:
        asked_at: monotonic seconds.
        patience: seconds until the first part; large platforms take minutes.
        silence: seconds between two parts after which nothing more is expected.
    """

    asked_at: float
    patience: float = 150.0
    silence: float = 10.0
    most: int = 100_000
    "Channels of one device or platform; more are not kept, and the answer counts as incomplete."
    total: int | None = None
    _heard_at: float | None = None
    _channels: dict[str, Channel] = field(default_factory=dict)

    def take(self, total: int, channels: list[Channel], now: float) -> None:
        """Take in one part."""
        self.total = max(total, self.total or 0)
        self._heard_at = now
        for channel in channels:
            if len(self._channels) < self.most or channel.channel_id in self._channels:
                self._channels[channel.channel_id] = channel

    @property
    def is_complete(self) -> bool:
        """Whether as many channels came as were announced."""
        return self.total is not None and len(self._channels) >= self.total

    def is_over(self, now: float) -> bool:
        """Whether nothing more is to be waited for."""
        if self.is_complete:
            return True
        if self._heard_at is None:
            return now - self.asked_at >= self.patience
        return now - self._heard_at >= self.silence

    @property
    def channels(self) -> list[Channel]:
        """Return what came, by id."""
        return [self._channels[key] for key in sorted(self._channels)]
