"""The Transport and Session headers (RFC 2326, 12.39 and 12.37) and where control URLs point, sans-IO."""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlsplit

from adapters.base import RtspTarget, Transport
from adapters.errors import RemoteProtocolError
from adapters.rtsp.quirks import Leniency, Quirk

DEFAULT_SESSION_TIMEOUT: Final = 60
"""Seconds; RFC 2326, 12.37."""
MAX_SESSION_TIMEOUT: Final = 86400
"""Seconds; longer ones are cut."""
MAX_OFFERS: Final = 16
"""Alternatives in one SETUP that are looked at."""

_SESSION: Final = re.compile(r"([^\s;,]{1,256})\s*(?:;(.*))?")
_PAIR: Final = re.compile(r"\s*([0-9]{1,5})\s*(?:-\s*([0-9]{1,5})\s*)?")
_SSRC: Final = re.compile(r"(?:0x)?([0-9A-Fa-f]{1,8})")
# What a URI may hold (RFC 3986, section 2) and the percent sign of what is escaped already.
_URI_SAFE: Final = "/:?#[]@!$&'()*+,;=-._~%"


@dataclass(frozen=True)
class TransportAnswer:
    """What the peer chose in its Transport header."""

    transport: Transport
    channels: tuple[int, int] | None
    "Interleaved channels of RTP and RTCP, TCP only."
    server_ports: tuple[int, int] | None
    "The peer's RTP and RTCP port, UDP only; None where it does not tell."
    ssrc: int | None


def request_transport(transport: Transport, first: int, *, record: bool = False) -> str:
    """Return the Transport value of a SETUP.

    Args:
        transport: how media shall travel.
        first: interleaved channel (TCP) or our port (UDP) of RTP; RTCP takes the next one.
        record: whether we send the media.
    """
    mode = ";mode=record" if record else ""
    if transport is Transport.TCP:
        return f"RTP/AVP/TCP;unicast;interleaved={first}-{first + 1}{mode}"
    return f"RTP/AVP;unicast;client_port={first}-{first + 1}{mode}"


def parse_transport(value: str, asked: tuple[int, int], leniency: Leniency) -> TransportAnswer:
    """Parse the answer to a SETUP.

    Args:
        value: the Transport header.
        asked: the interleaved channels we proposed, taken where the answer names none.
        leniency: which deviations are accepted.

    Raises:
        RemoteProtocolError: the header is malformed.
    """
    specification, *rest = value.split(",")[0].split(";")
    parameters = {name.strip().lower(): text.strip() for name, _, text in (p.partition("=") for p in rest)}
    received = value.encode("latin-1", "replace")
    ssrc = _parse_ssrc(parameters.get("ssrc"), leniency, received)
    if "multicast" in parameters:
        raise RemoteProtocolError("multicast was not asked for", peer=leniency.peer, received=received)
    protocol = specification.strip().upper()
    if protocol == "RTP/AVP/TCP" or ("interleaved" in parameters and protocol.startswith("RTP/AVP")):
        if "interleaved" not in parameters:
            leniency.meet(Quirk.MISSING_INTERLEAVED, received)
            return TransportAnswer(Transport.TCP, asked, None, ssrc)
        channels = _parse_pair(parameters["interleaved"], 255, leniency.peer)
        return TransportAnswer(Transport.TCP, channels, None, ssrc)
    if protocol in ("RTP/AVP", "RTP/AVP/UDP"):
        ports = None
        if parameters.get("server_port"):
            ports = _parse_pair(parameters["server_port"], 65535, leniency.peer)
        return TransportAnswer(Transport.UDP, None, ports, ssrc)
    raise RemoteProtocolError("not a transport that we asked for", peer=leniency.peer, received=received)


@dataclass(frozen=True)
class TransportOffer:
    """One way in which a client would take media, from its SETUP."""

    transport: Transport
    pair: tuple[int, int] | None
    "Interleaved channels (TCP; None where the client leaves the choice) or its ports (UDP) of RTP and RTCP."


def offered_transports(value: str) -> tuple[TransportOffer, ...]:
    """Return what we can serve of a SETUP's Transport header, in the client's order of preference.

    Multicast, RECORD, other profiles and what is malformed are left out: an empty answer means 461.
    The client's `destination` is never looked at: media go to the address that the connection has.
    """
    found = (_offer(text) for text in value.split(",")[:MAX_OFFERS])
    return tuple(offer for offer in found if offer is not None)


