"""Transactions with hand-moved time: what is repeated when, and what its user sees."""

import pytest

from adapters.sip.message import Request, Response, parse, render, request, response
from adapters.sip.transaction import (
    LIFETIME,
    MAX_CLIENTS,
    T1,
    T4,
    Answered,
    Incoming,
    TimedOut,
    Transactions,
    TransactionsFull,
    Unacknowledged,
    Way,
)

UDP = Way("udp", "192.0.2.10", 5060, 0)
TCP = Way("tcp", "192.0.2.10", 40_000, 7)


def asked(method: str = "MESSAGE", branch: str = "z9hG4bKa", sequence: int = 1, tag: str = "1") -> Request:
    return request(
        method,
        "sip:b@h",
        (
            ("Via", f"SIP/2.0/UDP 192.0.2.10:5060;rport;branch={branch}"),
            ("From", f"<sip:a@h>;tag={tag}"),
            ("To", "<sip:b@h>"),
            ("Call-ID", "c1"),
            ("CSeq", f"{sequence} {method}"),
        ),
    )


def answer(to: Request, status: int) -> Response:
    return response(to, status, "Words", tag="t")


def respond(transactions: Transactions, to: Incoming, status: int, now: float) -> None:
    transactions.respond(to, status, render(answer(to.request, status)), now)


def sent(transactions: Transactions) -> list[str]:
    """What goes out, each by its method or status."""
    found = []
    for _, data in transactions.outgoing():
        message = parse(data)
        found.append(message.method if isinstance(message, Request) else str(message.status))
    return found


def run(transactions: Transactions, until: float, step: float = 0.1) -> list[tuple[float, str]]:
    """Move time on; return what went out when."""
    found, now = [], 0.0
    while now < until:
        now = round(now + step, 3)
        transactions.handle_timers(now)
        found += [(now, each) for each in sent(transactions)]
    return found


# -- requests of others


def test_a_repetition_is_answered_from_memory_and_not_handled_again() -> None:
    transactions = Transactions()
    first = transactions.receive(asked(), UDP, 0.0)
    assert isinstance(first, Incoming)
    # Repeated while it is being handled: nothing to say yet.
    assert transactions.receive(asked(), UDP, 0.1) is None
    assert sent(transactions) == []
    respond(transactions, first, 200, 0.2)
    assert transactions.receive(asked(), UDP, 0.5) is None
    assert sent(transactions) == ["200", "200"]
    assert transactions.repeated == 2


def test_a_repetition_is_answered_by_the_way_it_came() -> None:
    transactions = Transactions()
    first = transactions.receive(asked(), UDP, 0.0)
    assert isinstance(first, Incoming)
    respond(transactions, first, 200, 0.0)
    moved = UDP._replace(port=6000)
    transactions.receive(asked(), moved, 0.5)
    assert [way for way, _ in transactions.outgoing()] == [UDP, moved]


def test_an_answer_is_remembered_for_as_long_as_repetitions_may_come() -> None:
    transactions = Transactions()
    first = transactions.receive(asked(), UDP, 0.0)
    assert isinstance(first, Incoming)
    respond(transactions, first, 200, 10.0)
    assert transactions.receive(asked(), UDP, 10.0 + LIFETIME - 0.1) is None
    transactions.handle_timers(10.0 + LIFETIME)
    assert isinstance(transactions.receive(asked(), UDP, 10.0 + LIFETIME), Incoming)
    assert len(transactions) == 1


def test_a_request_is_answered_finally_once() -> None:
    transactions = Transactions()
    first = transactions.receive(asked("INVITE"), UDP, 0.0)
    assert isinstance(first, Incoming)
    respond(transactions, first, 100, 0.0)
    respond(transactions, first, 486, 0.1)
    with pytest.raises(KeyError):
        respond(transactions, first, 200, 0.2)


def test_what_is_remembered_is_bounded() -> None:
    transactions = Transactions(max_served=100)
    for number in range(250):
        transactions.receive(asked(branch=f"z9hG4bK{number}"), UDP, 0.0)
    assert len(transactions) == 100
    assert transactions.forgotten == 150
    assert isinstance(transactions.receive(asked(branch="z9hG4bK0"), UDP, 0.1), Incoming)


def test_branches_without_the_cookie_are_told_apart_by_their_calls() -> None:
    transactions = Transactions()
    assert isinstance(transactions.receive(asked(branch="1"), UDP, 0.0), Incoming)
    assert transactions.receive(asked(branch="1"), UDP, 0.1) is None
    assert isinstance(transactions.receive(asked(branch="1", sequence=2), UDP, 0.2), Incoming)


def test_a_2xx_to_an_invite_is_repeated_until_it_is_acknowledged() -> None:
    transactions = Transactions()
    first = transactions.receive(asked("INVITE"), UDP, 0.0)
    assert isinstance(first, Incoming)
    respond(transactions, first, 200, 0.0)
    assert sent(transactions) == ["200"]
    assert [at for at, _ in run(transactions, 6.0)] == [0.5, 1.5, 3.5]
    # Its ACK has a branch of its own.
    assert transactions.receive(asked("ACK", branch="z9hG4bKother"), UDP, 6.0) is None
    sent(transactions)
    assert run(transactions, LIFETIME + 1) == []


