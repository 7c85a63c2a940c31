"""Liveness with hand-moved time: who is lost, since when, and when it is only us who cannot see."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.model.display import UnknownReason
from catalog.model.incident import Basis, Fault
from gateway.liveness import BecameKnown, BecameUnknown, Liveness, LivenessRules, Lost, SelfTest, Verdict

RULES = LivenessRules()


def watching(
    sources: range = range(1, 2), *, rules: LivenessRules = RULES, unknown: UnknownReason | None = None
) -> Liveness:
    """A watch begun at 0 over sources that were connected before."""
    liveness = Liveness(rules, started=0.0)
    for source_id in sources:
        liveness.track(source_id, connected=True, down=False, now=0.0, unknown=unknown)
    return liveness


def fall_silent(liveness: Liveness, sources: range, *, last: float = 0.0, misses: int = 3) -> None:
    """Let each source answer at `last` and then miss, one probe an interval."""
    for source_id in sources:
        liveness.alive(source_id, last)
    for turn in range(1, misses + 1):
        for source_id in sources:
            liveness.missed(source_id, last + turn * 60, "timeout")


def ids(verdicts: list[Verdict], kind: type[Verdict]) -> list[int]:
    return [verdict.source_id for verdict in verdicts if isinstance(verdict, kind)]


def test_three_misses_make_it_offline_from_one_interval_after_the_last_answer() -> None:
    liveness = watching()
    liveness.alive(1, 10.0)
    for at in (70.0, 130.0):
        liveness.missed(1, at, "timeout")
    early = liveness.judge(131.0)
    liveness.missed(1, 190.0, "unreachable")

    assert early == []
    assert liveness.judge(190.0) == [Lost(1, from_=70.0, last_positive=10.0, cause="unreachable")]
    assert liveness.judge(500.0) == []


def test_an_answer_between_misses_starts_the_count_anew() -> None:
    liveness = watching()
    fall_silent(liveness, range(1, 2), misses=2)
    liveness.alive(1, 130.0)
    liveness.missed(1, 190.0, "timeout")

    assert liveness.judge(200.0) == []


def test_a_miss_that_is_older_than_the_last_answer_does_not_count() -> None:
    liveness = watching()
    liveness.alive(1, 200.0)
    for at in (60.0, 120.0, 180.0):
        liveness.missed(1, at, "timeout")

    assert liveness.judge(201.0) == []


def test_misses_in_quick_succession_are_not_three_intervals_of_silence() -> None:
    liveness = watching()
    liveness.alive(1, 10.0)
    for at in (11.0, 12.0, 13.0):
        liveness.missed(1, at, "timeout")

    assert liveness.judge(14.0) == []


def test_a_source_that_never_connected_cannot_be_lost() -> None:
    liveness = Liveness(RULES, started=0.0)
    liveness.track(1, connected=False, down=False, now=0.0)
    fall_silent(liveness, range(1, 2))

    assert liveness.judge(1000.0) == []


def test_after_the_first_connection_silence_counts() -> None:
    liveness = Liveness(RULES, started=0.0)
    liveness.track(1, connected=False, down=False, now=0.0)
    liveness.connected(1, 5.0)
    for at in (65.0, 125.0, 185.0):
        liveness.missed(1, at, "timeout")

    assert ids(liveness.judge(185.0), Lost) == [1]


def test_e1_nobody_is_lost_in_the_grace_after_a_restart() -> None:
    liveness = watching(range(500), unknown=UnknownReason.RESTART_GRACE)
    fall_silent_without_answer(liveness, range(500), until=90.0)

    assert liveness.judge(90.0) == []
    assert liveness.unknown_of(7) is UnknownReason.RESTART_GRACE


def fall_silent_without_answer(liveness: Liveness, sources: range, *, until: float) -> None:
    at = 30.0
    while at <= until:
        for source_id in sources:
            liveness.missed(source_id, at, "timeout")
        at += 60.0


def test_the_first_answer_ends_the_grace_of_its_source_alone() -> None:
    liveness = watching(range(1, 3), unknown=UnknownReason.RESTART_GRACE)

    assert liveness.alive(1, 4.0) == [BecameKnown(1, 4.0)]
    assert liveness.unknown_of(2) is UnknownReason.RESTART_GRACE


def test_e2_whoever_stays_silent_after_the_grace_is_offline_from_the_recovery_on() -> None:
    liveness = watching(unknown=UnknownReason.RESTART_GRACE)
    fall_silent_without_answer(liveness, range(1, 2), until=150.0)

    assert liveness.judge(180.0) == [
        BecameKnown(1, 180.0),
        Lost(1, from_=0.0, last_positive=None, cause="timeout"),
    ]


def test_a_source_that_was_offline_before_the_restart_shows_offline_again_after_the_grace() -> None:
    liveness = Liveness(RULES, started=0.0)
    liveness.track(1, connected=True, down=True, now=0.0, unknown=UnknownReason.RESTART_GRACE)

    assert liveness.judge(179.0) == []
    assert liveness.judge(180.0) == [BecameKnown(1, 180.0)]


def test_grace_is_no_refuge_for_a_source_that_nobody_asks() -> None:
    liveness = watching(unknown=UnknownReason.RESTART_GRACE)
    verdicts = [verdict for second in range(0, 700, 10) for verdict in liveness.judge(float(second))]

    assert verdicts == [BecameUnknown(1, UnknownReason.NO_SAMPLES, from_=180.0)]


def test_e3_a_third_of_200_silent_together_is_suspected_and_then_offline_back_dated_as_one_incident() -> None:
    liveness = watching(range(200))
    silent = range(70)
    for source_id in silent:
        liveness.alive(source_id, source_id * 100 / 70)
    for source_id in range(70, 200):
        liveness.alive(source_id, 300.0)
    for turn in (1, 2, 3):
        for source_id in silent:
            liveness.missed(source_id, source_id * 100 / 70 + turn * 60, "timeout")
    suspected = [verdict for at in range(180, 290) for verdict in liveness.judge(float(at))]
    concluded = liveness.conclude(SelfTest.NOT_OURS, 295.0)
    lost = [verdict for verdict in concluded if isinstance(verdict, Lost)]

    assert sorted(ids(suspected, BecameUnknown)) == list(silent)
    assert ids(suspected, Lost) == []
    assert [verdict.source_id for verdict in lost] == list(silent)
    assert {verdict.incident for verdict in lost} == {"incident-1"}
    assert all(v.from_ == pytest.approx(v.source_id * 100 / 70 + 60) for v in lost)
    assert all(v.void for v in concluded if isinstance(v, BecameKnown))
    [decided] = liveness.take_decided()
    assert (decided.incident, decided.fault, decided.basis) == (
        "incident-1",
        Fault.NOT_OURS,
        Basis.SELF_TEST,
    )
    assert (decided.decided, decided.silent) == (295.0, 70)
    assert liveness.take_decided() == []


def test_e3_one_power_cut_is_one_incident_however_quickly_each_self_test_decides() -> None:
    liveness = watching(range(200))
    silent = range(70)
    verdicts: list[Verdict] = []
    for source_id in silent:
        liveness.alive(source_id, source_id * 60 / 70)
    for source_id in range(70, 200):
        liveness.alive(source_id, 300.0)
    for second in range(60, 260):
        for source_id in silent:
            for turn in (1, 2, 3):
                if second - 1 < source_id * 60 / 70 + turn * 60 <= second:
                    liveness.missed(source_id, float(second), "timeout")
        verdicts += liveness.judge(float(second))
        if second % 5 == 0 and liveness.suspects_common_cause:
            verdicts += liveness.conclude(SelfTest.NOT_OURS, float(second))
    lost = [verdict for verdict in verdicts if isinstance(verdict, Lost)]

    assert sorted(verdict.source_id for verdict in lost) == list(silent)
    assert {verdict.incident for verdict in lost} == {"incident-1"}


def test_e3_is_found_also_behind_a_source_that_was_lost_alone() -> None:
    liveness = watching(range(41))
    fall_silent(liveness, range(1))
    fall_silent(liveness, range(1, 41), last=200.0)

    assert ids(liveness.judge(380.0), Lost) == [0]
    assert liveness.suspects_common_cause


def test_a_later_outage_elsewhere_is_an_incident_of_its_own() -> None:
    liveness = watching(range(200))
    fall_silent(liveness, range(70))
    liveness.judge(180.0)
    first = liveness.conclude(SelfTest.NOT_OURS, 181.0)
    for source_id in range(70, 200):
        liveness.alive(source_id, 2000.0)
    fall_silent(liveness, range(70, 130), last=2000.0)
    liveness.judge(2180.0)
    second = liveness.conclude(SelfTest.NOT_OURS, 2181.0)

    assert {v.incident for v in first if isinstance(v, Lost)} == {"incident-1"}
    assert {v.incident for v in second if isinstance(v, Lost)} == {"incident-2"}


def test_whoever_was_offline_is_unknown_too_while_our_own_network_is_down() -> None:
    liveness = watching()
    fall_silent(liveness, range(1, 2))
    gone = liveness.judge(180.0)
    liveness.own_network(False, 1000.0)
    short = liveness.judge(1179.0)
    blind = liveness.judge(1180.0)
    liveness.own_network(True, 2000.0)
    waiting = liveness.judge(2179.0)

    assert (ids(gone, Lost), short) == ([1], [])
    assert blind == [BecameUnknown(1, UnknownReason.OWN_NETWORK_DOWN, from_=1000.0)]
    assert waiting == []
    assert liveness.judge(2180.0) == [BecameKnown(1, 2180.0)]


def test_a_source_let_in_again_is_unknown_until_it_answers() -> None:
    liveness = Liveness(RULES, started=0.0)
    liveness.track(1, connected=True, down=False, now=5000.0, unknown=UnknownReason.NO_SAMPLES)

    assert liveness.judge(5001.0) == []
    assert liveness.unknown_of(1) is UnknownReason.NO_SAMPLES
    assert liveness.alive(1, 5010.0) == [BecameKnown(1, 5010.0)]


def test_a_source_let_in_again_that_stays_silent_is_lost_like_any_other() -> None:
    liveness = Liveness(RULES, started=0.0)
    liveness.track(1, connected=True, down=False, now=5000.0, unknown=UnknownReason.NO_SAMPLES)
    for at in (5030.0, 5090.0, 5150.0):
        liveness.missed(1, at, "timeout")

    assert liveness.judge(5180.0) == [
        BecameKnown(1, 5180.0),
        Lost(1, from_=5000.0, last_positive=None, cause="timeout"),
    ]


def test_e3_when_it_is_us_they_stay_unknown_until_our_network_is_back() -> None:
    liveness = watching(range(40))
    fall_silent(liveness, range(40))
    liveness.judge(180.0)
    ours = liveness.conclude(SelfTest.OURS, 185.0)
    away = liveness.judge(4000.0)
    liveness.own_network(True, 5000.0)
    back = liveness.alive(3, 5001.0)
    for at in (5060.0, 5120.0, 5180.0):
        for source_id in range(4, 40):
            liveness.missed(source_id, at, "timeout")
    # They fell silent together again, so one more suspicion opens before anybody is charged.
    liveness.judge(5180.0)
    lost = [v for v in liveness.conclude(SelfTest.NOT_OURS, 5181.0) if isinstance(v, Lost)]

    assert {v.reason for v in ours if isinstance(v, BecameUnknown)} == {UnknownReason.OWN_NETWORK_DOWN}
    assert [(each.fault, each.silent) for each in liveness.take_decided()] == [
        (Fault.OURS, 40),
        (Fault.NOT_OURS, 36),
    ]
    assert ids(away, Lost) == []
    assert back == [BecameKnown(3, 5001.0)]
    assert {verdict.source_id for verdict in lost} == set(range(4, 40))
    assert {verdict.from_ for verdict in lost} == {5000.0}


def test_a_suspicion_that_nobody_decides_is_dropped_after_five_minutes() -> None:
    liveness = watching(range(40))
    fall_silent(liveness, range(40))
    liveness.judge(180.0)

    assert len(ids(liveness.judge(480.0), Lost)) == 40
    assert not liveness.suspects_common_cause
    assert [each.basis for each in liveness.take_decided()] == [Basis.TIME_LIMIT]


def test_nineteen_of_a_thousand_are_no_common_cause() -> None:
    liveness = watching(range(1000))
    fall_silent(liveness, range(19))

    assert len(ids(liveness.judge(180.0), Lost)) == 19


def test_while_our_own_network_is_down_no_miss_counts() -> None:
    liveness = watching()
    liveness.alive(1, 0.0)
    liveness.own_network(False, 10.0)
    for at in (60.0, 120.0, 180.0):
        liveness.missed(1, at, "timeout")
    verdicts = liveness.judge(181.0)
    liveness.own_network(True, 200.0)

    assert verdicts == [BecameUnknown(1, UnknownReason.OWN_NETWORK_DOWN, from_=60.0)]
    assert liveness.judge(260.0) == []


def test_a_source_nobody_asked_is_unknown_and_never_offline() -> None:
    liveness = watching()
    liveness.alive(1, 10.0)
    verdicts = [verdict for second in range(0, 1000, 5) for verdict in liveness.judge(float(second))]

    assert verdicts == [BecameUnknown(1, UnknownReason.NO_SAMPLES, from_=70.0)]


def test_no_samples_ends_in_offline_when_asking_begins_and_nobody_answers() -> None:
    liveness = watching()
    liveness.alive(1, 10.0)
    liveness.judge(300.0)
    for at in (400.0, 460.0, 520.0):
        liveness.missed(1, at, "timeout")
    verdicts = liveness.judge(521.0)

    assert verdicts == [BecameKnown(1, 521.0), Lost(1, from_=400.0, last_positive=10.0, cause="timeout")]


def test_a_good_bye_needs_no_misses_and_is_not_counted_twice() -> None:
    liveness = watching()
    liveness.alive(1, 10.0)
    liveness.left(1)
    for at in (70.0, 130.0, 190.0):
        liveness.missed(1, at, "timeout")

    assert liveness.judge(191.0) == []


def test_a_source_with_fresh_evidence_needs_no_probe() -> None:
    liveness = watching()
    liveness.alive(1, 59.0)
    asked = [source for second in range(119) for source in liveness.due(float(second), 10)]

    assert asked == []
    assert liveness.due(119.0, 10) == [1]


def test_probes_of_many_sources_are_spread_over_the_interval() -> None:
    liveness = watching(range(10_000))
    per_second = [len(liveness.due(float(second), 10_000)) for second in range(1, 61)]

    assert sum(per_second) == 10_000
    assert max(per_second) < 400


def test_a_forgotten_source_is_neither_asked_nor_judged() -> None:
    liveness = watching()
    fall_silent(liveness, range(1, 2))
    liveness.forget(1)

    assert liveness.judge(200.0) == []
    assert liveness.due(1000.0, 10) == []


steps = st.lists(
    st.tuples(
        st.sampled_from(["alive", "missed", "judge", "down", "up", "ours", "not_ours"]),
        st.integers(0, 24),
        st.floats(0.1, 90),
    ),
    max_size=200,
)


@given(steps)
def test_no_source_is_ever_lost_without_three_misses_since_its_last_answer(
    script: list[tuple[str, int, float]],
) -> None:
    liveness = watching(range(25))
    now, misses, network = 0.0, dict.fromkeys(range(25), 0), True
    wrong: list[object] = []

    def check(verdicts: list[Verdict]) -> None:
        wrong.extend(v for v in verdicts if isinstance(v, Lost) and misses[v.source_id] < 3)
        wrong.extend(v for v in verdicts if isinstance(v, Lost) and v.from_ > now)

    for action, source_id, pause in script:
        now += pause
        match action:
            case "alive":
                misses[source_id] = 0
                check(liveness.alive(source_id, now))
            case "missed":
                misses[source_id] += network
                liveness.missed(source_id, now, "timeout")
            case "down" | "up":
                network = action == "up"
                liveness.own_network(network, now)
            case "ours":
                network = network and not liveness.suspects_common_cause
                check(liveness.conclude(SelfTest.OURS, now))
            case "not_ours":
                check(liveness.conclude(SelfTest.NOT_OURS, now))
            case _:
                check(liveness.judge(now))

    assert wrong == []


def test_behind_a_lost_path_of_ours_a_source_is_unknown_and_the_others_are_judged_as_ever() -> None:
    liveness = watching(range(1, 3))
    for source_id in (1, 2):
        liveness.alive(source_id, 0.0)
    for at in (60.0, 120.0, 180.0):
        liveness.unseen(1, at)
        liveness.missed(2, at, "timeout")
    verdicts = liveness.judge(180.0)

    assert [type(v) for v in verdicts] == [Lost, BecameUnknown]
    assert ids(verdicts, Lost) == [2]
    assert verdicts[1] == BecameUnknown(1, UnknownReason.OWN_NETWORK_DOWN, from_=60.0)


def test_when_the_path_is_back_silence_counts_from_then_on_after_the_grace() -> None:
    liveness = watching()
    liveness.alive(1, 0.0)
    for at in (60.0, 120.0, 180.0):
        liveness.unseen(1, at)
    liveness.judge(180.0)
    for at in (240.0, 300.0, 360.0, 420.0):
        liveness.missed(1, at, "timeout")
    early = liveness.judge(419.0)

    assert early == []
    assert liveness.judge(420.0) == [
        BecameKnown(1, 420.0),
        Lost(1, from_=240.0, last_positive=0.0, cause="timeout"),
    ]


def test_when_the_path_is_back_an_answer_ends_the_unknown_at_once() -> None:
    liveness = watching()
    liveness.alive(1, 0.0)
    for at in (60.0, 120.0, 180.0):
        liveness.unseen(1, at)
    liveness.judge(180.0)

    assert liveness.alive(1, 200.0) == [BecameKnown(1, 200.0)]


def test_a_short_loss_of_the_path_shows_nowhere() -> None:
    liveness = watching()
    liveness.alive(1, 0.0)
    liveness.missed(1, 60.0, "timeout")
    liveness.unseen(1, 120.0)
    liveness.missed(1, 180.0, "timeout")
    liveness.missed(1, 240.0, "timeout")

    assert liveness.judge(240.0) == []
