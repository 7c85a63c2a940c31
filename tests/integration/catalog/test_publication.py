"""Editions of the public catalog from a real PostgreSQL: what is published, what never is."""

import csv
import io
import json
import string
from datetime import UTC, date, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalog.database import Database
from catalog.jurisdictions import Jurisdiction, save_jurisdiction
from catalog.public_rendering import CSV_HEADINGS, public_document, render_csv, render_json
from catalog.publication import (
    UNNAMED_PERSON,
    Imprint,
    NoPublicCatalog,
    NotYetPublished,
    PublicationRefused,
    Published,
    compile_edition,
    fetch_public,
    list_editions,
    publish,
    withdraw_edition,
)
from catalog.roll_file import read_roll
from catalog.roll_import import ImportOrder, apply_import
from gateway.console.public_page import Shown, render_html
from tests.fakes.roll import DISTRICT, JURISDICTIONS, SHAANXI_LIKE, WITH_BASE, WUXI_LIKE, roll_csv, roll_row

pytestmark = pytest.mark.postgres

NOW = datetime(2026, 11, 20, 16, 30, tzinfo=UTC)
"""Already the 21st in Shanghai."""
IMPRINT = Imprint("示范市公安局", "示范市公安局科信处，0000-0000000", "secretkeeper-li")


@pytest.fixture
async def catalog(database: Database) -> Database:
    """A catalog with one jurisdiction and one gateway."""
    await save_jurisdiction(database, WUXI_LIKE)
    await database.execute("register_gateway", "gateway-1")
    return database


async def take_in(catalog: Database, rows: list[dict[str, str]]) -> None:
    order = ImportOrder("gateway-1", "li", NOW, allow_mass_retirement=True)
    await apply_import(catalog, read_roll(roll_csv(rows), JURISDICTIONS), JURISDICTIONS, order)


async def publish_now(catalog: Database, jurisdiction: Jurisdiction = WUXI_LIKE) -> Published:
    draft = await compile_edition(catalog, jurisdiction, at=NOW)
    await publish(catalog, draft, IMPRINT, at=NOW)
    view = await fetch_public(catalog, jurisdiction)
    assert isinstance(view, Published)
    return view


async def run(catalog: Database, statement: str, *args: object) -> None:
    async with catalog.raw_connection() as connection:
        await connection.execute(statement, *args)


async def test_an_edition_has_one_row_a_duty_with_the_public_fields_alone(catalog: Database) -> None:
    await take_in(
        catalog, [roll_row(1), roll_row(2), roll_row(3, site="分馆", connect_due_date="2026-12-31")]
    )
    view = await publish_now(catalog)
    document: dict[str, Any] = json.loads(render_json(view))
    assert [entry["site_public_name"] for entry in document["entries"]] in (
        ["示范区图书馆主楼", "分馆"],
        ["分馆", "示范区图书馆主楼"],
    )
    entry = next(entry for entry in document["entries"] if entry["site_public_name"] == "分馆")
    assert set(entry) == {
        "entry_id",
        "duty_holder_name",
        "site_category",
        "site_category_title",
        "district",
        "site_public_name",
        "connect_due_date",
        "duty_basis",
        "duty_basis_article",
    }
    assert (entry["duty_holder_name"], entry["site_category"], entry["district"]) == (
        "示范区图书馆",
        "WX8_01",
        DISTRICT,
    )
    assert (entry["connect_due_date"], entry["duty_basis"]) == ("2026-12-31", "WX-21.3")
    assert document["status"] == "published"
    assert [item["id"] for item in document["legal_basis"]] == ["WX-21.3"]
    assert document["edition"] == {
        "number": f"{DISTRICT}-2026-001",
        "issued_by": "示范市公安局",
        "contact": "示范市公安局科信处，0000-0000000",
        "published_at": "2026-11-21T00:30:00+08:00",
        "effective_from": "2026-11-21",
        "effective_to": None,
        "withdrawn_at": None,
        "withdrawal_reason": None,
    }


