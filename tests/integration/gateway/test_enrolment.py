"""Enrolment on a real catalog: what it reads there, what it writes there, and what a restart remembers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import pytest

from adapters.base import SourceKey
from catalog.credentials import set_credential
from catalog.database import Database
from catalog.model.plan import RelayMode
from catalog.model.secret import Secret
from catalog.networks import NewAuthorisation, authorise_network
from catalog.observations import Observations
from catalog.sinks import NewSink, add_sink
from catalog.sources import SourceEdit, edit_source, load_plans, retire_source
from gateway.clock import SystemClock
from gateway.enrolment.service import Enrolment, Outside
from gateway.enrolment.specs import SpecBuilder
from gateway.liveness import Liveness, LivenessRules
from gateway.relay.protocol import RelayEnded, SinkState, SinkStateChanged, SourceEvent, VerificationFinished
from gateway.relay.spec import RelayBounds
from gateway.status import StatusService
from tests.fakes.enrolment import PASSWORD, VAULT, RelayRunner
from tests.postgres import PostgresServer
from tests.seed import GATEWAY, seed_roll
from tests.waiting import eventually

pytestmark = pytest.mark.postgres


@dataclass
class Site:
    """A running enrolment over a database with one source that may be pulled."""

    database: Database
    source_id: int
    relays: RelayRunner
    status: StatusService
    enrolment: Enrolment
    clock: SystemClock

    @property
    def obstacle(self) -> str | None:
        view = self.status.view(self.source_id)
        return None if view is None else view.obstacle

    async def told(self, word: str | None) -> None:
        """Wait until the stored status names this obstacle."""

        async def is_told() -> bool:
            await self.status.flush()
            async with self.database.raw_connection() as connection:
                stored = await connection.fetchval(
                    "SELECT obstacle FROM connectivity WHERE source_id = $1", self.source_id
                )
            return bool(stored == word)

        await eventually(is_told, what=f"obstacle {word}")

    async def started(self, count: int) -> None:
        await eventually(lambda: len(self.relays.started) >= count, what=f"start {count}")

    def now(self) -> tuple[SourceKey, float]:
        return SourceKey(self.source_id), self.clock.monotonic()

    def happen(self, event: SourceEvent) -> None:
        self.relays.happened.put_nowait(event)

    def verified(self) -> None:
        self.happen(VerificationFinished(*self.now(), self.clock.now(), True, "", 2.0, 2.5, 60))

    def refuse(self) -> None:
        self.happen(
            RelayEnded(
                *self.now(),
                self.clock.now(),
                "authentication_failed",
                retryable=False,
                status=401,
                refusals=2,
            )
        )


async def prepare(database: Database) -> int:
    """Write a roll with one confirmed source in an authorised network; return the source."""
    seeded = await seed_roll(database, count=1)
    async with database.raw_connection() as connection:
        await connection.execute("UPDATE source SET location_type = 'lobby'")
        await connection.execute(
            "UPDATE endpoint SET host = '10.1.0.5', confirmed_at = now(), confirmed_by = 'Wang'"
        )
        await connection.execute("UPDATE credential SET ref = 'park'")
    now = SystemClock().now()
    record = NewAuthorisation("10.1.0.0/24", "doc", "chief", now + timedelta(days=1))
    await authorise_network(database, record, authorised_by="Wang", at=now - timedelta(seconds=5))
    await type_password(database)
    return seeded.source_ids[0]


async def type_password(database: Database) -> None:
    login = ("admin", Secret(PASSWORD))
    await set_credential(database, VAULT, ref="park", login=login, by="Wang", at=SystemClock().now())


@asynccontextmanager
async def enrolment_over(database: Database, source_id: int) -> AsyncIterator[Site]:
    clock, relays = SystemClock(), RelayRunner()
    status = StatusService(
        Observations(database, GATEWAY), Liveness(LivenessRules(), started=clock.monotonic()), clock
    )
    await status.start()
    specs = SpecBuilder(VAULT, RelayBounds(teardown=0.1), verify_media=2.0)
    enrolment = Enrolment(Outside(database, relays, status, clock), GATEWAY, specs)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(enrolment.run())
        yield Site(database, source_id, relays, status, enrolment, clock)
        running.cancel()


@pytest.fixture
async def site(database: Database) -> AsyncIterator[Site]:
    """A running enrolment."""
    source_id = await prepare(database)
    async with enrolment_over(database, source_id) as running:
        yield running


async def test_the_whole_way_from_the_roll_to_the_first_connection(site: Site) -> None:
    await add_sink(site.database, NewSink("platform", "127.0.0.1", 8555, "/in"), person="Wang")
    await site.started(1)
    spec = site.relays.started[0]
    assert spec.credential is not None
    assert (spec.credential.password.reveal(), spec.verify) == (PASSWORD, 2.0)
    site.enrolment.reload()
    await eventually(lambda: site.relays.started[-1].sink is not None, what="a pull with the sink")
    await eventually(lambda: site.enrolment.phase_of(site.source_id) == "verifying", what="verification")
    site.verified()
    site.happen(SinkStateChanged(*site.now(), site.clock.now(), SinkState.FAILED, "unreachable"))
    await site.told("superior_away")
    site.happen(SinkStateChanged(*site.now(), site.clock.now(), SinkState.RECORDING))
    await site.told(None)
    (found,) = await load_plans(site.database, GATEWAY)
    assert found.has_connected


async def test_each_change_of_the_catalog_moves_the_source_on(site: Site) -> None:
    await edit_source(site.database, site.source_id, SourceEdit(location_type=None), person="Wang")
    site.enrolment.reload()
    await site.told("location_unattested")
    assert site.relays.running == {}
    assert site.enrolment.target_of(site.source_id) is not None
    await edit_source(site.database, site.source_id, SourceEdit(relay_mode=RelayMode.OFF), person="Wang")
    await edit_source(site.database, site.source_id, SourceEdit(location_type="lobby"), person="Wang")
    site.enrolment.reload()
    await site.told("relay_off")


async def test_a_forbidden_location_becomes_rejected_with_its_articles_and_leaves_the_counts(
    site: Site,
) -> None:
    await edit_source(site.database, site.source_id, SourceEdit(location_type="toilet"), person="Wang")
    site.enrolment.reload()

    async def is_rejected() -> bool:
        async with site.database.raw_connection() as connection:
            row = await connection.fetchrow(
                "SELECT s.lifecycle, s.lifecycle_reason, c.counted, r.n_must FROM source s "
                "JOIN connectivity c USING (source_id), district_rollup r"
            )
        return row is not None and tuple(row) == ("rejected", "WX-9,CN-8.1(3)", False, 0)

    await eventually(is_rejected, what="rejection")
    assert site.relays.running == {}
    site.enrolment.reload()
    await eventually(lambda: site.enrolment.phase_of(site.source_id) is None, what="the source is gone")
    assert site.enrolment.target_of(site.source_id) is None


async def test_a_retired_source_is_stopped(site: Site) -> None:
    await site.started(1)
    await retire_source(site.database, site.source_id, person="Wang", at=site.clock.now())
    site.enrolment.reload()
    await eventually(lambda: not site.relays.running, what="the stop")


async def test_two_refusals_are_remembered_over_a_restart_until_the_password_changes(
    database: Database,
) -> None:
    source_id = await prepare(database)
    async with enrolment_over(database, source_id) as before:
        await before.started(1)
        before.refuse()
        await before.told("authentication_failed")

        async def is_noted() -> bool:
            (found,) = await load_plans(database, GATEWAY)
            return found.endpoints[0].refusals == 2

        await eventually(is_noted, what="the refusals in the catalog")
    async with enrolment_over(database, source_id) as after:
        await eventually(lambda: after.enrolment.is_loaded, what="the plans")
        await after.told("authentication_failed")
        assert after.relays.started == []
        await type_password(database)
        after.enrolment.reload()
        await after.started(1)


async def test_while_the_database_is_away_the_relays_go_on(
    postgres: PostgresServer, database: Database
) -> None:
    source_id = await prepare(database)
    async with enrolment_over(database, source_id) as site:
        await site.started(1)
        name = database.place.rpartition("/")[2]
        # The maintenance connection cuts every other connection off and lets nobody in.
        await asyncio.to_thread(
            postgres.run, lambda c: c.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        )
        await asyncio.to_thread(
            postgres.run,
            lambda c: c.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name
            ),
        )
        site.enrolment.reload()
        site.verified()
        await eventually(lambda: site.enrolment.phase_of(source_id) == "running", what="the verification")
        assert list(site.relays.running) == [source_id]
        await asyncio.to_thread(
            postgres.run, lambda c: c.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        )
        await site.told(None)
