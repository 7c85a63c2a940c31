"""What is told to people outside: who went offline, came back, connected, or let a day pass. Values alone.

Everything that happened since the last notice goes into one: what went and came in between is told once, as an
interruption, and sources that were lost by one common cause are counted as one incident.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from catalog.model.connectivity import State


class NoticeEvent(StrEnum):
    """What a target may ask to be told."""

    OFFLINE = "offline"
    BACK = "back"
    "Interruptions that were over before anybody was told, too."
    CONNECTED = "connected"
    "The first connection ever."
    OVERDUE = "overdue"
    "Sites whose due day passed, and orders whose deadline did."


@dataclass(frozen=True)
class Place:
    """Where a source stands, as far as outsiders are told: no code, address or device."""

    source_id: int
    site: str
    unit: str
    place_class: str
    district: str


@dataclass(frozen=True)
class Happening:
    """A stored fact after which a source was offline, or up."""

    seq: int
    place: Place
    at: datetime
    state_before: State | None
    "Of the interval that it ended; None where it ended none."
    state_after: State
    reason: str | None
    incident: str | None
    is_first: bool
    "Whether it is the first connection ever."
    is_suspended: bool
    "Whether an approved window covered it: nobody needs to hurry."

    @property
    def is_change(self) -> bool:
        """Tell whether it was a first connection, a loss or a return.

        An answer that only ends our own blindness is none: after a restart of ours nobody came back.
        """
        if self.is_first:
            return True
        if self.state_before is None:
            return False
        return (self.state_before is State.OFFLINE) is not (self.state_after is State.OFFLINE)


@dataclass(frozen=True)
class Told:
    """One source in a notice."""

    place: Place
    at: datetime
    "Since when it is so."
    reason: str | None
    incident: str | None
    changes: int
    "How often it changed since the last notice."
    is_suspended: bool


@dataclass(frozen=True)
class Incident:
    """Sources that were lost by one common cause."""

    name: str
    sources: int


@dataclass(frozen=True)
class Digest:
    """What happened since the last notice, each source by what became of it."""

    offline: tuple[Told, ...] = ()
    back: tuple[Told, ...] = ()
    interrupted: tuple[Told, ...] = ()
    "Offline and back again in between."
    connected: tuple[Told, ...] = ()
    incidents: tuple[Incident, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Tell whether there is nothing to tell."""
        return not (self.offline or self.back or self.interrupted or self.connected)


def digest(happenings: Sequence[Happening], wanted: Collection[NoticeEvent]) -> Digest:
    """Return what the facts since the last notice come to.

    Args:
        happenings: in the order in which they were stored.
        wanted: what the target asked for.
    """
    of_source: dict[int, list[Happening]] = {}
    for each in (happening for happening in happenings if happening.is_change):
        of_source.setdefault(each.place.source_id, []).append(each)
    offline, back, interrupted, connected = [], [], [], []
    for story in of_source.values():
        first, last = story[0], story[-1]
        if NoticeEvent.CONNECTED in wanted and any(each.is_first for each in story):
            connected.append(_told(next(each for each in story if each.is_first), story))
        if last.state_after is State.OFFLINE:
            offline.append(_told(last, story))
        elif first.state_after is State.OFFLINE:
            interrupted.append(_told(first, story))
        elif not first.is_first:
            back.append(_told(first, story))
        elif any(each.state_after is State.OFFLINE for each in story):
            interrupted.append(
                _told(next(each for each in story if each.state_after is State.OFFLINE), story)
            )
    if NoticeEvent.OFFLINE not in wanted:
        offline = []
    if NoticeEvent.BACK not in wanted:
        back, interrupted = [], []
    lost = [each for each in (*offline, *interrupted) if each.incident is not None]
    names = sorted({each.incident for each in lost if each.incident is not None})
    return Digest(
        tuple(offline),
        tuple(back),
        tuple(interrupted),
        tuple(connected),
        tuple(Incident(name, sum(each.incident == name for each in lost)) for name in names),
    )


def _told(at: Happening, story: Sequence[Happening]) -> Told:
    return Told(at.place, at.at, at.reason, at.incident, len(story), at.is_suspended)
