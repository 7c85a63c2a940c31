"""Whole pictures of a source, pulled by RTSP over a connection to the relay worker that holds it.

The worker serves this connection like any client's: from the newest key frame on, with a queue of its own that drops
to the next key frame when we are slow.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final, Self

from adapters.base import RtspTarget
from adapters.errors import PeerClosed, RemoteProtocolError
from adapters.media import nal
from adapters.media.assembly import START_CODE, annex_b
from adapters.media.parameter_sets import described
from adapters.media.rtp import RtpHeader
from adapters.media.sdp import Format
from adapters.rtsp.events import Playing
from adapters.rtsp.exchange import SessionOptions
from adapters.rtsp.message import Demultiplexer, InterleavedFrame, MessageParser
from adapters.rtsp.session import PullSession
from gateway.relay import jpeg

READ_SIZE: Final = 64 * 1024

MAX_PICTURE: Final = 4 * 1024 * 1024
"""Bytes of one picture; of a longer one the end is not waited for."""

PATIENCE: Final = 0.3
"""Seconds from PLAY on in which a key picture that the worker keeps has long come."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One coded picture."""

    data: bytes
    "H.264 and H.265: Annex B, a key picture with its parameter sets; JPEG: a file."
    is_key: bool
    timestamp: int
    "RTP time of the source."


class Pictures:
    """The pictures of one source.

    Args:
        connection: to the worker; owned from here on.
        code: under which the source goes out.
        on_waiting: called once when the source plays and no key picture comes.
    """

    def __init__(self, connection: socket.socket, code: str, on_waiting: Callable[[], None]) -> None:
        self._connection = connection
        self._target = RtspTarget("127.0.0.1", 554, f"/{code}")
        self._parser = Demultiplexer(MessageParser(peer=code))
        self._format: Format | None = None
        self._channel = 0
        self._payloads: list[bytes] = []
        self._size = 0
        self._timestamp = 0
        self._has_begun = False
        self._on_waiting = on_waiting
        self._patience: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection(sock=self._connection, limit=READ_SIZE)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.hang_up()

    def hang_up(self) -> None:
        """End the connection; whoever reads pictures is told that the source ended."""
        self._end_patience()
        self._writer.transport.abort()

    @property
    def codec(self) -> str:
        """Return `H264`, `H265` or `JPEG`; "" before the first picture."""
        return self._format.encoding if self._format is not None else ""

    async def __aiter__(self) -> AsyncIterator[Picture]:
        """Yield pictures, a key picture first, until the source ends.

        Raises:
            AdapterError: the worker ended the connection, or what came is no stream.
        """
        loop = asyncio.get_running_loop()
        session = PullSession(self._target, None, SessionOptions(), now=loop.time())
        while True:
            for frame in await self._step(session):
                picture = self._take(frame)
                if picture is not None:
                    yield picture

    async def _step(self, session: PullSession) -> list[InterleavedFrame]:
        """Send what is to be sent, and return the media of the next read."""
        loop = asyncio.get_running_loop()
        self._writer.write(session.bytes_to_send())
        await self._writer.drain()
        try:
            async with asyncio.timeout_at(session.deadline()):
                data = await self._reader.read(READ_SIZE)
        except TimeoutError:
            session.handle_timer(loop.time())
            return []
        except OSError as error:
            raise PeerClosed(str(error), peer=self._target.path) from error
        if not data:
            raise PeerClosed("the source ended", peer=self._target.path)
        frames: list[InterleavedFrame] = []
        for message in self._parser.feed(data):
            if isinstance(message, InterleavedFrame):
                frames.append(message)
            else:
                session.receive(message, loop.time())
        for event in session.events():
            if isinstance(event, Playing):
                self._begin(event)
        return frames

    def _begin(self, playing: Playing) -> None:
        video = playing.tracks[0]
        if video.media is None or video.rtp_channel is None:
            raise RemoteProtocolError("plays no video", peer=self._target.path)
        self._format, self._channel = video.media.formats[0], video.rtp_channel
        self._patience = asyncio.get_running_loop().call_later(PATIENCE, self._on_waiting)

    def _end_patience(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _take(self, frame: InterleavedFrame) -> Picture | None:
        """Take in a packet; return the picture that it ends."""
        if self._format is None or frame.channel != self._channel:
            return None
        try:
            header = RtpHeader.parse(frame.payload)
        except ValueError as error:
            raise RemoteProtocolError(str(error), peer=self._target.path) from error
        if header.payload_type != self._format.payload_type:
            return None
        payload = bytes(frame.payload[header.payload_start : header.payload_end])
        picture = None
        if self._payloads and header.timestamp != self._timestamp:
            picture = self._finish()
        self._timestamp = header.timestamp
        if payload and self._size < MAX_PICTURE:
            self._payloads.append(payload)
            self._size += len(payload)
        if header.marker and self._payloads and picture is None:
            picture = self._finish()
        return picture

    def _finish(self) -> Picture:
        self._end_patience()
        chosen, payloads = self._format, self._payloads
        self._payloads, self._size = [], 0
        if chosen is None:
            # No packet is taken before PLAY was answered.
            raise RemoteProtocolError("plays no video", peer=self._target.path)
        if chosen.encoding == "JPEG":
            return Picture(jpeg.assemble(payloads), True, self._timestamp)
        # The worker begins with what can be decoded by itself, be it no IDR.
        is_key = not self._has_begun or any(nal.holds_key_picture(chosen.encoding, each) for each in payloads)
        self._has_begun = True
        units = list(annex_b(chosen.encoding, payloads))
        if is_key:
            units[:0] = [START_CODE + unit for unit in described(chosen)]
        return Picture(b"".join(units), is_key, self._timestamp)
