"""A virtual camera's RTSP service: its clip over TCP, to whoever proves who it is by Digest.

A small server of its own: the product's is not asked to judge the product.
"""

import asyncio
import hashlib
import hmac
import re
import secrets
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from adapters.errors import AdapterError
from adapters.media.sdp import Media, render_describe
from adapters.rtsp.message import Demultiplexer, Headers, InterleavedFrame, MessageParser, Request, Response
from adapters.simulator.camera import Asks, Condition, Fault, VirtualCamera
from adapters.simulator.clip import CLOCK_RATE, Clip

READ_SIZE: Final = 16 * 1024
MAX_BEHIND: Final = 1024 * 1024
"""Bytes that may wait for a client; of more the picture is dropped, up to the next key picture."""

IDLE: Final = 90.0
"""Seconds without a request after which a client is gone."""

_REALM: Final = "virtual camera"
_PARAMETER: Final = re.compile(r'(\w+)="?([^",]*)"?')
_CHANNELS: Final = re.compile(r"interleaved=(\d+)-(\d+)")


class RtspClient:
    """One connection to a virtual camera.

    Args:
        camera: whose stream.
        condition: how it is just now.
        clip: gives its clip.
    """

    def __init__(
        self, camera: VirtualCamera, condition: Condition, clip: Callable[[], "asyncio.Future[Clip]"]
    ) -> None:
        self._camera = camera
        self._condition = condition
        self._clip = clip
        self._nonce = secrets.token_hex(12)
        self._session = secrets.token_hex(8)
        self._channel = 0
        self._is_playing = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve until the client is gone."""
        try:
            with suppress(OSError, AdapterError, TimeoutError):
                async with asyncio.TaskGroup() as tasks:
                    playing = tasks.create_task(self._play(writer))
                    try:
                        await self._talk(reader, writer)
                    finally:
                        playing.cancel()
        except* (OSError, AdapterError, TimeoutError):
            pass
        finally:
            writer.transport.abort()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        parser = Demultiplexer(MessageParser(peer=self._camera.host))
        while True:
            async with asyncio.timeout(IDLE):
                data = await reader.read(READ_SIZE)
            if not data:
                return
            for message in parser.feed(data):
                if isinstance(message, Request):
                    response = await self._answer(message)
                    writer.write(bytes(response))
                    if message.method == "TEARDOWN":
                        return
                elif not isinstance(message, InterleavedFrame):
                    return

    async def _answer(self, request: Request) -> Response:
        sequence = request.headers.get("CSeq") or "0"
        common: tuple[tuple[str, str], ...] = (("CSeq", sequence), ("Server", "virtual camera"))
        if request.method != "OPTIONS":
            if not self._admits(request):
                challenge = f'Digest realm="{_REALM}", nonce="{self._nonce}"'
                return Response(401, "Unauthorized", Headers((*common, ("WWW-Authenticate", challenge))))
            if self._condition.has(Fault.BUSY):
                return Response(453, "Not Enough Bandwidth", Headers(common))
            common = (*common, ("Session", f"{self._session};timeout=60"))
        return await self._obey(request, common)

    async def _obey(self, request: Request, common: tuple[tuple[str, str], ...]) -> Response:
        match request.method:
            case "OPTIONS":
                public = "OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER"
                return Response(200, "OK", Headers((*common, ("Public", public))))
            case "DESCRIBE":
                clip = await self._clip()
                described = render_describe("virtual", [Media("video", "RTP/AVP", (clip.format,), ())])
                base = (("Content-Type", "application/sdp"), ("Content-Base", f"{request.uri.rstrip('/')}/"))
                return Response(200, "OK", Headers((*common, *base)), described)
            case "SETUP":
                return self._set_up(request, common)
            case "PLAY":
                self._is_playing.set()
                return Response(200, "OK", Headers((*common, ("Range", "npt=now-"))))
            case "TEARDOWN" | "GET_PARAMETER" | "SET_PARAMETER":
                return Response(200, "OK", Headers(common))
            case _:
                return Response(501, "Not Implemented", Headers(common))

    def _set_up(self, request: Request, common: tuple[tuple[str, str], ...]) -> Response:
        found = _CHANNELS.search(request.headers.get("Transport") or "")
        if found is None:
            return Response(461, "Unsupported Transport", Headers(common))
        self._channel = int(found[1]) & 0xFE
        transport = f"RTP/AVP/TCP;unicast;interleaved={self._channel}-{self._channel + 1}"
        return Response(200, "OK", Headers((*common, ("Transport", transport))))

    def _admits(self, request: Request) -> bool:
        if self._camera.asks is Asks.NOTHING:
            return True
        scheme, _, rest = (request.headers.get("Authorization") or "").partition(" ")
        if scheme.lower() != "digest":
            return False
        given = dict(_PARAMETER.findall(rest))

        def hashed(text: str) -> str:
            return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()

        first = hashed(f"{self._camera.username}:{_REALM}:{self._camera.password.reveal()}")
        second = hashed(f"{request.method}:{given.get('uri', '')}")
        expected = hashed(f"{first}:{self._nonce}:{second}")
        return (
            given.get("username") == self._camera.username
            and given.get("nonce") == self._nonce
            and hmac.compare_digest(expected, given.get("response", ""))
        )

    async def _play(self, writer: asyncio.StreamWriter) -> None:
        await self._is_playing.wait()
        clip = await self._clip()
        loop = asyncio.get_running_loop()
        began, sent, sequence, ssrc = loop.time(), 0, secrets.randbits(16), secrets.randbits(32)
        is_behind, place, asked = True, 0, self._condition.key_frames_asked
        while True:
            if asked != self._condition.key_frames_asked:
                asked, place = self._condition.key_frames_asked, 0
            picture = clip.pictures[place]
            is_key = place % clip.key_every == 0
            behind = writer.transport.get_write_buffer_size() > MAX_BEHIND
            is_behind = behind or (is_behind and not is_key)
            if not is_behind and not self._condition.has(Fault.FROZEN):
                timestamp = sent * (CLOCK_RATE // clip.frame_rate) & 0xFFFFFFFF
                frames = []
                for packet in picture:
                    head = struct.pack(
                        "!BBHII",
                        0x80,
                        clip.format.payload_type | (0x80 if packet.is_last else 0),
                        sequence,
                        timestamp,
                        ssrc,
                    )
                    frames.append(bytes(InterleavedFrame(self._channel, head + packet.payload)))
                    sequence = sequence + 1 & 0xFFFF
                writer.write(b"".join(frames))
            sent += 1
            place = (place + 1) % len(clip.pictures)
            await asyncio.sleep(max(0.0, began + sent / clip.frame_rate - loop.time()))
