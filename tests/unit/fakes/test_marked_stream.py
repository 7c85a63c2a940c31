"""The judge of marked streams: it misses no stranger, no hole and no torn picture."""

import pytest

from tests.fakes.marked_stream import GOP, PAYLOAD, Judge, MarkedStream


def pictures(source: int, count: int, *, weight: int = 3000) -> list[list[bytes]]:
    stream = MarkedStream(source, weight)
    return [stream.next_picture() for _ in range(count)]


def judged(packets: list[bytes], source: int = 7) -> dict[str, int]:
    judge = Judge(source)
    for packet in packets:
        judge.take(packet)
    return {name: value for name, value in judge.counts().items() if value and name != "source"}


def flat(made: list[list[bytes]]) -> list[bytes]:
    return [packet for picture in made for packet in picture]


def test_a_whole_stream_is_in_order() -> None:
    packets = flat(pictures(7, 3 * GOP))
    assert max(map(len, packets)) <= PAYLOAD + 14
    assert judged(packets) == {"packets": len(packets), "pictures": 3 * GOP}


@pytest.mark.parametrize("index", range(12))
def test_each_single_packet_of_another_source_is_noticed_but_for_parameter_sets(index: int) -> None:
    ours, theirs = flat(pictures(7, 2)), flat(pictures(8, 2))
    is_parameter_set = ours[index][12] & 0x1F in (7, 8)
    found = judged([*ours[:index], theirs[index], *ours[index + 1 :]])
    assert found.get("foreign", 0) == (not is_parameter_set)


def test_pictures_that_are_missing_as_a_whole_are_counted_and_not_torn() -> None:
    made = pictures(7, 5)
    found = judged(flat([*made[:2], *made[4:]]))
    assert (found["missing"], found.get("torn", 0)) == (2, 0)


@pytest.mark.parametrize("lost", [slice(1, 2), slice(-1, None), slice(0, 1)], ids=["middle", "end", "begin"])
def test_a_picture_without_one_of_its_packets_is_torn(lost: slice) -> None:
    made = pictures(7, 3)
    del made[1][lost]
    assert judged(flat(made))["torn"] == 1


def test_what_is_no_rtp_is_told() -> None:
    assert judged([b"\x00" * 20, b"\x80"]) == {"unframed": 2}
