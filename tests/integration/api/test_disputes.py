"""Objections of units: on the evidence sheet, in the way of an order, answered once and by somebody else."""

from collections.abc import Awaitable, Callable
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from catalog.cases import candidates, open_case, take_step
from catalog.database import Database
from catalog.day_closing import DayClosing
from catalog.evidence_sheet import check
from catalog.model.case import CaseState, CaseStep, StepRefused
from catalog.model.rates import CountingRules
from catalog.proof import prove
from catalog.rate_report import local_period
from catalog.reading import LOCAL
from catalog.reports import View
from catalog.signing import SigningKey, verify
from gateway.console.evidence_page import evidence_page
from tests.api_peer import Api
from tests.seed import ELSEWHERE, NOW, Change, add_evidence, apply, seed_every_state, seed_roll

pytestmark = pytest.mark.postgres

OBJECTION = {
    "first": "2026-11-18",
    "last": "2026-11-20",
    "raised_by": "示例单位",
    "text": "<b>当日</b>录像连续",
    "document": "函 12",
}
ORDER = {
    "organ": "示范市公安局",
    "order_number": "2026-17",
    "served_on": "2026-11-20",
    "deadline": "2026-11-30",
    "items": "接入平台",
}

Post = Callable[..., Awaitable[tuple[int, Any]]]


@pytest.fixture
def post(api: Api) -> Post:
    """Return a call that posts as somebody and returns status and answer."""

    async def call(path: str, who: str = "operator", **body: object) -> tuple[int, Any]:
        response = await api.client.post(f"/api/v1/{path}", json=body, headers=api.headers(who))
        return response.status, await response.json()

    return call


async def second_person(api: Api) -> None:
    """Let another operator call under the name `second`."""
    made = await api.client.post(
        "/api/v1/tokens", json={"person": "赵六", "role": "operator"}, headers=api.headers("operator")
    )
    api.tokens["second"] = (await made.json())["secret"]


async def sheet(api: Api, source: int, **days: str) -> dict[str, Any]:
    asked = "&".join(f"{name}={day}" for name, day in days.items())
    found: dict[str, Any] = await api.get(f"/api/v1/sources/{source}/evidence?{asked}")
    return found


async def test_an_objection_stands_on_each_sheet_of_its_days_and_its_answer_too(
    api: Api, post: Post, database: Database
) -> None:
    offline = (await seed_every_state(database)).source_ids[2]
    await second_person(api)

    status, entered = await post(f"sources/{offline}/disputes", **OBJECTION)
    before = await sheet(api, offline, first="2026-11-20", last="2026-11-20")
    own, _ = await post(f"disputes/{entered['dispute_id']}/answer", upheld=True, text="是")
    settled, answered = await post(
        f"disputes/{entered['dispute_id']}/answer", "second", upheld=False, text="无记录"
    )
    again, _ = await post(f"disputes/{entered['dispute_id']}/answer", "second", upheld=True, text="是")
    after = await sheet(api, offline, first="2026-11-10", last="2026-11-18")
    elsewhere = await sheet(api, offline, first="2026-11-10", last="2026-11-17")
    listed = await api.get(f"/api/v1/sources/{offline}/disputes")
    still_open = await api.get("/api/v1/disputes?open=true")

    assert (status, own, settled, again) == (201, 409, 200, 409)
    assert (answered["answer"]["upheld"], answered["answer"]["answered_by"]) == (False, "赵六")
    [unanswered], [told] = before["document"]["disputes"], after["document"]["disputes"]
    assert (unanswered["text"], unanswered["answer"]) == (OBJECTION["text"], None)
    assert told["answer"]["text"] == "无记录"
    assert elsewhere["document"]["disputes"] == []
    assert [each["dispute_id"] for each in listed["items"]] == [entered["dispute_id"]]
    assert still_open["items"] == []


