"""The acting verbs over the API: the catalog changes, in the name of who asked, and the answer says what."""

import io
from datetime import timedelta
from typing import Any

import pytest

from catalog.access import Role, Tokens
from catalog.credentials import credential
from catalog.database import Database
from catalog.jurisdictions import save_jurisdiction
from catalog.reading import Region
from gateway.clock import SystemClock
from gateway.config import Config, RtspServerConfig
from gateway.console import public_page
from gateway.desks import Viewing
from gateway.discovery_plan import SweepRefused, SweepRequest
from gateway.opening import jurisdiction_of
from gateway.relay.limits import Limit, Shortage
from gateway.serving.grants import Grants
from tests.api_peer import CONFIG, Api, served
from tests.seed import GATEWAY, HERE, NOW, seed_every_state, seed_roll

pytestmark = pytest.mark.postgres

ROLL = (
    "unit,system,site,class,location_type,civil_code,gb_id,host,port,rtsp_path,mac,serial,"
    "credential_ref,connect_due_date,basis,address_attested\n"
    f"示例单位,一号系统,示例公园,WX8_07,entrance,{HERE},{HERE}00001320000001,10.1.2.3,554,/live,,,cam-1,2026-11-01,WX-21.2,yes\n"
)


async def send(
    api: Api, method: str, path: str, body: object = None, role: str = "operator"
) -> tuple[int, Any]:
    response = await api.client.request(method, path, json=body, headers=api.headers(role))
    return response.status, await response.json(content_type=None)


async def import_roll(api: Api, text: bytes, query: str) -> tuple[int, Any]:
    response = await api.client.post(
        f"/api/v1/rolls{query}",
        data=io.BytesIO(text),
        headers=api.headers("operator", **{"Content-Type": "text/csv"}),
    )
    return response.status, await response.json(content_type=None)


async def add_sighting(database: Database, state: str, source_id: int | None, host: str = "10.1.2.9") -> int:
    async with database.raw_connection() as connection:
        return int(
            await connection.fetchval(
                "INSERT INTO sighting (protocol, host, port, first_seen_at, last_seen_at, state, source_id) "
                "VALUES ('rtsp', $1, 554, $2, $2, $3, $4) RETURNING sighting_id",
                host,
                NOW,
                state,
                source_id,
            )
        )


async def test_a_sighting_is_confirmed_once(api: Api, database: Database) -> None:
    seeded = await seed_roll(database)
    sighting = await add_sighting(database, "awaiting_confirmation", seeded.source_ids[0])

    status, answer = await send(api, "POST", f"/api/v1/sightings/{sighting}/confirm", {})
    again, problem = await send(api, "POST", f"/api/v1/sightings/{sighting}/confirm", {})
    detail = await api.get(f"/api/v1/sources/{seeded.source_ids[0]}")

    assert (status, answer["state"], answer["source_id"]) == (200, "accepted", seeded.source_ids[0])
    assert (again, problem["code"]) == (422, "invalid")
    assert "测试 operator" in {endpoint["confirmed_by"] for endpoint in detail["endpoints"]}


async def test_a_sighting_is_accepted_or_refused(api: Api, database: Database) -> None:
    seeded = await seed_roll(database)
    one = await add_sighting(database, "quarantined", None)
    two = await add_sighting(database, "quarantined", None, host="10.1.2.10")

    accepted = await send(
        api, "POST", f"/api/v1/sightings/{one}/accept", {"source_id": seeded.source_ids[1], "path": "/a"}
    )
    refused = await send(api, "POST", f"/api/v1/sightings/{two}/refuse", {"reason": "打印机"})
    listed = await api.get("/api/v1/sightings?state=refused")
    missing = await send(api, "POST", "/api/v1/sightings/999/confirm", {})

    assert (accepted[0], accepted[1]["state"]) == (200, "accepted")
    assert (refused[0], refused[1]["state"]) == (200, "refused")
    assert [row["sighting_id"] for row in listed["items"]] == [two]
    assert missing[0] == 404


async def test_a_network_is_authorised_and_revoked(api: Api) -> None:
    body = {
        "cidr": "10.1.0.0/20",
        "document": "公函 7",
        "approver": "王局",
        "expires_at": (NOW + timedelta(days=9)).isoformat(),
    }

    status, record = await send(api, "POST", "/api/v1/networks", body)
    public, problem = await send(api, "POST", "/api/v1/networks", {**body, "cidr": "8.8.8.0/24"})
    naive, _ = await send(api, "POST", "/api/v1/networks", {**body, "expires_at": "2030-01-01T00:00:00"})
    revoked, _ = await send(api, "DELETE", f"/api/v1/networks/{record['network_id']}")
    listed = await api.get("/api/v1/networks")

    assert (status, record["authorised_by"], record["is_live"]) == (201, "测试 operator", True)
    assert (public, problem["code"], naive, revoked) == (422, "invalid", 422, 200)
    assert [row["is_live"] for row in listed["items"]] == [False]


