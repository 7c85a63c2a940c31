from datetime import date, timedelta

import pytest

from catalog.database import Database
from catalog.model.display import Displayed, NeverConnected
from catalog.model.rollup import SiteStatus
from catalog.reading import Counts, CursorInvalid, Region
from catalog.reports import Reports, View
from tests.seed import ELSEWHERE, GATEWAY, HERE, NOW, Change, apply, seed_every_state, seed_roll

pytestmark = pytest.mark.postgres

VIEW = View(NOW)


async def test_the_chain_of_counts_adds_up_to_what_is_required(database: Database) -> None:
    await seed_every_state(database)

    [row] = await Reports(database).counts(VIEW)

    assert row.counts == Counts(
        required=8,
        connected_ever=5,
        never_connected=3,
        online=1,
        degraded=1,
        offline=1,
        unknown=1,
        suspended=1,
        shown_never_connected=3,
    )
    assert row.counts.share(row.counts.online) == 0.125


async def test_sources_of_a_silent_gateway_are_unknown_and_nothing_is_charged(database: Database) -> None:
    seeded = await seed_every_state(database)
    reports, later = Reports(database), View(NOW + timedelta(seconds=61))

    [row] = await reports.counts(later)
    source = await reports.source(later, seeded.source_ids[0])
    offline = await reports.offline(later)
    sites = await reports.sites(later)
    never = await reports.never_connected(later)

    assert (row.counts.unknown, row.counts.suspended, row.counts.required) == (7, 1, 8)
    assert row.counts.never_connected == 3
    assert source is not None
    assert (source.status.shown, source.status.reasons) == (Displayed.UNKNOWN, ("gateway_down",))
    assert source.status.since == NOW
    assert offline.items == ()
    assert {site.status for site in sites.items} == {SiteStatus.UNKNOWN}
    assert [item.shown for item in never.items] == [Displayed.UNKNOWN] * 3


async def test_never_connected_counts_whole_local_days_and_names_what_stands_in_the_way(
    database: Database,
) -> None:
    seeded = await seed_roll(database, count=2)
    async with database.raw_connection() as connection:
        await connection.execute(
            "UPDATE connectivity SET seen_at = $2, obstacle = 'authentication_failed' WHERE source_id = $1",
            seeded.source_ids[1],
            NOW,
        )

    page = await Reports(database).never_connected(VIEW)

    first, second = page.items
    assert (first.days_overdue, first.substate, first.due_on) == (19, NeverConnected.DUE, date(2026, 11, 1))
    assert (second.substate, second.obstacle) == (NeverConnected.SEEN_NOT_CONNECTED, "authentication_failed")
    assert not first.incomplete_connection


async def test_a_duty_not_yet_in_force_is_not_required(database: Database) -> None:
    await seed_roll(database, count=2)
    async with database.raw_connection() as connection:
        await connection.execute("UPDATE duty SET effective_from = '2026-12-01', due_on = '2026-12-31'")
        await connection.execute("SELECT recount_rollups(array_agg(site_id)) FROM site")
    reports = Reports(database)

    [row] = await reports.counts(VIEW)

    assert (await reports.never_connected(VIEW)).items == ()
    assert (row.counts.required, row.counts.without_duty) == (0, 2)
    assert row.counts.share(0) is None


async def test_a_site_with_some_sources_connected_stays_in_the_report_as_incomplete(
    database: Database,
) -> None:
    seeded = await seed_roll(database, count=4)
    await apply(database, [Change(seeded.source_ids[0], "online", NOW - timedelta(days=1))])

    page = await Reports(database).never_connected(VIEW)

    assert [(row.source_id, row.site_never_connected, row.site_sources) for row in page.items] == [
        (seeded.source_ids[2], 1, 2),
        (seeded.source_ids[1], 2, 2),
        (seeded.source_ids[3], 2, 2),
    ]
    assert [row.incomplete_connection for row in page.items] == [True, False, False]


async def test_offline_says_since_when_and_why(database: Database) -> None:
    seeded = await seed_every_state(database)

    [row] = (await Reports(database).offline(VIEW)).items

    assert row.source_id == seeded.source_ids[2]
    assert row.since == NOW - timedelta(hours=5)
    assert row.last_positive_at == NOW - timedelta(hours=5, minutes=1)
    assert row.cause == "unreachable"


async def test_pages_hold_every_row_once(database: Database) -> None:
    seeded = await seed_roll(database, count=7)
    reports = Reports(database)

    found: list[int] = []
    page = await reports.never_connected(VIEW, limit=3)
    found += [row.source_id for row in page.items]
    page = await reports.never_connected(VIEW, limit=3, cursor=page.next_cursor)
    found += [row.source_id for row in page.items]
    page = await reports.never_connected(VIEW, limit=3, cursor=page.next_cursor)
    found += [row.source_id for row in page.items]

    # Of one due day by site, and every second source stands at the second site.
    assert found == [*seeded.source_ids[::2], *seeded.source_ids[1::2]]
    assert page.next_cursor is None


@pytest.mark.parametrize("report", ["sites", "sources", "never_connected", "offline", "sightings"])
async def test_a_foreign_cursor_is_refused(database: Database, report: str) -> None:
    with pytest.raises(CursorInvalid):
        await getattr(Reports(database), report)(VIEW, cursor="bm90IG91cnM")


