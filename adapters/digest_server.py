"""The server's side of Digest (RFC 7616, RFC 2617, RFC 2069), whatever protocol carries it: nonces, answers. Sans-IO.

Basic is neither offered nor accepted: it is the password in the clear, and the doors stand outside TLS.
"""

import hashlib
import hmac
import re
import secrets
import struct
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from adapters.digest import hash_of, parse_challenges, wire_text
from adapters.errors import RemoteProtocolError, WeakAuthentication
from catalog.model.secret import Secret

ALGORITHMS: Final = ("SHA-256", "MD5")
"""As offered, in this order. FFmpeg, GStreamer and live555 know MD5 alone and take the last that they
read; who knows both is to choose the first (RFC 7616, 3.7). Both carry one nonce, so that a client
which reads the first and computes MD5 nevertheless is right, too."""
NONCE_LIFETIME: Final = 60.0
"""Seconds."""
MAX_SPENT: Final = 4096
"""Nonces whose use is remembered, unless told otherwise."""
MAX_COUNT: Final = 0xFFFFFFFF

_TIME: Final = struct.Struct(">Q")
_RANDOM: Final = 8
_SEAL: Final = 16
_NONCE: Final = re.compile(rf"[0-9a-f]{{{2 * (_TIME.size + _RANDOM + _SEAL)}}}")
_SHA_256_LENGTH: Final = 64
_NC: Final = re.compile(r"[0-9A-Fa-f]{8}")