class Sweeps:
    """A desk that takes one network and refuses every other."""

    def __init__(self) -> None:
        self.asked: list[SweepRequest] = []

    async def start(self, request: SweepRequest) -> int:
        if request.cidr != "10.1.2.0/24":
            raise SweepRefused("not_authorised", "未授权", "not authorised")
        self.asked.append(request)
        return 7

    async def stop(self, run_id: int, *, person: str) -> bool:
        return run_id == 7


async def test_a_sweep_begins_in_the_name_of_who_asks(database: Database) -> None:
    sweeps = Sweeps()
    async with served(database, sweeps=sweeps) as api:
        begun = await send(api, "POST", "/api/v1/discovery-runs", {"cidr": "10.1.2.0/24", "ports": [554]})
        refused = await send(api, "POST", "/api/v1/discovery-runs", {"cidr": "10.9.0.0/24"})
        stopped = await send(api, "POST", "/api/v1/discovery-runs/7/stop")

    assert begun == (202, {"run_id": 7})
    assert sweeps.asked == [SweepRequest("10.1.2.0/24", "测试 operator", (554,))]
    assert (refused[0], "未授权" in refused[1]["detail"]) == (422, True)
    assert stopped == (200, {"done": True})


async def test_what_does_not_run_here_says_so(api: Api, database: Database) -> None:
    seeded = await seed_roll(database)

    sweep = await send(api, "POST", "/api/v1/discovery-runs", {"cidr": "10.1.2.0/24"})
    relay = await send(api, "POST", "/api/v1/relays", {"source_id": seeded.source_ids[0]})
    test = await send(api, "POST", "/api/v1/credentials/x/test")

    assert [(status, body["code"]) for status, body in (sweep, relay, test)] == [(503, "not_running")] * 3


class OnDemandDesk:
    """A desk on which one source has an obstacle."""

    def __init__(self, blocked: int) -> None:
        self.blocked = blocked
        self.wanted: set[int] = set()

    async def start(self, source_id: int) -> str | Shortage | None:
        if source_id == self.blocked:
            return "location_unattested"
        self.wanted.add(source_id)
        return None

    async def stop(self, source_id: int) -> bool:
        return source_id in self.wanted


async def test_a_relay_is_asked_for_and_let_go(database: Database) -> None:
    seeded = await seed_roll(database)
    one, two = seeded.source_ids[:2]
    async with served(database, on_demand=OnDemandDesk(two)) as api:
        asked = await send(api, "POST", "/api/v1/relays", {"source_id": one})
        blocked = await send(api, "POST", "/api/v1/relays", {"source_id": two})
        unknown = await send(api, "POST", "/api/v1/relays", {"source_id": 4242})
        left = await send(api, "DELETE", f"/api/v1/relays/{one}")

    assert asked == (202, {"source_id": one, "idle_stop": 30.0})
    assert (blocked[0], blocked[1]["detail"], "limit" in blocked[1]) == (409, "location_unattested", False)
    assert (unknown[0], left) == (404, (200, {"done": True}))


class AllCodes:
    """Every source of the test goes out under its id."""

    def code_of(self, source_id: int) -> str:
        return f"source-{source_id}"


async def test_an_operator_gets_a_login_for_one_look_with_its_purpose_on_record(database: Database) -> None:
    seeded = await seed_roll(database)
    one = seeded.source_ids[0]
    grants = Grants()
    server = RtspServerConfig(port=8554, public_host="video.example.cn")
    desk = Viewing(grants, AllCodes(), server, SystemClock())
    path = f"/api/v1/sources/{one}/play"
    async with served(database, view_desk=desk) as api:
        looked = await send(api, "POST", path, {"purpose": "接警 4711"})
        aimless = await send(api, "POST", path, {"purpose": "   "})
        unsaid = await send(api, "POST", path, {})
        abroad = await send(api, "POST", path, {"purpose": "x"}, role="foreign_operator")
        police = await send(api, "POST", path, {"purpose": "x"}, role="police_status")

    status, answer = looked
    grant = grants.find(answer["username"], SystemClock().monotonic())
    assert (status, answer["addresses"]) == (201, [f"rtsp://video.example.cn:8554/source-{one}"])
    assert grant is not None
    assert (grant.source_id, grant.password.reveal()) == (one, answer["password"])
    assert (grant.viewer.person, grant.viewer.purpose) == ("测试 operator", "接警 4711")
    assert [each[0] for each in (aimless, unsaid, abroad, police)] == [403, 422, 404, 403]
    assert len(grants) == 1


