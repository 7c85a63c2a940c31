"""A budget with room for one pull between GStreamer's cameras: who runs, who waits, and what is stored of both."""

import asyncio
from datetime import timedelta

import pytest

from catalog.database import Database
from catalog.model.connectivity import State
from catalog.model.plan import RelayMode
from catalog.networks import NewAuthorisation, authorise_network
from catalog.observations import Observations
from catalog.sources import SourceEdit, edit_source, retire_source
from gateway.clock import SystemClock
from gateway.enrolment.ports import PullRules
from gateway.enrolment.service import Enrolment, Outside
from gateway.enrolment.specs import SpecBuilder
from gateway.liveness import Liveness, LivenessRules
from gateway.relay.limits import Limit, Limits, Shortage
from gateway.relay.manager import RelayManager
from gateway.relay.spec import RelayBounds
from gateway.status import StatusService
from tests.fakes.enrolment import VAULT
from tests.interop.relay_peers import gst_peer
from tests.seed import GATEWAY, seed_roll
from tests.waiting import eventually

pytestmark = [pytest.mark.interop, pytest.mark.postgres]


async def prepare(database: Database, *ports: int) -> list[int]:
    """Write a roll with one confirmed source at each port of an authorised 127.0.0.1."""
    seeded = await seed_roll(database, count=len(ports))
    now = SystemClock().now()
    async with database.raw_connection() as connection:
        await connection.execute("UPDATE source SET location_type = 'lobby'")
        await connection.execute(
            "UPDATE endpoint SET host = '127.0.0.1', path = '/stream', credential_id = NULL, "
            "confirmed_at = now(), confirmed_by = 'Wang'"
        )
        for source_id, port in zip(seeded.source_ids, ports, strict=True):
            await connection.execute("UPDATE endpoint SET port = $2 WHERE source_id = $1", source_id, port)
    record = NewAuthorisation("127.0.0.1/32", "doc", "chief", now + timedelta(days=1))
    await authorise_network(database, record, authorised_by="Wang", at=now)
    return list(seeded.source_ids)


async def test_the_second_source_waits_for_our_limit_and_connects_when_the_first_has_left(
    database: Database,
) -> None:
    clock = SystemClock()
    async with gst_peer() as one, gst_peer() as two:
        first, second = await prepare(database, one.port, two.port)
        status = StatusService(
            Observations(database, GATEWAY), Liveness(LivenessRules(), started=clock.monotonic()), clock
        )
        await status.start()
        rules = PullRules(limits=Limits(pulls=1, bandwidth=20_000_000), expected_bitrate=4_000_000)

        async def shows(source_id: int, state: State, obstacle: str | None) -> None:
            async def is_shown() -> bool:
                status.judge()
                await status.flush()
                async with database.raw_connection() as connection:
                    row = await connection.fetchrow(
                        "SELECT state, obstacle FROM connectivity WHERE source_id = $1", source_id
                    )
                return row is not None and tuple(row) == (state.value, obstacle)

            await eventually(is_shown, within=30, what=f"{source_id}: {state} with {obstacle}")

        async with RelayManager(clock, workers=2) as relays, asyncio.TaskGroup() as group:
            specs = SpecBuilder(VAULT, RelayBounds(connect=3.0), verify_media=2.0)
            enrolment = Enrolment(Outside(database, relays, status, clock), GATEWAY, specs, rules)
            running = group.create_task(enrolment.run())
            await shows(first, State.ONLINE, None)
            await shows(second, State.NEVER_CONNECTED, "pull_limit")
            # It waits for us, and is asked whether it is there all the same.
            assert enrolment.target_of(second) is not None
            assert [int(row.source_id) for row in relays.snapshot()] == [first]
            await edit_source(database, second, SourceEdit(relay_mode=RelayMode.ON_DEMAND), person="Wang")
            enrolment.reload()
            await eventually(
                lambda: enrolment.start_on_demand(second, 30.0) == Shortage(Limit.PULLS, 1, 1, 1),
                what="the refusal",
            )
            measured = enrolment.budget
            await eventually(lambda: 0 < measured().bitrate != 4_000_000, what="the measured bitrate")
            await retire_source(database, first, person="Wang", at=clock.now())
            enrolment.reload()
            await shows(second, State.ONLINE, None)
            assert enrolment.budget().waiting == {}
            running.cancel()