async def test_a_region_hides_every_other_district(database: Database) -> None:
    here = await seed_every_state(database)
    there = await seed_roll(database, count=2, district=ELSEWHERE)
    reports, view = Reports(database), View(NOW, Region(ELSEWHERE[:2]))

    counts = await reports.counts(view)
    statuses = await reports.statuses(view, [here.codes[0], there.codes[0]])

    assert [row.district for row in counts] == [ELSEWHERE]
    assert {row.place.district for row in (await reports.sites(view)).items} == {ELSEWHERE}
    assert {row.place.district for row in (await reports.sources(view)).items} == {ELSEWHERE}
    assert {row.place.district for row in (await reports.never_connected(view)).items} == {ELSEWHERE}
    assert (await reports.offline(view)).items == ()
    assert await reports.source(view, here.source_ids[0]) is None
    assert [answer.status is None for answer in statuses] == [True, False]


async def test_a_status_query_answers_each_code_once_in_the_order_asked(database: Database) -> None:
    seeded = await seed_every_state(database)
    codes = [seeded.codes[2], "9" * 20, seeded.codes[0], seeded.codes[2]]

    answers = await Reports(database).statuses(VIEW, codes)

    assert [answer.code for answer in answers] == [seeded.codes[2], "9" * 20, seeded.codes[0]]
    assert answers[0].status is not None
    assert answers[0].status.shown is Displayed.OFFLINE
    assert answers[1].status is None


async def test_a_code_used_again_answers_for_the_new_source(database: Database) -> None:
    seeded = await seed_roll(database, count=2)
    async with database.raw_connection() as connection:
        await connection.execute(
            "UPDATE source SET lifecycle = 'removed', retired_at = $2 WHERE source_id = $1",
            seeded.source_ids[0],
            NOW,
        )
        await connection.execute(
            "UPDATE source SET gb_id = $2, roll_key = $2 WHERE source_id = $1",
            seeded.source_ids[1],
            seeded.codes[0],
        )

    [answer] = await Reports(database).statuses(VIEW, [seeded.codes[0]])

    assert answer.source_id == seeded.source_ids[1]


async def test_history_shows_each_interval_with_the_fact_that_opened_it(database: Database) -> None:
    seeded = await seed_every_state(database)
    source = seeded.source_ids[2]

    history = await Reports(database).history(VIEW, source)

    present, before, birth = history.intervals.items
    assert (present.state, present.ended_at) == ("offline", None)
    assert [fact.reason for fact in present.evidence] == ["unreachable"]
    assert (before.state, before.ended_at) == ("online", present.started_at)
    assert [fact.kind for fact in before.evidence] == ["connected"]
    assert (birth.state, birth.ended_at, birth.evidence) == ("never_connected", before.started_at, ())


async def test_history_pages_hold_every_interval_once(database: Database) -> None:
    seeded = await seed_every_state(database)
    reports, source = Reports(database), seeded.source_ids[2]

    first = await reports.history(VIEW, source, limit=2)
    second = await reports.history(VIEW, source, limit=2, cursor=first.intervals.next_cursor)

    assert [row.state for row in (*first.intervals.items, *second.intervals.items)] == [
        "offline",
        "online",
        "never_connected",
    ]
    assert second.intervals.next_cursor is None


async def test_history_lays_unknown_of_the_source_and_of_its_gateway_over_the_intervals(
    database: Database,
) -> None:
    seeded = await seed_every_state(database)
    async with database.raw_connection() as connection:
        await connection.execute(
            "INSERT INTO overlay_interval (gateway_id, kind, reason, started_at, ended_at) "
            "VALUES ($1, 'unknown', 'gateway_down', $2, $3)",
            GATEWAY,
            NOW - timedelta(days=3),
            NOW - timedelta(days=2, hours=20),
        )

    history = await Reports(database).history(VIEW, seeded.source_ids[3])

    assert [(row.of_what, row.reason, row.ended_at is None) for row in history.overlays] == [
        ("source", "restart_grace", True),
        ("gateway", "gateway_down", False),
    ]


async def test_sites_show_their_roll_up_and_removed_sources_only_on_request(database: Database) -> None:
    seeded = await seed_every_state(database)
    reports = Reports(database)
    async with database.raw_connection() as connection:
        await connection.execute(
            "UPDATE source SET lifecycle = 'removed', retired_at = $2 WHERE source_id = $1",
            seeded.source_ids[7],
            NOW,
        )
        await connection.execute(
            "UPDATE connectivity SET counted = false WHERE source_id = $1", seeded.source_ids[7]
        )
        await connection.execute("SELECT recount_rollups($1)", seeded.site_ids)

    first, second = (await reports.sites(VIEW)).items
    removed = await reports.sources(VIEW, shown=Displayed.REMOVED)

    assert (first.status, first.incomplete_connection) == (SiteStatus.PARTIAL, True)
    assert second.counts.eligible == 3
    assert len((await reports.sources(VIEW)).items) == 7
    assert [row.source_id for row in removed.items] == [seeded.source_ids[7]]


async def test_changes_come_in_order_after_the_last_one_seen(database: Database) -> None:
    seeded = await seed_every_state(database)
    reports = Reports(database)

    changes = await reports.changes(VIEW, 5)

    assert [(row.seq, row.state_after) for row in changes] == [(6, "degraded"), (7, "offline")]
    assert await reports.last_change() == 7
    assert changes[1].gb_id == seeded.codes[2]
    assert HERE in {row.district for row in changes}
