"""Which addresses may be asked, and which never."""

import ipaddress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.model.network import (
    PRIVATE_RANGES,
    Authorisation,
    AuthorisedNetworks,
    NetworkRefused,
    is_inside,
    may_be_authorised,
    parse_address,
    parse_network,
    refuse_public,
)

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def record(
    cidr: str, number: int = 1, *, expires: float = 60.0, revoked: float | None = None
) -> Authorisation:
    return Authorisation(
        network_id=number,
        network=ipaddress.ip_network(cidr),
        document="[2026] 12",
        approver="Approver",
        authorised_by="Operator",
        authorised_at=NOW - timedelta(seconds=60),
        expires_at=NOW + timedelta(seconds=expires),
        revoked_at=None if revoked is None else NOW + timedelta(seconds=revoked),
    )


@pytest.mark.parametrize(
    "cidr",
    [
        "10.0.0.0/8",
        "10.1.2.3",
        "172.16.0.0/12",
        "172.31.255.255/32",
        "192.168.1.0/24",
        "100.64.0.0/10",
        "fd00:1::/64",
        "127.0.0.1",
        "127.3.4.5/32",
        "::1",
    ],
)
def test_private_ranges_and_single_loopback_addresses_may_be_authorised(cidr: str) -> None:
    assert refuse_public(cidr) == ipaddress.ip_network(cidr)


@pytest.mark.parametrize(
    ("cidr", "words"),
    [
        ("8.8.8.0/24", "private range"),
        ("0.0.0.0/0", "loopback"),
        ("::/0", "loopback"),
        ("9.0.0.0/7", "bits set"),
        ("8.0.0.0/6", "private range"),
        ("172.0.0.0/8", "private range"),
        ("192.168.0.0/15", "private range"),
        ("224.0.0.0/24", "private range"),
        ("127.0.0.0/8", "one address at a time"),
        ("127.0.0.0/31", "one address at a time"),
        ("169.254.169.254", "link-local"),
        ("fe80::/64", "link-local"),
        ("2001:db8::/64", "private range"),
        ("::ffff:10.0.0.1", "private range"),
        ("64:ff9b::a00:1", "private range"),
        ("198.51.100.1", "private range"),
        ("10.0.0.1/24", "did you mean 10.0.0.0/24"),
        ("camera.example", "names are not accepted"),
        ("", "no network"),
        ("10.0.0.0/33", "no network"),
        ("fd00::1%eth0", "no network|interface"),
        ("010.0.0.1", "no network"),
        ("167772161", "no network"),
    ],
)
def test_everything_else_is_refused_in_both_languages(cidr: str, words: str) -> None:
    with pytest.raises(NetworkRefused, match=words) as caught:
        refuse_public(cidr)
    assert caught.value.reason.zh
    assert caught.value.reason.en == str(caught.value)


@given(st.text(max_size=60))
def test_any_text_is_a_network_or_refused(text: str) -> None:
    try:
        network = parse_network(text)
    except NetworkRefused:
        return
    assert parse_network(str(network)) == network


@given(st.ip_addresses(), st.integers(0, 128))
def test_what_may_be_authorised_is_never_globally_routed(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, length: int
) -> None:
    network = ipaddress.ip_network((address, min(length, address.max_prefixlen)), strict=False)
    if may_be_authorised(network):
        assert not network[0].is_global
        assert not network[-1].is_global
        assert not network.is_multicast
        assert not network.is_link_local


@pytest.mark.parametrize(
    "host", ["camera.example", "", "fd00::1%eth0", "::ffff:10.0.0.1", "10.0.0.1/32", "10.0.0.01"]
)
def test_only_plain_addresses_are_ever_covered(host: str) -> None:
    networks = AuthorisedNetworks([record("10.0.0.0/8"), record("fd00::/8")])
    assert networks.covers(host, NOW) is None
    with pytest.raises(ValueError):  # noqa: PT011 - the standard library's own texts
        parse_address(host)


def test_a_record_covers_its_addresses_and_no_other() -> None:
    networks = AuthorisedNetworks([record("10.1.2.0/24")])
    assert networks.covers("10.1.2.0", NOW) is not None
    assert networks.covers("10.1.2.255", NOW) is not None
    assert networks.covers("10.1.3.0", NOW) is None
    assert networks.covers("fd00::1", NOW) is None
    assert AuthorisedNetworks().covers("10.1.2.1", NOW) is None


