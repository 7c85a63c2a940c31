"""Measures GB/T 28181 registration and keepalive: `python -m tests.bench.sip [DEVICES]`.

The promise: 20,000 keepalives a CPU-second over the whole path, status and PostgreSQL included; 20,000 devices that
register in the same moment are in within 60 s, and those that are in already notice nothing. Kamailio answers the same
registrations with the same Digest in the same run, where its files lie in `.venv/kamailio`.
"""

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvloop

from catalog.credentials import Vault, set_credential
from catalog.database import Database
from catalog.embedded import embedded_postgresql
from catalog.migrate import migrate
from catalog.model.secret import Secret
from catalog.observations import Observations
from gateway.clock import SystemClock
from gateway.config import Config
from gateway.gb28181.service import DeviceService, Surroundings
from gateway.liveness import Liveness, LivenessRules
from gateway.status import StatusService
from tests.bench.sip_load import DOMAIN, PASSWORD, SERVER
from tests.fakes.ws_device import free_udp_port
from tests.seed import GATEWAY, NOW

DEVICES = 20_000
LIVE = 1_000
SECONDS = 10.0
ROOT = Path(__file__).resolve().parents[2]
KAMAILIO = ROOT / ".venv" / "kamailio"

SEED = """
INSERT INTO jurisdiction VALUES ('340200', '示例市', 'wuxi-2019', 'cn-2025');
INSERT INTO gateway (gateway_id, epoch, started_at, observed_until) VALUES ('%(gateway)s', 1, '%(now)s', '%(now)s');
INSERT INTO unit (name) VALUES ('单位');
INSERT INTO system (unit_id, name) SELECT unit_id, '系统' FROM unit;
INSERT INTO site (district, system_id, gateway_id, name, class)
SELECT '340200', 1, '%(gateway)s', '场所' || n, 'WX8_07' FROM generate_series(0, %(devices)d / 10) n;
INSERT INTO source (district, site_id, roll_key, gb_id, location_type, created_at)
SELECT '340200', 1 + n / 10, 'gb:' || n, '3402000000132' || to_char(n, 'FM0000000'), 'lobby', '2026-01-01'
  FROM generate_series(0, %(devices)d - 1) n;
INSERT INTO connectivity (source_id, district, site_id, since, state, first_connected_at)
SELECT source_id, district, site_id, '2026-01-01', 'online', '2026-01-01' FROM source;
INSERT INTO gb_device (device_id, gateway_id, credential_id, added_at, added_by)
SELECT gb_id, '%(gateway)s', (SELECT min(credential_id) FROM credential), '2026-01-01', 'bench' FROM source;
INSERT INTO endpoint (source_id, protocol, host, port, path, origin, confirmed_at, confirmed_by)
SELECT source_id, 'gb28181', '127.0.0.1', 5060, '/' || gb_id || '/' || gb_id || '?media=udp', 'sighting', '2026-01-01',
       'gb28181:' || gb_id FROM source;
SELECT recount_rollups(array_agg(site_id)) FROM site;
ANALYZE;
"""


def say(text: str) -> None:
    """Print one line."""
    sys.stdout.write(f"{text}\n")


def cpu_of(pid: int) -> float:
    """Return the CPU seconds that a process and its threads have used."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def children_of(pid: int) -> list[str]:
    """Return the process ids of the children of a process."""
    return Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()


@asynccontextmanager
async def load(port: int, devices: int, seconds: float, live: int) -> AsyncIterator["Load"]:
    """Run the devices."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.sip_load", str(port), str(devices), str(seconds), str(live)),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Load(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


class Load:
    """The devices, step by step."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def told(self) -> dict[str, Any]:
        """Return what they tell next."""
        assert self._process.stdout is not None
        async with asyncio.timeout(180):
            found: dict[str, Any] = json.loads(await self._process.stdout.readline())
        return found

    async def go_on(self) -> None:
        """Let them begin the next step."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        await self._process.stdin.drain()


async def measured(port: int, pid: int, devices: int, live: int, *, keepalives: bool) -> dict[str, float]:
    """Return what a server did with the devices, and the CPU seconds of its process."""
    async with load(port, devices, SECONDS, live) as devices_of:
        await devices_of.told()
        before = cpu_of(pid)
        await devices_of.go_on()
        found = await devices_of.told()
        found["storm_cpu"] = cpu_of(pid) - before
        if keepalives:
            # What the registrations set going, queries and writes, is not the keepalives'.
            await asyncio.sleep(20.0)
            before = cpu_of(pid)
            await devices_of.go_on()
            end = await devices_of.told()
            found["keepalives"], found["keepalive_cpu"] = end["keepalives"], cpu_of(pid) - before
    return found


async def muster(database: Database, vault: Vault, devices: int) -> dict[str, float]:
    """Measure ourselves: everything between the socket and PostgreSQL, in this process."""
    clock = SystemClock()
    rules = LivenessRules(probe_interval=60.0, restart_grace=180.0)
    status = StatusService(Observations(database, GATEWAY), Liveness(rules, started=clock.monotonic()), clock)
    await status.start()
    port = free_udp_port()
    gateway = {"id": GATEWAY, "state_dir": tempfile.gettempdir()}
    here = {"civil_code": "340200", "name": "x", "issued_by": "x", "contact": "x"}
    section = {"enabled": True, "id": SERVER, "udp_port": port, "tcp_port": 0, "register_rate": 5_000}
    config = Config.model_validate({"gateway": gateway, "jurisdiction": here, "gb28181": section})
    service = DeviceService(Surroundings(database, vault, status, clock), config)

    async def judge() -> None:
        while True:
            await clock.sleep(1.0)
            status.judge()
            await status.flush()

    async def serve() -> None:
        await service.run()

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(serve()), group.create_task(judge())]
        await asyncio.sleep(3.0)
        found = await measured(port, os.getpid(), devices, LIVE, keepalives=True)
        found["present"] = len(service.superior.present())
        for task in tasks:
            task.cancel()
    return found


