"""How the pulls behave between plans, workers and status, on a hand-moved clock."""

import logging
from dataclasses import replace
from datetime import timedelta

import pytest

from adapters.base import SourceKey
from catalog.model.plan import RelayMode
from gateway.enrolment.ports import Conditions, PullRules
from gateway.enrolment.pull import Phase
from gateway.relay.continuity import Finding
from gateway.relay.protocol import (
    CodecChanged,
    EventsLost,
    MediaGapClosed,
    MediaGapOpened,
    PictureFormatSeen,
    RelayState,
    SinkState,
    StreamFound,
    WorkerLost,
)
from gateway.relay.view import RelaySnapshot, no_counters
from tests.fakes.enrolment import NOW, PASSWORD, SINK, Bench, endpoint, networks, plan, stored

CONNECTED = plan(has_connected=True)


# -- verification and first connection ------------------------------------------------------------------------------


def test_a_source_that_never_connected_is_verified_and_runs_on() -> None:
    bench = Bench()
    bench.put(plan())
    assert [spec.verify for spec in bench.relays.started] == [10.0]
    bench.connect()
    assert bench.status.kinds() == ["seen", "connected"]
    assert (bench.pull().phase, bench.relays.stopped) == (Phase.RUNNING, [])
    assert bench.status.details[7]["seconds"] == 10.4
    assert bench.status.details[7]["bitrate"] == 4_000_000


def test_playing_alone_connects_nothing() -> None:
    bench = Bench()
    bench.put(plan())
    bench.play(authenticated=True)
    bench.media(7)
    bench.media(7)
    assert bench.status.kinds() == ["seen"]


def test_with_a_superior_its_record_must_be_up_before_the_source_is_connected() -> None:
    bench = Bench(sink=SINK)
    bench.put(plan())
    bench.connect()
    bench.sink(SinkState.FAILED, cause="unreachable")
    assert bench.status.kinds() == ["seen"]
    assert bench.obstacle() == "superior_away"
    bench.sink(SinkState.RECORDING)
    assert bench.status.kinds() == ["seen", "connected"]
    assert bench.obstacle() is None
    assert bench.status.details[7]["superior"] == "platform"


def test_a_record_that_is_down_again_when_the_picture_is_verified_does_not_count() -> None:
    bench = Bench(sink=SINK)
    bench.put(plan())
    bench.play()
    bench.sink(SinkState.RECORDING)
    bench.sink(SinkState.FAILED, cause="refused")
    bench.verify()
    assert "connected" not in bench.status.kinds()
    assert bench.obstacle() == "superior_refused"


def test_a_first_connection_waits_until_the_status_watches_the_source() -> None:
    bench = Bench()
    bench.status.watches = False
    bench.put(plan())
    bench.connect()
    assert "connected" not in bench.status.kinds()
    bench.status.watches = True
    bench.media(7)
    assert bench.status.kinds() == ["seen", "connected"]


def test_an_undecodable_picture_is_tried_again_later_and_said() -> None:
    bench = Bench()
    bench.put(plan())
    bench.play()
    bench.verify(passed=False)
    assert bench.obstacle() == "no_media"
    bench.over()
    bench.pass_time(3)
    assert len(bench.relays.started) == 1
    bench.pass_time(4)
    assert len(bench.relays.started) == 2


def test_a_verification_that_never_ends_gives_its_place_up() -> None:
    bench = Bench(rules=PullRules(verify_at_once=1))
    bench.put(plan(7), plan(8))
    assert list(bench.relays.running) == [7]
    bench.pass_time(100)
    assert 8 in {spec.source_id for spec in bench.relays.started}
    assert bench.obstacle() == "timeout"


def test_only_so_many_sources_are_verified_at_once_and_connected_ones_do_not_wait_for_them() -> None:
    bench = Bench(rules=PullRules(verify_at_once=3))
    bench.put(*(plan(number) for number in range(1, 11)), *(plan(n, has_connected=True) for n in (20, 21)))
    assert sorted(bench.relays.running) == [1, 2, 3, 20, 21]
    bench.connect(2)
    bench.pass_time(1)
    assert sorted(bench.relays.running) == [1, 2, 3, 4, 20, 21]


