"""Virtual GB/T 28181 devices beside an installation, as a user would set both up."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from adapters.simulator.gb_device import GbDevice, VirtualGbDevice, clip_maker
from catalog.model.secret import Secret
from tests.gateway_process import PERSON, MusterProcess

OWN_ID = "99010000002000000001"
PASSWORD = "Example-Pass-1"


def settings(port: int, extra: str = "") -> str:
    """The section that switches GB/T 28181 on, over UDP and TCP on one port of loopback."""
    return f"""
[gb28181]
enabled = true
id = "{OWN_ID}"
udp_port = {port}
tcp_port = {port}
catalog_interval = 10
{extra}
"""


async def add_device(
    muster: MusterProcess,
    device_id: str,
    *,
    password: str = PASSWORD,
    media: str = "tcp_passive",
    stream: str = "main",
) -> None:
    """Make the account of a device by the command line."""
    file = muster.folder / "device-password"
    file.write_text(f"{password}\n", encoding="utf-8")
    options = ("--password-file", str(file), "--media", media, "--stream", stream, "--person", PERSON)
    await muster.run("gb28181", "add", device_id, *options)


@dataclass
class Running:
    """Devices that run, by their codes."""

    devices: dict[str, GbDevice]
    tasks: dict[str, asyncio.Task[None]]

    def __getitem__(self, device_id: str) -> GbDevice:
        return self.devices[device_id]

    async def kill(self, device_id: str) -> None:
        """Let a device be gone without a word."""
        task = self.tasks.pop(device_id)
        task.cancel()
        await asyncio.wait((task,))


@asynccontextmanager
async def running(devices: Sequence[VirtualGbDevice]) -> AsyncIterator[Running]:
    """Let devices run for the length of the block."""
    pictures = clip_maker()
    played = {each.device_id: GbDevice(each, pictures) for each in devices}
    async with asyncio.TaskGroup() as group:
        tasks = {code: group.create_task(each.run()) for code, each in played.items()}
        try:
            yield Running(played, tasks)
        finally:
            for task in tasks.values():
                task.cancel()


def secret(text: str = PASSWORD) -> Secret:
    return Secret(text)
