"""Answer authentication challenges of HTTP and RTSP: Digest (RFC 7616, RFC 2617, RFC 2069) and Basic, sans-IO."""

import base64
import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from adapters.base import Credential
from adapters.errors import RemoteProtocolError, WeakAuthentication

MAX_CHALLENGE: Final = 8 * 1024
"""Longest WWW-Authenticate value, characters."""

_NAME: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_SCHEME: Final = re.compile(rf"\s*({_NAME})(?=[ \t]|,|$)(?!\s*=)[ \t]*")
_PARAMETER: Final = re.compile(rf'\s*({_NAME})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*))\s*')
_COMMAS: Final = re.compile(r"[\s,]*")

# Strongest first; `-sess` binds the hash to this client's nonce and changes nothing in strength.
_HASHES: Final = {"SHA-256": hashlib.sha256, "MD5": hashlib.md5}
_STRENGTH: Final = ("SHA-256", "SHA-256-SESS", "MD5", "MD5-SESS")


@dataclass(frozen=True)
class Challenge:
    """One challenge of a WWW-Authenticate header."""

    scheme: str
    "In lower case: `digest`, `basic`, ..."
    parameters: tuple[tuple[str, str], ...]
    "Names in lower case, values unquoted."

    def get(self, name: str) -> str | None:
        """Return the parameter `name` (lower case), or None."""
        return next((value for key, value in self.parameters if key == name), None)

    @property
    def algorithm(self) -> str:
        """Return the Digest algorithm in upper case; RFC 7616, 3.3: MD5 when absent."""
        return (self.get("algorithm") or "MD5").upper()

    @property
    def is_stale(self) -> bool:
        """Return whether only the nonce was refused, not the credential."""
        return (self.get("stale") or "").lower() == "true"

    @property
    def qops(self) -> frozenset[str]:
        """Return the offered qualities of protection; empty means the form of RFC 2069."""
        return frozenset(word.strip().lower() for word in (self.get("qop") or "").split(",") if word.strip())


def parse_challenges(values: Sequence[str], *, peer: str = "") -> tuple[Challenge, ...]:
    """Return the challenges of all WWW-Authenticate headers, in order.

    One header may hold several challenges, and commas stand both between them and between their
    parameters, also inside quotes (RFC 7235, 4.1).

    Raises:
        RemoteProtocolError: a value is malformed or longer than `MAX_CHALLENGE`.
    """
    found: list[Challenge] = []
    for value in values:
        if len(value) > MAX_CHALLENGE:
            raise _malformed(value, peer)
        found.extend(_parse_value(value, peer))
    return tuple(found)


def _parse_value(value: str, peer: str) -> list[Challenge]:
    found: list[Challenge] = []
    at = _skip_commas(value, 0)
    while at < len(value):
        scheme = _SCHEME.match(value, at)
        if scheme is None:
            raise _malformed(value, peer)
        parameters: list[tuple[str, str]] = []
        at = scheme.end()
        while (parameter := _PARAMETER.match(value, at)) is not None:
            quoted, plain = parameter[2], parameter[3]
            text = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else plain
            parameters.append((parameter[1].lower(), text))
            at = parameter.end()
            if at < len(value) and value[at] != ",":
                raise _malformed(value, peer)
            at = _skip_commas(value, at)
        at = _skip_commas(value, at)
        found.append(Challenge(scheme[1].lower(), tuple(parameters)))
    return found


def _skip_commas(value: str, at: int) -> int:
    commas = _COMMAS.match(value, at)
    return commas.end() if commas is not None else at


def _malformed(value: str, peer: str) -> RemoteProtocolError:
    return RemoteProtocolError(
        "malformed WWW-Authenticate", peer=peer, received=value.encode("latin-1", "replace")
    )


def _strength(challenge: Challenge) -> int:
    """Rank a challenge: lower is stronger, -1 is one that we cannot answer."""
    if challenge.scheme == "basic":
        return len(_STRENGTH)
    if challenge.scheme != "digest" or challenge.algorithm not in _STRENGTH:
        return -1
    if challenge.get("realm") is None or challenge.get("nonce") is None:
        return -1
    if challenge.qops and "auth" not in challenge.qops:
        return -1
    if not challenge.qops and challenge.algorithm.endswith("-SESS"):
        return -1  # A1 of the -sess forms needs a cnonce, which RFC 2069 has not.
    return _STRENGTH.index(challenge.algorithm)


