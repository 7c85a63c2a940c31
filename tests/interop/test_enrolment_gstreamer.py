"""The whole way from the roll to the first connection with GStreamer's camera and RECORD target, on a real catalog."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import pytest

from catalog.credentials import set_credential
from catalog.database import Database
from catalog.model.connectivity import DegradeReason, State
from catalog.model.secret import Secret
from catalog.model.sighting import Protocol
from catalog.networks import NewAuthorisation, authorise_network
from catalog.observations import Observations
from catalog.sinks import NewSink, add_sink
from catalog.sources import NewEndpoint, SourceEdit, add_endpoint, confirm_endpoint, edit_source
from gateway.clock import SystemClock
from gateway.enrolment.service import Enrolment, Outside
from gateway.enrolment.specs import SpecBuilder
from gateway.liveness import Liveness, LivenessRules
from gateway.relay.manager import RelayManager
from gateway.relay.spec import RelayBounds
from gateway.status import StatusService
from gateway.status_view import StatusView
from tests.fakes.enrolment import VAULT
from tests.interop.relay_peers import gst_peer
from tests.seed import GATEWAY, seed_roll
from tests.waiting import eventually

pytestmark = [pytest.mark.interop, pytest.mark.postgres]

PASSWORD = "right-password"
WITH_PASSWORD = {"GST_CAMERA_USER": "admin", "GST_CAMERA_PASSWORD": PASSWORD}


@dataclass
class Gateway:
    """What runs of a gateway here, over one source."""

    database: Database
    source_id: int
    status: StatusService
    enrolment: Enrolment

    @property
    def view(self) -> StatusView:
        view = self.status.view(self.source_id)
        assert view is not None
        return view

    async def shows(self, state: State, obstacle: str | None, *, within: float = 30.0) -> None:
        """Wait until this is what is stored of the source."""

        async def is_shown() -> bool:
            self.status.judge()
            await self.status.flush()
            async with self.database.raw_connection() as connection:
                row = await connection.fetchrow(
                    "SELECT state, obstacle FROM connectivity WHERE source_id = $1", self.source_id
                )
            return row is not None and tuple(row) == (state.value, obstacle)

        await eventually(is_shown, within=within, what=f"{state} with {obstacle}")

    async def type_password(self, password: str) -> None:
        login = ("admin", Secret(password))
        now = SystemClock().now()
        await set_credential(self.database, VAULT, ref="gate", login=login, by="Wang", at=now)
        self.enrolment.reload()


@asynccontextmanager
async def gateway_over(database: Database) -> AsyncIterator[Gateway]:
    seeded = await seed_roll(database, count=1)
    async with database.raw_connection() as connection:
        await connection.execute("DELETE FROM endpoint")
        await connection.execute("UPDATE source SET location_type = NULL")
    clock = SystemClock()
    liveness = Liveness(LivenessRules(), started=clock.monotonic())
    status = StatusService(Observations(database, GATEWAY), liveness, clock)
    await status.start()
    async with RelayManager(clock, workers=1) as relays, asyncio.TaskGroup() as group:
        specs = SpecBuilder(VAULT, RelayBounds(connect=3.0, media_gap=2.0), verify_media=2.0)
        enrolment = Enrolment(Outside(database, relays, status, clock), GATEWAY, specs)
        running = group.create_task(enrolment.run())
        yield Gateway(database, seeded.source_ids[0], status, enrolment)
        running.cancel()


async def test_each_condition_is_missed_by_name_and_only_all_of_them_connect(database: Database) -> None:
    async with (
        gst_peer(environment=WITH_PASSWORD) as camera,
        gateway_over(database) as gateway,
    ):
        source_id, now = gateway.source_id, SystemClock().now()
        async with database.raw_connection() as connection:
            code = await connection.fetchval("SELECT gb_id FROM source")
        async with gst_peer("--record", "--path", f"/in/{code}") as target:
            await add_sink(database, NewSink("platform", "127.0.0.1", target.port, "/in"), person="Wang")
            await gateway.shows(State.NEVER_CONNECTED, "location_unattested")
            await edit_source(database, source_id, SourceEdit(location_type="lobby"), person="Wang")
            gateway.enrolment.reload()
            await gateway.shows(State.NEVER_CONNECTED, "no_endpoint")
            way = NewEndpoint(Protocol.RTSP, "127.0.0.1", camera.port, "/stream", credential_ref="gate")
            endpoint_id = await add_endpoint(database, source_id, way, confirmed_by=None, at=now)
            gateway.enrolment.reload()
            await gateway.shows(State.NEVER_CONNECTED, "not_confirmed")
            await confirm_endpoint(database, source_id, endpoint_id, person="Wang", at=now)
            gateway.enrolment.reload()
            await gateway.shows(State.NEVER_CONNECTED, "network_not_authorised")
            record = NewAuthorisation("127.0.0.1/32", "doc", "chief", now + timedelta(days=1))
            await authorise_network(database, record, authorised_by="Wang", at=now)
            gateway.enrolment.reload()
            await gateway.shows(State.NEVER_CONNECTED, "credential_missing")
            await gateway.type_password("wrong-password")
            await gateway.shows(State.NEVER_CONNECTED, "authentication_failed")
            await gateway.type_password(PASSWORD)
            await gateway.shows(State.ONLINE, None)
            assert gateway.view.first_connected_at is not None
            await target.kill()
            await gateway.shows(State.ONLINE, "superior_away")


async def test_a_wrong_path_is_left_for_the_next_endpoint_and_a_dead_camera_is_unreachable(
    database: Database,
) -> None:
    async with gst_peer() as camera, gateway_over(database) as gateway:
        now = SystemClock().now()
        record = NewAuthorisation("127.0.0.1/32", "doc", "chief", now + timedelta(days=1))
        await authorise_network(database, record, authorised_by="Wang", at=now)
        await edit_source(database, gateway.source_id, SourceEdit(location_type="lobby"), person="Wang")
        way = NewEndpoint(Protocol.RTSP, "127.0.0.1", camera.port, "/wrong")
        wrong = await add_endpoint(database, gateway.source_id, way, confirmed_by="Wang", at=now)
        gateway.enrolment.reload()
        await gateway.shows(State.NEVER_CONNECTED, "refused")
        right = NewEndpoint(Protocol.RTSP, "127.0.0.1", camera.port, "/stream")
        assert wrong != await add_endpoint(database, gateway.source_id, right, confirmed_by="Wang", at=now)
        gateway.enrolment.reload()
        await gateway.shows(State.ONLINE, None, within=50)
        await camera.kill()
        await gateway.shows(State.ONLINE, "unreachable")
        assert DegradeReason.NO_MEDIA not in gateway.view.reasons
