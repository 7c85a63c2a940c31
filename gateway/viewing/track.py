"""Coded pictures on their way to one browser, passed through undecoded."""

import asyncio
from collections import deque
from fractions import Fraction
from typing import Any, Final

import av
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from gateway.viewing.pictures import Picture

CLOCK_RATE: Final = 90_000
"""Ticks a second of video in RTP (RFC 3551)."""

MAX_WAITING: Final = 150
"""Pictures that wait for the browser: six seconds, a whole group of pictures with most cameras."""

_LEAST_STEP: Final = CLOCK_RATE // 1000


class PictureTrack(MediaStreamTrack):
    """Hands pictures to the browser in order; when it is too slow, drops to the next key picture.

    The time of a picture is that of its arrival. So the group of pictures with which a view begins, which is in the
    past, is shown at once and not at the pace at which it was taken: the view is live from its first second.

    Attributes:
        pictures: handed on.
        size: bytes handed on.
        dropped: pictures that the browser was too slow for.
    """

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        self.pictures = 0
        self.size = 0
        self.dropped = 0
        self._queue: deque[tuple[Picture, int]] = deque()
        self._has_some = asyncio.Event()
        self._is_over = False
        self._needs_key = True
        self._last = -_LEAST_STEP

    def offer(self, picture: Picture, now: float) -> None:
        """Let `picture` wait for its turn; `now` in monotonic seconds."""
        if self._needs_key and not picture.is_key:
            self.dropped += 1
            return
        self._needs_key = False
        if len(self._queue) >= MAX_WAITING:
            self.dropped += len(self._queue)
            self._queue.clear()
            if not picture.is_key:
                self._needs_key = True
                self.dropped += 1
                return
        self._last = max(self._last + _LEAST_STEP, round(now * CLOCK_RATE))
        self._queue.append((picture, self._last))
        self._has_some.set()

    def end(self) -> None:
        """Hand on what waits, and nothing after it."""
        self._is_over = True
        self._has_some.set()

    async def recv(self) -> "av.Packet[Any]":
        """Return the next picture for aiortc's sender, which packs it and encrypts it.

        Raises:
            MediaStreamError: there is none any more.
        """
        while not self._queue:
            if self._is_over or self.readyState != "live":
                self.stop()
                raise MediaStreamError
            self._has_some.clear()
            await self._has_some.wait()
        picture, at = self._queue.popleft()
        self.pictures += 1
        self.size += len(picture.data)
        packet = av.Packet(picture.data)
        packet.pts = at
        packet.time_base = Fraction(1, CLOCK_RATE)
        return packet