def test_waits_grow_and_a_fresh_source_goes_before_the_failed_ones() -> None:
    bench = Bench(rules=PullRules(verify_at_once=1))
    bench.put(plan(7))
    bench.end("unreachable")
    bench.over()
    bench.pass_time(7)
    assert len(bench.relays.started) == 2
    bench.end("unreachable")
    bench.over()
    bench.pass_time(7)
    assert len(bench.relays.started) == 2
    bench.put(plan(8))
    assert bench.relays.started[-1].source_id == 8


def test_an_end_of_the_session_before_the_superior_took_it_verifies_anew() -> None:
    bench = Bench(sink=SINK)
    bench.put(plan())
    bench.connect()
    bench.end("closed", was_playing=True, last_media_at=bench.clock.monotonic())
    bench.over()
    bench.pass_time(7)
    bench.play()
    bench.sink(SinkState.RECORDING)
    assert "connected" not in bench.status.kinds()
    bench.verify()
    assert bench.status.kinds()[-1] == "connected"


# -- on demand ------------------------------------------------------------------------------------------------------


def test_a_source_on_demand_is_verified_stops_and_runs_when_asked_for() -> None:
    bench = Bench()
    bench.put(plan(relay_mode=RelayMode.ON_DEMAND))
    bench.connect()
    assert bench.relays.running == {}
    bench.over()
    bench.pass_time(2)
    assert bench.pull().phase is Phase.IDLE
    assert bench.on_demand.want(7, 30.0) is None
    bench.pass_time(1)
    assert bench.relays.started[-1].verify == 0
    bench.pass_time(25)
    assert 7 in bench.relays.running
    bench.on_demand.want(7, 30.0)
    bench.pass_time(29)
    assert 7 in bench.relays.running
    bench.pass_time(2)
    assert 7 not in bench.relays.running


def test_who_asks_anew_does_not_wait_for_an_earlier_failure() -> None:
    bench = Bench()
    bench.put(plan(relay_mode=RelayMode.ON_DEMAND))
    for _ in range(3):
        bench.end("unreachable")
        bench.over()
        bench.pass_time(1)
    before = len(bench.relays.started)
    assert bench.pull().phase is Phase.WAITING
    bench.on_demand.want(7, 30.0)
    bench.pass_time(1)
    assert len(bench.relays.started) == before + 1


def test_a_verified_source_on_demand_waits_only_a_while_for_the_superior() -> None:
    bench = Bench(sink=SINK)
    bench.put(plan(relay_mode=RelayMode.ON_DEMAND))
    bench.connect()
    bench.sink(SinkState.FAILED, cause="timeout")
    bench.pass_time(61)
    assert bench.relays.stopped == [(7, "failed")]
    assert bench.obstacle() == "superior_away"


def test_what_stands_in_the_way_is_answered_at_once() -> None:
    bench = Bench()
    bench.put(plan(relay_mode=RelayMode.ON_DEMAND, location_type=None, has_connected=True))
    assert bench.on_demand.want(7, 30.0) == "location_unattested"
    with pytest.raises(LookupError):
        bench.on_demand.want(99, 30.0)


# -- changes --------------------------------------------------------------------------------------------------------


def test_the_same_plan_again_disturbs_nothing() -> None:
    bench = Bench()
    bench.put(CONNECTED)
    bench.put(CONNECTED, anew=True)
    counted = replace(CONNECTED.endpoints[0], refusals=1, refused_version=1, refused_at=NOW)
    bench.put(replace(CONNECTED, endpoints=(counted,)))
    assert (len(bench.relays.started), bench.relays.stopped) == (1, [])


def test_a_changed_endpoint_begins_anew_after_the_last_event_of_the_old_pull() -> None:
    bench = Bench()
    bench.put(CONNECTED)
    bench.put(replace(CONNECTED, endpoints=(endpoint(2, "10.1.0.8"),)))
    bench.pass_time(1)
    assert len(bench.relays.started) == 1
    bench.over()
    bench.pass_time(1)
    assert [spec.target.host for spec in bench.relays.started] == ["10.1.0.5", "10.1.0.8"]


