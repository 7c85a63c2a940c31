"""Sweeps against devices and impostors on loopback, and what they may never do (E17, CN-23.3)."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import pytest

from adapters.base import RtspTarget
from adapters.errors import PeerUnreachable
from adapters.onvif.wsdiscovery import PORT as WS_DISCOVERY
from adapters.rtsp.client import probe
from catalog.database import Database
from catalog.discovery_runs import Run, RunOutcome, get_run, list_runs, stop_run
from catalog.networks import load_authorised, revoke_network
from gateway.clock import Clock, SystemClock
from gateway.config import DiscoveryConfig
from gateway.discovery import MAX_RUNS, Discovery
from gateway.discovery_plan import SweepRefused, SweepRequest
from gateway.discovery_sweep import Contacts, OptionsProbe, Progress
from tests.clock import HandClock
from tests.discovery import PERSON, authorise, camera_at, place, rows
from tests.fakes.rtsp_server import Script
from tests.fakes.ws_device import ws_device
from tests.seed import seed_roll
from tests.waiting import eventually

pytestmark = pytest.mark.postgres

QUICK = DiscoveryConfig(rate=1000, concurrency=32, ports=(554,), timeout=2.0)


@dataclass
class Answered:
    """A polite answer."""

    status: int = 200
    server: str | None = "Camera"


@dataclass
class RecordingProbe:
    """Asks nobody; notes who would have been asked and when."""

    clock: Clock
    answers: frozenset[str] = frozenset()
    "Hosts that are cameras."
    while_asking: Callable[[int], Awaitable[None]] | None = None
    "Called with the number of the question."
    asked: list[tuple[str, int]] = field(default_factory=list)
    at: list[float] = field(default_factory=list)
    under_way: int = 0
    most_under_way: int = 0

    async def __call__(self, target: RtspTarget, *, describe: bool, timeout: float) -> Answered:  # noqa: ASYNC109
        assert not describe
        self.asked.append((target.host, target.port))
        self.at.append(self.clock.monotonic())
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await (self.while_asking(len(self.asked)) if self.while_asking else asyncio.sleep(0))
            if target.host not in self.answers:
                raise PeerUnreachable("nobody there", peer=target.peer)
            return Answered()
        finally:
            self.under_way -= 1


@dataclass
class SeenSources:
    """Stands for the status service."""

    seen_at: dict[int, float] = field(default_factory=dict)

    def seen(self, source_id: int, *, at: float) -> None:
        self.seen_at[source_id] = at


def discovery_of(
    database: Database,
    *,
    config: DiscoveryConfig = QUICK,
    clock: Clock | None = None,
    ask: OptionsProbe = probe,
    contacts: Contacts | None = None,
) -> Discovery:
    return Discovery(database, config, clock=clock or SystemClock(), probe=ask, contacts=contacts)


def request(cidr: str, *ports: int) -> SweepRequest:
    return SweepRequest(cidr, PERSON, ports or None)


@asynccontextmanager
async def running(discovery: Discovery) -> AsyncIterator[Discovery]:
    """Keep `run()` going for the length of the block."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(discovery.run(), name="discovery")
        try:
            yield discovery
        finally:
            task.cancel()


async def test_a_sweep_finds_onvif_devices_by_a_probe_each(database: Database) -> None:
    seeded = await seed_roll(database, count=2)
    await place(database, seeded.source_ids[0], "127.0.20.1", confirmed_by="roll:li")
    await authorise(database, "127.0.20.1/32", SystemClock().now())
    contacts = SeenSources()
    discovery = discovery_of(
        database, config=DiscoveryConfig(ports=(WS_DISCOVERY,), timeout=5.0), contacts=contacts
    )
    async with ws_device("127.0.20.1", "http://127.0.20.1:8000/onvif/d", port=WS_DISCOVERY) as device:
        run = await discovery.sweep(request("127.0.20.1/32"))
    assert (run.probed, run.answered, device.probes) == (1, 1, 2)
    assert await sightings(database) == [("127.0.20.1", 8000, "matched", "fake")]
    assert contacts.seen_at.keys() == {seeded.source_ids[0]}
    [endpoint] = await rows(database, "SELECT path, confirmed_by FROM endpoint WHERE protocol = 'onvif'")
    assert tuple(endpoint.values()) == ("/onvif/d", "match:attested_host")


