"""Rows for tests that read: a small roll with every displayed state, written by SQL and `apply_changes`."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from catalog.database import Database

NOW = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)
"""Noon in Asia/Shanghai."""

HERE = "320299"
ELSEWHERE = "610199"
GATEWAY = "gateway-1"

CANARIES = {
    "address": "CANARY-ADDRESS-8891",
    "name": "CANARY-DEVICE-NAME-8892",
    "serial": "CANARYSERIAL8893",
    "mac": "ca:4a:12:34:56:78",
    "host": "198.51.100.77",
    "path": "/CANARY-PATH-8895",
    "location_type": "canary_location_8896",
    "credential": "CANARY-REF-8897",
    "password": "enc:v1:CANARY-8898",
}
"""What no police and no public answer may hold."""


@dataclass(frozen=True)
class Seeded:
    """Ids of what was written."""

    site_ids: tuple[int, ...]
    source_ids: tuple[int, ...]
    codes: tuple[str, ...]


async def seed_roll(
    database: Database,
    *,
    count: int = 8,
    district: str = HERE,
    due_on: date = date(2026, 11, 1),
    observed_until: datetime = NOW,
) -> Seeded:
    """Write one unit with one system and two sites, and `count` sources that never connected."""
    async with database.raw_connection() as connection:
        await connection.execute(
            "INSERT INTO jurisdiction VALUES ($1, $2, 'wuxi-2019', 'cn-2025') ON CONFLICT DO NOTHING",
            district,
            f"示例区 {district}",
        )
        await connection.execute(
            "INSERT INTO gateway (gateway_id, epoch, started_at, observed_until) VALUES ($1, 1, $2, $2) "
            "ON CONFLICT (gateway_id) DO UPDATE SET observed_until = $2",
            GATEWAY,
            observed_until,
        )
        unit = await connection.fetchval(
            "INSERT INTO unit (name) VALUES ($1) RETURNING unit_id", f"示例单位 {district}"
        )
        system = await connection.fetchval(
            "INSERT INTO system (unit_id, name) VALUES ($1, '一号系统') RETURNING system_id", unit
        )
        sites = [
            await connection.fetchval(
                "INSERT INTO site (district, system_id, gateway_id, name, class, address) "
                "VALUES ($1, $2, $3, $4, 'WX8_07', $5) RETURNING site_id",
                district,
                system,
                GATEWAY,
                f"示例公园 {number}",
                CANARIES["address"],
            )
            for number in (1, 2)
        ]
        for site in sites:
            await connection.execute(
                "INSERT INTO duty (site_id, effective_from, due_on, basis) VALUES ($1, $2, $3, 'WX-21.2')",
                site,
                date(2026, 1, 1),
                due_on,
            )
        credential = await connection.fetchval(
            "INSERT INTO credential (ref, username, password_encrypted) VALUES ($1, 'admin', $2) "
            "RETURNING credential_id",
            f"{CANARIES['credential']}-{district}",
            CANARIES["password"],
        )
        codes = tuple(f"{district}00001320{number:06d}" for number in range(1, count + 1))
        sources: list[int] = []
        for number, code in enumerate(codes):
            source = await connection.fetchval(
                "INSERT INTO source (district, site_id, roll_key, gb_id, name, location_type, mac, serial, created_at) "
                "VALUES ($1, $2, $3, $3, $4, $5, $6, $7, $8) RETURNING source_id",
                district,
                sites[number % 2],
                code,
                CANARIES["name"],
                CANARIES["location_type"],
                CANARIES["mac"],
                CANARIES["serial"],
                NOW - timedelta(days=30),
            )
            await connection.execute(
                "INSERT INTO endpoint (source_id, protocol, host, port, path, credential_id, origin) "
                "VALUES ($1, 'rtsp', $2, 8554, $3, $4, 'roll')",
                source,
                CANARIES["host"],
                CANARIES["path"],
                credential,
            )
            await connection.execute(
                "INSERT INTO connectivity (source_id, district, site_id, since) VALUES ($1, $2, $3, $4)",
                source,
                district,
                sites[number % 2],
                NOW - timedelta(days=30),
            )
            sources.append(source)
        await connection.execute("SELECT recount_rollups($1)", sites)
    return Seeded(tuple(sites), tuple(sources), codes)


@dataclass(frozen=True)
class Change:
    """One row of `apply_changes`."""

    source_id: int
    state: str
    since: datetime
    reasons: str = ""
    unknown: str | None = None
    unknown_at: datetime | None = None
    suspended: str | None = None
    suspended_at: datetime | None = None
    last_positive: datetime | None = None


async def apply(database: Database, changes: Sequence[Change]) -> None:
    """Write states the way the gateway does."""
    async with database.raw_connection() as connection:
        await connection.execute(
            "SELECT apply_changes($1, 1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            GATEWAY,
            [change.source_id for change in changes],
            [change.state for change in changes],
            [change.since for change in changes],
            [change.reasons for change in changes],
            [change.last_positive for change in changes],
            [change.unknown for change in changes],
            [change.unknown_at for change in changes],
            [change.suspended for change in changes],
            [change.suspended_at for change in changes],
            [False for _ in changes],
        )


async def add_evidence(
    database: Database,
    source_id: int,
    seq: int,
    kind: str,
    at: datetime,
    state_after: str,
    reason: str | None = None,
    incident: str | None = None,
) -> None:
    """Append one fact; it was taken in two minutes later."""
    async with database.raw_connection() as connection:
        await connection.execute(
            "INSERT INTO evidence (source_id, seq, district, kind, at, received_at, reason, state_after, gateway_id, "
            "detail) SELECT $1, $2, district, $3, $4, $5, $6, $7, $8, $9::jsonb FROM source WHERE source_id = $1",
            source_id,
            seq,
            kind,
            at,
            at + timedelta(seconds=120),
            reason,
            state_after,
            GATEWAY,
            json.dumps({"incident": incident} if incident else {}),
        )


async def seed_every_state(database: Database) -> Seeded:
    """Write eight sources: online, degraded, offline, unknown, suspended and three that never connected.

    Site 1 holds sources 0, 2, 4, 6 (online, offline, suspended, never), site 2 holds 1, 3, 5, 7 (degraded,
    unknown, never, never).
    """
    seeded = await seed_roll(database)
    first = NOW - timedelta(days=10)
    online, degraded, offline, unknown, suspended = seeded.source_ids[:5]
    await apply(database, [Change(source, "online", first) for source in seeded.source_ids[:5]])
    for seq, source in enumerate(seeded.source_ids[:5], start=1):
        await add_evidence(database, source, seq, "connected", first, "online")
    await apply(
        database,
        [
            Change(degraded, "degraded", NOW - timedelta(days=2), reasons="no_media"),
            Change(
                offline,
                "offline",
                NOW - timedelta(hours=5),
                last_positive=NOW - timedelta(hours=5, minutes=1),
            ),
            Change(unknown, "online", first, unknown="restart_grace", unknown_at=NOW - timedelta(minutes=1)),
            Change(
                suspended,
                "online",
                first,
                suspended="planned_maintenance",
                suspended_at=NOW - timedelta(hours=1),
            ),
            Change(online, "online", first),
        ],
    )
    async with database.raw_connection() as connection:
        number = await connection.fetchval(
            "INSERT INTO suspension (site_id, source_id, reason, starts_at, ends_at, document, requested_at, "
            "requested_by) SELECT site_id, source_id, 'planned_maintenance', $2, $3, 'D-1', $2, 'Li' FROM source "
            "WHERE source_id = $1 RETURNING suspension_id",
            suspended,
            NOW - timedelta(hours=1),
            NOW + timedelta(hours=1),
        )
        await connection.execute(
            "INSERT INTO suspension_act VALUES ($1, 1, 'approve', $2, 'Wang', '')",
            number,
            NOW - timedelta(hours=1),
        )
    await add_evidence(database, degraded, 6, "impaired", NOW - timedelta(days=2), "degraded", "no_media")
    await add_evidence(database, offline, 7, "lost", NOW - timedelta(hours=5), "offline", "unreachable")
    return seeded
