"""Measures reading 100,000 plans and bringing the pulls in line: `python -m tests.bench.plans [SOURCES]`.

Reported are the time of a load, the memory it adds, and the longest time that the event loop was held up.
"""

import asyncio
import resource
import sys
import tempfile
import time
from pathlib import Path

from catalog.credentials import Vault
from catalog.database import Database
from catalog.embedded import embedded_postgresql
from catalog.migrate import migrate
from gateway.clock import SystemClock
from gateway.enrolment.service import Enrolment, Outside
from gateway.enrolment.specs import SpecBuilder
from gateway.relay.spec import RelayBounds
from tests.fakes.enrolment import RelayRunner, WrittenStatus
from tests.seed import GATEWAY, seed_roll

SOURCES = 100_000

FILL = """
INSERT INTO site (district, system_id, gateway_id, name, class)
SELECT '320299', (SELECT min(system_id) FROM system), 'gateway-1', 'site ' || n, 'WX8_07'
  FROM generate_series(1, $1 / 10) n;
INSERT INTO duty (site_id, effective_from, due_on, basis)
SELECT site_id, '2026-01-01', '2026-11-01', 'WX-21.2' FROM site WHERE name LIKE 'site %';
INSERT INTO source (district, site_id, roll_key, gb_id, location_type)
SELECT '320299', (SELECT min(site_id) FROM site WHERE name LIKE 'site %') + n / 10, 'k' || n,
       '3202990000' || lpad(n::text, 10, '0'), CASE WHEN n % 3 = 0 THEN 'lobby' END FROM generate_series(1, $1 - 10) n;
INSERT INTO connectivity (source_id, district, site_id, since)
SELECT source_id, district, site_id, now() FROM source WHERE roll_key LIKE 'k%';
INSERT INTO endpoint (source_id, protocol, host, port, path, credential_id, origin, confirmed_at, confirmed_by)
SELECT source_id, 'rtsp', '10.' || source_id / 65536 || '.' || source_id / 256 % 256 || '.' || source_id % 256, 554,
       '/Streaming/Channels/101', (SELECT min(credential_id) FROM credential), 'roll', now(), 'Wang'
  FROM source WHERE roll_key LIKE 'k%';
INSERT INTO network (cidr, document, approver, authorised_by, expires_at)
VALUES ('10.0.0.0/8', 'doc', 'chief', 'Wang', now() + interval '1 year');
ANALYZE;
"""


def megabytes() -> float:
    """Resident memory at its highest."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def longest_hold(worst: list[float]) -> None:
    """Note how late a tick of 5 ms comes at most."""
    while True:
        before = time.monotonic()
        await asyncio.sleep(0.005)
        worst[0] = max(worst[0], time.monotonic() - before - 0.005)


async def measure(database: Database, count: int) -> None:
    """Load twice and print what it cost."""
    await migrate(database, muster_version="bench")
    await seed_roll(database, count=10)
    async with database.raw_connection() as connection:
        for statement in FILL.split(";\n"):
            if statement.strip():
                await connection.execute(statement.replace("$1", str(count)))
    relays, status = RelayRunner(), WrittenStatus()
    specs = SpecBuilder(Vault(bytes(32)), RelayBounds())
    enrolment = Enrolment(Outside(database, relays, status, SystemClock()), GATEWAY, specs)
    for turn in ("first", "again"):
        worst, before, began = [0.0], megabytes(), time.monotonic()
        async with asyncio.TaskGroup() as group:
            watch = group.create_task(longest_hold(worst))
            await enrolment.load()
            watch.cancel()
        passed = time.monotonic() - began
        print(  # noqa: T201
            f"{turn}: {passed:.1f} s, +{megabytes() - before:.0f} MB, loop held {1000 * worst[0]:.0f} ms",
            enrolment.counts(),
        )


async def main() -> None:
    """Run on an embedded PostgreSQL of its own."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else SOURCES
    with tempfile.TemporaryDirectory() as folder:
        async with embedded_postgresql(Path(folder) / "pg") as url, Database(url) as database:
            await measure(database, count)


if __name__ == "__main__":
    asyncio.run(main())
