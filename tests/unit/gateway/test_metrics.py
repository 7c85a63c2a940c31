"""The metrics say how many, never which."""

from dataclasses import replace
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from adapters.base import RtspTarget, SourceKey
from catalog.model.connectivity import State
from catalog.model.display import Displayed, UnknownReason
from gateway.metrics import Metrics
from gateway.relay.budget import Usage
from gateway.relay.limits import Limit, Limits
from gateway.relay.protocol import RelayState
from gateway.relay.spec import RelaySpec
from gateway.relay.view import RelaySnapshot, RelayView, no_counters
from tests.seed import NOW

ALLOWED_LABELS = {"status", "before", "after", "result", "state", "reason", "le", "limit", "worker"}


def test_counts_of_sources_are_replaced_as_a_whole() -> None:
    metrics = Metrics()
    metrics.show_sources({Displayed.ONLINE: 2, Displayed.OFFLINE: 1})
    metrics.show_sources({Displayed.ONLINE: 3})
    text = metrics.render().decode()
    assert 'muster_sources{status="online"} 3.0' in text
    assert "offline" not in text


def test_two_instances_do_not_share_anything() -> None:
    first, second = Metrics(), Metrics()
    first.relay_sent.inc(5)
    assert "muster_relay_sent_bytes_total 0.0" in second.render().decode()


def test_no_label_can_carry_a_source() -> None:
    metrics = Metrics()
    metrics.show_sources({Displayed.ONLINE: 1})
    metrics.show_unknown({UnknownReason.RESTART_GRACE: 1})
    metrics.transitions.labels(before="online", after="offline").inc()
    metrics.probes.labels(result="alive").inc()
    metrics.relays.labels(state="up").set(1)
    metrics.evidence_flush.observe(0.01)
    metrics.show_workers([1.0], moves=0)
    metrics.show_budget(Usage(Limits(), 0, 0, {}, {}), gave_way=0)
    families = text_string_to_metric_families(metrics.render().decode())
    ours = [family for family in families if family.name.startswith("muster_")]
    assert {
        label for family in ours for sample in family.samples for label in sample.labels
    } == ALLOWED_LABELS


def relay(source_id: int, state: RelayState, **counters: Any) -> RelaySnapshot:
    key = SourceKey(source_id)
    shown = RelayView(RelaySpec(key, "x", RtspTarget("127.0.0.1", 554, "/")), NOW, NOW).snapshot(1)
    return replace(shown, state=state, counters=replace(no_counters(key), **counters))


def test_what_relays_move_is_added_up_and_a_relay_begun_anew_counts_from_nothing() -> None:
    metrics = Metrics()
    playing, waiting = RelayState.PLAYING, RelayState.WAITING
    metrics.show_relays([relay(1, playing, bytes_in=100, sessions=1)], lost_workers=0)
    metrics.show_relays([relay(1, playing, bytes_in=150, sessions=1), relay(2, waiting)], lost_workers=1)
    metrics.show_relays([relay(1, playing, bytes_in=20, sessions=1)], lost_workers=1)
    value = metrics.registry.get_sample_value

    assert value("muster_relay_received_bytes_total") == 170.0
    assert value("muster_relay_sessions_total") == 1.0
    assert value("muster_worker_restarts_total") == 1.0
    assert value("muster_relays", {"state": "playing"}) == 1.0
    assert value("muster_relays", {"state": "waiting"}) is None


def test_delay_is_observed_of_relays_with_media_and_queues_are_summed() -> None:
    metrics = Metrics()
    playing = RelayState.PLAYING
    late = relay(1, playing, bitrate=4_000_000, delay=2.0, queue_bytes=300)
    metrics.show_relays(
        [late, relay(2, playing, bitrate=1, queue_bytes=200), relay(3, playing)], lost_workers=0
    )
    value = metrics.registry.get_sample_value

    assert value("muster_relay_delay_seconds_count") == 2.0
    assert value("muster_relay_delay_seconds_bucket", {"le": "1.0"}) == 1.0
    assert value("muster_relay_queue_bytes") == 500.0


def test_cpu_of_a_replaced_worker_counts_from_nothing() -> None:
    metrics = Metrics()
    metrics.show_workers([5.0, 1.0], moves=0)
    metrics.show_workers([0.5, 3.0], moves=2)
    value = metrics.registry.get_sample_value

    assert value("muster_worker_cpu_seconds_total", {"worker": "0"}) == 5.5
    assert value("muster_worker_cpu_seconds_total", {"worker": "1"}) == 3.0
    assert value("muster_relay_moves_total") == 2.0


def test_who_waits_for_room_is_counted_by_the_limit() -> None:
    metrics = Metrics()
    metrics.show_budget(Usage(Limits(pulls=9), 9, 36_000_000, {}, {Limit.PULLS: 4}), gave_way=3)
    metrics.show_budget(Usage(Limits(pulls=9), 8, 32_000_000, {}, {}), gave_way=5)
    value = metrics.registry.get_sample_value

    assert value("muster_pulls_waiting", {"limit": "pull_limit"}) == 0.0
    assert (value("muster_pulls"), value("muster_pulls_bits_per_second")) == (8.0, 32_000_000.0)
    assert value("muster_pulls_gave_way_total") == 5.0


def test_transitions_are_added_by_state_before_and_after() -> None:
    metrics = Metrics()
    for _ in range(2):
        metrics.show_transitions({(State.ONLINE, State.OFFLINE): 3})
    labels = {"before": "online", "after": "offline"}

    assert metrics.registry.get_sample_value("muster_transitions_total", labels) == 6.0


def test_onvif_events_are_counted_from_the_start_and_added_once() -> None:
    metrics = Metrics()
    metrics.show_onvif({"datagram_taken": 3})
    metrics.show_onvif({"datagram_taken": 5, "interrogation_failed": 1})
    text = metrics.render().decode()
    assert 'muster_onvif_total{event="datagram_taken"} 5.0' in text
    assert 'muster_onvif_total{event="interrogation_failed"} 1.0' in text
