from datetime import date, datetime, timedelta

import pytest

from adapters.gb28181.manscdp import parse
from adapters.gb28181.records import RecordCollection, Recording, covered, question, read_instant
from adapters.gb28181.registration import BEIJING

DAY = date(2026, 11, 21)


def answer(*stretches: tuple[str, str], total: object = None) -> bytes:
    items = "".join(
        f"<Item><DeviceID>1</DeviceID><StartTime>{begin}</StartTime><EndTime>{end}</EndTime><Type>time</Type>"
        "<FileSize>1024</FileSize></Item>"
        for begin, end in stretches
    )
    number = len(stretches) if total is None else total
    return (
        "<Response><CmdType>RecordInfo</CmdType><SN>1</SN><DeviceID>1</DeviceID>"
        f"<SumNum>{number}</SumNum><RecordList Num='1'>{items}</RecordList></Response>"
    ).encode()


def at(hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 11, 21, tzinfo=BEIJING) + timedelta(hours=hour, minutes=minute)


def test_one_local_day_is_asked_for_with_a_type() -> None:
    fields = dict(question(DAY))
    assert (fields["StartTime"], fields["EndTime"]) == ("2026-11-21T00:00:00", "2026-11-22T00:00:00")
    assert fields["Type"] == "all"


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-21T08:00:00",
        "2026-11-21 08:00:00",
        " 2026-11-21T08:00:00+08:00 ",
        "20261121T000000Z",
        "2026-11-21T08:00:00.000",
    ],
)
def test_times_are_read_as_devices_write_them(text: str) -> None:
    assert read_instant(text) == at(8)


@pytest.mark.parametrize("text", ["", "soon", "2026-13-01T00:00:00"])
def test_what_is_no_time_is_none(text: str) -> None:
    assert read_instant(text) is None


def test_parts_are_put_together_in_order_and_what_is_no_stretch_of_the_day_is_left_out() -> None:
    collection = RecordCollection(DAY)
    collection.take(parse(answer(("2026-11-21T10:00:00", "2026-11-21T11:00:00"), total=5)))
    assert collection.is_complete is False
    collection.take(
        parse(
            answer(
                ("2026-11-21T08:00:00", "2026-11-21T09:00:00"),
                ("2026-11-21T10:00:00", "2026-11-21T11:00:00"),
                ("2026-11-19T08:00:00", "2026-11-19T09:00:00"),
                ("2026-11-21T09:00:00", "2026-11-21T08:00:00"),
                total=5,
            )
        )
    )
    assert (collection.told, collection.total) == (5, 5)
    assert [(each.starts_at, each.ends_at) for each in collection.recordings] == [
        (at(8), at(9)),
        (at(10), at(11)),
    ]
    assert collection.recordings[0].size == 1024


def test_an_empty_answer_is_whole() -> None:
    collection = RecordCollection(DAY)
    collection.take(parse(answer(total=0)))
    assert collection.is_complete
    assert list(collection.recordings) == []


def test_what_overlaps_counts_once_and_what_lies_outside_not() -> None:
    stretches = [
        (at(-1), at(1)),
        (at(0, 30), at(2)),
        (at(5), at(6)),
        (at(5, 10), at(5, 20)),
        (at(23), at(25)),
    ]
    recordings = [Recording(begin, end, "", None) for begin, end in stretches]
    assert covered(recordings, DAY) == (2 + 1 + 1) * 3600
    assert covered([], DAY) == 0
