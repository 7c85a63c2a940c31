"""Streams that do not simply go on: captures as a misbehaving camera would send them, and what is done about each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.base import RtspTarget, SourceKey
from adapters.media.parameter_sets import described
from adapters.media.sdp import Format, Media
from gateway.clock import SystemClock
from gateway.relay.changes import END_AGAIN, TELL_AGAIN, Changes
from gateway.relay.chunk import FOREIGN_ROW, ChunkWalker, MediaChunk, Run
from gateway.relay.continuity import POLICIES, STILL, Do, Finding
from gateway.relay.facts import Reporter, Totals
from gateway.relay.fanout import Fanout, Stream
from gateway.relay.picture import classifier
from gateway.relay.protocol import Event, PictureFormatSeen, StreamFound
from gateway.relay.reader import ChunkReader, SharedBuffer
from gateway.relay.spec import RelaySpec
from tests.media_captures import behind, captured, edited, moved, sequence, timestamp, without_units

SPEC = RelaySpec(SourceKey(7), "7", RtspTarget("127.0.0.1", 554, "/"))
H264 = Format(96, "H264", 90_000, None, "packetization-mode=1")
H265 = Format(96, "H265", 90_000)
DESCRIBED = Format(
    *(96, "H264", 90_000, None),
    "packetization-mode=1; sprop-parameter-sets=Z2QACqyyBQj8uAiAAAADAIAAAAwHiRMk,aOvA5LIs",
)
SECOND = 90_000
SSRC = 0xDEADBEEF


@dataclass
class Relayed:
    """A relay's way from the bytes of a camera to its takers."""

    video: Format = H264
    totals: Totals = field(default_factory=lambda: Totals(SPEC))
    events: list[Event] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)
    passed: list[MediaChunk] = field(default_factory=list)
    fanout: Fanout = field(default_factory=lambda: Fanout(10_000_000))

    def __post_init__(self) -> None:
        media = Media("video", "RTP/AVP", (self.video,), ())
        self.fanout.begin(Stream((media,), ((0, 1),)))
        reporter = Reporter(SPEC.source_id, SystemClock(), self.events.append)
        self._changes = Changes(0, self.video, self.totals, self.fanout, reporter, self.ends.append)
        self._shared = SharedBuffer()
        self._reader = ChunkReader(self._shared, None, self._take)
        self._reader.walker = ChunkWalker(0, {0, 1}, 96, classifier(self.video.encoding))

    def _take(self, received: MediaChunk, run: Run) -> None:
        self.totals.count(received, run.video_packets)
        chunk = self._changes.take(received, run)
        if chunk is not None:
            self.passed.append(chunk)
            self.fanout.offer(chunk)

    def receive(self, data: bytes, at: float = 0.0) -> None:
        begin = self._reader.begin()
        self._shared.bytes[begin : begin + len(data)] = data
        self._reader.end(begin + len(data), at)

    def play(self, frames: Sequence[bytes], at: float = 0.0) -> "Relayed":
        """Take in `frames` one by one, all at the same instant."""
        for frame in frames:
            self.receive(frame, at)
        return self

    @property
    def data(self) -> bytes:
        return b"".join(chunk.data for chunk in self.passed)

    @property
    def found(self) -> list[Finding]:
        return [event.finding for event in self.events if isinstance(event, StreamFound)]

    @property
    def sizes(self) -> list[tuple[int, int]]:
        return [(event.width, event.height) for event in self.events if isinstance(event, PictureFormatSeen)]

    @property
    def kept(self) -> bytes:
        return b"".join(chunk.data for chunk in self.fanout.replay(0.0))


def described_in(fanout: Fanout) -> tuple[bytes, ...]:
    assert fanout.stream is not None
    return described(fanout.stream.media[0].formats[0])


def halves(name: str) -> tuple[list[bytes], list[bytes]]:
    """Return a capture cut in front of its middle key picture."""
    frames = captured(name)
    times = list(dict.fromkeys(timestamp(f) for f in frames))
    key = times[12] if name == "h264_b_frames_slices" else times[8]
    middle = next(index for index, frame in enumerate(frames) if timestamp(frame) == key)
    return list(frames[:middle]), list(frames[middle:])