async def test_the_csv_says_the_same_as_the_json(catalog: Database) -> None:
    await take_in(catalog, [roll_row(1, site="=HYPERLINK(1)"), roll_row(2, site="分馆")])
    view = await publish_now(catalog)
    rows = list(csv.reader(io.StringIO(render_csv(view).decode("utf-8-sig"))))
    assert tuple(rows[0]) == CSV_HEADINGS
    assert sorted(row[6] for row in rows[1:]) == ["'=HYPERLINK(1)", "分馆"]
    assert {row[1] for row in rows[1:]} == {str(entry.entry_id) for entry in view.entries}


@pytest.mark.parametrize("place_class", ["WX8_02", "WX8_03"])
async def test_the_site_names_of_sensitive_classes_are_withheld(catalog: Database, place_class: str) -> None:
    await take_in(catalog, [roll_row(1, class_=place_class, site="滨河油库")])
    draft = await compile_edition(catalog, WUXI_LIKE, at=NOW)
    assert [(item.site_name, item.holder) for item in draft.entries] == [(None, "示范区图书馆")]
    assert [item.reason for item in draft.withheld] == ["class"]
    assert "滨河油库".encode() not in render_json(await publish_now(catalog))


async def test_no_natural_person_is_named(catalog: Database) -> None:
    await take_in(catalog, [roll_row(1, unit="赵某某", site="赵某某小吃店", unit_kind="个人")])
    view = await publish_now(catalog)
    assert [(entry.holder, entry.site_name) for entry in view.entries] == [(UNNAMED_PERSON, None)]
    published = render_json(view) + render_csv(view)
    assert "赵某某".encode() not in published
    assert IMPRINT.published_by.encode() not in published


async def test_a_site_name_that_repeats_a_confidential_value_is_withheld(catalog: Database) -> None:
    await take_in(
        catalog,
        [
            roll_row(1, site="一号楼 99010200001320000001"),
            roll_row(2, site="二号楼 192.0.2.3"),
            roll_row(3, site="三号楼 SN-ABCDEFGH", serial="SN-ABCDEFGH"),
            roll_row(4, site="四号楼"),
        ],
    )
    draft = await compile_edition(catalog, WUXI_LIKE, at=NOW)
    assert sorted(item.site_name or "" for item in draft.entries) == ["", "", "", "四号楼"]
    assert [item.reason for item in draft.withheld] == ["confidential_text"] * 3


async def test_a_unit_whose_name_repeats_a_confidential_value_stops_the_publication(
    catalog: Database,
) -> None:
    await take_in(catalog, [roll_row(1, unit="图书馆 192.0.2.2")])
    with pytest.raises(PublicationRefused, match="correct the roll") as caught:
        await compile_edition(catalog, WUXI_LIKE, at=NOW)
    assert "192.0.2.2" not in str(caught.value)


async def test_editions_are_numbered_by_year_and_the_older_one_ends_where_the_newer_begins(
    catalog: Database,
) -> None:
    await take_in(catalog, [roll_row(1)])
    first = await publish_now(catalog)
    await take_in(catalog, [roll_row(1), roll_row(2, site="分馆")])
    draft = await compile_edition(catalog, WUXI_LIKE, at=NOW, effective_from=date(2026, 12, 1))
    await publish(catalog, draft, IMPRINT, at=NOW)
    later = datetime(2026, 12, 31, 17, 0, tzinfo=UTC)
    await publish(catalog, await compile_edition(catalog, WUXI_LIKE, at=later), IMPRINT, at=later)
    editions = await list_editions(catalog, WUXI_LIKE)
    assert [(item.number, item.effective_from, item.effective_to) for item in editions] == [
        (f"{DISTRICT}-2027-001", date(2027, 1, 1), None),
        (f"{DISTRICT}-2026-002", date(2026, 12, 1), date(2027, 1, 1)),
        (f"{DISTRICT}-2026-001", date(2026, 11, 21), date(2026, 12, 1)),
    ]
    again = await fetch_public(catalog, WUXI_LIKE, f"{DISTRICT}-2026-001")
    assert isinstance(again, Published)
    assert again.entries == first.entries


