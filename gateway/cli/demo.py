"""The demo: a made-up district comes to life on loopback within half a minute, and Muster tells what happens in it.

It drives Muster from outside by its command and its API, like an operator; the cameras and the central platform are
virtual (`adapters.simulator`). Nothing is kept: each demo begins from nothing.
"""

import asyncio
import contextlib
import secrets
import shutil
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import aiohttp
from rich.console import Console

from adapters.simulator.camera import Fault
from adapters.simulator.fleet import Fleet
from adapters.simulator.gb_device import GbDevice, clip_maker
from adapters.simulator.platform import VirtualPlatform
from catalog.model.secret import Secret
from gateway.cli.demo_story import (
    ACTORS,
    FAULT_OF,
    INTERFACE,
    OWN_ID,
    RECORDER,
    STRANGER,
    TIMELINE,
    USERNAME,
    Actor,
    camera_of,
    recorder_of,
    roll,
)
from gateway.cli.trial import TrialFailed, leaves, only_one, write_private
from gateway.cli.trial_child import Child, ChildFailed, end_leftovers, environ_of_child, keep_child
from gateway.cli.trial_report import Api, NotAnswering

PAGE_PORT: Final = 8088
PLATFORM_PORT: Final = 18590
PLATFORM_PAGE_PORT: Final = 18591
SIP_PORT: Final = 18560
PERSON: Final = "demo operator"
READY_WITHIN: Final = 60.0
LOOK_EVERY: Final = 0.5
BETWEEN_CAMERAS: Final = 0.4

SETTINGS: Final = """\
# Written by the demo at every start. Its timers are shortened: see deploy/muster.example.toml for the defaults.
[gateway]
id = "demo"
state_dir = "state"

[jurisdiction]
civil_code = "990103"
name = "望湖区"
issued_by = "望湖区公安分局"
contact = "望湖区公安分局技防管理办公室"
profile = "wuxi-2019"
base = "cn-2025"
# Whoever tries it is one person.
second_approver = false

[api]
host = "127.0.0.1"
port = {port}

[status]
probe_interval = 1
probe_misses = 3
probe_timeout = 2
restart_grace = 4
gateway_heartbeat = 1
verify_media = 1

[relay]
workers = 1
media_timeout = 3
reconnect_first = 0.5
reconnect_longest = 2

[gb28181]
enabled = true
id = "{own_id}"
udp_port = {sip_port}
tcp_port = {sip_port}
catalog_interval = 10

[onvif]
interfaces = ["{interface}"]
probe_interval = 5
interrogate_interval = 10
"""


