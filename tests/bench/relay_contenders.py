"""Who carries the streams: Muster, `ffmpeg -c copy`, peers given by path, and nobody at all."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import ClassVar, Final, Protocol

from tests.bench.relay_cases import Case
from tests.bench.relay_muster import PASSWORD, USERNAME, MusterOptions, source_code
from tests.bench.relay_peers import Peer
from tests.bench.relay_processes import running, talking
from tests.bench.relay_takers import Pull
from tests.fakes.certificates import Certificate

FFMPEG_STREAMS: Final = 8
"""ffmpeg is one process a stream; more of them tell nothing new and take all memory."""


@dataclass(frozen=True)
class Work:
    """One case, ready to be done."""

    case: Case
    streams: int
    source_port: int
    sink_port: int
    certificate: Certificate | None
    folder: Path

    @property
    def scheme(self) -> str:
        return "rtsp" if self.certificate is None else "rtsps"

    @property
    def pin(self) -> str:
        return "" if self.certificate is None else self.certificate.pin_sha256

    def pulls(
        self, port: int, path: Callable[[int], str], username: str = "", password: str = ""
    ) -> list[Pull]:
        """Return the readers of all streams, served at `port` under the path of each source's number."""
        return [
            Pull(source, "127.0.0.1", port, path(source), username, password, self.pin)
            for source in range(self.streams)
            for _ in range(max(1, self.case.readers))
        ]


@dataclass
class Running:
    """A contender at work."""

    pids: list[int] = field(default_factory=list)
    "Its processes; their children count as well."
    pulls: list[Pull] = field(default_factory=list)
    "Whom the readers shall pull; none where it pushes."
    dropped: Callable[[], Awaitable[int | None]] | None = None
    "Pictures that it says it dropped so far; Muster's counters are up to a second old."


class Contender(Protocol):
    """Somebody who can do the work of a case."""

    @property
    def name(self) -> str:
        """Return how it is called in the report."""
        ...

    def streams(self, case: Case) -> int:
        """Return how many of the case's streams it takes, 0 when it cannot do the case."""
        ...

    def run(self, work: Work) -> AbstractAsyncContextManager[Running | None]:
        """Do the work; None: it turned out that it cannot."""
        ...


class Muster:
    """The relay manager in a process of its own, with its workers."""

    name: ClassVar = "muster"

    def __init__(self, workers: int) -> None:
        self._workers = workers

    def streams(self, case: Case) -> int:
        return case.streams

    @asynccontextmanager
    async def run(self, work: Work) -> AsyncIterator[Running | None]:
        options = MusterOptions(
            work.streams,
            work.source_port,
            0 if work.case.readers else work.sink_port,
            work.case.udp,
            work.pin,
            self._workers,
            work.case.program_stream,
        )
        async with talking("relay_muster") as muster:
            muster.tell(asdict(options))
            port = await muster.read()
            if work.case.readers and port is None:
                yield None
                return

            async def dropped() -> int:
                return int((await muster.ask("counters"))["dropped"])

            pulls: list[Pull] = []
            if work.case.readers:
                pulls = work.pulls(port, lambda source: f"/{source_code(source)}", USERNAME, PASSWORD)
            yield Running([muster.pid], pulls, dropped)


class Ffmpeg:
    """`ffmpeg -c copy`, a process a stream; serves no readers."""

    name: ClassVar = "ffmpeg"

    def streams(self, case: Case) -> int:
        # Slow sinks cannot cost the others anything here: no two streams share a process.
        # It takes a program stream in RTP from nobody whom it would have to invite.
        return 0 if case.readers or case.slow or case.program_stream else min(case.streams, FFMPEG_STREAMS)

    @asynccontextmanager
    async def run(self, work: Work) -> AsyncIterator[Running | None]:
        async with AsyncExitStack() as stack:
            pids = []
            for number in range(work.streams):
                process = await stack.enter_async_context(
                    running(
                        *("ffmpeg", "-nostdin", "-loglevel", "quiet"),
                        *("-rtsp_transport", "udp" if work.case.udp else "tcp"),
                        *("-analyzeduration", "1000000"),
                        *("-i", f"{work.scheme}://127.0.0.1:{work.source_port}/{number}"),
                        *("-c", "copy", "-f", "rtsp", "-rtsp_transport", "tcp"),
                        f"{work.scheme}://127.0.0.1:{work.sink_port}/{number}",
                    )
                )
                pids.append(process.pid)
            yield Running(pids)


class Served:
    """A peer that pulls the sources and serves readers; in a case of sinks one reader takes a sink's place."""

    def __init__(self, peer: Peer, program: Path) -> None:
        self.name = peer.name
        self._peer = peer
        self._program = program

    def streams(self, case: Case) -> int:
        can = (self._peer.takes_udp or not case.udp) and (self._peer.has_tls or not case.tls)
        return case.streams if can and not case.program_stream else 0

    @asynccontextmanager
    async def run(self, work: Work) -> AsyncIterator[Running | None]:
        peer = self._peer
        sources = {
            f"s{number}": f"{work.scheme}://127.0.0.1:{work.source_port}/{number}"
            for number in range(work.streams)
        }
        files = peer.configure(work.folder, sources, work.certificate, udp=work.case.udp)
        command = (str(self._program), *files.arguments)
        async with running(*command, folder=work.folder) as process:
            await peer.add(files, sources, udp=work.case.udp)
            yield Running([process.pid], work.pulls(files.port, lambda number: f"{files.prefix}s{number}"))


class Direct:
    """Nobody: readers pull the sources themselves. What the two ends cost and delay by themselves."""

    name: ClassVar = "direct"

    def streams(self, case: Case) -> int:
        return 0 if case.udp or case.program_stream else case.streams

    @asynccontextmanager
    async def run(self, work: Work) -> AsyncIterator[Running | None]:
        await asyncio.sleep(0)
        yield Running([], work.pulls(work.source_port, lambda source: f"/{source}"))
