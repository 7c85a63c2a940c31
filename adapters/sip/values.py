"""What stands in SIP header values: addresses, parameters, Via (RFC 3261, 20 and 25.1). Sans-IO."""

import re
from dataclasses import dataclass
from typing import Final

_PARAMETER: Final = re.compile(r';\s*([^=;\s]+)\s*(?:=\s*("[^"]*"|[^;]*))?')
_USER: Final = re.compile(r"sips?:([^@;?>\s]*)@", re.IGNORECASE)
_VIA: Final = re.compile(
    r"\s*SIP\s*/\s*2\.0\s*/\s*([A-Za-z]+)\s+(\[[0-9A-Fa-f:.]+\]|[^:;,\s]+)(?::\s*(\d{1,5}))?\s*(;[^,]*)?"
)


def parameters(text: str) -> dict[str, str]:
    """Return the parameters in `;a=b;c`: names in lower case, values unquoted, empty where there is none."""
    return {name.lower(): value.strip().strip('"') for name, value in _PARAMETER.findall(text)}


@dataclass(frozen=True, slots=True)
class NameAddress:
    """A From, To or Contact value."""

    uri: str
    parameters: dict[str, str]

    @classmethod
    def parse(cls, value: str) -> "NameAddress":
        """Read a value, with or without angle brackets; what is malformed leaves `uri` empty."""
        begin = value.find("<")
        if begin >= 0:
            end = value.find(">", begin)
            if end < 0:
                return cls("", {})
            return cls(value[begin + 1 : end].strip(), parameters(value[end + 1 :]))
        uri, semicolon, rest = value.partition(";")
        return cls(uri.strip(), parameters(semicolon + rest))

    @property
    def user(self) -> str:
        """Return the user part of the URI, empty where it has none."""
        return user_of(self.uri)

    @property
    def tag(self) -> str:
        """Return the tag, empty where there is none."""
        return self.parameters.get("tag", "")


def user_in(value: str) -> str:
    """Return the user part of the first SIP URI in a From, To or Contact value, empty where there is none."""
    match = _USER.search(value)
    return match[1] if match is not None else ""


def user_of(uri: str) -> str:
    """Return the user part of a SIP URI: in GB/T 28181 the code, and the one part that can be trusted to name it."""
    match = _USER.match(uri)
    return match[1] if match is not None else ""


@dataclass(frozen=True, slots=True)
class Via:
    """The topmost Via of a message."""

    transport: str
    "In upper case: `UDP`, `TCP`."
    sent_by: str
    "`host:port` as sent."
    parameters: dict[str, str]

    @classmethod
    def parse(cls, value: str) -> "Via | None":
        """Read a value; None where it is malformed."""
        match = _VIA.match(value)
        if match is None:
            return None
        sent_by = f"{match[2]}:{match[3] or 5060}".lower()
        return cls(match[1].upper(), sent_by, parameters(match[4] or ""))

    @property
    def branch(self) -> str:
        """Return the branch, empty where there is none."""
        return self.parameters.get("branch", "")


def told_origin(via: str, host: str, port: int) -> str:
    """Return a request's Via with what its receiver saw: `received` and `rport` (RFC 3261, 18.2.1; RFC 3581, 4)."""
    if ";rport;" in via and "received=" not in via:
        # As nearly everybody writes it.
        return f"{via.replace(';rport;', f';rport={port};', 1)};received={host}"
    via = re.sub(r";\s*received=[^;,]*", "", via)
    if re.search(r";\s*rport\s*(=\s*\d*)?\s*(?=;|,|$)", via):
        via = re.sub(r";\s*rport\s*(=\s*\d*)?\s*(?=;|,|$)", f";rport={port}", via, count=1)
        return f"{via};received={host}"
    parsed = Via.parse(via)
    return (
        via if parsed is not None and parsed.sent_by.rpartition(":")[0] == host else f"{via};received={host}"
    )
