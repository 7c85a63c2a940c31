"""What a discovery saw at one address, and what of the roll it is compared with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

DEVICE_SERVICE: Final = "/onvif/device_service"
"""Path of an ONVIF device service where nothing else is known (ONVIF Core, 5.1)."""


class Protocol(StrEnum):
    """How a source is reached."""

    RTSP = "rtsp"
    RTSPS = "rtsps"
    ONVIF = "onvif"
    GB28181 = "gb28181"


class SightingState(StrEnum):
    """What became of a sighting."""

    QUARANTINED = "quarantined"
    AWAITING_CONFIRMATION = "awaiting_confirmation"
    MATCHED = "matched"
    ACCEPTED = "accepted"
    REFUSED = "refused"


@dataclass(frozen=True)
class Sighting:
    """One answer from one address."""

    protocol: Protocol
    host: str
    "IP address as text."
    port: int
    seen_at: datetime
    server: str | None = None
    "The Server header, as sent, at most 200 characters."
    mac: str | None = None
    "Lower-case, colon separated."
    serial: str | None = None
    gb_id: str | None = None
    is_claimed: bool = False
    "Whether MAC, serial number and code are the device's own unproven word, as in a WS-Discovery announcement."
    detail: Mapping[str, object] = field(default_factory=dict)
    "What else is known, as JSON values: `path` of the service, `scopes`, `endpoint` …"
