"""One source's media to any number of takers: the push to the superior, and whoever pulls from us."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol

from adapters.media.sdp import Format, Media
from gateway.relay.chunk import MediaChunk
from gateway.relay.gop import GopCache
from gateway.relay.parameters import lacks_parameter_sets

Channels = tuple[tuple[int, int], ...]
"""RTP and RTCP channel of each track as they stand in the chunks, video first."""


@dataclass(frozen=True)
class Stream:
    """What one pull session delivers; a new session is a new stream, for sequence and time begin anew."""

    media: tuple[Media, ...]
    "Of each track, video first."
    channels: Channels


class Taker(Protocol):
    """Takes the media of one source."""

    def offer(self, chunk: MediaChunk) -> None:
        """Take `chunk`, or drop it; must never block nor raise."""
        ...

    def tick(self, now: float) -> None:
        """Do what is due at monotonic `now`; called once a second."""
        ...

    def end(self) -> None:
        """The stream is over: nothing more comes."""
        ...


class Fanout:
    """The takers of one relay's media, and the group of pictures on which a new one starts.

    It lives as long as the relay; its takers live as long as the stream: what comes after a reconnect has other
    sequence numbers and times, so a taker that stayed would see a jump that looks like loss.

    Args:
        gop_bytes: most bytes of the group of pictures kept; 0 keeps none.
    """

    def __init__(self, gop_bytes: int) -> None:
        self.stream: Stream | None = None
        "Set while the source plays."
        self._gop = GopCache(gop_bytes)
        self._takers: list[Taker] = []
        self._described = asyncio.Event()
        "Set while the description holds the parameter sets that takers need."

    def begin(self, stream: Stream) -> None:
        """Note that the source plays."""
        self.end()
        self.stream = stream
        if not (stream.media and lacks_parameter_sets(stream.media[0].formats[0])):
            self._described.set()

    def describe(self, video: Format) -> None:
        """Offer the video as `video` to takers that come from now on: the stream told more than its description."""
        if self.stream is not None and self.stream.media:
            first, *others = self.stream.media
            first = replace(first, formats=(video, *first.formats[1:]))
            self.stream = replace(self.stream, media=(first, *others))
            if not lacks_parameter_sets(video):
                self._described.set()

    async def description(self, within: float) -> Stream | None:
        """Return the stream once it is described, or as it is after `within` seconds; None when there is none.

        Waiting costs a taker nothing: parameter sets come with the first key picture, and before that nothing
        decodes.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._described.wait()
        return self.stream

    def end(self) -> None:
        """Note that the source plays no more; every taker is told and left."""
        self.stream = None
        self._described.clear()
        self._gop.clear()
        takers, self._takers = self._takers, []
        for taker in takers:
            taker.end()

    def add(self, taker: Taker) -> None:
        """Give `taker` what comes from now on."""
        self._takers = [*self._takers, taker]

    def remove(self, taker: Taker) -> None:
        """Give `taker` nothing more; an unknown one is ignored."""
        # A new list each time: a taker may leave while one is walked.
        self._takers = [each for each in self._takers if each is not taker]

    def offer(self, chunk: MediaChunk) -> None:
        """Pass one run of media on: the hot path."""
        self._gop.take(chunk)
        for taker in self._takers:
            taker.offer(chunk)

    def replay(self, now: float) -> Iterator[MediaChunk]:
        """Yield the group of pictures under way."""
        return self._gop.replay(now)

    def forget(self) -> None:
        """Forget the group of pictures under way: what comes does not go on from it."""
        self._gop.clear()

    def tick(self, now: float) -> None:
        """Let every taker do what is due."""
        for taker in self._takers:
            taker.tick(now)

    def __len__(self) -> int:
        return len(self._takers)
