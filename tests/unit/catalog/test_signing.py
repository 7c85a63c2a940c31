"""Signed documents: what holds, what does not, and what is no document."""

import base64
import json
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from catalog.errors import KeyUnusable
from catalog.signing import READABLE, SignatureInvalid, SigningKey, canonical, fingerprint, verify

# RFC 8032, 7.1, test 1: a key pair that nobody here made.
RFC_SECRET = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
RFC_PUBLIC = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="

KEY = SigningKey(RFC_SECRET)
DOCUMENT = {
    "edition": {"number": "990100-2026-001"},
    "entries": [{"holder": "单位甲", "count": 3, "site": None}],
}
SIGNED = KEY.sign(DOCUMENT)

TEXT = st.text(st.characters(codec="utf-8"))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=10,
)
DOCUMENTS = st.dictionaries(TEXT, VALUES, max_size=4)


def test_the_public_key_is_that_of_the_standards_vector() -> None:
    assert KEY.public_key == RFC_PUBLIC
    assert fingerprint(RFC_PUBLIC) in repr(KEY)
    assert "9d61" not in repr(KEY)


def test_canonical_bytes_have_one_form() -> None:
    assert canonical({"b": [1, None, True], "a": "目录"}) == '{"a":"目录","b":[1,null,true]}'.encode()


@given(DOCUMENTS)
def test_whatever_was_signed_is_read_back_and_holds(document: dict[str, object]) -> None:
    found = verify(KEY.sign(document), RFC_PUBLIC)
    assert found.document == document
    assert found.fingerprint == fingerprint(RFC_PUBLIC)


def test_order_and_white_space_do_not_matter_and_anybody_can_check_without_this_code() -> None:
    envelope = json.loads(SIGNED)
    turned = json.dumps(dict(reversed(envelope.items())), indent=4).encode()
    assert verify(turned).document == DOCUMENT
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(envelope["signature"]["public_key"]))
    plain = json.dumps(envelope["document"], sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    public.verify(base64.b64decode(envelope["signature"]["value"]), plain.encode())


Change = Callable[[dict[str, dict[str, object]]], object]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda envelope: envelope["document"].update(extra=1), "changed after signing"),
        (lambda envelope: envelope["document"].pop("entries"), "changed after signing"),
        (lambda envelope: envelope["signature"].update(value="AAAA"), "changed after signing"),
        (lambda envelope: envelope["signature"].update(value="?"), "no base64"),
        (lambda envelope: envelope["signature"].update(value=7), "are text"),
        (lambda envelope: envelope["signature"].update(public_key="AAAA"), "not a signed document"),
        (lambda envelope: envelope["signature"].update(algorithm="none"), "Ed25519 is expected"),
        (lambda envelope: envelope["signature"].pop("value"), "value"),
        (lambda envelope: envelope.pop("signature"), "signature"),
        (lambda envelope: envelope["document"].update(rate=0.5), "no canonical form"),
    ],
)
def test_what_does_not_hold_says_why(change: Change, message: str) -> None:
    envelope = json.loads(SIGNED)
    change(envelope)
    with pytest.raises(SignatureInvalid, match=message):
        verify(json.dumps(envelope).encode())


@pytest.mark.parametrize(
    "signed",
    [
        b"",
        b"[]",
        b"7",
        b"\xff\xfe\x00",
        b'{"document": NaN}',
        b'{"a": 1, "a": 2}',
        b"[" * 100_000,
        b"not json",
    ],
)
def test_what_is_no_signed_document_is_refused(signed: bytes) -> None:
    with pytest.raises(SignatureInvalid, match="not a signed document"):
        verify(signed)


def test_a_document_of_another_key_is_refused_with_both_fingerprints() -> None:
    other = SigningKey(bytes(32))
    with pytest.raises(SignatureInvalid) as raised:
        verify(other.sign(DOCUMENT), RFC_PUBLIC)
    assert fingerprint(other.public_key) in str(raised.value)
    assert fingerprint(RFC_PUBLIC) in str(raised.value)


def test_a_document_without_a_single_form_is_not_signed() -> None:
    with pytest.raises(ValueError, match="fraction"):
        KEY.sign({"rates": [{"online": 0.95}]})
    with pytest.raises(ValueError, match="canonical"):
        KEY.sign({"when": object()})


def test_a_key_of_another_size_is_refused() -> None:
    with pytest.raises(KeyUnusable, match="32 are needed"):
        SigningKey(b"short")


def test_a_large_document_is_written_without_white_space_and_verified_like_any_other() -> None:
    document = {"rows": [[number, "示例"] for number in range(READABLE // 10)]}
    signed = KEY.sign(document)

    assert verify(signed).document == document
    assert b"\n" not in signed.rstrip()
    with pytest.raises(SignatureInvalid, match="changed after signing"):
        verify(signed.replace(b'[7,"', b'[8,"', 1))
