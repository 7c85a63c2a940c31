"""Notices from a real catalog: webhooks checked by the reference library, mail taken by a server nobody here wrote."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from aiosmtpd.smtp import SMTP
from standardwebhooks.webhooks import Webhook

from catalog.cases import Candidate, candidates, open_case, take_step
from catalog.credentials import Vault, set_credential
from catalog.database import Database
from catalog.model.case import CaseStep
from catalog.model.notice import NoticeEvent
from catalog.model.secret import Secret
from catalog.notice_targets import NewTarget, Target, TargetKind, add_target, list_targets
from catalog.reading import Region, local_day
from catalog.reports import View
from gateway.notices.service import FIRST_REST, Notices
from tests.api_peer import CONFIG
from tests.clock import HandClock
from tests.integration.gateway.test_status import begin as gateway_bench
from tests.seed import (
    CANARIES,
    ELSEWHERE,
    GATEWAY,
    NOW,
    Change,
    Seeded,
    add_evidence,
    apply,
    seed_every_state,
    seed_roll,
)

pytestmark = pytest.mark.postgres

SECRET = "whsec_c2VjcmV0IG9mIHRoZSB0ZXN0LCAyNCBi"
PASSWORD = "correct horse 8811"
VAULT = Vault(bytes(range(32)))


@dataclass
class Receiver:
    """A webhook that believes only what the reference library signs alike."""

    status: int = 204
    taken: list[dict[str, Any]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    url: str = ""

    async def take(self, request: web.Request) -> web.Response:
        body, headers = await request.text(), request.headers
        at = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
        expected = Webhook(SECRET).sign(headers["webhook-id"], at, body)
        self.ids.append(headers["webhook-id"])
        if headers["webhook-signature"] != expected:
            return web.Response(status=401)
        if self.status < 300:
            self.taken.append(json.loads(body))
        return web.Response(status=self.status, headers={"Location": "/elsewhere"})


@asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    found = Receiver()
    app = web.Application()
    app.router.add_post("/hook", found.take)
    async with TestServer(app) as server:
        found.url = str(server.make_url("/hook"))
        yield found


@dataclass
class MailServer:
    """aiosmtpd with a box."""

    box: list[EmailMessage] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    url: str = ""

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - its name
        self.box.append(message_from_bytes(envelope.content, policy=default))
        return "250 OK"

    async def handle_RCPT(  # noqa: N802 - its name
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any
    ) -> str:
        if address.startswith("nobody"):
            return "550 no such box"
        envelope.rcpt_tos.append(address)
        return "250 OK"


@asynccontextmanager
async def mail_server() -> AsyncIterator[MailServer]:
    found = MailServer()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(found, enable_SMTPUTF8=True), "127.0.0.1", 0)
    async with server:
        found.url = f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield found


@dataclass
class Bench:
    """A gateway's notices over a seeded catalog."""

    database: Database
    seeded: Seeded
    clock: HandClock
    notices: Notices
    seq: int = 100

    async def happens(self, number: int, kind: str, state: str, incident: str | None = None) -> None:
        """Store a fact of a source that is taken in now, and what it makes of the source."""
        self.seq += 1
        self.clock.advance(0.001)
        reason = "unreachable" if kind == "lost" else None
        at = self.clock.now() - timedelta(seconds=120)
        source = self.seeded.source_ids[number]
        await add_evidence(self.database, source, self.seq, kind, at, state, reason, incident)
        await apply(self.database, [Change(source, state, at)])

    async def look(self, seconds: float = 0.0) -> None:
        self.clock.advance(seconds)
        await self.notices.look()

    async def target(self) -> Target:
        [target] = await list_targets(self.database, GATEWAY)
        return target


async def begin(
    database: Database, *targets: NewTarget, seed: Any = seed_roll, have_connected: bool = True
) -> Bench:
    seeded = await seed(database)
    await set_credential(database, VAULT, ref="hook", login=("muster", Secret(SECRET)), by="Li", at=NOW)
    await set_credential(database, VAULT, ref="mail", login=("muster", Secret(PASSWORD)), by="Li", at=NOW)
    clock = HandClock(NOW)
    for target in targets:
        await add_target(database, GATEWAY, target, today=local_day(NOW), person="Li")
    if have_connected:
        since = NOW - timedelta(days=5)
        await apply(database, [Change(source, "online", since) for source in seeded.source_ids])
    return Bench(database, seeded, clock, Notices(database, VAULT, CONFIG, clock))


def hook(url: str, **more: Any) -> NewTarget:
    return NewTarget("hook", TargetKind.WEBHOOK, url, credential_ref="hook", **more)


