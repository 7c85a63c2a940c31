"""The import of a roll into a real PostgreSQL: by comparison, all or nothing, history kept, counts right."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from catalog.database import Database
from catalog.errors import CatalogError
from catalog.jurisdictions import Jurisdiction, Jurisdictions, load_jurisdictions, save_jurisdiction
from catalog.roll_file import read_roll
from catalog.roll_import import (
    FieldChange,
    ImportOrder,
    MassRetirement,
    RollDifference,
    apply_import,
    plan_import,
)
from tests.fakes.roll import (
    DISTRICT,
    JURISDICTIONS,
    WITH_BASE,
    WUXI_LIKE,
    anonymous_row,
    roll_csv,
    roll_row,
)

pytestmark = pytest.mark.postgres

NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
ORDER = ImportOrder("gateway-1", "li", NOW)
Rows = Sequence[Mapping[str, str]]


@pytest.fixture
async def catalog(database: Database) -> Database:
    """A catalog with one jurisdiction and one gateway, and nothing in it."""
    await save_jurisdiction(database, WUXI_LIKE)
    await database.execute("register_gateway", "gateway-1")
    return database


async def take_in(catalog: Database, rows: Rows, order: ImportOrder = ORDER) -> RollDifference:
    return await apply_import(catalog, read_roll(roll_csv(rows), JURISDICTIONS), JURISDICTIONS, order)


async def select(catalog: Database, statement: str) -> list[tuple[Any, ...]]:
    async with catalog.raw_connection() as connection:
        return [tuple(row) for row in await connection.fetch(statement)]


async def run(catalog: Database, statement: str) -> None:
    async with catalog.raw_connection() as connection:
        await connection.execute(statement)


async def sources(catalog: Database) -> list[tuple[Any, ...]]:
    return await select(catalog, "SELECT source_id, gb_id, lifecycle FROM source ORDER BY source_id")


async def counts_are_true(catalog: Database) -> bool:
    """Whether the stored roll-ups, sites and districts, equal a recount."""
    stored = "SELECT * FROM site_rollup ORDER BY site_id"
    districts = "SELECT * FROM district_rollup WHERE n_must > 0 ORDER BY district, gateway_id, bound_from"
    before = (await select(catalog, stored), await select(catalog, districts))
    await run(catalog, "SELECT recount_rollups(ARRAY(SELECT site_id FROM site))")
    after = (await select(catalog, stored), await select(catalog, districts))
    orphaned = await select(
        catalog,
        "SELECT FROM district_rollup d WHERE n_must <> (SELECT coalesce(sum(n_must), 0) FROM site_rollup r "
        "WHERE (r.district, r.gateway_id, r.bound_from) = (d.district, d.gateway_id, d.bound_from))",
    )
    return before == after and not orphaned


async def test_a_first_import_adds_every_row_as_never_connected(catalog: Database) -> None:
    difference = await take_in(catalog, [roll_row(1), roll_row(2), roll_row(3, site="分馆")])
    assert (len(difference.added), difference.changed, difference.retired) == (3, (), ())
    assert (
        await select(catalog, "SELECT state, counted, since FROM connectivity")
        == [("never_connected", True, NOW)] * 3
    )
    assert await select(catalog, "SELECT n_must, n_never, due_on::text FROM site_rollup ORDER BY 1") == [
        (1, 1, "2026-06-30"),
        (2, 2, "2026-06-30"),
    ]
    assert await select(catalog, "SELECT district, n_must, n_never FROM district_rollup") == [
        (DISTRICT, 3, 3)
    ]


async def test_an_attested_address_is_an_endpoint_confirmed_by_the_importer_and_another_is_not(
    catalog: Database,
) -> None:
    await take_in(catalog, [roll_row(1), roll_row(2, address_attested="no", credential_ref="", port="322")])
    found = await select(
        catalog,
        "SELECT protocol, port, path, origin, confirmed_by, confirmed_at, ref "
        "FROM endpoint LEFT JOIN credential USING (credential_id) ORDER BY source_id",
    )
    assert found == [
        ("rtsp", 554, "/channel/1", "roll", "roll:li", NOW, "library"),
        ("rtsps", 322, "/channel/2", "roll", None, None, None),
    ]


async def test_importing_the_same_file_again_changes_nothing(catalog: Database) -> None:
    rows = [roll_row(1), anonymous_row(2), roll_row(3, location_type="toilet"), roll_row(4, host="", port="",
            rtsp_path="", credential_ref="", address_attested="no")]  # fmt: skip
    await take_in(catalog, rows)
    before = await select(catalog, "SELECT xmin::text, * FROM source ORDER BY source_id")
    difference = await take_in(catalog, rows)
    assert difference.is_empty
    assert difference.unchanged == 4
    assert await select(catalog, "SELECT xmin::text, * FROM source ORDER BY source_id") == before


async def test_a_dry_run_prints_the_difference_and_changes_nothing(catalog: Database) -> None:
    await take_in(catalog, [roll_row(1), roll_row(2)])
    before = await sources(catalog)
    rows = read_roll(roll_csv([roll_row(1, host="192.0.2.200"), roll_row(3)]), JURISDICTIONS)
    difference = await plan_import(catalog, rows, JURISDICTIONS)
    assert [row.row for row in difference.added] == [3]
    assert [change.fields for change in difference.changed] == [
        (FieldChange("host", "192.0.2.2", "192.0.2.200"),)
    ]
    assert [source.gb_id for source in difference.retired] == ["99010200001320000002"]
    assert await sources(catalog) == before
    assert (await select(catalog, "SELECT host FROM endpoint ORDER BY 1"))[0] == ("192.0.2.2",)


async def test_a_changed_row_updates_its_source_and_keeps_its_identity(catalog: Database) -> None:
    await take_in(catalog, [roll_row(1)])
    changed = roll_row(1, host="192.0.2.200", mac="02:00:00:00:99:99", site="新馆", connect_due_date="2026-12-31",
                       credential_ref="new", address_attested="no")  # fmt: skip
    difference = await take_in(catalog, [changed])
    assert {field.column for change in difference.changed for field in change.fields} == {
        "host", "mac", "site", "connect_due_date", "credential_ref", "address_attested",
    }  # fmt: skip
    assert await sources(catalog) == [(1, "99010200001320000001", "required")]
    assert await select(catalog, "SELECT host, confirmed_at FROM endpoint") == [("192.0.2.200", None)]
    assert await select(
        catalog, "SELECT t.name, n_must FROM site_rollup JOIN site t USING (site_id) ORDER BY site_id"
    ) == [("示范区图书馆主楼", 0), ("新馆", 1)]
    assert await select(catalog, "SELECT due_on::text, withdrawn_on::text FROM duty ORDER BY duty_id") == [
        ("2026-06-30", "2026-11-21"),
        ("2026-12-31", None),
    ]
    assert await counts_are_true(catalog)


async def test_a_withdrawn_row_is_retired_and_its_history_stays(catalog: Database) -> None:
    await take_in(catalog, [roll_row(1), roll_row(2, site="分馆")])
    await run(
        catalog,
        "INSERT INTO connectivity_interval (source_id, district, state, started_at, ended_at) "
        f"VALUES (2, '{DISTRICT}', 'online', '2026-11-01', '2026-11-02')",
    )
    difference = await take_in(catalog, [roll_row(1)])
    assert [source.source_id for source in difference.retired] == [2]
    assert await select(catalog, "SELECT lifecycle, retired_at FROM source WHERE source_id = 2") == [
        ("removed", NOW)
    ]
    assert await select(catalog, "SELECT counted FROM connectivity WHERE source_id = 2") == [(False,)]
    assert len(await select(catalog, "SELECT FROM connectivity_interval")) == 1
    assert await select(catalog, "SELECT withdrawn_on IS NOT NULL FROM duty ORDER BY site_id") == [
        (False,),
        (True,),
    ]
    assert await select(catalog, "SELECT n_must, n_never FROM district_rollup WHERE n_must > 0") == [(1, 1)]
    assert await counts_are_true(catalog)


async def test_a_code_used_again_after_its_source_was_removed_is_a_new_source(catalog: Database) -> None:
    await take_in(catalog, [roll_row(1), roll_row(2)])
    await take_in(catalog, [roll_row(2)])
    difference = await take_in(catalog, [roll_row(1), roll_row(2)])
    assert len(difference.added) == 1
    assert await sources(catalog) == [
        (1, "99010200001320000001", "removed"),
        (2, "99010200001320000002", "required"),
        (3, "99010200001320000001", "required"),
    ]


async def test_a_row_given_its_20_digit_code_later_is_the_same_source(catalog: Database) -> None:
    await take_in(catalog, [anonymous_row(1)])
    difference = await take_in(catalog, [roll_row(1)])
    assert [change.fields for change in difference.changed] == [
        (FieldChange("gb_id", None, "99010200001320000001"),)
    ]
    assert await sources(catalog) == [(1, "99010200001320000001", "required")]


async def test_an_address_may_change_under_a_mac_without_making_a_new_source(catalog: Database) -> None:
    await take_in(catalog, [anonymous_row(1)])
    difference = await take_in(catalog, [anonymous_row(1, host="192.0.2.77")])
    assert len(difference.changed) == 1
    assert len(await sources(catalog)) == 1


async def test_a_blank_cell_keeps_what_operators_entered(catalog: Database) -> None:
    blank = roll_row(1, location_type="", mac="", serial="", credential_ref="", address_attested="no")
    await take_in(catalog, [blank])
    await run(catalog, "UPDATE source SET location_type = 'lobby', mac = '02:00:00:00:00:aa', serial = 'S-9'")
    await run(catalog, "INSERT INTO credential (ref) VALUES ('typed-in')")
    await run(catalog, "UPDATE endpoint SET credential_id = 1, confirmed_at = now(), confirmed_by = 'wang'")
    assert (await take_in(catalog, [blank])).is_empty
    await take_in(catalog, [{**blank, "connect_due_date": "2026-12-01"}])
    assert await select(catalog, "SELECT location_type, mac, serial FROM source") == [
        ("lobby", "02:00:00:00:00:aa", "S-9")
    ]
    assert await select(catalog, "SELECT credential_id, confirmed_by FROM endpoint") == [(1, "wang")]


async def test_an_attestation_taken_back_withdraws_the_confirmation_of_the_roll_alone(
    catalog: Database,
) -> None:
    await take_in(catalog, [roll_row(1), roll_row(2)])
    await run(catalog, "UPDATE endpoint SET confirmed_by = 'wang' WHERE source_id = 2")
    rows = [roll_row(number, address_attested="no") for number in (1, 2)]
    await take_in(catalog, rows)
    assert await select(catalog, "SELECT confirmed_by FROM endpoint ORDER BY source_id") == [
        (None,),
        ("wang",),
    ]
    assert (await take_in(catalog, rows)).is_empty


async def test_endpoints_that_no_roll_gave_are_left_alone(catalog: Database) -> None:
    await take_in(catalog, [roll_row(1)])
    await run(
        catalog,
        "INSERT INTO endpoint (source_id, protocol, host, port, path, origin) "
        "VALUES (1, 'rtsp', '198.51.100.1', 554, '/found', 'sighting')",
    )
    await take_in(catalog, [roll_row(1, host="192.0.2.123")])
    assert await select(catalog, "SELECT host, origin FROM endpoint ORDER BY endpoint_id") == [
        ("198.51.100.1", "sighting"),
        ("192.0.2.123", "roll"),
    ]


async def test_a_forbidden_location_is_rejected_with_its_article_and_admitted_once_corrected(
    catalog: Database,
) -> None:
    difference = await take_in(catalog, [roll_row(1, location_type="toilet")])
    assert [row.rejected_by for row in difference.rejected] == ["WX-9"]
    assert await select(catalog, "SELECT lifecycle, lifecycle_reason FROM source") == [("rejected", "WX-9")]
    assert await select(catalog, "SELECT n_must FROM site_rollup") == [(0,)]
    assert await select(catalog, "SELECT FROM duty") == []
    await take_in(catalog, [roll_row(1, location_type="lobby")])
    assert await select(catalog, "SELECT lifecycle, lifecycle_reason FROM source") == [("required", None)]
    assert await select(catalog, "SELECT n_must, n_never FROM site_rollup") == [(1, 1)]
    assert len(await select(catalog, "SELECT FROM duty")) == 1
    assert await counts_are_true(catalog)


async def test_a_source_rejected_by_a_person_is_not_admitted_by_a_roll(catalog: Database) -> None:
    await take_in(catalog, [roll_row(1)])
    await run(catalog, "UPDATE source SET lifecycle = 'rejected', lifecycle_reason = 'duplicate_identity'")
    await run(catalog, "UPDATE connectivity SET counted = false")
    await take_in(catalog, [roll_row(1, host="192.0.2.50")])
    assert await select(catalog, "SELECT lifecycle, lifecycle_reason FROM source") == [
        ("rejected", "duplicate_identity")
    ]


async def test_a_connected_source_keeps_its_state_when_its_row_changes(catalog: Database) -> None:
    await take_in(catalog, [roll_row(1), roll_row(2)])
    since = NOW - timedelta(hours=5)
    await run(
        catalog,
        f"UPDATE connectivity SET state = 'online', since = '{since}', first_connected_at = '{since}' "
        "WHERE source_id = 1",
    )
    await take_in(catalog, [roll_row(1, site="新馆"), roll_row(2)])
    assert await select(catalog, "SELECT state, since, site_id FROM connectivity WHERE source_id = 1") == [
        ("online", since, 2)
    ]
    assert await select(
        catalog, "SELECT site_id, n_must, n_never, n_online, first_connected_at FROM site_rollup ORDER BY 1"
    ) == [(1, 1, 1, 0, None), (2, 1, 0, 1, since)]


async def test_a_natural_person_stays_one_when_a_later_file_does_not_say(catalog: Database) -> None:
    await take_in(catalog, [roll_row(1, unit="某某水果摊点", unit_kind="个人")])
    await take_in(catalog, [roll_row(1, unit="某某水果摊点", host="192.0.2.9")])
    assert await select(catalog, "SELECT kind FROM unit") == [("natural_person",)]


async def test_a_file_that_would_retire_most_of_the_roll_needs_a_word(catalog: Database) -> None:
    await take_in(catalog, [roll_row(number) for number in range(1, 31)])
    with pytest.raises(MassRetirement, match="29 of 30"):
        await take_in(catalog, [roll_row(1)])
    assert {lifecycle for _, _, lifecycle in await sources(catalog)} == {"required"}
    await take_in(catalog, [roll_row(1)], ImportOrder("gateway-1", "li", NOW, allow_mass_retirement=True))
    assert await select(catalog, "SELECT count(*) FROM source WHERE lifecycle = 'removed'") == [(29,)]
    assert await counts_are_true(catalog)


async def test_a_failure_in_the_middle_leaves_nothing_behind(catalog: Database) -> None:
    with pytest.raises(CatalogError):
        await take_in(catalog, [roll_row(1)], ImportOrder("no-such-gateway", "li", NOW))
    assert (
        await select(catalog, "SELECT FROM unit UNION ALL SELECT FROM source UNION ALL SELECT FROM duty")
        == []
    )


async def test_a_roll_reaches_the_whole_jurisdiction_and_nothing_outside(database: Database) -> None:
    city = Jurisdiction("990100", "示范市", "wuxi-2019", None)
    other = Jurisdiction("990200", "他市", "wuxi-2019", None)
    await save_jurisdiction(database, city)
    await save_jurisdiction(database, other)
    await database.execute("register_gateway", "gateway-1")
    first = [
        roll_row(1, civil_code="990102"),
        roll_row(2, civil_code="990103", site="三区馆"),
        roll_row(3, civil_code="990201", site="他市馆"),
    ]
    jurisdictions = await load_jurisdictions(database)
    await apply_import(database, read_roll(roll_csv(first), jurisdictions), jurisdictions, ORDER)
    jurisdictions = await load_jurisdictions(database)
    assert {item.district for item in jurisdictions} == {"990100", "990102", "990103", "990200", "990201"}
    difference = await apply_import(
        database, read_roll(roll_csv(first[:1]), jurisdictions), jurisdictions, ORDER
    )
    assert [source.source_id for source in difference.retired] == [2]
    assert await select(
        database, "SELECT district, n_must FROM district_rollup WHERE n_must > 0 ORDER BY 1"
    ) == [
        ("990102", 1),
        ("990201", 1),
    ]


async def test_a_site_that_changes_its_district_takes_its_counts_along(database: Database) -> None:
    await save_jurisdiction(database, Jurisdiction("990100", "示范市", "wuxi-2019", None))
    await database.execute("register_gateway", "gateway-1")
    jurisdictions: Jurisdictions = await load_jurisdictions(database)
    for code in ("990102", "990103"):
        rows = read_roll(roll_csv([roll_row(1, civil_code=code)]), jurisdictions)
        await apply_import(database, rows, jurisdictions, ORDER)
    assert await select(
        database, "SELECT district, n_must FROM district_rollup WHERE n_must > 0 ORDER BY 1"
    ) == [
        ("990103", 1),
    ]
    assert await select(
        database, "SELECT district FROM site_rollup UNION ALL SELECT district FROM connectivity"
    ) == [
        ("990103",),
        ("990103",),
    ]
    assert await counts_are_true(database)


async def test_the_districts_inside_a_jurisdiction_follow_its_profile(database: Database) -> None:
    await save_jurisdiction(database, Jurisdiction("990100", "示范市", "wuxi-2019", None))
    await save_jurisdiction(database, WUXI_LIKE)
    await save_jurisdiction(database, Jurisdiction("990100", "示范市", "wuxi-2019", "cn-2025"))
    found = {item.district: item.base_profile for item in await load_jurisdictions(database)}
    assert found == {"990100": "cn-2025", "990102": WITH_BASE.base_profile}


async def test_another_credential_forgets_the_refusals_of_the_former_one(catalog: Database) -> None:
    await take_in(catalog, [roll_row(1), roll_row(2)])
    await run(catalog, "UPDATE endpoint SET refusals = 2, refused_at = now(), refused_credential_version = 1")
    await take_in(catalog, [roll_row(1, credential_ref="new"), roll_row(2, credential_ref="")])
    assert await select(
        catalog,
        "SELECT k.ref, refusals, refused_at IS NULL, refused_credential_version FROM endpoint "
        "JOIN credential k USING (credential_id) ORDER BY source_id",
    ) == [("new", 0, True, None), ("library", 2, False, 1)]
