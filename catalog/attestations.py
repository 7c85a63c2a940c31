"""What people attest of systems, and what the rules of the decrees say of each (`model/compliance.py`)."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import asyncpg

from catalog.database import Database
from catalog.fact_file import FactRow
from catalog.jurisdictions import load_jurisdictions
from catalog.model.codes import CivilCode
from catalog.model.compliance import Fact, Finding, Subject, check_fact, judge
from catalog.model.profile import Profile
from catalog.reading import Page, decode_cursor, encode_cursor, local_day
from catalog.reports import View
from catalog.roll_problem import Problems

WITHIN: Final = 60.0
"""Seconds for the statements of a file."""


class NoSuchSystem(ValueError):
    """Raised when a number belongs to no system of the region."""


@dataclass(frozen=True)
class Attested:
    """A fact, and who attested it on what."""

    fact: Fact
    value: str
    document: str
    attested_at: datetime
    attested_by: str


@dataclass(frozen=True)
class Claim:
    """A fact that a person attests now."""

    fact: Fact
    value: str
    document: str
    person: str


@dataclass(frozen=True)
class JudgedSystem:
    """A system, what was attested of it, and what the rules say."""

    system_id: int
    system: str
    unit: str
    district: str
    sites: tuple[str, ...]
    "The names of the first twenty."
    site_count: int
    facts: tuple[Attested, ...]
    "The last of each."
    findings: tuple[Finding, ...]
    profile: Profile


async def judged_systems(
    database: Database,
    view: View,
    *,
    cursor: str | None = None,
    limit: int = 100,
    system_id: int | None = None,
) -> Page[JudgedSystem]:
    """Return systems of the view's region by number, each judged as of the view's day.

    Raises:
        CursorInvalid: the cursor is not of this list.
        DatabaseAway: no answer.
    """
    before = decode_cursor(cursor, (int,))[0] if cursor else None
    jurisdictions = await load_jurisdictions(database)
    region = view.region
    rows = await database.fetch("attested_systems", region.first, region.last, before, limit + 1, system_id)
    shown = rows[:limit]
    facts = await _facts(database, [row["system_id"] for row in shown])
    found = []
    for row in shown:
        jurisdiction = jurisdictions.of(CivilCode(row["district"]))
        assert jurisdiction is not None  # a site's district is one
        found.append(_judged(row, facts.get(row["system_id"], ()), jurisdiction.effective(), view))
    more = encode_cursor(shown[-1]["system_id"]) if len(rows) > limit else None
    return Page(tuple(found), more)


async def attest(database: Database, view: View, system_id: int, claim: Claim) -> JudgedSystem:
    """Attest a fact of a system of the view's region, and return the system as it is judged then.

    Raises:
        NoSuchSystem: there is none in the region.
        FactInvalid: the fact cannot have that value.
        DatabaseAway: no answer.
    """
    kept = check_fact(claim.fact, claim.value, local_day(view.now))
    if not (await judged_systems(database, view, limit=1, system_id=system_id)).items:
        raise NoSuchSystem(f"there is no system {system_id}")
    await database.execute(
        "attest", system_id, claim.fact.value, kept, claim.document, view.now, claim.person
    )
    return (await judged_systems(database, view, limit=1, system_id=system_id)).items[0]


async def attest_all(database: Database, view: View, rows: Sequence[FactRow], person: str) -> int:
    """Attest the facts of a file, all of them or none; return of how many systems.

    Raises:
        RollInvalid: a row names no system of the view's region.
        DatabaseAway: no answer; nothing was kept.
    """
    async with database.transaction() as transaction:
        found = await transaction.fetch(
            "systems_named",
            view.region.first,
            view.region.last,
            [row.unit for row in rows],
            [row.system for row in rows],
            within=WITHIN,
        )
        systems = {(row["unit"], row["system"]): row["system_id"] for row in found}
        problems = Problems()
        for row in rows:
            if (row.unit, row.system) not in systems:
                message = ("名录中没有该单位的该系统", "the roll has no such system of this unit")
                problems.add(row.row, "system", "unknown_system", message)
        problems.raise_if_any()
        await transaction.executemany(
            "attest",
            [
                (systems[row.unit, row.system], row.fact.value, row.value, row.document, view.now, person)
                for row in rows
            ],
            within=WITHIN,
        )
    return len(systems)


async def _facts(database: Database, systems: list[int]) -> Mapping[int, list[Attested]]:
    found: defaultdict[int, list[Attested]] = defaultdict(list)
    for row in await database.fetch("attested_facts", systems):
        found[row["system_id"]].append(
            Attested(Fact(row["fact"]), row["value"], row["document"], row["attested_at"], row["attested_by"])
        )
    return found


def _judged(
    row: asyncpg.Record, facts: "list[Attested] | tuple[()]", profile: Profile, view: View
) -> JudgedSystem:
    subject = Subject(
        unit=row["unit"],
        classes=frozenset(row["classes"]),
        has_connected=row["has_connected"],
        facts={each.fact: each.value for each in facts},
        attested_on={each.fact: local_day(each.attested_at) for each in facts},
    )
    return JudgedSystem(
        system_id=row["system_id"],
        system=row["system"],
        unit=row["unit"],
        district=row["district"],
        sites=tuple(row["sites"]),
        site_count=row["site_count"],
        facts=tuple(facts),
        findings=judge(profile, subject, local_day(view.now)),
        profile=profile,
    )
