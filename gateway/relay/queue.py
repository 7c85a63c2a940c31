"""What waits for one slow sink: bounded in bytes and seconds, drops to the next key picture.

Sans-IO. Media only; a sink's own RTSP messages never wait here. The source is never slowed: `offer`
takes or drops at once.
"""

from collections import deque
from typing import Final

from gateway.relay.chunk import MediaChunk

MAX_PICTURE: Final = 1024 * 1024
"""Bytes above the bound that are still taken to end the picture under way, so that it stays whole."""


class SinkQueue:
    """Hold the chunks of one sink, beginning on a key picture.

    Policy: when full, the picture under way is ended (up to `MAX_PICTURE` more) and everything is
    dropped until the next key picture. If at that picture the sink has not even drained half, what
    waits is dropped as well, and the sink goes on at that key picture: always the newest picture that
    can be decoded. Every dropped picture is counted, also those before the first key picture - not as
    drops of a slow sink but in `skipped_frames`.

    Args:
        max_bytes: most bytes that wait.
        max_seconds: oldest age of what waits.
    """

    def __init__(self, max_bytes: int, max_seconds: float) -> None:
        self._max_bytes = max_bytes
        self._max_seconds = max_seconds
        self._chunks: deque[MediaChunk] = deque()
        self._started = False
        self._dropping = True
        self._closing = False
        "Full: the picture under way is the last one taken."
        self.bytes = 0
        "Bytes that wait now."
        self.frames_out = 0
        "Pictures handed out."
        self.bytes_out = 0
        self.dropped_frames = 0
        self.damaged_frames = 0
        "Pictures of which the beginning went out and the end did not."
        self.skipped_frames = 0
        "Pictures before the first key picture."
        self.drops = 0
        "How many times dropping began."
        self._newest_at = 0.0
        "Receipt of the newest chunk that could not pass at once."
        self._waited = 0.0
        "The longest wait of what was handed out since `take_delay`."

    @property
    def is_dropping(self) -> bool:
        """Whether pictures are being dropped or skipped until a key picture comes."""
        return self._dropping

    @property
    def waiting(self) -> bool:
        """Whether anything waits."""
        return bool(self._chunks)

    def age(self, now: float) -> float:
        """Return for how many seconds the oldest of what waits has waited; 0 when nothing does."""
        return max(0.0, now - self._chunks[0].at) if self._chunks else 0.0

    def take_delay(self, now: float) -> float:
        """Return the longest wait, in seconds, since the last call: of what was handed out and of what still waits.

        Measured against the receipt of later media, so that handing out reads no clock; chunks that pass at once
        waited for nothing.
        """
        waited, self._waited = self._waited, 0.0
        return max(waited, self.age(now))

    def offer(self, chunk: MediaChunk) -> None:
        """Take `chunk` in, or as much of it as the policy allows; count the rest."""
        self._newest_at = chunk.at
        if self._dropping:
            self._resume(chunk)
            return
        if not self._closing and self._is_full(chunk):
            self._closing = True
        if self._closing:
            self._end_picture(chunk)
        else:
            self._append(chunk)

    def passes(self, chunk: MediaChunk) -> bool:
        """Return whether `chunk` may be sent at once, and count it as handed out if so.

        The way of nearly every chunk: nothing waits and nothing is being dropped.
        """
        if self._dropping or self._chunks or self._closing:
            return False
        self.frames_out += len(chunk.pictures)
        self.bytes_out += len(chunk.data)
        return True

    def take(self) -> MediaChunk | None:
        """Return the oldest chunk for sending, or None."""
        if not self._chunks:
            return None
        chunk = self._chunks.popleft()
        self._waited = max(self._waited, self._newest_at - chunk.at)
        self.bytes -= len(chunk.data)
        self.frames_out += len(chunk.pictures)
        self.bytes_out += len(chunk.data)
        return chunk

    def clear(self) -> None:
        """Forget what waits, as after the end of a connection; not counted as dropped.

        The next connection begins on a key picture again.
        """
        self._chunks.clear()
        self.bytes = 0
        self._started, self._dropping, self._closing = False, True, False

    def _is_full(self, chunk: MediaChunk) -> bool:
        if self.bytes + len(chunk.data) > self._max_bytes:
            return True
        return bool(self._chunks) and chunk.at - self._chunks[0].at > self._max_seconds

    def _end_picture(self, chunk: MediaChunk) -> None:
        """Take the rest of the picture under way, then begin to drop."""
        rest = chunk.until(chunk.pictures[0]) if chunk.pictures else chunk
        if self.bytes + len(rest.data) > self._max_bytes + MAX_PICTURE:
            self._begin_dropping()
            # Its beginning is counted as handed out already, its end is lost: the one damaged picture.
            self.damaged_frames += 1
        else:
            self._append(rest)
            if chunk.pictures:
                self._begin_dropping()
        if self._dropping and chunk.pictures:
            self._resume(chunk.since(chunk.pictures[0]))

    def _begin_dropping(self) -> None:
        self._dropping, self._closing = True, False
        self.drops += 1

    def _resume(self, chunk: MediaChunk) -> None:
        """Drop `chunk` up to a key picture from which the sink can go on."""
        if not chunk.keys:
            self._count_lost(len(chunk.pictures))
            return
        key = chunk.keys[-1]
        fresh = chunk.since(key)
        self._count_lost(sum(1 for at in chunk.pictures if at < key))
        if 2 * self.bytes > self._max_bytes or self._is_full(fresh):
            self._discard_stale()
        self._started, self._dropping = True, False
        self._append(fresh)

    def _discard_stale(self) -> None:
        """Drop what waits, but for the end of a picture whose beginning was handed out already."""
        kept: list[MediaChunk] = []
        for chunk in self._chunks:
            if chunk.pictures:
                kept.append(chunk.until(chunk.pictures[0]))
                break
            kept.append(chunk)
        self.dropped_frames += sum(len(chunk.pictures) for chunk in self._chunks)
        self._chunks.clear()
        self.bytes = 0
        for chunk in kept:
            self._append(chunk)

    def _count_lost(self, pictures: int) -> None:
        if self._started:
            self.dropped_frames += pictures
        else:
            self.skipped_frames += pictures

    def _append(self, chunk: MediaChunk) -> None:
        if chunk.data:
            self._chunks.append(chunk)
            self.bytes += len(chunk.data)