async def test_no_login_is_given_where_nobody_may_pull(api: Api, database: Database) -> None:
    seeded = await seed_roll(database)
    refused = await send(api, "POST", f"/api/v1/sources/{seeded.source_ids[0]}/play", {"purpose": "x"})
    assert (refused[0], refused[1]["code"]) == (503, "not_running")


class FullDesk(OnDemandDesk):
    """A desk that has no room in one network."""

    async def start(self, source_id: int) -> str | Shortage | None:
        return Shortage(Limit.NETWORK_BANDWIDTH, 20_000_000, 18_000_000, 4_000_000, "10.1.2.0/24")


async def test_a_relay_beyond_a_limit_is_refused_with_the_limit_its_numbers_and_the_remedy(
    database: Database,
) -> None:
    seeded = await seed_roll(database)
    async with served(database, on_demand=FullDesk(0)) as api:
        answer = await api.client.post(
            "/api/v1/relays", json={"source_id": seeded.source_ids[0]}, headers=api.headers("operator")
        )
        problem = await answer.json()

    assert (answer.status, answer.headers["Retry-After"]) == (503, "10")
    assert (problem["code"], problem["type"]) == ("relay_limit", "urn:muster:problem:relay_limit")
    assert problem["limit"] == {
        "name": "network_bandwidth_limit",
        "setting": "max_network_bandwidth",
        "most": 20_000_000,
        "used": 18_000_000,
        "asked": 4_000_000,
        "network": "10.1.2.0/24",
    }
    assert "18.0 of 20.0 Mbit/s" in problem["detail"]
    assert "[relay] max_network_bandwidth" in problem["detail"]


async def test_a_source_changes_only_in_what_is_named(api: Api, database: Database) -> None:
    seeded = await seed_roll(database)
    source = seeded.source_ids[0]
    endpoint = {"host": "10.1.2.77", "port": 554, "path": "/live", "credential_ref": "cam-2"}

    changed = await send(
        api, "PATCH", f"/api/v1/sources/{source}", {"location_type": "entrance", "add_endpoint": endpoint}
    )
    name_host = await send(
        api, "PATCH", f"/api/v1/sources/{source}", {"add_endpoint": {**endpoint, "host": "camera.example"}}
    )
    nulled = await send(api, "PATCH", f"/api/v1/sources/{source}", {"audio_enabled": None})
    twice = await send(api, "PATCH", f"/api/v1/sources/{source}", {"add_endpoint": endpoint})
    detail = await api.get(f"/api/v1/sources/{source}")

    assert (changed[0], name_host[0], nulled[0], twice[0]) == (200, 422, 422, 409)
    assert detail["source"]["location_type"] == "entrance"
    assert detail["source"]["relay_mode"] == "always"
    added = next(row for row in detail["endpoints"] if row["host"] == "10.1.2.77")
    assert (added["confirmed_by"], added["credential_ref"]) == ("测试 operator", "cam-2")


async def test_a_retired_source_leaves_the_counts_and_keeps_its_history(api: Api, database: Database) -> None:
    seeded = await seed_every_state(database)
    source = seeded.source_ids[0]

    retired = await send(api, "POST", f"/api/v1/sources/{source}/retire")
    again = await send(api, "POST", f"/api/v1/sources/{source}/retire")
    summary = await api.get("/api/v1/reports/summary")
    history = await api.get(f"/api/v1/sources/{source}/history")
    detail = await api.get(f"/api/v1/sources/{source}")

    assert (retired[0], again[0]) == (200, 404)
    assert (summary["total"]["required"], summary["total"]["online"]["count"]) == (7, 0)
    assert len(history["items"]) == 2
    assert detail["source"]["status"]["shown"] == "removed"


async def test_a_credential_is_written_and_never_read(api: Api, database: Database) -> None:
    body = {"username": "admin", "password": "pass word"}

    stored = await send(api, "PUT", "/api/v1/credentials/%E5%A4%A7%E9%97%A8", body)
    empty = await send(api, "PUT", "/api/v1/credentials/x", {**body, "password": ""})
    wrong = await send(api, "PUT", "/api/v1/credentials/x", {"username": "a", "password": {"p": "HIDDEN"}})

    known = await credential(database, api.services.vault, "大门")
    assert stored == (200, {"ref": "大门", "version": 1})
    assert known is not None
    assert known.password.reveal() == "pass word"
    assert (empty[0], wrong[0]) == (422, 422)
    assert "HIDDEN" not in str(wrong[1])


