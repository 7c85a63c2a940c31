"""The trial keeps its children, ends with them and touches no stranger."""

import asyncio
import os
import signal
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.cli.trial import TrialFailed, only_one, read_cameras, write_private
from gateway.cli.trial_child import Child, ChildFailed, end_leftovers, keep_child
from tests.waiting import eventually

HEADINGS = (
    "unit,system,site,class,location_type,civil_code,gb_id,host,port,rtsp_path,mac,serial,credential_ref,"
    "connect_due_date,basis,address_attested"
)


def child(folder: Path, script: str, **options: object) -> Child:
    return Child("child", ("sh", "-c", script), folder, returns_after=0.01, **options)  # type: ignore[arg-type]


class Notes:
    """What the keeper tells."""

    def __init__(self) -> None:
        self.started = 0
        self.ended: list[str] = []

    def note_start(self) -> None:
        self.started += 1


@asynccontextmanager
async def kept(kept_child: Child) -> AsyncIterator[Notes]:
    """Keep a child while the context is open."""
    notes = Notes()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(keep_child(kept_child, started=notes.note_start, ended=notes.ended.append))
        yield notes
        task.cancel()


def running(pid: int) -> bool:
    """Tell whether a process lives; a dead one that nobody has waited for does not."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def test_a_killed_child_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "child.pid"
    async with kept(child(tmp_path, "echo ready; exec sleep 60", ready="ready")) as notes:
        await eventually(lambda: notes.started == 1, what="the first start")
        os.kill(int(path.read_text()), signal.SIGKILL)
        await eventually(lambda: notes.started == 2, what="the second start")
        assert notes.ended == ["was ended by SIGKILL"]
        second = int(path.read_text())
    assert not running(second)
    assert not path.exists()


async def test_a_child_that_fails_by_itself_is_not_started_again(tmp_path: Path) -> None:
    failing = child(tmp_path, "echo cannot listen; exit 3")
    with pytest.raises(ChildFailed, match=r"(?s)exit code 3.*cannot listen"):
        await keep_child(failing, started=lambda: None, ended=lambda how: None)


async def test_every_line_is_told_and_logged(tmp_path: Path) -> None:
    lines: list[str] = []
    async with kept(child(tmp_path, "echo one; echo two; exec sleep 60", on_line=lines.append)):
        await eventually(lambda: lines == ["one", "two"], what="both lines")
    assert (tmp_path / "child.log").read_text() == "one\ntwo\n"


async def test_what_an_earlier_trial_left_is_ended(tmp_path: Path) -> None:
    async with kept(child(tmp_path, "exec sleep 60")) as notes:
        await eventually(lambda: notes.started == 1, what="the start")
        pid = int((tmp_path / "child.pid").read_text())
        assert await end_leftovers(tmp_path) == ["child"]
        await eventually(lambda: not running(pid), what="its end")


async def test_a_stranger_with_the_same_number_is_left_alone(tmp_path: Path) -> None:
    stranger = await asyncio.create_subprocess_exec("sleep", "60")
    try:
        (tmp_path / "child.pid").write_text(f"{stranger.pid}\n")
        (tmp_path / "child.started").write_text("1")
        assert await end_leftovers(tmp_path) == []
        assert running(stranger.pid)
        assert names(tmp_path) == []
    finally:
        stranger.kill()
        await stranger.wait()


def test_the_trials_cameras_are_the_rolls_rows_on_this_machine(tmp_path: Path) -> None:
    roll = tmp_path / "roll.csv"
    roll.write_text(
        f"{HEADINGS}\n"
        "u,s,a,c,l,990101,34020000001320000001,127.0.0.1,18554,/live,,,trial-camera,2026-01-01,WX-21.1,yes\n"
        "u,s,b,c,l,990101,34020000001320000002,10.0.0.9,554,/live,,,,2026-01-01,WX-21.1,no\n",
        encoding="utf-8",
    )
    civil_code, cameras = read_cameras(roll)
    assert civil_code == "990101"
    found = [(camera.code, camera.port, camera.path, camera.credential_ref) for camera in cameras]
    assert found == [("34020000001320000001", 18554, "/live", "trial-camera")]


def test_a_second_trial_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    with only_one(tmp_path), pytest.raises(TrialFailed, match="runs already"), only_one(tmp_path):
        pass
    with only_one(tmp_path):
        pass


def test_private_files_are_private_from_the_first_byte(tmp_path: Path) -> None:
    path = tmp_path / "operator.token"
    write_private(path, "one", replace=False)
    write_private(path, "two", replace=False)
    assert path.read_text() == "one"
    write_private(path, "two", replace=True)
    assert path.read_text() == "two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
