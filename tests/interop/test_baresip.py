"""baresip, a telephone that nobody here wrote, registers as a device, calls us and is called."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from adapters.base import SourceKey
from adapters.gb28181.registration import Refusal
from catalog.model.plan import MediaWay
from gateway.gb28181.calls import Calls
from gateway.relay.protocol import MediaOffered, OfferAnswered, OfferRefused
from gateway.relay.spec import Invitation
from tests.fakes.gb_superior import OWN_ID, PASSWORD, Listened, listening
from tests.gateway_process import free_port
from tests.waiting import eventually

pytestmark = pytest.mark.interop

TELEPHONE = "34020000001320000001"
ONE = SourceKey(1)
CONFIG = """\
sip_listen 127.0.0.1:0
module_path /usr/lib/baresip/modules
module g711.so
module ausine.so
module aufile.so
module_app account.so
module_app contact.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen 127.0.0.1:{port}
audio_source ausine,440
audio_player aufile,/dev/null
net_interface 127.0.0.1
"""


class Telephone:
    """A running baresip."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self._process = process
        self._port = port
        self.said = ""

    async def listen(self) -> None:
        """Take in what it says until it ends."""
        assert self._process.stdout is not None
        while piece := await self._process.stdout.read(4096):
            self.said += piece.decode("utf-8", "replace")

    async def does(self, command: str, words: str = "") -> None:
        """Press a button: a JSON object as a netstring."""
        await self.hears("baresip is ready")
        order = json.dumps({"command": command, "params": words})
        _, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(f"{len(order)}:{order},".encode())
        await writer.drain()
        writer.close()

    async def hears(self, words: str) -> None:
        await eventually(lambda: words in self.said, what=f"{words!r} in {self.said[-2000:]}")

    async def hang_up(self) -> None:
        """Let it end as a telephone does that is switched off."""
        self._process.terminate()
        async with asyncio.timeout(10):
            await self._process.wait()


@asynccontextmanager
async def telephone(
    folder: Path, server: Listened, over: str, *, password: str = PASSWORD
) -> AsyncIterator[Telephone]:
    control = free_port()
    port = server.tcp_port if over == "tcp" else server.udp_port
    (folder / "config").write_text(CONFIG.format(port=control), encoding="ascii")
    (folder / "contacts").write_text("", encoding="ascii")
    (folder / "accounts").write_text(
        f"<sip:{TELEPHONE}@127.0.0.1:{port};transport={over}>;auth_user={TELEPHONE};auth_pass={password};regint=60\n",
        encoding="ascii",
    )
    process = await asyncio.create_subprocess_exec(
        *("baresip", "-f", str(folder), "-s"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    phone = Telephone(process, control)
    async with asyncio.TaskGroup() as group:
        group.create_task(phone.listen())
        try:
            yield phone
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def is_registered(server: Listened) -> None:
    await eventually(lambda: bool(server.superior.present()), what="the registration")


@pytest.mark.parametrize("over", ["udp", "tcp"])
async def test_a_telephone_registers_and_takes_its_leave_proving_itself_each_time(
    tmp_path: Path, over: str
) -> None:
    async with (
        listening({TELEPHONE: PASSWORD}) as server,
        telephone(tmp_path, server, over) as phone,
    ):
        await is_registered(server)
        [presence] = server.superior.present()
        assert (presence.device_id, presence.way.transport) == (TELEPHONE, over)
        assert "baresip" in presence.user_agent
        await phone.hang_up()
        await eventually(lambda: server.noted.leaves == [(TELEPHONE, "unregistered")], what="the leave")
        assert server.noted.refusals == []


async def test_a_telephone_with_a_wrong_password_stays_outside(tmp_path: Path) -> None:
    async with (
        listening({TELEPHONE: PASSWORD}) as server,
        telephone(tmp_path, server, "udp", password="wrong-password"),
    ):
        await eventually(lambda: bool(server.noted.refusals), what="the refusal")
        assert server.noted.refusals[0].why is Refusal.WRONG_PASSWORD
        assert server.superior.present() == []


async def test_whoever_calls_us_is_refused_registered_or_not(tmp_path: Path) -> None:
    async with (
        listening({TELEPHONE: PASSWORD}) as server,
        telephone(tmp_path, server, "udp") as phone,
    ):
        await is_registered(server)
        await phone.does("dial", f"sip:{OWN_ID}@127.0.0.1:{server.udp_port}")
        await phone.hears("session closed: 488")
        assert len(server.superior.present()) == 1
    (tmp_path / "stranger").mkdir()
    async with listening({}) as server, telephone(tmp_path / "stranger", server, "udp") as phone:
        await phone.does("dial", f"sip:{OWN_ID}@127.0.0.1:{server.udp_port}")
        await phone.hears("session closed: 403")


async def test_an_invited_telephone_says_that_it_has_no_picture_and_stays_registered(tmp_path: Path) -> None:
    heard: list[OfferAnswered | OfferRefused] = []
    async with (
        listening({TELEPHONE: PASSWORD}) as server,
        telephone(tmp_path, server, "udp") as phone,
        asyncio.TaskGroup() as group,
    ):
        await is_registered(server)
        calls = Calls(server.superior, heard.append, "")
        task = group.create_task(calls.run())
        offer = MediaOffered(ONE, 0.0, datetime.now(UTC), 1, 30_000)
        calls.offered(Invitation(TELEPHONE, TELEPHONE, MediaWay.UDP, "127.0.0.1"), offer)
        await eventually(lambda: bool(heard), what="the answer")
        [answer] = heard
        assert isinstance(answer, OfferRefused)
        assert (answer.cause, answer.status) == ("refused", 488)
        # Our ACK ends it: else its refusal would be repeated.
        await phone.hears("ACK sip:")
        assert len(server.superior.present()) == 1
        task.cancel()