async def sightings(database: Database) -> list[tuple[object, ...]]:
    found = await rows(database, "SELECT host, port, state, server FROM sighting ORDER BY host, port")
    return [tuple(row.values()) for row in found]


# -- what is asked ------------------------------------------------------------------------------------------


async def test_a_network_of_4096_addresses_is_asked_whole_and_nowhere_else(database: Database) -> None:
    clock = HandClock()
    ask = RecordingProbe(clock, answers=frozenset({"10.9.16.0", "10.9.20.7", "10.9.31.255"}))
    await authorise(database, "10.9.0.0/16", clock.now(), seconds=86_400)
    config = DiscoveryConfig(rate=20, concurrency=8, ports=(554,), timeout=3.0)
    seen: list[Progress] = []
    run = await discovery_of(database, config=config, clock=clock, ask=ask).sweep(
        request("10.9.16.0/20"), notice=seen.append
    )
    assert (run.outcome, run.probed, run.total, run.answered) == (RunOutcome.FINISHED, 4096, 4096, 3)
    networks = await load_authorised(database)
    assert len(set(ask.asked)) == len(ask.asked) == 4096
    assert all(networks.covers(host, clock.now()) for host, _ in ask.asked)
    assert ask.most_under_way <= 8
    assert [row[0] for row in await sightings(database)] == ["10.9.16.0", "10.9.20.7", "10.9.31.255"]
    assert seen[-1] == Progress(run.run_id, 4096, 4096, 3)


async def test_no_second_sees_more_questions_than_the_rate(database: Database) -> None:
    clock = HandClock()
    ask = RecordingProbe(clock)
    await authorise(database, "10.9.0.0/24", clock.now())
    config = DiscoveryConfig(rate=20, concurrency=1, ports=(554,))
    await discovery_of(database, config=config, clock=clock, ask=ask).sweep(request("10.9.0.0/24"))
    assert len(ask.at) == 256
    assert all(later - at >= 1.0 - 1e-6 for at, later in zip(ask.at, ask.at[20:], strict=False))


@pytest.mark.parametrize("cidr", ["10.9.0.0/24", "127.0.0.2", "8.8.8.8/32", "10.8.0.0/19", "camera.example"])
async def test_without_a_live_authorisation_nobody_is_asked(database: Database, cidr: str) -> None:
    clock = HandClock()
    ask = RecordingProbe(clock)
    await authorise(database, "10.9.0.0/24", clock.now(), seconds=60)
    await authorise(database, "10.8.0.0/16", clock.now(), seconds=6000)
    clock.advance(60)
    with pytest.raises(SweepRefused):
        await discovery_of(database, clock=clock, ask=ask).sweep(request(cidr))
    assert ask.asked == []
    assert await list_runs(database) == []


async def test_a_sweep_ends_at_the_instant_its_authorisation_does(database: Database) -> None:
    clock = HandClock()
    ask = RecordingProbe(clock, answers=frozenset({"10.9.0.0"}))
    begun = clock.monotonic()
    await authorise(database, "10.9.0.0/24", clock.now(), seconds=5)
    config = DiscoveryConfig(rate=20, concurrency=4, ports=(554,))
    run = await discovery_of(database, config=config, clock=clock, ask=ask).sweep(request("10.9.0.0/24"))
    assert run.outcome is RunOutcome.STOPPED
    assert 4 <= len(ask.asked) < 256
    assert max(ask.at) < begun + 5
    assert len(await sightings(database)) == 1