async def test_a_sheet_with_disputes_follows_from_its_facts_and_one_of_the_older_form_does_too(
    api: Api, post: Post, database: Database
) -> None:
    offline = (await seed_every_state(database)).source_ids[2]
    await post(f"sources/{offline}/disputes", **OBJECTION)
    document = (await sheet(api, offline, first="2026-11-01", last="2026-11-20"))["document"]
    key = SigningKey(bytes(range(32)))
    older = {name: part for name, part in document.items() if name != "disputes"} | {"form": 1}

    for each, is_told in ((document, True), (older, False)):
        verified = verify(key.sign(each))
        page = evidence_page(verified, check(verified.document), "en")
        assert check(verified.document).holds
        assert ("not answered" in page) == is_told
        assert "<b>当日</b>" not in page


async def test_nothing_is_ordered_before_an_objection_is_answered(
    api: Api, post: Post, database: Database
) -> None:
    seeded = await seed_roll(database, count=2)
    await second_person(api)
    number = await open_case(database, (await candidates(database, View(NOW)))[0], at=NOW)
    assert number is not None

    async def step(what: CaseStep, **detail: str) -> CaseState:
        return (await take_step(database, number, what, at=NOW, person="Wang", detail=detail)).state

    await step(CaseStep.VERIFY, addressee="示例单位")
    _, entered = await post(f"sources/{seeded.source_ids[0]}/disputes", **OBJECTION)
    with pytest.raises(StepRefused, match=f"before dispute {entered['dispute_id']}"):
        await step(CaseStep.ORDER, **ORDER)
    await post(f"disputes/{entered['dispute_id']}/answer", "second", upheld=False, text="无记录")

    assert await step(CaseStep.ORDER, **ORDER) is CaseState.ORDERED


async def test_late_evidence_that_is_upheld_revises_what_is_told_and_nothing_that_is_stored(
    api: Api, post: Post, database: Database
) -> None:
    """Offline from 02:00 to 07:00 local; shown running from 03:00 to 04:30."""
    source = (await seed_every_state(database)).source_ids[2]
    await second_person(api)
    await apply(database, [Change(source, "online", NOW - timedelta(minutes=30))])
    await add_evidence(database, source, 30, "alive", NOW - timedelta(minutes=30), "online")
    days = {"first": "2026-11-19", "last": "2026-11-20"}
    shown = {"running_from": NOW - timedelta(hours=4), "running_until": NOW - timedelta(hours=2, minutes=30)}
    running = {name: at.isoformat() for name, at in shown.items()}

    async def offline() -> tuple[float, int]:
        report = await api.get("/api/v1/reports/rates?by=source&first=2026-11-19&last=2026-11-20")
        [row] = [each for each in report["items"] if each["outages"]]
        return row["offline_seconds"] / 3600, row["outages"]

    async def stored() -> list[tuple[str, datetime]]:
        async with database.raw_connection() as connection:
            rows = await connection.fetch(
                "SELECT state, ended_at FROM connectivity_interval WHERE source_id = $1 ORDER BY ended_at",
                source,
            )
        return [(row["state"], row["ended_at"]) for row in rows]

    before, kept = await offline(), await stored()
    _, entered = await post(f"sources/{source}/disputes", **(OBJECTION | running))
    waiting = await offline()
    await post(f"disputes/{entered['dispute_id']}/answer", "second", upheld=True, text="设备录像连续")
    after = await offline()
    document = (await sheet(api, source, **days))["document"]

    assert before == waiting == (4.5, 1)
    assert after == (3.0, 2)
    assert await stored() == kept
    period = local_period(date(2026, 11, 19), date(2026, 11, 20), NOW)
    assert (await prove(database, View(NOW), period, source_id=source)).holds
    assert [state["state"] for state in document["states"]] == [
        *("online", "offline", "online", "offline", "online")
    ]
    assert check(document).holds
    forged = document | {"late": []}
    assert not check(forged).holds


