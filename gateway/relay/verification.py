"""The verification pull: enough seconds of steady video and one key picture that really decodes."""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from adapters.media.sdp import Format
from gateway.relay.chunk import MediaChunk
from gateway.relay.facts import Reporter
from gateway.relay.picture import Decoded, KeyFrameCollector, decode
from gateway.relay.protocol import FirstKeyFrame, VerificationFinished

logger = logging.getLogger(__name__)

DECODE_TIMEOUT: Final = 10.0
"""Seconds for one decoding, waiting for a free thread included."""
DECODE_THREADS: Final = 2
MAX_ATTEMPTS: Final = 3
"""Key pictures that are tried in one window."""
GRACE: Final = 15.0
"""Seconds beyond those needed before a window is given up: the first key picture may be late."""


class Decoder:
    """The few threads of a worker that decode key pictures."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(DECODE_THREADS, thread_name_prefix="decode")

    async def decode(self, frames: bytes, channel: int, chosen: Format) -> Decoded:
        """Decode one key picture.

        Raises:
            ValueError: it cannot be decoded, or not in time.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(DECODE_TIMEOUT):
                return await loop.run_in_executor(self._threads, decode, frames, channel, chosen)
        except TimeoutError as error:
            raise ValueError(f"not decoded within {DECODE_TIMEOUT:g} s") from error

    def close(self) -> None:
        """Take no more work; what runs is left to its end."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class Verification:
    """Verify one pull session, window after window until one passes.

    Args:
        needed: seconds of video without a gap.
        channel: of the video's RTP.
        chosen: the video's codec.
        decoder: the worker's.
        reporter: is told `FirstKeyFrame` and `VerificationFinished`.
        now: when PLAY was answered, monotonic.
    """

    def __init__(
        self,
        needed: float,
        channel: int,
        chosen: Format,
        decoder: Decoder,
        reporter: Reporter,
        now: float,
    ) -> None:
        self._needed = needed
        self._channel = channel
        self._chosen = chosen
        self._decoder = decoder
        self._reporter = reporter
        self._collector = KeyFrameCollector()
        self._pictures: asyncio.Queue[bytes] = asyncio.Queue(1)
        self._begun_at = now
        self._first_at = 0.0
        self._last_at = 0.0
        self._frames = 0
        self._bytes = 0
        self._attempts = 0
        self._key_seen = False
        self._decoded: Decoded | None = None
        self._told = False
        self.passed = False

    def take(self, chunk: MediaChunk) -> None:
        """Take in a run of media that holds video."""
        self._last_at = chunk.at
        self._first_at = self._first_at or chunk.at
        self._frames += len(chunk.pictures)
        self._bytes += len(chunk.data)
        self._key_seen = self._key_seen or bool(chunk.keys)
        if self._decoded is None and self._attempts < MAX_ATTEMPTS and not self._pictures.full():
            frames = self._collector.take(chunk)
            if frames is not None:
                self._attempts += 1
                self._pictures.put_nowait(frames)

    def tick(self, now: float, *, gap: bool) -> None:
        """Judge the window at monotonic `now`; `gap` tells that there is no video."""
        if self.passed:
            return
        if gap:
            self._first_at, self._frames, self._bytes = 0.0, 0, 0
        if self._received >= self._needed and self._decoded is not None:
            self.passed = True
            self._finish("")
        elif now - self._begun_at >= self._needed + GRACE:
            self._finish("no_steady_video" if self._received < self._needed else "no_decodable_key_frame")
            self._begun_at, self._attempts = now, 0
            self._collector.takes_groups = False

    async def run(self) -> None:
        """Decode the key pictures that `take` cut out, until one of them could be."""
        while self._decoded is None:
            frames = await self._pictures.get()
            try:
                self._decoded = await self._decoder.decode(frames, self._channel, self._chosen)
            except ValueError as error:
                logger.warning(
                    "source %s: key frame of %d bytes: %s",
                    self._reporter.source_id,
                    len(frames),
                    error,
                    extra={"action": "key_frame_undecodable"},
                )
                self._collector.takes_groups = True
        self._tell_key_frame()

    @property
    def _received(self) -> float:
        return self._last_at - self._first_at if self._first_at else 0.0

    def _tell_key_frame(self) -> None:
        if not self._told:
            self._told = True
            width, height = (self._decoded.width, self._decoded.height) if self._decoded else (0, 0)
            self._reporter.report(
                FirstKeyFrame(
                    *self._reporter.times(),
                    self._chosen.encoding,
                    self._decoded is not None,
                    width,
                    height,
                )
            )

    def _finish(self, cause: str) -> None:
        if self._key_seen and self._decoded is None:
            self._tell_key_frame()
        self._reporter.report(
            VerificationFinished(
                *self._reporter.times(),
                self.passed,
                cause,
                self._needed,
                self._received,
                self._frames,
                self._bytes,
            )
        )
