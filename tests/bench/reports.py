# ruff: noqa: T201
"""Measures reports over a filled catalog: `python -m tests.bench.reports [--sources 1000000] [--days 90]`.

A generator fills sites of ten sources in districts of 10,000, each source with an outage every `days / 4` days and the
evidence for it; one in ten never connected, one in a hundred is offline. The last thirty days are closed, today among
them. Every reader runs often enough for a 95th percentile. Aims, of 1,000,000 sources and 90 days: each page and the
rates of 30 days 20 ms; a day closed in 10 s; one district's month recomputed in 30 s; its rates by source, all who
never connected, and the report of everything, as workbooks within 60 s and 500 MB; 100,000 sources lost at once stored
within 10 s while each page stays under 50 ms.
"""

import argparse
import asyncio
import re
import resource
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from catalog.database import Database
from catalog.day_closing import DayClosing
from catalog.embedded import embedded_postgresql
from catalog.jurisdictions import Jurisdiction, save_jurisdiction
from catalog.migrate import migrate
from catalog.model.connectivity import Connectivity, State
from catalog.model.rates import CountingRules
from catalog.observations import Observations, StatusChange
from catalog.proof import prove
from catalog.rate_report import By, HowMany, local_period, rate_report
from catalog.reading import LOCAL, Page, Region, local_day
from catalog.report_document import Making, Scope
from catalog.reports import Reports, View
from catalog.signing import SigningKey, verify
from catalog.site_report import site_report
from catalog.stored_reports import ReportHead, read_report, store_report
from gateway.api.export import NEVER_CONNECTED, Sheet, write_file
from gateway.api.rate_schemas import RATES, RateAnswer
from gateway.api.schemas import NeverConnectedAnswer
from gateway.reporting.tables import lay_out
from gateway.reporting.workbook import write_workbook
from tests.bench.plans import longest_hold

A_DISTRICT: Final = 10_000
OUTAGES: Final = 4
CALLS: Final = 60
BATCH: Final = 5_000
NOW: Final = datetime.now(UTC).replace(microsecond=0)
"""Of today: what is lost on a day that is over would have to be told anew, which a storm of today has not."""
TODAY: Final = local_day(NOW)
MONTH: Final = local_period(TODAY - timedelta(days=29), TODAY, NOW)
RULES: Final = CountingRules(LOCAL, timedelta(hours=24))

FILL: Final = """
INSERT INTO jurisdiction
SELECT (320200 + n)::text, '示例区 ' || n, 'wuxi-2019', 'cn-2025' FROM generate_series(1, $D) n;
INSERT INTO gateway (gateway_id, epoch, started_at, observed_until) VALUES ('gateway-1', 1, $NOW, $NOW);
INSERT INTO unit (name) SELECT '单位 ' || n FROM generate_series(1, $D * 100) n;
INSERT INTO system (unit_id, name) SELECT unit_id, '系统' FROM unit;
INSERT INTO site (district, system_id, gateway_id, name, class)
SELECT (320201 + n / 1000)::text, 1 + n / 10, 'gateway-1', '场所 ' || n, 'WX8_07'
  FROM generate_series(0, $N / 10 - 1) n;
INSERT INTO duty (site_id, effective_from, due_on, basis)
SELECT site_id, '2026-01-01', '2026-06-30', 'WX-21.2' FROM site;
INSERT INTO source (district, site_id, roll_key, gb_id, created_at)
SELECT (320201 + n / 10000)::text, 1 + n / 10, 'k' || n, '32020000001' || lpad(n::text, 9, '0'),
       $NOW - interval '$DAYS d'
  FROM generate_series(0, $N - 1) n;
INSERT INTO connectivity (source_id, district, site_id, state, since, first_connected_at, last_positive_at)
SELECT source_id, district, site_id, state,
       CASE state WHEN 'never_connected' THEN created_at WHEN 'offline' THEN $NOW - interval '1 h'
                  ELSE created_at + ($K - 1) * $STEP + interval '3 h' END,
       CASE state WHEN 'never_connected' THEN NULL ELSE created_at + interval '1 h' END,
       CASE state WHEN 'offline' THEN $NOW - interval '61 min' END
  FROM (SELECT *, CASE WHEN source_id % 10 = 0 THEN 'never_connected' WHEN source_id % 100 = 1 THEN 'offline'
                       ELSE 'online' END AS state FROM source) s;
SELECT ensure_partitions(($NOW - interval '$DAYS d')::date, 5);
INSERT INTO connectivity_interval (source_id, district, state, started_at, ended_at)
SELECT source_id, district, 'never_connected', created_at, created_at + interval '1 h'
  FROM source WHERE source_id % 10 <> 0
UNION ALL
SELECT source_id, district, 'online',
       CASE WHEN k = 0 THEN created_at + interval '1 h' ELSE created_at + (k - 1) * $STEP + interval '3 h' END,
       created_at + k * $STEP + interval '2 h' FROM source, generate_series(0, $K - 1) k WHERE source_id % 10 <> 0
UNION ALL
SELECT source_id, district, 'offline', created_at + k * $STEP + interval '2 h', created_at + k * $STEP + interval '3 h'
  FROM source, generate_series(0, $K - 1) k WHERE source_id % 10 <> 0
UNION ALL
SELECT source_id, district, 'online', created_at + ($K - 1) * $STEP + interval '3 h', $NOW - interval '1 h'
  FROM source WHERE source_id % 100 = 1;
INSERT INTO evidence
  (source_id, seq, district, kind, at, received_at, last_positive_at, reason, state_after, gateway_id)
SELECT source_id, 1, district, 'connected', created_at + interval '1 h', created_at + interval '1 h', NULL, NULL,
       'online', 'gateway-1' FROM source WHERE source_id % 10 <> 0
UNION ALL
SELECT source_id, 2 + 2 * k, district, 'lost', created_at + k * $STEP + interval '2 h',
       created_at + k * $STEP + interval '2 h 2 min', created_at + k * $STEP + interval '119 min', 'timeout', 'offline',
       'gateway-1' FROM source, generate_series(0, $K - 1) k WHERE source_id % 10 <> 0
UNION ALL
SELECT source_id, 3 + 2 * k, district, 'alive', created_at + k * $STEP + interval '3 h',
       created_at + k * $STEP + interval '3 h', NULL, NULL, 'online', 'gateway-1'
  FROM source, generate_series(0, $K - 1) k WHERE source_id % 10 <> 0
UNION ALL
SELECT source_id, 99, district, 'lost', $NOW - interval '1 h', $NOW - interval '58 min', $NOW - interval '61 min',
       'timeout', 'offline', 'gateway-1' FROM source WHERE source_id % 100 = 1;
ANALYZE;
SELECT recount_rollups(array_agg(site_id)) FROM site
"""


