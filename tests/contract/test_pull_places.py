"""How the pulls share a budget: who waits, who gives way and comes back, and what the status is told of it."""

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.model.plan import RelayMode, SourcePlan
from gateway.enrolment.ports import Conditions, PullRules
from gateway.enrolment.pull import Phase
from gateway.relay.limits import Limit, Limits, Shortage
from gateway.relay.protocol import MediaGapOpened
from tests.fakes.enrolment import Bench, endpoint, networks, plan, stored

MBIT = 1_000_000


def limited(*, verify_at_once: int = 32, **limits: int) -> Bench:
    return Bench(rules=PullRules(limits=Limits(**limits), verify_at_once=verify_at_once))


def duty(number: int, host: str = "10.1.0.5") -> SourcePlan:
    return plan(number, endpoint(number, host), has_connected=True)


def asked(number: int) -> SourcePlan:
    return plan(number, endpoint(number), has_connected=True, relay_mode=RelayMode.ON_DEMAND)


def running(bench: Bench) -> list[int]:
    return sorted(bench.relays.running)


# -- waiting -----------------------------------------------------------------------------------------------------


def test_a_source_beyond_the_limit_waits_says_so_and_begins_when_there_is_room() -> None:
    bench = limited(pulls=2)
    bench.put(duty(1), duty(2), duty(3))
    assert (running(bench), bench.obstacle(3), bench.pull(3).phase) == ([1, 2], "pull_limit", Phase.WAITING)
    bench.pulls.forget(1)
    bench.pass_time(1)
    assert (running(bench), bench.obstacle(3)) == ([2, 3], None)


def test_waiting_for_room_is_nothing_against_the_source() -> None:
    bench = limited(pulls=1)
    bench.put(duty(1), duty(2))
    bench.pass_time(200)
    bench.reassert()
    assert not any(word.startswith("impaired") for word in bench.status.kinds(2))
    assert bench.pull(2).failures == 0


def test_a_full_network_lets_the_others_run() -> None:
    bench = limited(network_bandwidth=8 * MBIT)
    bench.pulls.conditions = Conditions(networks("10.1.0.0/24", "10.2.0.0/24"))
    bench.put(duty(1), duty(2), duty(3), duty(4, "10.2.0.5"))
    assert (running(bench), bench.obstacle(3)) == ([1, 2, 4], "network_bandwidth_limit")
    assert bench.pull(3).short == Shortage(
        Limit.NETWORK_BANDWIDTH, 8 * MBIT, 8 * MBIT, 4 * MBIT, "10.1.0.0/24"
    )


def test_verification_pulls_count_and_keep_to_their_own_bound_when_room_comes() -> None:
    bench = limited(pulls=3, verify_at_once=2)
    bench.put(*(plan(number) for number in range(1, 8)))
    assert running(bench) == [1, 2]
    bench.connect(1)
    bench.pass_time(1)
    assert running(bench) == [1, 2, 3]
    bench.connect(2)
    bench.pass_time(1)
    assert (running(bench), bench.obstacle(4)) == ([1, 2, 3], "pull_limit")


def test_a_source_that_is_wanted_no_more_waits_no_more() -> None:
    bench = limited(pulls=1)
    bench.put(duty(1), duty(2))
    bench.put(plan(2, endpoint(2), has_connected=True, relay_mode=RelayMode.OFF))
    assert bench.obstacle(2) == "relay_off"
    bench.pulls.forget(1)
    bench.pass_time(2)
    assert running(bench) == []
    assert bench.pulls.places.budget.usage().waiting == {}


def test_the_channels_of_one_recorder_that_wait_for_room_keep_no_other_from_being_tried() -> None:
    bench = limited(pulls=1)
    bench.put(duty(9))
    bench.put(*(plan(n, endpoint(n, credential=stored(), path=f"/{n}"), has_connected=True) for n in (1, 2)))
    bench.pulls.forget(9)
    bench.pass_time(2)
    assert running(bench) == [1]
    bench.pulls.forget(1)
    bench.pass_time(2)
    assert running(bench) == [2]


# -- giving way ----------------------------------------------------------------------------------------------------


def test_a_verification_gives_way_to_a_connected_source_and_comes_back_by_itself() -> None:
    bench = limited(pulls=1)
    bench.put(plan(1))
    bench.put(duty(2))
    assert (running(bench), bench.relays.stopped) == ([2], [(1, "gave_way")])
    bench.over(1)
    bench.pass_time(60)
    assert (running(bench), bench.obstacle(1), bench.pull(1).failures) == ([2], "pull_limit", 0)
    bench.pulls.forget(2)
    bench.pass_time(1)
    assert (running(bench), bench.obstacle(1)) == ([1], None)


