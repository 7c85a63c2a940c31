"""Who may pull from Muster, and what they get: the door and the workers together, before fake cameras."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from itertools import pairwise

import pytest

from adapters.base import Credential, RtspTarget, SourceKey
from adapters.errors import AdapterError, AuthenticationFailed, PeerClosed, RequestRefused
from adapters.rtsp.exchange import SessionOptions
from catalog.credentials import set_credential
from catalog.database import Database
from catalog.model.secret import Secret
from gateway.clock import SystemClock
from gateway.relay.manager import RelayManager
from gateway.relay.spec import RelayBounds, RelaySpec
from gateway.serving.admission import ReaderLimits
from gateway.serving.grants import Grant
from tests.fakes.relay_peers import heavy_camera, served
from tests.fakes.rtsp_server import FakeRtspServer, Script, fake_rtsp_server
from tests.rtsp_streams import Pull, open_pull
from tests.serving import VAULT, Serving, serving
from tests.waiting import eventually

pytestmark = pytest.mark.postgres

ONE, TWO = SourceKey(1), SourceKey(2)
CODE_ONE, CODE_TWO = "34020000001320000001", "34020000001320000002"
CODES = {CODE_ONE: ONE, CODE_TWO: TWO}
OPTIONS = SessionOptions(answer_timeout=10.0)


def relay(key: SourceKey, camera: FakeRtspServer, **more: object) -> RelaySpec:
    code = CODE_ONE if key == ONE else CODE_TWO
    spec = RelaySpec(key, code, RtspTarget("127.0.0.1", camera.port, "/stream"))
    return replace(spec, **more)  # type: ignore[arg-type]


async def playing(relays: RelayManager, *keys: SourceKey) -> None:
    for key in keys:
        await eventually(lambda key=key: relays.is_playing(key), what="the relay")


def login(grant: Grant) -> Credential:
    return Credential(grant.username, grant.password)


@asynccontextmanager
async def pulling(server: Serving, code: str, credential: Credential) -> AsyncIterator[Pull]:
    async with open_pull(RtspTarget("127.0.0.1", server.port, f"/{code}"), credential, OPTIONS) as pull:
        yield pull


async def first_packet(pull: Pull) -> bytes:
    async with asyncio.timeout(10):
        async for packet in pull.packets():
            if not packet.is_rtcp:
                return packet.payload
    raise AssertionError("no packet")


async def end_of(pull: Pull) -> None:
    """Return once the server has ended this pull."""
    with suppress(AdapterError):
        async with asyncio.timeout(10):
            async for _ in pull.packets():
                pass


async def test_a_client_starts_on_the_key_picture_that_came_before_it(database: Database) -> None:
    # One key picture, and then none for a minute: only the kept one can be the start.
    async with (
        fake_rtsp_server(Script(gop=6000)) as camera,
        RelayManager(SystemClock(), workers=1) as relays,
        serving(database, relays, CODES) as server,
    ):
        relays.start(relay(ONE, camera))
        await eventually(lambda: relays.counters()[ONE].frames > 20, what="pictures")
        async with pulling(server, CODE_ONE, login(server.grant(ONE))) as pull:
            packet = await first_packet(pull)
        # STAP-A with a parameter set: how the fake's key frames begin.
        assert packet[12] == 0x78
        assert int.from_bytes(packet[2:4], "big") == 0


async def test_without_a_kept_group_of_pictures_a_client_waits_for_the_next_key_picture(
    database: Database,
) -> None:
    async with (
        fake_rtsp_server(Script(gop=30)) as camera,
        RelayManager(SystemClock(), workers=1) as relays,
        serving(database, relays, CODES) as server,
    ):
        relays.start(relay(ONE, camera, bounds=RelayBounds(gop_bytes=0)))
        await eventually(lambda: relays.counters()[ONE].frames > 5, what="pictures")
        async with pulling(server, CODE_ONE, login(server.grant(ONE))) as pull:
            packet = await first_packet(pull)
        assert packet[12] == 0x78
        assert int.from_bytes(packet[2:4], "big") > 0


async def test_a_login_is_good_for_one_look_at_one_source(database: Database) -> None:
    async with (
        fake_rtsp_server() as camera_one,
        fake_rtsp_server() as camera_two,
        RelayManager(SystemClock(), workers=2) as relays,
        serving(database, relays, CODES) as server,
    ):
        relays.start(relay(ONE, camera_one))
        relays.start(relay(TWO, camera_two))
        await playing(relays, ONE, TWO)
        grant = server.grant(ONE)
        with pytest.raises(RequestRefused) as refused:
            async with pulling(server, CODE_TWO, login(grant)):
                pass
        assert refused.value.status == 404
        async with pulling(server, CODE_ONE, login(grant)) as pull:
            await first_packet(pull)
        with pytest.raises(AuthenticationFailed):
            async with pulling(server, CODE_ONE, login(grant)):
                pass
        assert [(look.scope, look.status) for look in await server.looks()] == [
            ("source 2", 404),
            ("source 1", 200),
        ]


async def test_nobody_gets_in_without_the_right_password_and_nobody_learns_what_exists(
    database: Database,
) -> None:
    async with (
        fake_rtsp_server() as camera,
        RelayManager(SystemClock(), workers=1) as relays,
        serving(database, relays, CODES) as server,
    ):
        relays.start(relay(ONE, camera))
        await playing(relays, ONE)
        wrong = Credential(server.grant(ONE).username, Secret("guessed"))
        unknown = Credential("nobody", Secret("guessed"))
        for credential in (wrong, unknown):
            for code in (CODE_ONE, "34020000001320009999"):
                with pytest.raises(AuthenticationFailed):
                    async with pulling(server, code, credential):
                        pass
        assert await server.looks() == []


async def test_whoever_guesses_passwords_is_not_heard_for_a_while(database: Database) -> None:
    async with (
        fake_rtsp_server() as camera,
        RelayManager(SystemClock(), workers=1) as relays,
        serving(database, relays, CODES) as server,
    ):
        relays.start(relay(ONE, camera))
        await playing(relays, ONE)
        for _ in range(20):
            with pytest.raises(AuthenticationFailed):
                async with pulling(server, CODE_ONE, Credential("platform", Secret("guess"))):
                    pass
        with pytest.raises(PeerClosed):
            async with pulling(server, CODE_ONE, login(server.grant(ONE))):
                pass


async def test_a_standing_account_may_pull_every_source_and_its_password_is_the_catalogs(
    database: Database,
) -> None:
    secret = Secret("of the central platform")
    clock = SystemClock()
    await set_credential(
        database, VAULT, ref="central", login=("platform", secret), by="Wang", at=clock.now()
    )
    async with (
        fake_rtsp_server() as camera_one,
        fake_rtsp_server() as camera_two,
        RelayManager(SystemClock(), workers=2) as relays,
        serving(database, relays, CODES, accounts=("central", "unset")) as server,
    ):
        relays.start(relay(ONE, camera_one))
        relays.start(relay(TWO, camera_two))
        await playing(relays, ONE, TWO)
        for code in (CODE_ONE, CODE_TWO, CODE_ONE):
            async with pulling(server, code, Credential("platform", secret)) as pull:
                await first_packet(pull)
        with pytest.raises(RequestRefused) as refused:
            async with pulling(server, "34020000001320009999", Credential("platform", secret)):
                pass
        assert refused.value.status == 404
        assert {look.person for look in await server.looks()} == {"central"}


async def test_one_client_too_many_is_refused_and_let_in_when_another_has_left(database: Database) -> None:
    async with (
        fake_rtsp_server() as camera,
        RelayManager(SystemClock(), workers=1) as relays,
        serving(database, relays, CODES, limits=ReaderLimits(readers=10, readers_each=1)) as server,
    ):
        relays.start(relay(ONE, camera))
        await playing(relays, ONE)
        async with pulling(server, CODE_ONE, login(server.grant(ONE))) as pull:
            await first_packet(pull)
            with pytest.raises(RequestRefused) as refused:
                async with pulling(server, CODE_ONE, login(server.grant(ONE))):
                    pass
            assert refused.value.status == 453
        await eventually(lambda: not relays.readers(), what="the leave")
        async with pulling(server, CODE_ONE, login(server.grant(ONE))) as pull:
            await first_packet(pull)


async def test_a_client_of_a_source_on_demand_has_it_started_and_kept(database: Database) -> None:
    async with (
        fake_rtsp_server() as camera,
        RelayManager(SystemClock(), workers=1) as relays,
        serving(database, relays, CODES) as server,
        asyncio.TaskGroup() as tasks,
    ):

        async def begin_when_asked() -> None:
            await eventually(lambda: server.asked.sources == [ONE], what="the question")
            relays.start(relay(ONE, camera, on_demand=True))

        tasks.create_task(begin_when_asked())
        async with pulling(server, CODE_ONE, login(server.grant(ONE))) as pull:
            await first_packet(pull)
            await eventually(lambda: server.asked.sources.count(ONE) > 2, what="the renewal")
        await eventually(lambda: not relays.readers(), what="the leave")


async def test_a_source_that_cannot_be_relayed_is_refused_at_once(database: Database) -> None:
    async with RelayManager(SystemClock(), workers=1) as relays, serving(database, relays, CODES) as server:
        server.asked.obstacle = "location_forbidden"
        with pytest.raises(RequestRefused) as refused:
            async with pulling(server, CODE_ONE, login(server.grant(ONE))):
                pass
        assert refused.value.status == 503
        server.asked.is_unknown = True
        with pytest.raises(RequestRefused) as refused:
            async with pulling(server, CODE_ONE, login(server.grant(ONE))):
                pass
        assert refused.value.status == 404


async def test_the_end_of_the_source_is_the_end_of_its_clients_alone(database: Database) -> None:
    async with (
        fake_rtsp_server() as camera_one,
        fake_rtsp_server() as camera_two,
        RelayManager(SystemClock(), workers=1) as relays,
        serving(database, relays, CODES) as server,
    ):
        relays.start(relay(ONE, camera_one))
        relays.start(relay(TWO, camera_two))
        await playing(relays, ONE, TWO)
        async with (
            pulling(server, CODE_ONE, login(server.grant(ONE))) as of_one,
            pulling(server, CODE_TWO, login(server.grant(TWO))) as of_two,
        ):
            await first_packet(of_one)
            await first_packet(of_two)
            camera_one.drop_connections()
            await end_of(of_one)
            await eventually(lambda: relays.readers() == {TWO: 1}, what="the leave")
            # And the source comes back for whoever asks again.
            await eventually(lambda: relays.counters()[ONE].sessions == 2, what="the reconnect")
            await playing(relays, ONE)
            async with pulling(server, CODE_ONE, login(server.grant(ONE))) as again:
                await first_packet(again)


async def test_a_client_that_takes_nothing_is_given_up_and_costs_the_others_nothing(
    database: Database,
) -> None:
    bounds = RelayBounds(sink_stalled=4.0, queue_bytes=262_144, gop_bytes=0)
    async with (
        served(heavy_camera()) as camera,
        RelayManager(SystemClock(), workers=1) as relays,
        serving(database, relays, CODES) as server,
    ):
        relays.start(relay(ONE, camera, bounds=bounds))
        await playing(relays, ONE)
        async with (
            pulling(server, CODE_ONE, login(server.grant(ONE))) as stalled,
            pulling(server, CODE_ONE, login(server.grant(ONE))) as healthy,
        ):
            await first_packet(stalled)  # and then nothing more is read
            numbers: list[int] = []
            async with asyncio.timeout(40):
                async for packet in healthy.packets():
                    if not packet.is_rtcp:
                        numbers.append(int.from_bytes(packet.payload[2:4], "big"))
                    if relays.readers() == {ONE: 1} and len(numbers) > 3000:
                        break
            steps = {(after - before) % 65536 for before, after in pairwise(numbers)}
            assert steps == {1}


async def test_after_the_loss_of_its_worker_a_source_is_served_by_the_next(database: Database) -> None:
    async with (
        fake_rtsp_server() as camera,
        RelayManager(SystemClock(), workers=1) as relays,
        serving(database, relays, CODES) as server,
    ):
        relays.start(relay(ONE, camera))
        await playing(relays, ONE)
        async with pulling(server, CODE_ONE, login(server.grant(ONE))) as pull:
            await first_packet(pull)
            (worker,) = (pid for pid, _, _ in relays.workers())
            assert worker is not None
            os.kill(worker, signal.SIGKILL)
            await end_of(pull)
        await eventually(lambda: not relays.readers(), what="the loss")
        await eventually(lambda: relays.is_playing(ONE), within=20, what="the next worker")
        async with pulling(server, CODE_ONE, login(server.grant(ONE))) as pull:
            await first_packet(pull)
