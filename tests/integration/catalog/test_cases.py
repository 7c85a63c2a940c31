"""Cases on a real catalog: found, opened once, carried on step by step, and never changed."""

import asyncio
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from catalog.cases import NoSuchCase, candidates, list_cases, open_case, take_step
from catalog.database import Database
from catalog.errors import QueryFailed
from catalog.model.case import CaseState, CaseStep, StepRefused
from catalog.model.connected_when import ConnectedWhen
from catalog.reading import Region
from catalog.reports import View
from tests.seed import GATEWAY, HERE, NOW, Change, Seeded, apply, seed_every_state, seed_roll

pytestmark = pytest.mark.postgres

VIEW = View(NOW)
ORDER = {
    "organ": "示范市公安局",
    "order_number": "2026-17",
    "served_on": "2026-11-20",
    "deadline": "2026-11-30",
    "items": "接入平台",
}


async def opened(database: Database) -> tuple[Seeded, str]:
    """Open the first case of two sites whose sources never connected."""
    seeded = await seed_roll(database, count=4)
    [first, _] = await candidates(database, VIEW)
    number = await open_case(database, first, at=NOW)
    assert number is not None
    return seeded, number


async def step(
    database: Database, number: str, what: CaseStep, at: datetime = NOW, /, **detail: str
) -> CaseState:
    return (await take_step(database, number, what, at=at, person="Wang", detail=detail)).state


async def blind(database: Database, start: datetime, end: datetime) -> None:
    async with database.raw_connection() as connection:
        await connection.execute(
            "INSERT INTO overlay_interval (gateway_id, kind, reason, started_at, ended_at) "
            "VALUES ($1, 'unknown', 'gateway_down', $2, $3)",
            GATEWAY,
            start,
            end,
        )


async def test_a_site_is_a_candidate_while_a_required_source_of_it_never_connected(
    database: Database,
) -> None:
    seeded = await seed_every_state(database)
    found = await candidates(database, VIEW)

    assert [(each.site_id, each.never, each.required) for each in found] == [
        (seeded.site_ids[0], 1, 4),
        (seeded.site_ids[1], 2, 4),
    ]
    assert {each.days_overdue for each in found} == {19}
    assert all(each.could_accept for each in found)
    assert await candidates(database, View(NOW, Region("61"))) == []


async def test_the_due_day_itself_and_a_suspended_source_make_no_candidate(database: Database) -> None:
    seeded = await seed_roll(database, count=2, due_on=date(2026, 11, 19))
    yesterday = View(NOW - timedelta(days=1))
    assert await candidates(database, yesterday) == []
    assert len(await candidates(database, VIEW)) == 2
    since = NOW - timedelta(days=30)
    stopped = Change(
        seeded.source_ids[0], "never_connected", since, suspended="municipal_works", suspended_at=NOW
    )
    await apply(database, [stopped])
    assert [each.site_id for each in await candidates(database, VIEW)] == [seeded.site_ids[1]]
    # That it does not operate at this hour is no reason never to have connected.
    resting = replace(stopped, suspended="outside_operation", suspended_at=NOW + timedelta(seconds=1))
    await apply(database, [resting])
    assert len(await candidates(database, VIEW)) == 2


async def test_our_own_failure_is_never_theirs(database: Database) -> None:
    """The platform must have been there for a day without a break: here it fell silent every 23 hours."""
    await seed_roll(database, count=2)
    start = NOW - timedelta(days=30)
    for number in range(31):
        at = start + timedelta(hours=23.5 * number)
        await blind(database, at, at + timedelta(hours=0.5))
    [first, _] = await candidates(database, VIEW)
    assert first.longest_seen >= timedelta(hours=12)
    short = await candidates(database, View(start + timedelta(days=20, hours=10)))
    assert [each.could_accept for each in short] == [False, False]
    with pytest.raises(StepRefused, match="the failure may be ours"):
        await open_case(database, short[0], at=NOW)
    assert await list_cases(database, VIEW) == []


async def test_a_site_has_one_open_case_however_often_it_is_asked_for(database: Database) -> None:
    _, number = await opened(database)
    assert number == f"{HERE}-2026-C0001"
    [second] = await candidates(database, VIEW)
    async with asyncio.TaskGroup() as group:
        tries = [group.create_task(open_case(database, second, at=NOW)) for _ in range(4)]
    assert [each.result() for each in tries if each.result() is not None] == [f"{HERE}-2026-C0002"]
    assert await candidates(database, VIEW) == []
    assert await step(database, number, CaseStep.WITHDRAW, text="entered by mistake") is CaseState.WITHDRAWN
    [again] = await candidates(database, VIEW)
    assert await open_case(database, again, at=NOW) == f"{HERE}-2026-C0003"


async def test_a_deadline_passes_by_the_day_alone_and_the_case_is_referred(database: Database) -> None:
    _, number = await opened(database)
    assert await step(database, number, CaseStep.VERIFY, addressee="示例单位") is CaseState.VERIFIED
    assert await step(database, number, CaseStep.ORDER, **ORDER) is CaseState.ORDERED
    # 23:59 of the last day in Asia/Shanghai, and a minute later.
    in_time = datetime(2026, 11, 30, 15, 59, tzinfo=UTC)
    [then] = await list_cases(database, View(in_time))
    [late] = await list_cases(database, View(in_time + timedelta(minutes=1)))
    assert (then.standing.state, late.standing.state) == (CaseState.ORDERED, CaseState.OVERDUE)
    assert (late.standing.days_overdue, late.is_sound) == (1, True)
    with pytest.raises(StepRefused, match="the case is ordered"):
        await step(database, number, CaseStep.REFER, in_time, organ="示范市公安局", document="2026-18")
    late_at = in_time + timedelta(minutes=1)
    referred = await step(database, number, CaseStep.REFER, late_at, organ="示范市公安局", document="2026-18")
    assert referred is CaseState.REFERRED
    assert await step(database, number, CaseStep.CLOSE, late_at, text="decided") is CaseState.CLOSED


