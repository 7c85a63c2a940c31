"""Ask RTSP clients for a Digest and judge what they answer, sans-IO."""

from typing import Final

from adapters.digest_server import ALGORITHMS, Authorization, Nonces, Verdict
from adapters.errors import RemoteProtocolError
from adapters.rtsp.message import Request
from adapters.rtsp.quirks import Leniency, Quirk
from adapters.rtsp.resource import Resource
from catalog.model.secret import Secret

REALM: Final = "Muster"


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
        is_right = authorization.proves(request.method, password or self._nonces.decoy, REALM)
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
