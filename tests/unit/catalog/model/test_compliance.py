"""Rules judged from attested facts, by the shipped profiles."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.model.compliance import (
    DAYS,
    NAMES,
    NUMBERS,
    WORDS,
    Fact,
    FactInvalid,
    Finding,
    RuleName,
    Subject,
    Verdict,
    check_fact,
    judge,
)
from catalog.profiles.load import effective_profile

TODAY = date(2026, 12, 1)
WX, SX, CN = "wuxi-2019", "shaanxi-2011", "cn-2025"


def judged(rule: RuleName, law: str = WX, base: str = "", **facts: str) -> list[Finding]:
    return judged_of(rule, TODAY, facts, law, base)


def judged_of(
    rule: RuleName, attested_on: date, facts: dict[str, str], law: str = WX, base: str = ""
) -> list[Finding]:
    attested = {Fact(name): value for name, value in facts.items()}
    subject = Subject(
        "示例单位",
        frozenset({"WX8_07"}),
        has_connected=False,
        facts=attested,
        attested_on=dict.fromkeys(attested, attested_on),
    )
    profile = effective_profile(law, base or None)
    return [each for each in judge(profile, subject, TODAY) if each.rule is rule]


@pytest.mark.parametrize(
    ("facts", "verdict", "party"),
    [
        ({}, Verdict.UNRESOLVED, None),
        ({"place_kind": "road_or_square"}, Verdict.MET, "government"),
        ({"place_kind": "other"}, Verdict.UNRESOLVED, None),
        ({"place_kind": "other", "state_owned": "yes"}, Verdict.UNRESOLVED, None),
        ({"place_kind": "other", "state_owned": "yes", "place_manager": "园林局"}, Verdict.MET, "园林局"),
        ({"place_kind": "other", "state_owned": "no", "place_owner": "甲"}, Verdict.MET, "甲"),
        (
            {"place_kind": "other", "state_owned": "no", "place_owner": "甲", "agreed_builder": "乙"},
            Verdict.MET,
            "乙",
        ),
        ({"place_kind": "other", "state_owned": "no"}, Verdict.UNRESOLVED, None),
    ],
)
def test_who_builds_in_wuxi(facts: dict[str, str], verdict: Verdict, party: str | None) -> None:
    """Article 10: the government; the State's manager; who was agreed on; else the owner."""
    [found] = judged(RuleName.RESPONSIBLE_BUILDER, **facts)
    assert (found.verdict, found.party, found.requirement) == (verdict, party, "WX-10")
    assert (found.missing == ()) == (verdict is Verdict.MET)


def test_who_builds_in_shaanxi_and_under_the_regulation() -> None:
    [found] = judged(RuleName.RESPONSIBLE_BUILDER, law=SX, place_kind="road_or_square")
    assert (found.party, found.requirement) == ("police", "SX-5(2)")
    [found] = judged(RuleName.RESPONSIBLE_BUILDER, law=SX, place_kind="other")
    assert found.party == "示例单位"
    both = judged(
        RuleName.RESPONSIBLE_BUILDER,
        base=CN,
        place_kind="other",
        state_owned="no",
        place_owner="甲",
        place_manager="丙",
    )
    assert [(each.requirement, each.party) for each in both] == [("CN-7.2", "丙"), ("WX-10", "甲")]


@pytest.mark.parametrize(
    ("facts", "party"),
    [
        ({"publicly_funded": "yes", "user": "甲"}, "甲"),
        ({"publicly_funded": "yes", "builder": "乙"}, None),
        ({"publicly_funded": "no", "builder": "乙"}, "乙"),
        ({"publicly_funded": "no", "builder": "乙", "user": "甲"}, "甲"),
        ({"user": "甲"}, None),
    ],
)
def test_who_maintains_in_wuxi(facts: dict[str, str], party: str | None) -> None:
    [found] = judged(RuleName.MAINTENANCE_PARTY, **facts)
    assert (found.party, found.verdict is Verdict.MET) == (party, party is not None)