def mail(url: str, *recipients: str, **more: Any) -> NewTarget:
    to = recipients or ("duty@example.org",)
    return NewTarget("mail", TargetKind.MAIL, url, sender="muster@example.org", recipients=to, **more)


def sources(notice: dict[str, Any], name: str) -> list[int]:
    return [line["source"] for line in notice[name]]


async def test_what_happens_is_gathered_told_once_and_signed(database: Database) -> None:
    async with receiver() as peer:
        bench = await begin(database, hook(peer.url))
        ids = bench.seeded.source_ids
        await bench.look()
        await bench.happens(0, "lost", "offline", "1-incident-1")
        await bench.happens(1, "lost", "offline", "1-incident-1")
        await bench.look(59)
        early = list(peer.taken)
        await bench.happens(2, "lost", "offline")
        await bench.happens(0, "alive", "online")
        await bench.look(1)
        await bench.look(300)
        [notice] = peer.taken
        await bench.happens(1, "alive", "online")
        await bench.look(60)

    assert early == []
    assert sources(notice, "offline") == [ids[1], ids[2]]
    assert sources(notice, "interrupted") == [ids[0]]
    assert notice["incidents"] == [{"incident": "1-incident-1", "sources": 2}]
    assert (notice["counts"]["offline"], notice["jurisdiction"]) == (2, "示例区")
    assert notice["offline"][0]["reason"] == "unreachable"
    assert [sources(each, "back") for each in peer.taken] == [[], [ids[1]]]
    text = json.dumps(peer.taken, ensure_ascii=False)
    assert not [canary for canary in (*CANARIES.values(), *bench.seeded.codes, SECRET) if canary in text]


async def test_a_notice_that_nobody_took_is_the_same_one_later_and_after_a_restart(
    database: Database,
) -> None:
    async with receiver() as peer:
        bench = await begin(database, hook(peer.url, collect=0))
        peer.status = 503
        await bench.happens(0, "lost", "offline")
        await bench.look()
        failing, failed_at = await bench.target(), bench.clock.now()
        await bench.happens(1, "lost", "offline")
        await bench.look(FIRST_REST - 1)
        resting = len(peer.ids)
        await bench.look(1)
        again = len(peer.ids)
        # Another process takes over: what was under way stands in the catalog.
        peer.status = 200
        await Notices(database, VAULT, CONFIG, bench.clock).look()
        mended = await bench.target()
        await Notices(database, VAULT, CONFIG, bench.clock).look()

    assert (resting, again) == (1, 2)
    assert len(set(peer.ids[:3])) == 1
    assert [sources(each, "offline") for each in peer.taken] == [
        [bench.seeded.source_ids[0]],
        [bench.seeded.source_ids[1]],
    ]
    assert failing.failing_since == failed_at
    assert failing.failure is not None
    assert failing.failure.endswith("answered 503")
    assert (mended.failing_since, mended.failure, mended.sent_at) == (None, None, bench.clock.now())


@pytest.mark.parametrize("status", [302, 401, 500])
async def test_only_a_2xx_is_an_answer(database: Database, status: int) -> None:
    async with receiver() as peer:
        bench = await begin(database, hook(peer.url, collect=0))
        peer.status = status
        await bench.happens(0, "lost", "offline")
        await bench.look()
        target = await bench.target()

    assert len(peer.ids) == 1
    assert target.failure is not None
    assert target.failure.endswith(f"answered {status}")
    assert SECRET not in target.failure


async def test_nobody_listening_keeps_no_other_target_waiting(database: Database) -> None:
    async with receiver() as peer:
        bench = await begin(
            database,
            NewTarget("dead", TargetKind.WEBHOOK, "http://127.0.0.1:9/x", credential_ref="hook", collect=0),
            hook(peer.url, collect=0),
            NewTarget("no secret", TargetKind.WEBHOOK, peer.url, credential_ref="nobody typed it", collect=0),
        )
        await bench.happens(0, "lost", "offline")
        await bench.look()
        dead, live, untyped = await list_targets(database, GATEWAY)

    assert len(peer.taken) == 1
    assert live.failure is None
    assert dead.failure is not None
    assert "127.0.0.1:9" in dead.failure
    assert untyped.failure is not None
    assert "has no password yet" in untyped.failure


async def test_a_target_hears_of_its_region_and_its_events_alone(database: Database) -> None:
    async with receiver() as peer:
        bench = await begin(database, hook(peer.url, collect=0, region=Region("61")))
        other = await seed_roll(database, count=1, district=ELSEWHERE)
        [foreign] = other.source_ids
        await apply(database, [Change(foreign, "online", NOW - timedelta(days=5))])
        await bench.happens(0, "lost", "offline")
        await bench.look()
        await add_evidence(database, foreign, 500, "lost", bench.clock.now(), "offline")
        await apply(database, [Change(foreign, "offline", bench.clock.now())])
        await bench.look(120)

    [notice] = peer.taken
    assert sources(notice, "offline") == [foreign]