async def test_a_revocation_by_another_process_ends_the_sweep(database: Database) -> None:
    clock = SystemClock()
    record = await authorise(database, "10.9.0.0/24", clock.now())

    async def revoke(number: int) -> None:
        if number == 5:
            await revoke_network(database, record.network_id, person=PERSON, at=clock.now())

    ask = RecordingProbe(clock, while_asking=revoke)
    config = DiscoveryConfig(rate=50, concurrency=4, ports=(554,))
    run = await discovery_of(database, config=config, ask=ask).sweep(request("10.9.0.0/24"))
    assert run.outcome is RunOutcome.STOPPED
    assert 5 <= len(ask.asked) < 256


async def test_a_device_in_quarantine_gets_options_only_and_no_neighbour_gets_anything(
    database: Database,
) -> None:
    """The promise of quarantine, on real sockets: canaries stand beside the authorised address."""
    script = Script(schemes=("SHA-256", "MD5", "Basic"), server="Kamera GmbH")
    async with AsyncExitStack() as stack:
        camera = await stack.enter_async_context(camera_at("127.9.9.2", script))
        canaries = [
            await stack.enter_async_context(camera_at(host, port=camera.port))
            for host in ("127.9.9.1", "127.9.9.3", "127.0.0.1")
        ]
        same_host = await stack.enter_async_context(camera_at("127.9.9.2"))
        await authorise(database, "127.9.9.2/32", SystemClock().now())
        run = await discovery_of(database).sweep(request("127.9.9.2", camera.port))
        assert (run.outcome, run.probed, run.answered) == (RunOutcome.FINISHED, 1, 1)
        assert [seen.method for seen in camera.seen] == ["OPTIONS"]
        assert "authorization" not in camera.seen[0].headers
        assert [canary.connections for canary in (*canaries, same_host)] == [0, 0, 0, 0]
    assert await sightings(database) == [("127.9.9.2", camera.port, "quarantined", "Kamera GmbH")]


@pytest.mark.parametrize(
    "answer",
    [
        b'RTSP/1.0 401 Unauthorized\r\nCSeq: {cseq}\r\nWWW-Authenticate: Basic realm="x"\r\n\r\n',
        b"RTSP/1.0 404 Not Found\r\nCSeq: {cseq}\r\n\r\n",
        b"RTSP/1.0 501 Not Implemented\r\nCSeq: {cseq}\r\n\r\n",
        b"RTSP/1.0 302 Moved\r\nCSeq: {cseq}\r\nLocation: rtsp://127.9.9.3:%d/\r\n\r\n",
    ],
)
async def test_a_challenge_or_redirect_is_an_answer_and_is_not_followed(
    database: Database, answer: bytes
) -> None:
    async with camera_at("127.9.9.3") as canary:
        script = Script(answers={"OPTIONS": answer.replace(b"%d", str(canary.port).encode())})
        async with camera_at("127.9.9.2", script) as camera:
            await authorise(database, "127.9.9.2", SystemClock().now())
            run = await discovery_of(database).sweep(request("127.9.9.2", camera.port))
            assert run.answered == 1
            assert camera.methods() == ["OPTIONS"]
            assert "authorization" not in camera.seen[0].headers
        assert canary.connections == 0


