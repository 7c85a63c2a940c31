"""Where relays go: by load, moved seldom, and never to and fro."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.base import SourceKey
from gateway.relay.placement import Candidate, Move, Rebalancing, RebalancingRules, WorkerLoad, place

MBIT = 1_000_000
RULES = RebalancingRules()
LASTING, UNEVEN = RULES.lasting, RULES.uneven


def load(
    index: int, busy: float = 0.0, *, relays: int = 0, fresh: int = 0, mbit: int = 0, pid: int | None = 1
) -> WorkerLoad:
    return WorkerLoad(index, pid, relays, fresh, mbit * MBIT, busy)


@pytest.mark.parametrize(
    ("loads", "chosen"),
    [
        ([load(0), load(1)], 0),
        ([load(0, relays=3, fresh=3), load(1, relays=2, fresh=2)], 1),
        ([load(0, 0.9, relays=2, mbit=8), load(1, 0.1, relays=50, mbit=200)], 1),
        ([load(0, 0.11, relays=9, mbit=90), load(1, 0.14, relays=9, mbit=30)], 1),
        ([load(0, 0.1, relays=300, fresh=300), load(1, 0.5, relays=10, mbit=40)], 1),
    ],
    ids=["nothing runs", "fewer", "less busy", "equally busy, receives less", "many that have not begun"],
)
def test_a_new_relay_goes_where_there_is_least_to_do(loads: list[WorkerLoad], chosen: int) -> None:
    assert place(loads) == chosen


def test_relays_begun_in_the_same_second_are_spread() -> None:
    counts = [0, 0, 0]
    for _ in range(99):
        counts[place([load(index, relays=n, fresh=n) for index, n in enumerate(counts)])] += 1
    assert counts == [33, 33, 33]


UNEVEN_LOADS = [load(0, 0.9, relays=3, mbit=90), load(1, 0.3, relays=3, mbit=30)]


def candidates(*mbits: int) -> list[Candidate]:
    return [Candidate(SourceKey(number), mbit * MBIT) for number, mbit in enumerate(mbits, start=1)]


def looked(
    rebalancing: Rebalancing, loads: list[WorkerLoad], mbits: tuple[int, ...], *at: float
) -> list[Move]:
    moves = [rebalancing.look(loads, lambda _: candidates(*mbits), now) for now in at]
    return [move for move in moves if move is not None]


def test_the_heaviest_relay_that_does_not_turn_the_difference_round_moves_after_a_while() -> None:
    rebalancing = Rebalancing()
    assert looked(rebalancing, UNEVEN_LOADS, (20, 25, 35), 0.0, 30.0, LASTING - 1) == []
    assert looked(rebalancing, UNEVEN_LOADS, (20, 25, 35), LASTING) == [Move(SourceKey(2), 0, 1)]


def test_at_most_one_moves_in_a_period() -> None:
    seconds = [float(second) for second in range(int(3 * LASTING) + 1)]
    assert len(looked(Rebalancing(), UNEVEN_LOADS, (20, 25), *seconds)) == 3


def test_a_short_peak_moves_nothing() -> None:
    rebalancing = Rebalancing()
    even = [load(0, 0.5, mbit=50), load(1, 0.4, mbit=50)]
    assert looked(rebalancing, UNEVEN_LOADS, (20,), 0.0, 50.0) == []
    assert looked(rebalancing, even, (20,), 55.0) == []
    assert looked(rebalancing, UNEVEN_LOADS, (20,), 60.0, 100.0) == []


@pytest.mark.parametrize(
    ("loads", "mbits"),
    [
        ([load(0, 0.4, mbit=90), load(1, 0.0)], (10,)),
        ([load(0, 0.9, mbit=90), load(1, 0.7, mbit=70)], (10,)),
        ([load(0, 0.9, mbit=90), load(1, 0.1, pid=None)], (10,)),
        ([load(0, 0.9, mbit=90), load(1, 0.1, mbit=10)], (90,)),
        ([load(0, 0.9, mbit=90), load(1, 0.1, mbit=10)], ()),
        ([load(0, 0.9), load(1, 0.1)], (10,)),
        ([load(0, 0.9, mbit=90)], (10,)),
        ([], ()),
    ],
    ids=[
        "not busy",
        "even",
        "no process",
        "one heavy relay",
        "none may move",
        "no media",
        "one worker",
        "none",
    ],
)
def test_nothing_moves_where_it_would_not_help(loads: list[WorkerLoad], mbits: tuple[int, ...]) -> None:
    assert looked(Rebalancing(), loads, mbits, 0.0, LASTING, 2 * LASTING) == []


@given(
    st.lists(st.lists(st.integers(1, 40), max_size=12), min_size=2, max_size=4),
    st.floats(0.005, 0.02),
)
def test_moves_end_and_none_goes_back(placed: list[list[int]], cost: float) -> None:
    """However relays stand at first: each move brings the workers nearer, so that none is undone."""
    relays = {SourceKey(100 * w + n): (w, mbit) for w, row in enumerate(placed) for n, mbit in enumerate(row)}
    rebalancing = Rebalancing()
    gaps, been = [], {source_id: {worker} for source_id, (worker, _) in relays.items()}

    def held(index: int) -> list[Candidate]:
        return [Candidate(key, mbit * MBIT) for key, (worker, mbit) in relays.items() if worker == index]

    for second in range(0, int(60 * LASTING), int(LASTING)):
        totals = [sum(each.bitrate for each in held(index)) // MBIT for index in range(len(placed))]
        loads = [load(index, total * cost, mbit=total) for index, total in enumerate(totals)]
        move = rebalancing.look(loads, held, float(second))
        if move is not None:
            gaps.append(totals[move.origin] - totals[move.target])
            assert relays[move.source_id][0] == move.origin
            assert len(placed) > 2 or move.target not in been[move.source_id]
            been[move.source_id].add(move.target)
            relays[move.source_id] = (move.target, relays[move.source_id][1])
    assert gaps == sorted(gaps, reverse=True)
    assert all(gap * cost >= UNEVEN for gap in gaps)
