"""Stored reports of a real catalog: what they tell, that they never change, and what a recomputation makes of them."""

import asyncio
import json
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from catalog.database import Database
from catalog.jurisdictions import Jurisdiction, save_jurisdiction
from catalog.model.rates import CountingRules
from catalog.period_report import PeriodReport, period_report
from catalog.rate_report import TooManySources, local_period
from catalog.reading import LOCAL, Region
from catalog.report_document import Making, Scope, content_hash, content_of, lines_of
from catalog.reports import View
from catalog.signing import SignatureInvalid, SigningKey, verify
from catalog.stored_reports import (
    NoSuchReport,
    ReportHead,
    RevisionRefused,
    list_reports,
    read_report,
    revise_report,
    store_report,
)
from gateway.reporting.tables import lay_out, shown
from tests.seed import (
    CANARIES,
    ELSEWHERE,
    GATEWAY,
    HERE,
    NOW,
    Change,
    add_evidence,
    apply,
    seed_every_state,
    seed_roll,
)

pytestmark = pytest.mark.postgres

KEY = SigningKey(bytes(range(32)))
FIRST, LAST = date(2026, 11, 1), date(2026, 11, 20)
PLACE = Jurisdiction(HERE, "示例区", "wuxi-2019", "cn-2025")
RULES = CountingRules(LOCAL, timedelta(hours=24))
MAKING = Making(NOW, "Li", None, "0.1.0", PLACE, "320299-2026-001", RULES)
HOUR = 3_600_000
EVERYWHERE = Region()


async def told(database: Database, region: Region, scope: Scope) -> PeriodReport:
    return await period_report(database, View(NOW, region), scope.period, RULES)


async def stored(database: Database, region: Region = EVERYWHERE) -> ReportHead:
    await save_jurisdiction(database, PLACE)
    scope = Scope(region, FIRST, LAST, local_period(FIRST, LAST, NOW))
    return await store_report(database, KEY, await told(database, region, scope), scope, MAKING)


async def document_of(database: Database, number: str, revision: int | None = None) -> Any:
    _, signed = await read_report(database, Region(), number, revision)
    return verify(signed, KEY.public_key).document


async def off_the_roll(database: Database, site_id: int, on: date) -> None:
    """Take back a duty, as when an entry turns out to be an error."""
    async with database.raw_connection() as connection:
        await connection.execute("UPDATE duty SET withdrawn_on = $2 WHERE site_id = $1", site_id, on)


async def test_a_report_tells_the_period_whole_as_of_its_end(database: Database) -> None:
    seeded = await seed_every_state(database)
    head = await stored(database)
    found = await document_of(database, head.number)
    content = found["content"]

    assert (head.number, head.revision, found["supersedes"]) == (f"{HERE}-2026-R0001", 1, None)
    assert found["scope"]["until"] == "2026-11-20T04:00:00.000000+00:00"
    assert found["made"]["edition"] == "320299-2026-001"
    assert found["made"]["profile"] == "wuxi-2019+cn-2025"
    assert (content["all"]["required"], content["all"]["connected"], content["all"]["outages"]) == (8, 5, 1)
    assert [row["key"] for row in content["rates"]["district"]] == [HERE]
    assert [row["key"] for row in content["rates"]["class"]] == ["WX8_07"]
    assert [row["key"] for row in content["rates"]["unit"]] == [f"示例单位 {HERE}"]
    assert content["all"]["rates"]["access_rate"] == "0.6250"
    never = list(lines_of(content["never_connected"]))
    assert [line["source"] for line in never] == list(seeded.source_ids[5:])
    assert {(line["due_on"], line["days_overdue"]) for line in never} == {("2026-11-01", 19)}
    assert [(line["site_never_connected"], line["site_required"]) for line in never] == [
        (2, 4),
        (1, 4),
        (2, 4),
    ]
    [offline] = lines_of(content["offline"])
    assert (offline["source"], offline["outages"]) == (seeded.source_ids[2], 1)
    assert offline["offline_milliseconds"] == 5 * HOUR
    assert offline["offline_since"] == "2026-11-19T23:00:00.000000+00:00"


async def test_a_report_tells_incidents_as_of_its_end_and_says_the_same_when_told_anew(
    database: Database,
) -> None:
    seeded = await seed_every_state(database)
    offline = seeded.source_ids[2]
    since = NOW - timedelta(hours=5)
    await add_evidence(
        database, offline, 20, "lost", since, "offline", "unreachable", incident="1-incident-1"
    )
    async with database.raw_connection() as connection:
        await connection.execute(
            "INSERT INTO incident VALUES ($1, '1-incident-1', $2, $2, $2, 'not_ours', 'self_test', 24)",
            GATEWAY,
            since,
        )
    head = await stored(database)
    content = (await document_of(database, head.number))["content"]
    await apply(database, [Change(offline, "online", NOW + timedelta(hours=1))])
    anew = await told(database, Region(), head.scope)

    [incident] = content["incidents"]
    assert (incident["name"], incident["fault"], incident["silent"]) == ("1-incident-1", "not_ours", 24)
    assert (incident["lost"], incident["sites"], incident["back"]) == (1, 1, 0)
    assert list(lines_of(content["suspected_removals"])) == []
    assert content_hash(content_of(anew)) == head.content_sha256
    elsewhere = await told(database, Region("61"), head.scope)
    assert elsewhere.incidents == ()


