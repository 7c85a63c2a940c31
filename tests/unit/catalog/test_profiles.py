"""The shipped profiles against the tables of the decrees, the loader's strictness, and the overlay."""

from datetime import date

import pytest

from catalog.model.profile import (
    ConnectionDuty,
    Forbidden,
    NeedsPerson,
    Permitted,
    Rank,
    Unattested,
    judge_location,
    may_relay,
    overlay,
)
from catalog.model.terms import Term
from catalog.profiles.load import (
    ProfileError,
    effective_profile,
    load_profile,
    location_types,
    parse_profile,
    profile_names,
)

LOCATIONS = {
    # value: by name (Wuxi 9, Shaanxi 8, Decree 799 Art. 8); False: only a catch-all clause may cover it
    "hotel_guest_room": ("WX-9", "SX-8(1)", "CN-8.1(1)"),
    "collective_dormitory": ("WX-9", "SX-8(2)", "CN-8.1(2)"),
    "individual_dormitory": (False, "SX-8(2)", False),
    "public_bathroom": ("WX-9", "SX-8(3)", "CN-8.1(3)"),
    "changing_room": ("WX-9", "SX-8(3)", "CN-8.1(3)"),
    "toilet": ("WX-9", "SX-8(3)", "CN-8.1(3)"),
    "nursing_room": (False, "SX-8(3)", "CN-8.1(3)"),
    "fitting_room": (False, False, "CN-8.1(3)"),
    "finance_customer_operation_area": (False, "SX-8(4)", False),
    "ballot_or_polling_area": (False, "SX-8(5)", False),
    "other_privacy_area": (False, False, False),
}
PROFILES = ("wuxi-2019", "shaanxi-2011", "cn-2025")


def minimal_profile(extra: str = "", rank: str = "city_government_rule") -> bytes:
    return f"""
name = "example-2020"
rank = "{rank}"
effective_from = 2020-01-01
title = {{ zh = "示例", en = "Example" }}
connection_duty = {{ kind = "none", requirements = [] }}
silent = [{", ".join(f'"{term}"' for term in Term)}]
{extra}
[public_catalog]
enabled = false
requirements = []
suppressed_site_classes = []
reason = {{ zh = "无", en = "none" }}
[[place_classes]]
code = "EX1_1"
requirement = "EX-1"
zh = "示例"
en = "example"
[[forbidden_locations]]
value = "toilet"
zh = "卫生间"
en = "toilet"
grounds = [{{ requirement = "EX-1" }}]
[[requirements]]
id = "EX-1"
article = {{ zh = "第一条", en = "Art. 1" }}
text = {{ zh = "文", en = "text" }}
""".encode()


def test_three_profiles_ship() -> None:
    assert set(profile_names()) == set(PROFILES)


@pytest.mark.parametrize(
    ("name", "effective_from", "rank", "duty", "is_public"),
    [
        ("wuxi-2019", date(2019, 8, 1), Rank.CITY_GOVERNMENT_RULE, ConnectionDuty.MANDATORY, True),
        (
            "shaanxi-2011",
            date(2011, 8, 1),
            Rank.PROVINCIAL_GOVERNMENT_RULE,
            ConnectionDuty.COORDINATED,
            False,
        ),
        ("cn-2025", date(2025, 4, 1), Rank.ADMINISTRATIVE_REGULATION, ConnectionDuty.NONE, False),
    ],
)
def test_a_profile_says_what_its_decree_says(
    name: str, effective_from: date, rank: Rank, duty: ConnectionDuty, is_public: bool
) -> None:
    profile = load_profile(name)
    assert profile.effective_from == effective_from
    assert profile.rank is rank
    assert profile.connection_duty is duty
    assert profile.public_catalog.is_enabled is is_public
    assert profile.verified_in_force_on is None


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("wuxi-2019", [f"WX8_{number:02d}" for number in range(1, 11)]),
        (
            "shaanxi-2011",
            [f"SX7_{number}" for number in range(1, 7)] + [f"SXA_{number}" for number in range(1, 10)],
        ),
        ("cn-2025", ["CN7_1", "CN7_2_1", "CN7_2_2", "CN7_2_3", "CN7_2_4"]),
    ],
)
def test_the_place_classes_are_those_of_the_decree(name: str, codes: list[str]) -> None:
    assert [item.code for item in load_profile(name).place_classes] == codes


