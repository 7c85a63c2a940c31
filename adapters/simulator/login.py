"""A virtual camera's door: WS-UsernameToken and HTTP Digest, strictly (sans-IO).

Written apart from the client's side on purpose: two halves of one mistake would agree.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections import OrderedDict
from datetime import UTC, datetime, timedelta
from typing import Final

from adapters.simulator.camera import Asks, VirtualCamera

REALM: Final = "virtual camera"
TOLERANCE: Final = timedelta(seconds=60)
"""A time stamp that is further off is refused, as strict devices do."""

MAX_NONCES: Final = 1_000

_PARAMETER: Final = re.compile(r'(\w+)=(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))')
_TOKEN: Final = {
    name: re.compile(rf"<(?:[\w.-]+:)?{name}\b[^>]*>([^<]*)</")
    for name in ("Username", "Password", "Nonce", "Created")
}


class Door:
    """Lets requests in, or says what they lack.

    Args:
        camera: whose.
    """

    def __init__(self, camera: VirtualCamera) -> None:
        self._camera = camera
        self._used: OrderedDict[str, None] = OrderedDict()
        self._nonce = hashlib.sha256(camera.endpoint.encode()).hexdigest()[:24]

    def admits(self, method: str, authorization: str, body: str, now: datetime) -> bool:
        """Tell whether a request may be answered.

        Args:
            method: of HTTP.
            authorization: the header; "" without one.
            body: the envelope.
            now: by the camera's own clock.
        """
        match self._camera.asks:
            case Asks.NOTHING:
                return True
            case Asks.MESSAGE:
                return self._token_holds(body, now)
            case Asks.MD5 | Asks.SHA256:
                return self._digest_holds(method, authorization)
            case Asks.BOTH:
                return self._digest_holds(method, authorization) and self._token_holds(body, now)

    def challenge(self) -> str | None:
        """Return the header that asks for HTTP Digest; None where the message itself is signed."""
        if self._camera.asks in (Asks.NOTHING, Asks.MESSAGE):
            return None
        algorithm = "SHA-256" if self._camera.asks is Asks.SHA256 else "MD5"
        return f'Digest realm="{REALM}", nonce="{self._nonce}", qop="auth", algorithm={algorithm}'

    def _token_holds(self, body: str, now: datetime) -> bool:
        found = {name: pattern.search(body) for name, pattern in _TOKEN.items()}
        texts = {name: "" if match is None else match[1].strip() for name, match in found.items()}
        try:
            nonce = base64.b64decode(texts["Nonce"], validate=True)
            created = datetime.fromisoformat(texts["Created"])
        except (ValueError, binascii.Error):
            return False
        if created.tzinfo is None:
            created = created.replace(tzinfo=UTC)
        secret = self._camera.password.reveal().encode()
        digest = hashlib.sha1(nonce + texts["Created"].encode() + secret, usedforsecurity=False).digest()
        if texts["Username"] != self._camera.username or abs(created - now) > TOLERANCE:
            return False
        expected = base64.b64encode(digest).decode()
        return hmac.compare_digest(expected.encode(), texts["Password"].encode()) and self._is_new(
            texts["Nonce"]
        )

    def _is_new(self, nonce: str) -> bool:
        if nonce in self._used:
            return False
        self._used[nonce] = None
        if len(self._used) > MAX_NONCES:
            self._used.popitem(last=False)
        return True

    def _digest_holds(self, method: str, authorization: str) -> bool:
        if not authorization.lower().startswith("digest "):
            return False
        given = {name: quoted or plain for name, quoted, plain in _PARAMETER.findall(authorization)}
        name = "sha256" if self._camera.asks is Asks.SHA256 else "md5"

        def hashed(text: str) -> str:
            return hashlib.new(name, text.encode(), usedforsecurity=False).hexdigest()

        first = hashed(f"{self._camera.username}:{REALM}:{self._camera.password.reveal()}")
        second = hashed(f"{method}:{given.get('uri', '')}")
        count = given.get("nc", "")
        expected = hashed(f"{first}:{self._nonce}:{count}:{given.get('cnonce', '')}:auth:{second}")
        return (
            given.get("username") == self._camera.username
            and given.get("nonce") == self._nonce
            and hmac.compare_digest(expected.encode(), given.get("response", "").encode())
            and self._is_new(f"{count} {given.get('cnonce', '')}")
        )