async def test_sinks_are_kept_without_their_secrets(api: Api) -> None:
    body = {"name": "中心", "host": "10.9.9.9", "port": 554, "credential_ref": "center"}

    added = await send(api, "POST", "/api/v1/sinks", body)
    twice = await send(api, "POST", "/api/v1/sinks", body)
    pinned = await send(api, "POST", "/api/v1/sinks", {**body, "name": "x", "tls_pin_sha256": "a" * 64})
    disabled = await send(api, "PATCH", "/api/v1/sinks/中心", {"enabled": False})
    listed = await api.get("/api/v1/sinks")
    removed = await send(api, "DELETE", "/api/v1/sinks/中心")
    unknown = await send(api, "DELETE", "/api/v1/sinks/中心")

    assert [added[0], twice[0], pinned[0], disabled[0], removed[0], unknown[0]] == [
        201,
        409,
        422,
        200,
        200,
        404,
    ]
    assert (listed["items"][0]["enabled"], listed["items"][0]["credential_ref"]) == (False, "center")


async def test_a_token_is_shown_once_and_ends_when_revoked(api: Api) -> None:
    status, made = await send(
        api, "POST", "/api/v1/tokens", {"person": "赵六", "role": "police_status", "region": "3202"}
    )
    headers = {"Authorization": f"Bearer {made['secret']}", "X-Purpose": "test"}
    before = await api.client.get("/api/v1/reports/summary", headers=headers)
    revoked = await send(api, "DELETE", f"/api/v1/tokens/{made['token']['token_id']}")
    after = await api.client.get("/api/v1/reports/summary", headers=headers)
    listed = await api.get("/api/v1/tokens")
    nameless = await send(api, "POST", "/api/v1/tokens", {"person": " ", "role": "operator"})

    assert (status, before.status, revoked[0], after.status, nameless[0]) == (201, 200, 200, 401, 422)
    assert made["secret"] not in str(listed)
    assert listed["items"][0]["person"] == "赵六"


async def known_here(database: Database, config: Config) -> None:
    await save_jurisdiction(database, jurisdiction_of(config))
    async with database.raw_connection() as connection:
        await connection.execute("INSERT INTO gateway (gateway_id) VALUES ($1)", GATEWAY)


async def test_a_roll_is_tried_imported_and_published(api: Api, database: Database) -> None:
    await known_here(database, CONFIG)

    tried = await import_roll(api, ROLL.encode(), "")
    nothing = await api.get("/api/v1/sources")
    imported = await import_roll(api, ROLL.encode(), "?dry_run=false")
    again = await import_roll(api, ROLL.encode(), "?dry_run=false")
    draft = await send(api, "POST", "/api/v1/editions", {"dry_run": True})
    edition = await send(api, "POST", "/api/v1/editions", {})

    assert (tried[0], tried[1]["added"], nothing["items"]) == (200, 1, [])
    assert (imported[1]["added"], again[1]["unchanged"]) == (1, 1)
    assert (draft[1]["number"], draft[1]["entries"]) == (None, 1)
    assert edition[0] == 201
    assert edition[1]["number"] is not None


async def test_an_edition_goes_out_by_two_tokens(database: Database) -> None:
    law = CONFIG.jurisdiction.model_copy(update={"second_approver": True})
    config = CONFIG.model_copy(update={"jurisdiction": law})
    await known_here(database, config)
    async with served(database, config) as api:
        _, second = await Tokens(database).create(
            person="测试 second", role=Role.OPERATOR, region=Region(), created_at=NOW
        )
        await import_roll(api, ROLL.encode(), "?dry_run=false")
        path = "/api/v1/editions/proposals"
        alone = await send(api, "POST", "/api/v1/editions", {})
        made = await send(api, "POST", path, {})
        number = made[1]["proposal_id"]
        himself = await send(api, "POST", f"{path}/{number}/approve", None)
        await api.client.post("/login", data={"token": api.tokens["operator"]})
        page = await (await api.client.get("/roll?lang=en")).text()
        api.tokens["operator"], first = second.reveal(), api.tokens["operator"]
        other = await send(api, "POST", f"{path}/{number}/approve", None)
        twice = await send(api, "POST", f"{path}/{number}/reject", {"reason": "late"})
        missing = await send(api, "POST", f"{path}/99/approve", None)
        listed = await api.get(path)
        api.tokens["operator"] = first

    assert (alone[0], himself[0], twice[0], missing[0]) == (409, 409, 409, 404)
    assert "somebody else must approve" in himself[1]["detail"]
    assert all(f'action="/act/{verb}"' in page for verb in ("propose", "approve", "reject"))
    assert 'action="/act/publish"' not in page
    assert (made[0], made[1]["review"]["entries"], other[0]) == (201, 1, 201)
    assert listed["second_approver"] is True
    [item] = listed["items"]
    assert (item["edition"], item["decided_by"]) == (other[1]["number"], "测试 second")


