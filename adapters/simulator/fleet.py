"""Virtual cameras in one process: their services, their announcements, and what is switched on them.

    async with Fleet(cameras) as fleet:
        await fleet.switch_on()
        fleet.condition("gate-1").faults = frozenset({Fault.FROZEN})

Thousands of silent cameras fit a process: a clip is made only when a camera is first pulled.
"""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Final, Self

from aiohttp import web

from adapters.onvif.wsdiscovery import GROUP, PORT
from adapters.simulator import soap
from adapters.simulator.announcing import Announcer
from adapters.simulator.camera import Condition, Fault, VirtualCamera
from adapters.simulator.clip import Clip, make_clip
from adapters.simulator.login import Door
from adapters.simulator.rtsp import RtspClient

_SOAP: Final = "application/soap+xml"


@dataclass
class _Running:
    camera: VirtualCamera
    door: Door
    condition: Condition = field(default_factory=Condition)
    site: web.TCPSite | None = None
    rtsp: asyncio.Server | None = None
    announcer: Announcer | None = None
    clip: "asyncio.Task[Clip] | None" = None
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    clients: "set[asyncio.StreamWriter]" = field(default_factory=set)


class Fleet:
    """The cameras of one process.

    Args:
        cameras: each with an address of its own.
        interface: our own address on whose network they announce themselves.
        discovery_port: UDP port of WS-Discovery.
    """

    def __init__(
        self, cameras: Sequence[VirtualCamera], *, interface: str = "127.0.0.1", discovery_port: int = PORT
    ) -> None:
        self._by_name = {camera.name: _Running(camera, Door(camera)) for camera in cameras}
        self._by_address = {
            (running.camera.host, running.camera.http_port): running for running in self._by_name.values()
        }
        self._interface = interface
        self._port = discovery_port
        self._runner = web.ServerRunner(web.Server(self._handle), shutdown_timeout=1.0)
        self._tasks: asyncio.TaskGroup | None = None
        self._group: asyncio.DatagramTransport | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._tasks = await self._stack.enter_async_context(asyncio.TaskGroup())
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        listening = _group_socket(self._interface, self._port)
        self._group, _ = await loop.create_datagram_endpoint(lambda: _Heard(self._heard), sock=listening)
        return self

    async def __aexit__(self, *exception: object) -> None:
        for name in self._by_name:
            await self.switch_off(name, says_bye=False)
        if self._group is not None:
            self._group.close()
        await self._runner.cleanup()
        for running in self._by_name.values():
            if running.clip is not None:
                running.clip.cancel()
        await self._stack.__aexit__(None, None, None)

    def condition(self, name: str) -> Condition:
        """Return how a camera is; what is changed there counts at once."""
        return self._by_name[name].condition

    async def switch_on(self, name: str | None = None) -> None:
        """Let a camera, or all, answer and announce themselves."""
        for each in (name,) if name is not None else tuple(self._by_name):
            running = self._by_name[each]
            if running.site is not None:
                continue
            camera = running.camera
            running.gone.clear()
            running.condition.faults = running.condition.faults - {Fault.AWAY}
            running.site = web.TCPSite(self._runner, camera.host, camera.http_port)
            await running.site.start()
            running.rtsp = await asyncio.start_server(self._serving(running), camera.host, camera.rtsp_port)
            running.announcer = await Announcer.open(camera, self._interface, self._port)
            running.announcer.hello()

    async def switch_off(self, name: str, *, says_bye: bool = True) -> None:
        """Let a camera be gone; with `says_bye` it takes its leave, as one that is shut down does."""
        running = self._by_name[name]
        if running.site is None or running.rtsp is None or running.announcer is None:
            return
        running.gone.set()
        if says_bye:
            running.announcer.bye()
        running.announcer.close()
        await running.site.stop()
        running.rtsp.close()
        for writer in list(running.clients):
            writer.transport.abort()
        running.condition.faults = running.condition.faults | {Fault.AWAY}
        running.site, running.rtsp, running.announcer = None, None, None

    def _heard(self, data: bytes, sender: tuple[str, int]) -> None:
        """Let every camera that is on answer a Probe to the group."""
        for running in self._by_name.values():
            if running.announcer is not None:
                running.announcer.asked(data, sender)

    def _serving(
        self, running: _Running
    ) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            running.clients.add(writer)
            try:
                client = RtspClient(running.camera, running.condition, lambda: self._clip(running))
                await client.serve(reader, writer)
            finally:
                running.clients.discard(writer)

        return serve

    def _clip(self, running: _Running) -> "asyncio.Task[Clip]":
        if running.clip is None:
            if self._tasks is None:
                raise RuntimeError("the fleet is not open")
            camera = running.camera
            digits = "".join(sign for sign in camera.serial if sign.isdigit())
            running.clip = self._tasks.create_task(asyncio.to_thread(make_clip, camera, digits))
        return running.clip

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        local = request.transport.get_extra_info("sockname") if request.transport is not None else None
        running = self._by_address.get(tuple(local[:2])) if local is not None else None
        if running is None:
            return web.Response(status=404)
        body = await request.text()
        camera, condition = running.camera, running.condition
        if condition.has(Fault.SILENT):
            # Until it is switched off: the caller's patience ends before.
            await running.gone.wait()
            return web.Response(status=503)
        now = datetime.now(UTC) + timedelta(seconds=condition.clock_offset)
        headers = {"Date": format_datetime(now, usegmt=True)}
        operation = soap.operation_of(body)
        authorization = request.headers.get("Authorization", "")
        if not soap.is_open(operation) and not running.door.admits(request.method, authorization, body, now):
            challenge = running.door.challenge()
            if challenge is not None and not authorization:
                return web.Response(status=401, headers={**headers, "WWW-Authenticate": challenge})
            answer = soap.fault(400, "NotAuthorized", "Sender not authorized")
        else:
            answer = soap.answer(camera, condition, body, now)
        return web.Response(
            status=answer.status, text=answer.body, content_type=_SOAP, charset="utf-8", headers=headers
        )


class _Heard(asyncio.DatagramProtocol):
    def __init__(self, take: Callable[[bytes, tuple[str, int]], None]) -> None:
        self._take = take

    def datagram_received(self, data: bytes, addr: tuple[str | int, ...]) -> None:
        self._take(data, (str(addr[0]), int(addr[1])))


def _group_socket(interface: str, port: int) -> socket.socket:
    group = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    group.setblocking(False)
    group.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    group.bind((GROUP, port))
    membership = struct.pack("4s4s", socket.inet_aton(GROUP), socket.inet_aton(interface))
    group.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
    return group
