"""The rule of `bitrate_low`: lasting, with a distance between both ends, and silent where it cannot know."""

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from gateway.enrolment.low_bitrate import LASTING, SILENCE, LowBitrate


def told(rule: LowBitrate, bitrates: Iterable[int | None], start: int = 0) -> list[tuple[int, bool]]:
    """Feed a bitrate a second, None where there is none to judge; return when which change was told."""
    changes = []
    for second, bitrate in enumerate(bitrates, start):
        given_now = {} if bitrate is None else {7: bitrate}
        changes += [(second, is_low) for _, is_low in rule.look(given_now, float(second))]
    return changes


def test_a_minute_below_opens_it_and_a_minute_well_above_closes_it() -> None:
    rule = LowBitrate(100)
    assert told(rule, [99] * 100) == [(int(LASTING), True)]
    assert told(rule, [124] * 300, 100) == []
    assert told(rule, [126] * 100, 400) == [(400 + int(LASTING), False)]


def test_one_good_second_begins_the_minute_anew() -> None:
    assert told(LowBitrate(100), ([50] * 50 + [150]) * 5) == []


def test_without_a_threshold_nothing_is_low_whatever_an_earlier_run_found() -> None:
    assert told(LowBitrate(0), [1] * 200) == [(0, False)]


def test_what_an_earlier_run_found_ends_after_a_good_minute() -> None:
    assert told(LowBitrate(100), [126] * 200) == [(int(LASTING), False)]


def test_one_bad_second_after_a_good_minute_turns_into_nothing() -> None:
    rule = LowBitrate(100)
    told(rule, [200] * 70)
    assert told(rule, ([50] * 30 + [200]) * 5, 70) == []


def test_where_nothing_can_be_judged_any_longer_nothing_is_claimed() -> None:
    rule = LowBitrate(100)
    told(rule, [50] * 70)
    assert told(rule, [None] * 60, 70) == [(69 + int(SILENCE), False)]
    assert told(rule, [50] * 59, 130) == []


def test_seconds_without_a_judgement_in_between_change_nothing() -> None:
    assert told(LowBitrate(100), [50, None, None, 50] * 30) == [(int(LASTING), True)]


@given(st.lists(st.one_of(st.none(), st.integers(1, 200)), max_size=400))
def test_openings_and_closings_take_turns(bitrates: list[int | None]) -> None:
    rule = LowBitrate(100)
    assert told(rule, [200] * 100) == [(int(LASTING), False)]
    changes = [is_low for _, is_low in told(rule, bitrates, 100)]
    assert changes == [number % 2 == 0 for number in range(len(changes))]


@given(st.lists(st.integers(100, 124), max_size=400), st.booleans())
def test_between_both_ends_nothing_changes(bitrates: list[int], begins_low: bool) -> None:
    rule = LowBitrate(100)
    told(rule, [1 if begins_low else 200] * 100)
    assert told(rule, bitrates, 100) == []
