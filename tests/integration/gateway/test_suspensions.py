"""Approved windows on a real catalog: shown while they last, counted by the approvals alone."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date, datetime, time, timedelta
from random import Random

import pytest

from catalog.check import check
from catalog.database import Database
from catalog.evidence_sheet import Made, evidence_sheet
from catalog.evidence_sheet import check as check_sheet
from catalog.histories import Histories
from catalog.model.display import Displayed, SuspendedReason
from catalog.model.operation import RestHours
from catalog.model.period import Period
from catalog.model.rates import Account, CountingRules
from catalog.model.suspension import Acted, ActRefused, SuspensionAct, SuspensionState, Window
from catalog.proof import prove
from catalog.rate_report import By, local_period, rate_report
from catalog.reading import LOCAL
from catalog.reports import View
from catalog.suspensions import NoSuchSuspension, act, list_suspensions, request
from gateway.suspensions import Suspensions
from tests.clock import HandClock
from tests.fakes.roll import WUXI_LIKE
from tests.integration.gateway.test_status import Bench, begin
from tests.seed import GATEWAY, NOW, Seeded, seed_roll

pytestmark = pytest.mark.postgres

HOUR = timedelta(hours=1)
REASON = SuspendedReason.PLANNED_MAINTENANCE
RULES = CountingRules(LOCAL, timedelta(hours=24))


async def granted(
    database: Database,
    start: datetime,
    end: datetime,
    *,
    asked_at: datetime = NOW,
    approvers: tuple[str, ...] = ("Wang",),
    source_id: int | None = None,
    site_id: int | None = None,
    hours: RestHours | None = None,
) -> int:
    reason = REASON if hours is None else SuspendedReason.OUTSIDE_OPERATION
    window = Window(reason, Period(start, end), "D-1", asked_at, "Li", hours)
    number = await request(database, window, site_id=site_id, source_id=source_id)
    for person in approvers:
        await act(database, number, Acted(SuspensionAct.APPROVE, asked_at, person))
    return number


@asynccontextmanager
async def running(database: Database) -> AsyncIterator[tuple[Seeded, Bench, Suspensions]]:
    """A gateway with two connected sources, each at a site of its own."""
    seeded = await seed_roll(database, count=2)
    bench = await begin(database)
    await bench.connect(*seeded.source_ids)
    yield seeded, bench, Suspensions(database, GATEWAY, bench.service, bench.clock)


async def rates(database: Database, period: Period, source_code: str) -> Account:
    report = await rate_report(database, View(period.end), period, by=By.SOURCE, rules=RULES)
    return next(row.account for row in report.rows if row.key == source_code)


async def look(bench: Bench, suspensions: Suspensions) -> None:
    await suspensions.look()
    await bench.service.flush()


async def test_a_window_is_shown_from_its_beginning_to_its_end_and_nothing_beneath_it_changes(
    database: Database,
) -> None:
    async with running(database) as (seeded, bench, suspensions):
        source, other = seeded.source_ids
        start = bench.clock.now() + HOUR
        await granted(database, start, start + 2 * HOUR, site_id=seeded.site_ids[0])
        await look(bench, suspensions)
        before = bench.shown(source)
        bench.clock.advance(3600)
        await look(bench, suspensions)
        during = bench.shown(source), bench.shown(other)
        # It is switched off for the work, and stays off for an hour too long.
        bench.service.left(source, at=bench.clock.monotonic())
        bench.clock.advance(7205)
        await look(bench, suspensions)
        after = bench.shown(source)
        bench.clock.advance(3595)
        async with database.raw_connection() as connection:
            laid = await connection.fetch("SELECT * FROM overlay_interval WHERE kind = 'suspended'")
            await connection.execute("UPDATE gateway SET observed_until = $1", bench.clock.now())
        period = Period(start - HOUR, bench.clock.now())
        account = await rates(database, period, seeded.codes[0])
        proof = await prove(database, View(bench.clock.now()), period)
        unconfirmed = "nothing is connected without a confirmed address"  # the seeded endpoints are not
        findings = [each for each in await check(database) if each.invariant != unconfirmed]

    assert (before, during, after) == (
        Displayed.ONLINE,
        (Displayed.SUSPENDED, Displayed.ONLINE),
        Displayed.OFFLINE,
    )
    assert [(row["started_at"], row["ended_at"]) for row in laid] == [(start, start + 2 * HOUR)]
    assert (account.excluded, account.offline) == ({"planned_maintenance": 2 * HOUR}, HOUR)
    assert (account.running, account.retroactive) == (HOUR, timedelta())
    assert proof.holds
    assert findings == []


async def test_a_bus_is_shown_and_counted_in_its_hours_of_operation_alone(database: Database) -> None:
    async with running(database) as (seeded, bench, suspensions):
        bench.clock.advance(
            59
        )  # It is 12:01 in Wuxi. The bus rests from an hour on, for half an hour, every day.
        bus, start = seeded.source_ids[0], bench.clock.now()
        begins = (start + HOUR).astimezone(LOCAL)
        hours = RestHours(begins.time(), (begins + HOUR / 2).time())
        await granted(database, start, start + timedelta(days=30), source_id=bus, hours=hours)
        await look(bench, suspensions)
        shown = [bench.shown(bus)]
        bench.clock.advance(3600)
        await look(bench, suspensions)
        bench.service.left(bus, at=bench.clock.monotonic())
        await look(bench, suspensions)
        shown.append(bench.shown(bus))
        bench.clock.advance(1800)
        await look(bench, suspensions)
        shown.append(bench.shown(bus))
        bench.clock.advance(600)
        async with database.raw_connection() as connection:
            await connection.execute("UPDATE gateway SET observed_until = $1", bench.clock.now())
        period = Period(start, bench.clock.now())
        account = await rates(database, period, seeded.codes[0])
        [asked] = await list_suspensions(database)

    assert shown == [Displayed.ONLINE, Displayed.SUSPENDED, Displayed.OFFLINE]
    assert account.excluded == {"outside_operation": HOUR / 2}
    assert (account.offline, account.outages, account.running) == (HOUR / 6, 1, HOUR)
    assert asked.window.hours == hours


@pytest.mark.parametrize("seed", range(4))
async def test_hours_of_rest_are_the_same_windows_in_the_database_as_in_the_model(
    database: Database, seed: int
) -> None:
    random = Random(seed)
    seeded = await seed_roll(database, count=1)
    for _ in range(6):
        begins, ends = (time(random.randint(0, 23), random.choice([0, 30])) for _ in range(2))
        if begins == ends:
            continue
        days = frozenset(random.sample(range(1, 8), random.randint(1, 7)))
        start = NOW + random.randint(0, 100) * HOUR
        end = start + random.randint(1, 400) * HOUR
        hours = RestHours(begins, ends, days)
        number = await granted(database, start, end, source_id=seeded.source_ids[0], hours=hours)
        first = NOW + random.randint(-50, 300) * HOUR
        last = first + random.randint(0, 200) * HOUR
        async with database.raw_connection() as connection:
            rows = await connection.fetch(
                "SELECT starts_at, ends_at FROM suspensions_in_force($1, $2) WHERE suspension_id = $3 ORDER BY 1",
                first,
                last,
                number,
            )
        windows = [Period(row["starts_at"], row["ends_at"]) for row in rows]
        whole = hours.within(Period(start, end), LOCAL)
        assert windows == [each for each in whole if each.end >= first and each.start <= last]


async def test_a_window_that_ended_while_the_gateway_was_away_ends_when_it_did(database: Database) -> None:
    async with running(database) as (seeded, bench, suspensions):
        start = bench.clock.now()
        await granted(database, start, start + HOUR, source_id=seeded.source_ids[0])
        bench.clock.advance(60)
        await look(bench, suspensions)
        bench.clock.advance(3 * 3600)
        again = await begin(database, HandClock(bench.clock.now()))
        await look(again, Suspensions(database, GATEWAY, again.service, again.clock))
        async with database.raw_connection() as connection:
            [laid] = await connection.fetch("SELECT * FROM overlay_interval WHERE kind = 'suspended'")

    assert (laid["started_at"], laid["ended_at"]) == (start, start + HOUR)
    assert again.service.suspensions() == {}


async def test_a_window_asked_for_afterwards_counts_once_two_others_approved_it(database: Database) -> None:
    async with running(database) as (seeded, bench, suspensions):
        start = bench.clock.now()
        bench.clock.advance(4 * 3600)
        now = bench.clock.now()
        async with database.raw_connection() as connection:
            await connection.execute("UPDATE gateway SET observed_until = $1", now)
        period = Period(start, now)
        number = await granted(database, start, start + HOUR, asked_at=now, source_id=seeded.source_ids[0])
        half = await rates(database, period, seeded.codes[0])
        with pytest.raises(ActRefused, match="somebody else"):
            await act(database, number, Acted(SuspensionAct.APPROVE, now, "Li"))
        found = await act(database, number, Acted(SuspensionAct.APPROVE, now, "Zhao"))
        whole = await rates(database, period, seeded.codes[0])
        await look(bench, suspensions)
        shown = bench.shown(seeded.source_ids[0])
        await act(database, number, Acted(SuspensionAct.WITHDRAW, now, "Wang", "a mistake"))
        back = await rates(database, period, seeded.codes[0])

    assert found.state is SuspensionState.APPROVED
    assert (half.excluded, half.retroactive) == ({}, timedelta())
    assert (whole.excluded, whole.retroactive) == ({"planned_maintenance": HOUR}, HOUR)
    assert shown is Displayed.ONLINE
    assert back.excluded == {}


async def test_maintenance_beyond_the_cap_of_a_month_counts_and_is_told(database: Database) -> None:
    async with running(database) as (seeded, bench, _):
        start = datetime(2026, 11, 21, tzinfo=LOCAL)
        asked = bench.clock.now()
        await granted(database, start, start + 20 * HOUR, asked_at=asked, source_id=seeded.source_ids[0])
        await granted(
            database, start + 24 * HOUR, start + 34 * HOUR, asked_at=asked, source_id=seeded.source_ids[0]
        )
        bench.clock.advance(60 * 3600)
        async with database.raw_connection() as connection:
            await connection.execute("UPDATE gateway SET observed_until = $1", bench.clock.now())
        account = await rates(database, Period(start, bench.clock.now()), seeded.codes[0])

    assert account.excluded == {"planned_maintenance": 24 * HOUR}
    assert account.over_cap == 6 * HOUR


async def test_the_cap_counts_from_the_first_of_the_month_wherever_a_report_begins(
    database: Database,
) -> None:
    async with running(database) as (seeded, bench, _):
        source = seeded.source_ids[0]
        start = datetime(2026, 11, 21, tzinfo=LOCAL)
        asked = bench.clock.now()
        await granted(database, start, start + 20 * HOUR, asked_at=asked, source_id=source)
        # It begins before the report does, and 2 h of what it has left of the cap lie before it, too.
        await granted(database, start + 22 * HOUR, start + 34 * HOUR, asked_at=asked, source_id=source)
        bench.clock.advance(80 * 3600)
        async with database.raw_connection() as connection:
            await connection.execute("UPDATE gateway SET observed_until = $1", bench.clock.now())
        first = date(2026, 11, 22)
        period = local_period(first, first, bench.clock.now())
        account = await rates(database, period, seeded.codes[0])
        view = View(bench.clock.now())
        parts = Histories(database, view).of_region(after=period.start, with_facts=True, source_id=source)
        [history] = [each async for part in parts for each in part]
        made = Made(view.now, first, first, None, "0.1.0", RULES)
        sheet = check_sheet(evidence_sheet(history, period, WUXI_LIKE, made))

    assert (account.excluded, account.over_cap) == ({"planned_maintenance": 2 * HOUR}, 8 * HOUR)
    assert sheet.holds, sheet.miscounted


async def test_a_window_is_ended_before_its_time_and_every_act_is_on_record(database: Database) -> None:
    async with running(database) as (seeded, bench, suspensions):
        start = bench.clock.now()
        number = await granted(database, start, start + 9 * HOUR, source_id=seeded.source_ids[0])
        bench.clock.advance(3600)
        await look(bench, suspensions)
        during = bench.shown(seeded.source_ids[0])
        await act(database, number, Acted(SuspensionAct.END, bench.clock.now(), "Li", "done early"))
        bench.clock.advance(5)
        await look(bench, suspensions)
        [found] = await list_suspensions(database)

    assert (during, bench.shown(seeded.source_ids[0])) == (Displayed.SUSPENDED, Displayed.ONLINE)
    assert found.state is SuspensionState.ENDED
    assert [(acted.act, acted.person, acted.text) for acted in found.acts] == [
        (SuspensionAct.APPROVE, "Wang", ""),
        (SuspensionAct.END, "Li", "done early"),
    ]


async def test_what_does_not_exist_is_named(database: Database) -> None:
    with pytest.raises(NoSuchSuspension, match="no source 99"):
        await granted(database, NOW + HOUR, NOW + 2 * HOUR, source_id=99)
    with pytest.raises(NoSuchSuspension, match="muster suspension list"):
        await act(database, 7, Acted(SuspensionAct.APPROVE, NOW, "Wang"))