async def test_an_order_is_fulfilled_when_every_required_source_was_connected_for_a_day(
    database: Database,
) -> None:
    seeded, number = await opened(database)
    await step(database, number, CaseStep.VERIFY, addressee="示例单位")
    await step(database, number, CaseStep.ORDER, **ORDER)
    at = NOW + timedelta(days=2)
    with pytest.raises(StepRefused, match="still never connected"):
        await step(database, number, CaseStep.RECTIFY, at, organ="示范市公安局")
    mine = [source for place, source in enumerate(seeded.source_ids) if place % 2 == 0]
    await apply(
        database, [Change(mine[0], "online", NOW), Change(mine[1], "online", at - timedelta(hours=23))]
    )
    with pytest.raises(StepRefused, match=r"fulfilled after 24\.0 h"):
        await step(database, number, CaseStep.RECTIFY, at, organ="示范市公安局")
    fulfilled = await step(database, number, CaseStep.RECTIFY, at + timedelta(hours=1), organ="示范市公安局")
    assert fulfilled is CaseState.RECTIFIED


@pytest.mark.parametrize(
    ("rule", "candidates_left", "is_fulfilled"),
    [("all_required_sources", 2, False), ("any_source", 1, True), ("0.5", 1, True), ("0.6", 2, False)],
)
async def test_when_a_site_counts_as_connected_is_a_parameter_that_goes_with_the_case(
    database: Database, rule: str, candidates_left: int, is_fulfilled: bool
) -> None:
    """WX-34(2) is silent: of the two sources of a site one connects."""
    seeded = await seed_roll(database, count=4)
    when = ConnectedWhen.read(rule)
    [first, _] = await candidates(database, VIEW, rule=when)
    number = await open_case(database, first, at=NOW) or ""
    await step(database, number, CaseStep.VERIFY, addressee="示例单位")
    await step(database, number, CaseStep.ORDER, **ORDER)
    ours, others = (
        [source for place, source in enumerate(seeded.source_ids) if place % 2 == side] for side in (0, 1)
    )
    await apply(database, [Change(ours[0], "online", NOW), Change(others[0], "online", NOW)])
    [found] = await list_cases(database, VIEW, number=number)
    later = NOW + timedelta(days=2)

    left = [each.site_id for each in await candidates(database, View(later), rule=when)]
    # The site of the case is none, for it has one; the other is by the rule.
    assert len(left) == candidates_left - 1
    assert found.evidence["connected"] == {
        "when": rule,
        "required": 2,
        "connected": 0,
        "needed": when.needed(2),
        "by_any_source": False,
        "by_all_required_sources": False,
    }
    assert found.is_sound
    if is_fulfilled:
        assert await step(database, number, CaseStep.RECTIFY, later, organ="局") is CaseState.RECTIFIED
    else:
        with pytest.raises(StepRefused, match="still never connected"):
            await step(database, number, CaseStep.RECTIFY, later, organ="局")


async def test_a_dispute_holds_everything_up_until_it_is_answered(database: Database) -> None:
    _, number = await opened(database)
    await step(database, number, CaseStep.VERIFY, addressee="示例单位")
    await step(database, number, CaseStep.DISPUTE, by="示例单位", text="the line was cut")
    with pytest.raises(StepRefused, match="possible: answer, withdraw"):
        await step(database, number, CaseStep.ORDER, **ORDER)
    assert await step(database, number, CaseStep.ANSWER, text="it was not") is CaseState.CANDIDATE
    [found] = await list_cases(database, VIEW, number=number)
    assert [(taken.step, taken.person) for taken in found.steps] == [
        (CaseStep.VERIFY, "Wang"),
        (CaseStep.DISPUTE, "Wang"),
        (CaseStep.ANSWER, "Wang"),
    ]


async def test_two_people_take_one_step_once(database: Database) -> None:
    _, number = await opened(database)

    async def attempt() -> str:
        try:
            return await step(database, number, CaseStep.VERIFY, addressee="示例单位")
        except StepRefused:
            return "refused"

    async with asyncio.TaskGroup() as group:
        tries = [group.create_task(attempt()) for _ in range(4)]
    assert sorted(each.result() for each in tries) == [*["refused"] * 3, "verified"]


async def test_an_unknown_case_is_named_and_nothing_of_a_case_is_changed(database: Database) -> None:
    _, number = await opened(database)
    await step(database, number, CaseStep.VERIFY, addressee="示例单位")
    with pytest.raises(NoSuchCase, match="muster case list"):
        await step(database, "990100-2026-C0009", CaseStep.WITHDRAW, text="x")
    for statement in (
        "UPDATE compliance_case SET evidence = '{}'",
        "DELETE FROM case_step",
        "TRUNCATE compliance_case CASCADE",
    ):
        with pytest.raises(QueryFailed, match="append-only"):
            async with database.raw_connection() as connection:
                await connection.execute(statement)
    async with database.raw_connection() as connection:
        await connection.execute("ALTER TABLE compliance_case DISABLE TRIGGER compliance_case_append_only")
        await connection.execute(
            "UPDATE compliance_case SET evidence = jsonb_set(evidence, '{duty,due_on}', '\"2026-01-01\"')"
        )
    [found] = await list_cases(database, VIEW, number=number)
    assert not found.is_sound
