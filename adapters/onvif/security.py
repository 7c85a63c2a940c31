"""How our requests are signed, and what a refusal means (sans-IO).

WS-UsernameToken with a password digest (OASIS WSS UsernameToken Profile 1.0; ONVIF Core Specification, Authentication).
The password itself never travels.
"""

import base64
import hashlib
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

from lxml import etree

from adapters.base import Credential

_WSS: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss"
WSSE: Final = f"{_WSS}-wssecurity-secext-1.0.xsd"
WSU: Final = f"{_WSS}-wssecurity-utility-1.0.xsd"
DIGEST_TYPE: Final = f"{_WSS}-username-token-profile-1.0#PasswordDigest"
NONCE_ENCODING: Final = f"{_WSS}-soap-message-security-1.0#Base64Binary"

TOLERATED: Final = timedelta(seconds=5)
"""Two clocks closer than this are the same: a time stamp has whole seconds, and an answer travels."""

_REFUSALS: Final = frozenset(
    {"NotAuthorized", "FailedAuthentication", "InvalidSecurity", "InvalidSecurityToken", "FailedCheck"}
)
_CLOCK: Final = frozenset({"MessageExpired", "TimestampExpired", "Expired"})
_REFUSING_WORDS: Final = ("not authorized", "unauthorized", "authentication", "not permitted")


def username_token(credential: Credential, *, created: datetime, nonce: bytes) -> etree._Element:
    """Return the `wsse:Security` header that signs one message.

    Args:
        credential: the credential of exactly this device.
        created: the instant by the device's clock, UTC.
        nonce: 16 random bytes, never used twice.
    """
    # Zulu and whole seconds: the form that every device reads.
    stamp = created.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    secret = credential.password.reveal().encode()
    digest = hashlib.sha1(nonce + stamp.encode() + secret, usedforsecurity=False).digest()
    security = etree.Element(f"{{{WSSE}}}Security", nsmap={"wsse": WSSE, "wsu": WSU})
    token = etree.SubElement(security, f"{{{WSSE}}}UsernameToken")
    etree.SubElement(token, f"{{{WSSE}}}Username").text = credential.username
    password = etree.SubElement(token, f"{{{WSSE}}}Password", Type=DIGEST_TYPE)
    password.text = base64.b64encode(digest).decode()
    encoded = etree.SubElement(token, f"{{{WSSE}}}Nonce", EncodingType=NONCE_ENCODING)
    encoded.text = base64.b64encode(nonce).decode()
    etree.SubElement(token, f"{{{WSU}}}Created").text = stamp
    return security


def is_refusal(status: int, code: str, reason: str) -> bool:
    """Return whether an answer refuses who asks, whatever form the device gave it.

    Args:
        status: of HTTP.
        code: the fault's innermost subcode, without prefix; "" without a fault.
        reason: the fault's text; "" without a fault.
    """
    if status in (401, 403) or code in _REFUSALS or code in _CLOCK:
        return True
    # Devices that give no subcode (ipycam: `Receiver`, "Sender not authorized") say it in words.
    return any(word in reason.lower() for word in _REFUSING_WORDS)


def blames_clock(code: str, reason: str) -> bool:
    """Return whether a refusal says that the time stamp was the reason."""
    return code in _CLOCK or "expired" in reason.lower() or "timestamp" in reason.lower()


def offset_of_date(value: str | None, now: datetime) -> timedelta | None:
    """Return how far the clock behind an HTTP `Date` header is ahead of `now`; None when it tells nothing."""
    if not value or len(value) > 64:
        return None
    try:
        told = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if told.tzinfo is None:
        told = told.replace(tzinfo=UTC)
    return told - now
