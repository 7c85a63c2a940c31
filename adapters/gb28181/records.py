"""Recordings that a device or platform says it has: RecordInfo (2022, 9.7 and A.2.4.5). Sans-IO."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Final

from adapters.gb28181.manscdp import Fields, Item, Manscdp
from adapters.gb28181.registration import BEIJING

MOST: Final = 10_000
"""Recordings kept of one day: a segment every nine seconds."""


@dataclass(frozen=True, slots=True)
class Recording:
    """One stretch of video that a device says it holds."""

    starts_at: datetime
    ends_at: datetime
    "UTC or Beijing, timezone-aware; after `starts_at`."
    kind: str
    "As the device calls it: `time`, `alarm`, `manual`, empty where it says nothing."
    size: int | None
    "Octets."


def question(day: date) -> Fields:
    """Return the fields that ask for everything of one local day; whole months time out on recorders."""
    begin = datetime.combine(day, time())
    # Dahua answers nothing without a Type.
    return (
        ("StartTime", begin.isoformat()),
        ("EndTime", (begin + timedelta(days=1)).isoformat()),
        ("Secrecy", "0"),
        ("Type", "all"),
    )


def read_instant(text: str) -> datetime | None:
    """Return an instant as devices write it: with T or a blank, with or without zone (Beijing), milliseconds or not."""
    try:
        found = datetime.fromisoformat(text.strip().replace(" ", "T", 1))
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=BEIJING)


def _recording(item: Item) -> Recording | None:
    starts_at, ends_at = read_instant(item.text("StartTime")), read_instant(item.text("EndTime"))
    if starts_at is None or ends_at is None or ends_at <= starts_at:
        return None
    return Recording(starts_at, ends_at, item.text("Type")[:20], item.number("FileSize"))


@dataclass
class RecordCollection:
    """One RecordInfo answer in the making. Parts come in any order, some twice, SumNum is often wrong.

    Args:
        day: what was asked for; what lies outside is left out.
    """

    day: date
    total: int | None = None
    told: int = 0
    "Entries that came, usable or not."
    _found: dict[tuple[datetime, datetime], Recording] = field(default_factory=dict)

    def take(self, message: Manscdp) -> None:
        """Take in one part."""
        total, listed = message.number("SumNum"), message.child("RecordList")
        items = [] if listed is None else list(listed.children("Item"))
        self.total = max(self.total or 0, len(items) if total is None else total)
        self.told += len(items)
        begin = datetime.combine(self.day, time(), BEIJING)
        for item in items:
            found = _recording(item)
            is_inside = (
                found is not None and found.ends_at > begin and found.starts_at < begin + timedelta(days=1)
            )
            if found is not None and is_inside and len(self._found) < MOST:
                self._found[found.starts_at, found.ends_at] = found

    @property
    def is_complete(self) -> bool:
        """Whether as many entries came as were announced."""
        return self.total is not None and self.told >= self.total

    @property
    def recordings(self) -> Sequence[Recording]:
        """Return what the day has, by time."""
        return [self._found[key] for key in sorted(self._found)]


def covered(recordings: Sequence[Recording], day: date) -> float:
    """Return how many seconds of a local day lie within recordings; what overlaps counts once."""
    begin = datetime.combine(day, time(), BEIJING)
    end, seconds = begin + timedelta(days=1), 0.0
    for each in sorted(recordings, key=lambda recording: recording.starts_at):
        starts_at, ends_at = max(each.starts_at, begin), min(each.ends_at, end)
        if ends_at > starts_at:
            seconds += (ends_at - starts_at).total_seconds()
            begin = ends_at
    return seconds
