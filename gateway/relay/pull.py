"""What a relay session asks of the way by which its media come, whatever the protocol."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from adapters.base import StreamInfo, Transport
from adapters.media.sdp import Media
from gateway.relay.chunk import ChunkWalker, MediaChunk, Run
from gateway.relay.fanout import Channels
from gateway.relay.pace import ReadTick
from gateway.relay.reader import SharedBuffer
from gateway.relay.udp import PortPool
from gateway.relay.verification import Decoder


@dataclass(frozen=True)
class Shared:
    """What the relays of one worker have in common; nothing of it holds media between two calls."""

    buffer: SharedBuffer
    made: SharedBuffer
    "Where packets are written that a session makes itself, from what stands in `buffer`."
    ports: PortPool
    tick: ReadTick
    decoder: Decoder


@dataclass(frozen=True)
class Opened:
    """What a pull delivers from now on."""

    media: tuple[Media, ...]
    "Of each track, video first."
    channels: Channels
    stream: StreamInfo
    transport: Transport
    is_authenticated: bool
    "Whether the source asked for proof and took ours, or proved itself to us."
    walker: ChunkWalker


Take = Callable[[MediaChunk, Run], None]
"""Is given each run of media."""


class Pull(Protocol):
    """One way to one source, for one session."""

    @property
    def ended(self) -> asyncio.Future[None]:
        """Return what is done when it is of no further use; holds the error unless we closed it."""
        ...

    @property
    def refusals(self) -> int:
        """Return how often the source refused our credential in this session."""
        ...

    async def open(self, opened: Callable[[Opened], None]) -> None:
        """Ask the source for its media; `opened` is called synchronously before the first of them is given.

        Raises:
            AdapterError: it does not give them.
        """
        ...

    def note(self, chunk: MediaChunk) -> None:
        """Look at a run that has pictures or control packets in it; the hot path."""
        ...

    def tick(self, now: float, *, is_silent: bool, last_at: float) -> None:
        """Do what is due once a second.

        Args:
            now: monotonic seconds.
            is_silent: whether a gap in the media is open.
            last_at: when the last video came, 0 before the first.
        """
        ...

    def fail(self, error: BaseException) -> None:
        """End at once because of `error`; the first one counts."""
        ...

    async def close(self, within: float) -> None:
        """Take leave of the source, at most `within` seconds, and give everything back."""
        ...
