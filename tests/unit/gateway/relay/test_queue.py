"""The sink's queue: what it drops, and that what it hands out can be decoded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.relay.chunk import MediaChunk
from gateway.relay.queue import MAX_PICTURE, SinkQueue

SIZE = 100


def chunk(kinds: str, at: float = 0.0) -> MediaChunk:
    """Make a chunk of 100-byte packets: `K` begins a key picture, `P` another, `.` goes on."""
    starts = tuple(i * SIZE for i, kind in enumerate(kinds) if kind in "KP")
    keys = tuple(i * SIZE for i, kind in enumerate(kinds) if kind == "K")
    return MediaChunk("".join(kind * SIZE for kind in kinds).encode(), starts, keys, at)


def drain(queue: SinkQueue) -> str:
    out = b""
    while (taken := queue.take()) is not None:
        out += taken.data
    return out.decode()[::SIZE]


def test_it_begins_on_a_key_picture() -> None:
    queue = SinkQueue(1000, 1.0)
    queue.offer(chunk(".PP.K.P"))
    assert drain(queue) == "K.P"
    assert (queue.skipped_frames, queue.dropped_frames, queue.drops) == (2, 0, 0)


def test_when_full_it_ends_the_picture_under_way_and_drops_to_the_next_key_picture() -> None:
    queue = SinkQueue(1000, 9.0)
    queue.offer(chunk("K.P.P.P.P."))
    queue.offer(chunk("."))
    queue.offer(chunk(".P"))
    queue.offer(chunk("PP"))
    assert drain(queue) == "K.P.P.P.P..."
    queue.offer(chunk("P.K.P"))
    assert drain(queue) == "K.P"
    assert (queue.dropped_frames, queue.drops) == (4, 1)


def test_at_the_key_picture_what_waits_is_dropped_when_the_sink_did_not_drain_half() -> None:
    queue = SinkQueue(1000, 9.0)
    queue.offer(chunk("K.P.P.P.P."))
    queue.offer(chunk("P"))
    queue.offer(chunk("K"))
    assert drain(queue) == "K"
    assert (queue.dropped_frames, queue.frames_out) == (6, 1)


def test_the_end_of_a_picture_that_went_out_already_is_never_dropped() -> None:
    queue = SinkQueue(400, 9.0)
    queue.offer(chunk("K."))
    assert queue.take() is not None
    queue.offer(chunk(".."))
    queue.offer(chunk(".P"))
    queue.offer(chunk("P"))
    queue.offer(chunk("K"))
    assert drain(queue) == "...K"


def test_it_is_full_when_the_oldest_chunk_is_too_old() -> None:
    queue = SinkQueue(10**6, 2.0)
    queue.offer(chunk("KP", at=10.0))
    queue.offer(chunk("P", at=12.5))
    assert queue.is_dropping
    queue.offer(chunk("K", at=13.0))
    assert drain(queue) == "K"


def test_a_picture_that_never_ends_is_cut_at_a_bound() -> None:
    queue = SinkQueue(SIZE, 9.0)
    queue.offer(chunk("K"))
    queue.offer(MediaChunk(b"." * (MAX_PICTURE + 1), (), (), 0.0))
    assert queue.is_dropping
    assert (queue.damaged_frames, queue.bytes) == (1, SIZE)


def test_chunks_pass_at_once_only_while_nothing_waits_and_nothing_is_dropped() -> None:
    queue = SinkQueue(1000, 9.0)
    assert not queue.passes(chunk("P"))
    queue.offer(chunk("K"))
    assert not queue.passes(chunk("P"))
    drain(queue)
    assert queue.passes(chunk("P"))
    assert (queue.frames_out, queue.bytes_out) == (2, 2 * SIZE)


def test_a_new_connection_begins_on_a_key_picture_again() -> None:
    queue = SinkQueue(1000, 9.0)
    queue.offer(chunk("KP"))
    queue.clear()
    assert not queue.waiting
    queue.offer(chunk("PK"))
    assert drain(queue) == "K"


@pytest.mark.parametrize("kinds", ["", ".", "P.P", "..."])
def test_what_holds_no_key_picture_begins_nothing(kinds: str) -> None:
    queue = SinkQueue(1000, 9.0)
    queue.offer(chunk(kinds))
    assert not queue.waiting


@given(st.lists(st.tuples(st.text("KP.", max_size=8), st.integers(0, 3)), max_size=60))
def test_every_picture_is_handed_out_dropped_or_skipped_and_each_decodes(
    steps: list[tuple[str, int]],
) -> None:
    queue = SinkQueue(800, 9.0)
    out = ""
    offered = 0
    for kinds, takes in steps:
        offered += sum(kinds.count(kind) for kind in "KP")
        queue.offer(chunk(kinds))
        assert queue.bytes <= 800 + MAX_PICTURE
        for _ in range(takes):
            if (taken := queue.take()) is not None:
                out += taken.data.decode()[::SIZE]
    out += drain(queue)
    assert out[:1] in ("", "K")
    assert queue.frames_out + queue.dropped_frames + queue.skipped_frames == offered
    assert queue.bytes == 0