def test_an_asked_relay_that_gave_way_is_not_degraded_by_it_and_comes_back_while_it_is_wanted() -> None:
    bench = limited(pulls=1)
    bench.put(asked(1))
    bench.on_demand.want(1, 300.0)
    bench.pass_time(1)
    bench.events.take(MediaGapOpened(*bench.times(1), bench.clock.monotonic()))
    bench.put(duty(2))
    bench.over(1)
    assert bench.obstacle(1) == "pull_limit"
    assert bench.status.kinds(1) == [
        "restored no_media",
        "restored authentication_failed",
        "restored bitrate_low",
        "impaired no_media",
    ]
    assert bench.status.facts[-1][0] == "restored"
    assert bench.pull(1).open_reasons == set()
    bench.pulls.forget(2)
    bench.pass_time(31)
    assert running(bench) == [1]


def test_who_gave_way_rests_before_it_asks_again() -> None:
    bench = limited(pulls=1)
    bench.put(plan(1))
    bench.put(duty(2))
    bench.over(1)
    bench.pulls.forget(2)
    bench.pass_time(20)
    assert running(bench) == []
    bench.pass_time(12)
    assert running(bench) == [1]


def test_a_duty_that_reconnects_keeps_its_place() -> None:
    bench = limited(pulls=1)
    bench.put(plan(1, endpoint(1), endpoint(2, "10.1.0.6"), has_connected=True), asked(2))
    for _ in range(60):
        if 1 in bench.relays.running:
            bench.end("unreachable", 1)
            bench.over(1)
        refused = bench.on_demand.want(2, 30.0)
        assert isinstance(refused, Shortage)
        bench.pass_time(2)
    assert {spec.source_id for spec in bench.relays.started} == {1}


def test_a_source_that_refuses_us_holds_no_place_while_it_rests() -> None:
    bench = limited(pulls=1)
    bench.put(plan(1, endpoint(1, credential=stored()), has_connected=True), duty(2))
    bench.end("authentication_failed", 1, retryable=False, refusals=2, status=401)
    bench.pass_time(2)
    assert running(bench) == [2]
    assert bench.obstacle(1) == "authentication_failed"


# -- asked for -----------------------------------------------------------------------------------------------------


def test_who_asks_beyond_the_limit_is_told_the_limit_and_asked_for_nothing() -> None:
    bench = limited(pulls=1)
    bench.put(duty(1), asked(2))
    assert bench.on_demand.want(2, 30.0) == Shortage(Limit.PULLS, 1, 1, 1)
    assert (bench.pull(2).phase, bench.obstacle(2)) == (Phase.IDLE, None)
    bench.pulls.forget(1)
    bench.pass_time(5)
    assert running(bench) == []
    assert bench.on_demand.want(2, 30.0) is None
    bench.pass_time(1)
    assert running(bench) == [2]


def test_who_asks_goes_before_a_verification_but_not_before_a_duty() -> None:
    bench = limited(pulls=2)
    bench.put(duty(1), plan(2), asked(3), asked(4))
    assert bench.on_demand.want(3, 30.0) is None
    assert isinstance(bench.on_demand.want(4, 30.0), Shortage)
    bench.pass_time(1)
    assert running(bench) == [1, 3]
    assert bench.obstacle(2) == "pull_limit"


def test_a_refusal_does_not_prolong_what_was_asked_before() -> None:
    bench = limited(pulls=1)
    bench.put(asked(1))
    bench.on_demand.want(1, 30.0)
    bench.pass_time(1)
    bench.put(duty(2))
    bench.over(1)
    bench.pass_time(20)
    assert isinstance(bench.on_demand.want(1, 30.0), Shortage)
    bench.pass_time(10)
    assert (bench.pull(1).phase, bench.obstacle(1)) == (Phase.IDLE, None)


def test_a_source_that_never_connected_waits_for_its_verification_also_after_a_refusal() -> None:
    bench = limited(pulls=1)
    bench.put(duty(1), plan(2, relay_mode=RelayMode.ON_DEMAND))
    assert isinstance(bench.on_demand.want(2, 30.0), Shortage)
    bench.pass_time(1)
    assert bench.obstacle(2) == "pull_limit"
    bench.pulls.forget(1)
    bench.pass_time(1)
    assert running(bench) == [2]


def test_who_asks_while_a_pull_is_giving_way_begins_nothing_before_its_last_event() -> None:
    bench = limited(pulls=1)
    bench.put(plan(1, relay_mode=RelayMode.ON_DEMAND))
    bench.put(duty(2))
    bench.pulls.forget(2)
    assert isinstance(bench.on_demand.want(1, 30.0), Shortage)
    bench.pass_time(3)
    assert (bench.pull(1).phase, len(bench.relays.started)) == (Phase.STOPPING, 2)
    bench.over(1)
    bench.pass_time(31)
    assert running(bench) == [1]


