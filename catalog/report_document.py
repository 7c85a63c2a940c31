"""A report as a document that is signed and stored: text, whole numbers and lists alone.

It names units, sites, classes and the numbers of sources; no code, address, device or position (WX-29.1), so that
the same document may go to everybody who may see reports.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
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
from catalog.reading import Region, Selection
from catalog.signed_parts import MILLISECOND, cap_of, instant_text, milliseconds_of
from catalog.signing import Document, SignatureInvalid, canonical

KIND: Final = "muster report"
FORM: Final = 3
"""Of the reports that are made. Older ones are read as well: form 1 is without incidents and suspected removals, form 2
has lists of objects where now rows stand under columns; both are told by source."""

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
    selection: Selection = field(default_factory=Selection)


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
        "never_connected": _never(report.never_connected, report.told_by),
        "offline": _offline(report.offline, report.told_by),
        "suspected_removals": _removals(report.suspected_removals),
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
            "class": scope.selection.place_class,
            "unit": scope.selection.unit,
            "edition": scope.selection.edition,
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


def lines_of(part: object) -> Iterator[Mapping[str, Any]]:
    """Yield the lines of a part of a report: of rows under columns, and of objects as in form 2."""
    if isinstance(part, Mapping):
        names = part["columns"]
        yield from (dict(zip(names, row, strict=True)) for row in part["rows"])
    elif isinstance(part, Sequence):
        yield from part


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


def _never(lines: Sequence[NeverConnected], told_by: ToldBy) -> Document:
    by_source = told_by is ToldBy.SOURCE
    names = (
        *_where_names(told_by),
        *("basis", "due_on", "days_overdue", "site_required", "site_never_connected"),
        *(("substate", "hidden") if by_source else ("site_seen",)),
    )
    rows = [
        [
            *_where(line.where, told_by),
            line.duty.basis,
            line.duty.due_on.isoformat(),
            line.days_overdue,
            line.site_required,
            line.site_never,
            *(_state(line) if by_source else (line.site_seen,)),
        ]
        for line in lines
    ]
    return {"columns": names, "rows": rows}


def _state(line: NeverConnected) -> Sequence[str | None]:
    substate, hidden = line.substate, line.hidden
    return substate.value if substate is not None else None, hidden.value if hidden is not None else None


def _offline(lines: Sequence[WasOffline], told_by: ToldBy) -> Document:
    by_source = told_by is ToldBy.SOURCE
    names = (
        *_where_names(told_by),
        *("outages", "offline_milliseconds", "counted_milliseconds"),
        # Of one source its state at the end says what is counted of a site's.
        *(("offline_since",) if by_source else ("online", "required")),
    )
    rows = [
        [
            *_where(line.where, told_by),
            line.account.outages,
            line.account.offline // MILLISECOND,
            line.account.counted // MILLISECOND,
            *((instant_text(line.since),) if by_source else (line.account.online, line.account.sources)),
        ]
        for line in lines
    ]
    return {"columns": names, "rows": rows}


def _removals(lines: Sequence[SuspectedRemoval]) -> Document:
    rows = [[*_where(each.where, ToldBy.SOURCE), instant_text(each.since), each.days] for each in lines]
    return {"columns": (*_where_names(ToldBy.SOURCE), "offline_since", "days"), "rows": rows}


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


def _where_names(told_by: ToldBy) -> Sequence[str]:
    place = ("unit", "site", "class", "district")
    return place if told_by is ToldBy.SITE else ("source", *place)


def _where(of: Where, told_by: ToldBy) -> Sequence[object]:
    place = (of.unit, of.site, of.place_class, of.district)
    return place if told_by is ToldBy.SITE else (of.source_id, *place)


def _rate(rate: Decimal | None) -> str | None:
    # A number with a fraction has no single form to be signed.
    return None if rate is None else str(rate)
