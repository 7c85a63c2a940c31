"""Who may be pulled: the whole table of reasons."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from catalog.model.plan import RelayMode, SourcePlan
from catalog.model.sighting import Protocol
from gateway.enrolment.admission import Admission, Obstacle, admit, contactable
from tests.fakes.enrolment import NOW, endpoint, judged, networks, plan, stored

REFUSED_TWICE: dict[str, Any] = {"refusals": 2, "refused_version": 1}


def decide(of: SourcePlan) -> Admission | Obstacle:
    return admit(of, judged(of), networks(), NOW)


@pytest.mark.parametrize(
    ("of", "word"),
    [
        (plan(location_type=None), "location_unattested"),
        (plan(location_type="somewhere"), "location_unattested"),
        (plan(location_type="toilet"), "location_forbidden"),
        (plan(location_type="other_privacy_area"), "location_needs_person"),
        (plan(relay_mode=RelayMode.OFF), "relay_off"),
        (plan(7, endpoint(protocol=Protocol.ONVIF)), "stream_unknown"),
        (plan(7, endpoint(is_confirmed=False)), "not_confirmed"),
        (plan(7, endpoint(host="10.2.0.5")), "network_not_authorised"),
        (plan(7, endpoint(host="camera.example")), "network_not_authorised"),
        (plan(7, endpoint(host="::ffff:10.1.0.5")), "network_not_authorised"),
        (plan(7, endpoint(credential=stored(typed=False))), "credential_missing"),
        (
            plan(7, endpoint(credential=stored(), refused_at=NOW - timedelta(minutes=29), **REFUSED_TWICE)),
            "authentication_failed",
        ),
    ],
)
def test_each_reason_has_its_word(of: SourcePlan, word: str) -> None:
    decision = decide(of)
    assert isinstance(decision, Obstacle)
    assert decision.word == word


def test_a_source_without_an_endpoint_says_so() -> None:
    decision = decide(replace(plan(), endpoints=()))
    assert isinstance(decision, Obstacle)
    assert decision.word == "no_endpoint"


@pytest.mark.parametrize(
    ("location_type", "profile", "base", "cited"),
    [
        ("toilet", "wuxi-2019", None, ("WX-9",)),
        ("toilet", "wuxi-2019", "cn-2025", ("WX-9", "CN-8.1(3)")),
        ("fitting_room", "wuxi-2019", "cn-2025", ("CN-8.1(3)",)),
    ],
)
def test_a_forbidden_location_is_refused_with_its_articles(
    location_type: str, profile: str, base: str | None, cited: tuple[str, ...]
) -> None:
    decision = decide(plan(location_type=location_type, profile=profile, base_profile=base))
    assert isinstance(decision, Obstacle)
    assert (decision.word, decision.requirements) == ("location_forbidden", cited)


def test_a_catch_all_clause_goes_to_a_person_with_its_articles() -> None:
    decision = decide(plan(location_type="fitting_room", base_profile=None))
    assert isinstance(decision, Obstacle)
    assert (decision.word, decision.requirements) == ("location_needs_person", ("WX-9",))


def test_the_law_comes_before_the_operator() -> None:
    decision = decide(plan(location_type="toilet", relay_mode=RelayMode.OFF))
    assert isinstance(decision, Obstacle)
    assert decision.word == "location_forbidden"


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"credential": stored()},
        {"protocol": Protocol.RTSPS},
        {"credential": stored(), "refusals": 1, "refused_version": 1, "refused_at": NOW},
        {"credential": stored(version=2), "refused_at": NOW, **REFUSED_TWICE},
        {"credential": stored(), "refused_at": NOW - timedelta(minutes=30), **REFUSED_TWICE},
        {"credential": stored(), "refused_at": NOW + timedelta(days=1), **REFUSED_TWICE},
    ],
    ids=["plain", "credential", "tls", "one refusal", "changed since", "half an hour ago", "clock set back"],
)
def test_a_confirmed_address_in_an_authorised_network_is_admitted(changes: dict[str, Any]) -> None:
    decision = decide(plan(7, endpoint(**changes)))
    assert isinstance(decision, Admission)
    assert decision.endpoint.endpoint_id == 1


def test_a_refused_credential_says_when_it_is_worth_asking_again() -> None:
    refused = endpoint(credential=stored(), refused_at=NOW - timedelta(minutes=10), **REFUSED_TWICE)
    decision = decide(plan(7, refused))
    assert isinstance(decision, Obstacle)
    assert decision.again_at == NOW + timedelta(minutes=20)


def test_only_what_is_admitted_is_tried_in_order_of_priority() -> None:
    of = plan(
        7, endpoint(1, is_confirmed=False), endpoint(2), endpoint(3, "10.9.9.9"), endpoint(4, "10.1.0.6")
    )
    decision = decide(of)
    assert isinstance(decision, Admission)
    assert [each.endpoint_id for each in decision.endpoints] == [2, 4]


def test_of_several_endpoints_the_one_nearest_to_success_is_told() -> None:
    of = plan(7, endpoint(1, protocol=Protocol.ONVIF), endpoint(2, credential=stored(typed=False)))
    decision = decide(of)
    assert isinstance(decision, Obstacle)
    assert decision.word == "credential_missing"


def test_a_credential_that_one_device_refused_is_not_tried_on_another() -> None:
    refused = endpoint(1, credential=stored(), refusals=1, refused_version=1, refused_at=NOW)
    other = endpoint(2, "10.1.0.6", credential=stored())
    own = endpoint(3, "10.1.0.7", credential=stored(2))
    decision = decide(plan(7, refused, other, own))
    assert isinstance(decision, Admission)
    assert [each.endpoint_id for each in decision.endpoints] == [1, 3]


def test_an_expired_authorisation_covers_nothing() -> None:
    of = plan()
    ended = networks(expires_at=NOW)
    decision = admit(of, judged(of), ended, NOW)
    assert isinstance(decision, Obstacle)
    assert decision.word == "network_not_authorised"


@pytest.mark.parametrize(
    ("of", "is_asked"),
    [
        (plan(), True),
        (plan(location_type=None), True),
        (plan(relay_mode=RelayMode.OFF), True),
        (plan(7, endpoint(credential=stored(typed=False))), True),
        (plan(location_type="toilet"), False),
        (plan(7, endpoint(is_confirmed=False)), False),
        (plan(7, endpoint(host="10.2.0.5")), False),
    ],
)
def test_only_a_confirmed_and_authorised_address_is_asked_whether_it_is_there(
    of: SourcePlan, is_asked: bool
) -> None:
    assert (contactable(of, judged(of), networks(), NOW) is not None) is is_asked


def test_a_device_that_registered_by_itself_needs_no_authorised_network() -> None:
    of = plan(7, endpoint(protocol=Protocol.GB28181, host="10.2.0.5"))
    assert isinstance(decide(of), Admission)


def test_a_device_that_registers_is_not_asked_by_rtsp() -> None:
    of = plan(7, endpoint(protocol=Protocol.GB28181))
    assert contactable(of, judged(of), networks(), NOW) is None
