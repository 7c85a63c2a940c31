"""Cases of what must connect and never did: found by the system, carried on by people (WX-21, WX-34)."""

import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

import asyncpg

from catalog.database import Database, Statements
from catalog.model.case import CaseStep, Standing, StepRefused, Taken, require, standing
from catalog.model.connected_when import ALL_SOURCES, ANY_SOURCE, ConnectedWhen
from catalog.model.connectivity import State
from catalog.model.period import Period, merged, without
from catalog.reading import LOCAL, local_day, local_midnight
from catalog.reports import View
from catalog.signing import canonical

COULD_ACCEPT: Final = timedelta(hours=24)
"""How long without a break the platform must have been able to accept a connection: else the failure may be ours."""

RECTIFIED: Final = timedelta(hours=24)
"""How long a site must have been connected before an order counts as fulfilled."""

WITHIN: Final = 60.0
MOST: Final = 10_000


class NoSuchCase(ValueError):
    """Raised when a number belongs to no case."""


@dataclass(frozen=True)
class Candidate:
    """A site that a case could be opened for."""

    district: str
    site_id: int
    duty_id: int
    site: str
    unit: str
    due_on: date
    days_overdue: int
    never: int
    "Required sources that never connected."
    required: int
    longest_seen: timedelta
    "The longest time without a break in which its gateway could have accepted a connection."
    evidence: Mapping[str, object]

    @property
    def could_accept(self) -> bool:
        """Tell whether the platform gave the site its chance."""
        return self.longest_seen >= COULD_ACCEPT


@dataclass(frozen=True)
class Case:
    """A case and where it stands."""

    case_id: int
    number: str
    district: str
    site_id: int
    site: str
    unit: str
    due_on: date
    basis: str
    opened_at: datetime
    evidence: Mapping[str, Any]
    evidence_sha256: str
    steps: tuple[Taken, ...]
    standing: Standing

    @property
    def is_sound(self) -> bool:
        """Tell whether the evidence is what was hashed when the case was opened."""
        return _hash(self.evidence) == self.evidence_sha256


async def candidates(
    database: Database,
    view: View,
    *,
    rule: ConnectedWhen = ALL_SOURCES,
    site_id: int | None = None,
    most: int | None = None,
) -> list[Candidate]:
    """Return the sites of the view's region that are overdue and have no open case, the longest due first.

    Args:
        database: the catalog.
        view: region and present instant.
        rule: when a site counts as connected; it goes with the case.
        site_id: only this site, if it is one of them; None for any.
        most: so many at most; None for all.

    Raises:
        DatabaseAway: no answer.
    """
    today = local_day(view.now)
    async with database.snapshot() as snapshot:
        rows = await snapshot.fetch(
            "case_candidates",
            *(view.region.first, view.region.last, today, site_id, most, rule.share),
            within=WITHIN,
        )
        if not rows:
            return []
        gateways = sorted({row["gateway_id"] for row in rows})
        earliest = min(_from(row) for row in rows)
        blind = await snapshot.fetch(
            "history_gateway_overlays", gateways, earliest, view.now, view.stale_after, within=WITHIN
        )
    unseen: dict[str, list[Period]] = {gateway: [] for gateway in gateways}
    for row in blind:
        unseen[row["gateway_id"]].append(Period(row["started_at"], row["ended_at"]))
    merged_unseen = {gateway: merged(periods) for gateway, periods in unseen.items()}
    groups = itertools.groupby(rows, key=lambda row: row["site_id"])
    return [_candidate(list(group), merged_unseen, view.now, rule) for _, group in groups]


async def open_case(database: Database, candidate: Candidate, *, at: datetime) -> str | None:
    """Open a case and return its number; None when the site has one that has not ended.

    Raises:
        StepRefused: the platform could not have accepted the connection long enough.
        DatabaseAway: no answer.
    """
    if not candidate.could_accept:
        raise StepRefused(
            f"{candidate.site}: the platform could not have accepted a connection for {_hours(COULD_ACCEPT)} without a "
            f"break, at most {_hours(candidate.longest_seen)}: the failure may be ours"
        )
    async with database.transaction() as transaction:
        await transaction.execute("case_district_lock", candidate.district)
        if await transaction.fetchval("case_site_lock", candidate.site_id):
            return None
        number: str = await transaction.fetchval(
            "case_open",
            candidate.district,
            candidate.site_id,
            candidate.duty_id,
            at,
            local_day(at).year,
            json.dumps(candidate.evidence, ensure_ascii=False),
            _hash(candidate.evidence),
        )
    return number


async def list_cases(
    database: Statements,
    view: View,
    *,
    number: str | None = None,
    with_ended: bool = True,
    before: int | None = None,
    limit: int = MOST,
) -> list[Case]:
    """Return cases of the view's region, the newest first, as they stand today.

    Args:
        database: the catalog.
        view: region and present instant.
        number: only this one.
        with_ended: those that were withdrawn or closed, too.
        before: only those opened before the case with this id.
        limit: so many at most.

    Raises:
        DatabaseAway: no answer.
    """
    region = view.region
    rows = await database.fetch(
        "case_list", region.first, region.last, number, limit, with_ended, before, within=WITHIN
    )
    taken: dict[int, list[Taken]] = {row["case_id"]: [] for row in rows}
    for step in await database.fetch("case_steps", list(taken), within=WITHIN):
        taken[step["case_id"]].append(_taken(step))
    today = local_day(view.now)
    return [_case(row, tuple(taken[row["case_id"]]), today) for row in rows]