async def test_silent_half_and_foreign_peers_are_no_sightings_and_disturb_no_neighbour(
    database: Database,
) -> None:
    async def speak(words: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(words)
        await writer.drain()
        writer.close()

    async with AsyncExitStack() as stack:
        odd = [
            Script(silent=frozenset({"OPTIONS"})),
            Script(half=frozenset({"OPTIONS"})),
            Script(drops=frozenset({"OPTIONS"})),
            Script(answers={"OPTIONS": b"HTTP/1.1 400 Bad Request\r\n\r\n"}),
            Script(answers={"OPTIONS": b"RTSP/1.0 200 OK\r\nX: " + b"x" * 200_000}),
            Script(answers={"OPTIONS": b"RTSP/1.0 200 OK\r\nCSeq: 77\r\n\r\n"}),
        ]
        peers = [await stack.enter_async_context(camera_at("127.9.9.2", script)) for script in odd]
        banner = await asyncio.start_server(lambda _, writer: speak(b"SSH-2.0-x\r\n", writer), "127.9.9.2", 0)
        await stack.enter_async_context(banner)
        good = await stack.enter_async_context(camera_at("127.9.9.2"))
        ports = [*(peer.port for peer in peers), banner.sockets[0].getsockname()[1], good.port]
        await authorise(database, "127.9.9.2", SystemClock().now())
        config = DiscoveryConfig(rate=1000, timeout=0.5)
        run = await discovery_of(database, config=config).sweep(request("127.9.9.2", *ports))
    assert (run.outcome, run.probed, run.answered) == (RunOutcome.FINISHED, 8, 1)
    assert await sightings(database) == [("127.9.9.2", good.port, "quarantined", "Fake camera")]


async def test_an_attested_source_that_answers_counts_as_seen_and_others_do_not(database: Database) -> None:
    seeded = await seed_roll(database, count=3)
    contacts = SeenSources()
    async with camera_at("127.9.9.2") as camera:
        await place(database, seeded.source_ids[0], "127.9.9.2", camera.port, confirmed_by="roll:someone")
        await place(database, seeded.source_ids[1], "127.9.9.2", camera.port + 1, confirmed_by="roll:someone")
        await authorise(database, "127.9.9.2", SystemClock().now())
        begun = time.monotonic()
        await discovery_of(database, contacts=contacts).sweep(request("127.9.9.2", camera.port))
    assert list(contacts.seen_at) == [seeded.source_ids[0]]
    assert begun <= contacts.seen_at[seeded.source_ids[0]] <= time.monotonic()
    assert await sightings(database) == [("127.9.9.2", camera.port, "matched", "Fake camera")]


# -- how runs are led ---------------------------------------------------------------------------------------


@dataclass
class Standstill:
    """A probe that waits until it is let go."""

    go: asyncio.Event = field(default_factory=asyncio.Event)
    asked: list[str] = field(default_factory=list)

    async def __call__(self, target: RtspTarget, *, describe: bool, timeout: float) -> Answered:  # noqa: ASYNC109
        self.asked.append(target.host)
        await self.go.wait()
        return Answered()


async def ended(database: Database, run_id: int) -> Run:
    async def is_over() -> bool:
        return (await get_run(database, run_id)).outcome is not RunOutcome.RUNNING

    await eventually(is_over, what=f"the end of run {run_id}")
    return await get_run(database, run_id)


async def test_the_gateway_leads_a_bounded_number_of_sweeps_in_the_background(database: Database) -> None:
    await authorise(database, "10.9.0.0/16", SystemClock().now())
    ask = Standstill()
    async with running(discovery_of(database, ask=ask)) as discovery:
        first = await discovery.start(request("10.9.1.0/30"))
        second = await discovery.start(request("10.9.2.0/30"))
        with pytest.raises(SweepRefused) as caught:
            await discovery.start(request("10.9.3.0/30"))
        assert caught.value.cause == "busy"
        assert len(await list_runs(database)) == MAX_RUNS == 2
        ask.go.set()
        assert [(await ended(database, run)).outcome for run in (first, second)] == [RunOutcome.FINISHED] * 2

        async def is_free() -> bool:
            try:
                return bool(await discovery.start(request("10.9.3.0/30")))
            except SweepRefused:
                return False

        await eventually(is_free, what="a free place")
    assert not any(host.startswith("10.9.3.") for host in ask.asked[:8])


async def test_addresses_being_swept_are_not_swept_a_second_time(database: Database) -> None:
    await authorise(database, "10.9.0.0/16", SystemClock().now())
    ask = Standstill()
    async with running(discovery_of(database, ask=ask)) as discovery:
        run_id = await discovery.start(request("10.9.1.0/24"))
        with pytest.raises(SweepRefused, match=f"run {run_id}"):
            await discovery_of(database, ask=ask).sweep(request("10.9.1.128/25"))


async def test_a_refusal_reaches_who_asked_and_the_gateway_goes_on(database: Database) -> None:
    await authorise(database, "10.9.0.0/16", SystemClock().now())
    async with running(discovery_of(database, ask=RecordingProbe(SystemClock()))) as discovery:
        with pytest.raises(SweepRefused, match="no live authorisation"):
            await discovery.start(request("10.10.0.0/24"))
        run_id = await discovery.start(request("10.9.1.0/30"))
        assert (await ended(database, run_id)).outcome is RunOutcome.FINISHED


async def test_a_sweep_is_stopped_by_the_process_that_leads_it(database: Database) -> None:
    await authorise(database, "10.9.0.0/16", SystemClock().now())
    async with running(discovery_of(database, ask=Standstill())) as discovery:
        run_id = await discovery.start(request("10.9.1.0/24"))
        assert await discovery.stop(run_id, person=PERSON)
        assert (await ended(database, run_id)).outcome is RunOutcome.STOPPED
        assert not await discovery.stop(run_id, person=PERSON)


async def test_a_sweep_is_stopped_by_any_other_process(database: Database) -> None:
    clock = SystemClock()
    await authorise(database, "10.9.0.0/16", clock.now())
    ask = Standstill()
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        task = group.create_task(discovery_of(database, ask=ask).sweep(request("10.9.1.0/24")), name="sweep")
        await eventually(lambda: bool(ask.asked), what="the first question")
        (run,) = await list_runs(database)
        assert await stop_run(database, run.run_id, person=PERSON, at=clock.now())
        assert (await task).outcome is RunOutcome.STOPPED


async def test_a_cancelled_sweep_is_on_record_as_stopped(database: Database) -> None:
    await authorise(database, "10.9.0.0/16", SystemClock().now())
    ask = Standstill()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(discovery_of(database, ask=ask).sweep(request("10.9.1.0/24")), name="sweep")
        await eventually(lambda: bool(ask.asked), what="the first question")
        task.cancel()
    (run,) = await list_runs(database)
    assert run.outcome is RunOutcome.STOPPED
    assert run.finished_at is not None


async def test_a_bug_in_one_sweep_fails_it_and_leaves_the_next_alone(database: Database) -> None:
    await authorise(database, "10.9.0.0/16", SystemClock().now())

    async def stumble(number: int) -> None:
        if number == 1:
            raise KeyError("a bug")

    ask = RecordingProbe(SystemClock(), while_asking=stumble)
    async with running(discovery_of(database, ask=ask)) as discovery:
        broken = await discovery.start(request("10.9.1.0/30"))
        assert (await ended(database, broken)).outcome is RunOutcome.FAILED
        healthy = await discovery.start(request("10.9.2.0/30"))
        assert (await ended(database, healthy)).outcome is RunOutcome.FINISHED


async def test_old_sightings_are_forgotten_at_the_start(database: Database) -> None:
    clock = HandClock()
    async with database.raw_connection() as connection:
        await connection.execute(
            "INSERT INTO sighting (protocol, host, port, first_seen_at, last_seen_at) "
            "VALUES ('rtsp', '10.9.0.1', 554, $1, $1), ('rtsp', '10.9.0.2', 554, $2, $2)",
            clock.now().replace(year=2025),
            clock.now(),
        )

    async def is_gone() -> bool:
        return [row[0] for row in await sightings(database)] == ["10.9.0.2"]

    async with running(discovery_of(database)):
        await eventually(is_gone, what="the old sighting")