async def test_a_first_connection_is_told_as_one_and_a_never_connected_source_not_at_all(
    database: Database,
) -> None:
    async with receiver() as peer:
        wanted = hook(peer.url, collect=0, events=(NoticeEvent.CONNECTED,))
        bench = await begin(database, wanted, have_connected=False)
        await bench.happens(0, "lost", "never_connected")
        await bench.happens(2, "connected", "online")
        await bench.happens(2, "lost", "offline")
        await bench.look()
        await bench.look(60)

    [notice] = peer.taken
    assert sources(notice, "connected") == [bench.seeded.source_ids[2]]
    assert (notice["offline"], notice["counts"]["offline"]) == ([], 0)


async def test_the_gateways_own_first_connection_loss_and_return_are_told_as_such(database: Database) -> None:
    async with receiver() as peer:
        bench = await begin(database, hook(peer.url, collect=0), have_connected=False)
        source = bench.seeded.source_ids[0]
        gateway = await gateway_bench(database)
        notices = Notices(database, VAULT, CONFIG, gateway.clock)
        await gateway.connect(source)
        await notices.look()
        gateway.service.left(source, at=gateway.clock.monotonic())
        await gateway.service.flush()
        await notices.look()
        gateway.clock.advance(60)
        await gateway.connect(source)
        await notices.look()

    told = [
        {name: sources(notice, name) for name in ("connected", "offline", "back")} for notice in peer.taken
    ]
    assert told == [
        {"connected": [source], "offline": [], "back": []},
        {"connected": [], "offline": [source], "back": []},
        {"connected": [], "offline": [], "back": [source]},
    ]


async def test_a_restart_of_ours_brings_nobody_back(database: Database) -> None:
    async with receiver() as peer:
        bench = await begin(database, hook(peer.url, collect=0), have_connected=False)
        source = bench.seeded.source_ids[0]
        gateway = await gateway_bench(database)
        await gateway.connect(source)
        await Notices(database, VAULT, CONFIG, gateway.clock).look()
        again = await gateway_bench(database, HandClock(gateway.clock.now() + timedelta(seconds=300)))
        hidden = again.shown(source)
        again.clock.advance(5)
        await again.probe(source, answers=True)
        shown = again.shown(source)
        await Notices(database, VAULT, CONFIG, again.clock).look()

    assert (hidden.value, shown.value) == ("unknown", "online")
    assert [notice["counts"]["back"] for notice in peer.taken] == [0]


async def test_what_an_approved_window_covers_says_so(database: Database) -> None:
    async with receiver() as peer:
        # Source 4 has an approved window of two hours, now in its middle.
        bench = await begin(database, hook(peer.url, collect=0), seed=seed_every_state, have_connected=False)
        await bench.happens(4, "lost", "offline")
        await bench.happens(0, "lost", "offline")
        await bench.look()

    [notice] = peer.taken
    told = {line["source"]: line["suspended"] for line in notice["offline"]}
    assert told == {bench.seeded.source_ids[4]: True, bench.seeded.source_ids[0]: False}


async def ordered(database: Database, deadline: date) -> str:
    found: Sequence[Candidate] = await candidates(database, View(NOW))
    number = await open_case(database, found[0], at=NOW)
    assert number is not None
    order = {"organ": "示范市公安局", "order_number": "7", "served_on": "2026-11-01", "items": "connect"}
    for step, detail in (
        (CaseStep.VERIFY, {"addressee": "示例单位"}),
        (CaseStep.ORDER, {**order, "deadline": deadline.isoformat()}),
    ):
        await take_step(database, number, step, at=NOW, person="Wang", detail=detail)
    return number


async def test_days_that_pass_are_told_once_on_the_day_after(database: Database) -> None:
    async with receiver() as peer:
        bench = await begin(database, hook(peer.url), have_connected=False)
        number = await ordered(database, date(2026, 11, 21))
        async with database.raw_connection() as connection:
            await connection.execute(
                "UPDATE duty SET due_on = '2026-11-20' WHERE site_id = $1", bench.seeded.site_ids[1]
            )
        await bench.look(11 * 3600)  # 23:00, local: the due day is in time to its end
        before = list(peer.taken)
        await bench.look(3600)
        await bench.look(60)
        site = list(peer.taken)
        # Two days nobody looked: the order's deadline passed meanwhile.
        await bench.look(2 * 86_400)
        await bench.look(60)

    assert before == []
    [told] = site[0]["overdue_sites"]
    assert (told["site"], told["due_on"], told["never_connected"]) == ("示例公园 2", "2026-11-20", 4)
    assert [each["overdue_orders"] for each in site] == [[]]
    [_, later] = peer.taken
    assert [each["case"] for each in later["overdue_orders"]] == [number]
    assert later["overdue_sites"] == []


