"""The group of pictures under way: what a new taker starts on."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from gateway.relay.gop import GopCache
from gateway.relay.queue import SinkQueue
from tests.unit.gateway.relay.test_queue import SIZE, chunk, drain


def kept(cache: GopCache) -> str:
    return b"".join(part.data for part in cache.replay(0.0)).decode()[::SIZE]


def test_it_begins_at_the_newest_key_picture() -> None:
    cache = GopCache(10_000)
    for kinds in ("P.P", "PK.", "P.", "P.K.P", "P."):
        cache.take(chunk(kinds))
    assert kept(cache) == "K.PP."


def test_before_the_first_key_picture_nothing_is_kept() -> None:
    cache = GopCache(10_000)
    cache.take(chunk("P.P"))
    assert (kept(cache), cache.bytes) == ("", 0)


def test_a_group_that_outgrows_the_bound_is_forgotten_until_the_next_key_picture() -> None:
    cache = GopCache(3 * SIZE)
    cache.take(chunk("K.P"))
    cache.take(chunk("P"))
    cache.take(chunk("P"))
    assert (kept(cache), cache.bytes, cache.overflows) == ("", 0, 1)
    cache.take(chunk("PK."))
    assert (kept(cache), cache.bytes) == ("K.", 2 * SIZE)


def test_a_bound_of_zero_keeps_nothing_and_counts_no_overflow() -> None:
    cache = GopCache(0)
    cache.take(chunk("K.P"))
    assert (kept(cache), cache.overflows) == ("", 0)


def test_a_long_group_is_no_backlog_to_the_queue_that_it_starts() -> None:
    cache, queue = GopCache(10_000), SinkQueue(10_000, 2.0)
    for second, kinds in enumerate(("K.P", "P.P", "P.P", "P.P")):
        cache.take(chunk(kinds, at=float(second)))
    for part in cache.replay(3.0):
        queue.offer(part)
    assert drain(queue) == "K.PP.PP.PP.P"
    assert queue.drops == 0


@given(st.lists(st.text("KP.", min_size=1, max_size=6), max_size=30), st.integers(1, 12))
def test_what_is_kept_is_the_end_of_the_stream_from_a_key_picture_and_never_more_than_the_bound(
    parts: list[str], most: int
) -> None:
    cache = GopCache(most * SIZE)
    for at, kinds in enumerate(parts):
        cache.take(replace(chunk(kinds), at=float(at)))
        whole = "".join(parts[: at + 1])
        assert cache.bytes <= most * SIZE
        assert cache.bytes == len(kept(cache)) * SIZE
        assert kept(cache) in ("", whole[whole.rfind("K") :] if "K" in whole else "")
