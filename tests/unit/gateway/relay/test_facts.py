"""What a relay tells: states once, gaps from opening to closing, totals over all sessions and workers."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from adapters.base import RtspTarget, SourceKey, Transport
from gateway.relay.chunk import MediaChunk
from gateway.relay.continuity import Finding
from gateway.relay.facts import GapWatch, Reporter, Totals
from gateway.relay.inbox import EventInbox
from gateway.relay.protocol import (
    CodecChanged,
    Event,
    EventsLost,
    FirstKeyFrame,
    MediaAlive,
    MediaGapClosed,
    MediaGapOpened,
    PictureFormatSeen,
    Playing,
    RelayEnded,
    RelayState,
    RelayStateChanged,
    SinkState,
    SinkStateChanged,
    SourceEvent,
    StreamFound,
    VerificationFinished,
)
from gateway.relay.spec import RelaySpec, SinkSpec
from gateway.relay.view import RelayView, no_counters

AT = datetime(2026, 1, 2, tzinfo=UTC)
KEY = SourceKey(7)
TARGET = RtspTarget("127.0.0.1", 554, "/")
SPEC = RelaySpec(KEY, "7", TARGET, sink=SinkSpec(TARGET))


class HandClock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.at = 100.0

    def monotonic(self) -> float:
        return self.at

    def now(self) -> datetime:
        return AT

    async def sleep(self, duration: float) -> None:
        self.at += duration


def reporter() -> tuple[Reporter, list[Event]]:
    events: list[Event] = []
    return Reporter(KEY, HandClock(), events.append), events


def test_a_state_is_told_once_until_it_changes() -> None:
    telling, events = reporter()
    telling.enter(RelayState.CONNECTING)
    telling.enter(RelayState.CONNECTING)
    telling.enter(RelayState.WAITING)
    assert events == [
        RelayStateChanged(KEY, 100.0, AT, RelayState.CONNECTING),
        RelayStateChanged(KEY, 100.0, AT, RelayState.WAITING),
    ]


def test_a_sink_that_fails_for_another_cause_is_told_again() -> None:
    telling, events = reporter()
    telling.enter_sink(SinkState.FAILED, "timeout")
    telling.enter_sink(SinkState.FAILED, "timeout")
    telling.enter_sink(SinkState.FAILED, "refused", 453)
    assert [(e.cause, e.status) for e in events if isinstance(e, SinkStateChanged)] == [
        ("timeout", 0),
        ("refused", 453),
    ]


def test_a_gap_opens_once_with_the_last_media_and_closes_with_its_length() -> None:
    telling, events = reporter()
    gaps = GapWatch(telling, longest=4.0, playing_at=10.0)
    gaps.media(11.0)
    assert gaps.silence(14.9) == 3.9000000000000004
    assert gaps.silence(15.0) == 4.0
    assert gaps.silence(16.0) == 5.0
    assert gaps.is_open
    gaps.media(17.0)
    gaps.media(17.1)
    assert events == [MediaGapOpened(KEY, 100.0, AT, 11.0), MediaGapClosed(KEY, 100.0, AT, 6.0)]


def test_media_that_never_come_are_a_gap_since_play() -> None:
    telling, events = reporter()
    GapWatch(telling, longest=4.0, playing_at=10.0).silence(14.0)
    assert events == [MediaGapOpened(KEY, 100.0, AT, 10.0)]


def test_the_bit_rate_is_that_of_the_last_period() -> None:
    totals = Totals(SPEC)
    assert totals.counters(1.0).bitrate == 0
    totals.count(MediaChunk(bytes(1000), (0, 500), (0,), 1.5), 3)
    counted = totals.counters(3.0)
    assert (counted.bitrate, counted.frames, counted.key_frames, counted.last_media_at) == (4000, 2, 1, 1.5)
    assert totals.counters(4.0).bitrate == 0


def test_only_video_since_the_last_look_is_a_sign_of_life() -> None:
    totals = Totals(SPEC)
    assert totals.take_alive() is None
    totals.count(MediaChunk(b"rtcp", (), (), 1.5), 0)
    assert totals.take_alive() is None
    totals.count(MediaChunk(b"video", (), (), 2.5), 1)
    assert totals.take_alive() == 2.5
    assert totals.take_alive() is None


def test_what_the_datagrams_met_is_told_with_the_totals_and_summed_over_workers() -> None:
    view, totals = RelayView(SPEC, AT, AT), Totals(SPEC)
    totals.counters(1.0)
    reception = totals.reception
    reception.passed, reception.lost, reception.late, reception.reordered = 75, 25, 3, 4
    reception.duplicates, reception.foreign, reception.kernel_drops, reception.restarts = 5, 6, 7, 8
    reception.jitter = 0.002
    view.counters = totals.counters(2.0)
    view.lose_worker()
    view.counters = totals.counters(3.0)
    told = view.total()
    assert (told.lost, told.late, told.reordered, told.duplicates) == (50, 6, 8, 10)
    assert (told.foreign, told.kernel_drops, told.restarts) == (12, 14, 16)
    assert (told.jitter, told.loss) == (0.002, 0.25)


async def test_events_that_nobody_takes_are_dropped_and_counted_first() -> None:
    inbox = EventInbox(most=2)
    events = [RelayStateChanged(KEY, float(at), AT, RelayState.WAITING) for at in range(4)]
    for event in events:
        inbox.put(event)
    assert await inbox.take() == [EventsLost(2), *events[:2]]
    inbox.put(events[3])
    assert await inbox.take() == [events[3]]


async def test_signs_of_life_of_a_worker_are_joined_until_they_are_taken() -> None:
    inbox = EventInbox()
    one, two = SourceKey(1), SourceKey(2)
    inbox.put_alive(0, MediaAlive(1.0, AT, (one, two), (0.9, 0.8)))
    inbox.put_alive(0, MediaAlive(2.0, AT, (one,), (1.9,)))
    inbox.put_alive(1, MediaAlive(2.0, AT, (KEY,), (1.7,)))
    assert await inbox.take() == [
        MediaAlive(2.0, AT, (one, two), (1.9, 0.8)),
        MediaAlive(2.0, AT, (KEY,), (1.7,)),
    ]


def test_a_view_follows_its_events() -> None:
    view = RelayView(SPEC, AT, AT)
    for event in (
        RelayStateChanged(KEY, 1.0, AT, RelayState.PLAYING),
        Playing(KEY, 1.0, AT, "H264", Transport.UDP, has_audio=True, authenticated=True),
        FirstKeyFrame(KEY, 1.0, AT, "H264", True, 640, 480),
        MediaGapOpened(KEY, 1.0, AT, 0.5),
        CodecChanged(KEY, 1.0, AT, "H264", "H265"),
        SinkStateChanged(KEY, 1.0, AT, SinkState.FAILED, "timeout"),
    ):
        view.take(event)
    shown = view.snapshot(42)
    assert (shown.state, shown.worker, shown.codec, shown.transport) == (
        RelayState.PLAYING,
        42,
        "H265",
        Transport.UDP,
    )
    assert (shown.width, shown.height, shown.in_gap) == (640, 480, True)
    assert (shown.sink_state, shown.sink_cause) == (SinkState.FAILED, "timeout")
    view.take(RelayEnded(KEY, 2.0, AT, "closed", retryable=True, detail="127.0.0.1:554: gone"))
    shown = view.snapshot(None)
    assert (shown.cause, shown.detail, shown.in_gap) == ("closed", "127.0.0.1:554: gone", False)


def test_a_view_shows_the_newest_size_and_no_session_without_decoding_hides_it() -> None:
    view = RelayView(SPEC, AT, AT)
    view.take(FirstKeyFrame(KEY, 1.0, AT, "H264", True, 640, 480))
    view.take(FirstKeyFrame(KEY, 2.0, AT, "H264", False, 0, 0))
    view.take(StreamFound(KEY, 2.0, AT, Finding.SSRC_CHANGED, 1, True, "1 became 2"))
    assert (view.snapshot(42).width, view.snapshot(42).height) == (640, 480)
    view.take(PictureFormatSeen(KEY, 3.0, AT, "H264", "Main", 1920, 1080, False))
    assert (view.snapshot(42).width, view.snapshot(42).height) == (1920, 1080)


def playing(spec: RelaySpec, *events: SourceEvent) -> RelayView:
    view = RelayView(spec, AT, AT)
    view.take(RelayStateChanged(KEY, 1.0, AT, RelayState.PLAYING))
    for event in events:
        view.take(event)
    return view


VERIFYING = replace(SPEC, verify=10.0)
PASSED = VerificationFinished(KEY, 12.0, AT, True, "", 10.0, 10.4, 260)


@pytest.mark.parametrize(
    ("view", "movable"),
    [
        (playing(SPEC), True),
        (playing(VERIFYING), False),
        (playing(VERIFYING, PASSED), True),
        (playing(SPEC, MediaGapOpened(KEY, 2.0, AT, 1.0)), False),
        (playing(SPEC, RelayStateChanged(KEY, 2.0, AT, RelayState.WAITING)), False),
    ],
    ids=["plays", "is being verified", "was verified", "in a gap", "waits"],
)
def test_what_plays_steadily_and_is_no_verification_may_move_once_it_has_settled(
    view: RelayView, movable: bool
) -> None:
    view.placed_at = 100.0
    assert view.is_movable(160.0, 60.0) is movable
    assert not view.is_movable(159.0, 60.0)


def test_totals_tell_what_waits_for_a_slow_sink_and_how_long_it_waited() -> None:
    totals = Totals(SPEC)
    for at in (100.0, 101.0, 102.0):
        totals.queue.offer(MediaChunk(bytes(100), (0,), (0,), at))
    counted = totals.counters(102.5)
    assert (counted.queue_bytes, counted.queue_seconds, counted.delay) == (300, 2.5, 2.5)
    assert totals.queue.take() is not None
    assert totals.queue.take() is not None
    assert totals.queue.take() is not None
    counted = totals.counters(103.5)
    assert (counted.queue_bytes, counted.queue_seconds, counted.delay) == (0, 0.0, 2.0)
    assert totals.counters(104.5).delay == 0.0


def test_totals_go_on_over_the_loss_of_a_worker() -> None:
    view = RelayView(SPEC, AT, AT)
    totals = Totals(SPEC)
    totals.count(MediaChunk(bytes(1000), (0, 500), (0,), 1.5), 3)
    view.counters = totals.counters(2.0)
    view.lose_worker()
    assert view.total().frames == 2
    view.counters = totals.counters(3.0)
    assert (view.total().frames, view.total().bytes_in, view.total().last_media_at) == (4, 2000, 1.5)
    assert no_counters(KEY).frames == 0


def test_losses_and_discontinuities_add_up_over_workers() -> None:
    view = RelayView(SPEC, AT, AT)
    totals = Totals(SPEC)
    totals.lost_packets, totals.discontinuities = 5, 2
    view.counters = totals.counters(2.0)
    view.lose_worker()
    view.counters = totals.counters(3.0)
    assert (view.total().lost_packets, view.total().discontinuities) == (10, 4)