async def test_a_stored_report_never_changes_and_told_anew_is_a_revision(database: Database) -> None:
    seeded = await seed_every_state(database)
    first = await stored(database)
    before = await read_report(database, Region(), first.number)
    same = await told(database, Region(), first.scope)
    again = replace(MAKING, at=NOW + timedelta(days=3), reason="checked")
    with pytest.raises(RevisionRefused, match="revision 1 says"):
        await revise_report(database, KEY, same, first, again)

    await off_the_roll(database, seeded.site_ids[1], date(2026, 1, 1))
    anew = await told(database, Region(), first.scope)
    with pytest.raises(ValueError, match="a reason"):
        await revise_report(database, KEY, anew, first, replace(again, reason=" "))
    second = await revise_report(database, KEY, anew, first, replace(again, reason="entry in error"))
    await off_the_roll(database, seeded.site_ids[0], date(2026, 1, 1))
    third = await told(database, Region(), first.scope)
    with pytest.raises(RevisionRefused, match="meanwhile"):
        await revise_report(database, KEY, third, first, again)

    assert await read_report(database, Region(), first.number, 1) == before
    assert (second.revision, second.period) == (2, first.period)
    revised = await document_of(database, first.number)
    assert (revised["supersedes"], revised["made"]["reason"]) == (first.content_sha256, "entry in error")
    assert revised["content"]["all"]["required"] == 4
    assert [head.revision for head in (await list_reports(database, Region())).items] == [2, 1]
    async with database.raw_connection() as connection:
        for statement in ("UPDATE stored_report SET made_by = 'Wu'", "DELETE FROM stored_report"):
            with pytest.raises(Exception, match="append-only"):
                await connection.execute(statement)


async def test_numbers_count_and_a_region_sees_its_own_reports_alone(database: Database) -> None:
    await seed_roll(database, count=2)
    await seed_roll(database, count=2, district=ELSEWHERE)
    whole = await stored(database)
    own = await stored(database, Region(HERE))
    other = await stored(database, Region(ELSEWHERE))

    numbers = [f"{HERE}-2026-R0001", f"{HERE}-2026-R0002", f"{ELSEWHERE}-2026-R0001"]
    assert [head.number for head in (whole, own, other)] == numbers
    seen = await list_reports(database, Region("32"))
    assert [head.number for head in seen.items] == [own.number]
    with pytest.raises(NoSuchReport, match="report list"):
        await read_report(database, Region("32"), whole.number)
    with pytest.raises(NoSuchReport, match="revision 9"):
        await read_report(database, Region(), whole.number, 9)
    assert (await document_of(database, own.number))["content"]["all"]["required"] == 2
    first = await list_reports(database, Region(), limit=2)
    rest = await list_reports(database, Region(), cursor=first.next_cursor, limit=2)
    assert sorted(head.number for page in (first, rest) for head in page.items) == sorted(numbers)
    assert rest.next_cursor is None


async def test_an_empty_region_has_no_rates_rather_than_0_percent(database: Database) -> None:
    head = await stored(database, Region("99"))
    content = (await document_of(database, head.number))["content"]

    assert content["all"]["required"] == 0
    assert set(content["all"]["rates"].values()) == {None}
    assert content["rates"]["district"] == []
    assert [*lines_of(content["never_connected"]), *lines_of(content["offline"])] == []


async def test_a_region_with_too_many_sources_is_refused(database: Database) -> None:
    await seed_roll(database, count=3)
    period = local_period(FIRST, LAST, NOW)
    with pytest.raises(TooManySources, match="3 sources, 2 are counted"):
        await period_report(database, View(NOW), period, RULES, most=2)


@pytest.mark.parametrize("language", ["zh", "en"])
async def test_what_is_confidential_stands_in_no_report(database: Database, language: str) -> None:
    seeded = await seed_every_state(database)
    head = await stored(database)
    _, signed = await read_report(database, Region(), head.number)
    laid_out = lay_out(verify(signed), language)
    text = "\n".join(shown(cell) for table in laid_out.tables for row in table.rows for cell in row)

    for canary in (*CANARIES.values(), *seeded.codes):
        assert canary not in signed.decode()
        assert canary not in text
    assert "62.50 %" in text
    assert "示例公园 1" in text


async def test_what_is_signed_but_no_report_is_told_so() -> None:
    with pytest.raises(SignatureInvalid, match="no report"):
        lay_out(verify(KEY.sign({"kind": "muster evidence sheet", "form": 1})), "zh")
    with pytest.raises(SignatureInvalid, match="newer Muster"):
        lay_out(verify(KEY.sign({"kind": "muster report", "form": 4})), "zh")


async def test_two_at_once_get_two_numbers(database: Database) -> None:
    await seed_roll(database, count=2)
    await save_jurisdiction(database, PLACE)
    async with asyncio.TaskGroup() as tasks:
        both = [tasks.create_task(stored(database)) for _ in range(2)]
    numbers = {task.result().number for task in both}

    assert numbers == {f"{HERE}-2026-R0001", f"{HERE}-2026-R0002"}
    assert json.loads((await read_report(database, Region(), max(numbers)))[1])