@pytest.mark.parametrize(
    ("accepted", "used", "verdict"),
    [
        ("2026-05-01", "2026-05-01", Verdict.MET),
        ("2026-05-02", "2026-05-01", Verdict.BROKEN),
        (None, "2026-05-01", Verdict.OPEN),
        ("2026-05-01", None, Verdict.OPEN),
    ],
)
def test_use_comes_after_acceptance(accepted: str | None, used: str | None, verdict: Verdict) -> None:
    facts = {"accepted_on": accepted, "in_use_on": used}
    [found] = judged(
        RuleName.ACCEPTED_BEFORE_USE, **{name: day for name, day in facts.items() if day is not None}
    )
    assert (found.verdict, found.requirement) == (verdict, "WX-15.2")


def test_filing_is_due_by_each_text_that_asks_for_it() -> None:
    old = judged(RuleName.FILED_IN_TIME, base=CN, in_use_on="2018-05-01", filed_on="2019-10-01")
    assert [(each.requirement, each.due_on, each.verdict) for each in old] == [
        ("WX-15.3", date(2019, 9, 30), Verdict.BROKEN),
        ("CN-14.1", date(2025, 6, 30), Verdict.MET),
    ]
    [new] = judged(RuleName.FILED_IN_TIME, base=CN, in_use_on="2026-11-01")
    assert (new.due_on, new.verdict, new.missing) == (date(2026, 12, 1), Verdict.OPEN, (Fact.FILED_ON,))
    [late] = judged(RuleName.FILED_IN_TIME, base=CN, in_use_on="2026-10-31")
    assert late.verdict is Verdict.BROKEN
    assert judged(RuleName.FILED_IN_TIME, in_use_on="2026-10-31") == []


def test_places_of_article_9_are_free_of_what_the_regulation_frees_them_of() -> None:
    facts = {"in_use_on": "2026-01-01", "national_place": "other_public"}
    assert judged(RuleName.FILED_IN_TIME, base=CN, **facts) == []
    assert [each.requirement for each in judged(RuleName.SIGN_POSTED, base=CN, **facts)] == ["CN-13", "WX-14"]
    nowhere = judged(RuleName.SIGN_POSTED, base=CN, national_place="not_public")
    assert [each.requirement for each in nowhere] == ["WX-14"]


@pytest.mark.parametrize(
    ("rule", "fact", "requirement"),
    [
        (RuleName.SIGN_POSTED, "sign_posted", "WX-14"),
        (RuleName.MLPS_MET, "mlps_met", "WX-11.1"),
        (RuleName.ARCHIVE_KEPT, "archive_kept", "WX-16"),
        (RuleName.WITH_THE_WORKS, "with_the_works", "WX-13"),
        (RuleName.CAPTURE_RANGE_FIXED, "capture_range_fixed", "WX-14"),
        (RuleName.INTERFACE_RESERVED, "interface_reserved", "WX-11.1"),
    ],
)
def test_what_is_attested_decides_and_what_is_not_is_open(
    rule: RuleName, fact: str, requirement: str
) -> None:
    verdicts = {
        value: [(each.verdict, each.requirement) for each in judged(rule, **({fact: value} if value else {}))]
        for value in ("", "yes", "no")
    }
    assert verdicts == {
        "": [(Verdict.OPEN, requirement)],
        "yes": [(Verdict.MET, requirement)],
        "no": [(Verdict.BROKEN, requirement)],
    }
    assert [each.requirement for each in judged(rule, law=SX)] == (
        ["SX-11"] if rule is RuleName.SIGN_POSTED else []
    )


def test_no_works_and_a_connection_settle_what_nobody_attested() -> None:
    [works] = judged(RuleName.WITH_THE_WORKS, with_the_works="no_works")
    connected = Subject("示例单位", frozenset(), has_connected=True, facts={})
    [interface] = [
        each
        for each in judge(effective_profile(WX), connected, TODAY)
        if each.rule is RuleName.INTERFACE_RESERVED
    ]
    assert (works.verdict, interface.verdict) == (Verdict.MET, Verdict.MET)


def test_the_class_of_a_place_says_which_provision_wants_a_system() -> None:
    [found] = judged(RuleName.MUST_BUILD)
    assert (found.verdict, found.requirement) == (Verdict.MET, "WX-8(7)")


