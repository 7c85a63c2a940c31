from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.digest_server import Nonces
from adapters.errors import LocalProtocolError
from adapters.rtsp.door import (
    MAX_MESSAGE,
    MAX_REQUESTS,
    DoorSession,
    DoorState,
    Ended,
    EndReason,
    Wanted,
)
from adapters.rtsp.message import Response
from adapters.rtsp.quirks import EVERY_QUIRK, POLICIES, Leniency, Quirk
from catalog.model.secret import Secret
from tests.unit.adapters.rtsp.players import (
    PASSWORD,
    PATH,
    PEER,
    URL,
    USER,
    answer,
    challenge,
    request,
    responses,
)

SECRET = Secret(PASSWORD)
CAPTURES = Path(__file__).parents[3] / "data" / "rtsp"


class Visitor:
    """A client at the door, with what the kernel holds of it."""

    def __init__(self, *, nonces: Nonces | None = None, now: float = 0.0) -> None:
        self.now = now
        self.door = DoorSession(PEER, nonces or Nonces(), now=now)
        self.waiting = b""
        self.taken = 0

    def says(self, data: bytes = b"") -> list[Response]:
        """Send `data`; return the answers, after whatever the door settles was read off."""
        self.waiting += data
        consumed = self.door.receive(self.waiting, self.now)
        self.waiting = self.waiting[consumed:]
        self.taken += consumed
        return responses(self.door.bytes_to_send())

    def asked(self, method: str = "DESCRIBE", uri: str = URL) -> dict[str, str]:
        """Ask without an answer to any challenge; return the challenge."""
        (response,) = self.says(request(method, uri))
        return dict(challenge(response))

    def wants(self, method: str = "DESCRIBE", uri: str = URL, password: str = PASSWORD) -> Wanted:
        """Ask with an answer to a challenge; return what the owner hears."""
        value = answer(self.asked(method, uri), method, uri, password=password)
        assert self.says(request(method, uri, 2, Authorization=value)) == []
        (event,) = self.door.events()
        assert isinstance(event, Wanted)
        return event

    def ended(self) -> EndReason:
        (event,) = self.door.events()
        assert isinstance(event, Ended)
        return event.reason


def test_a_player_is_led_from_options_to_its_admitted_describe() -> None:
    visitor = Visitor()
    (options,) = visitor.says(request("OPTIONS", URL, 1))
    assert (options.status, options.headers.get("CSeq")) == (200, "1")
    assert "DESCRIBE" in (options.headers.get("Public") or "")
    assert visitor.wants() == Wanted(PATH, USER)
    assert visitor.door.prove(SECRET, 1.0)
    assert visitor.door.admit()
    assert visitor.says() == []
    assert visitor.waiting.startswith(b"DESCRIBE")
    assert b"Authorization" in visitor.waiting
    assert (visitor.door.state, visitor.door.deadline()) == (DoorState.ADMITTED, None)


def test_after_the_admission_nothing_more_is_settled() -> None:
    visitor = Visitor()
    visitor.wants()
    visitor.door.prove(SECRET, 1.0)
    visitor.door.admit()
    held = visitor.waiting
    assert visitor.says(request("SETUP", URL, 3) + b"garbage\x00") == []
    assert visitor.waiting.startswith(held)
    assert visitor.door.events() == []


def test_a_setup_without_describe_names_the_stream_not_the_track() -> None:
    visitor = Visitor()
    assert visitor.wants("SETUP", f"{URL}/trackID=0").path == PATH


def test_options_for_the_whole_server_needs_no_password() -> None:
    (response,) = Visitor().says(request("OPTIONS", "*"))
    assert response.status == 200


def test_a_refused_request_is_settled_with_its_answer_and_the_next_one_is_judged() -> None:
    visitor = Visitor()
    visitor.wants(password="x")
    assert not visitor.door.prove(SECRET, 1.0)
    (response,) = visitor.says()
    assert visitor.waiting == b""
    assert response.headers.get("CSeq") == "2"
    value = answer(challenge(response), "DESCRIBE")
    visitor.says(request("DESCRIBE", URL, 3, Authorization=value))
    assert visitor.door.prove(SECRET, 1.0)


