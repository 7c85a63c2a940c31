"""When a source does not operate: hours of the day that come again, such as a bus's night in the depot (4.7, E13).

It is an approved window like any other (`suspension.py`), of which only these hours are taken: a source need not be
online in them, and nothing is charged. Whether it must be connected at all does not depend on them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta, timezone
from typing import Final

from catalog.model.period import Period

EVERY_DAY: Final = frozenset(range(1, 8))
_DAY: Final = timedelta(days=1)
_WRITTEN: Final = re.compile(r"((?:[01][0-9]|2[0-3]):[0-5][0-9])-((?:[01][0-9]|2[0-3]):[0-5][0-9])", re.ASCII)


class HoursInvalid(ValueError):
    """Raised when hours are none; the message says why."""


@dataclass(frozen=True)
class RestHours:
    """Hours of rest, in local time."""

    begins: time
    "To the minute."
    ends: time
    "Of the next day where it is not after `begins`."
    weekdays: frozenset[int] = EVERY_DAY
    "On which they begin; Monday is 1, Sunday 7."

    def __post_init__(self) -> None:
        if self.begins == self.ends:
            raise HoursInvalid("hours of rest begin and end at different times of day")
        if not self.weekdays or not self.weekdays <= EVERY_DAY:
            raise HoursInvalid("weekdays are numbers from 1 (Monday) to 7 (Sunday), one of them at least")
        if any(at.second or at.microsecond or at.tzinfo is not None for at in (self.begins, self.ends)):
            raise HoursInvalid("hours of rest are local times to the minute")

    def within(self, period: Period, zone: timezone) -> Iterator[Period]:
        """Yield the rests in a period, cut where it begins and ends, the earliest first."""
        day = period.start.astimezone(zone).date() - _DAY
        last = period.end.astimezone(zone).date()
        over_midnight = _DAY if self.ends <= self.begins else timedelta()
        while day <= last:
            start = max(period.start, datetime.combine(day, self.begins, zone))
            end = min(period.end, datetime.combine(day + over_midnight, self.ends, zone))
            if day.isoweekday() in self.weekdays and start < end:
                yield Period(start, end)
            day += _DAY

    def __str__(self) -> str:
        hours = f"{self.begins:%H:%M}-{self.ends:%H:%M}"
        if self.weekdays == EVERY_DAY:
            return hours
        return f"{hours} on {','.join(map(str, sorted(self.weekdays)))}"


def read_hours(hours: str, weekdays: str = "") -> RestHours:
    """Return hours written like `22:30-05:30`, on days written like `1,2,3` (Monday is 1); every day without them.

    Raises:
        HoursInvalid: they are written otherwise, or are none.
    """
    written = _WRITTEN.fullmatch(hours.strip())
    if written is None:
        raise HoursInvalid(f"hours of rest are written like 22:30-05:30, not {hours[:20]!r}")
    begins, ends = (time.fromisoformat(part) for part in written.groups())
    try:
        days = frozenset(int(day) for day in weekdays.split(",")) if weekdays.strip() else EVERY_DAY
    except ValueError:
        raise HoursInvalid(f"weekdays are written like 1,2,3, not {weekdays[:20]!r}") from None
    return RestHours(begins, ends, days)
