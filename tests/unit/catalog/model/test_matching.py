"""Which source a sighting is taken for, and when a person must look."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.model.matching import RULES, Candidate, RollAddress, Rule, match
from catalog.model.sighting import Protocol, Sighting

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
HERE = RollAddress(Protocol.RTSP, "10.0.0.5", 554, "/1", is_attested=False)
ATTESTED = replace(HERE, is_attested=True)
SEEN = Sighting(Protocol.RTSP, "10.0.0.5", 554, NOW)
MAC = "00:11:22:33:44:55"


def candidate(number: int, *addresses: RollAddress, **identity: str) -> Candidate:
    return Candidate(number, f"camera {number}", addresses=addresses, **identity)


def test_nothing_in_common_is_no_match() -> None:
    other = candidate(
        1, replace(HERE, host="10.0.0.6"), mac="00:11:22:33:44:66", gb_id="1" * 20, serial="ABCD1"
    )
    assert match(replace(SEEN, mac=MAC, serial="ABCD2", gb_id="2" * 20), [other]) is None
    assert match(SEEN, []) is None


def test_an_attested_address_matches_by_itself() -> None:
    found = match(SEEN, [candidate(1, ATTESTED), candidate(2, replace(ATTESTED, host="10.0.0.6"))])
    assert found is not None
    assert (found.source_id, found.rule, found.needs_confirmation) == (1, Rule.ATTESTED_ADDRESS, False)
    assert "camera 1" in found.reason.en
    assert "camera 1" in found.reason.zh


@pytest.mark.parametrize(
    ("address", "rule"),
    [
        (HERE, Rule.ADDRESS),
        (replace(ATTESTED, port=8554), Rule.HOST),
        (replace(HERE, port=8554), Rule.HOST),
        (replace(ATTESTED, protocol=Protocol.ONVIF), Rule.HOST),
        (replace(ATTESTED, protocol=Protocol.RTSPS), Rule.HOST),
    ],
)
def test_any_other_address_only_proposes(address: RollAddress, rule: Rule) -> None:
    found = match(SEEN, [candidate(1, address)])
    assert found is not None
    assert (found.source_id, found.rule, found.needs_confirmation) == (1, rule, True)
    assert "must confirm" in found.reason.en
    assert "须由操作员确认" in found.reason.zh


@pytest.mark.parametrize(
    ("identity", "rule"), [("gb_id", Rule.GB_ID), ("mac", Rule.MAC), ("serial", Rule.SERIAL)]
)
def test_an_identity_matches_by_itself(identity: str, rule: Rule) -> None:
    value = {"gb_id": "34020000001320000001", "mac": MAC, "serial": "DS-2CD-77"}[identity]
    seen = replace(SEEN, **{identity: value})  # type: ignore[arg-type]
    found = match(seen, [candidate(1, **{identity: value}), candidate(2)])
    assert found is not None
    assert (found.source_id, found.rule, found.needs_confirmation) == (1, rule, False)


def test_the_stronger_rule_decides_and_agreeing_facts_need_nobody() -> None:
    both = candidate(1, ATTESTED, gb_id="34020000001320000001", mac=MAC, serial="DS-2CD-77")
    seen = replace(SEEN, gb_id="34020000001320000001", mac=MAC, serial="DS-2CD-77")
    found = match(seen, [both])
    assert found is not None
    assert (found.rule, found.needs_confirmation) == (Rule.GB_ID, False)


def test_two_sources_of_the_same_rank_are_never_chosen_between() -> None:
    found = match(replace(SEEN, mac=MAC), [candidate(2, mac=MAC), candidate(1, mac=MAC)])
    assert found is not None
    assert found.source_id is None
    assert found.needs_confirmation
    assert found.candidates == (1, 2)
    for name in ("camera 1 (#1)", "camera 2 (#2)"):
        assert name in found.reason.en
        assert name in found.reason.zh


def test_two_sources_attested_at_the_same_path_are_never_chosen_between() -> None:
    found = match(SEEN, [candidate(1, ATTESTED), candidate(2, ATTESTED)])
    assert found is not None
    assert (found.source_id, found.needs_confirmation) == (None, True)


def test_channels_of_one_recorder_are_matched_together() -> None:
    found = match(SEEN, [candidate(1, ATTESTED), candidate(2, replace(ATTESTED, path="/2"))])
    assert found is not None
    assert (found.source_id, found.needs_confirmation, found.candidates) == (None, False, (1, 2))
    assert "recorder" in found.reason.en


def test_another_device_at_an_attested_address_needs_a_person() -> None:
    found = match(replace(SEEN, mac=MAC), [candidate(1, ATTESTED, mac="00:11:22:33:44:66")])
    assert found is not None
    assert (found.source_id, found.rule, found.needs_confirmation) == (1, Rule.ATTESTED_ADDRESS, True)
    assert "MAC address is not that of camera 1" in found.reason.en


def test_a_known_device_at_the_attested_address_of_another_needs_a_person() -> None:
    found = match(replace(SEEN, mac=MAC), [candidate(1, mac=MAC), candidate(2, ATTESTED)])
    assert found is not None
    assert (found.source_id, found.rule, found.needs_confirmation) == (1, Rule.MAC, True)
    assert "camera 2" in found.reason.en


def test_a_weak_hint_at_another_source_does_not_disturb_a_strong_rule() -> None:
    found = match(replace(SEEN, mac=MAC), [candidate(1, mac=MAC), candidate(2, HERE)])
    assert found is not None
    assert (found.source_id, found.needs_confirmation) == (1, False)


@pytest.mark.parametrize("serial", ["", "0", "000", "00000000", "AAAA"])
def test_placeholder_serial_numbers_identify_nothing(serial: str) -> None:
    assert match(replace(SEEN, serial=serial), [candidate(1, serial=serial)]) is None


@pytest.mark.parametrize("mac", ["00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff"])
def test_placeholder_mac_addresses_identify_nothing(mac: str) -> None:
    assert match(replace(SEEN, mac=mac), [candidate(1, mac=mac)]) is None


def test_of_many_sources_a_few_are_named_and_the_rest_counted() -> None:
    found = match(replace(SEEN, mac=MAC), [candidate(number, mac=MAC) for number in range(1, 9)])
    assert found is not None
    assert "camera 5" in found.reason.en
    assert "camera 6" not in found.reason.en
    assert "+3" in found.reason.en


HOSTS = st.sampled_from(["10.0.0.5", "10.0.0.6"])
ADDRESSES = st.builds(
    RollAddress,
    st.sampled_from(Protocol),
    HOSTS,
    st.sampled_from([554, 8554]),
    st.sampled_from(["/1", "/2"]),
    st.booleans(),
)
MACS = st.none() | st.sampled_from([MAC, "00:11:22:33:44:66"])
SERIALS = st.none() | st.sampled_from(["S-1001", "S-1002", "0"])
GB_IDS = st.none() | st.sampled_from(["34020000001320000001", "34020000001320000002"])
CANDIDATES = st.lists(
    st.builds(
        Candidate,
        st.integers(1, 50),
        st.just("camera"),
        GB_IDS,
        MACS,
        SERIALS,
        st.lists(ADDRESSES, max_size=3).map(tuple),
    ),
    max_size=6,
    unique_by=lambda each: each.source_id,
)
SIGHTINGS = st.builds(
    Sighting,
    st.sampled_from(Protocol),
    HOSTS,
    st.sampled_from([554, 8554]),
    st.just(NOW),
    st.none(),
    MACS,
    SERIALS,
    GB_IDS,
)


@given(SIGHTINGS, CANDIDATES, st.randoms(use_true_random=False))
def test_the_order_of_the_roll_does_not_matter(
    seen: Sighting, candidates: list[Candidate], random: Random
) -> None:
    shuffled = list(candidates)
    random.shuffle(shuffled)
    assert match(seen, shuffled) == match(seen, candidates)


@given(SIGHTINGS, CANDIDATES)
def test_no_device_is_taken_for_a_source_without_proof(
    seen: Sighting, candidates: Sequence[Candidate]
) -> None:
    """What is matched without a person has an identity or an attested address, and no fact against it."""
    found = match(seen, candidates)
    if found is None or found.needs_confirmation:
        return
    winners = [each for each in candidates if each.source_id in found.candidates]
    assert found.rule not in (Rule.ADDRESS, Rule.HOST)
    assert all(RULES[found.rule](seen, winner) for winner in winners)
    for winner in winners:
        assert seen.mac is None or winner.mac in (None, seen.mac)
        assert seen.gb_id is None or winner.gb_id in (None, seen.gb_id)
        assert seen.serial is None or winner.serial in (None, seen.serial)
    assert len(winners) == 1 or found.source_id is None


@given(SIGHTINGS, CANDIDATES)
def test_no_stronger_rule_fits_than_the_one_named(seen: Sighting, candidates: Sequence[Candidate]) -> None:
    found = match(seen, candidates)
    ranks = list(RULES)
    fitting = [
        rank for rank, fits in enumerate(RULES.values()) if any(fits(seen, each) for each in candidates)
    ]
    assert (found is None) == (not fitting)
    assert found is None or ranks.index(found.rule) == min(fitting)


ONVIF_SEEN = Sighting(Protocol.ONVIF, "10.0.0.5", 80, NOW)


def test_the_device_service_at_an_attested_host_is_that_camera() -> None:
    found = match(ONVIF_SEEN, [candidate(1, ATTESTED), candidate(2, replace(ATTESTED, host="10.0.0.6"))])
    assert found is not None
    assert (found.source_id, found.rule, found.needs_confirmation) == (1, Rule.ATTESTED_HOST, False)
    not_attested = match(ONVIF_SEEN, [candidate(1, HERE)])
    assert not_attested is not None
    assert (not_attested.rule, not_attested.needs_confirmation) == (Rule.HOST, True)


def test_one_device_service_for_several_sources_needs_a_person() -> None:
    found = match(ONVIF_SEEN, [candidate(1, ATTESTED), candidate(2, replace(ATTESTED, path="/2"))])
    assert found is not None
    assert (found.source_id, found.needs_confirmation, found.candidates) == (None, True, (1, 2))


def test_a_claimed_identity_proposes_and_never_decides() -> None:
    claimed = replace(ONVIF_SEEN, mac=MAC, serial="SN-0001", is_claimed=True)
    for known in (candidate(1, mac=MAC), candidate(1, serial="SN-0001")):
        found = match(claimed, [known])
        assert found is not None
        assert (found.source_id, found.needs_confirmation) == (1, True)
        assert "only claims it" in found.reason.en


def test_a_claimed_identity_does_not_hinder_the_attested_host_it_agrees_with() -> None:
    claimed = replace(ONVIF_SEEN, mac=MAC, is_claimed=True)
    agreeing = match(claimed, [candidate(1, ATTESTED, mac=MAC)])
    assert agreeing is not None
    assert (agreeing.source_id, agreeing.rule, agreeing.needs_confirmation) == (1, Rule.ATTESTED_HOST, False)
    of_another = match(claimed, [candidate(1, ATTESTED), candidate(2, mac=MAC)])
    assert of_another is not None
    assert (of_another.source_id, of_another.needs_confirmation) == (1, True)
    assert "camera 2" in of_another.reason.en


def test_a_proven_identity_of_another_source_at_an_attested_host_needs_a_person() -> None:
    proven = replace(ONVIF_SEEN, serial="SN-0001")
    found = match(proven, [candidate(1, ATTESTED), candidate(2, serial="SN-0001")])
    assert found is not None
    assert (found.source_id, found.rule, found.needs_confirmation) == (2, Rule.SERIAL, True)
    assert "camera 1" in found.reason.en