def test_who_asks_again_in_the_instant_in_which_there_is_room_gets_it() -> None:
    bench = limited(pulls=1)
    bench.put(asked(1))
    bench.on_demand.want(1, 300.0)
    bench.pass_time(1)
    bench.put(duty(2))
    bench.over(1)
    bench.pass_time(40)
    assert isinstance(bench.on_demand.want(1, 300.0), Shortage)
    bench.pulls.forget(2)
    assert bench.on_demand.want(1, 300.0) is None
    bench.pass_time(1)
    assert running(bench) == [1]


def test_a_change_that_may_help_is_heard_by_those_that_wait_without_a_new_turn() -> None:
    bench = limited(network_bandwidth=4 * MBIT)
    bench.pulls.conditions = Conditions(networks("10.1.0.0/24", "10.2.0.0/24"))
    bench.put(duty(1), duty(2))
    assert bench.obstacle(2) == "network_bandwidth_limit"
    bench.put(duty(2), anew=True)
    assert (running(bench), bench.obstacle(2)) == ([1], "network_bandwidth_limit")
    bench.put(duty(2, "10.2.0.5"))
    assert (running(bench), bench.obstacle(2)) == ([1, 2], None)


def test_one_that_is_always_on_and_waits_says_so_to_who_asks() -> None:
    bench = limited(pulls=1)
    bench.put(duty(1), duty(2))
    assert bench.on_demand.want(2, 30.0) == Shortage(Limit.PULLS, 1, 1, 1)
    assert bench.pull(2).phase is Phase.WAITING


# -- measured ------------------------------------------------------------------------------------------------------


def test_room_is_counted_by_what_is_measured() -> None:
    bench = limited(bandwidth=8 * MBIT)
    bench.put(duty(1), duty(2), duty(3), duty(4))
    assert (running(bench), bench.obstacle(3)) == ([1, 2], "bandwidth_limit")
    bench.relays.carried = {1: MBIT, 2: MBIT}
    bench.pass_time(60)
    assert running(bench) == [1, 2, 3]


def test_more_than_was_expected_ends_the_least_important_and_never_in_turns() -> None:
    bench = limited(bandwidth=10 * MBIT)
    bench.put(duty(1), asked(2))
    bench.on_demand.want(2, 3600.0)
    bench.pass_time(1)
    bench.relays.carried = {1: 8 * MBIT, 2: 4 * MBIT}
    bench.pass_time(60)
    bench.over(2)
    bench.relays.carried = {1: 8 * MBIT}
    assert (running(bench), bench.obstacle(2)) == ([1], "bandwidth_limit")
    bench.pass_time(600)
    assert [spec.source_id for spec in bench.relays.started] == [1, 2]
    bench.relays.carried = {1: 4 * MBIT}
    bench.pass_time(60)
    assert (running(bench), bench.obstacle(2)) == ([1, 2], None)


def test_a_pull_knows_from_before_what_it_needs() -> None:
    bench = limited(bandwidth=10 * MBIT)
    bench.put(asked(1), duty(2))
    bench.on_demand.want(1, 60.0)
    bench.pass_time(1)
    bench.relays.carried = {1: 8 * MBIT, 2: 2 * MBIT}
    bench.pass_time(50)
    bench.on_demand.release(1)
    bench.over(1)
    bench.relays.carried = {2: 4 * MBIT}
    bench.pass_time(60)
    refused = bench.on_demand.want(1, 60.0)
    assert isinstance(refused, Shortage)
    assert refused.asked > 7 * MBIT
    bench.pass_time(3600)
    assert bench.on_demand.want(1, 60.0) is None


def test_one_that_needed_more_than_there_is_gets_another_chance_after_an_hour() -> None:
    bench = limited(bandwidth=10 * MBIT)
    bench.put(duty(1))
    bench.relays.carried = {1: 20 * MBIT}
    bench.pass_time(60)
    bench.over(1)
    bench.relays.carried = {}
    bench.pass_time(1800)
    bench.reassert()
    assert (len(bench.relays.started), bench.obstacle(1)) == (1, "bandwidth_limit")
    bench.pass_time(1900)
    bench.reassert()
    bench.pass_time(1)
    assert (running(bench), bench.obstacle(1)) == ([1], None)


def test_two_thousand_sources_that_wait_are_served_in_order_as_places_come_free() -> None:
    bench = limited(pulls=10)
    bench.put(*(duty(number) for number in range(1, 2001)))
    bench.pass_time(30)
    first = running(bench)
    assert len(first) == 10
    for number in first:
        bench.pulls.forget(number)
    bench.pass_time(1)
    assert running(bench) == list(range(11, 21))