def test_the_names_of_energy_and_dangerous_sites_are_suppressed() -> None:
    assert load_profile("wuxi-2019").public_catalog.suppressed_site_classes == {"WX8_02", "WX8_03"}


@pytest.mark.parametrize("column", range(3))
@pytest.mark.parametrize("value", LOCATIONS)
def test_a_forbidden_location_is_refused_with_its_article_and_a_catch_all_goes_to_a_person(
    value: str, column: int
) -> None:
    judgement = judge_location(load_profile(PROFILES[column]), value)
    article = LOCATIONS[value][column]
    cited = [requirement.id for requirement in getattr(judgement, "requirements", ())]
    assert isinstance(judgement, Forbidden if article else NeedsPerson)
    assert cited == ([article] if article else cited[:1])
    assert not may_relay(judgement)


@pytest.mark.parametrize("name", PROFILES)
def test_an_ordinary_location_is_permitted_and_an_unsaid_or_unknown_one_is_not(name: str) -> None:
    profile = load_profile(name)
    assert isinstance(judge_location(profile, "entrance"), Permitted)
    assert judge_location(profile, None) == Unattested(None)
    assert judge_location(profile, "") == Unattested(None)
    assert judge_location(profile, "broom_cupboard") == Unattested("broom_cupboard")
    assert may_relay(judge_location(profile, "entrance"))
    assert not may_relay(judge_location(profile, None))


def test_every_permitted_location_is_permitted_under_every_profile() -> None:
    judged = [
        judge_location(load_profile(name), item.value) for name in PROFILES for item in location_types()
    ]
    assert all(isinstance(judgement, Permitted) for judgement in judged)


def test_the_overlay_keeps_both_duties_and_lets_the_stricter_text_decide() -> None:
    profile = effective_profile("wuxi-2019", "cn-2025")
    assert profile.name == "wuxi-2019+cn-2025"
    assert profile.layers == ("wuxi-2019", "cn-2025")
    assert profile.connection_duty is ConnectionDuty.MANDATORY
    assert profile.connection_requirements == ("WX-21.2", "WX-21.3", "WX-34(2)")
    assert profile.public_catalog.requirements == ("WX-21.3",)
    assert profile.place_class("WX8_07")
    assert profile.place_class("CN7_1")
    nursing = judge_location(profile, "nursing_room")
    assert isinstance(nursing, Forbidden)
    assert [requirement.id for requirement in nursing.requirements] == ["CN-8.1(3)"]
    hotel = judge_location(profile, "hotel_guest_room")
    assert isinstance(hotel, Forbidden)
    assert [(item.id, item.rank) for item in hotel.requirements] == [
        ("WX-9", Rank.CITY_GOVERNMENT_RULE),
        ("CN-8.1(1)", Rank.ADMINISTRATIVE_REGULATION),
    ]


def test_the_overlay_is_switched_off_by_naming_no_base() -> None:
    assert effective_profile("wuxi-2019") is load_profile("wuxi-2019")
    assert effective_profile("cn-2025", "cn-2025") is load_profile("cn-2025")


def test_the_national_layer_publishes_nothing_by_itself() -> None:
    profile = overlay(load_profile("shaanxi-2011"), load_profile("cn-2025"))
    assert not profile.public_catalog.is_enabled
    assert profile.public_catalog.requirements == ("SX-5(3)",)
    assert profile.connection_duty is ConnectionDuty.COORDINATED
    assert profile.verified_in_force_on is None