async def test_late_evidence_about_a_closed_day_tells_that_day_anew(
    api: Api, post: Post, database: Database
) -> None:
    source = (await seed_every_state(database)).source_ids[2]
    await second_person(api)
    await apply(database, [Change(source, "online", NOW - timedelta(minutes=30))])
    closing = DayClosing(database, CountingRules(LOCAL, timedelta(hours=24)), timedelta(seconds=60))
    day = date(2026, 11, 20)
    async with database.raw_connection() as connection:
        await connection.execute("DELETE FROM day_stale")
    await closing.close(day, now=NOW + timedelta(days=1))
    shown = {"running_from": NOW - timedelta(hours=4), "running_until": NOW - timedelta(hours=2, minutes=30)}
    running = {name: at.isoformat() for name, at in shown.items()}
    _, entered = await post(f"sources/{source}/disputes", **(OBJECTION | running))
    await post(f"disputes/{entered['dispute_id']}/answer", "second", upheld=True, text="设备录像连续")

    assert await closing.mend(now=NOW + timedelta(days=1)) == 1

    async with database.raw_connection() as connection:
        told = "SELECT offline, outages FROM day_total WHERE class = '' AND day = $1"
        row = await connection.fetchrow(told, day)
    assert row is not None
    assert (row["offline"], row["outages"]) == (3 * 3_600_000_000, 2)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"running_from": "2026-11-20T01:00:00+08:00"}, 422),
        ({"running_from": "2026-11-20T02:00:00+08:00", "running_until": "2026-11-20T01:00:00+08:00"}, 422),
        ({"running_from": "2026-11-18T08:00:00+08:00", "running_until": "2026-11-18T09:00:00+08:00"}, 409),
        ({"running_from": "2026-11-17T08:00:00+08:00", "running_until": "2026-11-17T09:00:00+08:00"}, 409),
        ({"running_from": "2026-11-20T08:00:00+08:00", "running_until": "2026-11-20T15:00:00+08:00"}, 409),
        ({"last": "2026-11-17"}, 409),
        ({"first": "2026-11-21", "last": "2026-11-22"}, 409),
        ({"first": "yesterday"}, 422),
        ({"text": " "}, 422),
        ({"raised_by": ""}, 422),
    ],
)
async def test_a_wrong_objection_is_refused(
    api: Api, post: Post, database: Database, change: dict[str, str], status: int
) -> None:
    source = (await seed_roll(database, count=2)).source_ids[0]

    refused, _ = await post(f"sources/{source}/disputes", **(OBJECTION | change))

    assert refused == status
    assert (await api.get("/api/v1/disputes"))["items"] == []


async def test_another_regions_sources_and_disputes_are_none(
    api: Api, post: Post, database: Database
) -> None:
    source = (await seed_roll(database, count=2)).source_ids[0]
    await seed_roll(database, count=2, district=ELSEWHERE)
    _, entered = await post(f"sources/{source}/disputes", **OBJECTION)

    foreign, _ = await post(f"sources/{source}/disputes", "foreign_operator", **OBJECTION)
    answer, _ = await post(
        f"disputes/{entered['dispute_id']}/answer", "foreign_operator", upheld=True, text="是"
    )
    unknown, _ = await post("sources/999/disputes", **OBJECTION)
    seen = await api.get("/api/v1/disputes", "foreign_operator")

    assert (foreign, answer, unknown, seen["items"]) == (404, 404, 404, [])


async def test_the_page_takes_an_objection_and_another_persons_answer(api: Api, database: Database) -> None:
    source = (await seed_roll(database, count=2)).source_ids[0]
    await second_person(api)

    async def act(who: str, verb: str, page: str, **fields: str) -> str:
        await api.client.post("/login", data={"token": api.tokens[who]})
        shown = await (await api.client.get(f"{page}?lang=en")).text()
        csrf = shown.split('name="csrf" value="')[1].split('"')[0]
        return await (await api.client.post(f"/act/{verb}", data={"csrf": csrf, **fields})).text()

    entered = await act("operator", "dispute", f"/sources/{source}", source_id=str(source), **OBJECTION)
    waiting = await (await api.client.get("/cases")).text()
    answered = await act(
        "second", "answer_dispute", "/cases", dispute_id="1", upheld="false", text="no recording"
    )
    shown = await (await api.client.get(f"/sources/{source}")).text()

    assert "The objection was entered" in entered
    assert "not answered" in waiting
    assert "answer_dispute" not in waiting
    assert "The objection was answered" in answered
    assert "rejected" in shown
    assert "no recording" in shown
    assert "<b>当日</b>" not in shown