class Demo:
    """One demo in one folder."""

    def __init__(self, folder: Path, program: Path, console: Console, seconds: float) -> None:
        self._folder = folder
        self._program = program
        self._console = console
        self._seconds = seconds
        self._config = folder / "muster.toml"
        self._token = folder / "operator.token"
        self._api = Api(f"http://127.0.0.1:{PAGE_PORT}", self._token)
        self._password = Secret(secrets.token_urlsafe(12))
        self._stopped = asyncio.Event()
        self._began = 0.0

    async def run(self) -> None:
        """Play until stopped, or for the given seconds.

        Raises:
            TrialFailed: something could not be prepared.
            ChildFailed: Muster ended with an error of its own.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stopped.set)
        await end_leftovers(self._folder)
        self._begin_from_nothing()
        self._welcome()
        await self._command(
            "token", "create", "--role", "operator", "--person", PERSON, "--output", str(self._token)
        )
        cameras = [camera_of(actor, self._password) for actor in ACTORS if actor.is_camera]
        muster = Child("muster", [str(self._program), "serve", "--config", str(self._config)], self._folder)
        try:
            async with (
                VirtualPlatform("127.0.0.1", PLATFORM_PORT, PLATFORM_PAGE_PORT) as platform,
                Fleet(cameras, interface=INTERFACE) as fleet,
                asyncio.TaskGroup() as group,
            ):
                tasks = [
                    group.create_task(keep_child(muster, started=_nothing, ended=self._ended), name="muster"),
                    group.create_task(platform.run(), name="platform"),
                    group.create_task(self._play(fleet), name="play"),
                    *(
                        group.create_task(each.run(), name=each.device.device_id)
                        for each in self._recorders()
                    ),
                ]
                await self._stopped.wait()
                self._say("结束 ending")
                for task in tasks:
                    task.cancel()
        except OSError as error:
            raise TrialFailed(f"{error.strerror or error}: is another demo running?") from error

    def _begin_from_nothing(self) -> None:
        for name in ("state", "operator.token", "muster.log"):
            path = self._folder / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        write_private(
            self._config,
            SETTINGS.format(port=PAGE_PORT, interface=INTERFACE, own_id=OWN_ID, sip_port=SIP_PORT),
            replace=True,
        )

    def _recorders(self) -> list[GbDevice]:
        """Return the recorder of the roll and one that nobody knows."""
        known = recorder_of(self._password, SIP_PORT)
        pictures = clip_maker()
        return [
            GbDevice(known, pictures),
            GbDevice(replace(known, device_id=STRANGER, host="127.0.30.21"), pictures),
        ]

    def _welcome(self) -> None:
        self._say(
            "望湖区：一个虚构的区，十二路应接入的视频。全部在本机回环地址上；计时已缩短（默认 60 秒一次探测）。"
        )
        self._say(
            "A made-up district with twelve sources that must connect, all on loopback; timers are shortened."
        )
        for actor in ACTORS:
            zh, en = actor.tells
            self._say(f"  {actor.host:<12} {actor.site or '（陌生设备）':<8} {zh} · {en}")

    async def _play(self, fleet: Fleet) -> None:
        await self._await_ready()
        await self._prepare()
        self._began = asyncio.get_running_loop().time()
        self._say(f"页面 page: {self._api.base}/    登录令牌 login: {self._token}")
        self._say(f"中心平台看到的 the central platform's view: http://127.0.0.1:{PLATFORM_PAGE_PORT}/")
        async with asyncio.TaskGroup() as group:
            group.create_task(self._act(fleet), name="act")
            group.create_task(self._narrate(), name="narrate")

    async def _prepare(self) -> None:
        """Do by the API what an operator does once."""
        until = (datetime.now(UTC) + timedelta(days=1)).isoformat()
        for host in (INTERFACE, *(actor.host for actor in ACTORS)):
            body = {"cidr": f"{host}/32", "document": "demo", "approver": PERSON, "expires_at": until}
            await self._call("POST", "/api/v1/networks", json=body)
        for ref, password in (("demo", self._password.reveal()), ("demo-wrong", "not-the-right-one")):
            await self._call(
                "PUT", f"/api/v1/credentials/{ref}", json={"username": USERNAME, "password": password}
            )
        device = {"device_id": RECORDER, "password": self._password.reveal(), "name": "望湖剧院录像机"}
        await self._call("POST", "/api/v1/gb28181/devices", json=device)
        sink = {"name": "central", "host": "127.0.0.1", "port": PLATFORM_PORT, "path_prefix": "/muster/"}
        await self._call("POST", "/api/v1/sinks", json=sink)
        await self._call(
            "POST", "/api/v1/rolls?dry_run=false", data=roll(), headers={"Content-Type": "text/csv"}
        )
        await self._call("POST", "/api/v1/editions", json={})

    async def _act(self, fleet: Fleet) -> None:
        fleet.condition("clock").clock_offset = 7200.0
        for actor in ACTORS:
            if actor.is_camera:
                await fleet.switch_on(camera_of(actor, self._password).name)
                await asyncio.sleep(BETWEEN_CAMERAS)
        for at, role, what in TIMELINE:
            await asyncio.sleep(max(0.0, self._began + at - asyncio.get_running_loop().time()))
            await self._happen(fleet, role, what)
        await asyncio.sleep(
            max(0.0, self._began + self._seconds - asyncio.get_running_loop().time())
            if self._seconds
            else float("inf")
        )
        self._stopped.set()

    async def _happen(self, fleet: Fleet, role: str, what: str) -> None:
        actor = next(each for each in ACTORS if each.role == role)
        match what:
            case "leaves":
                self._tell(actor, "断电 is switched off")
                await fleet.switch_off(role)
            case "returns":
                self._tell(actor, "恢复供电 is switched on again")
                await fleet.switch_on(role)
            case _:
                fault: Fault = FAULT_OF[what]
                self._tell(actor, "视频停止，设备仍应答 its video stops, the device still answers")
                condition = fleet.condition(role)
                condition.faults = condition.faults | {fault}

    async def _narrate(self) -> None:
        """Say of each source what Muster shows of it, whenever that changes."""
        actors = {actor.code: actor for actor in ACTORS if actor.is_on_roll}
        shown: dict[str, str] = {}
        while True:
            with contextlib.suppress(NotAnswering):
                for row in await self._api.rows("/api/v1/sources"):
                    status, actor = row["status"], actors.get(row["gb_id"])
                    words = " ".join((str(status["shown"]), *status["reasons"], *_obstacle(row)))
                    if actor is not None and shown.get(row["gb_id"]) != words:
                        shown[row["gb_id"]] = words
                        self._tell(actor, f"→ {words}")
                for row in await self._api.rows("/api/v1/sightings?state=quarantined"):
                    key = f"{row['host']}:{row['port']}"
                    if key not in shown:
                        shown[key] = "quarantined"
                        self._tell(ACTORS[-1], "→ quarantined")
            await asyncio.sleep(LOOK_EVERY)

    async def _await_ready(self) -> None:
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + READY_WITHIN
        while not await self._api.is_ready():
            if loop.time() >= give_up_at:
                raise TrialFailed(f"Muster was not ready: see {self._folder / 'muster.log'}")
            await asyncio.sleep(0.1)

    async def _call(self, method: str, path: str, **more: Any) -> None:
        token = self._token.read_text(encoding="ascii").strip()
        headers = {"Authorization": f"Bearer {token}", **more.pop("headers", {})}
        limit = aiohttp.ClientTimeout(total=30)
        async with (
            aiohttp.ClientSession(headers=headers, timeout=limit) as session,
            session.request(method, self._api.base + path, **more) as answer,
        ):
            if answer.status >= 400:
                raise TrialFailed(f"{method} {path}: {answer.status} {await answer.text()}")

    async def _command(self, *arguments: str) -> None:
        process = await asyncio.create_subprocess_exec(
            str(self._program),
            *arguments,
            *("--config", str(self._config)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=environ_of_child(),
        )
        output, _ = await process.communicate()
        if process.returncode != 0:
            raise TrialFailed(f"muster {arguments[0]}: {output.decode('utf-8', 'replace').strip()}")

    def _ended(self, how: str) -> None:
        self._say(f"Muster {how}")

    def _tell(self, actor: Actor, what: str) -> None:
        at = asyncio.get_running_loop().time() - self._began
        self._say(f"{at:5.1f} s  {actor.host:<12} {actor.site or '陌生设备':<6} {what}")

    def _say(self, text: str) -> None:
        self._console.print(f"[demo] {text}", markup=False, highlight=False, soft_wrap=True)


def _obstacle(row: dict[str, Any]) -> Sequence[str]:
    # Why it is not connected counts only until it is.
    word = row.get("obstacle")
    return (str(word),) if word and row["status"]["shown"] == "never_connected" else ()


def _nothing() -> None:
    """Say nothing: the page says it better."""


def run_demo(folder: Path, seconds: float) -> int:
    """Play the demo until it is stopped, or for so many seconds after its beginning (0: until stopped).

    Returns:
        0 when it ended as it should, 1 when it could not go on (said on the screen).
    """
    console = Console(width=None if sys.stdout.isatty() else 160)
    failures: list[BaseException] = []
    try:
        folder = folder.absolute()
        with only_one(folder):
            program = Path(sys.executable).with_name("muster")
            asyncio.run(Demo(folder, program, console, seconds).run())
    except* (TrialFailed, ChildFailed) as group:
        failures = list(leaves(group))
    for failure in failures:
        console.print(f"[demo] {failure}", markup=False, highlight=False, soft_wrap=True)
    return 1 if failures else 0
