"""How the decrees count days, and what a profile's deadlines give for a real date.

The start day is not counted, the last day is in time, and days are calendar days (Civil Code 200-203; only
periods of 2, 3, 5 and 7 days are working days, Administrative Penalty Law 85). That a last day on a public holiday
rolls forward is a rule of civil law and is not applied here.
"""

from dataclasses import dataclass
from datetime import date, timedelta

from catalog.model.profile import Deadline, DeadlineEvent, Profile


@dataclass(frozen=True, slots=True)
class Due:
    """A day by which something must be done, with the deadline that says so."""

    on: date
    """The last day that is in time, local."""
    deadline: Deadline


def counted(event: date, days: int) -> date:
    """Return the last day in time of a period of `days` days after `event`; negative: before it.

    Raises:
        ValueError: the day lies outside the calendar.
    """
    try:
        return event + timedelta(days=days)
    except OverflowError:
        raise ValueError(f"{days} days from {event} lie outside the calendar") from None


def filing_due(profile: Profile, in_use_on: date) -> tuple[Due, ...]:
    """Return by when a system put into use on `in_use_on` must be filed, the strictest first (WX-15.3, CN-14.1).

    Every layer decides for itself: a system older than the text has the text's own transitional period, counted
    from the day it took effect; a newer one the ordinary period, where the text knows one. The national regulation
    binds the places of its Art. 7 alone (CN-9.2): whether the system stands at one is the caller's to know.
    """
    found: list[Due] = []
    for deadline in profile.deadlines:
        is_legacy = in_use_on < deadline.in_force_from
        if deadline.event is DeadlineEvent.LEGACY_FILING and is_legacy:
            found.append(Due(counted(deadline.in_force_from, deadline.days), deadline))
        elif deadline.event is DeadlineEvent.NEW_FILING and not is_legacy:
            found.append(Due(counted(in_use_on, deadline.days), deadline))
    return _strictest_first(found)


def removal_due(profile: Profile, removed_on: date) -> tuple[Due, ...]:
    """Return by when a removal on `removed_on` must be reported, the strictest first (WX-17, SX-15)."""
    found: list[Due] = []
    for deadline in profile.deadlines:
        if removed_on < deadline.in_force_from:
            continue
        if deadline.event is DeadlineEvent.REMOVAL:
            found.append(Due(counted(removed_on, -deadline.days), deadline))
        elif deadline.event is DeadlineEvent.CHANGE:
            found.append(Due(counted(removed_on, deadline.days), deadline))
    return _strictest_first(found)


def _strictest_first(found: list[Due]) -> tuple[Due, ...]:
    return tuple(sorted(found, key=lambda due: (due.on, due.deadline.requirement)))