def test_events_of_an_earlier_pull_prove_nothing_of_the_present_one() -> None:
    bench = Bench()
    bench.put(plan())
    bench.put(plan(7, endpoint(2, "10.1.0.8")))
    bench.connect()
    assert bench.status.kinds() == []
    bench.over()
    bench.pass_time(1)
    assert bench.status.kinds() == []


def test_a_worker_that_died_before_it_said_so_does_not_hold_the_next_pull_for_ever() -> None:
    bench = Bench()
    bench.put(CONNECTED)
    bench.put(replace(CONNECTED, endpoints=(endpoint(2, "10.1.0.8"),)))
    bench.pass_time(9)
    assert len(bench.relays.started) == 2


def test_a_source_that_leaves_the_roll_is_stopped() -> None:
    bench = Bench()
    bench.put(CONNECTED)
    bench.pulls.forget(7)
    bench.pass_time(5)
    bench.over()
    assert (bench.relays.stopped, len(bench.pulls)) == ([(7, "off_the_roll")], 0)


def test_a_relay_whose_authorisation_ended_is_stopped_within_a_look_at_all() -> None:
    bench = Bench()
    bench.pulls.conditions = Conditions(networks(expires_at=NOW + timedelta(seconds=30)))
    bench.put(CONNECTED)
    bench.pass_time(31)
    bench.reassert()
    assert bench.relays.stopped == [(7, "network_not_authorised")]
    assert bench.obstacle() == "network_not_authorised"


def test_a_forbidden_location_is_never_relayed_and_noted_for_the_catalog() -> None:
    bench = Bench()
    bench.put(CONNECTED)
    bench.put(replace(CONNECTED, location_type="toilet"))
    assert bench.relays.running == {}
    assert ("forbidden", 7, ("WX-9", "CN-8.1(3)")) in bench.ledger.notes


# -- credentials ----------------------------------------------------------------------------------------------------


def test_a_credential_goes_only_to_the_confirmed_endpoint_in_an_authorised_network() -> None:
    bench = Bench()
    ways = (
        endpoint(1, "10.1.0.5", is_confirmed=False, credential=stored(1)),
        endpoint(2, "10.9.0.5", credential=stored(1)),
        endpoint(3, "10.1.0.7", credential=stored(1)),
    )
    bench.put(plan(7, *ways))
    for _ in range(6):
        bench.end("unreachable")
        bench.over()
        bench.pass_time(400)
    assert {spec.target.host for spec in bench.relays.started} == {"10.1.0.7"}
    assert {spec.credential.password.reveal() for spec in bench.relays.started if spec.credential} == {
        PASSWORD
    }
    assert PASSWORD not in repr(bench.relays.started)
    assert PASSWORD not in repr(bench.pull())


def test_after_two_refusals_nothing_is_tried_for_half_an_hour() -> None:
    bench = Bench()
    bench.put(plan(7, endpoint(credential=stored())))
    bench.end("authentication_failed", retryable=False, refusals=1, status=401)
    bench.pass_time(10)
    assert len(bench.relays.started) == 2
    bench.end("authentication_failed", retryable=False, refusals=1, status=401)
    bench.pass_time(1780)
    assert len(bench.relays.started) == 2
    assert bench.obstacle() == "authentication_failed"
    assert bench.ledger.notes == [("refused", 1, 1, 1), ("refused", 1, 1, 1)]
    bench.pass_time(40)
    assert len(bench.relays.started) == 3


def test_a_changed_credential_is_tried_at_once() -> None:
    bench = Bench()
    bench.put(plan(7, endpoint(credential=stored())))
    bench.end("authentication_failed", retryable=False, refusals=2, status=401)
    bench.pass_time(10)
    bench.put(plan(7, endpoint(credential=stored(version=2))))
    assert len(bench.relays.started) == 2
    bench.play(authenticated=True)
    assert bench.obstacle() is None