class Nonces:
    """Issue nonces and spend them; shared by all connections of one process.

    A nonce holds its time and a seal over that and the client's address, so nothing is stored until
    one is used. Then its highest `nc` is kept: an answer counts once, and one without `nc` (RFC 2069)
    spends its nonce. When the memory is full, whatever was issued before the forgotten one is stale.

    Args:
        lifetime: seconds.
        max_spent: nonces whose use is remembered.
        random_bytes: source of the key and of the nonces, e.g. `secrets.token_bytes`.
    """

    def __init__(
        self,
        *,
        lifetime: float = NONCE_LIFETIME,
        max_spent: int = MAX_SPENT,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._lifetime = lifetime
        self._max_spent = max_spent
        self._random_bytes = random_bytes
        self._key = random_bytes(32)
        self._spent: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self._stale_up_to = -1.0
        self.decoy: Final = Secret(random_bytes(16).hex())
        "What is hashed in place of the password of a user that nobody knows."

    def issue(self, address: str, now: float) -> str:
        """Return a fresh nonce for the client at `address`, lower-case hex."""
        head = _TIME.pack(int(now * 1e6)) + self._random_bytes(_RANDOM)
        return (head + self._seal(head, address)).hex()

    def spend(self, nonce: str, address: str, count: int | None, now: float) -> bool:
        """Return whether `nonce` is ours, of this address, fresh, and unused with this or a higher `count`.

        Args:
            nonce: as the client sent it.
            address: the client's, without its port: players reconnect.
            count: the `nc` of the answer, or None where it has none.
            now: monotonic seconds.
        """
        issued = self._issued_at(nonce, address)
        if issued is None or not self.is_fresh(nonce, address, now):
            return False
        _, highest = self._spent.get(nonce, (issued, 0))
        if (count is None and highest > 0) or (count is not None and count <= highest):
            return False
        self._spent[nonce] = (issued, MAX_COUNT if count is None else count)
        if len(self._spent) > self._max_spent:
            _, (forgotten, _) = self._spent.popitem(last=False)
            self._stale_up_to = max(self._stale_up_to, forgotten)
        return True

    def is_fresh(self, nonce: str, address: str, now: float) -> bool:
        """Return whether `nonce` is ours, of this address, and not too old; it may have been used."""
        issued = self._issued_at(nonce, address)
        return issued is not None and 0 <= now - issued < self._lifetime and issued > self._stale_up_to

    def _issued_at(self, nonce: str, address: str) -> float | None:
        if _NONCE.fullmatch(nonce) is None:
            return None
        raw = bytes.fromhex(nonce)
        head, seal = raw[:-_SEAL], raw[-_SEAL:]
        if not hmac.compare_digest(seal, self._seal(head, address)):
            return None
        (microseconds,) = _TIME.unpack_from(head)
        return float(microseconds) / 1e6

    def _seal(self, head: bytes, address: str) -> bytes:
        return hmac.digest(self._key, head + address.encode(), hashlib.sha256)[:_SEAL]


@dataclass(frozen=True)
class Authorization:
    """A client's answer to a challenge of ours."""

    username: str
    "As on the wire: one character an octet."
    realm: str
    nonce: str
    uri: str
    response: str = field(repr=False)
    algorithm: str = "MD5"
    "One of `ALGORITHMS`: as named, else as the length of the response tells."
    count: str | None = None
    "The `nc` as sent; None in the form of RFC 2069, which GStreamer and live555 use whatever qop is offered."
    cnonce: str = ""
    is_algorithm_guessed: bool = False
    "It is not the MD5 that a missing name stands for."

    @property
    def user(self) -> str:
        """Return the user name as text: UTF-8 where its octets are, else one character an octet."""
        try:
            return self.username.encode("latin-1").decode()
        except UnicodeError:
            return self.username

    def expected(self, method: str, password: Secret) -> str:
        """Return the response that `password` leads to."""
        hashed = hash_of(self.algorithm)
        a1 = hashed(f"{self.username}:{self.realm}:{wire_text(password.reveal())}")
        middle = self.nonce if self.count is None else f"{self.nonce}:{self.count}:{self.cnonce}:auth"
        return hashed(f"{a1}:{middle}:{hashed(f'{method}:{self.uri}')}")

    def proves(self, method: str, password: Secret, realm: str) -> bool:
        """Return whether it was made with `password` for `realm`; takes as long whether or not it was."""
        response = self.response.lower().encode("latin-1", "replace")
        return hmac.compare_digest(self.expected(method, password).encode(), response) and self.realm == realm


def parse_authorization(value: str, *, peer: str = "") -> Authorization:
    """Return what an Authorization header holds.

    Errors quote nothing of it: a digest can be attacked at leisure.

    Raises:
        WeakAuthentication: the scheme is not Digest.
        RemoteProtocolError: malformed, or an algorithm or qop that was not offered.
    """
    scheme = value.split(maxsplit=1)[:1]
    if not scheme or scheme[0].lower() != "digest":
        raise WeakAuthentication("the client answers with another scheme than Digest", peer=peer)
    try:
        answers = parse_challenges([value])
    except RemoteProtocolError:
        answers = ()
    if len(answers) != 1 or len({name for name, _ in answers[0].parameters}) < len(answers[0].parameters):
        raise RemoteProtocolError("malformed Authorization", peer=peer)
    found = dict(answers[0].parameters)
    by_length = "SHA-256" if len(found.get("response", "")) == _SHA_256_LENGTH else "MD5"
    algorithm, qop = found.get("algorithm", by_length).upper(), found.get("qop")
    names = ["username", "realm", "nonce", "uri", "response", *(["nc", "cnonce"] if qop is not None else [])]
    missing = [name for name in names if name not in found]
    if missing:
        raise RemoteProtocolError(f"Authorization without {', '.join(missing)}", peer=peer)
    if algorithm not in ALGORITHMS or (qop is not None and qop.lower() != "auth"):
        raise RemoteProtocolError("Authorization with an algorithm or qop that was not offered", peer=peer)
    if qop is not None and _NC.fullmatch(found["nc"]) is None:
        raise RemoteProtocolError("Authorization whose nc is no count", peer=peer)
    return Authorization(
        found["username"],
        found["realm"],
        found["nonce"],
        found["uri"],
        found["response"],
        algorithm,
        found["nc"] if qop is not None else None,
        found["cnonce"] if qop is not None else "",
        "algorithm" not in found and algorithm != "MD5",
    )


class Verdict(StrEnum):
    """What an Authorization proves."""

    RIGHT = "right"
    STALE = "stale"
    "The password is right; the nonce is too old, used, or of another process of ours."
    WRONG = "wrong"
