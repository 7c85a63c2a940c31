"""One receive buffer for all connections of a worker, and what one of them does with each chunk.

Sans-IO. Reads are handled to their end before the loop turns to the next connection, so one buffer
serves all; the incomplete end of a connection's chunk is kept with the connection and put in front of
its next chunk.
"""

from collections.abc import Callable
from typing import Final, Protocol

from gateway.relay.chunk import MAX_FRAME, MAX_HELD, ChunkWalker, Head, MediaChunk, Run, Stop, own

READ_SIZE: Final = 256 * 1024
"""Most bytes of one read."""
BUFFER_SIZE: Final = READ_SIZE + MAX_HELD + MAX_FRAME


class SharedBuffer:
    """The worker's one receive buffer."""

    def __init__(self) -> None:
        self.bytes = bytearray(BUFFER_SIZE)
        self.view = memoryview(self.bytes)


class MessageSink(Protocol):
    """Who takes the bytes between the frames."""

    @property
    def in_message(self) -> bool:
        """Whether a message has begun and not ended."""
        ...

    def receive(self, data: bytearray, start: int, end: int) -> int:
        """Take a message, or a part of it, from `data[start:end]`; return the offset behind it."""
        ...


class ChunkReader:
    """Split one connection's bytes into media runs and messages.

    Args:
        shared: the worker's buffer.
        messages: takes the RTSP messages; None where none can come (UDP).
        take: is given each run of media, in order, and what the walk told of it; None to pass over all media.
    """

    def __init__(
        self,
        shared: SharedBuffer,
        messages: MessageSink | None,
        take: Callable[[MediaChunk, Run], object] | None,
    ) -> None:
        self._shared = shared
        self._messages = messages
        self._take = take
        self._rest = b""
        self.walker = ChunkWalker(-1, frozenset(), -1, _undecided)
        "Replaced once it is known which channels carry what; until then all media are passed over."

    def hold(self, data: bytes) -> None:
        """Put `data`, received before this connection was ours, in front of what comes."""
        self._rest = data

    def begin(self) -> int:
        """Put what is left of the last chunk in front; return the offset to read to."""
        rest = self._rest
        if rest:
            self._shared.bytes[: len(rest)] = rest
        return len(rest)

    def end(self, end: int, at: float) -> None:
        """Handle the buffer up to `end`, received at monotonic `at`.

        Raises:
            RemoteProtocolError: between two frames stands something that is no message.
        """
        buffer = self._shared.bytes
        start = 0
        messages = self._messages
        if messages is not None and messages.in_message:
            start = messages.receive(buffer, 0, end)
        while True:
            run = self.walker.walk(buffer, start, end)
            if run.end > run.start and self._take is not None:
                self._take(own(buffer, run, at), run)
            start = run.next
            if run.stop is Stop.STARVED:
                break
            if run.stop is Stop.MESSAGE:
                if messages is None:
                    start = end
                    break
                start = messages.receive(buffer, start, end)
                if messages.in_message:
                    break
        self._rest = bytes(self._shared.view[start:end]) if start < end else b""


def _undecided(payload: memoryview, before: Head) -> Head:  # noqa: ARG001 - channel -1 brings no packet
    return Head.UNDECIDED
