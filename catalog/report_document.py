"""A report as a document that is signed and stored: text, whole numbers and lists alone.

It names units, sites, classes and the numbers of sources; no code, address, device or position (WX-29.1), so that
the same document may go to everybody who may see reports.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from catalog.histories import SourceHistory
from catalog.jurisdictions import Jurisdiction
from catalog.model.period import Period
from catalog.model.rates import Account, CountingRules
from catalog.period_report import NeverConnected, NotSeen, PeriodReport, WasOffline
from catalog.rate_report import RateRow
from catalog.reading import Region
from catalog.signing import Document, SignatureInvalid, canonical

KIND: Final = "muster report"
FORM: Final = 1

_MILLISECOND: Final = timedelta(milliseconds=1)


@dataclass(frozen=True)
class Scope:
    """What a report is about: the same in all of its revisions."""

    region: Region
    first: date
    last: date
    period: Period
    "The days, up to when the first revision was made."


@dataclass(frozen=True)
class Making:
    """Under which circumstances a revision was made."""

    at: datetime
    by: str
    "The person."
    reason: str | None
    "Why it was made again; None for the first."
    muster: str
    "Version."
    jurisdiction: Jurisdiction
    edition: str | None
    "Number of the published edition that counted then; None without one."
    rules: CountingRules


@dataclass(frozen=True)
class Numbered:
    """Which revision of which report it is."""

    number: str
    revision: int
    supersedes: str | None
    "SHA-256 of the content of the revision before."


def content_of(report: PeriodReport) -> Document:
    """Return what the report tells."""
    return {
        "all": _account(report.all),
        "rates": {by.value: [_row(row) for row in rows] for by, rows in report.rates.items()},
        "never_connected": [_never(line) for line in report.never_connected],
        "offline": [_offline(line) for line in report.offline],
        "not_seen": [_not_seen(each) for each in report.not_seen],
    }


def content_hash(content: Document) -> str:
    """Return the SHA-256 of the content's canonical form, in hex: the same content, the same hash."""
    return hashlib.sha256(canonical(content)).hexdigest()


def report_document(
    numbered: Numbered, scope: Scope, making: Making, content: Document, watermark: datetime | None
) -> Document:
    """Return the whole document of a revision."""
    cap, here = making.rules.maintenance_cap, making.jurisdiction
    return {
        "kind": KIND,
        "form": FORM,
        "number": numbered.number,
        "revision": numbered.revision,
        "supersedes": numbered.supersedes,
        "made": {
            "at": _instant(making.at),
            "by": making.by,
            "reason": making.reason,
            "muster": making.muster,
            "watermark": _instant(watermark),
            "jurisdiction": {"civil_code": here.district, "name": here.name},
            "profile": here.profile if here.base_profile is None else f"{here.profile}+{here.base_profile}",
            "edition": making.edition,
            "maintenance_cap_milliseconds": None if cap is None else cap // _MILLISECOND,
        },
        "scope": {
            "region": scope.region.prefix,
            "first": scope.first.isoformat(),
            "last": scope.last.isoformat(),
            "from": _instant(scope.period.start),
            "until": _instant(scope.period.end),
        },
        "content": content,
    }


def require_report(document: Document) -> Mapping[str, Any]:
    """Return a signed document as the report that it is.

    Raises:
        SignatureInvalid: it is none, or one of a form that is not known.
    """
    found: Any = document
    if not isinstance(found, dict) or found.get("kind") != KIND:
        raise SignatureInvalid("signed, but no report")
    if found.get("form") != FORM:
        raise SignatureInvalid(f"a report of form {found.get('form')!r}: a newer Muster reads it")
    return found


def _account(of: Account) -> dict[str, object]:
    return {
        "required": of.sources,
        "connected": of.connected,
        "online": of.online,
        "intact": of.intact,
        "hidden": of.hidden,
        "outages": of.outages,
        "milliseconds": {
            "bound": of.bound // _MILLISECOND,
            "counted": of.counted // _MILLISECOND,
            "online": of.running // _MILLISECOND,
            "intact": of.whole // _MILLISECOND,
            "offline": of.offline // _MILLISECOND,
            "never_connected": of.never // _MILLISECOND,
            "retroactive": of.retroactive // _MILLISECOND,
            "over_cap": of.over_cap // _MILLISECOND,
            "excluded": {reason: time // _MILLISECOND for reason, time in sorted(of.excluded.items())},
        },
        "insufficient_data": not of.suffices,
        "rates": {
            "access_rate": _rate(of.access_rate),
            "online_rate": _rate(of.online_rate),
            "online_rate_of_connected": _rate(of.online_rate_of_connected),
            "raw24_rate": _rate(of.raw_rate),
            "online_rate_by_count": _rate(of.online_rate_by_count),
            "online_of_required": _rate(of.online_of_required),
            "intact_rate": _rate(of.intact_rate),
            "coverage": _rate(of.coverage),
        },
    }


def _row(row: RateRow) -> dict[str, object]:
    return {"key": row.key, "name": row.name, **_account(row.account)}


def _never(line: NeverConnected) -> dict[str, object]:
    return {
        **_place(line.history),
        "basis": line.duty.basis,
        "due_on": line.duty.due_on.isoformat(),
        "days_overdue": line.days_overdue,
        "hidden": line.hidden.value if line.hidden is not None else None,
        "site_required": line.site_required,
        "site_never_connected": line.site_never,
    }


def _offline(line: WasOffline) -> dict[str, object]:
    return {
        **_place(line.history),
        "outages": line.account.outages,
        "offline_milliseconds": line.account.offline // _MILLISECOND,
        "counted_milliseconds": line.account.counted // _MILLISECOND,
        "offline_since": _instant(line.since),
    }


def _not_seen(each: NotSeen) -> dict[str, object]:
    return {
        "reason": each.reason.value,
        "from": _instant(each.period.start),
        "until": _instant(each.period.end),
        "sources": each.sources,
    }


def _place(of: SourceHistory) -> dict[str, object]:
    return {
        "source": of.source_id,
        "unit": of.unit,
        "site": of.site,
        "class": of.place_class,
        "district": of.district,
    }


def _rate(rate: Decimal | None) -> str | None:
    # A number with a fraction has no single form to be signed.
    return None if rate is None else str(rate)


def _instant(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).isoformat(timespec="microseconds")
