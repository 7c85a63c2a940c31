"""What the facts since the last notice come to."""

from datetime import UTC, datetime, timedelta

import pytest

from catalog.model.connectivity import State
from catalog.model.notice import Happening, Incident, NoticeEvent, Place, digest

NOW = datetime(2026, 11, 20, 4, tzinfo=UTC)
BEFORE = {"offline": State.ONLINE}
EVERYTHING = frozenset(NoticeEvent)


def told(*words: str) -> list[Happening]:
    """Return facts from words such as `1 offline x`: source, what it became, incident.

    `first` is the first connection; `still` an answer of one that was up all the time.
    """
    found = []
    for seq, each in enumerate(words, start=1):
        source, state, *incident = each.split()
        found.append(
            Happening(
                seq=seq,
                place=Place(int(source), f"site {source}", "unit", "WX8_07", "320299"),
                at=NOW + timedelta(seconds=seq),
                state_before=None if state in ("first", "still") else BEFORE.get(state, State.OFFLINE),
                state_after=State.ONLINE if state in ("up", "first", "still") else State(state),
                reason=None,
                incident=incident[0] if incident else None,
                is_first=state == "first",
                is_suspended=False,
            )
        )
    return found


def of(*words: str, wanted: frozenset[NoticeEvent] = EVERYTHING) -> dict[str, list[int]]:
    found = digest(told(*words), wanted)
    lists = {
        "offline": found.offline,
        "back": found.back,
        "interrupted": found.interrupted,
        "connected": found.connected,
    }
    return {name: [each.place.source_id for each in told] for name, told in lists.items() if told}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), {}),
        (("1 offline",), {"offline": [1]}),
        (("1 up",), {"back": [1]}),
        (("1 degraded",), {"back": [1]}),
        (("1 first",), {"connected": [1]}),
        (("1 still",), {}),
        (("1 still", "1 offline", "1 up", "1 still"), {"interrupted": [1]}),
        (("1 offline", "1 up"), {"interrupted": [1]}),
        (("1 up", "1 offline"), {"offline": [1]}),
        (("1 up", "1 offline", "1 up"), {"back": [1]}),
        (("1 first", "1 offline"), {"connected": [1], "offline": [1]}),
        (("1 first", "1 offline", "1 up"), {"connected": [1], "interrupted": [1]}),
        (("1 offline", "2 up", "3 first", "1 up", "2 offline"), {"interrupted": [1], "offline": [2], "connected": [3]}),
    ],
)  # fmt: skip
def test_each_source_is_told_once_by_what_became_of_it(
    words: tuple[str, ...], expected: dict[str, list[int]]
) -> None:
    assert of(*words) == expected


def test_only_what_was_asked_for_is_told() -> None:
    words = ("1 offline", "2 up", "3 first", "4 offline", "4 up")

    assert of(*words, wanted=frozenset({NoticeEvent.OFFLINE})) == {"offline": [1]}
    assert of(*words, wanted=frozenset({NoticeEvent.BACK})) == {"back": [2], "interrupted": [4]}
    assert of(*words, wanted=frozenset({NoticeEvent.CONNECTED})) == {"connected": [3]}
    assert digest(told(*words), frozenset({NoticeEvent.OVERDUE})).is_empty


def test_since_when_and_how_often_is_told() -> None:
    [flapping] = digest(told("1 up", "1 offline", "1 up", "1 offline"), EVERYTHING).offline

    assert (flapping.at, flapping.changes) == (NOW + timedelta(seconds=4), 4)


def test_sources_lost_by_one_cause_are_one_incident() -> None:
    found = digest(told("1 offline a", "2 offline a", "3 offline", "4 offline b", "4 up"), EVERYTHING)

    assert found.incidents == (Incident("a", 2), Incident("b", 1))
