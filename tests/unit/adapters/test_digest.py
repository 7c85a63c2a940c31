import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.base import Credential
from adapters.digest import Authenticator, Challenge, choose_challenge, parse_challenges
from adapters.errors import RemoteProtocolError, WeakAuthentication
from catalog.model.secret import Secret

MUFASA = Credential("Mufasa", Secret("Circle of Life"))
RFC_7616 = (
    'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={algorithm}, '
    'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
)


class FixedNonce(Authenticator):
    """Answer with the client nonce of the standard's example, whose form is not our own."""

    cnonce = ""

    def _cnonce(self) -> str:
        return self.cnonce


def response_of(value: str) -> str:
    (challenge,) = parse_challenges([value])
    found = challenge.get("response")
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_vectors_of_rfc_7616_hold(algorithm: str, response: str) -> None:
    """RFC 7616, 3.9.1."""
    (challenge,) = parse_challenges([RFC_7616.format(algorithm=algorithm)])
    authenticator = FixedNonce(challenge, MUFASA, bytes)
    authenticator.cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
    assert response_of(authenticator.authorization("GET", "/dir/index.html")) == response


def test_the_vector_of_rfc_2617_holds() -> None:
    """RFC 2617, 3.5."""
    (challenge,) = parse_challenges(
        ['Digest realm="testrealm@host.com", qop="auth,auth-int", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093"']
    )
    authenticator = FixedNonce(challenge, Credential("Mufasa", Secret("Circle Of Life")), bytes)
    authenticator.cnonce = "0a4f113b"
    value = authenticator.authorization("GET", "/dir/index.html")
    assert response_of(value) == "6629fae49393a05397450978507c4ef1"
    assert "nc=00000001" in value
    assert "nc=00000002" in authenticator.authorization("GET", "/dir/index.html")


def test_without_qop_the_form_of_rfc_2069_is_answered() -> None:
    """RFC 2069, 2.4, with the response of its erratum 749."""
    (challenge,) = parse_challenges(
        ['Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093"']
    )
    value = Authenticator(challenge, Credential("Mufasa", Secret("CircleOfLife")), bytes).authorization(
        "GET", "/dir/index.html"
    )
    assert response_of(value) == "1949323746fe6a43ef61f9606e7febea"
    assert "cnonce" not in value
    assert "qop" not in value


def test_session_algorithms_keep_their_client_nonce() -> None:
    (challenge,) = parse_challenges(['Digest realm="r", nonce="n", qop="auth", algorithm=SHA-256-sess'])
    counter = iter(range(9))
    authenticator = Authenticator(challenge, MUFASA, lambda size: bytes([next(counter)] * size))
    first, second = (authenticator.authorization("PLAY", "rtsp://c/") for _ in range(2))
    assert 'cnonce="0000000000000000"' in first
    assert 'cnonce="0000000000000000"' in second
    assert "nc=00000002" in second


def test_several_challenges_in_several_headers_are_told_apart() -> None:
    found = parse_challenges(
        [
            'Basic realm="a, b", Digest realm="c\\"d", nonce="n,=", stale=TRUE ,qop="auth,auth-int"',
            "Negotiate",
            ", Digest realm=e, nonce=f,algorithm=SHA-256,",
        ]
    )
    assert [challenge.scheme for challenge in found] == ["basic", "digest", "negotiate", "digest"]
    assert found[0].get("realm") == "a, b"
    assert (found[1].get("realm"), found[1].get("nonce"), found[1].is_stale) == ('c"d', "n,=", True)
    assert found[1].qops == {"auth", "auth-int"}
    assert found[3].algorithm == "SHA-256"


BASIC = 'Basic realm="r"'
MD5 = 'Digest realm="r", nonce="n"'
SHA = 'Digest realm="r", nonce="n", algorithm=SHA-256, qop="auth"'
SHA_SESS = 'Digest realm="r", nonce="n", algorithm=SHA-256-sess, qop="auth"'
UNKNOWN = 'Digest realm="r", nonce="n", algorithm=SHA-512-256'


@pytest.mark.parametrize(
    ("offered", "algorithm"),
    [
        ([BASIC, MD5, SHA], "SHA-256"),
        ([MD5, SHA_SESS], "SHA-256-SESS"),
        ([UNKNOWN, MD5], "MD5"),
        ([BASIC, MD5], "MD5"),
        (['Digest realm="r", nonce="n", algorithm=SHA-256, qop="auth-int"', MD5], "MD5"),
        (['Digest realm="r", algorithm=SHA-256', MD5], "MD5"),
    ],
)
def test_the_strongest_challenge_is_chosen(offered: list[str], algorithm: str) -> None:
    assert choose_challenge(parse_challenges(offered), allow_basic=True).algorithm == algorithm


def test_basic_is_answered_only_where_allowed() -> None:
    challenges = parse_challenges([BASIC])
    chosen = choose_challenge(challenges, allow_basic=True)
    value = Authenticator(chosen, Credential("u", Secret("p\u00e4ss")), bytes).authorization("PLAY", "*")
    assert value == "Basic dTpww6Rzcw=="
    with pytest.raises(WeakAuthentication):
        choose_challenge(challenges, allow_basic=False)


@pytest.mark.parametrize("offered", [[], [UNKNOWN], ["Negotiate"], ['Digest realm="r"']])
def test_no_usable_challenge_is_the_peers_fault(offered: list[str]) -> None:
    with pytest.raises(RemoteProtocolError):
        choose_challenge(parse_challenges(offered), allow_basic=True)


@pytest.mark.parametrize("value", ['Digest realm="r', "=x", 'Digest realm="r" nonce="n"', "x" * 9000])
def test_malformed_challenges_are_refused(value: str) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_challenges([value])


@given(st.lists(st.text(st.characters(max_codepoint=0xFF), max_size=80), max_size=3))
def test_any_header_parses_or_raises_a_documented_error(values: list[str]) -> None:
    try:
        choose_challenge(parse_challenges(values), allow_basic=True)
    except RemoteProtocolError:
        return


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=40))
def test_a_quoted_value_survives(text: str) -> None:
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    assert parse_challenges([f'Digest realm="{quoted}"']) == (Challenge("digest", (("realm", text),)),)


def test_a_realm_that_is_not_ascii_is_hashed_as_it_came() -> None:
    wire = "\u76d1\u63a7".encode().decode("latin-1")
    challenges = [Challenge("digest", (("realm", r), ("nonce", "n"))) for r in (wire, "x")]
    values = [Authenticator(c, MUFASA, bytes).authorization("PLAY", "*") for c in challenges]
    assert f'realm="{wire}"' in values[0]
    assert response_of(values[0]) != response_of(values[1])
