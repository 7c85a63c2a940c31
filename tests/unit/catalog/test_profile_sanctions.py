"""What the shipped profiles threaten, against the articles, and where texts of different rank disagree."""

import re

import pytest

from catalog.model.profile import Band, Offence, Rank, SanctionStep, conflicts
from catalog.profiles.load import effective_profile, load_profile

ORDERED, REFUSED, DIRECT = SanctionStep.AFTER_DEADLINE, SanctionStep.AFTER_REFUSAL, SanctionStep.DIRECT
HARM = SanctionStep.AFTER_REFUSAL_OR_HARM
BANDS = {
    # (profile, offence): when, unit, persons, individual, article
    ("wuxi-2019", "not_built"): (ORDERED, (10000, 30000), (0, 1000), None, "WX-34(1)"),
    ("wuxi-2019", "not_connected"): (ORDERED, (10000, 30000), (0, 1000), None, "WX-34(2)"),
    ("wuxi-2019", "forbidden_location"): (REFUSED, (2000, 10000), (0, 1000), (500, 1000), "WX-35"),
    ("wuxi-2019", "interface_not_reserved"): (ORDERED, (1000, 5000), (0, 1000), None, "WX-36(2)"),
    ("wuxi-2019", "unauthorised_removal"): (ORDERED, (10000, 30000), (0, 1000), None, "WX-37"),
    ("wuxi-2019", "networking_refused"): (DIRECT, (10000, 30000), (0, 1000), None, "WX-38(1)"),
    ("wuxi-2019", "capture_obstructed"): (ORDERED, (1000, 5000), (0, 1000), None, "WX-36(6)"),
    ("wuxi-2019", "evidence_not_preserved"): (ORDERED, (1000, 5000), (0, 1000), None, "WX-36(8)"),
    ("wuxi-2019", "access_refused"): (DIRECT, (10000, 30000), (0, 1000), None, "WX-38(2)"),
    ("shaanxi-2011", "forbidden_location"): (REFUSED, (500, 1000), None, (0, 200), "SX-22"),
    ("shaanxi-2011", "no_sign"): (ORDERED, (500, 1000), None, None, "SX-23"),
    ("shaanxi-2011", "change_not_reported"): (DIRECT, (500, 1000), None, None, "SX-24"),
    ("shaanxi-2011", "user_duty_neglected"): (DIRECT, (500, 1000), (0, 200), None, "SX-25"),
    ("cn-2025", "no_sign"): (SanctionStep.ORDER_ONLY, None, None, None, "CN-13"),
    ("cn-2025", "illegal_installer"): (REFUSED, (0, 20000), (0, 5000), (0, 5000), "CN-26"),
    ("cn-2025", "forbidden_location"): (DIRECT, (10000, 20000), (5000, 10000), (5000, 10000), "CN-27.1"),
    ("cn-2025", "no_inspection"): (HARM, (10000, 20000), (5000, 10000), (5000, 10000), "CN-27.2"),
    ("cn-2025", "no_consent"): (DIRECT, (10000, 20000), (5000, 10000), (5000, 10000), "CN-28"),
    ("cn-2025", "not_filed"): (REFUSED, (0, 10000), None, None, "CN-29"),
    ("cn-2025", "unauthorised_removal"): (HARM, (5000, 10000), (0, 5000), (0, 5000), "CN-30"),
}


@pytest.mark.parametrize(("name", "offence"), BANDS)
def test_a_band_is_that_of_its_article(name: str, offence: str) -> None:
    step, unit, persons, individual, requirement = BANDS[name, offence]
    (penalty,) = (item for item in load_profile(name).penalties if item.offence == offence)
    assert (penalty.step, penalty.requirement) == (step, requirement)
    assert penalty.unit == (Band(*unit) if unit else None)
    assert penalty.persons == (Band(*persons) if persons else None)
    assert penalty.individual == (Band(*individual) if individual else None)


@pytest.mark.parametrize("name", ["wuxi-2019", "shaanxi-2011", "cn-2025"])
def test_every_amount_of_a_band_stands_in_the_text_that_it_cites(name: str) -> None:
    profile = load_profile(name)
    for penalty in profile.penalties:
        requirement = profile.requirement(penalty.requirement)
        assert requirement is not None
        told = {
            int(number) * (10_000 if unit else 1)
            for number, unit in re.findall(r"(\d+)(万?)元", requirement.text.zh)
        }
        bands = [band for band in (penalty.unit, penalty.persons, penalty.individual) if band is not None]
        amounts = {amount for band in bands for amount in (band.least, band.most)} - {0}
        assert amounts == told


SANCTIONS = {
    # every provision of the decree that fines, and 799's one that orders only
    "wuxi-2019": ["WX-34(1)", "WX-34(2)", "WX-35"]
    + [f"WX-36({item})" for item in range(1, 9)]
    + ["WX-37", "WX-38(1)", "WX-38(2)"],
    "shaanxi-2011": ["SX-22", "SX-23", "SX-24", "SX-25"],
    "cn-2025": ["CN-13", "CN-26", "CN-27.1", "CN-27.2", "CN-28", "CN-29", "CN-30"],
}


@pytest.mark.parametrize("name", SANCTIONS)
def test_no_sanction_of_a_decree_is_left_out(name: str) -> None:
    assert sorted(item.requirement for item in load_profile(name).penalties) == sorted(SANCTIONS[name])


@pytest.mark.parametrize(
    ("words", "steps"),
    [("或者造成严重后果", {HARM}), ("逾期", {ORDERED}), ("拒不", {REFUSED, HARM})],
)
def test_the_step_is_the_one_the_text_names(words: str, steps: set[SanctionStep]) -> None:
    laws = [load_profile(name) for name in SANCTIONS]
    named = {
        item.requirement: item.step
        for law in laws
        for item in law.penalties
        if (requirement := law.requirement(item.requirement)) and words in requirement.text.zh
    }
    assert named
    assert set(named.values()) <= steps


def test_a_late_filing_costs_nothing_under_the_city_decree() -> None:
    offences = {item.offence for item in load_profile("wuxi-2019").penalties}
    assert not offences & {Offence.NOT_FILED, Offence.NO_SIGN, Offence.CHANGE_NOT_REPORTED}


@pytest.mark.parametrize(
    ("local", "expected"),
    [
        (
            "wuxi-2019",
            {"forbidden_location": ("CN-27.1", "WX-35"), "unauthorised_removal": ("CN-30", "WX-37")},
        ),
        ("shaanxi-2011", {"forbidden_location": ("CN-27.1", "SX-22"), "no_sign": ("CN-13", "SX-23")}),
    ],
)
def test_a_conflict_names_the_prevailing_text_and_the_one_below(
    local: str, expected: dict[str, tuple[str, str]]
) -> None:
    found = conflicts(effective_profile(local, "cn-2025"))
    assert {
        item.offence: (item.prevailing.requirement, item.superseded[0].requirement) for item in found
    } == expected
    assert all(item.prevailing.rank is Rank.ADMINISTRATIVE_REGULATION for item in found)


def test_a_decree_alone_has_no_conflict() -> None:
    assert conflicts(load_profile("wuxi-2019")) == ()