def test_the_third_wrong_answer_is_the_last() -> None:
    visitor = Visitor()
    for _ in range(3):
        visitor.wants(password="x")
        assert not visitor.door.prove(SECRET, 1.0)
        (response,) = visitor.says()
        assert response.status == 401
    assert visitor.ended() is EndReason.AUTHENTICATION_FAILED
    assert (visitor.door.wrong_answers, visitor.waiting) == (3, b"")


def test_a_stale_nonce_is_no_wrong_answer() -> None:
    visitor = Visitor()
    asked = visitor.asked()
    visitor.says(request("DESCRIBE", URL, 2, Authorization=answer(asked, "DESCRIBE", count=1)))
    visitor.now = 61.0
    assert not visitor.door.prove(SECRET, visitor.now)
    (response,) = visitor.says()
    assert challenge(response)["stale"] == "true"
    assert visitor.door.wrong_answers == 0


def test_an_unknown_user_is_answered_as_a_wrong_password_is() -> None:
    known, unknown = Visitor(), Visitor()
    answers = []
    for visitor, password in ((known, Secret("other")), (unknown, None)):
        visitor.wants()
        assert not visitor.door.prove(password, 1.0)
        (response,) = visitor.says()
        answers.append((response.status, [name for name, _ in response.headers], response.reason))
    assert answers[0] == answers[1]


@pytest.mark.parametrize("status", [403, 404, 453, 503])
def test_a_proven_client_is_turned_away_with_the_owners_word(status: int) -> None:
    visitor = Visitor()
    visitor.wants()
    visitor.door.prove(SECRET, 1.0)
    visitor.door.refuse(status, retry_after=30 if status == 503 else None)
    (response,) = visitor.says()
    assert (response.status, response.headers.get("CSeq")) == (status, "2")
    assert response.headers.get("Retry-After") == ("30" if status == 503 else None)
    assert visitor.ended() is EndReason.REFUSED
    assert visitor.waiting == b""


def test_nobody_is_admitted_or_told_of_paths_unproven() -> None:
    visitor = Visitor()
    acts: list[Callable[[], object]] = [
        visitor.door.admit,
        lambda: visitor.door.refuse(404),
        lambda: visitor.door.prove(SECRET, 1.0),
    ]
    for act in acts:
        with pytest.raises(LocalProtocolError):
            act()
    visitor.wants()
    for act in acts[:2]:
        with pytest.raises(LocalProtocolError):
            act()
    assert visitor.door.prove(SECRET, 1.0)
    with pytest.raises(LocalProtocolError):
        visitor.door.refuse(401)


def test_basic_is_challenged_and_counts_as_a_wrong_answer() -> None:
    visitor = Visitor()
    (response,) = visitor.says(request("DESCRIBE", URL, Authorization="Basic dmlld2VyOmNvcnJlY3QgaG9yc2U="))
    assert challenge(response)["realm"] == "Muster"
    assert (visitor.door.events(), visitor.door.wrong_answers) == ([], 1)


@pytest.mark.parametrize(
    ("value", "uri"),
    [("Digest x", URL), ('Digest username="u"', URL), ("Digest x", "*"), ("Digest x", "/..")],
)
def test_an_unreadable_answer_ends_it(value: str, uri: str) -> None:
    visitor = Visitor()
    (response,) = visitor.says(request("DESCRIBE", uri, Authorization=value))
    assert response.status == 400
    assert visitor.ended() is EndReason.MALFORMED


