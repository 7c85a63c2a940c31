"""What the signed documents have in common: instants, seconds by what they count for, and the rule of the cap."""

from datetime import UTC, datetime, timedelta
from typing import Final

from catalog.model.rates import Account, CountingRules

MILLISECOND: Final = timedelta(milliseconds=1)
"""Time stands in whole ones: a number with a fraction has no single form to be signed."""


def instant_text(at: datetime | None) -> str | None:
    """Return an instant in UTC with microseconds; None of None."""
    return None if at is None else at.astimezone(UTC).isoformat(timespec="microseconds")


def cap_of(rules: CountingRules) -> int | None:
    """Return how much planned maintenance of a source and month is not counted, in milliseconds; None for any."""
    return None if rules.maintenance_cap is None else rules.maintenance_cap // MILLISECOND


def milliseconds_of(account: Account) -> dict[str, object]:
    """Return the time of an account in milliseconds, by what it counts for."""
    return {
        "bound": account.bound // MILLISECOND,
        "counted": account.counted // MILLISECOND,
        "online": account.running // MILLISECOND,
        "intact": account.whole // MILLISECOND,
        "offline": account.offline // MILLISECOND,
        "never_connected": account.never // MILLISECOND,
        "retroactive": account.retroactive // MILLISECOND,
        "over_cap": account.over_cap // MILLISECOND,
        "excluded": {reason: time // MILLISECOND for reason, time in sorted(account.excluded.items())},
    }
