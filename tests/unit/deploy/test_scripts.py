"""The commands of deploy/ say what is missing and end with their documented codes."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
SCRIPTS = [DEPLOY / "run", DEPLOY / "test", DEPLOY / "prepare.sh", ROOT / ".ci" / "run"]


def program(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.fixture
def bare_machine(tmp_path: Path) -> Path:
    """A PATH on which no Debian package is installed and nobody may install one."""
    program(tmp_path, "dpkg-query", "exit 1")
    program(tmp_path, "id", "echo 1000")
    program(tmp_path, "sudo", "exit 1")
    program(tmp_path, "apt-get", 'echo "must not be called" >&2; exit 1')
    return tmp_path


def run(path: Path, *arguments: str, first: Path | None = None, cwd: Path = ROOT) -> tuple[int, str]:
    """Run a script with `first` before the rest of PATH; return its code and all it wrote."""
    search = os.environ["PATH"] if first is None else f"{first}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", str(path), *arguments],
        cwd=cwd,
        env={**os.environ, "PATH": search},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=30,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_the_script_is_sound_bash(script: Path) -> None:
    assert run(Path("-n"), str(script)) == (0, "")


def test_help_comes_from_any_folder(tmp_path: Path) -> None:
    code, output = run(DEPLOY / "run", "--help", cwd=tmp_path)
    assert code == 0
    assert "--config FILE" in output
    assert "Exit codes" in output


@pytest.mark.parametrize("arguments", [["--nonsense"], ["--config"], ["--config", "/nowhere/muster.toml"]])
def test_wrong_arguments_end_with_2(arguments: list[str]) -> None:
    assert run(DEPLOY / "run", *arguments)[0] == 2


@pytest.mark.parametrize("script", ["run", "test"])
def test_missing_packages_are_named_with_the_command_to_install_them(script: str, bare_machine: Path) -> None:
    code, output = run(DEPLOY / script, first=bare_machine)
    assert code == 10
    assert re.search(r"sudo apt-get update && sudo apt-get install -y .*gir1.2-gst-rtsp-server-1.0", output)
    assert "must not be called" not in output


def test_a_failing_installation_is_shown_and_ends_with_10(bare_machine: Path) -> None:
    program(bare_machine, "id", "echo 0")
    program(bare_machine, "apt-get", 'echo "no route to the mirror" >&2; exit 100')
    code, output = run(DEPLOY / "run", first=bare_machine)
    assert code == 10
    assert "no route to the mirror" in output


def test_no_python_that_fits_ends_with_11(bare_machine: Path) -> None:
    program(bare_machine, "dpkg-query", "echo installed")
    for name in ("python3.11", "python3.12", "python3.13", "python3"):
        program(bare_machine, name, "exit 1")
    # Debian's own stands at a fixed place; a copy of the script that looks elsewhere has none.
    copy = bare_machine / "deploy"
    copy.mkdir()
    (copy / "run").write_text((DEPLOY / "run").read_text())
    text = (DEPLOY / "prepare.sh").read_text().replace("/usr/bin/python3", "/nowhere/python3")
    (copy / "prepare.sh").write_text(text)
    code, output = run(copy / "run", first=bare_machine)
    assert (code, output) == (11, "[muster] needs Python 3.11, 3.12 or 3.13, and found none\n")


def test_the_continuous_integration_calls_the_test_command_alone() -> None:
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    assert lines[1:] == ['exec bash "$(dirname -- "${BASH_SOURCE[0]}")/../deploy/test"']


def test_the_unit_starts_what_the_install_command_makes() -> None:
    unit = (DEPLOY / "muster.service").read_text()
    assert "ExecStart=/opt/muster/.venv/bin/muster serve --config /etc/muster/muster.toml" in unit
    assert "StateDirectory=muster" in unit
