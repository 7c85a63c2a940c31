"""Registrations with hand-moved time."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from adapters.base import Credential
from adapters.digest import Authenticator, choose_challenge, parse_challenges
from adapters.digest_server import Authorization
from adapters.gb28181.registration import (
    Judged,
    Refusal,
    Refused,
    Registrar,
    Registration,
    RegistrationRules,
    beijing_time,
)
from adapters.sip.message import Request, request
from adapters.sip.transaction import Way
from catalog.model.secret import Secret
from tests.fakes.gb_superior import DOMAIN, OWN_ID, PASSWORD, Accounts

CAMERA = "34020000001320000001"
WAY = Way("udp", "192.0.2.10", 5060, 0)
ELSEWHERE = Way("udp", "198.51.100.7", 5060, 0)
WALL = datetime(2026, 11, 21, 2, 15, 30, 123_000, tzinfo=UTC)
URI = f"sip:{OWN_ID}@{DOMAIN}"


def register(
    code: str = CAMERA, *, expires: str | None = "3600", contact: str = "", authorization: str | None = None
) -> Request:
    headers = [
        ("Via", "SIP/2.0/UDP 192.0.2.10:5060;rport;branch=z9hG4bK1"),
        ("From", f"<sip:{code}@{DOMAIN}>;tag=1"),
        ("To", f"<sip:{code}@{DOMAIN}>"),
        ("Call-ID", "c"),
        ("CSeq", "1 REGISTER"),
        ("Contact", contact or f"<sip:{code}@192.0.2.10:5060>"),
        ("User-Agent", "ExampleCam/1.0"),
        ("X-GB-ver", "3.0"),
    ]
    headers += [("Expires", expires)] if expires is not None else []
    headers += [("Authorization", authorization)] if authorization is not None else []
    return request("REGISTER", URI, headers)


class Door:
    """A registrar and what a device does with it."""

    def __init__(self, passwords: dict[str, str | None] | None = None, **rules: object) -> None:
        self.accounts = Accounts({CAMERA: PASSWORD} if passwords is None else passwords)
        self.registrar = Registrar(
            replace(RegistrationRules(realm=DOMAIN), **rules),  # type: ignore[arg-type]
            self.accounts,
        )

    def judge(self, asked: Request, *, way: Way = WAY, now: float = 0.0) -> Judged:
        return self.registrar.judge(asked, way, now, WALL)

    def answer(self, challenged: Judged, *, code: str = CAMERA, password: str = PASSWORD) -> str:
        values = [value for name, value in challenged.headers if name == "WWW-Authenticate"]
        challenge = choose_challenge(parse_challenges(values), allow_basic=False)
        credential = Credential(code, Secret(password))
        return Authenticator(challenge, credential, lambda size: b"\7" * size).authorization("REGISTER", URI)

    def enter(
        self, *, code: str = CAMERA, password: str = PASSWORD, way: Way = WAY, now: float = 0.0
    ) -> Judged:
        challenged = self.judge(register(code), way=way, now=now)
        if challenged.status != 401:
            return challenged
        answer = self.answer(challenged, code=code, password=password)
        return self.judge(register(code, authorization=answer), way=way, now=now)


def why(judged: Judged) -> Refusal | None:
    return judged.outcome.why if isinstance(judged.outcome, Refused) else None


def test_a_device_that_proves_itself_is_registered() -> None:
    judged = Door().enter()
    assert judged.status == 200
    assert judged.outcome == Registration(
        CAMERA, WAY, f"sip:{CAMERA}@192.0.2.10:5060", 3600, "3.0", "ExampleCam/1.0"
    )
    headers = dict(judged.headers)
    assert headers["Expires"] == "3600"
    assert headers["X-GB-ver"] == "3.0"
    # Beijing's time, milliseconds, no zone (9.10).
    assert headers["Date"] == "2026-11-21T10:15:30.123"


def test_the_digest_of_the_fact_sheet() -> None:
    made = Authorization(CAMERA, DOMAIN, "5f3a9c0e1b7d4e22", URI, "7fefec0ac23c8ccfeedcf5d3d5147a1e")
    assert made.proves("REGISTER", Secret("Example-Pass-1"), DOMAIN)
    with_qop = replace(made, response="0d2dde4ae677849b0f6a86fcb05253a6", count="00000001", cnonce="0a4f113b")
    assert with_qop.proves("REGISTER", Secret("Example-Pass-1"), DOMAIN)
    assert not with_qop.proves("REGISTER", Secret("Example-Pass-1"), "another")


@pytest.mark.parametrize(
    ("algorithms", "qop"), [(("MD5",), True), (("SHA-256",), False), (("SHA-256", "MD5"), True)]
)
def test_every_form_of_digest_that_is_offered_is_taken(algorithms: tuple[str, ...], qop: bool) -> None:
    assert Door(algorithms=algorithms, qop=qop).enter().status == 200


def test_no_register_is_taken_without_a_challenge_not_even_the_last() -> None:
    door = Door()
    assert door.enter().status == 200
    for expires in ("3600", "0"):
        challenged = door.judge(register(expires=expires), now=1.0)
        assert challenged.status == 401
        assert challenged.outcome is None
    answer = door.answer(door.judge(register(), now=1.0))
    left = door.judge(register(expires="0", authorization=answer), now=1.0)
    assert isinstance(left.outcome, Registration)
    assert left.outcome.expires == 0


def test_an_answer_counts_once() -> None:
    door = Door()
    answer = door.answer(door.judge(register()))
    assert door.judge(register(authorization=answer)).status == 200
    again = door.judge(register(authorization=answer), now=1.0)
    assert again.status == 401
    assert "stale=true" in dict(again.headers)["WWW-Authenticate"]


@pytest.mark.parametrize(
    ("way", "now", "code"),
    [(ELSEWHERE, 0.0, CAMERA), (WAY, 61.0, CAMERA), (WAY, 0.0, "34020000001320000002")],
)
def test_an_answer_belongs_to_its_address_its_minute_and_its_device(way: Way, now: float, code: str) -> None:
    door = Door({CAMERA: PASSWORD, "34020000001320000002": PASSWORD})
    answer = door.answer(door.judge(register()), code=code)
    assert door.judge(register(code, authorization=answer), way=way, now=now).status == 401


def test_a_nonce_that_is_not_ours_is_challenged_and_held_against_nobody() -> None:
    door = Door(failures=1)
    forged = door.answer(Door().judge(register()))
    for _ in range(5):
        assert door.judge(register(authorization=forged)).status == 401
    assert door.enter().status == 200


def test_a_wrong_password_is_refused_and_told() -> None:
    judged = Door().enter(password="wrong-one")
    assert (judged.status, why(judged)) == (403, Refusal.WRONG_PASSWORD)


def test_another_devices_right_password_is_refused() -> None:
    door = Door({CAMERA: PASSWORD, "34020000001320000002": "another-one"})
    challenged = door.judge(register())
    answer = door.answer(challenged, code="34020000001320000002", password="another-one")
    assert why(door.judge(register(authorization=answer))) is Refusal.WRONG_PASSWORD


def test_an_unknown_device_sees_what_a_known_one_sees_and_is_told() -> None:
    door = Door({})
    challenged = door.judge(register())
    assert (challenged.status, why(challenged)) == (401, Refusal.UNKNOWN_DEVICE)
    judged = door.judge(register(authorization=door.answer(challenged)))
    assert (judged.status, why(judged)) == (403, Refusal.UNKNOWN_DEVICE)


def test_an_account_without_a_password_lets_nobody_in() -> None:
    assert why(Door({CAMERA: None}).enter()) is Refusal.CREDENTIAL_MISSING


@pytest.mark.parametrize("code", ["camera-1", "3402000000132000000", "34020000000990000001", ""])
def test_what_is_no_code_is_refused(code: str) -> None:
    assert why(Door().judge(register(code))) is Refusal.NO_DEVICE_ID


@pytest.mark.parametrize("value", ["Basic YTpi", "Digest", 'Digest username="a"', "Digest " + "x" * 9_000])
def test_a_malformed_answer_is_refused(value: str) -> None:
    judged = Door().judge(register(authorization=value))
    assert (judged.status, why(judged)) == (400, Refusal.MALFORMED)


@pytest.mark.parametrize(
    ("expires", "contact", "granted"),
    [
        ("3600", "", 3600),
        (None, "", 86_400),
        ("5", "", 60),
        ("999999999", "", 86_400),
        ("soon", "", 86_400),
        (None, f"<sip:{CAMERA}@h>;expires=120", 120),
        ("3600", f"<sip:{CAMERA}@h>;expires=0", 0),
    ],
)
def test_how_long_a_registration_holds(expires: str | None, contact: str, granted: int) -> None:
    door = Door()
    answer = door.answer(door.judge(register()))
    judged = door.judge(register(expires=expires, contact=contact, authorization=answer))
    assert isinstance(judged.outcome, Registration)
    assert judged.outcome.expires == granted
    assert dict(judged.headers)["Expires"] == str(granted)


def test_an_address_that_fails_too_often_waits_and_its_neighbours_do_not() -> None:
    door = Door(failures=3)
    codes = [f"340200000013200001{number:02d}" for number in range(10)]
    words = [why(door.judge(register(code), way=ELSEWHERE)) for code in codes]
    assert words == [Refusal.UNKNOWN_DEVICE] * 3 + [Refusal.TOO_MANY_FAILURES] * 7
    refused = door.judge(register(codes[0]), way=ELSEWHERE)
    assert (refused.status, dict(refused.headers)["Retry-After"]) == (503, "60")
    # A device that is known behind the same address, and everybody elsewhere.
    assert door.enter(way=ELSEWHERE).status == 200
    assert door.enter().status == 200
    # One more every three seconds.
    assert why(door.judge(register(codes[0]), way=ELSEWHERE, now=3.5)) is Refusal.UNKNOWN_DEVICE


def test_guessing_at_a_known_device_ends_soon() -> None:
    door = Door(failures=5)
    words = [why(door.enter(password=f"guess-{number:04d}")) for number in range(8)]
    assert words == [Refusal.WRONG_PASSWORD] * 5 + [Refusal.TOO_MANY_FAILURES] * 3


def test_more_registrations_than_are_taken_are_asked_to_come_back() -> None:
    door = Door(rate=10.0)
    statuses = [door.judge(register()).status for _ in range(40)]
    assert statuses == [401] * 20 + [503] * 20
    busy = door.judge(register())
    assert why(busy) is Refusal.BUSY
    assert 5 <= int(dict(busy.headers)["Retry-After"]) <= 35
    assert door.judge(register(), now=1.0).status == 401


def test_the_clock_is_told_only_where_it_shall_be() -> None:
    assert "Date" not in dict(Door(date=False).enter().headers)
    assert beijing_time(datetime(2026, 12, 31, 16, 0, tzinfo=UTC)) == "2027-01-01T00:00:00.000"
