"""What the trial prints every 15 seconds: the two reports, asked of the API as any client would."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import aiohttp
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from catalog.model.secret import Secret
from catalog.reading import LOCAL

REQUEST_WITHIN: Final = 10.0
_PAGE: Final = 1000
_TOP: Final = 10

Row = dict[str, Any]
"""A row of the API's JSON."""


class NotAnswering(Exception):
    """The API did not answer, or not with 200."""


@dataclass(frozen=True)
class Api:
    """The gateway's own API on loopback."""

    base: str
    "E.g. `http://127.0.0.1:8080`."
    token_file: Path

    async def is_ready(self) -> bool:
        """Tell whether `/readyz` says so."""
        try:
            async with _session() as session, session.get(f"{self.base}/readyz") as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False

    async def rows(self, path: str) -> list[Row]:
        """Return all rows of a paged list.

        Raises:
            NotAnswering: with what came instead.
        """
        token = Secret(self.token_file.read_text(encoding="ascii").strip())
        headers = {"Authorization": f"Bearer {token.reveal()}", "X-Purpose": "trial"}
        rows: list[Row] = []
        parameters = {"limit": str(_PAGE)}
        try:
            async with _session() as session:
                while True:
                    async with session.get(self.base + path, headers=headers, params=parameters) as answer:
                        if answer.status != 200:
                            raise NotAnswering(f"{path}: {answer.status} {answer.reason}")
                        page = await answer.json()
                    rows += page["items"]
                    if not page.get("next_cursor"):
                        return rows
                    parameters["cursor"] = page["next_cursor"]
        except (aiohttp.ClientError, TimeoutError, OSError, KeyError, ValueError) as error:
            raise NotAnswering(f"{path}: {type(error).__name__}") from error


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=REQUEST_WITHIN))


async def both_reports(api: Api) -> RenderableType:
    """Fetch and render the counts, never connected and offline.

    Raises:
        NotAnswering: one of the lists could not be had.
    """
    sources = await api.rows("/api/v1/sources")
    never = await api.rows("/api/v1/reports/never-connected")
    offline = await api.rows("/api/v1/reports/offline")
    return Group(_counts(sources), _never_connected(never), _offline(offline))


def _counts(sources: Sequence[Row]) -> Text:
    counts = Counter(_shown(row["status"]) for row in sources)
    shown = ", ".join(f"{status} {number}" for status, number in sorted(counts.items()))
    return Text(f"{_time(datetime.now(UTC))}  sources: {len(sources)} ({shown})", style="bold")


def _shown(status: Row) -> str:
    reasons = status["reasons"]
    return f"{status['shown']} ({', '.join(reasons)})" if reasons else str(status["shown"])


def _never_connected(rows: Sequence[Row]) -> RenderableType:
    classes = Counter(str(row["place"]["place_class"]) for row in rows)
    overdue = sum(1 for row in rows if row["days_overdue"] > 0)
    title = f"never connected 从未接入: {len(rows)}, of them overdue 逾期: {overdue}"
    by_class = ", ".join(f"{name} {number}" for name, number in classes.most_common())
    worst = sorted(rows, key=lambda row: int(row["days_overdue"]), reverse=True)
    table = _table("code", "unit", "site", "class", "due", "days overdue")
    for row in worst[:_TOP]:
        place = row["place"]
        cells = (row["gb_id"], place["unit"], place["site"], place["place_class"], row["due_on"])
        table.add_row(*_texts(*cells, row["days_overdue"]))
    return Group(Text(title, style="bold"), Text(f"  by class: {by_class}"), table)


def _offline(rows: Sequence[Row]) -> RenderableType:
    title = Text(f"offline 离线: {len(rows)}", style="bold")
    if not rows:
        return title
    table = _table("code", "unit", "site", "offline since", "last seen", "cause")
    for row in rows[:_TOP]:
        place = row["place"]
        times = (_local(row["since"]), _local(row["last_positive_at"]))
        table.add_row(*_texts(row["gb_id"], place["unit"], place["site"], *times, row["cause"]))
    return Group(title, table)


def _table(*headings: str) -> Table:
    return Table(*headings, box=None, pad_edge=False)


def _texts(*cells: object) -> list[Text]:
    """Return cells as plain text: names may hold what rich would take for markup."""
    return [Text("" if cell is None else str(cell)) for cell in cells]


def _local(instant: str | None) -> str:
    return "" if instant is None else _time(datetime.fromisoformat(instant))


def _time(at: datetime) -> str:
    return at.astimezone(LOCAL).strftime("%Y-%m-%d %H:%M:%S")