async def take_step(
    database: Database, number: str, step: CaseStep, *, at: datetime, person: str, detail: Mapping[str, str]
) -> Standing:
    """Take a step of a case and return where it stands then.

    Raises:
        NoSuchCase: there is none of this number.
        StepRefused: it does not lead on, lacks something, or what it says is not so.
        DatabaseAway: no answer.
    """
    async with database.transaction() as transaction:
        row = await transaction.fetchrow("case_lock", number)
        if row is None:
            raise NoSuchCase(f"there is no case {number!r}: `muster case list` shows them")
        steps = [_taken(each) for each in await transaction.fetch("case_steps", [row["case_id"]])]
        taken = Taken(step, at, local_day(at), person, dict(detail))
        require(steps, taken)
        if step is CaseStep.ORDER:
            _require_answered(await transaction.fetchval("dispute_open_of_site", row["site_id"]))
        if step is CaseStep.RECTIFY:
            # The rule that the case was opened by goes with it, whatever is configured since.
            rule = ALL_SOURCES if row["connected_when"] is None else ConnectedWhen.read(row["connected_when"])
            since = await transaction.fetchval("case_connected_since", row["site_id"], rule.share)
            _require_connected(since, at, rule)
        await transaction.execute(
            "case_take",
            row["case_id"],
            len(steps) + 1,
            step.value,
            at,
            taken.on,
            person,
            json.dumps(dict(detail), ensure_ascii=False),
        )
    return standing([*steps, taken], taken.on)


def _require_answered(dispute: int | None) -> None:
    if dispute is not None:
        raise StepRefused(
            f"nothing is ordered before dispute {dispute} about a source of the site is answered"
        )


def _require_connected(since: datetime | None, at: datetime, rule: ConnectedWhen) -> None:
    if since is None:
        raise StepRefused(f"required sources of the site have still never connected ({rule})")
    if at - since < RECTIFIED:
        raise StepRefused(
            f"the site has been connected ({rule}) since {since.astimezone(LOCAL):%Y-%m-%d %H:%M}; "
            f"an order is fulfilled after {_hours(RECTIFIED)}"
        )


def _candidate(
    rows: Sequence[asyncpg.Record],
    unseen: Mapping[str, Sequence[Period]],
    now: datetime,
    rule: ConnectedWhen,
) -> Candidate:
    first, today = rows[0], local_day(now)
    start = min(_from(row) for row in rows)
    seen = without([Period(start, now)], unseen[first["gateway_id"]]) if start < now else []
    longest = max((period.end - period.start for period in seen), default=timedelta())
    never = [row for row in rows if row["state"] == State.NEVER_CONNECTED]
    evidence: dict[str, object] = {
        "found_at": _instant(now),
        "unit": first["unit"],
        "system": first["system"],
        "site": first["site"],
        "class": first["class"],
        "district": first["district"],
        "duty": {
            "basis": first["basis"],
            "effective_from": first["effective_from"].isoformat(),
            "due_on": first["due_on"].isoformat(),
            "days_overdue": (today - first["due_on"]).days,
        },
        "connected": _connected(len(rows) - len(never), len(rows), rule),
        "platform": {
            "gateway": first["gateway_id"],
            "could_accept_from": _instant(start),
            "longest_without_break_seconds": int(longest.total_seconds()),
        },
        "sources": [
            {
                "number": row["source_id"],
                "code": row["gb_id"],
                "state": row["state"],
                "first_connected_at": _instant(row["first_connected_at"]),
                "seen_at": _instant(row["seen_at"]),
                "obstacle": row["obstacle"],
                "suspended": row["suspended_reason"],
            }
            for row in rows
        ],
    }
    return Candidate(
        district=first["district"],
        site_id=first["site_id"],
        duty_id=first["duty_id"],
        site=first["site"],
        unit=first["unit"],
        due_on=first["due_on"],
        days_overdue=(today - first["due_on"]).days,
        never=len(never),
        required=len(rows),
        longest_seen=longest,
        evidence=evidence,
    )


def _connected(connected: int, required: int, rule: ConnectedWhen) -> dict[str, object]:
    """Return how a site stands by the rule, and by the other readings of a text that is silent."""
    return {
        "when": str(rule),
        "required": required,
        "connected": connected,
        "needed": rule.needed(required),
        "by_any_source": ANY_SOURCE.holds(connected, required),
        "by_all_required_sources": ALL_SOURCES.holds(connected, required),
    }


def _from(row: asyncpg.Record) -> datetime:
    """Return since when a source could have connected: its duty in effect, and it on the roll."""
    effective = local_midnight(row["effective_from"])
    created: datetime = row["created_at"]
    return max(effective, created)


def _case(row: asyncpg.Record, steps: tuple[Taken, ...], today: date) -> Case:
    return Case(
        case_id=row["case_id"],
        number=row["number"],
        district=row["district"],
        site_id=row["site_id"],
        site=row["site"],
        unit=row["unit"],
        due_on=row["due_on"],
        basis=row["basis"],
        opened_at=row["opened_at"],
        evidence=json.loads(row["evidence"]),
        evidence_sha256=row["evidence_sha256"],
        steps=steps,
        standing=standing(steps, today),
    )


def _taken(row: asyncpg.Record) -> Taken:
    return Taken(CaseStep(row["step"]), row["at"], row["on_day"], row["person"], json.loads(row["detail"]))


def _hash(evidence: Mapping[str, object]) -> str:
    return hashlib.sha256(canonical(evidence)).hexdigest()


def _instant(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _hours(time: timedelta) -> str:
    return f"{time / timedelta(hours=1):.1f} h"
