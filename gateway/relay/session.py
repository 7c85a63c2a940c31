"""One pull of one source, from asking for it to the end: carries its media to its sink, tells its facts.

A session belongs to one immutable `RelaySpec` and uses sockets of its own that serve nothing else
before or after: a frame cannot go out under another source's id.
"""

import asyncio
from typing import Final

from adapters.base import StreamInfo
from adapters.errors import AdapterError, PeerTimeout, RemoteProtocolError, StreamChanged
from gateway.relay.changes import Changes
from gateway.relay.chunk import ChunkWalker, MediaChunk, Run
from gateway.relay.facts import GapWatch, Reporter, Totals
from gateway.relay.fanout import Channels, Fanout, Stream
from gateway.relay.invited_pull import InvitedPull
from gateway.relay.protocol import (
    CodecChanged,
    FirstKeyFrame,
    OfferAnswered,
    OfferRefused,
    Playing,
    RelayEnded,
    RelayState,
)
from gateway.relay.pull import Opened, Pull, Shared
from gateway.relay.rtsp_pull import RtspPull
from gateway.relay.sink import Sink
from gateway.relay.spec import RelaySpec
from gateway.relay.verification import Verification

TICK: Final = 1.0
"""Seconds between two looks at what is missing."""


class RelaySession:
    """Pull `spec` once; `run` raises when it is over.

    Args:
        spec: what to pull and where to push it.
        shared: the worker's buffers, ports and threads.
        totals: of the relay, over all its sessions.
        fanout: of the relay; its takers are given the media.
        reporter: of the relay.
    """

    def __init__(
        self, spec: RelaySpec, shared: Shared, totals: Totals, fanout: Fanout, reporter: Reporter
    ) -> None:
        self._spec = spec
        self._shared = shared
        self._totals = totals
        self._fanout = fanout
        self._reporter = reporter
        self._loop = asyncio.get_running_loop()
        self._invited = None
        if spec.invitation is not None:
            self._invited = InvitedPull(spec, spec.invitation, shared, totals, reporter, self._take)
        self._pull: Final[Pull] = self._invited or RtspPull(spec, shared, totals, self._take)
        self._walker: ChunkWalker | None = None
        self._rate = (0, 0, 0.0)
        "Frames walked over and bytes received at the last look, and when that was."
        self._changes: Changes | None = None
        self._changed: asyncio.Future[str] = self._loop.create_future()
        "Why the stream under way became another one; the session then takes its leave."
        self._gaps: GapWatch | None = None
        self._verification: Verification | None = None
        self._sink: Sink | None = None
        self._channels: Channels = ()
        self._key_frame_told = spec.verify > 0 and not totals.verified
        "A verifying session tells its first key frame when that is decoded."

    async def run(self) -> None:
        """Ask for the media, and carry them until something ends it.

        Raises:
            AdapterError: why it ended; reported as `RelayEnded` already.
        """
        self._totals.sessions += 1
        self._reporter.enter(RelayState.CONNECTING)
        error: BaseException | None = None
        try:
            await self._pull.open(self._begin)
            await self._carry()
        except BaseException as ended:
            error = ended
            raise
        finally:
            self._fanout.end()
            await self._pull.close(self._spec.bounds.teardown)
            self._report_end(error)

    def answer(self, answer: OfferAnswered | OfferRefused) -> None:
        """Take in what became of the invitation of an invited source."""
        if self._invited is not None:
            self._invited.answer(answer)

    async def _watch(self) -> None:
        """Tick once a second; in a task of this session, so that a bug in it ends this session alone."""
        while True:
            await self._reporter.clock.sleep(TICK)
            self._tick(self._loop.time())

    def _tick(self, now: float) -> None:
        """Do what is due: gaps, missing media, a stalled sink, the verification."""
        gaps = self._gaps
        if gaps is None or self._pull.ended.done():
            return
        silence = gaps.silence(now)
        bounds = self._spec.bounds
        limit = bounds.media_timeout if gaps.last_at else bounds.first_media
        if silence >= limit:
            what = "no video" if gaps.last_at else "no video after PLAY"
            self._pull.fail(PeerTimeout(f"{what} for {silence:.0f} s", peer=self._spec.target.peer))
        self._check_rate(now)
        self._pull.tick(now, is_silent=gaps.is_open, last_at=gaps.last_at)
        self._fanout.tick(now)
        if self._verification is not None:
            self._verification.tick(now, gap=gaps.is_open)
            if self._verification.passed:
                self._totals.verified, self._verification = True, None

    def _check_rate(self, now: float) -> None:
        """End a pull that floods us: its walking and copying is time that its neighbours lack."""
        walked, received, since = self._rate
        walked_now = self._walker.walked if self._walker is not None else 0
        self._rate = (walked_now, self._totals.bytes_in, now)
        passed = now - since
        if passed <= 0:
            return
        packets = (walked_now - walked) / passed
        bitrate = 8 * (self._totals.bytes_in - received) / passed
        if packets > self._spec.bounds.max_packets or bitrate > self._spec.bounds.max_bitrate:
            text = f"sends {packets:.0f} packets and {bitrate / 1e6:.0f} Mbit a second"
            self._pull.fail(RemoteProtocolError(text, peer=self._spec.target.peer))

    # -- when the media begin ------------------------------------------------------------------------

    def _begin(self, opened: Opened) -> None:
        """Get ready for the media, which follow at once."""
        stream, now = opened.stream, self._loop.time()
        self._note_codec(stream)
        self._channels = opened.channels
        self._walker = opened.walker
        self._rate = (0, self._totals.bytes_in, now)
        self._gaps = GapWatch(self._reporter, self._spec.bounds.media_gap, now)
        self._prepare(opened, now)
        self._fanout.begin(Stream(opened.media, opened.channels))
        if self._sink is not None:
            self._fanout.add(self._sink)
        self._reporter.report(
            Playing(
                *self._reporter.times(),
                stream.codec,
                opened.transport,
                stream.has_audio,
                opened.is_authenticated,
            )
        )
        self._reporter.enter(RelayState.PLAYING)

    def _note_codec(self, stream: StreamInfo) -> None:
        before, self._totals.codec = self._totals.codec, stream.codec
        if before not in ("", stream.codec):
            self._totals.discontinuities += 1
            self._reporter.report(CodecChanged(*self._reporter.times(), before, stream.codec))

    def _prepare(self, opened: Opened, now: float) -> None:
        """Make the verification and the sink that this session needs."""
        spec, video = self._spec, opened.media[0].formats[0]
        self._changes = Changes(
            self._channels[0][0],
            video,
            self._totals,
            self._fanout,
            self._reporter,
            self._changed.set_result,
        )
        if spec.verify > 0 and not self._totals.verified:
            self._verification = Verification(
                spec.verify,
                self._channels[0][0],
                video,
                self._shared.decoder,
                self._reporter,
                now,
            )
        if spec.sink is not None:
            self._sink = Sink(
                spec.sink,
                spec.source_code,
                spec.bounds,
                self._totals.queue,
                self._shared.buffer,
                self._reporter,
            )

    # -- carrying ----------------------------------------------------------------------------------

    def _take(self, received: MediaChunk, run: Run) -> None:
        """Pass one run of media on: the hot path."""
        self._totals.count(received, run.video_packets)
        if received.pictures or (self._walker is not None and self._walker.heard):
            self._pull.note(received)
        chunk = self._changes.take(received, run) if self._changes is not None else received
        if chunk is None:
            return
        if run.video_packets and self._gaps is not None:
            self._gaps.media(chunk.at)
            if self._verification is not None:
                self._verification.take(chunk)
            if chunk.keys and not self._key_frame_told:
                self._key_frame_told = True
                self._reporter.report(FirstKeyFrame(*self._reporter.times(), self._totals.codec, False, 0, 0))
        self._fanout.offer(chunk)

    async def _carry(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(self._watch(), name="watch")]
            stream = self._fanout.stream
            if self._sink is not None and stream is not None:
                running.append(tasks.create_task(self._sink.run(stream, self._fanout), name="sink"))
            if self._verification is not None:
                running.append(tasks.create_task(self._verification.run(), name="verification"))
            await asyncio.wait((self._pull.ended, self._changed), return_when=asyncio.FIRST_COMPLETED)
            for task in running:
                task.cancel()
        if self._changed.done():
            raise StreamChanged(self._changed.result(), peer=self._spec.target.peer)
        self._pull.ended.result()

    # -- the end -----------------------------------------------------------------------------------

    def _report_end(self, error: BaseException | None) -> None:
        if isinstance(error, AdapterError):
            cause, retryable, detail = error.cause, error.retryable, str(error)[:512]
        elif error is None or isinstance(error, asyncio.CancelledError):
            cause, retryable, detail = "stopped", False, ""
        else:
            cause, retryable, detail = "bug", True, type(error).__name__
        self._reporter.report(
            RelayEnded(
                *self._reporter.times(),
                cause,
                retryable,
                status=getattr(error, "status", 0),
                refusals=self._pull.refusals,
                detail=detail,
                was_playing=self._gaps is not None,
                last_media_at=self._gaps.last_at if self._gaps is not None else 0.0,
            )
        )
        self._reporter.enter(RelayState.WAITING if retryable else RelayState.ENDED)
