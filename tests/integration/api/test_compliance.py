"""Attested facts and judged systems over the API, the page and the command line."""

from typing import Any

import pytest

from catalog.attestations import judged_systems
from catalog.database import Database
from catalog.errors import CatalogError, QueryFailed
from catalog.reports import View
from tests.api_peer import Api
from tests.seed import ELSEWHERE, NOW, Change, apply, seed_roll

pytestmark = pytest.mark.postgres


async def attest(api: Api, system: int, who: str = "operator", **body: str) -> tuple[int, Any]:
    response = await api.client.post(
        f"/api/v1/systems/{system}/attestations",
        json={"document": "登记表 7", **body},
        headers=api.headers(who),
    )
    return response.status, await response.json()


def verdicts(system: dict[str, Any]) -> dict[tuple[str, str], str]:
    return {(each["rule"], each["requirement"]): each["verdict"] for each in system["findings"]}


async def test_a_system_is_judged_by_what_was_attested_each_rule_with_its_article(
    api: Api, database: Database
) -> None:
    seeded = await seed_roll(database, count=2)
    await apply(database, [Change(seeded.source_ids[0], "online", NOW)])

    [before] = (await api.get("/api/v1/compliance"))["items"]
    status, after = await attest(api, 1, fact="sign_posted", value="no")
    for fact, value in (
        ("place_kind", "other"),
        ("state_owned", "no"),
        ("place_owner", "某公司"),
        ("place_owner", "某公园管理处"),
        ("in_use_on", "2026-01-01"),
    ):
        status, after = await attest(api, 1, fact=fact, value=value)

    assert (before["unit"], before["sites"], before["facts"]) == (
        "示例单位 320299",
        ["示例公园 1", "示例公园 2"],
        [],
    )
    assert verdicts(before)["responsible_builder", "WX-10"] == "unresolved"
    assert verdicts(before)["sign_posted", "WX-14"] == "open"
    assert verdicts(before)["interface_reserved", "WX-11.1"] == "met"
    assert status == 201
    assert verdicts(after)["sign_posted", "WX-14"] == "broken"
    assert verdicts(after)["filed_in_time", "CN-14.1"] == "broken"
    [builder] = [
        each
        for each in after["findings"]
        if (each["rule"], each["requirement"]) == ("responsible_builder", "WX-10")
    ]
    assert (builder["party"], builder["verdict"]) == ("某公园管理处", "met")
    assert builder["article_en"] == "Wuxi Measures, Art. 10"
    [owner] = [each for each in after["facts"] if each["fact"] == "place_owner"]
    assert (owner["value"], owner["document"], owner["attested_by"]) == (
        "某公园管理处",
        "登记表 7",
        "测试 operator",
    )


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"fact": "sign_posted", "value": "perhaps"}, "sign_posted is one of yes, no"),
        ({"fact": "in_use_on", "value": "2999-01-01"}, "has not come yet"),
        ({"fact": "nothing", "value": "yes"}, None),
        ({"fact": "sign_posted", "value": "  "}, None),
        ({"fact": "sign_posted", "value": "yes", "document": " "}, None),
    ],
)
async def test_a_wrong_attestation_is_refused_and_nothing_is_kept(
    api: Api, database: Database, body: dict[str, str], told: str | None
) -> None:
    await seed_roll(database, count=2)

    status, problem = await attest(api, 1, **body)

    assert status == 422
    assert told is None or told in problem["detail"]
    [system] = (await judged_systems(database, View(NOW))).items
    assert system.facts == ()


async def test_another_regions_system_is_none(api: Api, database: Database) -> None:
    await seed_roll(database, count=2)
    await seed_roll(database, count=2, district=ELSEWHERE)

    foreign = await attest(api, 1, "foreign_operator", fact="sign_posted", value="yes")
    unknown = await attest(api, 99, fact="sign_posted", value="yes")
    seen = await api.get("/api/v1/compliance", "foreign_operator")

    assert (foreign[0], unknown[0]) == (404, 404)
    assert [each["district"] for each in seen["items"]] == [ELSEWHERE]


async def test_systems_are_paged_by_number(api: Api, database: Database) -> None:
    await seed_roll(database, count=2)
    await seed_roll(database, count=2, district=ELSEWHERE)

    first = await api.get("/api/v1/compliance?limit=1")
    second = await api.get(f"/api/v1/compliance?limit=1&cursor={first['next_cursor']}")

    assert [each["system_id"] for each in first["items"] + second["items"]] == [1, 2]
    assert second["next_cursor"] is None


async def test_an_attestation_is_never_changed(api: Api, database: Database) -> None:
    await seed_roll(database, count=2)
    await attest(api, 1, fact="sign_posted", value="yes")

    with pytest.raises(CatalogError) as refused:
        async with database.raw_connection() as connection:
            await connection.execute("UPDATE attestation SET value = 'no'")

    assert isinstance(refused.value, QueryFailed)
    assert "append-only" in str(refused.value)


async def test_the_page_shows_what_is_not_met_and_takes_an_attestation(api: Api, database: Database) -> None:
    await seed_roll(database, count=2)
    await api.client.post("/login", data={"token": api.tokens["operator"]})
    page = await (await api.client.get("/compliance?lang=en")).text()
    csrf = page.split('name="csrf" value="')[1].split('"')[0]

    posted = {"csrf": csrf, "system_id": "1", "fact": "place_owner", "value": "<b>X</b>", "document": "7"}
    after = await (await api.client.post("/act/attest", data=posted)).text()

    assert "nobody responsible" in page
    assert "Wuxi Measures, Art. 10" in page
    assert "The attestation was kept" in after
    assert "&lt;b&gt;X&lt;/b&gt;" in after
    assert "<b>X</b>" not in after


@pytest.mark.parametrize("role", ["operator", "foreign_operator"])
async def test_a_file_attests_what_lies_in_the_region_of_whoever_sends_it(
    api: Api, database: Database, role: str
) -> None:
    await seed_roll(database, count=2)
    [place] = (await api.get("/api/v1/compliance"))["items"]
    lines = (
        "单位,系统,事实,内容,依据文件",
        f"{place['unit']},{place['system']},sign_posted,yes,登记表 7",
        f"{place['unit']},{place['system']},stored_days,31,登记表 7",
    )
    headers = api.headers(role) | {"Content-Type": "text/csv"}
    sent = "\n".join(lines)
    answer = await api.client.post("/api/v1/attestations", data=sent, headers=headers)
    broken = await api.client.post("/api/v1/attestations", data=sent.replace("31", "x"), headers=headers)
    said, problem = await answer.json(), await broken.json()
    [system] = (await judged_systems(database, View(NOW))).items

    assert broken.status == 422
    assert problem["errors"][0]["pointer"] == "row 3, value"
    if role == "operator":
        assert (answer.status, said) == (201, {"facts": 2, "systems": 1})
        assert {each.fact.value: each.value for each in system.facts} == {
            "sign_posted": "yes",
            "stored_days": "31",
        }
        assert verdicts((await api.get("/api/v1/compliance"))["items"][0])["retention", "WX-28.2"] == "met"
    else:
        assert answer.status == 422
        assert {each["pointer"] for each in said["errors"]} == {"row 2, system", "row 3, system"}
        assert system.facts == ()