async def test_a_withdrawn_edition_stays_readable_with_its_reason_and_the_one_before_counts_again(
    catalog: Database,
) -> None:
    await take_in(catalog, [roll_row(1)])
    first = await publish_now(catalog)
    await take_in(catalog, [roll_row(1), roll_row(2, site="分馆")])
    second = await publish_now(catalog)
    later = NOW + timedelta(days=1)

    async def withdraw(number: str, reason: str) -> None:
        await withdraw_edition(catalog, WUXI_LIKE, number, reason=reason, person="li", at=later)

    for number, reason, words in (
        (second.edition.number, " ", "must be given"),
        (second.edition.number, "see 192.0.2.7", "without codes"),
        ("nothing", "a mistake", "no edition"),
    ):
        with pytest.raises(PublicationRefused, match=words):
            await withdraw(number, reason)
    await withdraw(second.edition.number, "条目重复")
    with pytest.raises(PublicationRefused, match="withdrawn before"):
        await withdraw(second.edition.number, "again")
    now = await fetch_public(catalog, WUXI_LIKE)
    old = await fetch_public(catalog, WUXI_LIKE, second.edition.number)

    assert isinstance(now, Published)
    assert isinstance(old, Published)
    assert (now.edition.number, now.edition.effective_to) == (first.edition.number, None)
    assert (old.edition.withdrawn_at, old.edition.withdrawal_reason) == (later, "条目重复")
    assert old.entries == second.entries
    document = public_document(old)["edition"]
    assert isinstance(document, dict)
    assert document["withdrawal_reason"] == "条目重复"
    assert "2026-11-22" in render_csv(old).decode("utf-8-sig")
    for language, words in (("zh", "已撤回"), ("en", "was withdrawn on")):
        page = render_html(old, language, Shown())
        assert words in page
        assert "条目重复" in page
        assert words not in render_html(now, language, Shown())
    await withdraw(first.edition.number, "全部撤回")
    assert isinstance(await fetch_public(catalog, WUXI_LIKE), NotYetPublished)


async def test_a_published_edition_does_not_change_with_the_roll_or_the_profile(catalog: Database) -> None:
    await take_in(catalog, [roll_row(1)])
    view = await publish_now(catalog)
    await take_in(catalog, [roll_row(1, unit="新单位", connect_due_date="2027-01-01")])
    await save_jurisdiction(catalog, WITH_BASE)
    later = await fetch_public(catalog, WITH_BASE)
    assert isinstance(later, Published)
    assert later.entries == view.entries
    async with catalog.raw_connection() as connection:
        with pytest.raises(asyncpg.PostgresError, match="append-only"):
            await connection.execute("UPDATE edition_entry SET holder = 'x'")


async def test_an_entry_keeps_its_number_from_edition_to_edition_and_embeds_no_code(
    catalog: Database,
) -> None:
    await take_in(catalog, [roll_row(1)])
    first, second = await publish_now(catalog), await publish_now(catalog)
    assert [entry.entry_id for entry in first.entries] == [entry.entry_id for entry in second.entries]
    assert first.entries[0].entry_id.version == 4


async def test_a_withdrawn_duty_is_in_no_later_edition(catalog: Database) -> None:
    await take_in(catalog, [roll_row(1), roll_row(2, site="分馆")])
    await take_in(catalog, [roll_row(1)])
    assert [entry.site_name for entry in (await publish_now(catalog)).entries] == ["示范区图书馆主楼"]


async def test_before_the_first_edition_the_public_is_told_so(catalog: Database) -> None:
    view = await fetch_public(catalog, WUXI_LIKE)
    assert isinstance(view, NotYetPublished)
    assert json.loads(render_json(view))["status"] == "not_yet_published"
    assert isinstance(await fetch_public(catalog, WUXI_LIKE, "no-such-number"), NotYetPublished)


