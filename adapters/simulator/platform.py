"""A virtual central platform: takes RTSP RECORD under any path, and shows on a page what it got."""

import asyncio
import html
import re
import secrets
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import Final, Self

from aiohttp import web

from adapters.errors import AdapterError
from adapters.media.rtp import RtpHeader
from adapters.media.sdp import SessionDescription
from adapters.rtsp.message import Demultiplexer, Headers, InterleavedFrame, MessageParser, Request, Response

READ_SIZE: Final = 256 * 1024
MAX_STREAMS: Final = 1_000
IDLE: Final = 90.0

_CHANNELS: Final = re.compile(r"interleaved=(\d+)-(\d+)")
_PATH: Final = re.compile(r"rtsps?://[^/]+(/[A-Za-z0-9._~/-]{1,200}?)(?:/trackID=\d+)?/?")
_PAGE: Final = """<!doctype html><html lang="zh-CN"><meta charset="utf-8"><meta http-equiv="refresh" content="1">
<title>中心平台 central platform</title><style>body{{font:15px sans-serif;margin:24px;color:#1c2733}}
table{{border-collapse:collapse}}td,th{{padding:6px 18px 6px 0;border-bottom:1px solid #dde3ea;text-align:left}}
.gone{{color:#8a94a0}}</style><h1>中心平台 <small>virtual central platform</small></h1>
<table><tr><th>编码 code</th><th>编码格式 codec</th><th>状态 state</th><th>图像数 pictures</th><th>帧率 fps</th></tr>
{rows}</table></html>"""


@dataclass
class Arrival:
    """What came in under one path."""

    path: str
    codec: str = ""
    pictures: int = 0
    size: int = 0
    "Bytes of media."
    is_live: bool = False
    rate: float = 0.0
    "Pictures a second, over the last second."
    _counted: int = 0

    @property
    def state(self) -> str:
        """Return how it stands, for people."""
        if not self.is_live:
            return "○ 已断开 ended"
        return "● 接收中 live" if self.rate else "◐ 已连接，无图像 connected, no pictures"

    def tick(self) -> None:
        """Count what the last second brought."""
        self.rate, self._counted = float(self.pictures - self._counted), self.pictures


class VirtualPlatform:
    """Takes streams.

    Args:
        host: an address of this machine.
        rtsp_port: where streams are taken; 0 takes a free one.
        http_port: where the page is shown; 0 takes a free one.

    Attributes:
        arrivals: what came in, by path.
    """

    def __init__(self, host: str, rtsp_port: int, http_port: int) -> None:
        self.arrivals: dict[str, Arrival] = {}
        self.rtsp_port = rtsp_port
        self.http_port = http_port
        self._host = host
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        server = await asyncio.start_server(self._serve, self._host, self.rtsp_port)
        self._stack.callback(server.close)
        self.rtsp_port = server.sockets[0].getsockname()[1]
        runner = web.ServerRunner(web.Server(self._show), shutdown_timeout=1.0)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, self._host, self.http_port)
        await site.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def run(self) -> None:
        """Count pictures a second; runs until cancelled."""
        while True:
            await asyncio.sleep(1.0)
            for arrival in self.arrivals.values():
                arrival.tick()

    async def _show(self, _: web.BaseRequest) -> web.StreamResponse:
        rows = "".join(
            f"<tr{'' if each.is_live else ' class=gone'}><td>{html.escape(each.path.rpartition('/')[2])}</td>"
            f"<td>{html.escape(each.codec)}</td><td>{each.state}</td>"
            f"<td>{each.pictures}</td><td>{each.rate:.0f}</td></tr>"
            for each in sorted(self.arrivals.values(), key=lambda arrival: arrival.path)
        )
        return web.Response(text=_PAGE.format(rows=rows), content_type="text/html")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sender = _Sender(self.arrivals)
        parser = Demultiplexer(MessageParser(peer="sender"))
        try:
            with suppress(OSError, AdapterError, TimeoutError, ValueError):
                while True:
                    async with asyncio.timeout(IDLE):
                        data = await reader.read(READ_SIZE)
                    if not data:
                        return
                    for message in parser.feed(data):
                        if isinstance(message, InterleavedFrame):
                            sender.take(message)
                        elif isinstance(message, Request):
                            writer.write(bytes(sender.answer(message)))
        finally:
            sender.leave()
            writer.transport.abort()


class _Sender:
    """One connection that brings a stream."""

    def __init__(self, arrivals: dict[str, Arrival]) -> None:
        self._arrivals = arrivals
        self._arrival: Arrival | None = None
        self._session = secrets.token_hex(8)
        self._channel = -1

    def answer(self, request: Request) -> Response:
        common = (("CSeq", request.headers.get("CSeq") or "0"), ("Server", "virtual platform"))
        session = (*common, ("Session", f"{self._session};timeout=60"))
        match request.method:
            case "OPTIONS":
                public = "OPTIONS, ANNOUNCE, SETUP, RECORD, TEARDOWN, GET_PARAMETER"
                return Response(200, "OK", Headers((*common, ("Public", public))))
            case "ANNOUNCE":
                return self._announce(request, session)
            case "SETUP":
                found = _CHANNELS.search(request.headers.get("Transport") or "")
                if found is None:
                    return Response(461, "Unsupported Transport", Headers(common))
                if self._channel < 0:
                    self._channel = int(found[1])
                transport = f"RTP/AVP/TCP;unicast;interleaved={found[1]}-{found[2]};mode=record"
                return Response(200, "OK", Headers((*session, ("Transport", transport))))
            case "RECORD" | "GET_PARAMETER" | "TEARDOWN":
                return Response(200, "OK", Headers(session))
            case _:
                return Response(501, "Not Implemented", Headers(common))

    def _announce(self, request: Request, headers: tuple[tuple[str, str], ...]) -> Response:
        path = _PATH.fullmatch(request.uri)
        if path is None or (path[1] not in self._arrivals and len(self._arrivals) >= MAX_STREAMS):
            return Response(403, "Forbidden", Headers(headers))
        video = SessionDescription.parse(request.body).video
        arrival = self._arrivals.setdefault(path[1], Arrival(path[1]))
        if arrival.is_live:
            return Response(403, "Forbidden", Headers(headers))
        arrival.codec = video.formats[0].encoding if video is not None else ""
        arrival.is_live = True
        self._arrival = arrival
        return Response(200, "OK", Headers(headers))

    def take(self, frame: InterleavedFrame) -> None:
        if self._arrival is None or frame.channel != self._channel:
            return
        header = RtpHeader.parse(frame.payload)
        self._arrival.size += len(frame.payload)
        self._arrival.pictures += header.marker

    def leave(self) -> None:
        if self._arrival is not None:
            self._arrival.is_live, self._arrival.rate = False, 0.0
