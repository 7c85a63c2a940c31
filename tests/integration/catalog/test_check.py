"""`muster check` on a live database: silent when all holds, and able to find each break."""

from datetime import date, timedelta

import pytest

from catalog.check import INVARIANTS, check
from catalog.database import Database
from catalog.day_closing import DayClosing
from catalog.model.rates import CountingRules
from catalog.queries import load_queries
from catalog.reading import LOCAL
from tests.seed import NOW, seed_every_state

pytestmark = pytest.mark.postgres

BREAKS = {
    "check_overlapping_intervals": """
        INSERT INTO connectivity_interval (source_id, district, state, started_at, ended_at)
        SELECT source_id, district, 'online', since - interval '40 days', since
          FROM connectivity WHERE state = 'offline'""",
    "check_gaps_in_history": "UPDATE connectivity SET since = since + interval '1 hour' WHERE state = 'offline'",
    "check_states_without_evidence": """
        UPDATE connectivity SET state = 'offline'
         WHERE source_id = (SELECT min(source_id) FROM connectivity WHERE state = 'online')""",
    "check_counted": "UPDATE connectivity SET counted = false WHERE state = 'offline'",
    "check_places": "UPDATE connectivity SET site_id = site_id + 1 WHERE source_id = 1",
    "check_site_rollups": "UPDATE site_rollup SET n_never = n_never + 1, n_must = n_must + 1 WHERE site_id = 1",
    "check_bound_sites": "UPDATE site_rollup SET due_on = due_on + 1 WHERE site_id = 1",
    "check_district_rollups": "UPDATE district_rollup SET n_never = n_never + 1, n_must = n_must + 1",
    "check_default_partition": """
        INSERT INTO connectivity_interval (source_id, district, state, started_at, ended_at)
        VALUES (1, '320299', 'online', '1999-01-01Z', '1999-01-02Z')""",
    "check_public_entries": """
        WITH person AS (INSERT INTO unit (name, kind) VALUES ('某人', 'natural_person')),
             issue AS (
               INSERT INTO edition (district, number, profile, legal_basis, issued_by, contact, compiled_at,
                                    published_at, published_by, effective_from)
               VALUES ('320299', '1', 'p', 'b', 'i', 'c', now(), now(), 'x', now()) RETURNING edition_id)
        INSERT INTO edition_entry
        SELECT edition_id, 1, gen_random_uuid(), '某人', 'WX8_07', '320299', NULL, now(), 'WX-21.2' FROM issue""",
    "check_day_totals": "UPDATE day_account SET running = running + 1 WHERE site_id = 1",
    "check_duties": "UPDATE duty SET withdrawn_on = effective_from WHERE site_id = 1",
    "check_unconfirmed_connections": "UPDATE endpoint SET confirmed_at = NULL, confirmed_by = NULL",
}


async def prepare(database: Database) -> None:
    async with database.raw_connection() as connection:
        await connection.execute("SELECT ensure_partitions('2026-10-01', 3)")
    await seed_every_state(database)
    async with database.raw_connection() as connection:
        await connection.execute("UPDATE endpoint SET confirmed_at = now(), confirmed_by = 'test'")
    rules = CountingRules(LOCAL, timedelta(hours=24))
    await DayClosing(database, rules, timedelta(seconds=60)).close(date(2026, 11, 18), now=NOW)


async def test_a_sound_database_has_no_findings(database: Database) -> None:
    await prepare(database)

    assert await check(database) == []


@pytest.mark.parametrize("statement", list(INVARIANTS))
async def test_each_break_is_found(database: Database, statement: str) -> None:
    await prepare(database)
    async with database.raw_connection() as connection:
        await connection.execute(BREAKS[statement])

    assert INVARIANTS[statement] in {finding.invariant for finding in await check(database)}


def test_every_check_statement_is_run() -> None:
    assert {name for name in load_queries() if name.startswith("check_")} == set(INVARIANTS)