CONFIGURATION = """
debug=0
log_stderror=yes
children=1
listen=udp:127.0.0.1:{port}
mpath="{modules}"
loadmodule "kex.so"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "pv.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "auth.so"
modparam("usrloc", "db_mode", 0)
modparam("auth", "nonce_expire", 60)
request_route {{
  if (!pv_www_authenticate("{domain}", "{password}", "0")) {{
    www_challenge("{domain}", "0");
    exit;
  }}
  save("location");
}}
"""


async def kamailio(folder: Path, devices: int) -> dict[str, float] | None:
    """Measure Kamailio answering the same registrations."""
    program, libraries = KAMAILIO / "usr/sbin/kamailio", KAMAILIO / "usr/lib/x86_64-linux-gnu/kamailio"
    if not program.exists():
        return None
    port = free_udp_port()
    file = folder / "kamailio.cfg"
    text = CONFIGURATION.format(port=port, modules=libraries / "modules", domain=DOMAIN, password=PASSWORD)
    file.write_text(text, encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        *(str(program), "-f", str(file), "-DD", "-m", "512", "-M", "32", "-Y", str(folder)),
        env={**os.environ, "LD_LIBRARY_PATH": str(libraries)},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        await asyncio.sleep(3.0)
        children = children_of(process.pid)
        if not children:
            return None
        return await measured(port, int(children[0]), devices, 0, keepalives=False)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        await process.wait()


async def main(devices: int) -> None:
    """Print what was measured."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with embedded_postgresql(folder / "pg") as url, Database(url, command_timeout=120) as database:
            await migrate(database, muster_version="bench")
            vault = Vault(b"k" * 32)
            await set_credential(
                database, vault, ref="bench", login=("bench", Secret(PASSWORD)), by="bench", at=NOW
            )
            async with database.raw_connection() as connection:
                await connection.execute(SEED % {"gateway": GATEWAY, "now": NOW, "devices": devices})
            ours = await muster(database, vault, devices)
        theirs = await kamailio(folder, devices)
    say(f"{devices} devices register in the same moment, {LIVE} of them before")
    say(
        f"  Muster: {ours['storm']:.1f} s ({devices / ours['storm']:.0f}/s; aim 60 s), {ours['storm_cpu']:.1f} CPU-s, "
        f"{ours['registered']:.0f} in, {ours['refused']:.0f} asked to come back, {ours['resent']:.0f} repeated"
    )
    live = f"p50 {ours['live_p50'] * 1e3:.0f} ms, p99 {ours['live_p99'] * 1e3:.0f} ms"
    say(f"  keepalives of those before meanwhile: {live}")
    if theirs is None:
        say("  Kamailio: not here")
    else:
        say(
            f"  Kamailio: {theirs['storm']:.1f} s, {theirs['storm_cpu']:.1f} CPU-s of its worker: "
            f"{ours['storm_cpu'] / max(theirs['storm_cpu'], 0.01):.1f} times its CPU"
        )
    each = ours["keepalives"] / ours["keepalive_cpu"]
    say(
        f"keepalives, whole path: {ours['keepalives'] / SECONDS:.0f}/s answered, {each:.0f} a CPU-second; aim 20000"
    )


if __name__ == "__main__":
    began = time.monotonic()
    uvloop.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else DEVICES))
    say(f"took {time.monotonic() - began:.0f} s")
