"""The roll-up table of a site: total, ordered, and honest about what cannot be seen."""

from itertools import product

import pytest

from catalog.model.rollup import SiteCounts, SiteStatus, incomplete_connection, site_status


def show(counts: SiteCounts, *, ever: bool = True, removal: bool = False) -> SiteStatus:
    return site_status(counts, removal_approved=removal, ever_connected=ever)


@pytest.mark.parametrize(
    ("expected", "counts"),
    [
        (SiteStatus.SUSPENDED, {"suspended": 2}),
        (SiteStatus.ONLINE, {"online": 1, "suspended": 2}),
        (SiteStatus.PARTIAL, {"online": 1, "offline": 1}),
        (SiteStatus.PARTIAL, {"degraded": 2}),
        (SiteStatus.PARTIAL, {"online": 1, "never": 1}),
        (SiteStatus.UNKNOWN, {"unknown": 1, "offline": 3}),
        (SiteStatus.OFFLINE, {"offline": 1}),
        (SiteStatus.OFFLINE, {"never": 1}),
        (SiteStatus.OFFLINE, {"offline": 1, "never": 1}),
        (SiteStatus.EMPTY, {}),
    ],
)
def test_first_matching_row_wins(expected: SiteStatus, counts: dict[str, int]) -> None:
    assert show(SiteCounts(**counts)) is expected


def test_a_site_of_which_nothing_ever_connected_is_never_connected() -> None:
    assert show(SiteCounts(never=3), ever=False) is SiteStatus.NEVER_CONNECTED


def test_an_empty_site_is_removed_only_with_an_approved_removal() -> None:
    assert show(SiteCounts(), removal=True) is SiteStatus.REMOVED


def _expected(counts: SiteCounts, *, ever: bool) -> str:
    never, online, degraded, offline = counts.never, counts.online, counts.degraded, counts.offline
    unknown, suspended = counts.unknown, counts.suspended
    total = never + online + degraded + offline + unknown + suspended
    rows = [
        ("empty", total == 0),
        ("suspended", suspended == total),
        ("online", online > 0 and never == degraded == offline == unknown == 0),
        ("partial", online > 0 or degraded > 0),
        ("unknown", unknown > 0),
        ("never_connected", never > 0 and offline == 0 and not ever),
        ("offline", True),
    ]
    return next(name for name, holds in rows if holds)


def test_the_table_is_total_over_all_counts_from_0_to_3() -> None:
    wrong = [
        counts
        for counts in (SiteCounts(*numbers) for numbers in product(range(4), repeat=6))
        for ever in (False, True)
        if site_status(counts, removal_approved=False, ever_connected=ever) != _expected(counts, ever=ever)
    ]

    assert wrong == []


def test_a_site_behind_a_blind_gateway_is_never_called_offline() -> None:
    blind = SiteCounts(never=1, online=1, offline=2, suspended=1).unobservable()

    assert blind == SiteCounts(unknown=4, suspended=1)
    assert site_status(blind, removal_approved=False, ever_connected=True) is SiteStatus.UNKNOWN


def test_incomplete_means_some_but_not_all_never_connected() -> None:
    assert incomplete_connection(SiteCounts(never=1, online=1))
    assert not incomplete_connection(SiteCounts(never=2))
    assert not incomplete_connection(SiteCounts(online=2))
