"""Measures the status of 100,000 sources: `python -m tests.bench.status [SOURCES]`.

The promise is a judgement below 50 ms a tick and every page of a report below 100 ms; 1,700 answers a second with one
source in a hundred flapping under 15 % of a core; a storm of all sources stored within 10 s while reports stay under
50 ms. PostgreSQL writes to the disk as it does in service.
"""

import asyncio
import gc
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from catalog.database import Database
from catalog.embedded import embedded_postgresql
from catalog.migrate import migrate
from catalog.model.display import UnknownReason
from catalog.observations import Observations
from catalog.reports import Reports, View
from gateway.liveness import Liveness, LivenessRules
from gateway.metrics import Metrics
from gateway.status import StatusService
from tests.clock import HandClock
from tests.seed import GATEWAY, NOW

SOURCES = 100_000
SITES = 10
"""Sources a site."""
DISTRICTS = 10
NEVER = 5
"""One in so many never connected."""
REPEATS = 20
EVIDENCES = 1_700
STEADY = 30

SEED = """
INSERT INTO jurisdiction SELECT (320300 + d)::text, '示例区' || d, 'wuxi-2019', 'cn-2025'
  FROM generate_series(0, %(districts)d - 1) d;
INSERT INTO gateway (gateway_id, epoch, started_at, observed_until) VALUES ('%(gateway)s', 1, '%(now)s', '%(now)s');
INSERT INTO unit (name) SELECT '单位' || n FROM generate_series(0, %(sites)d / 4) n;
INSERT INTO system (unit_id, name) SELECT unit_id, '系统' FROM unit;
INSERT INTO site (district, system_id, gateway_id, name, class)
SELECT (320300 + n %% %(districts)d)::text, 1 + n / 4, '%(gateway)s', '场所' || n, 'WX8_07'
  FROM generate_series(0, %(sites)d - 1) n;
INSERT INTO duty (site_id, effective_from, due_on, basis)
SELECT site_id, '2026-01-01', DATE '2026-06-01' + (site_id %% 365)::int, 'WX-21.2' FROM site;
INSERT INTO source (district, site_id, roll_key, gb_id, location_type, created_at)
SELECT t.district, t.site_id, 'gb:' || t.district || '00001320' || to_char(n, 'FM000000'),
       t.district || '00001320' || to_char(n, 'FM000000'), 'lobby', '2026-01-01'
  FROM generate_series(0, %(sources)d - 1) n JOIN site t ON t.site_id = 1 + n / %(per_site)d;
INSERT INTO connectivity (source_id, district, site_id, since)
SELECT source_id, district, site_id, '2026-01-01' FROM source;
INSERT INTO endpoint (source_id, protocol, host, port, origin, confirmed_at, confirmed_by)
SELECT source_id, 'rtsp', '10.' || source_id / 65536 || '.' || source_id / 256 %% 256 || '.' || source_id %% 256, 554,
       'roll', '2026-01-01', 'bench' FROM source;
UPDATE connectivity SET state = 'online', since = '2026-02-01', first_connected_at = '2026-02-01'
 WHERE source_id %% %(never)d <> 0;
SELECT recount_rollups(array_agg(site_id)) FROM site;
"""


async def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with embedded_postgresql(Path(folder) / "postgresql") as url, Database(url) as database:
            await migrate(database, muster_version="bench")
            await seed(database, count)
            await measure(database, count)


async def seed(database: Database, count: int) -> None:
    values = {
        "districts": DISTRICTS,
        "gateway": GATEWAY,
        "now": NOW.isoformat(),
        "sites": count // SITES,
        "sources": count,
        "per_site": SITES,
        "never": NEVER,
    }
    async with database.raw_connection() as connection:
        await connection.execute(SEED % values)
        await connection.execute("VACUUM ANALYZE")


