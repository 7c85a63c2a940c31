"""Two gateways that see one source, on a real catalog: E14 of the status model."""

from datetime import UTC, date, datetime, timedelta

import pytest

from catalog.database import Database
from catalog.evidence_sheet import Made, evidence_sheet
from catalog.evidence_sheet import check as check_sheet
from catalog.histories import Histories
from catalog.jurisdictions import Jurisdiction
from catalog.model.period import Period
from catalog.period_report import period_report
from catalog.rate_report import local_period
from catalog.reading import local_day
from catalog.reports import Reports, View
from catalog.second_sight import SecondSightStore, Turn, seen_elsewhere
from catalog.signing import SigningKey, verify
from gateway.console.evidence_page import evidence_page
from tests.day_worlds import RULES
from tests.seed import GATEWAY, HERE, NOW, Change, Seeded, add_evidence, apply, seed_roll

pytestmark = pytest.mark.postgres

OTHER = "gateway-2"
HOUR = timedelta(hours=1)
STALE = timedelta(seconds=60)
VIEW = View(NOW, stale_after=STALE)


async def roll_with_another_gateway(database: Database, count: int = 4) -> Seeded:
    seeded = await seed_roll(database, count=count)
    async with database.raw_connection() as connection:
        await connection.execute("INSERT INTO gateway (gateway_id) VALUES ($1)", OTHER)
    return seeded


async def times(database: Database) -> list[tuple[int, datetime, datetime | None]]:
    async with database.raw_connection() as connection:
        rows = await connection.fetch("SELECT * FROM second_sight ORDER BY source_id, seen_from")
    return [(row["source_id"], row["seen_from"], row["seen_until"]) for row in rows]


async def blind(database: Database, since: datetime) -> None:
    """Our gateway said its last word then."""
    async with database.raw_connection() as connection:
        await connection.execute(
            "UPDATE gateway SET observed_until = $2 WHERE gateway_id = $1", GATEWAY, since
        )


def began(source: int, at: datetime) -> Turn:
    return Turn(source, answers=True, at=at)


def ended(source: int, at: datetime) -> Turn:
    return Turn(source, answers=False, at=at)


async def test_times_of_answers_are_stored_in_order_and_once(database: Database) -> None:
    one, two, *_ = (await roll_with_another_gateway(database)).source_ids
    store = SecondSightStore(database, OTHER)
    turns = [
        began(one, NOW),
        began(two, NOW),
        ended(one, NOW + HOUR),
        began(one, NOW + 2 * HOUR),
        began(99_999, NOW),
    ]
    await store.write(turns, NOW + 2 * HOUR)
    await store.write(turns, NOW + 2 * HOUR)
    await store.write([ended(two, NOW + 3 * HOUR)], NOW + 3 * HOUR)

    assert await times(database) == [
        (one, NOW, NOW + HOUR),
        (one, NOW + 2 * HOUR, None),
        (two, NOW, NOW + 3 * HOUR),
    ]


async def stale(database: Database) -> list[tuple[int, date]]:
    async with database.raw_connection() as connection:
        rows = await connection.fetch("DELETE FROM day_stale RETURNING site_id, from_day")
    return sorted((row["site_id"], row["from_day"]) for row in rows)


async def test_what_is_said_late_of_a_day_that_is_closed_marks_its_site(database: Database) -> None:
    """The days of these stories are long over, but today."""
    seeded = await roll_with_another_gateway(database, count=2)
    one, two = seeded.source_ids
    store = SecondSightStore(database, OTHER)
    today = datetime.now(UTC)

    await store.write([began(one, NOW)], NOW + HOUR)
    late = await stale(database)
    # Its last word is of a day that is closed: what went on since was not told on that day.
    await store.write([began(two, today)], today)
    gap = await stale(database)
    await store.write([ended(one, today), ended(two, today)], today)

    assert late == gap == [(seeded.site_ids[0], local_day(NOW))]
    assert await stale(database) == []


async def test_a_start_ends_what_went_on_when_it_was_last_there(database: Database) -> None:
    one, two, *_ = (await roll_with_another_gateway(database)).source_ids
    store = SecondSightStore(database, OTHER)
    await store.begin()
    await store.write([began(one, NOW)], NOW + HOUR)
    # Stored, but its last word was before: nothing is known to have gone on from there.
    await store.write([began(two, NOW + 2 * HOUR)], NOW + HOUR)
    await store.begin()

    assert await times(database) == [(one, NOW, NOW + HOUR)]


@pytest.mark.parametrize(
    ("state", "since", "seen_from", "last_word", "is_seen"),
    [
        ("online", NOW - HOUR, NOW - HOUR, NOW, True),
        # The other gateway fell silent itself.
        ("online", NOW - HOUR, NOW - HOUR, NOW - 2 * STALE, False),
        # It says no more than it said before the good-bye, and silence does not show yet.
        ("offline", NOW - timedelta(seconds=90), NOW - HOUR, NOW, False),
        ("offline", NOW - timedelta(seconds=90), NOW - timedelta(seconds=30), NOW, True),
        ("offline", NOW - timedelta(seconds=200), NOW - HOUR, NOW, True),
    ],
)
async def test_another_gateway_is_believed_while_it_speaks_and_about_what_came_after(
    database: Database, state: str, since: datetime, seen_from: datetime, last_word: datetime, is_seen: bool
) -> None:
    one, two, *_ = (await roll_with_another_gateway(database)).source_ids
    await apply(database, [Change(one, "online", NOW - 9 * HOUR)])
    if state == "offline":
        await apply(database, [Change(one, "offline", since)])
    await SecondSightStore(database, OTHER).write([began(one, seen_from)], last_word)

    found = await seen_elsewhere(
        database, [one, two], now=NOW, stale_after=STALE, gone_after=timedelta(seconds=180)
    )

    assert found == ([one] if is_seen else [])


