"""The relay's benchmark works from end to end; nothing here judges speed."""

import dataclasses
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pytest

from tests.bench.relay import Windows, run_case, started
from tests.bench.relay_cases import Case
from tests.bench.relay_contenders import Contender, Direct, Ffmpeg, Muster, Served
from tests.bench.relay_peers import Files, free_port, listening
from tests.bench.relay_report import Results, print_case, print_ratios
from tests.bench.relay_source import Mode
from tests.bench.relay_takers import Pull, TakerOptions
from tests.fakes.certificates import Certificate
from tests.fakes.rtsp_server import Script, fake_rtsp_server
from tests.waiting import eventually

pytestmark = pytest.mark.interop

FORWARD = """
import asyncio, sys

async def copy(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()

async def serve(reader, writer):
    theirs = await asyncio.open_connection("127.0.0.1", int(sys.argv[2]))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(copy(reader, theirs[1]))
        tasks.create_task(copy(theirs[0], writer))

async def main():
    await (await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]))).serve_forever()

asyncio.run(main())
"""


class Forwarder:
    """A peer by path, as small as one can be: forwards bytes to the one source."""

    name: ClassVar = "forwarder"
    takes_udp: ClassVar = False
    has_tls: ClassVar = False

    def configure(
        self, folder: Path, sources: Mapping[str, str], certificate: Certificate | None, *, udp: bool
    ) -> Files:
        port, theirs = free_port(), sources["s0"].split(":")[-1].partition("/")[0]
        return Files(("-c", FORWARD, str(port), theirs), port)

    async def add(self, files: Files, sources: Mapping[str, str], *, udp: bool) -> None:
        await listening(files.port)


async def run(case: Case, *contenders: Contender, folder: Path) -> Results:
    return await run_case(case, contenders, Windows(seconds=2.0, rounds=1), folder)


async def test_muster_brings_two_streams_to_their_sinks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = Case("tiny", 2, bitrate=500_000)
    results = await run(case, Muster(1), folder=tmp_path)
    (window,) = results["muster"]
    assert (window.arrived.missing, window.arrived.foreign) == (0, 0)
    assert window.arrived.pictures > 0
    assert window.processes == 2
    print_case(case, results)
    print_ratios({case.name: results})
    assert " 0 missing, 0 dropped, 0 foreign" in capsys.readouterr().out


async def test_a_reader_pulls_and_a_contender_without_a_server_is_left_out(tmp_path: Path) -> None:
    results = await run(Case("tiny", 2, Mode.PACKET, readers=1), Direct(), Ffmpeg(), folder=tmp_path)
    assert list(results) == ["direct"]
    (window,) = results["direct"]
    assert window.arrived.pictures > 0
    assert window.arrived.foreign == 0


async def test_a_peer_given_by_path_serves_readers_where_muster_pushes(tmp_path: Path) -> None:
    peer = Served(Forwarder(), Path(sys.executable))
    results = await run(Case("tiny", 1), peer, folder=tmp_path)
    (window,) = results["forwarder"]
    assert window.arrived.pictures > 0
    assert (window.arrived.missing, window.arrived.foreign, window.processes) == (0, 0, 1)


async def test_a_reader_answers_digest() -> None:
    script = Script(("SHA-256",))
    async with fake_rtsp_server(script) as server, started("relay_takers", str(TakerOptions())) as (taker, _):
        pull = Pull(0, "127.0.0.1", server.port, "/source-0", script.username, script.password)
        await taker.ask("pull", [dataclasses.asdict(pull)])
        await eventually(lambda: any(seen.method == "PLAY" for seen in server.seen), what="PLAY")
        assert server.refused == 0
        assert (await taker.ask("report"))["failures"] == []