# -- too little ----------------------------------------------------------------------------------------------------


def carried(bench: Bench, bitrate: int, seconds: int) -> None:
    bench.relays.carried = {7: bitrate}
    bench.pass_time(seconds)


def thin(bench: Bench) -> list[str]:
    return [kind for kind, _, reason in bench.status.facts if reason == "bitrate_low"]


def test_a_connected_source_that_delivers_too_little_is_degraded_until_it_delivers_enough() -> None:
    bench = Bench(rules=PullRules(low_bitrate=100_000))
    bench.put(plan(has_connected=True))
    carried(bench, 50_000, 200)
    assert thin(bench) == ["impaired"]
    carried(bench, 120_000, 200)
    assert thin(bench) == ["impaired"]
    carried(bench, 500_000, 200)
    assert thin(bench) == ["impaired", "restored"]


def test_while_we_are_slow_ourselves_no_source_delivers_too_little() -> None:
    bench = Bench(rules=PullRules(low_bitrate=100_000))
    bench.put(plan(has_connected=True))
    bench.relays.slow = {7}
    carried(bench, 50_000, 300)
    assert thin(bench) == []


def test_a_source_that_is_pulled_no_more_delivers_too_little_no_more() -> None:
    bench = Bench(rules=PullRules(low_bitrate=100_000))
    bench.put(plan(has_connected=True))
    carried(bench, 50_000, 200)
    bench.put(plan(has_connected=True, relay_mode=RelayMode.OFF))
    assert thin(bench) == ["impaired", "restored"]
    assert bench.pull().open_reasons == set()


def test_a_source_that_never_connected_is_degraded_by_nothing() -> None:
    bench = Bench(rules=PullRules(low_bitrate=100_000))
    bench.put(plan())
    carried(bench, 50_000, 200)
    assert thin(bench) == []


# -- whatever happens ----------------------------------------------------------------------------------------------

ALWAYS: dict[str, Callable[[Bench, int], None]] = {
    "duty": lambda bench, number: bench.put(duty(number)),
    "asked": lambda bench, number: bench.put(asked(number)),
    "never": lambda bench, number: bench.put(plan(number, endpoint(number))),
    "release": lambda bench, number: bench.on_demand.release(number),
    "forget": lambda bench, number: bench.pulls.forget(number),
    "over": lambda bench, number: bench.over(number),
    "pass": lambda bench, number: bench.pass_time(7 * number),
}
TO_KNOWN: dict[str, Callable[[Bench, int], object]] = {
    "want": lambda bench, number: bench.on_demand.want(number, 30.0),
}
TO_RUNNING: dict[str, Callable[[Bench, int], None]] = {
    "end": lambda bench, number: bench.end("unreachable", number),
    "refuse": lambda bench, number: bench.end("weak_authentication", number, retryable=False),
    "verify": lambda bench, number: bench.connect(number),
}
KINDS = sorted(ALWAYS | TO_KNOWN | TO_RUNNING)
HAPPENINGS = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(1, 5)), max_size=40)


def happen(bench: Bench, kind: str, number: int) -> None:
    """Let one thing happen to one source, if it can, or some time pass."""
    if kind in ALWAYS:
        ALWAYS[kind](bench, number)
    elif kind in TO_KNOWN and bench.pulls.get(number) is not None:
        TO_KNOWN[kind](bench, number)
    elif kind in TO_RUNNING and number in bench.relays.running:
        TO_RUNNING[kind](bench, number)


@given(HAPPENINGS, st.integers(1, 3))
@settings(deadline=None, max_examples=50)
def test_no_limit_is_broken_no_place_is_lost_and_whoever_fits_runs_in_the_end(
    happenings: list[tuple[str, int]], most: int
) -> None:
    bench = limited(pulls=most)
    budget = bench.pulls.places.budget
    for kind, number in happenings:
        happen(bench, kind, number)
        assert len(bench.relays.running) <= budget.usage().pulls <= most
        assert all(budget.holds(each) for each in bench.relays.running)
    # Longer than any rest, every pull that was told to stop having said its last.
    for _ in range(40):
        bench.pass_time(60)
    waiting = [pull.plan.source_id for pull in bench.pulls if pull.short is not None]
    assert not waiting or budget.usage().pulls == most
    assert sorted(waiting) == sorted(each for each in range(1, 6) if budget.waits(each))
    for number in range(1, 6):
        bench.pulls.forget(number)
    assert (budget.usage().pulls, budget.usage().bitrate, budget.usage().waiting) == (0, 0, {})
