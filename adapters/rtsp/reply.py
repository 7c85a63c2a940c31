"""The answers of an RTSP server that need no session (RFC 2326, sections 7 and 11), sans-IO."""

import re
from collections.abc import Sequence
from types import MappingProxyType
from typing import Final

from adapters.rtsp.message import Headers, Request, Response

SERVER: Final = "Muster"
PUBLIC: Final = (
    "OPTIONS",
    "DESCRIBE",
    "SETUP",
    "PLAY",
    "PAUSE",
    "TEARDOWN",
    "GET_PARAMETER",
    "SET_PARAMETER",
)
"""The methods that we serve."""
NOT_ALLOWED: Final = frozenset({"ANNOUNCE", "RECORD", "REDIRECT"})
"""Methods of RFC 2326 that no stream of ours allows; all others are unknown to us."""
ALLOW: Final = ("Allow", ", ".join(PUBLIC))
MAX_ECHO: Final = 256
"""Characters of a client's own words that an answer repeats."""

PHRASES: Final = MappingProxyType(
    {
        200: "OK",
        400: "Bad Request",
        401: "Unauthorized",
        403: "Forbidden",
        404: "Not Found",
        405: "Method Not Allowed",
        406: "Not Acceptable",
        413: "Request Entity Too Large",
        451: "Parameter Not Understood",
        453: "Not Enough Bandwidth",
        454: "Session Not Found",
        455: "Method Not Valid in This State",
        457: "Invalid Range",
        459: "Aggregate Operation Not Allowed",
        460: "Only Aggregate Operation Allowed",
        461: "Unsupported Transport",
        501: "Not Implemented",
        503: "Service Unavailable",
        505: "RTSP Version Not Supported",
        551: "Option Not Supported",
    }
)

_CSEQ: Final = re.compile(r"[0-9]{1,10}")


def reply(
    request: Request | None, status: int, fields: Sequence[tuple[str, str]] = (), body: bytes = b""
) -> Response:
    """Return the answer to `request`, or to bytes that were none."""
    cseq = request.headers.get("CSeq") if request is not None else None
    numbered = [("CSeq", cseq)] if cseq is not None and _CSEQ.fullmatch(cseq) else []
    return Response(status, PHRASES[status], Headers([*numbered, ("Server", SERVER), *fields]), body)


def reply_to_options(request: Request) -> Response:
    """Return the answer to OPTIONS, whatever it is asked about: the same for every path, known or not."""
    return reply(request, 200, (("Public", ", ".join(PUBLIC)),))


def refusal(request: Request) -> Response | None:
    """Return the answer to a request that no stream of ours would grant, or None where one might.

    400 without a number in CSeq (RFC 2326, 12.17), 551 for every Require (12.32; go2rtc asks for
    ONVIF's backchannel so and comes again without), 405 and 501 for methods.
    """
    if _CSEQ.fullmatch(request.headers.get("CSeq") or "") is None:
        return reply(request, 400)
    required = [*request.headers.get_all("Require"), *request.headers.get_all("Proxy-Require")]
    if required:
        return reply(request, 551, (("Unsupported", ", ".join(required)[:MAX_ECHO]),))
    if request.method not in PUBLIC:
        return reply(request, 405 if request.method in NOT_ALLOWED else 501, (ALLOW,))
    return None
