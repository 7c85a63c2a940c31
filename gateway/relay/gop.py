"""The group of pictures under way of one source: what a new taker is given first, so that it starts on a key picture.

Sans-IO. The chunks are the very ones that go to the takers: keeping them costs memory, and no copy but that of
the one chunk in which a key picture begins in the middle.
"""

from collections.abc import Iterator
from dataclasses import replace

from gateway.relay.chunk import MediaChunk


class GopCache:
    """Keep what arrived since the newest key picture, that picture included.

    Policy: a group of pictures that outgrows the bound is forgotten whole, for a part of it decodes to nothing; the
    cache is empty then until the next key picture. Cameras that send no key picture for minutes are such a case.

    Args:
        max_bytes: most bytes kept; 0 keeps nothing.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._chunks: list[MediaChunk] = []
        self.bytes = 0
        "Bytes kept now."
        self.overflows = 0
        "Groups of pictures that did not fit."

    def take(self, chunk: MediaChunk) -> None:
        """Take in the next run of the stream."""
        if chunk.keys:
            if not self._max_bytes:
                return
            fresh = chunk.since(chunk.keys[-1])
            self._chunks, self.bytes = [fresh], len(fresh.data)
        elif self._chunks:
            self._chunks.append(chunk)
            self.bytes += len(chunk.data)
        else:
            return
        if self.bytes > self._max_bytes:
            self.overflows += 1
            self.clear()

    def clear(self) -> None:
        """Forget the group of pictures: the stream was interrupted."""
        self._chunks, self.bytes = [], 0

    def replay(self, now: float) -> Iterator[MediaChunk]:
        """Yield what is kept, oldest first, as if it had arrived at monotonic `now`.

        With their own times a taker's queue would take chunks of a long group of pictures for a backlog.
        """
        for chunk in self._chunks:
            yield replace(chunk, at=now)
