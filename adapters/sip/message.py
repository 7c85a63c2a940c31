"""SIP messages (RFC 3261, 7): read as devices send them, written as the standard says. Sans-IO.

Header values are kept as they stand on the wire, one character an octet, so that what a response must repeat is
repeated to the byte whatever encoding a device's display name has; `shown` makes text of one for people.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from adapters.errors import MessageTooLarge, RemoteProtocolError
from adapters.sip.quirks import Quirk
from adapters.sip.values import told_origin

MAX_HEAD: Final = 16 * 1024
"""Bytes of start line and headers."""
MAX_BODY: Final = 1024 * 1024
"""Bytes of one body: a catalog of thousands of channels in one message over TCP."""
MAX_HEADERS: Final = 100
VERSION: Final = "SIP/2.0"

_METHOD: Final = re.compile(r"[A-Z][A-Z0-9!%*_+`'~.-]{0,31}")
_NAME: Final = re.compile(r"[A-Za-z0-9!%*_+`'~.-]+")
_FOLD: Final = re.compile(r"\r?\n[ \t]+")
_COMPACT: Final = {
    "i": "call-id",
    "m": "contact",
    "e": "content-encoding",
    "l": "content-length",
    "c": "content-type",
    "f": "from",
    "s": "subject",
    "k": "supported",
    "t": "to",
    "v": "via",
    "o": "event",
    "u": "allow-events",
}

# The names as nearly everybody writes them, found without making another string.
_USUAL: Final = {
    name: name.lower()
    for name in (
        *(
            "Via",
            "From",
            "To",
            "Call-ID",
            "CSeq",
            "Contact",
            "Max-Forwards",
            "Content-Type",
            "Content-Length",
            "Expires",
        ),
        *(
            "User-Agent",
            "Authorization",
            "WWW-Authenticate",
            "Route",
            "Record-Route",
            "Subject",
            "Event",
            "Date",
            "Allow",
        ),
        *("X-GB-ver", "Subscription-State", "Supported", "Server", "Call-Id", "Cseq"),
    )
}

_REPEATED: Final = frozenset({"via", "from", "to", "call-id", "cseq", "record-route"})
"""RFC 3261, 8.2.6.2."""

Headers = tuple[tuple[str, str], ...]
"""Names as written and values; looked up without regard to case, compact forms included."""


@dataclass(frozen=True)
class _Message:
    headers: Headers
    body: bytes
    quirks: frozenset[Quirk]

    @cached_property
    def _first(self) -> dict[str, str]:
        # From the last to the first: the first of a name is what stays.
        return {_long(key): value for key, value in reversed(self.headers)}

    def get(self, name: str) -> str | None:
        """Return the first value of the header `name` (lower case, long form), or None."""
        return self._first.get(name)

    def all(self, name: str) -> list[str]:
        """Return every value of the header `name` (lower case, long form), in order."""
        if name not in self._first:
            return []
        return [value for key, value in self.headers if _long(key) == name]

    @property
    def call_id(self) -> str:
        """Return the Call-ID, empty where there is none."""
        return self.get("call-id") or ""

    @property
    def cseq(self) -> tuple[int, str]:
        """Return number and method of the CSeq; (-1, "") where it is malformed."""
        number, _, method = (self.get("cseq") or "").partition(" ")
        return (int(number), method.strip().upper()) if number.isdecimal() and len(number) < 11 else (-1, "")


@dataclass(frozen=True)
class Request(_Message):
    """A request."""

    method: str
    uri: str


@dataclass(frozen=True)
class Response(_Message):
    """A response."""

    status: int
    reason: str

    @property
    def is_final(self) -> bool:
        """Whether it ends its transaction."""
        return self.status >= 200


Message = Request | Response


@dataclass(frozen=True, slots=True)
class Answer:
    """What we say to a request, apart from what every response repeats of it."""

    status: int
    reason: str
    headers: Headers = ()
    body: bytes = b""


def request(method: str, uri: str, headers: Iterable[tuple[str, str]], body: bytes = b"") -> Request:
    """Return a request of ours."""
    return Request(tuple(headers), body, frozenset(), method, uri)


def response(
    to: Request,
    status: int,
    reason: str,
    headers: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
    *,
    tag: str = "",
) -> Response:
    """Return our response to `to`: its Via, From, To, Call-ID and CSeq repeated (RFC 3261, 8.2.6.2).

    Args:
        to: the request.
        status: e.g. 200.
        reason: e.g. `OK`.
        headers: further ones.
        body: with a Content-Type among `headers`.
        tag: put on To where it has none.
    """
    repeated = [("Via", value) for value in to.all("via")]
    repeated += [("Record-Route", value) for value in to.all("record-route")]
    target = to.get("to") or ""
    if tag and ";tag=" not in target.lower():
        target += f";tag={tag}"
    repeated += [
        ("From", to.get("from") or ""),
        ("To", target),
        ("Call-ID", to.call_id),
        ("CSeq", to.get("cseq") or ""),
    ]
    return Response((*repeated, *headers), body, frozenset(), status, reason)


def render_answer(to: Request, answer: Answer, *, tag: str, origin: tuple[str, int]) -> bytes:
    """Return our response to `to` as bytes: what `response` and `render` make, in one go.

    Args:
        to: the request.
        answer: what to say.
        tag: put on To where it has none.
        origin: where the request came from, told in its topmost Via.
    """
    lines = [f"{VERSION} {answer.status} {answer.reason}"]
    usual, is_topmost = _USUAL, True
    for name, value in to.headers:
        key = usual.get(name) or _long(name)
        if key == "via" and is_topmost:
            is_topmost = False
            lines.append(f"Via: {told_origin(value, *origin)}")
        elif key == "to" and ";tag=" not in value.lower():
            lines.append(f"To: {value};tag={tag}")
        elif key in _REPEATED:
            lines.append(f"{name}: {value}")
    for name, value in answer.headers:
        if "\r" in value or "\n" in value:
            raise ValueError("a line break in a header")
        lines.append(f"{name}: {value}")
    lines.append(f"Content-Length: {len(answer.body)}\r\n\r\n")
    return "\r\n".join(lines).encode("latin-1") + answer.body


def render(message: Message) -> bytes:
    """Return `message` as bytes; Content-Length is added.

    Raises:
        ValueError: a start line or header of ours holds a line break or what does not fit into an octet.
    """
    if isinstance(message, Request):
        start = f"{message.method} {message.uri} {VERSION}"
    else:
        start = f"{VERSION} {message.status} {message.reason}"
    lines = [start, *(f"{name}: {value}" for name, value in message.headers)]
    lines.append(f"Content-Length: {len(message.body)}")
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("a line break in a header")
    return "\r\n".join((*lines, "", "")).encode("latin-1") + message.body


def parse(data: bytes, *, peer: str = "") -> Message:
    """Return the message in one datagram.

    Raises:
        RemoteProtocolError: it is none.
        MessageTooLarge: head or body exceed `MAX_HEAD` and `MAX_BODY`, or there are more headers than `MAX_HEADERS`.
    """
    head, body, quirks = _split(data, peer)
    read = read_head(head, peer=peer, quirks=quirks)
    if read.length is not None and read.length != len(body):
        # A datagram that holds more or less than it says: what arrived is the body, padding cut off by its reader.
        return read.message(body, Quirk.CONTENT_LENGTH_WRONG)
    return read.message(body)


@dataclass(slots=True)
class Head:
    """Start line and headers of a message whose body is not there yet."""

    start: str | tuple[int, str]
    "Method of a request; status and reason of a response."
    uri: str
    headers: Headers
    first: dict[str, str]
    "The first value of each header, by its long name in lower case."
    length: int | None
    "What Content-Length says."
    quirks: frozenset[Quirk]

    def message(self, body: bytes, *quirks: Quirk) -> Message:
        """Return the message with its body."""
        met = self.quirks | set(quirks) if quirks else self.quirks
        found: Message
        if isinstance(self.start, str):
            found = Request(self.headers, body, met, self.start, self.uri)
        else:
            found = Response(self.headers, body, met, *self.start)
        # What `_first` would find again.
        found.__dict__["_first"] = self.first
        return found


def read_head(head: bytes, *, peer: str = "", quirks: frozenset[Quirk] = frozenset()) -> Head:
    """Read start line and headers.

    Raises:
        RemoteProtocolError: malformed.
        MessageTooLarge: longer than allowed.
    """
    if len(head) > MAX_HEAD:
        raise MessageTooLarge(
            f"SIP head of {len(head)} bytes, more than {MAX_HEAD}", peer=peer, received=head
        )
    text = head.decode("latin-1")
    if "\n " in text or "\n\t" in text:
        text, quirks = _FOLD.sub(" ", text), quirks | {Quirk.FOLDED_HEADER}
    lines = text.split("\r\n")
    if text.count("\n") + text.count("\r") > 2 * (len(lines) - 1):
        text = text.replace("\r\n", "\n")
        if "\r" in text:
            raise RemoteProtocolError("a carriage return in a SIP header", peer=peer, received=head)
        lines = text.split("\n")
    if len(lines) > MAX_HEADERS + 1:
        raise MessageTooLarge(
            f"{len(lines) - 1} SIP headers, more than {MAX_HEADERS}", peer=peer, received=head
        )
    headers: list[tuple[str, str]] = []
    first: dict[str, str] = {}
    usual = _USUAL
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        key = usual.get(name) if colon else None
        if key is None:
            name = name.rstrip()
            if not colon or _NAME.fullmatch(name) is None:
                raise RemoteProtocolError("malformed SIP header", peer=peer, received=head)
            key = _long(name)
        value = value.strip()
        headers.append((name, value))
        if key not in first:
            first[key] = value
    start, uri = _read_start(lines[0], peer, head)
    told = first.get("content-length")
    return Head(
        start, uri, tuple(headers), first, None if told is None else _length(told, peer, head), quirks
    )


def _read_start(line: str, peer: str, head: bytes) -> tuple[str | tuple[int, str], str]:
    first, _, rest = line.partition(" ")
    if first == VERSION:
        code, _, reason = rest.partition(" ")
        if len(code) == 3 and code.isdecimal() and code.isascii() and "1" <= code[0] <= "6":
            return (int(code), reason.strip()), ""
    else:
        uri, _, version = rest.rpartition(" ")
        if version.strip() == VERSION and uri and " " not in uri and _METHOD.fullmatch(first):
            return first, uri
    raise RemoteProtocolError("not a SIP start line", peer=peer, received=head)


def _split(data: bytes, peer: str) -> tuple[bytes, bytes, frozenset[Quirk]]:
    data = data.lstrip(b"\r\n")
    at = data.find(b"\r\n\r\n")
    bare = data.find(b"\n\n")
    quirks: frozenset[Quirk] = frozenset()
    if bare >= 0 and (at < 0 or bare < at):
        head, body, quirks = data[:bare], data[bare + 2 :], frozenset({Quirk.BARE_LF})
    elif at >= 0:
        head, body = data[:at], data[at + 4 :]
    else:
        raise RemoteProtocolError("SIP message without an end of its headers", peer=peer, received=data)
    if len(body) > MAX_BODY:
        raise MessageTooLarge(
            f"SIP body of {len(body)} bytes, more than {MAX_BODY}", peer=peer, received=head
        )
    return head, body, quirks


def _length(value: str, peer: str, head: bytes) -> int:
    if not (value.isascii() and value.isdecimal() and len(value) <= 9):
        raise RemoteProtocolError("Content-Length is no number", peer=peer, received=head)
    return int(value)


def _long(name: str) -> str:
    usual = _USUAL.get(name)
    if usual is not None:
        return usual
    lower = name.lower()
    return _COMPACT.get(lower, lower)


def shown(value: str) -> str:
    """Return a header value as text for people: UTF-8 where its octets are, else GB 18030."""
    octets = value.encode("latin-1", "replace")
    try:
        return octets.decode()
    except UnicodeDecodeError:
        return octets.decode("gb18030", "replace")


@dataclass
class Framer:
    """Cut one TCP connection's bytes into messages (RFC 3261, 18.3); resynchronise on a start line.

    Raises from `receive` only what ends the connection.
    """

    peer: str = ""
    _held: bytearray = field(default_factory=bytearray)

    def receive(self, data: bytes) -> list[Message]:
        """Take bytes in; return the messages that are whole.

        Raises:
            RemoteProtocolError: what stands there is no SIP, and no start line follows within `MAX_HEAD`.
            MessageTooLarge: a message exceeds the bounds.
        """
        self._held += data
        found: list[Message] = []
        while (message := self._next()) is not None:
            found.append(message)
        return found

    def _next(self) -> Message | None:
        junk = self._skip_junk()
        head_end, gap = _head_end(self._held)
        if head_end < 0:
            if len(self._held) > MAX_HEAD:
                raise MessageTooLarge(f"SIP head of more than {MAX_HEAD} bytes", peer=self.peer)
            return None
        quirks = {Quirk.BARE_LF} if gap == 2 else set()
        head = read_head(bytes(self._held[:head_end]), peer=self.peer, quirks=frozenset(quirks))
        begin = head_end + gap
        end = begin + (head.length or 0)
        if end - begin > MAX_BODY:
            raise MessageTooLarge(f"SIP body of {end - begin} bytes, more than {MAX_BODY}", peer=self.peer)
        if len(self._held) < end:
            return None
        body = bytes(self._held[begin:end])
        del self._held[:end]
        return head.message(body, *({Quirk.JUNK_BETWEEN_MESSAGES} if junk else ()))

    def _skip_junk(self) -> bool:
        """Drop what stands before the next start line; return whether it was more than line breaks."""
        held = self._held
        del held[: len(held) - len(held.lstrip(b"\r\n"))]
        if not held or _START.match(held) is not None or _may_begin(held):
            return False
        start = _LATER_START.search(held)
        if start is None:
            if len(held) > MAX_HEAD:
                raise RemoteProtocolError("no SIP on this connection", peer=self.peer, received=bytes(held))
            return False
        del held[: start.start(1)]
        return True


_START_LINE: Final = rb"(?:SIP/2\.0 [1-6][0-9]{2} ?[^\r\n]*|[A-Z]{2,16} [^ \r\n]{1,512} SIP/2\.0)\r?\n"
_START: Final = re.compile(_START_LINE)
_LATER_START: Final = re.compile(rb"(?:\n|[^A-Z])(" + _START_LINE + rb")")


def _may_begin(held: bytearray) -> bool:
    """Return whether a start line may be under way: no line has ended yet."""
    return b"\n" not in held and len(held) < MAX_HEAD and held[:1].isalpha()


def _head_end(held: bytearray) -> tuple[int, int]:
    """Return where the headers end, and how many octets stand between them and the body; (-1, 0) where they do not."""
    at, bare = held.find(b"\r\n\r\n"), held.find(b"\n\n")
    if bare >= 0 and (at < 0 or bare < at):
        return bare, 2
    return (at, 4) if at >= 0 else (-1, 0)
