"""What a sweep may ask, and how fast."""

import ipaddress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.model.network import Authorisation, AuthorisedNetworks
from gateway.discovery_plan import Pace, SweepPlan, SweepRefused, SweepRequest, plan_sweep

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def networks(*cidrs: str, expires: float = 60.0, revoked: float | None = None) -> AuthorisedNetworks:
    return AuthorisedNetworks(
        Authorisation(
            network_id=number,
            network=ipaddress.ip_network(cidr),
            document="[2026] 12",
            approver="Approver",
            authorised_by="Operator",
            authorised_at=NOW - timedelta(days=1),
            expires_at=NOW + timedelta(seconds=expires),
            revoked_at=None if revoked is None else NOW + timedelta(seconds=revoked),
        )
        for number, cidr in enumerate(cidrs, start=1)
    )


def plan(
    cidr: str, known: AuthorisedNetworks, ports: tuple[int, ...] | None = None, max_prefix: int = 20
) -> SweepPlan:
    request = SweepRequest(cidr, "Operator", ports)
    return plan_sweep(request, known, at=NOW, default_ports=(554,), max_prefix=max_prefix)


def test_an_authorised_network_is_planned_address_by_address() -> None:
    made = plan("10.1.2.0/30", networks("10.0.0.0/8"), ports=(554, 8554, 554))
    assert made.total == 8
    assert list(made.targets()) == [
        *((f"10.1.2.{last}", 554) for last in range(4)),
        *((f"10.1.2.{last}", 8554) for last in range(4)),
    ]
    assert made.authorisation.network_id == 1


@pytest.mark.parametrize(
    ("cidr", "cause", "words"),
    [
        ("10.2.0.0/24", "not_authorised", "muster network authorise 10.2.0.0/24"),
        ("10.0.0.0/15", "too_wide", "/20 at most"),
        ("10.1.0.0/19", "too_wide", "/20 at most"),
        ("fd00::/115", "too_wide", "/116 at most"),
        ("8.8.8.0/24", "network_refused", "private range"),
        ("127.0.0.0/30", "network_refused", "one address at a time"),
        ("camera.example", "network_refused", "names are not accepted"),
    ],
)
def test_a_refused_sweep_says_what_to_do(cidr: str, cause: str, words: str) -> None:
    with pytest.raises(SweepRefused, match=words) as caught:
        plan(cidr, networks("10.1.0.0/16", "fd00::/64"))
    assert caught.value.cause == cause
    assert caught.value.reason.zh


def test_the_widest_sweeps_are_planned() -> None:
    known = networks("10.1.0.0/16", "fd00::/64")
    assert plan("10.1.16.0/20", known).total == 4096
    assert plan("fd00::/116", known).total == 4096


def test_the_configuration_can_narrow_a_sweep() -> None:
    with pytest.raises(SweepRefused, match="/24 at most"):
        plan("10.1.0.0/23", networks("10.1.0.0/16"), max_prefix=24)


def test_an_expired_or_revoked_record_is_named() -> None:
    with pytest.raises(SweepRefused, match="record 1 expired on 2026-11-20"):
        plan("10.1.0.0/24", networks("10.1.0.0/16", expires=-86_000))
    with pytest.raises(SweepRefused, match="record 1 was revoked"):
        plan("10.1.0.0/24", networks("10.1.0.0/16", revoked=-5))


@pytest.mark.parametrize("ports", [(), (0,), (65536,), tuple(range(1, 18))])
def test_ports_are_bounded(ports: tuple[int, ...]) -> None:
    with pytest.raises(SweepRefused) as caught:
        plan("10.1.0.0/24", networks("10.1.0.0/16"), ports=ports)
    assert caught.value.cause == "ports_invalid"


@given(st.ip_addresses(v=4, network="10.0.0.0/8"), st.integers(16, 32))
def test_no_plan_leaves_its_authorisation(address: ipaddress.IPv4Address, length: int) -> None:
    known = networks("10.1.0.0/16", "10.200.3.0/24")
    network = ipaddress.ip_network((address, length), strict=False)
    try:
        made = plan(str(network), known)
    except SweepRefused:
        return
    for host, _ in made.targets():
        assert known.covers(host, NOW) is not None


def test_questions_are_spread_evenly() -> None:
    pace = Pace(rate=20.0)
    waits = [pace.reserve(100.0) for _ in range(5)]
    assert waits == pytest.approx([0.0, 0.05, 0.10, 0.15, 0.20])


def test_a_pause_saves_nothing_up_for_a_burst() -> None:
    pace = Pace(rate=10.0)
    assert pace.reserve(100.0) == 0.0
    assert [pace.reserve(200.0) for _ in range(3)] == pytest.approx([0.0, 0.1, 0.2])


def test_a_rate_must_be_above_zero() -> None:
    with pytest.raises(ValueError, match="above 0"):
        Pace(0.0)


@given(st.floats(0.5, 1000), st.lists(st.floats(0, 5), min_size=1, max_size=60))
def test_no_second_ever_holds_more_questions_than_the_rate(rate: float, pauses: list[float]) -> None:
    pace, now, sent = Pace(rate), 0.0, []
    for pause in pauses:
        now += pause
        now += pace.reserve(now)
        sent.append(now)
    for begin in sent:
        assert len([at for at in sent if begin <= at < begin + 1.0 - 1e-6]) <= rate + 1
