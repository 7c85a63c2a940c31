"""The status of a site from the displayed states of its sources (status model 4.4)."""

from dataclasses import dataclass
from enum import StrEnum


class SiteStatus(StrEnum):
    """What a site shows."""

    REMOVED = "removed"
    EMPTY = "empty"
    SUSPENDED = "suspended"
    ONLINE = "online"
    PARTIAL = "partial"
    UNKNOWN = "unknown"
    NEVER_CONNECTED = "never_connected"
    OFFLINE = "offline"


@dataclass(frozen=True)
class SiteCounts:
    """How many eligible sources of a site display which state."""

    never: int = 0
    online: int = 0
    degraded: int = 0
    offline: int = 0
    unknown: int = 0
    suspended: int = 0

    @property
    def eligible(self) -> int:
        """Return the number of counted sources."""
        return self.never + self.online + self.degraded + self.offline + self.unknown + self.suspended

    def unobservable(self, online: int = 0, degraded: int = 0) -> "SiteCounts":
        """Return the counts while the site's gateway cannot see: unknown but for the suspended and what others see.

        Args:
            online: seen by another gateway (4.7, E14).
            degraded: the same, of those with an open degrade reason.
        """
        unknown = self.eligible - self.suspended - online - degraded
        return SiteCounts(online=online, degraded=degraded, unknown=unknown, suspended=self.suspended)


def site_status(counts: SiteCounts, *, removal_approved: bool, ever_connected: bool) -> SiteStatus:  # noqa: PLR0911
    """Return the site's status; the first match of the ordered table wins, and the table is total.

    Args:
        counts: displayed states of the eligible sources.
        removal_approved: the site has an approved removal.
        ever_connected: any source of the site ever had a first connection.
    """
    if counts.eligible == 0:
        return SiteStatus.REMOVED if removal_approved else SiteStatus.EMPTY
    if counts.suspended == counts.eligible:
        return SiteStatus.SUSPENDED
    if counts.online > 0 and counts.online + counts.suspended == counts.eligible:
        return SiteStatus.ONLINE
    if counts.online + counts.degraded > 0:
        return SiteStatus.PARTIAL
    if counts.unknown > 0:
        return SiteStatus.UNKNOWN
    if counts.never > 0 and counts.offline == 0 and not ever_connected:
        return SiteStatus.NEVER_CONNECTED
    return SiteStatus.OFFLINE


def incomplete_connection(counts: SiteCounts) -> bool:
    """Tell whether some but not all sources of the site never connected (it stays in the must-connect report)."""
    return 0 < counts.never < counts.eligible