STEADY = [
    "h264_b_frames_slices",
    "h264_described_only",
    "h264_fragments",
    "h264_wide",
    "h265_b_frames",
    "h265_open_gop",
]


@pytest.mark.parametrize(
    ("name", "pictures", "keys"),
    [
        ("h264_b_frames_slices", 24, 2),
        ("h264_intra_refresh", 24, 3),
        ("h264_open_gop", 24, 3),
        ("h264_described_only", 24, 3),
        ("h264_fragments", 12, 1),
        ("h264_wide", 12, 1),
        ("h265_b_frames", 24, 3),
        ("h265_open_gop", 24, 3),
    ],
)
def test_every_form_of_stream_has_its_pictures_counted_and_its_starts_found(
    name: str, pictures: int, keys: int
) -> None:
    video = H265 if name.startswith("h265") else DESCRIBED if "described" in name else H264
    relayed = Relayed(video).play(captured(name))
    assert (relayed.totals.frames, relayed.totals.key_frames) == (pictures, keys)
    assert (relayed.totals.lost_packets, relayed.totals.discontinuities) == (0, 0)
    assert relayed.data == b"".join(captured(name))


@pytest.mark.parametrize("name", STEADY)
def test_b_frames_slices_fragments_and_wrapping_numbers_are_no_findings(name: str) -> None:
    video = H265 if name.startswith("h265") else DESCRIBED if "described" in name else H264
    frames = captured(name)
    assert Relayed(video).play(frames).found == []
    middle = frames[len(frames) // 2]
    wrapping = Relayed(video).play(moved(frames, sequence=-sequence(middle), timestamp=-timestamp(middle)))
    assert wrapping.found == []
    assert (wrapping.totals.lost_packets, wrapping.totals.discontinuities) == (0, 0)


@pytest.mark.parametrize("slower", [12, 24])
def test_b_frames_of_a_slow_camera_are_no_jumps(slower: int) -> None:
    frames = captured("h264_b_frames_slices")
    first, relayed = timestamp(frames[0]), Relayed()
    for number, (ticks, picture) in enumerate(groupby(frames, timestamp)):
        slow = [edited(frame, timestamp=first + (ticks - first) * slower) for frame in picture]
        relayed.play(slow, at=number * slower / 12)
    assert relayed.found == []
    assert relayed.totals.frames == 24


@pytest.mark.parametrize("marker", [True, False])
def test_markers_missing_or_on_every_packet_change_nothing(marker: bool) -> None:
    frames = captured("h264_b_frames_slices")
    plain = Relayed().play(frames)
    edited_ = Relayed().play([edited(frame, marker=marker) for frame in frames])
    assert edited_.found == []
    assert [c.pictures for c in edited_.passed] == [c.pictures for c in plain.passed]
    assert [c.keys for c in edited_.passed] == [c.keys for c in plain.passed]


@pytest.mark.parametrize("name", ["h264_intra_refresh", "h264_open_gop"])
def test_a_stream_without_idr_is_started_at_its_recovery_points_and_that_is_told_once(name: str) -> None:
    _, rest = halves(name)
    relayed = Relayed().play(rest)
    assert relayed.totals.key_frames == 2
    assert relayed.kept.startswith(rest[0]) is False
    assert relayed.found == [Finding.STARTS_WITHOUT_KEY_PICTURE]


@pytest.mark.parametrize("ticks", [-1000, 1000])
def test_parameter_sets_with_a_timestamp_of_their_own_begin_the_picture_behind_them(ticks: int) -> None:
    frames = list(captured("h264_fragments"))
    frames[0] = edited(frames[0], timestamp=timestamp(frames[0]) + ticks)
    relayed = Relayed().play(frames)
    assert (relayed.totals.frames, relayed.totals.key_frames) == (12, 1)
    assert relayed.kept == b"".join(frames)
    assert len(described_in(relayed.fanout)) == 2
    assert relayed.found == []


def test_parameter_sets_before_every_picture_make_no_key_pictures_of_it() -> None:
    frames = captured("h264_fragments")
    sets = frames[0][16:]
    made: list[bytes] = []
    for frame in frames:
        if timestamp(frame) != timestamp(frames[0]):
            made.append(frame[:2] + (12 + len(sets)).to_bytes(2, "big") + frame[4:16] + sets)
        made.append(frame)
    made = [edited(frame, sequence=index) for index, frame in enumerate(made)]
    relayed = Relayed().play(made)
    assert (relayed.totals.frames, relayed.totals.key_frames) == (12, 1)


# -- what comes of it ---------------------------------------------------------------------------------------------


def lost(frames: list[bytes], rest: list[bytes]) -> list[bytes]:
    return frames[:-3] + rest


def jumped_sequence(frames: list[bytes], rest: list[bytes]) -> list[bytes]:
    return frames + moved(rest, sequence=20_000)


def jumped_forward(frames: list[bytes], rest: list[bytes]) -> list[bytes]:
    return frames + moved(rest, timestamp=3600 * SECOND)


def jumped_back(frames: list[bytes], rest: list[bytes]) -> list[bytes]:
    return frames + moved(rest, timestamp=-10 * SECOND)


def restarted(frames: list[bytes], rest: list[bytes]) -> list[bytes]:
    return frames + moved(rest, sequence=20_000, timestamp=-3600 * SECOND)


def other_ssrc(frames: list[bytes], rest: list[bytes]) -> list[bytes]:
    return frames + moved(rest, ssrc=SSRC)


def repeated(frames: list[bytes], rest: list[bytes]) -> list[bytes]:
    return frames[:-1] + frames[-2:] + rest


def larger(frames: list[bytes], rest: list[bytes]) -> list[bytes]:
    return frames + behind(frames, captured("h264_wide"))


def other_profile(frames: list[bytes], rest: list[bytes]) -> list[bytes]:
    return frames + behind(frames, captured("h264_fragments"))


def foreign(frames: list[bytes], rest: list[bytes]) -> list[bytes]:
    return [*frames, edited(rest[0], payload_type=97, ssrc=1), *rest]


def foreign_alone(frames: list[bytes], rest: list[bytes]) -> list[bytes]:
    other = [edited(rest[0], payload_type=97, sequence=n) for n in range(FOREIGN_ROW)]
    return frames + other + rest


def standing(frames: list[bytes], rest: list[bytes]) -> list[bytes]:
    empty = b"$\x00\x00\x0c" + frames[-1][4:16]
    still = [edited(empty, sequence=sequence(empty) + 1 + number) for number in range(STILL)]
    return [*frames, *still, *moved(rest, sequence=STILL)]


def missing(frames: list[bytes], rest: list[bytes]) -> list[bytes]:
    return without_units([*frames, *rest], (7, 8))


Deviation = Callable[[list[bytes], list[bytes]], list[bytes]]

CASES: list[tuple[Deviation, list[Finding]]] = [
    (jumped_sequence, [Finding.SEQUENCE_JUMPED]),
    (jumped_forward, [Finding.TIMESTAMP_JUMPED_FORWARD]),
    (jumped_back, [Finding.TIMESTAMP_JUMPED_BACK]),
    (restarted, [Finding.ENCODER_RESTARTED]),
    (other_ssrc, [Finding.SSRC_CHANGED]),
    (larger, [Finding.PICTURE_FORMAT_CHANGED]),
    (other_profile, [Finding.PICTURE_FORMAT_CHANGED]),
    (foreign, [Finding.PAYLOAD_TYPE_FOREIGN]),
    (foreign_alone, [Finding.PAYLOAD_TYPE_FOREIGN, Finding.PAYLOAD_TYPE_CHANGED]),
    (standing, [Finding.TIMESTAMP_STANDS_STILL]),
    (missing, [Finding.PARAMETER_SETS_MISSING]),
    (lost, []),
    (repeated, []),
]


@pytest.mark.parametrize(("deviation", "findings"), CASES)
def test_each_change_is_found_told_once_and_treated_as_the_table_says(
    deviation: Deviation, findings: list[Finding]
) -> None:
    frames, rest = halves("h264_b_frames_slices")
    relayed = Relayed().play(deviation(frames, rest))
    assert relayed.found == findings
    ends = [finding for finding in findings if Do.END in POLICIES[finding]]
    assert len(relayed.ends) == len(ends)
    assert relayed.totals.discontinuities == sum(Do.COUNT in POLICIES[finding] for finding in findings)


def test_packets_lost_inside_the_camera_are_counted_without_looking_at_them() -> None:
    frames, rest = halves("h264_b_frames_slices")
    assert Relayed().play(lost(frames, rest)).totals.lost_packets == 3
    assert Relayed().play(repeated(frames, rest)).totals.lost_packets == 0


@pytest.mark.parametrize("deviation", [restarted, other_ssrc, larger])
def test_takers_are_given_the_old_stream_to_its_end_and_nothing_of_the_new_one(deviation: Deviation) -> None:
    frames, rest = halves("h264_b_frames_slices")
    relayed = Relayed()
    relayed.receive(b"".join(deviation(frames, rest)))
    assert relayed.data == b"".join(frames)
    assert len(relayed.ends) == 1
    relayed.play(rest)
    assert relayed.data == b"".join(frames)


def test_a_camera_with_the_habit_is_not_begun_anew_each_time() -> None:
    frames, rest = halves("h264_b_frames_slices")
    totals = Totals(SPEC)
    assert len(Relayed(totals=totals).play(other_ssrc(frames, rest), at=1000.0).ends) == 1
    again = Relayed(totals=totals).play(other_ssrc(frames, rest), at=1000.0 + END_AGAIN - 1)
    assert again.ends == []
    assert again.data == b"".join(other_ssrc(frames, rest))
    assert again.found == [Finding.SSRC_CHANGED]
    later = Relayed(totals=totals).play(other_ssrc(frames, rest), at=1000.0 + END_AGAIN)
    assert len(later.ends) == 1
    assert totals.discontinuities == 3


def test_the_same_thing_is_told_once_a_minute_with_its_number() -> None:
    frames, rest = halves("h264_b_frames_slices")
    relayed = Relayed().play(frames)
    for turn in range(1, 4):
        relayed.play(moved(rest, sequence=20_000 * turn), at=turn * TELL_AGAIN / 2)
    told = [event.count for event in relayed.events if isinstance(event, StreamFound)]
    assert told == [1, 3]
    assert relayed.totals.discontinuities == 3


def test_a_new_taker_never_starts_in_front_of_a_break() -> None:
    frames, rest = halves("h264_b_frames_slices")
    later = [frame for frame in rest if timestamp(frame) != timestamp(rest[0])]
    head = [frame for frame in rest if timestamp(frame) == timestamp(rest[0])]
    relayed = Relayed().play([*frames, *head])
    assert relayed.kept == b"".join(head)
    relayed.play(moved(later, timestamp=3600 * SECOND))
    assert relayed.kept == b""
    in_one = Relayed()
    in_one.receive(b"".join([*frames, *head, *moved(later[:5], timestamp=3600 * SECOND)]))
    in_one.receive(b"".join(moved(later[5:], timestamp=3600 * SECOND)))
    assert in_one.kept == b""


def test_a_break_at_a_key_picture_leaves_that_one_to_start_on() -> None:
    frames, rest = halves("h264_b_frames_slices")
    relayed = Relayed()
    relayed.receive(b"".join(jumped_forward(frames, rest)))
    assert relayed.kept == b"".join(moved(rest, timestamp=3600 * SECOND))


def test_a_pause_of_the_camera_is_no_jump_forward() -> None:
    frames, rest = halves("h264_b_frames_slices")
    relayed = Relayed().play(frames, at=100.0)
    relayed.play(moved(rest, timestamp=15 * SECOND), at=115.0)
    assert relayed.found == []


# -- parameter sets -----------------------------------------------------------------------------------------------


def test_parameter_sets_of_the_stream_are_offered_where_the_description_lacks_them() -> None:
    frames = captured("h264_b_frames_slices")
    relayed = Relayed().play(frames)
    assert relayed.found == []
    assert [unit[0] & 0x1F for unit in described_in(relayed.fanout)] == [7, 8]
    assert relayed.sizes == [(160, 120)]
    h265 = Relayed(H265).play(captured("h265_b_frames"))
    assert [unit[0] >> 1 for unit in described_in(h265.fanout)] == [32, 33, 34]
    assert h265.sizes == [(160, 120)]


def test_parameter_sets_that_the_description_alone_has_stay_offered() -> None:
    relayed = Relayed(DESCRIBED).play(captured("h264_described_only"))
    assert relayed.found == []
    assert described_in(relayed.fanout) == described(DESCRIBED)
    assert relayed.sizes == [(160, 120)]


def test_parameter_sets_twice_or_with_zeros_behind_are_the_same() -> None:
    frames = list(captured("h264_wide"))
    plain = Relayed().play(frames)
    assert plain.fanout.stream is not None
    video = plain.fanout.stream.media[0].formats[0]
    sets, pps = described(video)
    single = [
        frames[0][:2] + (12 + len(unit)).to_bytes(2, "big") + frames[0][4:16] + unit
        for unit in (sets, pps + b"\0\0", sets, pps)
    ]
    made = [edited(frame, sequence=number) for number, frame in enumerate([*single, *frames])]
    twice = Relayed(video).play(made)
    assert twice.found == []
    assert described_in(twice.fanout) == (sets, pps)


def test_a_description_that_does_not_fit_the_stream_is_told_and_replaced_in_what_is_offered() -> None:
    relayed = Relayed(DESCRIBED).play(captured("h264_wide"))
    assert relayed.found == [Finding.PARAMETER_SETS_DIFFER]
    assert relayed.ends == []
    assert described_in(relayed.fanout) != described(DESCRIBED)
    assert relayed.sizes == [(320, 180)]


def test_a_change_of_size_that_is_let_pass_is_offered_in_the_new_size() -> None:
    totals = Totals(SPEC)
    totals.began_anew_at = 0.0
    frames, rest = halves("h264_b_frames_slices")
    relayed = Relayed(totals=totals).play(larger(frames, rest))
    assert relayed.found == [Finding.PICTURE_FORMAT_CHANGED]
    assert relayed.sizes == [(160, 120), (320, 180)]


async def test_takers_wait_for_a_description_that_lacks_parameter_sets_and_no_longer_than_allowed() -> None:
    relayed = Relayed()
    without = await relayed.fanout.description(0.0)
    assert without is relayed.fanout.stream
    relayed.play(captured("h264_wide"))
    offered = await relayed.fanout.description(10.0)
    assert offered is not None
    assert len(described(offered.media[0].formats[0])) == 2


# -- properties ---------------------------------------------------------------------------------------------------


def test_the_table_has_a_row_for_every_finding() -> None:
    assert set(POLICIES) == set(Finding)


@given(st.sampled_from(CASES), st.lists(st.integers(0, 2**20), max_size=25))
def test_any_split_of_the_same_bytes_gives_the_same_findings(
    case: tuple[Deviation, list[Finding]], cuts: list[int]
) -> None:
    deviation, findings = case
    data = b"".join(deviation(*halves("h264_b_frames_slices")))
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    whole, split = Relayed(), Relayed()
    whole.receive(data)
    for a, b in pairwise(edges):
        split.receive(data[a:b])
    assert split.found == whole.found == findings
    assert split.totals.lost_packets == whole.totals.lost_packets
    assert split.totals.discontinuities == whole.totals.discontinuities
    assert split.ends == whole.ends
    assert split.sizes == whole.sizes


@given(st.binary(max_size=400), st.sampled_from(["H264", "H265", "JPEG"]))
def test_arbitrary_payloads_raise_nothing(body: bytes, codec: str) -> None:
    frame = b"$\x00" + (12 + len(body)).to_bytes(2, "big") + b"\x80\x60" + bytes(10) + body
    relayed = Relayed(Format(96, codec, 90_000))
    relayed.receive(frame + edited(frame, timestamp=9) + edited(frame, timestamp=18))