async def measure(database: Database, count: int) -> None:
    clock = HandClock(NOW + timedelta(minutes=5), monotonic=1000.0)
    liveness = Liveness(LivenessRules(), started=clock.monotonic())
    service = StatusService(Observations(database, GATEWAY), liveness, clock)
    begun = time.perf_counter()
    await service.start()
    report("start: epoch, load, grace of all connected written", time.perf_counter() - begun)
    loaded = [view.source_id for view in service.views if view.unknown is UnknownReason.RESTART_GRACE]
    clock.advance(10)
    report("a first answer of every connected source", timed(lambda: answer_all(service, loaded, clock)))
    await flushed(service, f"flush of {len(loaded):,} ends of the grace")
    await reload(service)
    tick(service, clock, loaded)
    await fall_silent(service, clock, loaded[: count // 10])
    metrics = Metrics()
    worst(
        "metrics of one second",
        lambda: show(metrics, service),
    )
    await reports(database, clock.now(), count)
    await steady(service, clock, loaded, Reports(database))
    await storm(service, clock, loaded, Reports(database))


async def steady(service: StatusService, clock: HandClock, ids: Sequence[int], store: Reports) -> None:
    """Half a minute of `EVIDENCES` answers a second, one source in a hundred leaving and coming every three minutes.

    Real seconds: what is measured is the share of a core, ours and that of PostgreSQL's processes.
    """
    flapping = ids[:: len(ids) // (len(ids) // 100)]
    each = max(1, len(flapping) // 180)
    times: list[float] = []
    before, served, begun = time.process_time(), postgres_seconds(), time.perf_counter()
    for second in range(STEADY):
        clock.advance(1)
        at = clock.monotonic()
        first = second * EVIDENCES % len(ids)
        for source_id in (*ids, *ids)[first : first + EVIDENCES]:
            service.alive(source_id, at=at)
        start = second * each % len(flapping)
        for source_id in flapping[start : start + each]:
            service.left(source_id, at=at)
        for source_id in flapping[max(0, start - 5 * each) : max(0, start - 4 * each)]:
            service.alive(source_id, at=at)
        service.judge()
        await service.flush()
        asked = time.perf_counter()
        view = View(clock.now())
        await (store.never_connected(view) if second % 2 else store.offline(view))
        times.append(time.perf_counter() - asked)
        await asyncio.sleep(max(0.0, begun + second + 1 - time.perf_counter()))
    whole = time.perf_counter() - begun
    share = (time.process_time() - before) / whole
    sys.stdout.write(
        f"steady: {EVIDENCES:,} answers, {2 * each} turns a second, {STEADY} s: {share:.1%} of a core (aim 15 %), "
        f"PostgreSQL {(postgres_seconds() - served) / whole:.1%}\n"
    )
    spread("  a report meanwhile", times)


async def storm(service: StatusService, clock: HandClock, ids: Sequence[int], store: Reports) -> None:
    """Everything that is up leaves in one second; reports are read while it is written."""
    times: list[float] = []
    done = asyncio.Event()

    async def read() -> None:
        while not done.is_set():
            asked = time.perf_counter()
            await store.offline(View(clock.now()))
            times.append(time.perf_counter() - asked)
            await asyncio.sleep(0.02)

    clock.advance(1)
    begun = time.perf_counter()
    for source_id in ids:
        service.left(source_id, at=clock.monotonic())
    changes = service.waiting
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(read())
        while service.waiting:
            await service.flush()
        done.set()
    report(f"storm: {changes:,} transitions stored (aim 10 s)", time.perf_counter() - begun)
    spread("  a report meanwhile (aim 50 ms)", times)


def postgres_seconds() -> float:
    """Return the processor seconds of the database's processes; they are all below the one we started."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, fields = stat.read_text(encoding="utf-8").partition(" (")[2].partition(") ")
        except OSError:
            continue
        if name.startswith("postgres"):
            ticks += sum(int(field) for field in fields.split()[11:13])
    return ticks / os.sysconf("SC_CLK_TCK")


def show(metrics: Metrics, service: StatusService) -> None:
    metrics.show_sources(service.views.shown)
    metrics.show_unknown(service.views.unknown)


def answer_all(service: StatusService, ids: Sequence[int], clock: HandClock) -> None:
    for source_id in ids:
        service.alive(source_id, at=clock.monotonic())


async def reload(service: StatusService) -> None:
    begun = time.perf_counter()
    stall = asyncio.create_task(longest_stall())  # noqa: TID251 - a bench, cancelled below
    await asyncio.sleep(0)
    await service.reload()
    total = time.perf_counter() - begun
    stall.cancel()
    await asyncio.wait((stall,))
    report("reload after a change of the roll", total)


async def longest_stall() -> None:
    longest, before = 0.0, time.perf_counter()
    try:
        while True:
            await asyncio.sleep(0.001)
            now = time.perf_counter()
            longest, before = max(longest, now - before), now
    finally:
        report("  the longest time in it without a turn for others", longest)


def tick(service: StatusService, clock: HandClock, ids: Sequence[int]) -> None:
    times = []
    for second in range(60):
        clock.advance(1)
        answer_all(service, ids[second::60], clock)
        times.append(timed(service.judge))
    spread("judge, all answering", times)


async def fall_silent(service: StatusService, clock: HandClock, ids: Sequence[int]) -> None:
    """A tenth falls silent: each misses three probes, spread over the interval as real ones are."""
    silent, times = set(ids), []
    others = [view.source_id for view in service.views if view.source_id not in silent]
    for second in range(240):
        clock.advance(1)
        for source_id in ids[second % 60 :: 60]:
            service.missed(source_id, at=clock.monotonic(), cause="timeout")
        answer_all(service, others[second % 60 :: 60], clock)
        times.append(timed(service.judge))
    spread(f"judge, {len(ids):,} falling silent", times)
    await flushed(service, f"flush of {service.waiting:,} transitions to offline")


async def flushed(service: StatusService, what: str) -> None:
    begun = time.perf_counter()
    await service.flush()
    report(what, time.perf_counter() - begun)
    if service.waiting:
        raise SystemExit(f"{service.waiting} changes still wait")


async def reports(database: Database, now: datetime, count: int) -> None:
    store, view = Reports(database), View(now)
    never = await store.never_connected(view)
    offline = await store.offline(view)
    codes = [f"{320300 + n % DISTRICTS}00001320{n * SITES:06d}" for n in range(1000)]
    found = [each for each in await store.statuses(view, codes) if each.status is not None]
    if not (never.items and offline.items and len(found) == min(1000, count // SITES)):
        raise SystemExit("the reports are not what was seeded")
    some = never.items[0].source_id
    queries: dict[str, Callable[[], Awaitable[object]]] = {
        "never connected, first page of 100": lambda: store.never_connected(view),
        "never connected, second page": lambda: store.never_connected(view, cursor=never.next_cursor),
        "never connected, overdue only, 1,000": lambda: store.never_connected(
            view, overdue_only=True, limit=1000
        ),
        "offline, first page of 100": lambda: store.offline(view),
        "offline, second page": lambda: store.offline(view, cursor=offline.next_cursor),
        "counts of all districts": lambda: store.counts(view),
        "status of 1,000 codes": lambda: store.statuses(view, codes),
        "sites, first page": lambda: store.sites(view),
        "sources, first page": lambda: store.sources(view),
        "history of one source": lambda: store.history(view, some),
    }
    for what, query in queries.items():
        times = []
        for _ in range(REPEATS):
            begun = time.perf_counter()
            await query()
            times.append(time.perf_counter() - begun)
        spread(what, times)


def timed(work: Callable[[], object]) -> float:
    gc.collect()
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def worst(what: str, work: Callable[[], object]) -> None:
    spread(what, [timed(work) for _ in range(5)])


def report(what: str, seconds: float) -> None:
    sys.stdout.write(f"{what:<55} {seconds * 1000:9.1f} ms\n")


def spread(what: str, times: Sequence[float]) -> None:
    ordered = sorted(times)
    middle, high = statistics.median(ordered), ordered[int(len(ordered) * 0.95)]
    sys.stdout.write(
        f"{what:<55} {middle * 1000:9.1f} ms   p95 {high * 1000:7.1f} ms   most {ordered[-1] * 1000:7.1f} ms\n"
    )


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else SOURCES))