async def fill(database: Database, count: int, days: int) -> None:
    """Write the catalog."""
    words = {
        "$NOW": f"'{NOW.isoformat()}'::timestamptz",
        "$STEP": f"interval '{days / OUTAGES} d'",
        "$DAYS": str(days),
        "$N": str(count),
        "$D": str(max(1, count // A_DISTRICT)),
        "$K": str(OUTAGES),
    }
    async with database.raw_connection() as connection:
        for statement in FILL.split(";\n"):
            await connection.execute(re.sub(r"\$[A-Z]+", lambda word: words[word[0]], statement))


async def often(what: str, aim: float, ask: Callable[[int], Awaitable[object]]) -> None:
    """Ask `CALLS` times and print the median and the 95th percentile against the aim, in seconds."""
    times = []
    for turn in range(CALLS):
        began = time.perf_counter()
        await ask(turn)
        times.append(time.perf_counter() - began)
    times.sort()
    almost = times[int(0.95 * CALLS)]
    print(
        f"{what}: median {1000 * statistics.median(times):.1f} ms, p95 {1000 * almost:.1f} ms "
        f"(aim {1000 * aim:.0f} ms, ratio {almost / aim:.2f})",
        flush=True,
    )


async def once(what: str, aim: float, work: Awaitable[object]) -> object:
    """Do something long once and print it against the aim, in seconds."""
    began, cpu = time.perf_counter(), time.process_time()
    found = await work
    passed = time.perf_counter() - began
    print(
        f"{what}: {passed:.2f} s, {time.process_time() - cpu:.2f} s CPU of ours "
        f"(aim {aim:.0f} s, ratio {passed / aim:.2f})",
        flush=True,
    )
    return found


def pages(database: Database, count: int) -> dict[str, Callable[[int], Awaitable[object]]]:
    """Return what people look at, of the whole region and of a district."""
    everything, district = View(NOW), View(NOW, Region("320201"))
    reports = Reports(database)
    from_days = HowMany(told_singly=min(9_999, count // 2))

    def rates(by: By) -> Callable[[int], Awaitable[object]]:
        return lambda _: rate_report(database, everything, MONTH, by=by, rules=RULES, how_many=from_days)

    return {
        "never connected, a page of 100": lambda _: reports.never_connected(everything),
        "never connected in a district": lambda _: reports.never_connected(district),
        "offline, a page of 100": lambda _: reports.offline(everything),
        "offline in a district": lambda _: reports.offline(district),
        "counts by district": lambda _: reports.counts(everything),
        "rates of 30 days by district, with today": rates(By.DISTRICT),
        "rates of 30 days by class, with today": rates(By.CLASS),
        "one source's history": lambda turn: reports.history(everything, 1 + turn * (count // CALLS)),
    }


async def close_days(database: Database) -> None:
    """Close the month, the night before last, and print how long a day takes."""
    closing = DayClosing(database, RULES, timedelta(seconds=60))
    times, held = [], [0.0]
    async with asyncio.TaskGroup() as group:
        watch = group.create_task(longest_hold(held))
        for number in range(30):
            began = time.perf_counter()
            await closing.close(TODAY - timedelta(days=number), now=NOW)
            times.append(time.perf_counter() - began)
        watch.cancel()
    print(
        f"closing a day: median {statistics.median(times):.1f} s, longest {max(times):.1f} s "
        f"(aim 10 s, ratio {max(times) / 10:.2f}); the event loop was held {1000 * held[0]:.0f} ms at most",
        flush=True,
    )


async def storm(database: Database, count: int) -> None:
    """Lose a tenth of the sources at once and go on reading meanwhile."""
    observations = Observations(database, "gateway-1")
    await observations.start(NOW)
    lost = [source for source in range(1, count + 1) if source % 10 == 2]
    times: dict[str, list[float]] = {what: [] for what in pages(database, count)}
    is_over = asyncio.Event()

    async def read() -> None:
        turn = 0
        while not is_over.is_set():
            for what, ask in pages(database, count).items():
                began = time.perf_counter()
                await ask(turn % CALLS)
                times[what].append(time.perf_counter() - began)
            turn += 1

    async with asyncio.TaskGroup() as group:
        group.create_task(read())
        began = time.perf_counter()
        for start in range(0, len(lost), BATCH):
            changes = [
                loss(source, number) for number, source in enumerate(lost[start : start + BATCH], start)
            ]
            await observations.write(changes, (), observed_until=NOW)
        passed = time.perf_counter() - began
        is_over.set()
    print(
        f"storm: {len(lost)} transitions stored in {passed:.1f} s (aim 10 s, ratio {passed / 10:.2f})",
        flush=True,
    )
    for what, of in times.items():
        almost = sorted(of)[int(0.95 * len(of))]
        print(
            f"  meanwhile {what}: p95 {1000 * almost:.1f} ms of {len(of)} (aim 50 ms, ratio {almost / 0.05:.2f})"
        )


def loss(source: int, number: int) -> StatusChange:
    """Return the change of a source that is lost."""
    return StatusChange(
        source_id=source,
        seq=2**33 + number,
        district=str(320201 + (source - 1) // A_DISTRICT),
        kind="lost",
        at=NOW,
        received_at=NOW,
        connectivity=Connectivity(State.OFFLINE, NOW, {}, NOW - timedelta(days=1), NOW),
        reason="timeout",
    )


async def whole_report(database: Database) -> None:
    """Tell everything by site, sign it, store it, and write it as a workbook."""
    first, last = TODAY - timedelta(days=29), TODAY - timedelta(days=1)
    period, key = local_period(first, last, NOW), SigningKey(bytes(range(32)))
    here = Jurisdiction("320200", "示例市", "wuxi-2019", "cn-2025")
    await save_jurisdiction(database, here)
    making = Making(NOW, "bench", None, "bench", here, None, RULES)

    async def tell() -> ReportHead:
        report = await site_report(database, View(NOW), period, RULES)
        scope = Scope(Region(), first, last, period, report.told_by)
        return await store_report(database, key, report, scope, making)

    head: Any = await once("a report of everything by site, signed and stored", 60, tell())

    async def write() -> bytes:
        _, signed = await read_report(database, Region(), head.number)
        print(f"  {len(signed) / 1e6:.1f} MB")
        return await asyncio.to_thread(lambda: write_workbook(lay_out(verify(signed), "zh")))

    book: Any = await once("the report as a workbook", 60, write())
    print(f"  {len(book) / 1e6:.1f} MB")


async def measure(database: Database, count: int) -> None:
    """Read everything."""
    everything, district = View(NOW), View(NOW, Region("320201"))
    await close_days(database)
    for what, ask in pages(database, count).items():
        await often(what, 0.02, ask)
    found = await once(
        "rates of a district's month", 10, rate_report(database, district, MONTH, by=By.SOURCE, rules=RULES)
    )
    await once("a district's month recomputed", 30, prove(database, district, MONTH))
    with tempfile.TemporaryFile() as file:

        async def read(_cursor: str | None, _limit: int) -> Page[RateAnswer]:
            return Page(tuple(RateAnswer.of(row) for row in found.rows), None)  # type: ignore[attr-defined]

        sheet = Sheet("rates", RATES, RateAnswer, "zh")
        await once("the same rates as a workbook", 60, write_file(file, sheet, "xlsx", read))
        print(f"  {file.tell() / 1e6:.1f} MB")
    with tempfile.TemporaryFile() as file:
        reports = Reports(database)

        async def read_never(cursor: str | None, limit: int) -> Page[Any]:
            return await reports.never_connected(everything, cursor=cursor, limit=limit)

        sheet = Sheet("never-connected", NEVER_CONNECTED, NeverConnectedAnswer, "zh")
        await once("all who never connected as a workbook", 60, write_file(file, sheet, "xlsx", read_never))
        print(f"  {file.tell() / 1e6:.1f} MB")
    await whole_report(database)
    await storm(database, count)
    print(
        f"peak memory of ours {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB (aim 500 MB)"
    )


async def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sources", type=int, default=100_000)
    parser.add_argument("--days", type=int, default=90)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        async with embedded_postgresql(Path(folder)) as url, Database(url) as database:
            await migrate(database, muster_version="bench")
            await once(
                f"filling {options.sources} sources and {options.days} days",
                600,
                fill(database, options.sources, options.days),
            )
            await measure(database, options.sources)


if __name__ == "__main__":
    asyncio.run(main())