def test_the_channels_of_one_recorder_do_not_lock_its_account_together() -> None:
    bench = Bench()
    channels = [plan(n, endpoint(n, credential=stored(), path=f"/channel/{n}")) for n in range(1, 17)]
    bench.put(*channels)
    bench.pass_time(5)
    assert len(bench.relays.started) == 1
    first = bench.relays.started[0].source_id
    bench.end("authentication_failed", first, retryable=False, refusals=2, status=401)
    bench.pass_time(60)
    assert len(bench.relays.started) == 1
    assert set(bench.status.obstacles.values()) == {"authentication_failed"}


def test_once_the_recorder_took_the_credential_all_its_channels_follow() -> None:
    bench = Bench()
    bench.put(*(plan(n, endpoint(n, credential=stored(), path=f"/channel/{n}")) for n in range(1, 17)))
    bench.play(bench.relays.started[0].source_id, authenticated=True)
    bench.pass_time(2)
    assert len(bench.relays.started) == 16


def test_a_refusal_never_leads_to_the_next_endpoint_with_the_same_credential() -> None:
    bench = Bench()
    bench.put(plan(7, endpoint(1, credential=stored()), endpoint(2, "10.1.0.6", credential=stored())))
    bench.end("authentication_failed", retryable=False, refusals=1, status=401)
    bench.pass_time(10)
    bench.end("authentication_failed", retryable=False, refusals=1, status=401)
    bench.pass_time(4000)
    assert {spec.target.host for spec in bench.relays.started} == {"10.1.0.5"}


def test_a_password_that_the_device_wants_and_nobody_stored_is_said_and_not_asked_for_again_soon() -> None:
    bench = Bench()
    bench.put(plan())
    bench.end("credential_missing", retryable=False, status=401)
    bench.pass_time(1000)
    assert bench.obstacle() == "credential_missing"
    assert bench.status.kinds() == ["seen"]
    assert len(bench.relays.started) == 1


def test_a_connected_source_that_refuses_us_is_degraded_until_it_takes_us_again() -> None:
    bench = Bench()
    bench.put(plan(7, endpoint(credential=stored()), has_connected=True))
    bench.end("authentication_failed", retryable=False, refusals=2, status=401)
    assert bench.status.kinds() == ["impaired authentication_failed"]
    bench.status.facts.clear()
    bench.reassert()
    assert bench.status.kinds() == ["impaired authentication_failed"]
    bench.pass_time(1820)
    bench.play(authenticated=True)
    assert bench.status.kinds()[-1] == "restored authentication_failed"
    assert bench.ledger.notes[-1] == ("accepted", 1)


# -- a connected source ---------------------------------------------------------------------------------------------


def test_a_move_to_another_worker_is_nothing_against_the_source() -> None:
    bench = Bench()
    bench.put(plan(7, endpoint(1), endpoint(2, "10.1.0.6"), has_connected=True))
    for _ in range(3):
        bench.end("moved", was_playing=True, last_media_at=bench.clock.monotonic())
        bench.pass_time(2)
    assert (bench.status.kinds(), bench.obstacle(), bench.relays.stopped) == ([], None, [])
    assert (bench.pull().failures, bench.pull().phase) == (0, Phase.RUNNING)


def test_another_endpoint_is_tried_after_two_tries_without_video() -> None:
    bench = Bench()
    bench.put(plan(7, endpoint(1), endpoint(2, "10.1.0.6"), has_connected=True))
    bench.end("closed", was_playing=True, last_media_at=bench.clock.monotonic())
    bench.end("unreachable")
    assert bench.relays.stopped == []
    bench.end("unreachable")
    bench.over()
    bench.pass_time(1)
    assert [spec.target.host for spec in bench.relays.started] == ["10.1.0.5", "10.1.0.6"]


def test_a_source_whose_endpoints_all_fail_is_tried_ever_more_rarely() -> None:
    bench = Bench()
    bench.put(plan(7, endpoint(1), endpoint(2, "10.1.0.6"), has_connected=True))
    for _ in range(600):
        if 7 in bench.relays.running:
            bench.end("unreachable")
            bench.over()
        bench.pass_time(1)
    assert 8 <= len(bench.relays.started) <= 30
    bench.pass_time(80)
    assert 7 in bench.relays.running


