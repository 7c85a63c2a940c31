"""The budget of the pulls: what is granted, who gives way, what is said, and that nothing flaps at a limit."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.relay.budget import OVERRUN_SECONDS, Budget, Granted, NetworkUse, Overrun
from gateway.relay.limits import Claim, Limit, Limits, Priority, Shortage

HERE, THERE = "10.1.0.0/24", "10.2.0.0/24"
VERIFICATION, ON_DEMAND, DUTY = Priority.VERIFICATION, Priority.ON_DEMAND, Priority.DUTY


def claim(priority: Priority = DUTY, bitrate: int = 4, network: str = HERE) -> Claim:
    return Claim(priority, network, bitrate)


def victims(answer: Granted | Shortage) -> tuple[int, ...]:
    """Who must leave; there is room then."""
    assert isinstance(answer, Granted)
    assert (answer.shortage is None) == (answer.victims == ())
    return answer.victims


def full(limits: Limits, *claims: Claim) -> Budget:
    """A budget in which the claims have places 1, 2, 3, ..."""
    budget = Budget(limits)
    for key, each in enumerate(claims, start=1):
        assert budget.ask(key, each) == Granted()
    return budget


# -- limits --------------------------------------------------------------------------------------------------


def test_without_limits_everybody_has_room() -> None:
    budget = full(Limits(), *(claim(VERIFICATION, 10**9) for _ in range(500)))
    assert budget.usage().pulls == 500


@pytest.mark.parametrize(
    ("limits", "shortage"),
    [
        (Limits(pulls=2), Shortage(Limit.PULLS, 2, 2, 1)),
        (Limits(bandwidth=11), Shortage(Limit.BANDWIDTH, 11, 8, 4)),
        (Limits(network_bandwidth=11), Shortage(Limit.NETWORK_BANDWIDTH, 11, 8, 4, HERE)),
        (Limits(pulls=2, bandwidth=8, network_bandwidth=8), Shortage(Limit.NETWORK_BANDWIDTH, 8, 8, 4, HERE)),
    ],
)
def test_who_finds_no_room_is_told_the_limit_and_its_numbers(limits: Limits, shortage: Shortage) -> None:
    budget = full(limits, claim(), claim())
    assert budget.ask(3, claim()) == shortage
    assert budget.usage().waiting == {shortage.limit: 1}


def test_a_network_that_is_full_leaves_the_others_alone() -> None:
    budget = full(Limits(network_bandwidth=4), claim())
    assert isinstance(budget.ask(2, claim()), Shortage)
    assert budget.ask(3, claim(network=THERE)) == Granted()
    assert budget.usage().networks == {HERE: NetworkUse(1, 4), THERE: NetworkUse(1, 4)}


@pytest.mark.parametrize("limit", list(Limit))
def test_a_shortage_is_explained_in_both_languages_with_the_setting_to_raise(limit: Limit) -> None:
    network = HERE if limit is Limit.NETWORK_BANDWIDTH else ""
    said = Shortage(limit, 100_000_000, 99_000_000, 4_000_000, network).explain()
    key = {Limit.PULLS: "max_pulls", Limit.BANDWIDTH: "max_bandwidth"}.get(limit, "max_network_bandwidth")
    assert all(f"[relay] {key}" in text and network in text for text in (said.zh, said.en))


def test_a_shortage_of_a_pull_that_ran_asks_for_nothing_more() -> None:
    said = Shortage(Limit.BANDWIDTH, 10_000_000, 12_000_000, 0).explain()
    assert "12.0 of 10.0 Mbit/s are taken. " in said.en
    assert "另需" not in said.zh


# -- priorities ----------------------------------------------------------------------------------------------


def test_a_duty_takes_the_place_of_a_verification_before_that_of_an_asked_one() -> None:
    budget = full(Limits(pulls=3), claim(ON_DEMAND), claim(VERIFICATION), claim(VERIFICATION))
    assert victims(budget.ask(4, claim())) == (3,)
    assert victims(budget.ask(5, claim())) == (2,)
    assert victims(budget.ask(6, claim())) == (1,)
    assert isinstance(budget.ask(7, claim()), Shortage)


@pytest.mark.parametrize("priority", list(Priority))
def test_nobody_gives_way_to_its_own_kind_or_to_a_lower_one(priority: Priority) -> None:
    budget = full(Limits(pulls=1), claim(priority))
    assert all(
        isinstance(budget.ask(9, claim(each)), Shortage) for each in Priority if each.value <= priority.value
    )


def test_where_a_network_is_short_only_its_own_pulls_give_way() -> None:
    budget = full(
        Limits(bandwidth=20, network_bandwidth=8), claim(ON_DEMAND), claim(), claim(VERIFICATION, 4, THERE)
    )
    assert victims(budget.ask(4, claim())) == (1,)


def test_who_would_leave_in_vain_stays() -> None:
    budget = full(Limits(bandwidth=12), claim(), claim(), claim(VERIFICATION))
    assert isinstance(budget.ask(4, claim(DUTY, 8)), Shortage)
    assert all(budget.holds(key) for key in (1, 2, 3))


def test_no_more_leave_than_must() -> None:
    budget = full(
        Limits(bandwidth=10), claim(VERIFICATION, 2), claim(VERIFICATION, 6), claim(VERIFICATION, 2)
    )
    assert victims(budget.ask(4, claim(DUTY, 6))) == (2,)
    assert (budget.holds(1), budget.holds(3)) == (True, True)


def test_a_place_is_kept_and_counts_with_its_new_priority() -> None:
    budget = full(Limits(pulls=1), claim(VERIFICATION))
    assert budget.ask(1, claim(DUTY)) == Granted()
    assert isinstance(budget.ask(2, claim(DUTY)), Shortage)
    budget.prefer(1, ON_DEMAND)
    assert victims(budget.ask(2, claim(DUTY))) == (1,)


def test_to_judge_changes_nothing() -> None:
    budget = full(Limits(pulls=1), claim(VERIFICATION))
    assert victims(budget.judge(claim())) == (1,)
    assert isinstance(budget.judge(claim(VERIFICATION)), Shortage)
    assert (budget.holds(1), budget.usage().waiting) == (True, {})


# -- the line ------------------------------------------------------------------------------------------------


def served(budget: Budget, claims: dict[int, Claim]) -> Iterator[int]:
    """Let those in line take the places that there are."""
    for key, _ in budget.line():
        budget.ask(key, claims[key])
        yield key


def test_the_line_is_served_by_priority_and_then_in_order() -> None:
    budget = full(Limits(pulls=1), claim(DUTY))
    claims = {2: claim(VERIFICATION), 3: claim(ON_DEMAND), 4: claim(ON_DEMAND)}
    assert all(isinstance(budget.ask(key, each), Shortage) for key, each in claims.items())
    assert list(served(budget, claims)) == []
    budget.leave(1)
    assert list(served(budget, claims)) == [3]
    budget.leave(3)
    assert list(served(budget, claims)) == [4]
    budget.leave(4)
    assert list(served(budget, claims)) == [2]


def test_who_waits_for_a_full_network_holds_up_no_other_network() -> None:
    budget = full(Limits(network_bandwidth=4), claim(), claim(network=THERE))
    claims = {3: claim(), 4: claim(network=THERE)}
    assert all(isinstance(budget.ask(key, each), Shortage) for key, each in claims.items())
    budget.leave(2)
    assert list(served(budget, claims)) == [4]


def test_a_small_claim_does_not_overtake_a_large_one_of_its_own_line_for_ever() -> None:
    budget = full(Limits(bandwidth=8), claim(), claim())
    claims = {3: claim(DUTY, 8), 4: claim(DUTY, 4)}
    assert all(isinstance(budget.ask(key, each), Shortage) for key, each in claims.items())
    budget.leave(1)
    assert list(served(budget, claims)) == []
    budget.leave(2)
    assert list(served(budget, claims)) == [3]


def test_who_is_named_and_does_nothing_is_passed_over() -> None:
    budget = full(Limits(pulls=1), claim())
    budget.ask(2, claim())
    budget.leave(1)
    assert [key for key, _ in budget.line()] == [2]


def test_who_leaves_is_waited_for_no_longer() -> None:
    budget = full(Limits(pulls=1), claim())
    budget.ask(2, claim())
    budget.leave(2)
    budget.leave(1)
    assert list(budget.line()) == []
    assert budget.usage().waiting == {}


# -- measured bitrates ---------------------------------------------------------------------------------------


def measured(budget: Budget, bitrates: dict[int, int], seconds: int, start: int = 0) -> list[Overrun]:
    """Measure once a second; return what had to end."""
    ended = []
    for second in range(start, start + seconds):
        budget.measure(bitrates, float(second))
        found = budget.overrun(float(second))
        if found is not None:
            bitrates.pop(found.key, None)
            ended.append(found)
    return ended


def test_what_is_measured_replaces_what_was_expected() -> None:
    budget = full(Limits(bandwidth=10_000), claim(DUTY, 4000), claim(DUTY, 4000))
    assert isinstance(budget.ask(3, claim(DUTY, 4000)), Shortage)
    assert measured(budget, {1: 1000, 2: 1000}, 60) == []
    assert budget.usage().bitrate == pytest.approx(2000, abs=50)
    assert budget.ask(3, claim(DUTY, 4000)) == Granted()


def test_a_pull_without_media_keeps_the_room_it_needs_when_it_is_back() -> None:
    budget = full(Limits(bandwidth=10_000), claim(DUTY, 4000))
    measured(budget, {1: 8000}, 60)
    measured(budget, {1: 0}, 60, 60)
    assert budget.rate(1) == pytest.approx(8000, abs=50)


def test_within_a_tenth_above_the_limit_nothing_begins_and_nothing_ends() -> None:
    budget = full(Limits(bandwidth=10_000), claim(DUTY, 4000), claim(VERIFICATION, 4000))
    assert measured(budget, {1: 5400, 2: 5400}, 600) == []
    assert isinstance(budget.ask(3, claim(VERIFICATION, 1)), Shortage)


def test_a_lasting_excess_ends_the_lowest_pull_that_most_exceeds_its_claim_and_only_that() -> None:
    claims = (claim(DUTY, 4000), claim(ON_DEMAND, 4000), claim(ON_DEMAND, 4000))
    budget = full(Limits(bandwidth=14_000), *claims)
    ended = measured(budget, {1: 9000, 2: 3000, 3: 6000}, 120)
    assert [each.key for each in ended] == [3]
    assert ended[0].shortage.limit is Limit.BANDWIDTH
    assert ended[0].shortage.used > ended[0].shortage.most


def test_a_short_burst_ends_nothing() -> None:
    budget = full(Limits(network_bandwidth=10_000), claim(DUTY, 4000), claim(ON_DEMAND, 4000))
    assert measured(budget, {1: 9000, 2: 4000}, int(OVERRUN_SECONDS)) == []
    assert measured(budget, {1: 4000, 2: 4000}, 300, 100) == []


def test_an_excess_of_long_ago_is_forgotten_with_its_network() -> None:
    budget = full(Limits(network_bandwidth=10_000), claim(DUTY, 4000))
    assert measured(budget, {1: 20_000}, 14) == []
    budget.leave(1)
    assert measured(budget, {}, 5, 14) == []
    budget.ask(2, claim(DUTY, 10_000))
    assert measured(budget, {2: 12_500}, 12, 100) == []


def test_an_excess_in_one_network_ends_nothing_in_another() -> None:
    budget = full(
        Limits(network_bandwidth=10_000),
        claim(DUTY, 4000),
        claim(DUTY, 4000),
        claim(VERIFICATION, 9000, THERE),
    )
    ended = measured(budget, {1: 4000, 2: 9000, 3: 9000}, 100)
    assert [(each.key, each.shortage.network) for each in ended] == [(2, HERE)]


# -- whatever happens ----------------------------------------------------------------------------------------

CLAIMS = st.builds(Claim, st.sampled_from(Priority), st.sampled_from([HERE, THERE]), st.integers(1, 12))
LIMITS = st.builds(Limits, st.integers(0, 6), st.integers(0, 30), st.integers(0, 20))
STEPS = st.lists(st.tuples(st.integers(1, 10), st.one_of(st.none(), CLAIMS)), max_size=60)


def within(budget: Budget) -> bool:
    limits, usage = budget.limits, budget.usage()
    return (
        (not limits.pulls or usage.pulls <= limits.pulls)
        and (not limits.bandwidth or usage.bitrate <= limits.bandwidth)
        and all(
            not limits.network_bandwidth or use.bitrate <= limits.network_bandwidth
            for use in usage.networks.values()
        )
    )


@given(LIMITS, STEPS)
def test_no_order_of_asking_and_leaving_breaks_a_limit_or_ends_a_higher_one(
    limits: Limits, steps: list[tuple[int, Claim | None]]
) -> None:
    budget = Budget(limits)
    held: dict[int, Claim] = {}
    for key, wanted in steps:
        if wanted is None:
            budget.leave(key)
            held.pop(key, None)
            continue
        kept = key in held and held[key].network == wanted.network
        answer = budget.ask(key, wanted)
        if isinstance(answer, Shortage):
            held.pop(key, None)
            assert answer.used + answer.asked > answer.most
        else:
            assert all(held.pop(victim).priority < wanted.priority for victim in answer.victims)
            held[key] = Claim(wanted.priority, wanted.network, held[key].bitrate) if kept else wanted
        assert within(budget)
        assert {each for each in range(1, 11) if budget.holds(each)} == set(held)
        assert budget.usage().bitrate == sum(each.bitrate for each in held.values())


@given(LIMITS, st.lists(CLAIMS, max_size=12), CLAIMS)
def test_each_who_gives_way_had_to(limits: Limits, claims: list[Claim], newcomer: Claim) -> None:
    budget = Budget(limits)
    for key, each in enumerate(claims):
        budget.ask(key, each)
    answer = budget.judge(newcomer)
    victims = answer.victims if isinstance(answer, Granted) else ()
    for spared in victims:
        again = Budget(limits)
        staying = [
            key for key in range(len(claims)) if budget.holds(key) and key not in set(victims) - {spared}
        ]
        for key in staying:
            # As of equal priority, so that nobody gives way now.
            again.ask(key, Claim(newcomer.priority, claims[key].network, claims[key].bitrate))
        assert isinstance(again.judge(newcomer), Shortage)


@given(st.lists(st.lists(st.integers(3000, 5000), min_size=4, max_size=4), min_size=1, max_size=80))
def test_bitrates_that_vary_by_a_quarter_around_what_was_expected_end_nothing(rows: list[list[int]]) -> None:
    # All at their highest for ever would be 20,000: within a tenth above the limit.
    budget = full(Limits(bandwidth=18_500), *(claim(DUTY, 4000) for _ in range(4)))
    for second, row in enumerate(rows):
        budget.measure(dict(enumerate(row, start=1)), float(second))
        assert budget.overrun(float(second)) is None