@pytest.mark.parametrize("name", PROFILES)
def test_every_id_a_profile_cites_is_defined_with_its_text(name: str) -> None:
    profile = load_profile(name)
    cited = {item.requirement for item in profile.place_classes + profile.duty_bases}
    cited |= {ground.requirement for item in profile.forbidden_locations for ground in item.grounds}
    assert all(profile.requirement(requirement) for requirement in cited)
    assert all(item.article.zh and item.text.zh and item.text.en for item in profile.requirements)


def test_an_unknown_profile_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(ProfileError, match="wuxi-2019"):
        load_profile("../secret")


def test_a_minimal_profile_loads() -> None:
    assert parse_profile(minimal_profile(), location_types()).name == "example-2020"


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (minimal_profile('conection_duty = "x"'), "conection_duty"),
        (minimal_profile("[title.extra]\nx = 1"), "title"),
        (minimal_profile(rank="emperor"), "emperor"),
        (minimal_profile().replace(b'requirement = "EX-1"\nzh', b'requirement = "EX-2"\nzh'), "EX-2"),
        (minimal_profile().replace(b'"toilet"', b'"lobby"'), "permitted and forbidden"),
        (minimal_profile().replace(b"enabled = false", b"enabled = true"), "without a requirement"),
        (minimal_profile().replace(b"enabled = false", b'enabled = "no"'), "enabled"),
        (minimal_profile().replace(b"classes = []", b'classes = ["EX1_9"]'), "EX1_9"),
        (b"name = ", "profile"),
        (b"\xff\xfe", "profile"),
        (b"", "name"),
    ],
)
def test_a_mistake_in_a_profile_is_an_error_at_load(document: bytes, message: str) -> None:
    with pytest.raises(ProfileError, match=message):
        parse_profile(document, location_types())


DEADLINE = """
[[deadlines]]
event = "removal"
days = 10
requirement = "EX-1"
"""
PENALTY = """
[[penalties]]
offence = "not_built"
step = "direct"
requirement = "EX-1"
unit = { least = 1000, most = 5000 }
"""


def line_with(document: bytes, text: str) -> int:
    lines = document.decode().splitlines()
    return max(number for number, line in enumerate(lines, start=1) if text in line)


@pytest.mark.parametrize(
    ("extra", "message", "line"),
    [
        (DEADLINE.replace('requirement = "EX-1"', ""), "deadlines.0.requirement", "[[deadlines]]"),
        (DEADLINE.replace("days = 10", "days = 0"), "deadlines.0.days", "days = 0"),
        (DEADLINE.replace("days", "dais"), "deadlines.0.dais", "dais = 10"),
        (DEADLINE + DEADLINE.replace("10", "20"), "deadline removal stands twice", '"removal"'),
        (DEADLINE.replace("EX-1", "EX-7"), "cited but not defined: EX-7", '"EX-7"'),
        (PENALTY.replace("1000", "9000"), "a band from 9000 to 5000", "unit ="),
        (PENALTY.replace("direct", "order_only"), "order_only has none", "[[penalties]]"),
        (
            PENALTY + DEADLINE + PENALTY.replace("not_built", "no_sign").replace("5000", '"5000"'),
            "penalties.1.unit.most",
            '"5000"',
        ),
        (PENALTY.replace("not_built", "not_bilt"), "penalties.0.offence", "not_bilt"),
    ],
)
def test_a_mistake_is_told_with_its_line(extra: str, message: str, line: str) -> None:
    document = minimal_profile() + extra.encode()
    with pytest.raises(ProfileError) as raised:
        parse_profile(document, location_types())
    assert message in str(raised.value)
    assert f"line {line_with(document, line)}: " in str(raised.value)


def test_a_file_that_is_not_toml_is_told_with_its_line() -> None:
    with pytest.raises(ProfileError, match=r"line 2"):
        parse_profile(b'name = "example-2020"\nrank = ?\n', location_types())
