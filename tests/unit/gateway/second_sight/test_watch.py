"""Which sources of others are asked when, and since when each answers."""

from gateway.second_sight.watch import SecondWatch


def watch(*sources: int) -> SecondWatch:
    found = SecondWatch(interval=60.0, misses=3)
    found.follow(sources, 0.0)
    return found


def test_each_source_is_asked_once_an_interval_spread_over_it() -> None:
    sources = range(1, 201)
    asking = watch(*sources)
    turns = [asking.due(float(second), 1000) for second in range(121)]

    assert max(map(len, turns)) < 20
    for interval in (turns[:61], turns[61:]):
        assert sorted(one for turn in interval for one in turn) == list(sources)
    assert asking.due(120.0, 1000) == []


def test_more_than_there_is_room_for_wait() -> None:
    asking = watch(1, 2, 3)
    chosen = asking.due(60.0, 2)
    assert len(chosen) == 2
    assert sorted([*chosen, *asking.due(60.0, 2)]) == [1, 2, 3]


def test_a_time_of_answers_begins_with_one_and_ends_an_interval_after_the_last() -> None:
    asking = watch(1)
    assert asking.answered(1, 10.0)
    assert not asking.answered(1, 70.0)
    assert asking.expired(70.0 + 179.0) == {}
    assert asking.expired(70.0 + 180.0) == {1: 130.0}
    assert asking.expired(900.0) == {}
    assert asking.answered(1, 1000.0)


def test_an_answer_of_before_the_last_changes_nothing() -> None:
    asking = watch(1)
    asking.answered(1, 100.0)
    asking.answered(1, 40.0)
    assert asking.expired(279.0) == {}
    assert asking.expired(280.0) == {1: 160.0}


def test_who_is_asked_no_more_is_told_and_forgotten() -> None:
    asking = watch(1, 2)
    asking.answered(1, 10.0)
    assert asking.follow({2, 3}, 20.0) == {1: 20.0}
    assert not asking.answered(1, 30.0)
    assert sorted(asking.due(200.0, 9)) == [2, 3]
    assert len(asking) == 0


def test_the_time_of_who_is_asked_no_more_ends_an_interval_after_its_last_answer() -> None:
    asking = watch(1)
    asking.answered(1, 10.0)
    assert asking.follow((), 150.0) == {1: 70.0}


def test_after_a_new_beginning_the_next_answer_begins_a_time() -> None:
    asking = watch(1)
    asking.answered(1, 10.0)
    asking.begin_anew()
    assert asking.expired(1000.0) == {}
    assert asking.answered(1, 1010.0)
