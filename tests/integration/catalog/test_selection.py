"""Reports about a part of a region: places of a class, one unit's, what an edition lists."""

from dataclasses import replace
from datetime import date

import pytest

from catalog.database import Database
from catalog.jurisdictions import Jurisdiction, save_jurisdiction
from catalog.period_report import period_report
from catalog.rate_report import By, HowMany, TooManySources, local_period, rate_report
from catalog.reading import Selection, local_midnight
from catalog.reports import Reports, View
from catalog.selection import SelectionUnknown, entries_of, require_selection
from catalog.site_report import site_report
from tests.day_worlds import FIRST, RULES, STALE_AFTER, TODAY, close_all, mend_all
from tests.seed import ELSEWHERE, HERE, NOW, Change, Seeded, apply, seed_roll

pytestmark = pytest.mark.postgres

PERIOD = local_period(FIRST, date(2026, 11, 19), NOW)


def unit_of(district: str) -> str:
    return f"示例单位 {district}"


EVERYTHING = Selection()


def view(selection: Selection = EVERYTHING) -> View:
    return View(NOW, stale_after=STALE_AFTER, selection=selection)


async def two_units(database: Database) -> tuple[Seeded, Seeded]:
    """Two units in two districts; half of the sites of each are of another class; some are offline."""
    await save_jurisdiction(database, Jurisdiction(HERE, "示例区", "wuxi-2019", "cn-2025"))
    here, there = await seed_roll(database, count=4), await seed_roll(database, count=4, district=ELSEWHERE)
    async with database.raw_connection() as connection:
        await connection.execute("UPDATE site SET class = 'WX8_03' WHERE site_id % 2 = 0")
    begun = local_midnight(FIRST)
    lost = [here.source_ids[0], here.source_ids[1], there.source_ids[0]]
    await apply(database, [Change(source, "online", begun) for source in lost])
    await apply(database, [Change(source, "offline", local_midnight(TODAY)) for source in lost])
    return here, there


async def listed_as(database: Database, number: str, sites: tuple[int, ...]) -> None:
    """Publish an edition of the duties of some sites."""
    async with database.raw_connection() as connection:
        edition = await connection.fetchval(
            "INSERT INTO edition (district, number, profile, legal_basis, issued_by, contact, compiled_at, "
            "published_at, published_by, effective_from) "
            "VALUES ($1, $2, 'p', 'b', 'i', 'c', now(), now(), 'x', now()) RETURNING edition_id",
            HERE,
            number,
        )
        await connection.execute(
            "INSERT INTO edition_entry "
            "SELECT $1, row_number() OVER (), entry_id, 'u', 'WX8_07', $3, 's', due_on, basis "
            "FROM duty WHERE site_id = ANY ($2::bigint[])",
            edition,
            sites,
            HERE,
        )


@pytest.mark.parametrize(
    ("selection", "sites"),
    [
        (EVERYTHING, {1, 2, 3, 4}),
        (Selection(unit=unit_of(HERE)), {1, 2}),
        (Selection(place_class="WX8_03"), {2, 4}),
        (Selection(place_class="WX8_03", unit=unit_of(ELSEWHERE)), {4}),
        (Selection(place_class="WX8_01"), set()),
    ],
)
async def test_lists_rates_and_reports_tell_the_same_part(
    database: Database, selection: Selection, sites: set[int]
) -> None:
    await two_units(database)
    await close_all(database)
    await mend_all(database)
    looked = view(selection)
    reports = Reports(database)

    never = await reports.never_connected(looked)
    offline = await reports.offline(looked)
    by_source = await period_report(database, looked, PERIOD, RULES)
    by_site = await site_report(database, looked, PERIOD, RULES)
    rates = await rate_report(
        database, looked, PERIOD, by=By.SITE, rules=RULES, how_many=HowMany(told_singly=0)
    )

    listed = {row.place.site_id for row in never.items} | {row.place.site_id for row in offline.items}
    assert listed == sites
    assert {int(row.key) for row in rates.rows} == sites
    assert by_source.all.sources == by_site.all.sources == 2 * len(sites)
    assert {line.site_id for line in by_source.never_connected} == {row.place.site_id for row in never.items}
    assert {line.site_id for line in by_site.never_connected} == {row.place.site_id for row in never.items}
    assert replace(by_site.all, raw_days=by_source.all.raw_days) == by_source.all


async def test_an_edition_binds_what_it_lists_alone(database: Database) -> None:
    here, there = await two_units(database)
    await listed_as(database, "N-1", (here.site_ids[0], there.site_ids[1]))
    looked = view(Selection(edition="N-1"))

    report = await period_report(database, looked, PERIOD, RULES)

    assert len(await entries_of(database, "N-1")) == 2
    assert report.all.sources == 4
    assert {line.site_id for line in report.never_connected} <= {here.site_ids[0], there.site_ids[1]}
    with pytest.raises(ValueError, match="told by source"):
        await site_report(database, looked, PERIOD, RULES)


async def test_the_bound_on_sources_is_of_what_is_selected(database: Database) -> None:
    await two_units(database)
    await period_report(database, view(Selection(unit=unit_of(HERE))), PERIOD, RULES, most=4)
    with pytest.raises(TooManySources):
        await period_report(database, view(), PERIOD, RULES, most=4)


@pytest.mark.parametrize(
    ("selection", "told"),
    [
        (Selection(unit="无此单位"), "no unit '无此单位'"),
        (Selection(place_class="WX9_99"), "class 'WX9_99'"),
        (Selection(edition="2026-1"), "no edition '2026-1'"),
    ],
)
async def test_what_is_selected_must_exist(database: Database, selection: Selection, told: str) -> None:
    await two_units(database)
    with pytest.raises(SelectionUnknown, match=told):
        await require_selection(database, selection)


async def test_what_exists_may_be_selected(database: Database) -> None:
    here, _ = await two_units(database)
    await listed_as(database, "N-1", here.site_ids)
    await require_selection(database, Selection("WX8_03", unit_of(HERE), "N-1"))
    await require_selection(database, EVERYTHING)
