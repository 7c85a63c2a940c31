"""Ask clients for a Digest and judge what they answer (RFC 7616, RFC 2617, RFC 2069), sans-IO.

Basic is neither offered nor accepted: it is the password in the clear, and the door stands outside TLS.
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
from adapters.rtsp.message import Request
from adapters.rtsp.quirks import Leniency, Quirk
from adapters.rtsp.resource import Resource
from catalog.model.secret import Secret

REALM: Final = "Muster"
ALGORITHMS: Final = ("SHA-256", "MD5")
"""As offered, in this order. FFmpeg, GStreamer and live555 know MD5 alone and take the last that they
read; who knows both is to choose the first (RFC 7616, 3.7). Both carry one nonce, so that a client
which reads the first and computes MD5 nevertheless is right, too."""
NONCE_LIFETIME: Final = 60.0
"""Seconds."""
MAX_SPENT: Final = 4096
"""Nonces whose use is remembered."""
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
        random_bytes: source of the key and of the nonces, e.g. `secrets.token_bytes`.
    """

    def __init__(
        self,
        *,
        lifetime: float = NONCE_LIFETIME,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._lifetime = lifetime
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
        if issued is None or not 0 <= now - issued < self._lifetime or issued <= self._stale_up_to:
            return False
        _, highest = self._spent.get(nonce, (issued, 0))
        if (count is None and highest > 0) or (count is not None and count <= highest):
            return False
        self._spent[nonce] = (issued, MAX_COUNT if count is None else count)
        if len(self._spent) > MAX_SPENT:
            _, (forgotten, _) = self._spent.popitem(last=False)
            self._stale_up_to = max(self._stale_up_to, forgotten)
        return True

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


class Guard:
    """Challenge one client and judge its answers.

    Args:
        nonces: of this process.
        address: the client's, without its port.
        leniency: which forms of the uri are accepted, and which have been met.
    """

    def __init__(self, nonces: Nonces, address: str, leniency: Leniency) -> None:
        self._nonces = nonces
        self._address = address
        self._leniency = leniency

    def challenges(self, now: float, *, stale: bool = False) -> tuple[str, ...]:
        """Return WWW-Authenticate values, the strongest first.

        Realm, nonce and stale stand first, in this order: live555 reads them nowhere else.
        """
        nonce = self._nonces.issue(self._address, now)
        start = f'Digest realm="{REALM}", nonce="{nonce}"{", stale=true" if stale else ""}'
        return tuple(f'{start}, algorithm={algorithm}, qop="auth"' for algorithm in ALGORITHMS)

    def judge(
        self, authorization: Authorization, request: Request, password: Secret | None, now: float
    ) -> Verdict:
        """Return what `authorization`, which came with `request`, proves.

        An unknown user costs the same work as a known one with a wrong password.

        Args:
            authorization: of the request.
            request: its method and URI were hashed.
            password: of the user that it names; None where there is no such user.
            now: monotonic seconds.

        Raises:
            RemoteProtocolError: right, but deviating in a way that is not accepted here.
        """
        expected = authorization.expected(request.method, password or self._nonces.decoy)
        response = authorization.response.lower().encode("latin-1", "replace")
        is_right = hmac.compare_digest(expected.encode(), response) and authorization.realm == REALM
        if password is None or not is_right or not self._is_for(authorization.uri, request.uri):
            return Verdict.WRONG
        if authorization.is_algorithm_guessed:
            self._leniency.meet(Quirk.DIGEST_ALGORITHM_UNNAMED)
        count = None if authorization.count is None else int(authorization.count, 16)
        if not self._nonces.spend(authorization.nonce, self._address, count, now):
            return Verdict.STALE
        return Verdict.RIGHT

    def _is_for(self, claimed: str, uri: str) -> bool:
        """Return whether the uri that was hashed is the request's, or names the same stream."""
        if claimed == uri:
            return True
        try:
            one, other = Resource.parse(claimed), Resource.parse(uri)
        except RemoteProtocolError:
            return False
        if one.path != other.path or one.control not in (None, other.control):
            return False
        is_aggregate = one.control != other.control
        self._leniency.meet(Quirk.DIGEST_URI_AGGREGATE if is_aggregate else Quirk.DIGEST_URI_FORM)
        return True
