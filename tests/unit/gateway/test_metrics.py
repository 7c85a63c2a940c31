"""The metrics say how many, never which."""

from prometheus_client.parser import text_string_to_metric_families

from gateway.metrics import Metrics

ALLOWED_LABELS = {"status", "before", "after", "result", "state", "side", "reason", "le"}


def test_counts_of_sources_are_replaced_as_a_whole() -> None:
    metrics = Metrics()
    metrics.show_sources({"online": 2, "offline": 1})
    metrics.show_sources({"online": 3})
    text = metrics.render().decode()
    assert 'muster_sources{status="online"} 3.0' in text
    assert "offline" not in text


def test_two_instances_do_not_share_anything() -> None:
    first, second = Metrics(), Metrics()
    first.relay_sent.inc(5)
    assert "muster_relay_sent_bytes_total 0.0" in second.render().decode()


def test_no_label_can_carry_a_source() -> None:
    metrics = Metrics()
    metrics.show_sources({"online": 1})
    metrics.show_unknown({"restart_grace": 1})
    metrics.transitions.labels(before="online", after="offline").inc()
    metrics.probes.labels(result="alive").inc()
    metrics.relays.labels(state="up").set(1)
    metrics.relay_reconnects.labels(side="source").inc()
    metrics.evidence_flush.observe(0.01)
    families = text_string_to_metric_families(metrics.render().decode())
    ours = [family for family in families if family.name.startswith("muster_")]
    assert {
        label for family in ours for sample in family.samples for label in sample.labels
    } == ALLOWED_LABELS
