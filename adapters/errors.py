"""The adapters' error tree: foreign errors are translated into these at the door.

* `AdapterError`
    * `PeerUnreachable` – no connection: refused, no route, name not found
    * `PeerTimeout` – connected (or not), but the answer did not come in time
    * `PeerClosed` – the peer closed or reset an established connection
    * `StreamChanged` – the stream under way became another one: it is begun anew
    * `RemoteProtocolError` – the peer's bytes break the protocol
        * `MessageTooLarge` – the peer's message exceeds a documented bound
    * `RequestRefused` – a well-formed refusal (RTSP 4xx/5xx other than 401)
        * `SoapFault` – the ONVIF device answered a SOAP fault other than one of the kinds below
    * `NotOnvif` – something answers there, but it speaks no ONVIF
    * `ClockRejected` – the device refuses our time stamps because its clock is too far from ours
    * `AddressForbidden` – the peer sent us to an address outside what we may reach
    * `AuthenticationFailed` – our credential was refused; never retried by itself
    * `CredentialMissing` – the peer asks for a credential and we hold none for it
    * `WeakAuthentication` – the peer offers only a scheme we do not answer here (Basic without TLS)
    * `TlsPinMismatch` – the certificate is not the pinned one
    * `TlsUntrusted` – the certificate's chain or host name does not hold, and none is pinned
    * `UnsupportedMedia` – no stream in the description that we can carry
    * `LocalProtocolError` – our own mistake: a bug
    * `LocalResourcesExhausted` – the kernel gave us no descriptor, port or memory: not the peer's fault either
"""

from typing import ClassVar, Final

QUOTED_BYTES: Final = 512
"""How many of the peer's bytes an error keeps."""


class AdapterError(Exception):
    """Something went wrong with a peer.

    Attributes:
        peer: `host:port` of the other side, never with user name or password.
        cause: one stable word for logs, evidence and API answers.
        retryable: whether trying again later, unchanged, can help.
    """

    cause: ClassVar[str] = "error"
    retryable: ClassVar[bool] = True

    def __init__(self, message: str, *, peer: str = "") -> None:
        super().__init__(message)
        self.peer = peer

    def __str__(self) -> str:
        text = super().__str__()
        return f"{self.peer}: {text}" if self.peer else text


class PeerUnreachable(AdapterError):
    """Raised when no connection can be made: refused, no route, unknown name."""

    cause = "unreachable"


class PeerTimeout(AdapterError):
    """Raised when the peer did not answer within the time it was given."""

    cause = "timeout"


class PeerClosed(AdapterError):
    """Raised when the peer closed or reset an established connection."""

    cause = "closed"


class StreamChanged(AdapterError):
    """Raised when a stream under way became another one, so that it has to be described and begun anew."""

    cause = "stream_changed"


class RemoteProtocolError(AdapterError):
    """Raised when the peer's bytes break the protocol.

    Attributes:
        received: the first `QUOTED_BYTES` bytes of the offending message.
    """

    cause = "protocol_error"

    def __init__(self, message: str, *, peer: str = "", received: bytes = b"") -> None:
        super().__init__(message, peer=peer)
        self.received = bytes(received[:QUOTED_BYTES])


class MessageTooLarge(RemoteProtocolError):
    """Raised when a message exceeds a documented bound."""

    cause = "message_too_large"


class RequestRefused(AdapterError):
    """Raised when the peer answers with a refusal.

    Attributes:
        status: the peer's status code, e.g. 404 or 453.
    """

    cause = "refused"

    def __init__(self, message: str, *, peer: str = "", status: int) -> None:
        super().__init__(message, peer=peer)
        self.status = status


class SoapFault(RequestRefused):
    """Raised when an ONVIF device answers a SOAP fault.

    Attributes:
        code: the innermost subcode, e.g. `NoProfile`; the fault's code when there is none.
    """

    cause = "fault"

    def __init__(self, message: str, *, peer: str = "", status: int, code: str) -> None:
        super().__init__(message, peer=peer, status=status)
        self.code = code


class NotOnvif(AdapterError):
    """Raised when what answers at an address speaks no ONVIF: a web page, a printer, another protocol."""

    cause = "not_onvif"
    retryable = False


class ClockRejected(AdapterError):
    """Raised when a device refuses our time stamps and its own clock could not be learned.

    Attributes:
        offset: seconds that its clock is ahead of ours, or None when it would not tell.
    """

    cause = "clock"

    def __init__(self, message: str, *, peer: str = "", offset: float | None) -> None:
        super().__init__(message, peer=peer)
        self.offset = offset


class AddressForbidden(AdapterError):
    """Raised when a peer names an address that we may not reach (outside the authorised networks, loopback, …)."""

    cause = "address_forbidden"
    retryable = False


class AuthenticationFailed(AdapterError):
    """Raised when the peer refused our credential."""

    cause = "authentication_failed"
    retryable = False


class CredentialMissing(AdapterError):
    """Raised when the peer asks for a credential and none is stored for it."""

    cause = "credential_missing"
    retryable = False


class WeakAuthentication(AdapterError):
    """Raised when the peer offers only schemes that we do not answer on this connection."""

    cause = "weak_authentication"
    retryable = False


class TlsPinMismatch(AdapterError):
    """Raised when the peer's certificate is not the pinned one."""

    cause = "tls_pin_mismatch"
    retryable = False


class TlsUntrusted(AdapterError):
    """Raised when the peer's certificate is not pinned and its chain or host name does not hold."""

    cause = "tls_untrusted"
    retryable = False


class UnsupportedMedia(AdapterError):
    """Raised when the description holds no stream that we can carry."""

    cause = "unsupported_media"


class LocalProtocolError(AdapterError):
    """Raised when our own code misuses a protocol object: a bug, not the peer's fault."""

    cause = "local_error"
    retryable = False


class LocalResourcesExhausted(AdapterError):
    """Raised when the kernel gives us no descriptor, port or memory for a connection: it says nothing of the peer."""

    cause = "local_error"
