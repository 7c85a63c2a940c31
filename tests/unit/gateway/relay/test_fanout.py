"""One source's media to several takers."""

from gateway.relay.chunk import MediaChunk
from gateway.relay.fanout import Fanout, Stream
from tests.unit.gateway.relay.test_queue import SIZE, chunk

STREAM = Stream((), ((0, 1),))


class Recorder:
    """A taker that leaves when it is told to."""

    def __init__(self, fanout: Fanout, leaves_at: str = "") -> None:
        self.got = ""
        self.ticks = 0
        self.is_over = False
        self._fanout = fanout
        self._leaves_at = leaves_at

    def offer(self, chunk: MediaChunk) -> None:
        self.got += chunk.data.decode()[::SIZE]
        if self._leaves_at and self._leaves_at in self.got:
            self._fanout.remove(self)

    def tick(self, _now: float) -> None:
        self.ticks += 1

    def end(self) -> None:
        self.is_over = True


def playing() -> Fanout:
    fanout = Fanout(10_000)
    fanout.begin(STREAM)
    return fanout


def test_every_taker_is_given_what_comes_after_it_joined() -> None:
    fanout = playing()
    first, second = Recorder(fanout), Recorder(fanout)
    fanout.add(first)
    fanout.offer(chunk("K."))
    fanout.add(second)
    fanout.offer(chunk("P."))
    assert (first.got, second.got) == ("K.P.", "P.")


def test_a_taker_that_leaves_while_it_is_served_costs_the_others_nothing() -> None:
    fanout = playing()
    takers = [Recorder(fanout), Recorder(fanout, leaves_at="K"), Recorder(fanout)]
    for taker in takers:
        fanout.add(taker)
    fanout.offer(chunk("K."))
    fanout.offer(chunk("P."))
    assert [taker.got for taker in takers] == ["K.P.", "K.", "K.P."]
    assert len(fanout) == 2


def test_the_end_of_the_stream_ends_every_taker_and_the_group_of_pictures() -> None:
    fanout = playing()
    taker = Recorder(fanout)
    fanout.add(taker)
    fanout.offer(chunk("K."))
    fanout.end()
    fanout.offer(chunk("P."))
    assert taker.is_over
    assert taker.got == "K."
    assert (fanout.stream, len(fanout), list(fanout.replay(0.0))) == (None, 0, [])


def test_a_new_stream_has_no_taker_and_no_picture_of_the_one_before() -> None:
    fanout = playing()
    taker = Recorder(fanout)
    fanout.add(taker)
    fanout.offer(chunk("K."))
    fanout.begin(STREAM)
    assert taker.is_over
    assert (len(fanout), list(fanout.replay(0.0))) == (0, [])


def test_the_tick_reaches_every_taker() -> None:
    fanout = playing()
    takers = [Recorder(fanout), Recorder(fanout)]
    for taker in takers:
        fanout.add(taker)
    fanout.tick(1.0)
    assert [taker.ticks for taker in takers] == [1, 1]
