"""Where devices leave SIP and we follow them: each deviation has a name and a reason."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Quirk(StrEnum):
    """A deviation from RFC 3261 that we accept; its reason stands in `REASONS`."""

    BARE_LF = "bare_lf"
    CONTENT_LENGTH_WRONG = "content_length_wrong"
    FOLDED_HEADER = "folded_header"
    BRANCH_WITHOUT_COOKIE = "branch_without_cookie"
    JUNK_BETWEEN_MESSAGES = "junk_between_messages"


REASONS: Final[Mapping[Quirk, str]] = MappingProxyType(
    {
        Quirk.BARE_LF: "lines end in LF alone: small embedded stacks; nothing else can be meant",
        Quirk.CONTENT_LENGTH_WRONG: (
            "Content-Length is 0 or wrong in a datagram (Hikvision): the datagram itself says where its body ends"
        ),
        Quirk.FOLDED_HEADER: "a header goes on in the next line (RFC 3261, 7.3.1 allows it): long User-Agent values",
        Quirk.BRANCH_WITHOUT_COOKIE: (
            "the branch lacks z9hG4bK or is missing (RFC 2543): such a transaction is told by Call-ID and CSeq as well"
        ),
        Quirk.JUNK_BETWEEN_MESSAGES: (
            "bytes that no Content-Length told stand between two messages on TCP: the next start line begins anew"
        ),
    }
)