@pytest.mark.parametrize(
    ("data", "reason", "statuses"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", EndReason.TLS, []),
        (b"\x16", EndReason.TLS, []),
        (b"GET / HTTP/1.1\r\n", EndReason.HTTP, []),
        (b"GET / HT", EndReason.HTTP, []),
        (b"POST /live HTTP/1.0\r\nx-sessioncookie: 1\r\n\r\n", EndReason.HTTP, []),
        (b"DESCRIBE rtsp://a/ RTSP/2.0\r\n", EndReason.VERSION, [505]),
        (b"\x00", EndReason.GARBAGE, []),
        (b"$\x00\x00\x04abcd", EndReason.GARBAGE, []),
        (b"RTSP/1.0 200 OK\r\n\r\n", EndReason.GARBAGE, []),
        (b"SSH-2.0-OpenSSH_9\r\n", EndReason.GARBAGE, []),
        (b"DESCRIBE\r\n", EndReason.GARBAGE, []),
        (b"describe rtsp://a/ RTSP/1.0\r\n", EndReason.GARBAGE, []),
        (b"DESCRIBE rtsp://a/\x00", EndReason.GARBAGE, []),
        (b"DESCRIBE rtsp://a/ RTSP/1.0\r\nno header\r\n\r\n", EndReason.MALFORMED, [400]),
        (b"X" * 33, EndReason.GARBAGE, []),
        (b"DESCRIBE rtsp://a/" + b"x" * MAX_MESSAGE, EndReason.TOO_LARGE, [413]),
        (b"DESCRIBE rtsp://a/ RTSP/1.0\r\n" + b"A: b\r\n" * 3000, EndReason.TOO_LARGE, [413]),
        (b"DESCRIBE rtsp://a/ RTSP/1.0\r\nContent-Length: 999999\r\n\r\n", EndReason.TOO_LARGE, [413]),
        (b"OPTIONS * RTSP/1.0\r\nContent-Length: 20000\r\n\r\n" + bytes(16384), EndReason.TOO_LARGE, [413]),
    ],
)
def test_what_is_no_rtsp_ends_at_once_and_by_name(
    data: bytes, reason: EndReason, statuses: list[int]
) -> None:
    visitor = Visitor()
    assert [response.status for response in visitor.says(data)] == statuses
    assert visitor.ended() is reason
    assert (visitor.waiting, visitor.door.deadline()) == (b"", None)


def test_a_request_may_come_byte_by_byte() -> None:
    visitor = Visitor()
    data = b"\r\n" + request("OPTIONS", URL)
    found = [visitor.says(data[at : at + 1]) for at in range(len(data))]
    assert [len(each) for each in found] == [0] * (len(data) - 1) + [1]
    assert visitor.waiting == b""
    assert visitor.door.needed == 1


def test_what_is_needed_is_one_byte_more_than_what_waits() -> None:
    visitor = Visitor()
    visitor.says(request("OPTIONS", URL) + b"DESC")
    assert (visitor.waiting, visitor.door.needed) == (b"DESC", 5)


@pytest.mark.parametrize(
    ("data", "status", "field"),
    [
        (b"DESCRIBE rtsp://a/ RTSP/1.0\r\n\r\n", 400, "Server"),
        (request("DESCRIBE", URL, Require="www.onvif.org/ver20/backchannel"), 551, "Unsupported"),
        (request("OPTIONS", "*", Require="org.wfa.wfd1.0"), 551, "Unsupported"),
        (request("ANNOUNCE"), 405, "Allow"),
        (request("RECORD"), 405, "Allow"),
        (request("BREW"), 501, "Allow"),
        (request("PLAY"), 454, "CSeq"),
        (request("TEARDOWN", Session="1"), 454, "CSeq"),
        (request("GET_PARAMETER", Session="1"), 454, "CSeq"),
        (request("GET_PARAMETER"), 200, "CSeq"),
    ],
)
def test_other_requests_are_answered_without_a_judge(data: bytes, status: int, field: str) -> None:
    visitor = Visitor()
    (response,) = visitor.says(data)
    assert response.status == status
    assert response.headers.get(field)
    assert (visitor.door.state, visitor.waiting) == (DoorState.READING, b"")


def test_too_many_requests_end_it() -> None:
    visitor = Visitor()
    found = visitor.says(request("OPTIONS", URL) * (MAX_REQUESTS + 1))
    assert len(found) == MAX_REQUESTS
    assert visitor.ended() is EndReason.TOO_MANY_REQUESTS


def test_who_does_not_come_to_the_point_is_closed_after_ten_seconds() -> None:
    visitor = Visitor(now=100.0)
    visitor.says(request("OPTIONS", URL) + b"DESCR")
    assert visitor.door.deadline() == 110.0
    visitor.door.handle_timer(109.9)
    assert visitor.door.events() == []
    visitor.door.handle_timer(110.0)
    assert visitor.ended() is EndReason.TOO_SLOW


