"""Counting of statutory days, against the vectors that police notices and the texts give."""

from datetime import date

import pytest

from catalog.model.due_dates import counted, filing_due, removal_due
from catalog.profiles.load import effective_profile, load_profile

LAYERED = effective_profile("wuxi-2019", "cn-2025")


@pytest.mark.parametrize(
    ("event", "days", "last"),
    [
        (date(2019, 8, 1), 60, date(2019, 9, 30)),
        (date(2025, 4, 1), 90, date(2025, 6, 30)),
        (date(2026, 11, 1), 30, date(2026, 12, 1)),
        (date(2026, 12, 15), -10, date(2026, 12, 5)),
        (date(2028, 2, 28), 1, date(2028, 2, 29)),
    ],
)
def test_the_start_day_is_not_counted_and_days_are_calendar_days(event: date, days: int, last: date) -> None:
    assert counted(event, days) == last


def test_a_day_beyond_the_calendar_is_an_error_that_says_so() -> None:
    with pytest.raises(ValueError, match="calendar"):
        counted(date.max, 1)


@pytest.mark.parametrize(
    ("in_use_on", "due"),
    [
        (date(2018, 5, 1), [(date(2019, 9, 30), "WX-15.3"), (date(2025, 6, 30), "CN-14.1")]),
        (date(2019, 7, 31), [(date(2019, 9, 30), "WX-15.3"), (date(2025, 6, 30), "CN-14.1")]),
        (date(2019, 8, 1), [(date(2025, 6, 30), "CN-14.1")]),
        (date(2025, 3, 31), [(date(2025, 6, 30), "CN-14.1")]),
        (date(2025, 4, 1), [(date(2025, 5, 1), "CN-14.1")]),
        (date(2026, 11, 1), [(date(2026, 12, 1), "CN-14.1")]),
    ],
)
def test_each_layer_counts_the_filing_for_itself_and_the_strictest_comes_first(
    in_use_on: date, due: list[tuple[date, str]]
) -> None:
    found = filing_due(LAYERED, in_use_on)
    assert [(item.on, item.deadline.requirement) for item in found] == due


def test_a_local_decree_alone_keeps_its_own_answer() -> None:
    assert [item.on for item in filing_due(load_profile("wuxi-2019"), date(2018, 5, 1))] == [
        date(2019, 9, 30)
    ]
    assert filing_due(load_profile("shaanxi-2011"), date(2026, 11, 1)) == ()


def test_removal_is_reported_before_under_one_decree_and_after_under_the_other() -> None:
    before = removal_due(load_profile("wuxi-2019"), date(2026, 12, 15))
    after = removal_due(load_profile("shaanxi-2011"), date(2026, 12, 15))
    assert [(item.on, item.deadline.requirement) for item in before] == [(date(2026, 12, 5), "WX-17")]
    assert [(item.on, item.deadline.requirement) for item in after] == [(date(2027, 1, 14), "SX-15")]


def test_a_removal_before_the_text_took_effect_had_no_day() -> None:
    assert removal_due(load_profile("wuxi-2019"), date(2019, 7, 31)) == ()
