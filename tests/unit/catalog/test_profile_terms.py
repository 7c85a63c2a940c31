"""The further terms of the shipped profiles, against the articles, and what holds where texts meet."""

import re

import pytest

from catalog.model.profile import Rank
from catalog.model.terms import TERMS, Term, TermValue, disagreements, holds, said
from catalog.profiles.load import ProfileError, effective_profile, load_profile, location_types, parse_profile
from catalog.queries import sql_folder

NAMES = ("wuxi-2019", "shaanxi-2011", "cn-2025")

SAID = {
    # (profile, term): value, article
    ("wuxi-2019", Term.RETENTION_MIN_DAYS): (30, "WX-28.2"),
    ("wuxi-2019", Term.ACCESS_MIN_STAFF): (2, "WX-24.1(1)"),
    ("wuxi-2019", Term.INTERFACE_RESERVED): (True, "WX-11.1"),
    ("wuxi-2019", Term.ACCEPTANCE_BEFORE_USE): (True, "WX-15.2"),
    ("wuxi-2019", Term.ACCESS_REFUSABLE): (True, "WX-24.2"),
    ("wuxi-2019", Term.REMOVAL_NOTICE): ("before", "WX-17"),
    ("shaanxi-2011", Term.RETENTION_MIN_DAYS): (30, "SX-16(7)"),
    ("shaanxi-2011", Term.ACCESS_MIN_STAFF): (2, "SX-18.1(1)"),
    ("shaanxi-2011", Term.ACCESS_FREE): (True, "SX-17.3"),
    ("shaanxi-2011", Term.REMOVAL_NOTICE): ("after", "SX-15"),
    ("shaanxi-2011", Term.SIGN): (("public_places",), "SX-11"),
    ("cn-2025", Term.RETENTION_MIN_DAYS): (30, "CN-17"),
    ("cn-2025", Term.RETENTION_DELETED_WHEN_DONE): (True, "CN-17"),
    ("cn-2025", Term.MASKING): (("faces", "plates", "organisation_names", "licences"), "CN-22"),
    ("cn-2025", Term.RELOCATION): ("not_without_authorisation", "CN-23(2)"),
}


@pytest.mark.parametrize(("name", "term"), SAID)
def test_a_term_is_that_of_its_article(name: str, term: Term) -> None:
    [found] = said(load_profile(name).terms, term)
    assert (found.value, found.requirement) == SAID[name, term]


@pytest.mark.parametrize("name", NAMES)
def test_every_number_of_a_term_stands_in_the_text_that_it_cites(name: str) -> None:
    profile = load_profile(name)
    for each in profile.terms:
        requirement = profile.requirement(each.requirement)
        assert requirement is not None
        if type(each.value) is int:
            assert str(each.value) in re.findall(r"\d+", requirement.text.zh)


def test_each_decree_is_silent_of_what_only_the_others_know() -> None:
    found = {name: {each.term for each in load_profile(name).terms} for name in NAMES}
    assert Term.ACCESS_FREE not in found["wuxi-2019"]
    assert Term.INTERFACE_RESERVED not in found["shaanxi-2011"] | found["cn-2025"]
    assert found["wuxi-2019"] | found["shaanxi-2011"] | found["cn-2025"] == set(Term)


def test_what_contradicts_the_regulation_is_listed_and_what_adds_to_it_is_not() -> None:
    shaanxi = {each.term: each for each in disagreements(effective_profile("shaanxi-2011", "cn-2025").terms)}
    removal = shaanxi[Term.REMOVAL_NOTICE]
    assert (removal.prevailing.value, removal.prevailing.rank) == (
        "not_without_authorisation",
        Rank.ADMINISTRATIVE_REGULATION,
    )
    assert [each.requirement for each in removal.superseded] == ["SX-15"]
    wuxi = {each.term for each in disagreements(effective_profile("wuxi-2019", "cn-2025").terms)}
    assert Term.RETENTION_LENGTHENED_BY in wuxi
    assert Term.RELOCATION not in wuxi
    assert Term.MASKING not in wuxi
    assert disagreements(load_profile("wuxi-2019").terms) == ()


def test_words_unite_the_larger_number_holds_and_the_higher_text_prevails() -> None:
    terms = effective_profile("wuxi-2019", "cn-2025").terms
    masking = holds(terms, Term.MASKING)
    assert masking is not None
    assert set(masking[0]) == {"personal_features", "plates", "faces", "organisation_names", "licences"}  # type: ignore[arg-type]
    assert holds(terms, Term.REMOVAL_NOTICE) == (
        "not_without_authorisation",
        said(terms, Term.REMOVAL_NOTICE)[:1],
    )
    days = [TermValue(Term.RETENTION_MIN_DAYS, number, "X-1", rank) for number, rank in ((30, 1), (90, 3))]
    assert holds(days, Term.RETENTION_MIN_DAYS) == (90, tuple(days))
    assert holds(terms, Term.APPEAL) is None
    flag = holds(terms, Term.MLPS)
    assert flag is not None
    assert (flag[0], [each.requirement for each in flag[1]]) == (True, ["WX-11.1"])


def shipped(name: str) -> str:
    return sql_folder().joinpath(f"../profiles/{name}.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('term = "mlps"', 'term = "mpls"', "terms"),
        ("value = 30\n", "value = 0\n", "retention_min_days: a number from 1 to 3660 is wanted"),
        ("value = 30\n", "value = true\n", "retention_min_days: int is wanted"),
        ('value = "before"', 'value = "never"', "removal_notice: unknown: never; known: after, before"),
        ('"personal_features", "plates"', '"plates", "hats"', "masking: unknown: hats"),
        ('  "appeal",\n', "", "neither said nor silent of: appeal"),
        ('  "appeal",\n', '  "appeal",\n  "mlps",\n', "term mlps stands twice"),
        (
            'term = "mlps"\nvalue = true\nrequirement = "WX-11.1"',
            'term = "mlps"\nvalue = true',
            "requirement",
        ),
        ('requirement = "WX-26.2"', 'requirement = "WX-99"', "cited but not defined: WX-99"),
    ],
)
def test_a_wrong_term_is_refused_with_its_line(old: str, new: str, told: str) -> None:
    text = shipped("wuxi-2019")
    assert old in text
    with pytest.raises(ProfileError, match=re.escape(told)) as refused:
        parse_profile(text.replace(old, new, 1).encode(), location_types())
    # What stands nowhere has no line.
    assert ("line " in str(refused.value)) == bool(new)


def test_every_term_has_a_rule() -> None:
    assert set(TERMS) == set(Term)
