"""The verification pull: what passes, what does not, and by which cause."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from adapters.base import SourceKey
from adapters.media.sdp import Format
from gateway.relay.chunk import MediaChunk
from gateway.relay.facts import Reporter
from gateway.relay.picture import Decoded
from gateway.relay.protocol import Event, FirstKeyFrame, VerificationFinished
from gateway.relay.verification import GRACE, MAX_ATTEMPTS, Decoder, Verification
from tests.waiting import eventually

H264 = Format(96, "H264", 90000)


class HandClock:
    """A clock that stands still."""

    def monotonic(self) -> float:
        return 100.0

    def now(self) -> datetime:
        return datetime(2026, 1, 2, tzinfo=UTC)

    async def sleep(self, duration: float) -> None:
        raise NotImplementedError(duration)


class ScriptedDecoder(Decoder):
    """Knows pictures that begin with `good`."""

    def __init__(self) -> None:
        super().__init__()
        self.tried: list[bytes] = []

    async def decode(self, frames: bytes, channel: int, chosen: Format) -> Decoded:
        self.tried.append(frames)
        if not frames.startswith(b"good"):
            raise ValueError("broken picture")
        return Decoded(640, 480)


class Bench:
    """A verification of 10 s that began at 0."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        reporter = Reporter(SourceKey(7), HandClock(), self.events.append)
        self.decoder = ScriptedDecoder()
        self.verification = Verification(10.0, 0, H264, self.decoder, reporter, 0.0)

    def take(self, at: float, picture: bytes, *, is_key: bool = True) -> None:
        self.verification.take(MediaChunk(picture, (0,), (0,) if is_key else (), at))

    @property
    def outcomes(self) -> list[tuple[bool, str]]:
        return [(e.passed, e.cause) for e in self.events if isinstance(e, VerificationFinished)]

    @property
    def key_frames(self) -> list[tuple[bool, int, int]]:
        return [(e.decoded, e.width, e.height) for e in self.events if isinstance(e, FirstKeyFrame)]


@asynccontextmanager
async def running() -> AsyncIterator[Bench]:
    bench = Bench()
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(bench.verification.run(), name="verification")
        yield bench
        task.cancel()
    bench.decoder.close()


async def test_ten_seconds_of_steady_video_and_one_decoded_key_frame_pass() -> None:
    async with running() as bench:
        bench.take(1.0, b"good key")
        bench.take(1.5, b"other", is_key=False)
        await eventually(lambda: bench.key_frames == [(True, 640, 480)], what="decoding")
        bench.take(10.9, b"other", is_key=False)
        bench.verification.tick(11.0, gap=False)
        assert bench.outcomes == []
        bench.take(11.0, b"other", is_key=False)
        bench.verification.tick(11.5, gap=False)
        bench.verification.tick(12.5, gap=False)
        assert bench.outcomes == [(True, "")]
        finished = bench.events[-1]
        assert isinstance(finished, VerificationFinished)
        assert (finished.received, finished.frames, finished.needed) == (10.0, 4, 10.0)


async def test_a_gap_begins_the_seconds_anew() -> None:
    async with running() as bench:
        bench.take(1.0, b"good key")
        bench.take(2.0, b"other", is_key=False)
        await eventually(lambda: bool(bench.key_frames), what="decoding")
        bench.verification.tick(6.0, gap=True)
        bench.take(7.0, b"other", is_key=False)
        bench.take(12.0, b"other", is_key=False)
        bench.verification.tick(12.0, gap=False)
        assert bench.outcomes == []
        bench.verification.tick(10.0 + GRACE, gap=False)
        assert bench.outcomes == [(False, "no_steady_video")]


async def test_key_frames_that_do_not_decode_are_tried_a_few_times_and_then_told() -> None:
    async with running() as bench:
        for second in range(MAX_ATTEMPTS + 3):
            bench.take(float(second), b"bad key")
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        bench.take(20.0, b"good key, too late for this window")
        bench.verification.tick(10.0 + GRACE, gap=False)
        assert bench.outcomes == [(False, "no_decodable_key_frame")]
        assert bench.key_frames == [(False, 0, 0)]
        # The next window tries again.
        bench.take(26.0, b"good key")
        bench.take(27.0, b"other", is_key=False)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        bench.verification.tick(28.0, gap=False)
        assert bench.outcomes == [(False, "no_decodable_key_frame"), (True, "")]


async def test_after_a_key_frame_that_does_not_decode_whole_groups_of_pictures_are_tried() -> None:
    async with running() as bench:
        bench.take(1.0, b"bad")
        bench.take(2.0, b"other", is_key=False)
        await eventually(lambda: bench.decoder.tried == [b"bad"], what="the first try")
        bench.take(3.0, b"good")
        bench.take(4.0, b" group", is_key=False)
        assert bench.decoder.tried == [b"bad"]
        bench.take(5.0, b"next")
        await eventually(lambda: bench.decoder.tried == [b"bad", b"good group"], what="the second try")
        await eventually(lambda: bench.key_frames == [(True, 640, 480)], what="decoding")


async def test_no_key_frame_at_all_is_told_by_the_outcome_alone() -> None:
    async with running() as bench:
        bench.take(1.0, b"other", is_key=False)
        bench.take(12.0, b"other", is_key=False)
        bench.verification.tick(10.0 + GRACE, gap=False)
        assert (bench.outcomes, bench.key_frames) == ([(False, "no_decodable_key_frame")], [])