def test_a_record_holds_until_just_before_its_expiry_also_on_a_clock_that_was_set_back() -> None:
    networks = AuthorisedNetworks([record("10.1.2.0/24")])
    assert networks.covers("10.1.2.1", NOW - timedelta(hours=1)) is not None
    assert networks.covers("10.1.2.1", NOW) is not None
    assert networks.covers("10.1.2.1", NOW + timedelta(seconds=59.999)) is not None
    assert networks.covers("10.1.2.1", NOW + timedelta(seconds=60)) is None


def test_a_revoked_record_covers_nothing_also_on_a_clock_that_was_set_back() -> None:
    networks = AuthorisedNetworks([record("10.1.2.0/24", revoked=0)])
    assert networks.covers("10.1.2.1", NOW) is None
    assert networks.covers("10.1.2.1", NOW - timedelta(hours=1)) is None


def test_the_most_specific_live_record_answers() -> None:
    wide, narrow, ended = (
        record("10.0.0.0/8", 1),
        record("10.1.0.0/16", 2),
        record("10.1.2.0/24", 3, revoked=-1),
    )
    found = AuthorisedNetworks([wide, narrow, ended]).covers("10.1.2.3", NOW)
    assert found == narrow


def test_of_equal_records_the_one_that_lasts_longest_answers() -> None:
    longer = record("10.1.0.0/16", 1, expires=120)
    assert AuthorisedNetworks([record("10.1.0.0/16", 2), longer]).covers("10.1.2.3", NOW) == longer


def test_a_whole_network_needs_one_record_that_holds_all_of_it() -> None:
    networks = AuthorisedNetworks([record("10.1.0.0/24", 1), record("10.1.1.0/24", 2)])
    assert networks.covering(ipaddress.ip_network("10.1.1.128/25"), NOW) is not None
    assert networks.covering(ipaddress.ip_network("10.1.0.0/23"), NOW) is None


def test_a_public_record_covers_nothing_whoever_wrote_it() -> None:
    networks = AuthorisedNetworks([record("0.0.0.0/0"), record("8.8.8.0/24"), record("127.0.0.0/8")])
    assert len(networks) == 0
    assert networks.covers("8.8.8.8", NOW) is None
    assert networks.covers("127.0.0.1", NOW) is None


def test_the_record_that_ended_last_is_named() -> None:
    first, last = record("10.1.0.0/16", 1, expires=-20), record("10.1.0.0/16", 2, revoked=-5)
    networks = AuthorisedNetworks([first, last, record("10.2.0.0/16", 3)])
    assert networks.ended(ipaddress.ip_network("10.1.2.0/24"), NOW) == last
    assert networks.ended(ipaddress.ip_network("10.2.0.0/24"), NOW) is None


@given(
    st.ip_addresses(),
    st.lists(
        st.tuples(
            st.one_of(
                st.ip_addresses(v=4),
                st.ip_addresses(v=6, network="fd00::/8"),
                st.ip_addresses(network="10.0.0.0/8"),
            ),
            st.integers(0, 128),
            st.floats(-100, 100),
        ),
        max_size=8,
    ),
)
def test_covering_agrees_with_asking_each_record(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
    drawn: list[tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int, float]],
) -> None:
    records = []
    for number, (base, length, expires) in enumerate(drawn):
        network = ipaddress.ip_network((base, min(length, base.max_prefixlen)), strict=False)
        if expires > -60:
            records.append(record(str(network), number, expires=expires))
    networks = AuthorisedNetworks(records)
    for asked in [address, *(base for base, _, _ in drawn)]:
        slow = [
            each
            for each in records
            if asked in each.network and each.is_live(NOW) and may_be_authorised(each.network)
        ]
        found = networks.covers(str(asked), NOW)
        assert (found is None) == (not slow)
        assert found is None or found.network.prefixlen == max(each.network.prefixlen for each in slow)


def test_networks_of_different_ip_versions_never_contain_each_other() -> None:
    assert not is_inside(ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("::/0"))
    assert not is_inside(ipaddress.ip_network("::/0"), ipaddress.ip_network("0.0.0.0/0"))
    assert all(is_inside(each, each) for each in PRIVATE_RANGES)