def test_a_2xx_that_nobody_acknowledges_is_told() -> None:
    transactions = Transactions()
    first = transactions.receive(asked("INVITE"), TCP, 0.0)
    assert isinstance(first, Incoming)
    respond(transactions, first, 200, 0.0)
    events = [event for tenth in range(1, 400) for event in transactions.handle_timers(tenth / 10)]
    assert events == [Unacknowledged(first.key)]


# -- requests of ours


def test_a_request_over_udp_is_repeated_at_the_times_of_the_standard_and_then_given_up() -> None:
    transactions = Transactions()
    transactions.request(asked(), "z9hG4bKa", UDP, 0.0)
    assert sent(transactions) == ["MESSAGE"]
    times = [at for at, _ in run(transactions, LIFETIME - 0.1)]
    assert times == [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert transactions.handle_timers(LIFETIME) == [TimedOut("z9hG4bKa")]
    assert len(transactions) == 0


def test_an_invite_doubles_its_waits_without_end_and_waits_once_it_is_heard() -> None:
    transactions = Transactions()
    transactions.request(asked("INVITE"), "z9hG4bKa", UDP, 0.0)
    assert sent(transactions) == ["INVITE"]
    assert [at for at, _ in run(transactions, 8.0)] == [0.5, 1.5, 3.5, 7.5]
    heard = transactions.receive(answer(asked("INVITE"), 100), UDP, 8.0)
    assert isinstance(heard, Answered)
    sent(transactions)
    assert run(transactions, 20.0) == []


def test_a_request_that_is_heard_is_repeated_slowly() -> None:
    transactions = Transactions()
    transactions.request(asked(), "z9hG4bKa", UDP, 0.0)
    sent(transactions)
    transactions.receive(answer(asked(), 100), UDP, 0.1)
    assert [at for at, _ in run(transactions, 9.0)] == [0.5, 4.5, 8.5]


def test_nothing_is_repeated_over_tcp() -> None:
    transactions = Transactions()
    transactions.request(asked(), "z9hG4bKa", TCP, 0.0, within=10.0)
    assert sent(transactions) == ["MESSAGE"]
    assert run(transactions, 9.9) == []
    assert transactions.handle_timers(10.0) == [TimedOut("z9hG4bKa")]


def test_a_final_answer_is_told_once_and_its_repetitions_are_absorbed() -> None:
    transactions = Transactions()
    transactions.request(asked(), "z9hG4bKa", UDP, 0.0)
    assert isinstance(transactions.receive(answer(asked(), 200), UDP, 0.1), Answered)
    assert transactions.receive(answer(asked(), 200), UDP, 0.2) is None
    assert transactions.handle_timers(0.1 + T4 + T1) == []
    assert len(transactions) == 0


def test_a_refused_invite_is_acknowledged_each_time_it_is_told() -> None:
    transactions = Transactions()
    transactions.request(asked("INVITE"), "z9hG4bKa", UDP, 0.0)
    sent(transactions)
    assert isinstance(transactions.receive(answer(asked("INVITE"), 486), UDP, 0.1), Answered)
    assert transactions.receive(answer(asked("INVITE"), 486), UDP, 0.6) is None
    (_, data), _ = transactions.outgoing()
    ack = parse(data)
    assert isinstance(ack, Request)
    assert (ack.method, ack.cseq, ack.get("to")) == ("ACK", (1, "ACK"), "<sip:b@h>;tag=t")
    assert ack.get("via") == asked("INVITE").get("via")


def test_a_repeated_2xx_to_an_invite_is_told_again_for_its_acknowledgement() -> None:
    transactions = Transactions()
    transactions.request(asked("INVITE"), "z9hG4bKa", UDP, 0.0)
    for at in (0.1, 0.6):
        assert isinstance(transactions.receive(answer(asked("INVITE"), 200), UDP, at), Answered)


@pytest.mark.parametrize(
    "stray",
    [
        answer(asked(branch="z9hG4bKzzz"), 200),
        answer(asked("OPTIONS"), 200),
        Response((("CSeq", "1 MESSAGE"),), b"", frozenset(), 200, "OK"),
    ],
)
def test_an_answer_to_nothing_of_ours_is_passed_over(stray: Response) -> None:
    transactions = Transactions()
    transactions.request(asked(), "z9hG4bKa", UDP, 0.0)
    assert transactions.receive(stray, UDP, 0.1) is None


def test_no_more_requests_than_allowed_are_under_way() -> None:
    transactions = Transactions()
    for number in range(MAX_CLIENTS):
        transactions.request(asked(branch=f"z9hG4bK{number}"), f"z9hG4bK{number}", TCP, 0.0)
    with pytest.raises(TransactionsFull):
        transactions.request(asked(), "z9hG4bKa", TCP, 0.0)


def test_what_goes_out_is_what_was_given() -> None:
    transactions = Transactions()
    transactions.send(asked("ACK"), UDP)
    assert transactions.outgoing() == [(UDP, render(asked("ACK")))]
