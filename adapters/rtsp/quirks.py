"""Where cameras and players leave RTSP and we follow them: each deviation has a name, a reason and a capture."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from adapters.errors import RemoteProtocolError


class Quirk(StrEnum):
    """A deviation from RFC 2326 that we accept; its reason stands in `POLICIES`."""

    BARE_LF = "bare_lf"
    FOLDED_HEADER = "folded_header"
    LEADING_LINE_BREAK = "leading_line_break"
    MISSING_REASON = "missing_reason"
    SPACE_BEFORE_COLON = "space_before_colon"
    MISSING_CSEQ = "missing_cseq"
    MISSING_INTERLEAVED = "missing_interleaved"
    SSRC_SPACES = "ssrc_spaces"
    SESSION_TIMEOUT_MALFORMED = "session_timeout_malformed"
    FOREIGN_CONTROL_HOST = "foreign_control_host"
    MISSING_CONTROL = "missing_control"
    KEEPALIVE_UNANSWERED = "keepalive_unanswered"
    KEEPALIVE_REFUSED = "keepalive_refused"
    DIGEST_URI_FORM = "digest_uri_form"
    DIGEST_URI_AGGREGATE = "digest_uri_aggregate"
    DIGEST_ALGORITHM_UNNAMED = "digest_algorithm_unnamed"


@dataclass(frozen=True)
class Policy:
    """Why one deviation is accepted."""

    reason: str
    "What the peer does, what the standard says and what we make of it."
    seen_in: str
    "Where such peers are reported; none of these devices has been in our own hands yet."
    capture: str
    "File in `tests/data/rtsp/` that shows it."


POLICIES: Final[Mapping[Quirk, Policy]] = MappingProxyType(
    {
        Quirk.BARE_LF: Policy(
            "lines end in LF alone; RFC 2326, section 4 asks receivers to accept it",
            "small embedded servers and hand-written gateways",
            "bare_lf.txt",
        ),
        Quirk.FOLDED_HEADER: Policy(
            "a header value goes on in the next line after white space (RFC 2326, 4.2 takes it from HTTP)",
            "proxies that wrap long Public and WWW-Authenticate values",
            "folded_header.txt",
        ),
        Quirk.LEADING_LINE_BREAK: Policy(
            "empty lines stand between messages: a body was sent one line break longer than announced",
            "servers that close an SDP with one line break too many",
            "leading_line_break.txt",
        ),
        Quirk.MISSING_REASON: Policy(
            "the status line ends after the code; the phrase carries no meaning, so nothing is lost",
            "small embedded servers",
            "missing_reason.txt",
        ),
        Quirk.SPACE_BEFORE_COLON: Policy(
            "white space stands between header name and colon; the name is taken without it",
            "DVR firmwares that align their headers",
            "space_before_colon.txt",
        ),
        Quirk.MISSING_CSEQ: Policy(
            "an answer has no CSeq (mandatory, RFC 2326, 12.17); with one request under way it is its own",
            "error answers of small embedded servers",
            "missing_cseq.txt",
        ),
        Quirk.MISSING_INTERLEAVED: Policy(
            "a TCP SETUP is answered without `interleaved`; the channels that we asked for are taken",
            "servers that echo only RTP/AVP/TCP;unicast",
            "missing_interleaved.txt",
        ),
        Quirk.SSRC_SPACES: Policy(
            "`ssrc=` is padded with spaces instead of zeros (RFC 2326, 12.39: eight hexadecimal digits)",
            "Hikvision firmwares",
            "hikvision_setup_ssrc_space.txt",
        ),
        Quirk.SESSION_TIMEOUT_MALFORMED: Policy(
            "the Session timeout is no positive number of seconds; the standard's 60 s are assumed (12.37)",
            "re-labelled DVRs that send `timeout=` empty or 0",
            "session_timeout_malformed.txt",
        ),
        Quirk.FOREIGN_CONTROL_HOST: Policy(
            "Content-Base or a control URL names another host than the one we reached, e.g. the address "
            "behind a NAT; host and port are always replaced by those that we reached",
            "cameras behind port forwarding; also an attacker's way to make us call elsewhere",
            "foreign_control_host.txt",
        ),
        Quirk.MISSING_CONTROL: Policy(
            "the only media has no `a=control`; it is then controlled by the aggregate URL (RFC 2326, C.1.1)",
            "single-stream encoders",
            "missing_control.txt",
        ),
        Quirk.KEEPALIVE_UNANSWERED: Policy(
            "keepalives are never answered while media flow; the media themselves are the sign of life",
            "cameras whose streaming thread does not read its socket",
            "keepalive_unanswered.txt",
        ),
        Quirk.KEEPALIVE_REFUSED: Policy(
            "GET_PARAMETER is listed in Public but refused; OPTIONS is sent from then on, "
            "and its refusal, too, proves that the peer lives",
            "servers that copy the Public line from elsewhere",
            "keepalive_refused.txt",
        ),
        Quirk.DIGEST_URI_FORM: Policy(
            "a client's Authorization names the same path in another form than its request line: with user "
            "name, another host or port, as a path alone, or without the last slash (RFC 7616, 3.4 wants "
            "them equal); path and query are what counts, for host and port bind nothing here",
            "recorders and players that keep the address as the user typed it",
            "digest_uri_form.txt",
        ),
        Quirk.DIGEST_URI_AGGREGATE: Policy(
            "the Authorization of a SETUP names the aggregate, not the track; it was computed for the same "
            "stream, so the track of it is granted",
            "live555, thus VLC, which always hashes its base URL",
            "digest_uri_aggregate.txt",
        ),
        Quirk.DIGEST_ALGORITHM_UNNAMED: Policy(
            "an Authorization was computed with SHA-256 and names no algorithm, which would mean MD5 "
            "(RFC 7616, 3.4); the length of the response tells",
            "aiortsp 1.4",
            "digest_algorithm_unnamed.txt",
        ),
    }
)

EVERY_QUIRK: Final = frozenset(Quirk)


class Leniency:
    """Which deviations are accepted on one connection, and which have been met."""

    def __init__(self, allowed: AbstractSet[Quirk] = EVERY_QUIRK, *, peer: str = "") -> None:
        self.allowed = frozenset(allowed)
        self.peer = peer
        self.met: set[Quirk] = set()

    def meet(self, quirk: Quirk, received: bytes = b"") -> None:
        """Note that the peer deviates by `quirk`.

        Raises:
            RemoteProtocolError: `quirk` is not accepted on this connection.
        """
        if quirk not in self.allowed:
            raise RemoteProtocolError(f"deviation not accepted: {quirk}", peer=self.peer, received=received)
        self.met.add(quirk)
