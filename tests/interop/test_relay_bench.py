"""The relay's benchmark works from end to end; nothing here judges speed."""

from pathlib import Path

import pytest

from tests.bench.relay import Windows, run_case
from tests.bench.relay_cases import Case
from tests.bench.relay_contenders import Contender, Direct, Ffmpeg, Muster
from tests.bench.relay_report import Results, print_case, print_ratios
from tests.bench.relay_source import Mode

pytestmark = pytest.mark.interop


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
