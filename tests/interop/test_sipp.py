"""sipp, a SIP load generator that nobody here wrote, registers as hundreds of devices."""

import asyncio
from pathlib import Path

import pytest

from adapters.gb28181.registration import Refusal
from tests.fakes.gb_superior import PASSWORD, Listened, listening
from tests.fakes.ws_device import free_udp_port

pytestmark = pytest.mark.interop

SCENARIOS = Path(__file__).parents[1] / "data" / "sip"
DEVICES = [f"3402000000132{number:07d}" for number in range(1, 301)]


async def sipp(
    folder: Path, port: int, scenario: str, devices: list[str], *, password: str = PASSWORD, over: str = "u1"
) -> tuple[int, str]:
    """Let sipp play a scenario once for each device; return its exit code (0: all as expected) and its words."""
    lines = ["SEQUENTIAL"]
    lines += [f"{code};[authentication username={code} password={password}];" for code in devices]
    (folder / "devices.csv").write_text("\n".join(lines) + "\n", encoding="ascii")
    process = await asyncio.create_subprocess_exec(
        *("sipp", f"127.0.0.1:{port}", "-i", "127.0.0.1", "-p", str(free_udp_port()), "-t", over, "-nostdin"),
        *("-sf", str(SCENARIOS / scenario), "-inf", "devices.csv", "-m", str(len(devices)), "-r", "200"),
        *("-timeout", "40", "-timeout_error", "-recv_timeout", "20000", "-max_socket", "2000"),
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode("utf-8", "replace")[-2_000:]


def port_of(server: Listened, over: str) -> int:
    return server.tcp_port if over.startswith("t") else server.udp_port


@pytest.mark.parametrize("over", ["u1", "t1", "un"])
async def test_devices_register_and_keep_alive(tmp_path: Path, over: str) -> None:
    async with listening(dict.fromkeys(DEVICES, PASSWORD)) as server:
        code, words = await sipp(tmp_path, port_of(server, over), "register.xml", DEVICES, over=over)
        assert code == 0, words
        assert {each.device_id for each in server.superior.present()} == set(DEVICES)
        assert len(server.noted.keepalives) == len(DEVICES)
        assert all(keepalive.is_well for _, keepalive in server.noted.keepalives)
        assert {presence.version for presence, _ in server.noted.registrations} == {"3.0"}


async def test_a_wrong_password_registers_nobody(tmp_path: Path) -> None:
    # Fewer than one address may have wrong at once.
    devices = DEVICES[:10]
    async with listening(dict.fromkeys(DEVICES, PASSWORD)) as server:
        code, words = await sipp(tmp_path, server.udp_port, "refused.xml", devices, password="wrong-password")
        assert code == 0, words
        assert server.superior.present() == []
        assert [each.why for each in server.noted.refusals] == [Refusal.WRONG_PASSWORD] * len(devices)


async def test_unknown_devices_are_told_to_the_quarantine(tmp_path: Path) -> None:
    devices = DEVICES[:5]
    async with listening({}) as server:
        code, words = await sipp(tmp_path, server.udp_port, "refused.xml", devices)
        assert code == 0, words
        assert server.superior.present() == []
        assert {each.why for each in server.noted.refusals} == {Refusal.UNKNOWN_DEVICE}
        assert {each.device_id for each in server.noted.refusals} == set(devices)
