"""The trial's report says what the API says, whole and in order."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from rich.console import Console

from gateway.cli.trial_report import Api, NotAnswering, both_reports

TOKEN = "token-9f3b7c"
PLACE = {"unit": "某某宾馆", "site": "[bold]大堂", "place_class": "hotel"}


def status(shown: str, *reasons: str) -> dict[str, object]:
    return {"shown": shown, "reasons": reasons}


def overdue(days: int) -> dict[str, object]:
    return {"gb_id": f"{days:020d}", "place": PLACE, "due_on": "2026-01-01", "days_overdue": days}


LISTS: dict[str, list[dict[str, object]]] = {
    "/api/v1/sources": [
        {"status": status("online")},
        {"status": status("online")},
        {"status": status("unknown", "restart_grace")},
    ],
    "/api/v1/reports/never-connected": [overdue(days) for days in (-3, 7, 400, *range(20, 31))],
    "/api/v1/reports/offline": [
        {
            "gb_id": "34020000001320000001",
            "place": PLACE,
            "since": "2026-11-21T16:30:05Z",
            "last_positive_at": "2026-11-21T16:30:00Z",
            "cause": "probe_missed",
        }
    ],
}


async def answer(request: web.Request) -> web.Response:
    """Answer lists two rows a page, as the API pages them."""
    if request.headers.get("Authorization") != f"Bearer {TOKEN}":
        return web.json_response({}, status=401)
    rows = LISTS[request.path]
    start = int(request.query.get("cursor", "0"))
    following = str(start + 2) if start + 2 < len(rows) else None
    return web.json_response({"items": rows[start : start + 2], "next_cursor": following})


@pytest.fixture
async def base() -> AsyncIterator[str]:
    application = web.Application()
    application.router.add_get("/api/v1/{path:.*}", answer)
    async with TestServer(application, host="127.0.0.1") as server:
        yield str(server.make_url("")).rstrip("/")


def api(base: str, folder: Path, token: str = TOKEN) -> Api:
    (folder / "operator.token").write_text(f"{token}\n")
    return Api(base, folder / "operator.token")


async def test_both_reports_are_printed_whole(base: str, tmp_path: Path) -> None:
    console = Console(width=160)
    with console.capture() as capture:
        console.print(await both_reports(api(base, tmp_path)))
    text = capture.get()
    assert "sources: 3 (online 2, unknown (restart_grace) 1)" in text
    assert "never connected 从未接入: 14, of them overdue 逾期: 13" in text
    assert "by class: hotel 14" in text
    assert "offline 离线: 1" in text
    # Local time of the jurisdiction, eight hours ahead.
    assert "2026-11-22 00:30:05" in text
    assert "[bold]大堂" in text


async def test_the_ten_longest_overdue_come_first(base: str, tmp_path: Path) -> None:
    console = Console(width=160)
    with console.capture() as capture:
        console.print(await both_reports(api(base, tmp_path)))
    days = [int(line.split()[-1]) for line in capture.get().splitlines() if line.startswith("0000")]
    assert days == [400, 30, 29, 28, 27, 26, 25, 24, 23, 22]


async def test_a_refusal_is_said_without_the_token(base: str, tmp_path: Path) -> None:
    with pytest.raises(NotAnswering, match="401") as caught:
        await both_reports(api(base, tmp_path, token="other-9f3b7c"))
    assert "other-9f3b7c" not in str(caught.value)


async def test_nobody_listening_is_not_ready_and_not_answering(tmp_path: Path) -> None:
    away = api("http://127.0.0.1:1", tmp_path)
    assert not await away.is_ready()
    with pytest.raises(NotAnswering):
        await both_reports(away)