def test_who_waits_for_us_is_told_to_come_again() -> None:
    visitor = Visitor()
    visitor.wants()
    visitor.door.handle_timer(10.0)
    (response,) = visitor.says()
    assert (response.status, response.headers.get("Retry-After")) == (503, "10")
    assert visitor.ended() is EndReason.OURS_TOO_SLOW
    assert not visitor.door.prove(SECRET, 10.5)
    assert not visitor.door.admit()
    visitor.door.refuse(404)
    assert visitor.door.bytes_to_send() == b""


def test_a_client_that_leaves_is_reported_once() -> None:
    visitor = Visitor()
    visitor.door.close()
    visitor.door.close()
    assert visitor.ended() is EndReason.LEFT


def test_one_answer_opens_one_connection() -> None:
    nonces = Nonces()
    first, second = Visitor(nonces=nonces), Visitor(nonces=nonces)
    value = answer(first.asked(), "DESCRIBE")
    data = request("DESCRIBE", URL, 2, Authorization=value)
    first.says(data)
    second.says(data)
    assert first.door.prove(SECRET, 1.0)
    assert not second.door.prove(SECRET, 1.0)


@pytest.mark.parametrize(
    ("quirk", "method", "algorithm"),
    [
        (Quirk.DIGEST_URI_FORM, "DESCRIBE", "MD5"),
        (Quirk.DIGEST_URI_AGGREGATE, "SETUP", "MD5"),
        (Quirk.DIGEST_ALGORITHM_UNNAMED, "DESCRIBE", "SHA-256"),
    ],
)
def test_the_captured_deviations_are_admitted(quirk: Quirk, method: str, algorithm: str) -> None:
    capture = (CAPTURES / POLICIES[quirk].capture).read_bytes().decode()
    visitor = Visitor()
    (response,) = visitor.says(request("DESCRIBE", URL))
    asked = challenge(response, algorithm)
    hashed = answer(asked, method, capture.partition('uri="')[2].partition('"')[0], count=None)
    digest = hashed.partition('response="')[2].rstrip('"')
    visitor.says(capture.format(nonce=asked["nonce"], response=digest).encode())
    assert visitor.door.prove(SECRET, 1.0)
    assert visitor.door.leniency.met == {quirk}


def test_a_deviation_that_is_not_accepted_here_is_a_wrong_answer() -> None:
    visitor = Visitor()
    visitor.door = DoorSession(
        PEER, Nonces(), now=0.0, leniency=Leniency(EVERY_QUIRK - {Quirk.DIGEST_URI_FORM})
    )
    value = answer(visitor.asked(), "DESCRIBE", f"{URL}/")
    visitor.says(request("DESCRIBE", URL, 2, Authorization=value))
    assert not visitor.door.prove(SECRET, 1.0)
    assert visitor.door.wrong_answers == 1


PIECES = st.sampled_from(
    [
        request("OPTIONS", "*"),
        request("DESCRIBE", URL),
        request("SETUP", f"{URL}/trackID=0"),
        request(
            "DESCRIBE",
            URL,
            Authorization='Digest username="u", realm="Muster", nonce="", uri="", response=""',
        ),
        b"\r\n",
        b"$",
        b"GET / HTTP/1.1\r\n",
    ]
)


@given(st.lists(st.one_of(st.binary(max_size=60), PIECES), max_size=20), st.booleans())
def test_any_bytes_are_settled_or_wait_and_nothing_raises(chunks: list[bytes], is_known: bool) -> None:
    visitor = Visitor()
    for chunk in chunks:
        visitor.says(chunk)
        if visitor.door.state is DoorState.JUDGING:
            assert not visitor.door.prove(SECRET if is_known else None, 0.0)
            visitor.says()
    assert visitor.taken + len(visitor.waiting) == sum(map(len, chunks))
    assert visitor.door.state in (DoorState.READING, DoorState.OVER)
    assert len(visitor.waiting) < MAX_MESSAGE
