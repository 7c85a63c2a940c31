"""Signed documents: canonical JSON under Ed25519 (RFC 8032), verifiable on a machine that has only the document.

What is signed are the bytes of the `document` member with sorted keys, no white space and UTF-8 (as RFC 8785 for the
strings, whole numbers, booleans and nulls that a document may hold; a number with a fraction has no single form and is
refused). A signature proves that the holder of the key wrote it. Whose key that is, the document cannot prove: a
reader compares the key with one that came another way.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from catalog.errors import KeyUnusable
from catalog.key_file import KEY_BYTES, read_key

ALGORITHM: Final = "Ed25519"
LARGEST: Final = 256 * 1024 * 1024
"""Bytes of a signed document that are read."""

READABLE: Final = 1024 * 1024
"""Bytes of a document that people read as it is; a larger one is written without white space."""

Document = Mapping[str, object]


class SignatureInvalid(ValueError):
    """Raised when a document is no signed one, was changed after signing, or is of another key."""


@dataclass(frozen=True, slots=True)
class Verified:
    """A document whose signature holds."""

    document: Document
    public_key: str
    """Base64 of the 32 bytes that the signature belongs to."""

    @property
    def fingerprint(self) -> str:
        """Return the key's fingerprint, to be read out and compared."""
        return fingerprint(self.public_key)


class SigningKey:
    """The key of the installation that signs what it publishes."""

    def __init__(self, key: bytes) -> None:
        """Take the key itself; `open` is the usual way.

        Raises:
            KeyUnusable: it is not 32 bytes.
        """
        if len(key) != KEY_BYTES:
            raise KeyUnusable(f"the signing key has {len(key)} bytes, {KEY_BYTES} are needed")
        self._key = Ed25519PrivateKey.from_private_bytes(key)
        self.public_key: Final = base64.b64encode(self._key.public_key().public_bytes_raw()).decode("ascii")

    def __repr__(self) -> str:
        return f"SigningKey({fingerprint(self.public_key)})"

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read the key file, made at first use: losing it loses no document, but the next ones have another key.

        Raises:
            KeyUnusable: of another size, or open to other users.
        """
        return cls(read_key(path, what="signing key", create=True))

    def sign(self, document: Document) -> bytes:
        """Return the document with its signature, as UTF-8 JSON for people and machines.

        Raises:
            ValueError: it holds what has no canonical form.
        """
        signed = canonical(document)
        value = base64.b64encode(self._key.sign(signed)).decode("ascii")
        signature = {"algorithm": ALGORITHM, "public_key": self.public_key, "value": value}
        if len(signed) > READABLE:
            return b'{"document":%b,"signature":%b}\n' % (signed, json.dumps(signature).encode())
        envelope = {"document": document, "signature": signature}
        return json.dumps(envelope, ensure_ascii=False, indent=1).encode() + b"\n"


def fingerprint(public_key: str) -> str:
    """Return the first 16 bytes of the SHA-256 of a public key, in groups."""
    digest = hashlib.sha256(public_key.encode("ascii")).hexdigest()[:32]
    return ":".join(digest[start : start + 4] for start in range(0, len(digest), 4))


def canonical(document: Document) -> bytes:
    """Return the bytes that are signed.

    Raises:
        ValueError: a number with a fraction, or something that JSON does not know.
    """
    if _has_fraction(document):
        raise ValueError("a number with a fraction has no canonical form")
    try:
        return json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    except (TypeError, UnicodeEncodeError) as error:
        raise ValueError(f"the document has no canonical form: {error}") from None


def verify(signed: bytes, expected_key: str | None = None) -> Verified:
    """Check a signed document.

    Args:
        signed: as `SigningKey.sign` gave it; white space and the order of keys do not matter.
        expected_key: the public key it must be of, base64; None: any, and a person compares it.

    Raises:
        SignatureInvalid: not signed, changed after signing, or of another key; it says which.
    """
    if len(signed) > LARGEST:
        raise SignatureInvalid(f"larger than {LARGEST // 1024 // 1024} MB")
    try:
        envelope = json.loads(signed, object_pairs_hook=_without_repeats, parse_constant=_refuse_constant)
        document, signature = envelope["document"], envelope["signature"]
        algorithm, public_key, value = (signature[name] for name in ("algorithm", "public_key", "value"))
        key_bytes, value_bytes = _decoded(public_key), _decoded(value)
        checked = canonical(document)
        key = Ed25519PublicKey.from_public_bytes(key_bytes)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise SignatureInvalid(f"not a signed document: {str(error) or type(error).__name__}") from None
    if algorithm != ALGORITHM:
        raise SignatureInvalid(f"signed with {str(algorithm)[:40]!r}, {ALGORITHM} is expected")
    if expected_key is not None and expected_key.strip() != public_key:
        raise SignatureInvalid(
            f"signed with another key: {fingerprint(public_key)}, not {fingerprint(expected_key.strip())}"
        )
    try:
        key.verify(value_bytes, checked)
    except InvalidSignature:
        raise SignatureInvalid("the signature does not fit: the document was changed after signing") from None
    return Verified(document, public_key)


def _decoded(text: object) -> bytes:
    if not isinstance(text, str):
        raise TypeError("key and signature are text")
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError("key or signature is no base64") from None


def _without_repeats(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    # Two readers of a repeated key could see two different documents under one signature.
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _has_fraction(value: object) -> bool:
    if isinstance(value, Mapping):
        return any(_has_fraction(item) for item in value.values())
    if isinstance(value, list | tuple):
        return any(_has_fraction(item) for item in value)
    return isinstance(value, float)