@pytest.mark.parametrize(
    ("language", "subject"),
    [("zh", "[点名] 示例区: 离线 1, 曾中断 1"), ("en", "[Muster] 示例区: offline 1, interrupted 1")],
)
async def test_mail_goes_to_every_recipient_in_their_language(
    database: Database, language: str, subject: str
) -> None:
    async with mail_server() as server:
        bench = await begin(
            database, mail(server.url, "duty@example.org", "chief@example.org", language=language, collect=0)
        )
        await bench.happens(0, "lost", "offline", "1-incident-1")
        await bench.happens(1, "lost", "offline", "1-incident-1")
        await bench.happens(1, "alive", "online")
        await bench.look()

    [found] = server.box
    body = found.get_content()
    assert found["Subject"] == subject
    assert found["To"] == "duty@example.org, chief@example.org"
    assert found["Message-ID"].startswith(f"<{GATEWAY}-1-")
    assert found["Auto-Submitted"] == "auto-generated"
    assert f"#{bench.seeded.source_ids[0]}" in body
    assert "示例公园 1" in body
    assert "1-incident-1" in body
    assert not [canary for canary in (*CANARIES.values(), *bench.seeded.codes, PASSWORD) if canary in body]


async def test_one_refused_recipient_keeps_the_others_from_nothing_and_repeats_nothing(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    async with mail_server() as server:
        bench = await begin(database, mail(server.url, "duty@example.org", "nobody@example.org", collect=0))
        await bench.happens(0, "lost", "offline")
        await bench.look()
        await bench.look(FIRST_REST)
        target = await bench.target()

    assert len(server.box) == 1
    assert target.failure is None
    assert "refused nobody@example.org" in caplog.text


async def test_a_refused_recipient_and_a_login_outside_tls_are_told(database: Database) -> None:
    async with mail_server() as server:
        bench = await begin(
            database,
            mail(server.url, "nobody@example.org", collect=0),
            NewTarget(
                "login",
                TargetKind.MAIL,
                server.url,
                credential_ref="mail",
                sender="muster@example.org",
                recipients=("duty@example.org",),
                collect=0,
            ),
        )
        await bench.happens(0, "lost", "offline")
        await bench.look()
        refused, login = await list_targets(database, GATEWAY)

    assert server.box == []
    assert refused.failure is not None
    assert "550" in refused.failure or "refused" in refused.failure
    assert login.failure is not None
    assert PASSWORD not in login.failure


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"address": "ftp://host/x"}, "https:// or http://"),
        ({"address": "https://user:pw@host/x"}, "secrets out of the address"),
        ({"address": "https://host/x?key=1"}, "secrets out of the address"),
        ({"address": "https://host:99999/x"}, "names a host"),
        ({"address": "https:///x"}, "names a host"),
        ({"credential_ref": None}, "signs every notice"),
        ({"events": ()}, "at least one event"),
        ({"collect": 86_401}, "0 to 86400"),
        ({"name": ""}, "1 to 100"),
    ],
)
def test_a_wrong_target_is_told_so(wrong: dict[str, Any], says: str) -> None:
    right: dict[str, Any] = {
        "name": "hook",
        "kind": TargetKind.WEBHOOK,
        "address": "https://host/x",
        "credential_ref": "hook",
    }
    with pytest.raises(ValueError, match=says):
        NewTarget(**{**right, **wrong})


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"recipients": ()}, "at least one recipient"),
        ({"sender": None}, "a sender"),
        ({"recipients": ("a@b, c@d",)}, "no mail address"),
        ({"sender": "x@host\r\nBcc: y@host"}, "no mail address"),
        ({"sender": "a..b@host"}, "no mail address"),
        ({"sender": "a@host."}, "no mail address"),
        ({"address": "https://host"}, "smtps:// or smtp://"),
    ],
)
def test_a_wrong_mail_target_is_told_so(wrong: dict[str, Any], says: str) -> None:
    right: dict[str, Any] = {
        "name": "mail",
        "kind": TargetKind.MAIL,
        "address": "smtp://host",
        "sender": "a@b",
        "recipients": ("c@d",),
    }
    with pytest.raises(ValueError, match=says):
        NewTarget(**{**right, **wrong})
