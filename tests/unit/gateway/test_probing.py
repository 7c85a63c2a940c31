"""Probes against a fake camera on loopback: what counts as an answer, as a miss, and as neither."""

import asyncio
from dataclasses import dataclass, field

from adapters.base import RtspTarget
from gateway.clock import SystemClock
from gateway.liveness import Liveness, LivenessRules
from gateway.metrics import Metrics
from gateway.probing import ProbeLimits, Prober
from tests.waiting import eventually


@dataclass
class Outcomes:
    """Writes down what the probes found."""

    facts: list[tuple[str, int]] = field(default_factory=list)
    causes: list[str] = field(default_factory=list)

    def alive(self, source_id: int, *, at: float) -> None:
        self.facts.append(("alive", source_id))

    def missed(self, source_id: int, *, at: float, cause: str) -> None:
        self.facts.append(("missed", source_id))
        self.causes.append(cause)

    def seen(self, source_id: int, *, at: float) -> None:
        self.facts.append(("seen", source_id))

    def unseen(self, source_id: int, *, at: float) -> None:
        self.facts.append(("unseen", source_id))


class Room:
    """A prober over sources 1, 2, … with their targets."""

    def __init__(self, *targets: RtspTarget | None, limits: ProbeLimits | None = None) -> None:
        clock = SystemClock()
        self.liveness = Liveness(LivenessRules(probe_interval=0.01), started=clock.monotonic())
        self.outcomes = Outcomes()
        self.metrics = Metrics()
        targets_by_id = dict(enumerate(targets, start=1))
        for source_id in targets_by_id:
            self.liveness.track(source_id, connected=True, down=False, now=clock.monotonic())
        self.prober = Prober(
            self.liveness,
            self.outcomes,
            targets_by_id.__getitem__,
            clock,
            self.metrics,
            limits or ProbeLimits(timeout=2.0),
        )

    async def until(self, *facts: tuple[str, int]) -> None:
        """Run the prober until these facts were told."""
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.prober.run())
            await eventually(lambda: set(facts) <= set(self.outcomes.facts))
            task.cancel()

    def counted(self, result: str) -> float:
        found = self.metrics.registry.get_sample_value("muster_probes_total", {"result": result})
        return found or 0.0


async def camera(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers OPTIONS."""
    request = await reader.readuntil(b"\r\n\r\n")
    cseq = next(line for line in request.split(b"\r\n") if line.lower().startswith(b"cseq"))
    writer.write(b"RTSP/1.0 200 OK\r\n" + cseq + b"\r\nPublic: OPTIONS, DESCRIBE\r\n\r\n")
    await writer.drain()
    writer.close()


async def closed_port() -> RtspTarget:
    server = await asyncio.start_server(camera, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return RtspTarget("127.0.0.1", port, "/")


async def test_an_answer_is_a_sign_of_life_and_a_refused_connection_a_miss() -> None:
    async with await asyncio.start_server(camera, "127.0.0.1", 0) as server:
        there = RtspTarget("127.0.0.1", server.sockets[0].getsockname()[1], "/")
        room = Room(there, await closed_port())
        await room.until(("alive", 1), ("missed", 2))

    assert ("missed", 1) not in room.outcomes.facts
    assert ("alive", 2) not in room.outcomes.facts
    assert room.counted("answered") >= 1


async def test_a_source_without_an_address_that_may_be_asked_is_not_asked() -> None:
    room = Room(None, await closed_port())
    await room.until(("missed", 2))

    assert {source_id for _, source_id in room.outcomes.facts} == {2}


async def test_a_probe_that_our_own_side_keeps_from_leaving_is_no_miss() -> None:
    refused = await closed_port()
    elsewhere = RtspTarget("127.0.0.2", refused.port, "/")
    faults = {"127.0.0.1": "interface eth1 is down"}
    room = Room(refused, elsewhere, limits=ProbeLimits(timeout=2.0, own_fault=faults.get))
    await room.until(("missed", 2), ("unseen", 1))

    assert ("missed", 1) not in room.outcomes.facts
    assert room.counted("own_fault") >= 1


async def test_a_source_whose_path_is_lost_is_not_asked_at_all() -> None:
    asked: list[str] = []

    async def stranger(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append("asked")
        writer.close()

    async with await asyncio.start_server(stranger, "127.0.0.1", 0) as server:
        behind = RtspTarget("127.0.0.1", server.sockets[0].getsockname()[1], "/")
        room = Room(behind, limits=ProbeLimits(timeout=2.0, is_lost={"127.0.0.1"}.__contains__))
        await room.until(("unseen", 1))

    assert asked == []


async def test_a_bug_of_ours_with_one_source_is_no_miss_and_stops_no_other_probe() -> None:
    async with await asyncio.start_server(camera, "127.0.0.1", 0) as server:
        there = RtspTarget("127.0.0.1", server.sockets[0].getsockname()[1], "/")
        # A host that no part of the program lets in: the socket's own ValueError stands for any bug.
        room = Room(RtspTarget("127.0.0.1\0", 554, "/"), there)
        await room.until(("unseen", 1), ("alive", 2))

    assert ("missed", 1) not in room.outcomes.facts
    assert room.counted("own_fault") >= 1
