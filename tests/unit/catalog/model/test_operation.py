"""Hours in which a source does not operate."""

from datetime import datetime, time, timedelta, timezone

import pytest

from catalog.model.operation import EVERY_DAY, HoursInvalid, RestHours, read_hours
from catalog.model.period import Period

LOCAL = timezone(timedelta(hours=8))
FRIDAY = datetime(2026, 11, 20, tzinfo=LOCAL)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def test_a_night_ends_in_the_morning_after() -> None:
    nights = list(read_hours("22:30-05:30").within(Period(FRIDAY, FRIDAY + 2 * DAY), LOCAL))

    assert nights == [
        Period(FRIDAY, FRIDAY + 5.5 * HOUR),
        Period(FRIDAY + 22.5 * HOUR, FRIDAY + 29.5 * HOUR),
        Period(FRIDAY + 46.5 * HOUR, FRIDAY + 48 * HOUR),
    ]


def test_hours_within_a_day_are_cut_where_the_window_begins_and_ends() -> None:
    noons = read_hours("11:00-13:00")

    assert list(noons.within(Period(FRIDAY + 12 * HOUR, FRIDAY + DAY + 11 * HOUR), LOCAL)) == [
        Period(FRIDAY + 12 * HOUR, FRIDAY + 13 * HOUR)
    ]
    assert list(noons.within(Period(FRIDAY + 13 * HOUR, FRIDAY + DAY), LOCAL)) == []


def test_a_weekday_is_that_on_which_the_hours_begin() -> None:
    weekend = read_hours("20:00-08:00", "6, 7")

    assert list(weekend.within(Period(FRIDAY, FRIDAY + 4 * DAY), LOCAL)) == [
        Period(FRIDAY + 44 * HOUR, FRIDAY + 56 * HOUR),
        Period(FRIDAY + 68 * HOUR, FRIDAY + 80 * HOUR),
    ]
    assert str(weekend) == "20:00-08:00 on 6,7"
    assert str(read_hours("20:00-08:00")) == "20:00-08:00"


@pytest.mark.parametrize(
    "hours", ["", "22:30", "22:30-24:00", "2230-0530", "22:30-05:30-06:00", "a-b", "22:30-22:30"]
)
def test_what_are_no_hours_is_told_so(hours: str) -> None:
    with pytest.raises(HoursInvalid):
        read_hours(hours)


@pytest.mark.parametrize("weekdays", ["0", "8", "1,x", "1,,2"])
def test_what_are_no_weekdays_is_told_so(weekdays: str) -> None:
    with pytest.raises(HoursInvalid, match="weekdays"):
        read_hours("22:30-05:30", weekdays)


def test_hours_are_local_and_to_the_minute() -> None:
    with pytest.raises(HoursInvalid, match="to the minute"):
        RestHours(time(22, 30, 1), time(5))
    with pytest.raises(HoursInvalid, match="one of them"):
        RestHours(time(22), time(5), frozenset())
    assert RestHours(time(22), time(5)).weekdays == EVERY_DAY
