"""What the gateway asks of every adapter, whatever its protocol."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NewType

from catalog.model.secret import Secret
from catalog.model.sighting import DEVICE_SERVICE

SourceKey = NewType("SourceKey", int)
"""The catalog's `source_id`; a stream never changes it on its way."""


class Transport(StrEnum):
    """How media travel from the source."""

    TCP = "tcp"
    UDP = "udp"


@dataclass(frozen=True)
class Credential:
    """A user name and password for exactly one device."""

    username: str
    password: Secret


@dataclass(frozen=True)
class TlsPolicy:
    """How a peer proves itself over TLS (RTSPS, HTTPS)."""

    pin_sha256: str | None = None
    "Lower-case hex SHA-256 of the peer's DER certificate; when set, nothing else is checked."
    ca_file: str | None = None
    "PEM file of trusted authorities; None means the system's."


@dataclass(frozen=True)
class RtspTarget:
    """An RTSP or RTSPS address without any credential in it."""

    host: str
    port: int
    path: str
    "Absolute path with query, beginning with a slash, e.g. `/Streaming/Channels/101`."
    tls: TlsPolicy | None = None
    "None for plain `rtsp://`."

    @property
    def url(self) -> str:
        """Return the URL; safe to log, it never holds a credential."""
        scheme = "rtsp" if self.tls is None else "rtsps"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{self.port}{self.path}"

    @property
    def peer(self) -> str:
        """Return `host:port` for logs and errors."""
        return f"{self.host}:{self.port}"


@dataclass(frozen=True)
class OnvifTarget:
    """The address of an ONVIF device service without any credential in it."""

    host: str
    port: int
    path: str = DEVICE_SERVICE
    tls: TlsPolicy | None = None
    "None for plain `http://`."

    @property
    def url(self) -> str:
        """Return the URL; safe to log, it never holds a credential."""
        scheme = "http" if self.tls is None else "https"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{self.port}{self.path}"

    @property
    def peer(self) -> str:
        """Return `host:port` for logs and errors."""
        return f"{self.host}:{self.port}"


@dataclass(frozen=True)
class StreamInfo:
    """What one video stream is, as far as its description and first packets tell."""

    codec: str
    "The RTP encoding name in upper case: `H264`, `H265`, `JPEG`."
    payload_type: int
    clock_rate: int
    "Hz of the RTP timestamp."
    has_audio: bool = False
    "Whether the source offers audio, enabled or not."