def choose_challenge(challenges: Sequence[Challenge], *, allow_basic: bool, peer: str = "") -> Challenge:
    """Return the strongest challenge that we answer: SHA-256 before MD5 before Basic.

    Raises:
        WeakAuthentication: only Basic is left and `allow_basic` is false.
        RemoteProtocolError: nothing that we can answer is offered.
    """
    usable = sorted((c for c in challenges if _strength(c) >= 0), key=_strength)
    if not usable:
        offered = ", ".join(f"{c.scheme} {c.get('algorithm') or ''}".strip() for c in challenges) or "nothing"
        raise RemoteProtocolError(f"no authentication that we know; offered: {offered[:200]}", peer=peer)
    if usable[0].scheme == "basic" and not allow_basic:
        raise WeakAuthentication("only Basic is offered and it is not allowed here", peer=peer)
    return usable[0]


@dataclass
class Authenticator:
    """Answer one challenge for as many requests as it lasts.

    Args:
        challenge: what `choose_challenge` returned.
        credential: the credential of exactly this device.
        random_bytes: source of the client nonce, e.g. `secrets.token_bytes`.
    """

    challenge: Challenge
    credential: Credential
    random_bytes: Callable[[int], bytes]
    _count: int = field(default=0, init=False)
    _session_cnonce: str = field(default="", init=False)

    def authorization(self, method: str, uri: str) -> str:
        """Return the value of the Authorization header of one request."""
        if self.challenge.scheme == "basic":
            pair = f"{self.credential.username}:{self.credential.password.reveal()}"
            return "Basic " + base64.b64encode(pair.encode()).decode()
        return self._digest(method, uri)

    def _digest(self, method: str, uri: str) -> str:
        challenge = self.challenge
        realm, nonce = challenge.get("realm") or "", challenge.get("nonce") or ""
        has_qop = "auth" in challenge.qops
        self._count += 1
        nc = f"{self._count:08x}"
        cnonce = self._cnonce() if has_qop else ""
        hashed = hash_of(challenge.algorithm)
        username = wire_text(self.credential.username)
        a1 = hashed(f"{username}:{realm}:{wire_text(self.credential.password.reveal())}")
        if challenge.algorithm.endswith("-SESS"):
            a1 = hashed(f"{a1}:{nonce}:{cnonce}")
        a2 = hashed(f"{method}:{uri}")
        middle = f"{nonce}:{nc}:{cnonce}:auth" if has_qop else nonce
        fields = [
            f'username="{_quote(username)}"',
            f'realm="{_quote(realm)}"',
            f'nonce="{_quote(nonce)}"',
            f'uri="{uri}"',
            f'response="{hashed(f"{a1}:{middle}:{a2}")}"',
        ]
        if challenge.get("algorithm") is not None:
            fields.append(f"algorithm={challenge.get('algorithm')}")
        if (opaque := challenge.get("opaque")) is not None:
            fields.append(f'opaque="{_quote(opaque)}"')
        if has_qop:
            fields += ["qop=auth", f"nc={nc}", f'cnonce="{cnonce}"']
        return "Digest " + ", ".join(fields)

    def _cnonce(self) -> str:
        """Return a fresh client nonce; the -sess forms keep the first one (RFC 7616, 3.4.2)."""
        if not self._session_cnonce or not self.challenge.algorithm.endswith("-SESS"):
            self._session_cnonce = self.random_bytes(8).hex()
        return self._session_cnonce


def hash_of(algorithm: str) -> Callable[[str], str]:
    """Return the hash of a Digest `algorithm` (`SHA-256`, `MD5` or their -SESS form), as lower-case hex."""
    function = _HASHES[algorithm.removesuffix("-SESS")]
    return lambda text: function(text.encode("latin-1")).hexdigest()


def wire_text(text: str) -> str:
    """Return our own text as headers hold it: its UTF-8 octets, one character each.

    What the peer sent is already in that form, so a realm in any encoding is hashed as it came.
    """
    return text.encode().decode("latin-1")


def _quote(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