async def test_behind_a_blind_gateway_what_another_sees_is_shown(database: Database) -> None:
    seeded = await roll_with_another_gateway(database, count=5)
    online, gone, degraded, unseen, never = seeded.source_ids
    await apply(database, [Change(each, "online", NOW - 9 * HOUR) for each in seeded.source_ids[:4]])
    await apply(
        database,
        [Change(gone, "offline", NOW - 5 * HOUR), Change(degraded, "degraded", NOW - 5 * HOUR, "no_media")],
    )
    seen = [began(each, NOW - 3 * HOUR) for each in (online, gone, degraded, never)]
    await SecondSightStore(database, OTHER).write(seen, NOW)
    await blind(database, NOW - 4 * HOUR)
    reports = Reports(database)

    shown = {row.source_id: row.status for row in (await reports.sources(VIEW)).items}
    counts = (await reports.counts(VIEW))[0].counts
    sites = [row.counts for row in (await reports.sites(VIEW)).items]

    assert {one: status.shown.value for one, status in shown.items()} == {
        online: "online",
        gone: "online",
        degraded: "degraded",
        unseen: "unknown",
        # Its first connection is made with its own gateway alone.
        never: "unknown",
    }
    assert shown[gone].since == NOW - 3 * HOUR
    assert (counts.online, counts.degraded, counts.offline, counts.unknown) == (2, 1, 0, 2)
    assert counts.never_connected == 1
    assert sum(each.online for each in sites) == 2
    assert sum(each.degraded for each in sites) == 1
    assert sum(each.unknown for each in sites) == 2

    # The other one falls silent, too: then nobody sees.
    later = View(NOW + timedelta(minutes=5), stale_after=STALE)
    assert (await reports.counts(later))[0].counts.unknown == 5
    assert {row.status.shown.value for row in (await reports.sources(later)).items} == {"unknown"}


async def test_while_its_own_gateway_sees_that_one_decides(database: Database) -> None:
    one, *_ = (await roll_with_another_gateway(database)).source_ids
    await apply(database, [Change(one, "online", NOW - 9 * HOUR)])
    await apply(database, [Change(one, "offline", NOW - HOUR)])
    await SecondSightStore(database, OTHER).write([began(one, NOW - 3 * HOUR)], NOW)
    await blind(database, NOW)

    [row] = [row for row in (await Reports(database).sources(VIEW)).items if row.source_id == one]
    assert row.status.shown.value == "offline"


async def test_reports_and_sheets_count_what_another_gateway_saw(database: Database) -> None:
    """Ours is down for 8 h, after it had lost the second source; the other one saw the first for 6 h of them, the
    second for 2 h.
    """
    seeded = await roll_with_another_gateway(database, count=2)
    one, two = seeded.source_ids
    start = NOW - 20 * HOUR
    await apply(database, [Change(each, "online", start - 9 * HOUR) for each in (one, two)])
    await apply(database, [Change(two, "offline", start - HOUR)])
    await database.execute("add_gateway_unknown", GATEWAY, "gateway_down", start, start + 8 * HOUR)
    await SecondSightStore(database, OTHER).write(
        [
            began(one, start + HOUR),
            ended(one, start + 7 * HOUR),
            began(two, start + 3 * HOUR),
            ended(two, start + 5 * HOUR),
        ],
        NOW,
    )
    await blind(database, NOW)
    period = Period(start, start + 8 * HOUR)

    days = (date(2026, 11, 19), date(2026, 11, 20))
    for one_of in (one, two):
        await add_evidence(database, one_of, 1, "connected", start - 9 * HOUR, "online")
    await add_evidence(database, two, 2, "lost", start - HOUR, "offline", "timeout")
    whole = Histories(database, VIEW).of_region(after=start - 30 * HOUR, with_facts=True)

    report = await period_report(database, VIEW, period, RULES)
    [histories] = [part async for part in whole]
    place = Jurisdiction(HERE, "x", "wuxi-2019", None)
    made = Made(NOW, *days, NOW, "0", RULES)
    sheets = [evidence_sheet(each, local_period(*days, NOW), place, made) for each in histories]

    assert (report.all.running, report.all.offline) == (8 * HOUR, timedelta())
    assert report.all.excluded == {"gateway_down": 8 * HOUR}
    for sheet in sheets:
        assert [each["gateway"] for each in sheet["seen_elsewhere"]] == [OTHER]  # type: ignore[attr-defined]
        assert check_sheet(sheet).holds
        signed = verify(SigningKey(bytes(32)).sign(sheet))
        page = evidence_page(signed, check_sheet(signed.document), "en")
        assert "When another gateway had answers" in page