def test_a_channel_that_fails_does_not_keep_the_recorders_other_channels_waiting() -> None:
    bench = Bench()
    bench.put(
        *(plan(n, endpoint(n, credential=stored(), path=f"/{n}"), has_connected=True) for n in range(1, 4))
    )
    bench.pass_time(3)
    assert len(bench.relays.started) == 1
    bench.end("refused", bench.relays.started[0].source_id, status=404)
    bench.pass_time(3)
    assert len(bench.relays.started) == 2


def test_a_removed_sink_takes_its_obstacle_along() -> None:
    bench = Bench(sink=SINK)
    bench.put(CONNECTED)
    bench.sink(SinkState.FAILED, cause="timeout")
    bench.pulls.conditions = Conditions(networks())
    bench.put(CONNECTED, anew=True)
    bench.over()
    bench.pass_time(1)
    assert (bench.obstacle(), bench.relays.started[-1].sink) == (None, None)


def test_a_single_endpoint_is_left_to_its_worker_for_ever() -> None:
    bench = Bench()
    bench.put(CONNECTED)
    for _ in range(20):
        bench.end("unreachable")
    assert (len(bench.relays.started), bench.relays.stopped) == (1, [])
    assert bench.obstacle() == "unreachable"


def test_a_gap_in_the_media_degrades_and_its_end_restores() -> None:
    bench = Bench()
    bench.put(CONNECTED)
    bench.play()
    bench.media(7)
    bench.events.take(MediaGapOpened(*bench.times(7), bench.clock.monotonic() - 4))
    assert bench.status.kinds()[-1] == "impaired no_media"
    bench.status.facts.clear()
    bench.events.take(MediaGapClosed(*bench.times(7), 6.0))
    assert bench.status.kinds() == ["restored no_media"]