def _offer(text: str) -> TransportOffer | None:
    protocol, *rest = (part.strip() for part in text.split(";"))
    parameters = {name.strip().lower(): value.strip() for name, _, value in (p.partition("=") for p in rest)}
    mode = parameters.get("mode", "PLAY").strip('"').upper()
    if "multicast" in parameters or mode != "PLAY":
        return None
    is_tcp = protocol.upper() == "RTP/AVP/TCP" or (
        protocol.upper() == "RTP/AVP" and "interleaved" in parameters
    )
    try:
        if is_tcp:
            named = parameters.get("interleaved")
            return TransportOffer(Transport.TCP, _parse_pair(named, 255, "") if named else None)
        if protocol.upper() in ("RTP/AVP", "RTP/AVP/UDP"):
            ports = _parse_pair(parameters.get("client_port", ""), 65535, "")
            return TransportOffer(Transport.UDP, ports) if min(ports) > 0 else None
    except RemoteProtocolError:
        return None
    return None


def _parse_pair(text: str, most: int, peer: str) -> tuple[int, int]:
    match = _PAIR.fullmatch(text)
    if match is not None:
        low = int(match[1])
        high = int(match[2]) if match[2] is not None else low + 1
        if low != high and max(low, high) <= most:
            return low, high
    raise RemoteProtocolError(
        "not a pair of channels or ports", peer=peer, received=text.encode("latin-1", "replace")
    )


def _parse_ssrc(text: str | None, leniency: Leniency, received: bytes) -> int | None:
    """Return the SSRC, or None where the answer holds none or one that cannot be read.

    Nothing depends on it: packets tell their SSRC themselves, so a malformed one is no error.
    """
    match = _SSRC.fullmatch(text) if text else None
    if match is None:
        return None
    if len(match[1]) < 8:
        leniency.meet(Quirk.SSRC_SPACES, received)
    return int(match[1], 16)


def parse_session(value: str, leniency: Leniency) -> tuple[str, int]:
    """Return the session identifier and its timeout in seconds.

    Raises:
        RemoteProtocolError: there is no identifier.
    """
    received = value.encode("latin-1", "replace")
    match = _SESSION.fullmatch(value.strip())
    if match is None:
        raise RemoteProtocolError("not a Session header", peer=leniency.peer, received=received)
    timeout = DEFAULT_SESSION_TIMEOUT
    for parameter in (match[2] or "").split(";"):
        name, _, text = parameter.partition("=")
        if name.strip().lower() != "timeout":
            continue
        if re.fullmatch(r"\s*[0-9]{1,9}\s*", text) is None or int(text) == 0:
            leniency.meet(Quirk.SESSION_TIMEOUT_MALFORMED, received)
        else:
            timeout = min(int(text), MAX_SESSION_TIMEOUT)
    return match[1], timeout


def request_url(target: RtspTarget) -> str:
    """Return the URL of `target` as requests hold it: spaces and what is not ASCII escaped."""
    return _origin(target) + quote(target.path, safe=_URI_SAFE)


def rewrite_url(url: str, target: RtspTarget, leniency: Leniency) -> str:
    """Return the absolute `url` with the scheme, host and port that we reached.

    A camera behind a NAT names its inner address, and a hostile one any address at all: the
    connection never leaves the peer we chose. User names in the URL are dropped.

    Raises:
        RemoteProtocolError: `url` cannot be read.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise RemoteProtocolError(
            "not a URL", peer=leniency.peer, received=url.encode("latin-1", "replace")
        ) from error
    if host != target.host.lower() or port not in (None, target.port):
        leniency.meet(Quirk.FOREIGN_CONTROL_HOST, url.encode("latin-1", "replace"))
    query = f"?{parts.query}" if parts.query else ""
    path = parts.path if parts.path.startswith("/") else f"/{parts.path}"
    return _origin(target) + quote(path + query, safe=_URI_SAFE)


def control_url(control: str, base: str, target: RtspTarget, leniency: Leniency) -> str:
    """Return the URL that controls a media or the aggregate (RFC 2326, C.1.1).

    A relative control is appended to the base, slash between, even where RFC 1808 would replace the
    last segment or put it before the query: so do live555 and FFmpeg, and so cameras expect it.

    Args:
        control: the `a=control` value.
        base: absolute URL, already rewritten.
        target: what we reached.
        leniency: which deviations are accepted.

    Raises:
        RemoteProtocolError: an absolute control cannot be read.
    """
    if control in ("", "*"):
        return base
    if control.lower().startswith(("rtsp://", "rtsps://", "rtspu://")):
        return rewrite_url(control, target, leniency)
    escaped = quote(control, safe=_URI_SAFE)
    if control.startswith("/"):
        return _origin(target) + escaped
    return base + escaped if base.endswith("/") else f"{base}/{escaped}"


def _origin(target: RtspTarget) -> str:
    return target.url.removesuffix(target.path)
