import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.digest import choose_challenge, parse_challenges
from adapters.digest_server import MAX_SPENT, Authorization, Nonces, Verdict, parse_authorization
from adapters.errors import RemoteProtocolError, WeakAuthentication
from adapters.rtsp.guard import Guard
from adapters.rtsp.message import Request
from adapters.rtsp.quirks import EVERY_QUIRK, Leniency, Quirk
from catalog.model.secret import Secret
from tests.unit.adapters.rtsp.players import PASSWORD, URL, answer

SECRET = Secret(PASSWORD)
DESCRIBE = Request("DESCRIBE", URL)


class Counting:
    """Random bytes that are not: each call gives others."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, size: int) -> bytes:
        self.calls += 1
        return self.calls.to_bytes(size, "big")


class Client:
    """A client that was challenged at time 0."""

    def __init__(self, *, address: str = "192.0.2.9", nonces: Nonces | None = None) -> None:
        self.nonces = nonces or Nonces(random_bytes=Counting())
        self.leniency = Leniency()
        self.guard = Guard(self.nonces, address, self.leniency)
        self.offered = self.guard.challenges(0.0)

    def asked(self, algorithm: str = "MD5") -> dict[str, str]:
        (found,) = [c for c in parse_challenges(self.offered) if c.algorithm == algorithm]
        return {"algorithm": algorithm, **dict(found.parameters)}

    def judged(
        self, value: str, *, request: Request = DESCRIBE, password: Secret | None = SECRET, now: float = 1.0
    ) -> Verdict:
        return self.guard.judge(parse_authorization(value), request, password, now)


@pytest.mark.parametrize("count", [1, None])
@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
def test_the_right_password_is_right_in_every_form(algorithm: str, count: int | None) -> None:
    client = Client()
    value = answer(client.asked(algorithm), "DESCRIBE", count=count)
    if count is None:
        value += f", algorithm={algorithm}"
    assert client.judged(value) is Verdict.RIGHT
    assert client.leniency.met == set()


@pytest.mark.parametrize(
    ("values", "password"),
    [
        # RFC 7616, 3.9.1.
        (
            'username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html", algorithm=MD5, '
            'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", nc=00000001, '
            'cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", qop=auth, '
            'response="8ca523f5e9506fed4657c9700eebdbec", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"',
            "Circle of Life",
        ),
        (
            'username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html", algorithm=SHA-256, '
            'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", nc=00000001, '
            'cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", qop=auth, '
            'response="753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"',
            "Circle of Life",
        ),
        # RFC 2617, 3.5.
        (
            'username="Mufasa", realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", '
            'uri="/dir/index.html", qop=auth, nc=00000001, cnonce="0a4f113b", '
            'response="6629fae49393a05397450978507c4ef1"',
            "Circle Of Life",
        ),
        # RFC 2069, 2.4, with the response of its erratum 749.
        (
            'username="Mufasa", realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", '
            'uri="/dir/index.html", response="1949323746fe6a43ef61f9606e7febea"',
            "CircleOfLife",
        ),
    ],
)
def test_the_vectors_of_the_standards_hold(values: str, password: str) -> None:
    found = parse_authorization(f"Digest {values}")
    assert found.expected("GET", Secret(password)) == found.response
    assert found.expected("GET", Secret("x")) != found.response


def test_another_realm_is_wrong() -> None:
    client = Client()
    assert client.judged(answer({**client.asked(), "realm": "other"}, "DESCRIBE")) is Verdict.WRONG


def test_sha_256_is_offered_first_and_live555_finds_what_it_reads() -> None:
    client = Client()
    assert [c.algorithm for c in parse_challenges(client.offered)] == ["SHA-256", "MD5"]
    assert len({c.get("nonce") for c in parse_challenges(client.offered)}) == 1
    nonce = client.asked()["nonce"]
    assert client.offered[1] == f'Digest realm="Muster", nonce="{nonce}", algorithm=MD5, qop="auth"'
    stale = client.guard.challenges(1.0, stale=True)
    assert all(c.is_stale for c in parse_challenges(stale))
    assert '", stale=true, algorithm=' in stale[0]
    assert choose_challenge(parse_challenges(client.offered), allow_basic=False).algorithm == "SHA-256"


def test_a_client_that_reads_the_first_challenge_and_computes_md5_is_right() -> None:
    client = Client()
    first = {**client.asked("SHA-256"), "algorithm": "MD5"}
    assert client.judged(answer(first, "DESCRIBE", count=None)) is Verdict.RIGHT


@pytest.mark.parametrize("uri", [f"{URL}0", "rtsp://127.0.0.1:8554/", URL])
def test_another_password_or_stream_is_wrong(uri: str) -> None:
    client = Client()
    value = answer(client.asked(), "DESCRIBE", uri, password="x" if uri == URL else PASSWORD)
    assert client.judged(value) is Verdict.WRONG


def test_a_digest_for_another_method_is_wrong() -> None:
    client = Client()
    assert client.judged(answer(client.asked(), "OPTIONS")) is Verdict.WRONG


def test_an_unknown_user_is_wrong_whatever_he_answers() -> None:
    client = Client()
    decoyed = answer(client.asked(), "DESCRIBE", password=client.nonces.decoy.reveal())
    assert client.judged(answer(client.asked(), "DESCRIBE"), password=None) is Verdict.WRONG
    assert client.judged(decoyed, password=None) is Verdict.WRONG


def hashes_in(act: Callable[[], object]) -> int:
    """Return how many hashes `act` finishes, as the interpreter sees it."""
    finished: list[str] = []

    def note(frame: FrameType, event: str, arg: Any) -> None:
        if event == "c_call" and arg.__name__ == "hexdigest":
            finished.append(arg.__name__)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        act()
    finally:
        sys.setprofile(before)
    return len(finished)


def test_an_unknown_user_costs_the_same_hashes() -> None:
    client = Client()
    value = answer(client.asked(), "DESCRIBE", password="x")
    for_known = hashes_in(lambda: client.judged(value))
    for_unknown = hashes_in(lambda: client.judged(value, password=None))
    assert (for_known, for_unknown) == (3, 3)


@pytest.mark.parametrize(("at", "verdict"), [(59.9, Verdict.RIGHT), (60.0, Verdict.STALE)])
def test_a_nonce_lasts_a_minute(at: float, verdict: Verdict) -> None:
    client = Client()
    assert client.judged(answer(client.asked(), "DESCRIBE"), now=at) is verdict


def test_an_old_nonce_with_a_wrong_password_is_wrong_not_stale() -> None:
    client = Client()
    assert client.judged(answer(client.asked(), "DESCRIBE", password="x"), now=99.0) is Verdict.WRONG


def test_an_answer_counts_once() -> None:
    client = Client()
    value = answer(client.asked(), "DESCRIBE", count=2)
    assert client.judged(value) is Verdict.RIGHT
    assert client.judged(value) is Verdict.STALE
    assert client.judged(answer(client.asked(), "DESCRIBE", count=1)) is Verdict.STALE
    assert client.judged(answer(client.asked(), "DESCRIBE", count=3)) is Verdict.RIGHT
    assert client.judged(answer(client.asked(), "DESCRIBE", count=None)) is Verdict.STALE


def test_an_answer_without_a_count_spends_its_nonce() -> None:
    client = Client()
    assert client.judged(answer(client.asked(), "DESCRIBE", count=None)) is Verdict.RIGHT
    assert client.judged(answer(client.asked(), "DESCRIBE", count=None)) is Verdict.STALE
    assert client.judged(answer(client.asked(), "DESCRIBE", count=5)) is Verdict.STALE


def test_a_wrong_answer_spends_nothing() -> None:
    client = Client()
    client.judged(answer(client.asked(), "DESCRIBE", password="x"))
    assert client.judged(answer(client.asked(), "DESCRIBE")) is Verdict.RIGHT


def test_a_nonce_is_good_for_its_address_alone() -> None:
    nonces = Nonces(random_bytes=Counting())
    one, other = Client(nonces=nonces), Client(address="192.0.2.10", nonces=nonces)
    again = Client(nonces=nonces)
    assert other.judged(answer(one.asked(), "DESCRIBE")) is Verdict.STALE
    assert again.judged(answer(one.asked(), "DESCRIBE")) is Verdict.RIGHT


@pytest.mark.parametrize("nonce", ["", "0" * 64, "zz", "F" * 64])
def test_a_nonce_of_the_clients_own_is_never_fresh(nonce: str) -> None:
    client = Client()
    assert client.judged(answer({**client.asked(), "nonce": nonce}, "DESCRIBE")) is Verdict.STALE


def test_a_forgotten_nonce_cannot_be_used_again() -> None:
    nonces = Nonces(random_bytes=Counting())
    first = nonces.issue("a", 1.0)
    assert nonces.spend(first, "a", None, 1.0)
    for number in range(MAX_SPENT):
        assert nonces.spend(nonces.issue("a", 2.0 + number / 1000), "a", None, 10.0)
    assert not nonces.spend(first, "a", None, 10.0)
    assert not nonces.spend(nonces.issue("a", 0.5), "a", None, 10.0)
    assert nonces.spend(nonces.issue("a", 9.0), "a", None, 10.0)


def test_sha_256_without_its_name_is_accepted_by_name() -> None:
    client = Client()
    value = answer(client.asked("SHA-256"), "DESCRIBE", count=None)
    assert client.judged(value) is Verdict.RIGHT
    assert client.leniency.met == {Quirk.DIGEST_ALGORITHM_UNNAMED}


TRACK = f"{URL}/trackID=0"
FORMS = [
    (URL, "rtsp://viewer:correct%20horse@gateway.example/gb/32029900001320000001", Quirk.DIGEST_URI_FORM),
    (URL, f"{URL}/", Quirk.DIGEST_URI_FORM),
    (URL, "/gb/32029900001320000001", Quirk.DIGEST_URI_FORM),
    (TRACK, "rtsp://gateway/gb/32029900001320000001/trackID=0", Quirk.DIGEST_URI_FORM),
    (TRACK, f"{URL}/", Quirk.DIGEST_URI_AGGREGATE),
    (f"{URL}?a=1/trackID=0", f"{URL}/trackID=0?a=1", Quirk.DIGEST_URI_FORM),
]


@pytest.mark.parametrize(("asked", "hashed", "quirk"), FORMS)
def test_the_same_stream_in_another_form_is_accepted_by_name(asked: str, hashed: str, quirk: Quirk) -> None:
    client = Client()
    value = answer(client.asked(), "SETUP", hashed)
    assert client.judged(value, request=Request("SETUP", asked)) is Verdict.RIGHT
    assert client.leniency.met == {quirk}
    strict = Guard(client.nonces, "192.0.2.9", Leniency(EVERY_QUIRK - {quirk}))
    with pytest.raises(RemoteProtocolError, match=str(quirk)):
        strict.judge(parse_authorization(value), Request("SETUP", asked), SECRET, 1.0)


@pytest.mark.parametrize(
    ("asked", "hashed"),
    [
        (URL, TRACK),
        (f"{URL}/trackID=1", TRACK),
        (f"{URL}?a=1", URL),
        (URL, "nonsense"),
        (URL, "*"),
        (URL, ""),
    ],
)
def test_another_stream_or_track_is_wrong(asked: str, hashed: str) -> None:
    client = Client()
    assert (
        client.judged(answer(client.asked(), "SETUP", hashed), request=Request("SETUP", asked))
        is Verdict.WRONG
    )


def test_a_user_name_that_is_not_ascii_is_read_and_hashed_as_it_came() -> None:
    wire = "值班员".encode().decode("latin-1")
    client = Client()
    value = answer(client.asked(), "DESCRIBE", username=wire, password="口令".encode().decode("latin-1"))
    assert parse_authorization(value).user == "值班员"
    assert client.judged(value, password=Secret("口令")) is Verdict.RIGHT
    assert Authorization("\xe4", "r", "n", "u", "x").user == "\xe4"


GOOD = 'Digest username="u", realm="r", nonce="n", uri="*", response="x"'


@pytest.mark.parametrize(
    "value",
    [
        "Digest",
        'Digest username="u"',
        f"{GOOD}, algorithm=SHA-512-256",
        f"{GOOD}, algorithm=MD5-sess",
        f"{GOOD}, qop=auth-int, nc=00000001, cnonce=x",
        f"{GOOD}, qop=auth",
        f"{GOOD}, qop=auth, nc=1, cnonce=x",
        f"{GOOD}, qop=auth, nc=+0000001, cnonce=x",
        f'{GOOD}, username="v"',
        f"{GOOD}, Digest realm=x",
        'Digest username="u',
        f'{GOOD}, x="{"y" * 9000}"',
    ],
)
def test_a_malformed_authorization_is_a_protocol_error_that_quotes_nothing(value: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        parse_authorization(value)
    assert caught.value.received == b""


@pytest.mark.parametrize("value", ["", "Basic dmlld2VyOng=", "Bearer x", "Digestive x"])
def test_other_schemes_are_too_weak(value: str) -> None:
    with pytest.raises(WeakAuthentication):
        parse_authorization(value)


@given(st.text(st.characters(max_codepoint=0xFF), max_size=200), st.booleans())
def test_any_header_parses_or_raises_a_documented_error(text: str, is_digest: bool) -> None:
    try:
        found = parse_authorization(f"{GOOD}, {text}" if is_digest else text)
    except (RemoteProtocolError, WeakAuthentication):
        return
    assert Client().guard.judge(found, DESCRIBE, SECRET, 1.0) is Verdict.WRONG


def test_no_digest_shows_in_a_repr() -> None:
    assert "beef" not in repr(Authorization("u", "r", "n", "u", "beef"))