def test_a_stream_that_changes_is_logged_and_neither_degrades_nor_stops(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = Bench()
    bench.put(CONNECTED)
    bench.play()
    bench.media(7)
    bench.status.facts.clear()
    caplog.set_level(logging.INFO)
    bench.events.take(StreamFound(*bench.times(7), Finding.SSRC_CHANGED, 1, True, "1 became 2"))
    bench.events.take(PictureFormatSeen(*bench.times(7), "H264", "Main", 1920, 1080, False))
    bench.events.take(CodecChanged(*bench.times(7), "H264", "H265"))
    bench.end("stream_changed", was_playing=True, last_media_at=bench.clock.monotonic())
    assert bench.status.kinds() == []
    assert bench.relays.stopped == []
    assert [record.getMessage() for record in caplog.records][:3] == [
        "source 7: ssrc_changed (1 in this session) 1 became 2; begun anew",
        "source 7: H264 Main, 1920 x 1080",
        "source 7: codec H264 became H265",
    ]


def test_signs_of_life_from_before_a_gap_do_not_end_it() -> None:
    bench = Bench()
    bench.put(CONNECTED)
    bench.events.take(MediaGapOpened(*bench.times(7), bench.clock.monotonic() - 4))
    bench.clock.advance(-2)
    bench.media(7)
    assert "restored no_media" not in bench.status.kinds()
    bench.media(7)
    assert "restored no_media" in bench.status.kinds()


def test_a_source_that_answers_without_a_picture_is_degraded_and_says_so() -> None:
    bench = Bench()
    bench.put(CONNECTED)
    bench.end("timeout", was_playing=True)
    assert bench.status.kinds() == ["impaired no_media"]
    assert bench.obstacle() == "no_media"
    bench.play()
    bench.media(7)
    assert bench.status.kinds()[-1] == "restored no_media"
    assert bench.obstacle() is None


def test_a_source_that_went_away_is_not_called_degraded() -> None:
    bench = Bench()
    bench.put(CONNECTED)
    bench.end("closed", was_playing=True, last_media_at=bench.clock.monotonic())
    bench.end("unreachable")
    assert bench.status.kinds() == []


def test_a_source_whose_relay_is_switched_off_is_not_called_degraded_any_longer() -> None:
    bench = Bench()
    bench.put(CONNECTED)
    bench.play()
    bench.events.take(MediaGapOpened(*bench.times(7), bench.clock.monotonic() - 4))
    bench.status.facts.clear()
    bench.put(replace(CONNECTED, relay_mode=RelayMode.OFF))
    bench.reassert()

    assert bench.status.kinds() == [
        "restored no_media",
        "restored authentication_failed",
        "restored bitrate_low",
    ]


def test_what_an_earlier_run_saw_of_a_source_on_demand_ends_when_nobody_pulls_it() -> None:
    bench = Bench()
    bench.put(replace(CONNECTED, relay_mode=RelayMode.ON_DEMAND))

    assert bench.status.kinds() == [
        "restored no_media",
        "restored authentication_failed",
        "restored bitrate_low",
    ]


def test_a_source_whose_credential_rests_stays_degraded() -> None:
    bench = Bench()
    refusing = plan(7, endpoint(credential=stored()), has_connected=True)
    bench.put(refusing)
    bench.end("authentication_failed", refusals=2, retryable=False)
    bench.status.facts.clear()
    bench.reassert()

    assert bench.status.kinds() == ["impaired authentication_failed"]


def test_a_source_that_is_there_but_whose_pull_always_times_out_is_degraded() -> None:
    bench = Bench()
    bench.put(CONNECTED)
    for _ in range(2):
        bench.end("timeout")
    bench.reassert()
    told = bench.status.kinds()
    bench.play()
    bench.media(7)

    assert told == ["impaired no_media"]
    assert bench.status.kinds()[-1] == "restored no_media"


def test_the_superiors_failure_is_never_the_sources_state() -> None:
    bench = Bench(sink=SINK)
    bench.put(CONNECTED)
    bench.play()
    bench.media(7)
    bench.sink(SinkState.FAILED, cause="authentication_failed")
    assert bench.status.kinds() == ["restored authentication_failed", "restored no_media"]
    assert bench.obstacle() == "superior_refused"


def test_the_loss_of_a_worker_says_nothing_about_the_source() -> None:
    bench = Bench()
    bench.put(CONNECTED)
    bench.play()
    _, at, at_utc = bench.times(7)
    bench.events.take(WorkerLost(at, at_utc, 4711, (bench.relays.started[0].source_id,)))
    bench.end("worker_lost", was_playing=True)
    assert bench.status.kinds() == ["restored authentication_failed"]
    assert (bench.obstacle(), bench.relays.stopped) == (None, [])


def shown(state: RelayState, sink: SinkState, cause: str = "") -> RelaySnapshot:
    return RelaySnapshot(
        source_id=SourceKey(7),
        source_code="x",
        worker=1,
        state=state,
        since=NOW,
        cause=cause,
        detail="",
        sink_state=sink,
        sink_since=NOW,
        sink_cause="",
        codec="H264",
        transport=None,
        width=0,
        height=0,
        in_gap=False,
        on_demand=False,
        counters=no_counters(SourceKey(7)),
    )


def test_lost_events_are_read_back_from_the_relays_own_view() -> None:
    bench = Bench(sink=SINK)
    bench.put(CONNECTED)
    bench.sink(SinkState.FAILED, cause="timeout")
    bench.relays.shown = [shown(RelayState.PLAYING, SinkState.RECORDING)]
    bench.events.take(EventsLost(12))
    assert bench.obstacle() is None
    bench.relays.shown = [shown(RelayState.ENDED, SinkState.IDLE, "weak_authentication")]
    bench.events.take(EventsLost(1))
    assert bench.obstacle() == "weak_authentication"
    assert bench.pull().phase is Phase.WAITING


def test_behind_a_lost_interface_of_ours_nothing_is_pulled_and_no_credential_goes_another_way() -> None:
    bench = Bench()
    bench.put(CONNECTED)
    bench.play()
    bench.lost.add("10.1.0.5")
    bench.reassert()
    told = bench.obstacle()
    bench.over()
    started = len(bench.relays.started)
    bench.clock.advance(6)
    bench.pulls.look()
    behind = len(bench.relays.started)
    bench.lost.clear()
    bench.clock.advance(6)
    bench.pulls.look()

    assert told == "own_network_down"
    assert behind == started
    assert len(bench.relays.started) == started + 1
