"""When a site counts as connected."""

import pytest

from catalog.model.connected_when import ALL_SOURCES, ANY_SOURCE, ConnectedWhen, RuleInvalid


@pytest.mark.parametrize(
    ("rule", "needed"),
    [
        ("all_required_sources", {1: 1, 3: 3, 10: 10}),
        ("any_source", {1: 1, 3: 1, 10: 1}),
        ("0.8", {1: 1, 3: 3, 5: 4, 10: 8}),
        ("0.0001", {1: 1, 10: 1}),
        ("1.0", {3: 3}),
        # No share of a whole number is a fraction short: 0.7 of 10 are 7.
        ("0.7", {10: 7, 100: 70}),
    ],
)
def test_so_many_of_the_required_sources_are_needed(rule: str, needed: dict[int, int]) -> None:
    read = ConnectedWhen.read(rule)
    assert {required: read.needed(required) for required in needed} == needed


def test_a_site_without_sources_is_not_connected() -> None:
    assert not ALL_SOURCES.holds(0, 0)
    assert not ANY_SOURCE.holds(0, 0)
    assert ANY_SOURCE.holds(1, 9)
    assert not ALL_SOURCES.holds(8, 9)


@pytest.mark.parametrize("rule", ["all_required_sources", "any_source", "0.85"])
def test_a_rule_is_written_as_it_is_read(rule: str) -> None:
    assert str(ConnectedWhen.read(rule)) == rule


@pytest.mark.parametrize("rule", ["", "all", "0", "0.0", "1.1", "2", "-0.5", "0.12345", "80%", "NaN"])
def test_what_is_no_rule_is_told_so(rule: str) -> None:
    with pytest.raises(RuleInvalid, match="any_source, or a share"):
        ConnectedWhen.read(rule)