@pytest.mark.parametrize(
    ("fact", "value", "told"),
    [
        (Fact.IN_USE_ON, "yesterday", "a day such as"),
        (Fact.IN_USE_ON, "2026-12-02", "has not come yet"),
        (Fact.PLACE_OWNER, "  ", "1 to 200"),
        (Fact.PLACE_OWNER, "x" * 201, "1 to 200"),
        (Fact.SIGN_POSTED, "maybe", "one of yes, no"),
    ],
)
def test_a_fact_that_cannot_be_is_refused(fact: Fact, value: str, told: str) -> None:
    with pytest.raises(FactInvalid, match=told):
        check_fact(fact, value, TODAY)


def test_every_fact_is_of_one_kind_and_kept_as_it_is_meant() -> None:
    assert set(Fact) == DAYS | NAMES | NUMBERS | set(WORDS)
    assert not DAYS & NAMES
    assert check_fact(Fact.FILED_ON, " 2026-11-30 ", TODAY) == "2026-11-30"
    assert check_fact(Fact.USER, " 甲 ", TODAY) == "甲"


values = st.fixed_dictionaries(
    {},
    optional={
        fact: (
            st.dates(date(2010, 1, 1), TODAY).map(date.isoformat)
            if fact in DAYS
            else st.just("某单位")
            if fact in NAMES
            else st.integers(0, 9999).map(str)
            if fact in NUMBERS
            else st.sampled_from(WORDS[fact])
        )
        for fact in Fact
    },
)


@given(values, st.booleans(), st.sampled_from([(WX, None), (WX, CN), (SX, None), (SX, CN), (CN, None)]))
def test_whatever_is_attested_each_finding_is_decided_or_says_what_would_decide_it(
    facts: dict[Fact, str], connected: bool, law: tuple[str, str | None]
) -> None:
    profile = effective_profile(*law)
    places = frozenset({"WX8_01", "SX7_3", "CN7_1"})
    subject = Subject("示例单位", places, connected, facts, dict.fromkeys(facts, TODAY))
    for finding in judge(profile, subject, TODAY):
        assert profile.requirement(finding.requirement) is not None
        undecided = finding.verdict in {Verdict.OPEN, Verdict.UNRESOLVED}
        assert bool(finding.missing) == undecided or finding.rule is RuleName.FILED_IN_TIME
        assert not set(finding.missing) & set(facts)


@pytest.mark.parametrize(
    ("facts", "on", "verdict", "missing"),
    [
        ({}, TODAY, Verdict.OPEN, (Fact.STORED_DAYS,)),
        ({"stored_days": "30"}, TODAY, Verdict.MET, ()),
        ({"stored_days": "12"}, TODAY, Verdict.OPEN, (Fact.IN_USE_ON,)),
        ({"stored_days": "12", "in_use_on": "2026-11-19"}, TODAY, Verdict.MATURING, ()),
        # Looked at on its last day of being too young, and on the day after.
        ({"stored_days": "29", "in_use_on": "2026-11-01"}, date(2026, 11, 30), Verdict.MATURING, ()),
        ({"stored_days": "29", "in_use_on": "2026-11-01"}, TODAY, Verdict.BROKEN, ()),
        ({"stored_days": "12", "in_use_on": "2026-01-01"}, TODAY, Verdict.BROKEN, ()),
    ],
)
def test_e21_recordings_of_a_system_that_is_too_young_to_have_them_are_not_short(
    facts: dict[str, str], on: date, verdict: Verdict, missing: tuple[Fact, ...]
) -> None:
    [found] = judged_of(RuleName.RETENTION, on, facts)
    assert (found.verdict, found.missing, found.requirement) == (verdict, missing, "WX-28.2")


@pytest.mark.parametrize("value", ["-1", "1.5", "012", "10000", "thirty", ""])
def test_days_of_recordings_are_a_whole_number(value: str) -> None:
    with pytest.raises(FactInvalid, match="whole number"):
        check_fact(Fact.STORED_DAYS, value, TODAY)