async def test_a_wrong_roll_names_every_row_and_changes_nothing(api: Api, database: Database) -> None:
    await known_here(database, CONFIG)
    wrong = ROLL.replace("2026-11-01", "soon") + ROLL.splitlines()[1].replace(f"{HERE}00001320000001", "1")

    status, problem = await import_roll(api, wrong.encode(), "?dry_run=false")
    garbage = await import_roll(api, b"\x00\xff" * 100, "?dry_run=false")

    assert (status, problem["code"]) == (422, "invalid")
    assert {fault["pointer"] for fault in problem["errors"]} >= {"row 2, connect_due_date", "row 3, gb_id"}
    assert garbage[0] == 422
    assert (await api.get("/api/v1/sources"))["items"] == []


async def test_everybody_sees_the_published_catalog_and_nothing_more(api: Api, database: Database) -> None:
    await known_here(database, CONFIG)
    await import_roll(api, ROLL.encode(), "?dry_run=false")
    unpublished = await api.client.get("/public/catalog", headers={"Accept-Language": "en"})
    await send(api, "POST", "/api/v1/editions", {})

    html = await api.client.get(
        "/public/catalog", headers={"Accept": "text/html", "Accept-Language": "zh-CN"}
    )
    english = await api.client.get("/public/catalog?lang=en")
    as_json = await api.client.get("/public/catalog", headers={"Accept": "application/json"})
    as_csv = await api.client.get("/public/catalog?format=csv")
    neither = await api.client.get("/public/catalog", headers={"Accept": "image/png"})
    texts = [await answer.text() for answer in (html, english, as_json, as_csv)]

    assert "Not published yet" in await unpublished.text()
    assert all("示例公园" in text for text in texts)
    assert "Who must connect" in texts[1]
    assert not any(word in text for text in texts for word in ("10.1.2.3", "/live", f"{HERE}0000", "cam-1"))
    assert (await as_json.json())["status"] == "published"
    assert as_csv.content_type == "text/csv"
    assert neither.status == 406


async def test_under_a_profile_without_the_duty_the_page_says_so(database: Database) -> None:
    law = CONFIG.jurisdiction.model_copy(update={"profile": "shaanxi-2011"})
    config = CONFIG.model_copy(update={"jurisdiction": law})
    await known_here(database, config)
    async with served(database, config) as api:
        page = await api.client.get("/public/catalog?lang=en")
        refused = await send(api, "POST", "/api/v1/editions", {})

        assert page.status == 200
        assert "There is no public catalog" in await page.text()
        assert (refused[0], refused[1]["code"]) == (422, "refused_by_law")


async def test_a_roll_larger_than_its_bound_is_refused_early(api: Api) -> None:
    response = await api.client.post(
        "/api/v1/rolls",
        data=io.BytesIO(b""),
        headers=api.headers(
            "operator", **{"Content-Type": "text/csv", "Content-Length": str(64 * 1024 * 1024 + 1)}
        ),
    )

    assert response.status == 413


async def test_a_long_catalog_is_paged_for_people_and_whole_for_programs(
    api: Api, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(public_page, "ENTRIES", 1)
    await known_here(database, CONFIG)
    second = ROLL.splitlines()[1].replace("示例公园", "示例商场").replace("000001,", "000002,", 1)
    await import_roll(api, f"{ROLL}{second.replace('10.1.2.3', '10.1.2.4')}\n".encode(), "?dry_run=false")
    await send(api, "POST", "/api/v1/editions", {})

    pages = [await (await api.client.get(f"/public/catalog?page={number}")).text() for number in (1, 2, 3)]
    whole = await (await api.client.get("/public/catalog?format=json")).json()

    assert [sum(name in page for name in ("示例公园", "示例商场")) for page in pages] == [1, 1, 0]
    assert ["page=2" in pages[0], "page=3" in pages[1]] == [True, False]
    assert len(whole["entries"]) == 2