@pytest.mark.parametrize(
    ("jurisdiction", "requirement"),
    [(SHAANXI_LIKE, "SX-5(3)"), (Jurisdiction(DISTRICT, "示范区", "cn-2025", None), "CN-14.1")],
)
async def test_under_a_profile_without_the_duty_the_page_says_so_with_its_article(
    catalog: Database, jurisdiction: Jurisdiction, requirement: str
) -> None:
    await take_in(catalog, [roll_row(1)])
    await publish_now(catalog)
    view = await fetch_public(catalog, jurisdiction)
    assert isinstance(view, NoPublicCatalog)
    document = json.loads(render_json(view))
    assert (document["status"], document["edition"], document["entries"]) == ("no_public_catalog", None, [])
    assert [item["id"] for item in document["legal_basis"]] == [requirement]
    assert document["reason"]["zh"] == view.reason.zh
    assert view.reason.zh.encode() in render_csv(view)
    with pytest.raises(PublicationRefused) as caught:
        await compile_edition(catalog, jurisdiction, at=NOW)
    assert (caught.value.cause, caught.value.requirements) == ("no_catalog_duty", (requirement,))


@pytest.mark.parametrize(
    "imprint", [Imprint("", "x", "li"), Imprint("示范市公安局", " ", "li"), Imprint("王小明", "x", "li")]
)
async def test_an_edition_is_issued_by_an_organ_with_a_contact(catalog: Database, imprint: Imprint) -> None:
    draft = await compile_edition(catalog, WUXI_LIKE, at=NOW)
    with pytest.raises(PublicationRefused):
        await publish(catalog, draft, imprint, at=NOW)
    assert await list_editions(catalog, WUXI_LIKE) == ()


CANARY_LETTERS = "abcdefghijkmnpqrstuvwxyz"
CANARIES = st.lists(
    st.text(CANARY_LETTERS, min_size=10, max_size=20).map(lambda text: "qz" + text),
    min_size=12,
    max_size=12,
    unique=True,
)

PLANT = """
WITH y AS (UPDATE system SET name = $1 || system_id),
     u AS (INSERT INTO attestation (system_id, fact, value, document, attested_at, attested_by)
           SELECT system_id, 'place_owner', $3, $3, now(), $3 FROM system),
     t AS (UPDATE site SET address = $2, name = '馆' || site_id || $13),
     r AS (UPDATE source SET name = $4, serial = $5, lifecycle_reason = $6, mac = $14,
                             gb_id = CASE WHEN source_id = 1 THEN $15 END),
     k AS (UPDATE credential SET ref = $7 || credential_id, username = $8, password_encrypted = $9, changed_by = $10)
UPDATE endpoint SET host = $11, path = '/' || $12, confirmed_by = $10
"""


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(canaries=CANARIES, digits=st.text(string.digits, min_size=6, max_size=6), in_site_name=st.booleans())
async def test_no_confidential_value_reaches_a_public_byte(
    catalog: Database, canaries: list[str], digits: str, in_site_name: bool
) -> None:
    if not await list_editions(catalog, WUXI_LIKE):  # the first example
        await take_in(catalog, [roll_row(1), roll_row(2, site="分馆", location_type="parking")])
    code = f"99010200001320{digits}"
    mac = "02:" + ":".join(digits[index : index + 2] for index in (0, 2, 4)) + ":aa:bb"
    await run(catalog, PLANT, *canaries, canaries[4] if in_site_name else "", mac, code)
    view = await publish_now(catalog)
    published = render_json(view) + render_csv(view)
    hidden = [*canaries, code, mac, "parking", "never_connected", IMPRINT.published_by]
    assert [value for value in hidden if value.encode() in published] == []
    assert [entry.site_name is None for entry in view.entries] == [in_site_name, in_site_name]
