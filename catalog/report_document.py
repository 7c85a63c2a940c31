"""A report as a document that is signed and stored: text, whole numbers and lists alone.

It names units, sites, classes and the numbers of sources; no code, address, device or position (WX-29.1), so that
the same document may go to everybody who may see reports.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

from catalog.incidents import IncidentRow
from catalog.jurisdictions import Jurisdiction
from catalog.model.period import Period
from catalog.model.rates import Account, CountingRules
from catalog.period_report import (
    NeverConnected,
    NotSeen,
    PeriodReport,
    SuspectedRemoval,
    ToldBy,
    WasOffline,
    Where,
)
from catalog.rate_report import RateRow
from catalog.reading import Region
from catalog.signed_parts import MILLISECOND, cap_of, instant_text, milliseconds_of
from catalog.signing import Document, SignatureInvalid, canonical

KIND: Final = "muster report"
FORM: Final = 3
"""Of the reports that are made; those of form 1, without incidents and suspected removals, and of form 2, all told by
source, are read as well."""

_READ: Final = (1, 2, FORM)


@dataclass(frozen=True)
class Scope:
    """What a report is about: the same in all of its revisions."""

    region: Region
    first: date
    last: date
    period: Period
    "The days, up to when the first revision was made."
    told_by: ToldBy = ToldBy.SOURCE


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
    quarantine: tuple[int, int] | None = None
    """Devices that waited for a person then: seen ones, and ones that tried to register. They lie in no district: None
    in a report of a part."""


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
        "suspected_removals": [_removal(each) for each in report.suspected_removals],
        "incidents": [_incident(row) for row in report.incidents],
        "not_seen": [_not_seen(each) for each in report.not_seen],
    }


def content_hash(content: Document) -> str:
    """Return the SHA-256 of the content's canonical form, in hex: the same content, the same hash."""
    return hashlib.sha256(canonical(content)).hexdigest()


def report_document(
    numbered: Numbered, scope: Scope, making: Making, content: Document, watermark: datetime | None
) -> Document:
    """Return the whole document of a revision."""
    here = making.jurisdiction
    return {
        "kind": KIND,
        "form": FORM,
        "number": numbered.number,
        "revision": numbered.revision,
        "supersedes": numbered.supersedes,
        "made": {
            "at": instant_text(making.at),
            "by": making.by,
            "reason": making.reason,
            "muster": making.muster,
            "watermark": instant_text(watermark),
            "jurisdiction": {"civil_code": here.district, "name": here.name},
            "profile": here.profile if here.base_profile is None else f"{here.profile}+{here.base_profile}",
            "edition": making.edition,
            "maintenance_cap_milliseconds": cap_of(making.rules),
            "quarantine": None
            if making.quarantine is None
            else {"sightings": making.quarantine[0], "registrations": making.quarantine[1]},
        },
        "scope": {
            "region": scope.region.prefix,
            "first": scope.first.isoformat(),
            "last": scope.last.isoformat(),
            "from": instant_text(scope.period.start),
            "until": instant_text(scope.period.end),
            "told_by": scope.told_by.value,
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
    if found.get("form") not in _READ:
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
        "milliseconds": milliseconds_of(of),
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
        **_where(line.where),
        "basis": line.duty.basis,
        "due_on": line.duty.due_on.isoformat(),
        "days_overdue": line.days_overdue,
        "hidden": line.hidden.value if line.hidden is not None else None,
        "site_required": line.site_required,
        "site_never_connected": line.site_never,
    }


def _offline(line: WasOffline) -> dict[str, object]:
    # Of one source its state at the end says what is counted of a site's.
    counted = {"required": line.account.sources, "online": line.account.online}
    return {
        **_where(line.where),
        **({} if line.where.source_id is not None else counted),
        "outages": line.account.outages,
        "offline_milliseconds": line.account.offline // MILLISECOND,
        "counted_milliseconds": line.account.counted // MILLISECOND,
        "offline_since": instant_text(line.since),
    }


def _removal(each: SuspectedRemoval) -> dict[str, object]:
    return {**_where(each.where), "offline_since": instant_text(each.since), "days": each.days}


def _incident(row: IncidentRow) -> dict[str, object]:
    incident = row.incident
    return {
        "gateway": row.gateway_id,
        "name": incident.name,
        "silent_from": instant_text(incident.silent_from),
        "decided_at": instant_text(incident.decided_at),
        "fault": incident.fault.value,
        "basis": incident.basis.value,
        "silent": incident.silent,
        "lost": row.lost,
        "sites": row.sites,
        "back": row.back,
    }


def _not_seen(each: NotSeen) -> dict[str, object]:
    return {
        "reason": each.reason.value,
        "from": instant_text(each.period.start),
        "until": instant_text(each.period.end),
        "sources": each.sources,
    }


def _where(of: Where) -> dict[str, object]:
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
